"""Answers requests for objects: get, list, create, update, patch, delete and deletecollection.

Source: apiserver pkg/endpoints/handlers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from informer.testing.http.messages import Request
from informer.testing.listwatch.list_options import read_list_query
from informer.testing.listwatch.list_pages import Page, list_page
from informer.testing.listwatch.selection import read_selection
from informer.testing.server.patch_requests import read_patch
from informer.testing.server.request_bodies import decode_object, is_dry_run, read_delete_options
from informer.testing.server.scale import scale_of, with_scale
from informer.testing.server.versions import ServerVersion
from informer.testing.storage.negotiation import representation_for
from informer.testing.storage.object_checks import Target
from informer.testing.storage.registry import Registry
from informer.testing.storage.representation import Representation
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import bad_request, method_not_allowed, success
from informer.testing.storage.storage import Storage
from watch.errors import ApiError

__all__ = ["ResourceRequests"]


class ResourceRequests:
    """Answers every request for objects except watches.

    Args:
        storage: stores the objects.
        registry: reads and writes them.
        version: the server's version, which decides about features.

    Threads: any.
    """

    def __init__(self, storage: Storage, registry: Registry, version: ServerVersion) -> None:
        self._storage = storage
        self._registry = registry
        self._version = version

    def answer(self, verb: str, target: Target, request: Request) -> tuple[int, list[bytes], str]:
        """Carries out a request and returns the answer's status code, body and Content-Type.

        Raises:
            ApiError: the request is refused.
        """
        representation = representation_for(
            request.headers.get("accept", ""),
            target.served,
            of_list=verb in ("list", "deletecollection"),
            drops_fields=self._version.drops_managed_fields,
        )
        status, body = self._answer(verb, target, request, representation)
        return status, body, representation.media_type

    def _answer(
        self, verb: str, target: Target, request: Request, representation: Representation
    ) -> tuple[int, list[bytes]]:
        if target.subresource == "scale":
            return self._scale(verb, target, request, representation)
        match verb:
            case "get":
                return self._get(target, representation)
            case "list":
                return self._list(target, request, representation)
            case "create":
                return self._create(target, request, representation)
            case "update":
                return self._update(target, request, representation)
            case "patch":
                return self._patch(target, request, representation)
            case "delete":
                return self._delete(target, request, representation)
            case "deletecollection":
                return self._delete_collection(target, request, representation)
        raise method_not_allowed()

    def _get(self, target: Target, representation: Representation) -> tuple[int, list[bytes]]:
        return 200, [representation.single(self._registry.get(target))]

    def _list(self, target: Target, request: Request, representation: Representation) -> tuple[int, list[bytes]]:
        page = self._page(target, request)
        return 200, representation.list(page.metadata, page.objects)

    def _page(self, target: Target, request: Request) -> Page:
        options = read_list_query(request.query, watch_list_enabled=self._version.has_watch_list)
        selection = read_selection(options, target.served, "", sharding=self._version.has_sharding)
        with self._storage.lock:
            bucket = self._registry.bucket_locked(target.served)
        return list_page(self._storage, bucket, target.namespace, options, selection)

    def _create(self, target: Target, request: Request, representation: Representation) -> tuple[int, list[bytes]]:
        if target.name or (target.served.resource.namespaced and not target.namespace):
            raise method_not_allowed()
        obj = decode_object(request, target.served.resource.kind, null_is_empty=not target.served.custom)
        stored = self._registry.create(target, obj, dry_run=is_dry_run(request))
        return 201, [representation.single(stored)]

    def _update(self, target: Target, request: Request, representation: Representation) -> tuple[int, list[bytes]]:
        _require_name(target)
        obj = decode_object(request, target.served.resource.kind, null_is_empty=not target.served.custom)
        create = target.served.created_by_update and not target.subresource
        stored, created = self._registry.update(target, lambda _: obj, create=create, dry_run=is_dry_run(request))
        return 201 if created else 200, [representation.single(stored)]

    def _patch(self, target: Target, request: Request, representation: Representation) -> tuple[int, list[bytes]]:
        _require_name(target)
        patch = read_patch(target.served, request)
        stored, created = self._registry.update(
            target,
            patch.apply,
            create=patch.creates and not target.subresource,
            dry_run=is_dry_run(request),
            patch=True,
        )
        return 201 if created else 200, [representation.single(stored)]

    def _scale(
        self, verb: str, target: Target, request: Request, representation: Representation
    ) -> tuple[int, list[bytes]]:
        served = target.served
        if verb == "get":
            obj = self._registry.get(target).to_dict()
        elif verb in ("update", "patch"):
            stored, _ = self._registry.update(target, _scaling(verb, served, request), dry_run=is_dry_run(request))
            obj = stored.to_dict()
        else:
            raise method_not_allowed()
        return 200, [representation.document(scale_of(served, obj))]

    def _delete(self, target: Target, request: Request, representation: Representation) -> tuple[int, list[bytes]]:
        if target.subresource:
            raise method_not_allowed()
        options = read_delete_options(request)
        stored, gone = self._registry.delete(target, options)
        if gone and not target.served.returns_deleted:
            return 200, [representation.document(success(target.served.resource, stored.name, stored.uid))]
        keeps_dependents = not gone and options.get("orphanDependents") is False
        return 202 if keeps_dependents else 200, [representation.single(stored)]

    def _delete_collection(
        self, target: Target, request: Request, representation: Representation
    ) -> tuple[int, list[bytes]]:
        if "deletecollection" not in target.served.verbs or (
            target.served.resource.namespaced and not target.namespace
        ):
            raise method_not_allowed()
        options = read_delete_options(request)
        page = self._page(target, request)
        for stored in page.objects:
            try:
                self._registry.delete(target._replace(name=stored.name), options)
            except ApiError as error:
                if error.status != 404:  # another client has deleted it since
                    raise
        return 200, representation.list(page.metadata, page.objects)


def _scaling(verb: str, served: ServedResource, request: Request) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns the change that a request for the scale subresource makes to the object."""
    if verb == "update":
        wanted = decode_object(request, "Scale")
        return lambda obj: with_scale(served, obj, wanted)
    patch = read_patch(served, request)
    return lambda obj: with_scale(served, obj, patch.apply(scale_of(served, obj)))


def _require_name(target: Target) -> None:
    if target.name:
        return
    raise bad_request("name must be provided") if target.served.custom else method_not_allowed()
