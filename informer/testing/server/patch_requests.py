"""Reads a PATCH request as a change of an object.

Source: apiserver pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from informer.testing.http.messages import Request
from informer.testing.server.request_bodies import decode_yaml, media_type
from informer.testing.storage.field_types import type_of
from informer.testing.storage.json_values import decode_object_json
from informer.testing.storage.object_checks import Target, metadata_of
from informer.testing.storage.ownership import applied
from informer.testing.storage.patches import DirectiveError, PatchError, json_patch, merge_patch, strategic_merge
from informer.testing.storage.schemas.built_in_fields import GO_TYPES
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import bad_request, generic, wrong_patch
from informer.testing.storage.write import Write
from watch.errors import ApiError

__all__ = ["Patch", "read_patch"]

_MERGE, _STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
_CUSTOM_TYPES = (
    "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
    "application/merge-patch+json, application/apply-patch+yaml"
)


class Patch(NamedTuple):
    """The change that a PATCH request makes."""

    apply: Callable[[dict[str, Any]], dict[str, Any]]
    """Returns the changed object; it may change its argument."""
    creates: bool = False
    """Whether an object that does not exist is created."""


class _Operation(msgspec.Struct):
    """The types of the fields of an operation in a JSON patch."""

    op: str | None = None
    path: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")


def read_patch(target: Target, request: Request, write: Write) -> Patch:
    """Reads the patch in a request's body. Its `apply` raises ApiError 422 for fields of a wrong type.

    Raises:
        ApiError: 415, the patch's type is not supported; 400 or 422, the patch is malformed.
    """
    served, media = target.served, media_type(request)
    if media == "application/apply-patch+yaml":
        return _applied(target, request, write)
    change: Callable[[Any, Any], Any]
    if media == "application/json-patch+json":
        patch, change = _decoded(request.body, list, "[]handlers.jsonPatchOp"), json_patch
        try:
            msgspec.convert(patch, list[_Operation])
        except msgspec.ValidationError as error:
            raise bad_request(f"error decoding patch: json: {error}") from error
    elif media == _MERGE or (media == _STRATEGIC and not served.custom):
        patch = _decoded(request.body, dict, "map[string]interface {}")
        change = merge_patch if media == _MERGE else partial(strategic_merge, type_of(served))
    elif served.custom:
        raise ApiError(415, "UnsupportedMediaType", _CUSTOM_TYPES)
    else:
        raise generic(415, "415: Unsupported Media Type")
    return Patch(lambda obj: _changed(served, obj, patch, change))


def _changed(
    served: ServedResource, obj: dict[str, Any], patch: Any, change: Callable[[Any, Any], Any]
) -> dict[str, Any]:
    """Returns an object with a patch applied; raises ApiError 422 if its kind or metadata have wrong types then."""
    try:
        changed = change(obj, patch)
    except DirectiveError as error:
        raise ApiError(500, "", str(error)) from error
    except PatchError as error:
        raise (generic(422) if change is json_patch else bad_request(str(error))) from error
    except ImportError as error:
        raise generic(500, str(error)) from error
    if not isinstance(changed, dict):
        raise generic(422)
    for name in ("kind", "apiVersion"):
        if not isinstance(changed.get(name), str | None):
            raise wrong_patch(changed, f"json: cannot unmarshal a value into Go struct field {name} of type string")
    try:
        metadata_of(changed, served.resource)
    except ApiError as error:
        raise wrong_patch(changed, str(error)) from error
    return changed


def _applied(target: Target, request: Request, write: Write) -> Patch:
    """Reads a server-side apply."""
    served = target.served
    try:
        patch = decode_yaml(request.body)
    except ValueError as error:
        raise bad_request(f"error decoding YAML: {error}") from error
    patch = _checked({} if patch is None else patch, dict, "map[string]interface {}")
    api_version, kind = str(patch.get("apiVersion") or ""), str(patch.get("kind") or "")
    if (api_version, kind) != (served.resource.api_version, served.resource.kind):
        shown = api_version if "/" in api_version else f"/{api_version}"
        raise bad_request(f"invalid object type: {shown}, Kind={kind}")
    metadata = patch.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    return Patch(lambda obj: applied(served, target.subresource, obj, patch, write), creates=True)


def _decoded(body: bytes, wanted: type, go_type: str) -> Any:
    try:
        patch = decode_object_json(body)
    except ValueError as error:
        raise bad_request("invalid JSON patch") from error
    return _checked(patch, wanted, go_type)


def _checked(patch: Any, wanted: type, go_type: str) -> Any:
    if not isinstance(patch, wanted):
        found = GO_TYPES.get(type(patch), "null")
        raise bad_request(f"error decoding patch: json: cannot unmarshal {found} into Go value of type {go_type}")
    return patch
