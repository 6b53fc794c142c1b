"""Ownership of fields in writes: what a write does to an object's managedFields, and server-side apply. No I/O.

Source: apimachinery pkg/util/managedfields/internal; https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Mapping
from typing import Any

import msgspec

from informer.testing.storage.field_owners import WITHOUT_OWNER, ConflictsError, FieldOwners, ManagerId, OwnedWrite
from informer.testing.storage.field_sets import FieldSet, outside
from informer.testing.storage.field_types import FieldType, type_of
from informer.testing.storage.field_walks import check_type, compare, field_set
from informer.testing.storage.json_values import decode_object_json, is_same
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.system_fields import now
from informer.testing.storage.write import Write
from watch.errors import ApiError

__all__ = ["applied", "same_but_times", "with_owners"]

_CALLS, _UNKNOWN, _BEFORE_FIRST_APPLY, _KUBECTL = "EmbeddedAPIServer", "unknown", "before-first-apply", "kubectl"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MOST_REMEMBERED = 8 << 10  # bytes of an object
_STATUS: FieldSet = {("f:status",)}


def with_owners(
    served: ServedResource, subresource: str, old: Mapping[str, Any] | None, new: dict[str, Any], write: Write
) -> dict[str, Any]:
    """Returns an object that is created, updated or patched otherwise than by apply, with its new managedFields.

    Objects without managedFields stay without them, as in the real server. Method calls create such objects.

    Args:
        served: the object's resource.
        subresource: the endpoint; "" for the object itself.
        old: the stored object, as it is stored; None for a new one.
        new: the object that the client wants; it is not changed.
        write: who writes, and how.
    """
    if write.applies or (old is None and write.field_manager is None):
        return new
    if old is not None and "managedFields" not in old["metadata"] and "managedFields" not in new["metadata"]:
        return new
    live = {} if old is None else served.from_stored(dict(old))
    metadata = dict(new["metadata"])
    owners = _owners(live, None if subresource else metadata.pop("managedFields", None))
    if owners or not live:
        manager = _CALLS if write.field_manager is None else write.field_manager
        who = _owned_write(served, subresource, manager, "Update", with_status=write.with_status)
        # An object that is not valid is refused later, and keeps its owners until then.
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            if owners:
                owners.updated(type_of(served), _without_entries(live), _without_entries(new), who)
            else:
                owners.add(_fields_of_new(served, _without_entries(new), who.resets), who)
        if owners:
            metadata["managedFields"] = owners.entries()
    return {**new, "metadata": metadata}


def applied(
    served: ServedResource, subresource: str, live: dict[str, Any], wanted: dict[str, Any], write: Write
) -> dict[str, Any]:
    """Returns an object after a server-side apply, with its new managedFields.

    Args:
        served: the object's resource.
        subresource: the endpoint; "" for the object itself.
        live: the stored object as clients see it; empty if it is to be created.
        wanted: the fields that the manager applies.
        write: who applies, and how.

    Raises:
        ApiError: 409, other managers own some of the fields; 500, a field does not fit its type.
    """
    type_, manager = type_of(served), write.field_manager or ""
    problems = list(check_type(type_, wanted))
    if problems:
        raise _untyped(served, wanted, problems)
    before = _without_entries(live)
    who = _owned_write(served, subresource, manager, "Apply")

    def attempt(*, force: bool) -> tuple[Any, FieldOwners]:
        owners = _owners(live, None)
        if not owners:
            first = _owned_write(served, subresource, _BEFORE_FIRST_APPLY, "Update")
            owners.updated(type_, {}, before, first)
        return owners.applied(type_, before, wanted, who, force=force), owners

    try:
        merged, owners = attempt(force=write.force)
    except ValueError as error:
        raise ApiError(500, "", f"failed to merge config: {error}") from error
    except ConflictsError as error:
        if manager != _KUBECTL:
            raise
        _check_last_applied(served, before, error)
        merged, owners = attempt(force=True)
    result = dict(live) if is_same(merged, before) else _as_stored(served, merged)
    result["metadata"] = {**(result.get("metadata") or {}), "managedFields": owners.entries()}
    if manager == _KUBECTL and (result["metadata"].get("annotations") or {}).get(_LAST_APPLIED):
        result["metadata"]["annotations"] = {**result["metadata"]["annotations"], _LAST_APPLIED: _last_applied(wanted)}
    return result


def same_but_times(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two stored objects differ only in the times of their managedFields."""
    return is_same(old, new) or is_same(_without_times(old), _without_times(new))


