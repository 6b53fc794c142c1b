"""Ownership of fields in writes: what a write does to an object's managedFields, and server-side apply. No I/O.

Source: apimachinery pkg/util/managedfields/internal; https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

import msgspec

from informer.testing.storage.deep_objects import decode_object_json
from informer.testing.storage.field_owners import ConflictsError, FieldOwners, ManagerId, OwnedWrite
from informer.testing.storage.field_sets import FieldSet, difference, in_order, union
from informer.testing.storage.field_types import FieldType, type_of
from informer.testing.storage.field_walks import check_type, compare, field_set
from informer.testing.storage.go_forms import go_form
from informer.testing.storage.json_equality import differing, is_same
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.system_fields import kept_by_status, now
from informer.testing.storage.write import Write
from watch.errors import ApiError

__all__ = ["applied", "same_but_times", "updated", "with_owners"]

_CALLS, _UNKNOWN, _BEFORE_FIRST_APPLY, _KUBECTL = "EmbeddedAPIServer", "unknown", "before-first-apply", "kubectl"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MOST_REMEMBERED = 8 << 10  # bytes of an object
_STATUS: FieldSet = {"f:status": {}}


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
    if old is None:
        return updated(served, subresource, None, new, write)
    if "managedFields" not in old["metadata"] and "managedFields" not in new["metadata"]:
        return new
    return updated(served, subresource, served.from_stored(dict(old)), new, write)


def updated(
    served: ServedResource, subresource: str, live: dict[str, Any] | None, new: dict[str, Any], write: Write
) -> dict[str, Any]:
    """As `with_owners`, given the stored object as clients see it."""
    metadata = dict(new["metadata"])
    sent = metadata.pop("managedFields", None)
    owners = _owners(live or {}, None if subresource else sent)
    if owners or live is None:
        manager = _CALLS if write.field_manager is None else write.field_manager
        owned_write = _owned_write(served, subresource, manager, "Update", with_status=write.with_status)
        try:
            before, after = _differing(live or {}, {**new, "metadata": metadata})
            if owners:
                owners.updated(type_of(served), _form(served, before), _form(served, after), owned_write)
            else:
                owners.created(_fields_of_new(served, after), owned_write)
            entries = owners.entries()
        except (ValueError, TypeError, AttributeError):
            # The object is not valid, which is found later, or nested very deeply; the owners stay as they are.
            entries = _owners(live or {}, None).entries()
        if entries:
            metadata["managedFields"] = entries
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
    before = _form(served, live)
    who = _owned_write(served, subresource, manager, "Apply")

    def attempt(*, force: bool) -> tuple[Any, FieldOwners]:
        owners = _owners(live, None)
        if not owners:
            first = _owned_write(served, subresource, _BEFORE_FIRST_APPLY, "Update")
            owners.updated(type_, _form(served, {}), before, first)
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
    result = dict(live) if is_same(merged, before) else _form(served, merged)
    result["metadata"] = {**(result.get("metadata") or {}), "managedFields": owners.entries()}
    if manager == _KUBECTL and (result["metadata"].get("annotations") or {}).get(_LAST_APPLIED):
        result["metadata"]["annotations"] = {**result["metadata"]["annotations"], _LAST_APPLIED: _last_applied(wanted)}
    return result


def same_but_times(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two stored objects differ only in the times of their managedFields."""
    if is_same(old, new):
        return True
    before, after = old["metadata"].get("managedFields"), new["metadata"].get("managedFields")
    if not before or not after or _without_times(before) != _without_times(after):
        return False
    return is_same(old, {**new, "metadata": {**new["metadata"], "managedFields": before}})


def _without_times(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in entry.items() if key != "time"} for entry in entries]


def _owners(live: Mapping[str, Any], sent: Any) -> FieldOwners:
    """Returns the owners that a client has sent, if they are valid; otherwise those of the stored object."""
    if sent in ([], [{}]):
        return FieldOwners()
    stored = (live.get("metadata") or {}).get("managedFields") or []
    if sent and sent != stored:
        with contextlib.suppress(ValueError, AttributeError, TypeError):
            return FieldOwners.read(sent)
    return FieldOwners.stored(stored)


def _owned_write(
    served: ServedResource, subresource: str, manager: str, operation: str, *, with_status: bool = False
) -> OwnedWrite:
    version = served.resource.api_version
    who = ManagerId(manager or _UNKNOWN, operation, "" if operation == "Apply" else version, subresource)
    resets: FieldSet = {}
    if subresource == "status":
        kept = kept_by_status(served)
        resets = {"f:spec": {}}
        if kept is None or kept:
            resets["f:metadata"] = {f"f:{name}": {} for name in kept or ()}
    elif served.has_status and not with_status:
        resets = _STATUS
    return OwnedWrite(who, version, resets, now())


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns two objects without the fields in which they are the same."""
    after = differing(old, new)
    before = {key: value for key, value in old.items() if key in after or key not in new}
    if isinstance(before.get("metadata"), dict) and isinstance(after.get("metadata"), dict):
        old, new = before["metadata"], after["metadata"]
        after["metadata"] = differing(old, new)
        before["metadata"] = {key: each for key, each in old.items() if key in after["metadata"] or key not in new}
    return before, after


def _fields_of_new(served: ServedResource, obj: Mapping[str, Any]) -> FieldSet:
    """Returns the fields that the creator of an object owns, at least."""
    metadata = {
        key: value for key, value in (obj.get("metadata") or {}).items() if key not in ("name", "namespace", "uid")
    }
    encoded = msgspec.json.encode({**obj, "metadata": metadata})
    find = _known_fields if len(encoded) <= _MOST_REMEMBERED else _known_fields.__wrapped__
    return find(type_of(served), served.resource.api_version, served.resource.kind, encoded)


@functools.lru_cache(maxsize=256)
def _known_fields(type_: FieldType, api_version: str, kind: str, encoded: bytes) -> FieldSet:
    # Tests and controllers create many objects that differ in their names only.
    made = go_form(api_version, kind, decode_object_json(encoded))
    found = compare(type_, go_form(api_version, kind, {}), made)
    return in_order(union(found.modified, found.added))


def _form(served: ServedResource, obj: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an object as the real server compares it."""
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "managedFields"}
    obj = {**obj, "metadata": metadata} if "metadata" in obj else obj
    return go_form(served.resource.api_version, served.resource.kind, obj)


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
        if last["apiVersion"] != served.resource.api_version:
            raise error
        type_ = type_of(served)
        found = compare(type_, last, live)
        unchanged = field_set(type_, last)
    except (KeyError, TypeError, ValueError):
        raise error from None
    for each in found:
        unchanged = difference(unchanged, each)
    left = error.outside(unchanged)
    if left:
        raise ConflictsError(left)


def _last_applied(wanted: Mapping[str, Any]) -> str:
    metadata = wanted.get("metadata") or {}
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != _LAST_APPLIED}
    metadata = {**metadata, "annotations": annotations} if "annotations" in metadata else metadata
    return msgspec.json.encode({**wanted, "metadata": metadata}, order="sorted").decode() + "\n"
