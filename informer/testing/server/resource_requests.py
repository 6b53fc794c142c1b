"""Answers requests for objects: get, list, create, update, patch, delete and deletecollection.

Source: apiserver pkg/endpoints/handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from informer.testing.http.messages import Request
from informer.testing.listwatch.list_options import read_list_query
from informer.testing.listwatch.list_pages import Page, list_page
from informer.testing.listwatch.selection import read_selection
from informer.testing.server.patch_requests import read_patch
from informer.testing.server.scale import scale_of, with_scale
from informer.testing.server.versions import ServerVersion
from informer.testing.storage.object_checks import Where, not_registered
from informer.testing.storage.registry import Registry
from informer.testing.storage.representations import Representation, representation_for
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import Cause, bad_request, invalid, method_not_allowed, success
from informer.testing.storage.storage import Storage
from watch.errors import ApiError

__all__ = ["ResourceRequests", "decode_body"]

_encode = msgspec.json.encode


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

    def answer(self, verb: str, where: Where, request: Request) -> tuple[int, list[bytes]]:
        """Carries out a request and returns the answer's status code and body.

        Raises:
            ApiError: the request is refused.
        """
        representation = representation_for(
            request.headers.get("accept", ""), where.served, of_list=verb in ("list", "deletecollection")
        )
        if where.subresource == "scale":
            return self._scale(verb, where, request)
        match verb:
            case "get":
                return self._get(where, representation)
            case "list":
                return self._list(where, request, representation)
            case "create":
                return self._create(where, request, representation)
            case "update":
                return self._update(where, request, representation)
            case "patch":
                return self._patch(where, request, representation)
            case "delete":
                return self._delete(where, request, representation)
            case "deletecollection":
                return self._delete_collection(where, request, representation)
        raise method_not_allowed()

    def _get(self, where: Where, representation: Representation) -> tuple[int, list[bytes]]:
        return 200, [representation.single(self._registry.get(where))]

    def _list(self, where: Where, request: Request, representation: Representation) -> tuple[int, list[bytes]]:
        page = self._page(where, request)
        return 200, representation.list(page.metadata, page.objects)

    def _page(self, where: Where, request: Request) -> Page:
        options = read_list_query(request.query, watch_list_enabled=self._version.has_watch_list)
        selection = read_selection(options, where.served, "", sharding=self._version.has_sharding)
        with self._storage.lock:
            bucket = self._registry.bucket_locked(where.served)
        return list_page(self._storage, bucket, where.namespace, options, selection)

    def _create(self, where: Where, request: Request, representation: Representation) -> tuple[int, list[bytes]]:
        if where.name or (where.served.resource.namespaced and not where.namespace):
            raise method_not_allowed()
        obj = decode_body(request, where.served.resource.kind, null_is_empty=not where.served.custom)
        stored = self._registry.create(where, obj, dry_run=_is_dry_run(request))
        return 201, [representation.single(stored)]

    def _update(self, where: Where, request: Request, representation: Representation) -> tuple[int, list[bytes]]:
        _require_name(where)
        obj = decode_body(request, where.served.resource.kind, null_is_empty=not where.served.custom)
        create = where.served.created_by_update and not where.subresource
        stored, created = self._registry.update(where, lambda _: obj, create=create, dry_run=_is_dry_run(request))
        return 201 if created else 200, [representation.single(stored)]

    def _patch(self, where: Where, request: Request, representation: Representation) -> tuple[int, list[bytes]]:
        _require_name(where)
        patch = read_patch(where.served, request)
        stored, created = self._registry.update(
            where, patch.apply, create=patch.creates and not where.subresource, dry_run=_is_dry_run(request), patch=True
        )
        return 201 if created else 200, [representation.single(stored)]

    def _scale(self, verb: str, where: Where, request: Request) -> tuple[int, list[bytes]]:
        served = where.served
        if verb == "get":
            obj = self._registry.get(where).to_dict()
        elif verb in ("update", "patch"):
            stored, _ = self._registry.update(where, _scaling(verb, served, request), dry_run=_is_dry_run(request))
            obj = stored.to_dict()
        else:
            raise method_not_allowed()
        return 200, [_encode(scale_of(served, obj))]

    def _delete(self, where: Where, request: Request, representation: Representation) -> tuple[int, list[bytes]]:
        if where.subresource:
            raise method_not_allowed()
        options = _delete_options(request)
        stored, gone = self._registry.delete(where, options, dry_run=_is_dry_run(request))
        if gone and not where.served.returns_deleted:
            return 200, [_encode(success(where.served.resource, stored.name, stored.uid))]
        return 200, [representation.single(stored)]

    def _delete_collection(
        self, where: Where, request: Request, representation: Representation
    ) -> tuple[int, list[bytes]]:
        if "deletecollection" not in where.served.verbs or (where.served.resource.namespaced and not where.namespace):
            raise method_not_allowed()
        options = _delete_options(request)
        page = self._page(where, request)
        for stored in page.objects:
            try:
                self._registry.delete(where._replace(name=stored.name), options, dry_run=_is_dry_run(request))
            except ApiError as error:
                if error.status != 404:  # another client has deleted it since
                    raise
        return 200, representation.list(page.metadata, page.objects)


def decode_body(request: Request, kind: str, *, null_is_empty: bool = False) -> dict[str, Any]:
    """Returns the object in a request's body.

    Args:
        request: the request.
        kind: the expected kind, which the error names; "" leaves it out.
        null_is_empty: take the body "null" for an object without fields.

    Raises:
        ApiError: 400, the body is not a JSON object; 415, its media type is not JSON.
    """
    unrecognized = f"the object provided is unrecognized (must be of type {kind}): " if kind else ""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in ("", "application/json", "*/*"):
        message = "the body of the request was in an unknown format - accepted media types include: application/json"
        raise ApiError(415, "UnsupportedMediaType", message)
    try:
        obj = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = f" ({request.body[:200].decode(errors='replace') or '<empty>'})" if kind else ""
        raise bad_request(f"{unrecognized}couldn't get version/kind; json parse error: {error}{shown}") from error
    if obj is None and null_is_empty:
        return {}
    if not isinstance(obj, dict):
        raise bad_request(f"{unrecognized}couldn't get version/kind; json parse error: it is not a JSON object")
    return obj


def _scaling(verb: str, served: ServedResource, request: Request) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns the change that a request for the scale subresource makes to the object."""
    if verb == "update":
        wanted = decode_body(request, "Scale")
        return lambda obj: with_scale(served, obj, wanted)
    patch = read_patch(served, request)
    return lambda obj: with_scale(served, obj, patch.apply(scale_of(served, obj)))


def _delete_options(request: Request) -> Mapping[str, Any]:
    if not request.body.strip():
        return {}
    options = decode_body(request, "")
    if options.get("kind") not in (None, "", "DeleteOptions"):
        raise bad_request(not_registered(str(options.get("apiVersion", "v1")), str(options["kind"])))
    return options


def _is_dry_run(request: Request) -> bool:
    value = request.query.get("dryRun")
    if value not in (None, "", "All"):
        kind = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}.get(request.method)
        cause = Cause("FieldValueNotSupported", f'Unsupported value: ["{value}"]: supported values: "All"', "dryRun")
        raise invalid("meta.k8s.io", kind or "DeleteOptions", "", [cause])
    return value == "All"


def _require_name(where: Where) -> None:
    if where.name:
        return
    raise bad_request("name must be provided") if where.served.custom else method_not_allowed()