def _without_times(obj: Mapping[str, Any]) -> dict[str, Any]:
    entries = [{**entry, "time": None} for entry in obj["metadata"].get("managedFields") or ()]
    return {**obj, "metadata": {**obj["metadata"], "managedFields": entries}}


def _owners(live: Mapping[str, Any], sent: Any) -> FieldOwners:
    """Returns the owners that a client has sent, if they are valid; otherwise those of the stored object."""
    if sent in ([], [{}]):
        return FieldOwners()
    stored = (live.get("metadata") or {}).get("managedFields") or []
    if sent and sent != stored:
        with contextlib.suppress(ValueError, AttributeError, TypeError):
            return FieldOwners.read(sent)
    return FieldOwners.read(stored)


def _owned_write(
    served: ServedResource, subresource: str, manager: str, operation: str, *, with_status: bool = False
) -> OwnedWrite:
    version = served.resource.api_version
    who = ManagerId(manager or _UNKNOWN, operation, "" if operation == "Apply" else version, subresource)
    resets: FieldSet = set()
    if subresource == "status":
        resets = {("f:spec",), ("f:metadata",)}
    elif served.has_status and not with_status:
        resets = _STATUS
    return OwnedWrite(who, version, resets, None if subresource == "scale" else now())


def _fields_of_new(served: ServedResource, obj: dict[str, Any], resets: FieldSet) -> FieldSet:
    """Returns the fields that the creator of an object owns."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in ("name", "namespace", "uid")}
    encoded = msgspec.json.encode({**obj, "metadata": metadata})
    find = _known_fields if len(encoded) <= _MOST_REMEMBERED else _known_fields.__wrapped__
    return find(type_of(served), encoded, frozenset(resets))


@functools.lru_cache(maxsize=256)
def _known_fields(type_: FieldType, encoded: bytes, resets: FieldSet) -> FieldSet:
    # Tests and controllers create many objects that differ in their names only.
    found = compare(type_, {"metadata": {}}, decode_object_json(encoded))
    return frozenset(outside(found.modified | found.added, resets) - WITHOUT_OWNER)


def _without_entries(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an object without its managedFields, and without empty metadata."""
    metadata = {
        key: value
        for key, value in (obj.get("metadata") or {}).items()
        if key != "managedFields" and value not in (None, [], {})
    }
    return {**obj, "metadata": metadata}


def _as_stored(served: ServedResource, merged: dict[str, Any]) -> dict[str, Any]:
    return merged if served.custom else _without_nulls(merged)  # fields of Go's types have no null


def _without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(each) for key, each in value.items() if each is not None}


def _untyped(served: ServedResource, wanted: Mapping[str, Any], problems: list[str]) -> ApiError:
    metadata, resource = wanted.get("metadata") or {}, served.resource
    name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    where = f"{name}; {resource.group}/{resource.version}, Kind={resource.kind}"
    text = problems[0] if len(problems) == 1 else "\n  ".join(["errors:", *problems])
    return ApiError(500, "", f"failed to create typed patch object ({where}): {text}")


def _check_last_applied(served: ServedResource, live: dict[str, Any], error: ConflictsError) -> None:
    """Raises the conflicts with fields that still are as `kubectl apply` on the client's side has set them."""
    try:
        last = msgspec.json.decode(live["metadata"]["annotations"][_LAST_APPLIED])
        unchanged = field_set(type_of(served), last).difference(*compare(type_of(served), last, live))
    except (KeyError, TypeError, ValueError):
        raise error from None
    left = [conflict for conflict in error.conflicts if conflict.path not in unchanged]
    if left:
        raise ConflictsError(left)


def _last_applied(wanted: dict[str, Any]) -> str:
    wanted = copy.deepcopy(wanted)
    ((wanted.get("metadata") or {}).get("annotations") or {}).pop(_LAST_APPLIED, None)
    return msgspec.json.encode(wanted, order="sorted").decode() + "\n"
