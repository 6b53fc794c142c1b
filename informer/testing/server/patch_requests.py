"""Reads a PATCH request as a change of an object.

Source: apiserver pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from informer.testing.http.messages import Request
from informer.testing.server.request_bodies import decode_json, decode_yaml, media_type
from informer.testing.storage.object_checks import Target, metadata_of
from informer.testing.storage.ownership import applied
from informer.testing.storage.patches import DirectiveError, PatchError, json_patch, merge_patch
from informer.testing.storage.schemas.built_in_fields import GO_TYPES
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import bad_request, generic, wrong_patch
from informer.testing.storage.strategic_merge import strategic_merge
from informer.testing.storage.write import Write
from watch.errors import ApiError

__all__ = ["Patch", "read_patch"]

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


def read_patch(target: Target, request: Request, write: Write) -> Patch:
    """Reads the patch in a request's body. Its `apply` raises ApiError 422 for fields of a wrong type.

    Raises:
        ApiError: 415, the patch's type is not supported; 400 or 422, the patch is malformed.
    """
    served = target.served
    match media_type(request):
        case "application/merge-patch+json":
            patch = _object(_decode(request.body))
            return Patch(lambda obj: _checked(served, _merged(merge_patch, obj, patch)))
        case "application/json-patch+json":
            operations = _operations(_decode(request.body))
            return Patch(lambda obj: _checked(served, _json_patched(obj, operations)))
        case "application/strategic-merge-patch+json" if not served.custom:
            patch = _object(_decode(request.body))
            return Patch(lambda obj: _checked(served, _merged(strategic_merge, obj, patch)))
        case "application/apply-patch+yaml":
            return _applied(target, request, write)
    if served.custom:
        raise ApiError(415, "UnsupportedMediaType", _CUSTOM_TYPES)
    raise generic(415, "415: Unsupported Media Type")


def _checked(served: ServedResource, changed: dict[str, Any]) -> dict[str, Any]:
    try:
        for name in ("kind", "apiVersion"):
            if not isinstance(changed.get(name), str | None):
                raise bad_request(f"json: cannot unmarshal a value into Go struct field {name} of type string")
        metadata_of(changed, served.resource)
    except ApiError as error:
        raise wrong_patch(changed, str(error)) from error
    return changed


def _merged(merge: Callable[[Any, Any], Any], obj: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    try:
        merged: dict[str, Any] = merge(obj, patch)
    except DirectiveError as error:
        raise ApiError(500, "", str(error)) from error
    except PatchError as error:
        raise bad_request(str(error)) from error
    return merged


def _json_patched(obj: dict[str, Any], operations: list[Any]) -> dict[str, Any]:
    try:
        result = json_patch(obj, operations)
    except PatchError as error:
        raise generic(422) from error
    except ImportError as error:
        raise generic(500, str(error)) from error
    if not isinstance(result, dict):
        raise generic(422)
    return result


def _applied(target: Target, request: Request, write: Write) -> Patch:
    """Reads a server-side apply."""
    served = target.served
    decoded = _decode_yaml(request.body)
    patch = {} if decoded is None else _object(decoded, "error unmarshaling JSON: while decoding JSON: ")
    api_version, kind = str(patch.get("apiVersion") or ""), str(patch.get("kind") or "")
    if (api_version, kind) != (served.resource.api_version, served.resource.kind):
        raise bad_request(
            f"invalid object type: {api_version if '/' in api_version else '/' + api_version}, Kind={kind}"
        )
    metadata = patch.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    return Patch(lambda obj: applied(served, target.subresource, obj, patch, write), creates=True)


def _decode(body: bytes) -> Any:
    try:
        return decode_json(body)
    except ValueError as error:
        raise bad_request("invalid JSON patch") from error


def _decode_yaml(body: bytes) -> Any:
    try:
        return decode_yaml(body)
    except ValueError as error:
        raise bad_request(f"error decoding YAML: {error}") from error


def _object(patch: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(patch, dict):
        raise _not_a(patch, f"{prefix}json", "map[string]interface {}")
    return patch


def _not_a(patch: Any, who: str, go_type: str) -> ApiError:
    found = GO_TYPES.get(type(patch), "null")
    return bad_request(f"error decoding patch: {who}: cannot unmarshal {found} into Go value of type {go_type}")


def _operations(patch: Any) -> list[Any]:
    if not isinstance(patch, list) or not all(isinstance(operation, dict | None) for operation in patch):
        raise _not_a({} if isinstance(patch, list) else patch, "json", "[]handlers.jsonPatchOp")
    if None in patch:
        raise generic(422)
    for operation in patch:
        for name in ("op", "path", "from"):
            if not isinstance(operation.get(name), str | None):
                field = f"Go struct field jsonPatchOp.{name} of type string"
                raise bad_request(f"error decoding patch: json: cannot unmarshal a value into {field}")
        if operation.get("op") in ("add", "replace", "test"):
            operation.setdefault("value", None)
    return patch
