"""Answers requests for objects: get, list, create, update, patch, delete and deletecollection.

Source: apiserver pkg/endpoints/handlers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from informer.testing.http.messages import Request
from informer.testing.listwatch.list_options import check_minimum, read_list_query
from informer.testing.listwatch.list_pages import Page, list_page
from informer.testing.listwatch.selection import read_selection
from informer.testing.server.access import Access
from informer.testing.server.action_requests import answer_action, is_action
from informer.testing.server.patch_requests import Patch, read_patch
from informer.testing.server.pod_requests import PodLogs
from informer.testing.server.request_bodies import decode_object
from informer.testing.server.request_options import read_delete_options, read_write
from informer.testing.server.versions import ServerVersion
from informer.testing.storage.negotiation import in_format, representation_for
from informer.testing.storage.object_checks import Target, check_identity, metadata_of
from informer.testing.storage.registry import Registry
from informer.testing.storage.representation import Representation
from informer.testing.storage.scale import SCALES, scale_of, scaled
from informer.testing.storage.statuses import bad_request, method_not_allowed, success
from informer.testing.storage.storage import Storage
from informer.testing.storage.write import User, Write
from watch.errors import ApiError

__all__ = ["Answer", "ResourceRequests"]

_OLD_ENDPOINTS = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
_MOST_BYTES = 3 << 20  # of a request's body
_Body = tuple[int, list[bytes]]  # the answer's status code and the pieces of its body


class Answer(NamedTuple):
    """What the server answers."""

    status: int
    body: list[bytes]
    media_type: str


class _Call(NamedTuple):
    """A request, and what has been read of it."""

    target: Target
    request: Request
    write: Write
    representation: Representation


class ResourceRequests:
    """Answers every request for objects except watches.

    Args:
        storage: stores the objects.
        registry: reads and writes them.
        access: knows the users and what they may do, for reviews.
        logs: the logs of pods.
        version: the server's version, which decides about features.

    Threads: any.
    """

    def __init__(
        self, storage: Storage, registry: Registry, version: ServerVersion, access: Access, logs: PodLogs
    ) -> None:
        self._storage = storage
        self._access = access
        self._logs = logs
        self._registry = registry
        self._version = version

    def answer(self, verb: str, target: Target, request: Request, user: User, warnings: list[str]) -> Answer:
        """Carries out a user's request, and adds to `warnings`.

        Raises:
            ApiError: the request is refused.
        """
        representation = representation_for(
            request.headers.get("accept", ""),
            target.served,
            drops_fields=self._version.drops_managed_fields,
            include_object=request.query.get("includeObject", ""),
        )
        if len(request.body) > _MOST_BYTES:
            raise ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {_MOST_BYTES}")
        write = read_write(request, user) if verb in ("create", "update", "patch") else Write(user=user)
        write = replace(write, warnings=warnings)
        if target.served.path == ("", "v1", "endpoints"):
            write.warnings.append(_OLD_ENDPOINTS)
        subresource = next((each for each in target.served.subresources if each.name == target.subresource), None)
        if subresource is not None and verb not in subresource.verbs:
            raise method_not_allowed()
        if target.subresource == "log":
            return self._log(target, request)
        status, body = self._answer(verb, _Call(target, request, write, representation))
        return Answer(status, in_format(representation.media_type, body), representation.media_type)

    def _answer(self, verb: str, call: _Call) -> _Body:
        if is_action(call.target):
            document = answer_action(self._registry, self._access, verb, call.target, call.request, call.write)
            return 201, [call.representation.document(document)]
        if call.target.subresource == "scale":
            return self._scale(verb, call)
        match verb:
            case "get":
                check_minimum(call.request.query.get("resourceVersion") or "", self._storage.resource_version)
                return 200, [call.representation.single(self._registry.get(call.target))]
            case "list":
                page = self._page(call)
                return 200, call.representation.list(page.metadata, page.objects)
            case "create":
                return self._create(call)
            case "update" | "patch":
                return self._change(verb, call)
            case "delete":
                return self._delete(call)
            case "deletecollection":
                return self._delete_collection(call)
        raise method_not_allowed()

    def _log(self, target: Target, request: Request) -> Answer:
        pod = self._registry.get(target._replace(subresource=""))
        text = self._logs.read(target, pod.to_dict(), request.query)
        return Answer(204, [], "") if text is None else Answer(200, [text], "text/plain")

    def _page(self, call: _Call) -> Page:
        target = call.target
        options = read_list_query(call.request.query, watch_list_enabled=self._version.has_watch_list)
        selection = read_selection(options, target.served, "", sharding=self._version.has_sharding)
        with self._storage.lock:
            bucket = self._registry.bucket_locked(target.served)
        return list_page(self._storage, bucket, target.namespace, options, selection)

    def _create(self, call: _Call) -> _Body:
        target, resource = call.target, call.target.served.resource
        if target.name or (resource.namespaced and not target.namespace):
            raise method_not_allowed()
        obj = decode_object(call.request, resource.kind, null_is_empty=not target.served.custom)
        return 201, [call.representation.single(self._registry.create(target, obj, call.write))]

    def _change(self, verb: str, call: _Call) -> _Body:
        target, served = call.target, call.target.served
        if not target.name:
            raise bad_request("name must be provided") if served.custom else method_not_allowed()
        if verb == "update":
            obj = decode_object(call.request, served.resource.kind, null_is_empty=not served.custom)
            change = Patch(lambda _: obj, creates=served.created_by_update)
        else:
            change = read_patch(target, call.request, call.write)
        create = change.creates and not target.subresource
        stored, created = self._registry.update(target, change.apply, call.write, create=create)
        return 201 if created else 200, [call.representation.single(stored)]

    def _scale(self, verb: str, call: _Call) -> _Body:
        served = call.target.served
        if verb == "get":
            obj = served.read(self._registry.get(call.target))
        elif verb in ("update", "patch"):
            change = _scaling(verb, call)
            # The object is changed here, whatever the request's body is.
            write = replace(call.write, patches=False)
            stored, _ = self._registry.update(call.target, change, write)
            obj = served.read(stored)
        else:
            raise method_not_allowed()
        return 200, [call.representation.document(scale_of(served, obj))]

    def _delete(self, call: _Call) -> _Body:
        target, representation = call.target, call.representation
        if target.subresource:
            raise method_not_allowed()
        options = read_delete_options(call.request)
        stored, gone = self._registry.delete(target, options, call.write)
        if gone and not target.served.returns_deleted:
            return 200, [representation.document(success(target.served.resource, stored.name, stored.uid))]
        keeps_dependents = not gone and options.get("orphanDependents") is False
        return 202 if keeps_dependents else 200, [representation.single(stored)]

    def _delete_collection(self, call: _Call) -> _Body:
        target = call.target
        if "deletecollection" not in target.served.verbs or (
            target.served.resource.namespaced and not target.namespace
        ):
            raise method_not_allowed()
        options = read_delete_options(call.request)
        page = self._page(call)
        for stored in page.objects:
            try:
                self._registry.delete(target._replace(name=stored.name), options, call.write)
            except ApiError as error:
                if error.status != 404:  # another client has deleted it since
                    raise
        return 200, call.representation.list(page.metadata, page.objects)


def _scaling(verb: str, call: _Call) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns the change that a request for the scale subresource makes to the object."""
    served, write = call.target.served, call.write
    if verb == "patch":
        # The owners are those of the object: an apply of the Scale alone has no conflicts.
        patch = read_patch(call.target._replace(served=SCALES), call.request, replace(write, force=True))
        return lambda obj: scaled(served, obj, patch.apply, write)
    sent = decode_object(call.request, "Scale")

    def replaced(old: dict[str, Any]) -> dict[str, Any]:
        check_identity(call.target, metadata_of(sent, SCALES.resource), old["metadata"]["uid"])
        return sent

    return lambda obj: scaled(served, obj, replaced, write)
