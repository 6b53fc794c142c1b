"""The owners of fields: reads and writes `metadata.managedFields`, and decides who owns what after a write. No I/O.

Source: structured-merge-diff merge/update.go; apimachinery pkg/util/managedfields/internal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from informer.testing.storage.field_sets import (
    FieldSet,
    children_of,
    difference,
    in_order,
    intersection,
    read_set,
    set_paths,
    union,
)
from informer.testing.storage.field_types import FieldType
from informer.testing.storage.field_walks import Comparison, compare, field_set, merge, with_named_fields, without
from informer.testing.storage.json_equality import is_same
from watch.errors import ApiError

__all__ = ["ConflictsError", "FieldOwners", "ManagerId", "Owned", "OwnedWrite", "entry_order"]

# Of the managers that update, at most this many are kept apart.
_MAX_UPDATERS = 10
_ANCIENT = "ancient-changes"
_METADATA = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
)
# Fields that have no owner.
_WITHOUT_OWNER: FieldSet = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {".": {}, **{f"f:{name}": {} for name in _METADATA}},
}


class ManagerId(NamedTuple):
    """Who writes: an entry of managedFields has one."""

    manager: str
    operation: str
    api_version: str
    """Empty for those that apply, who have one entry whatever the version."""
    subresource: str = ""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> ManagerId:
        """Returns the id of an entry of managedFields."""
        applies = entry["operation"] == "Apply"
        version = "" if applies else entry["apiVersion"]
        return cls(entry.get("manager", ""), entry["operation"], version, entry.get("subresource", ""))

    @property
    def rank(self) -> tuple[str, ...]:
        """The sort key of managers in messages: those of subresources come first."""
        return self.manager, self.operation, self.api_version, self.subresource or "~"

    def __str__(self) -> str:
        shown = json.dumps(self.manager)
        if self.subresource:
            shown += f" with subresource {json.dumps(self.subresource)}"
        return f"{shown} using {self.api_version}" if self.operation == "Update" else shown


class Owned(NamedTuple):
    """What a manager owns."""

    api_version: str
    fields: FieldSet
    time: str | None
    entry: Mapping[str, Any] | None = None
    """The entry of managedFields that says so, as the server has stored it."""


class OwnedWrite(NamedTuple):
    """A write, as far as the ownership of fields depends on it."""

    who: ManagerId
    version: str
    """The apiVersion of the objects."""
    resets: FieldSet
    """Fields that the endpoint does not change."""
    now: str
    """The present time."""


class Conflict(NamedTuple):
    """A field that another manager owns."""

    manager: ManagerId
    path: str


class FieldOwners(dict[ManagerId, Owned]):
    """The managers of one object, and the fields that each owns."""

    @classmethod
    def stored(cls, entries: Iterable[Mapping[str, Any]]) -> FieldOwners:
        """Returns the owners in entries that the server has stored."""
        return cls(
            (ManagerId.of(each), Owned(each["apiVersion"], children_of(each["fieldsV1"]), each.get("time"), each))
            for each in entries
        )

    @classmethod
    def read(cls, entries: Any) -> FieldOwners:
        """Returns the owners in `metadata.managedFields`.

        Raises:
            ValueError: an entry is not valid.
        """
        owners = cls()
        for entry in entries or ():
            texts = (entry.get(name, "") for name in ("manager", "operation", "apiVersion", "subresource", "time"))
            if not all(isinstance(text, str | None) for text in texts) or not entry.get("apiVersion"):
                raise ValueError("apiVersion must not be empty")
            if entry.get("operation") not in ("Apply", "Update"):
                raise ValueError("operation must be `Apply` or `Update`")
            if entry.get("fieldsType") != "FieldsV1":
                raise ValueError(f"invalid fieldsType {json.dumps(entry.get('fieldsType'))}")
            owners[ManagerId.of(entry)] = Owned(
                entry["apiVersion"], in_order(read_set(entry.get("fieldsV1"))), entry.get("time")
            )
        return owners

    def entries(self) -> list[dict[str, Any]]:
        """Returns the owners as `metadata.managedFields` has them."""
        made = []
        for who, owned in self.items():
            if owned.entry is not None:
                made.append(dict(owned.entry))
                continue
            entry = {"manager": who.manager, "operation": who.operation, "apiVersion": owned.api_version}
            made.append(
                {key: value for key, value in entry.items() if value}
                | ({"time": owned.time} if owned.time else {})
                | {"fieldsType": "FieldsV1", "fieldsV1": owned.fields}
                | ({"subresource": who.subresource} if who.subresource else {})
            )
        return sorted(made, key=entry_order)

    def created(self, fields: FieldSet, write: OwnedWrite) -> None:
        """Records that a manager has created an object, which has no other owner, with these fields."""
        mine = difference(difference(fields, write.resets, recursive=True), _WITHOUT_OWNER)
        if mine:
            self[write.who] = Owned(write.version, mine, write.now)

    def updated(self, type_: FieldType, old: Any, new: Any, write: OwnedWrite) -> None:
        """Records that a manager has changed an object.

        Args:
            type_: the object's type.
            old: the object before.
            new: the object after.
            write: who writes, and where.
        """
        found = _without(compare(type_, old, new), write.resets)
        changed = union(found.modified, found.added)
        self._disown(union(changed, found.removed), except_for=None)
        mine = in_order(difference(changed, _WITHOUT_OWNER))
        if mine:
            known = self.get(write.who)
            self[write.who] = Owned(write.version, union(known.fields, mine) if known else mine, write.now)
        self._cap()

    def applied(self, type_: FieldType, live: Any, wanted: Any, write: OwnedWrite, *, force: bool) -> Any:
        """Applies an object to a live one: returns the result, and records that the manager owns what it applied.

        Args:
            type_: the type of both.
            live: the stored object.
            wanted: the fields that the manager applies.
            write: who writes, and where.
            force: whether to take fields from other managers.

        Raises:
            ConflictsError: other managers own some of the fields, and `force` is False.
        """
        who, last = write.who, self.get(write.who)
        mine = difference(field_set(type_, wanted), write.resets, recursive=True)
        self[who] = Owned(write.version, mine, last.time if last else None)
        merged = merge(type_, live, wanted)
        if last is not None and last.fields:
            merged = self._pruned(type_, merged, last.fields)
        found = _without(compare(type_, live, merged), write.resets)
        changed = union(found.modified, found.added)
        conflicts = [
            Conflict(manager, path)
            for manager in sorted(self, key=lambda each: each.rank)
            if manager != who
            for path in set_paths(intersection(self[manager].fields, changed))
        ]
        if conflicts and not force:
            raise ConflictsError(conflicts)
        self._disown(union(changed, found.removed), except_for=who)
        owned = self.pop(who)._replace(fields=in_order(difference(mine, _WITHOUT_OWNER)), entry=None)
        if owned.fields:
            self[who] = owned if is_same(merged, live) else owned._replace(time=write.now)
        return merged

    def _disown(self, fields: FieldSet, *, except_for: ManagerId | None) -> None:
        for manager, owned in list(self.items()):
            if manager == except_for:
                continue
            rest = difference(owned.fields, fields)
            if not rest:
                del self[manager]
            elif rest != owned.fields:
                self[manager] = owned._replace(fields=rest, entry=None)

    def _pruned(self, type_: FieldType, merged: Any, last: FieldSet) -> Any:
        """Returns an object without the fields that its manager does not apply any more and that have no other owner."""
        named_last = with_named_fields(type_, last)
        pruned = without(type_, merged, named_last)
        owned: FieldSet = {}
        for each in self.values():
            owned = union(owned, each.fields)
        kept = union(_named(type_, pruned), with_named_fields(type_, owned))
        everything = _named(type_, merged)
        pruned = without(type_, merged, difference(everything, kept))
        return without(type_, merged, intersection(difference(everything, _named(type_, pruned)), named_last))

    def _cap(self) -> None:
        """Merges the oldest entries of managers that update, if there are too many."""
        updaters = sorted((owned.time or "", who) for who, owned in self.items() if who.operation == "Update")
        first: dict[str, ManagerId] = {}
        left = len(updaters)
        for _, who in updaters:
            if left <= _MAX_UPDATERS:
                return
            owned = self[who]
            if owned.api_version not in first:
                first[owned.api_version] = who
                continue
            bucket = ManagerId(_ANCIENT, "Update", owned.api_version)
            if bucket not in self:
                self[bucket] = self.pop(first[owned.api_version])
            self[bucket] = Owned(owned.api_version, union(owned.fields, self[bucket].fields), owned.time)
            del self[who]
            left -= 1


class ConflictsError(ApiError):
    """409: other managers own fields that a manager applies."""

    def __init__(self, conflicts: Iterable[Conflict]) -> None:
        self.conflicts = list(conflicts)
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
            for manager, path in self.conflicts
        ]
        super().__init__(409, "Conflict", _message(self.conflicts), details={"causes": causes})

    def outside(self, fields: FieldSet) -> list[Conflict]:
        """Returns the conflicts about fields that are not in a set."""
        paths = set(set_paths(fields))
        return [each for each in self.conflicts if each.path not in paths]


def _message(conflicts: list[Conflict]) -> str:
    if len(conflicts) == 1:
        return f"Apply failed with 1 conflict: conflict with {conflicts[0].manager}: {conflicts[0].path}"
    lines = []
    for manager in dict.fromkeys(each.manager for each in conflicts):
        lines.append(f"conflicts with {manager}:")
        lines += [f"- {path}" for other, path in conflicts if other == manager]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)


def _without(found: Comparison, fields: FieldSet) -> Comparison:
    return Comparison(*(difference(each, fields, recursive=True) for each in found)) if fields else found


def _named(type_: FieldType, obj: Any) -> FieldSet:
    return with_named_fields(type_, field_set(type_, obj))


def entry_order(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the sort key of an entry of managedFields."""
    names = ("operation", "time", "manager", "apiVersion", "subresource")
    return tuple(str(entry.get(name) or "") for name in names)
