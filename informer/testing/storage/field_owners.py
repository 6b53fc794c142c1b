"""The owners of fields: reads and writes `metadata.managedFields`, and decides who owns what after a write. No I/O.

Source: structured-merge-diff merge/update.go; apimachinery pkg/util/managedfields/internal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from informer.testing.storage.field_sets import FieldSet, Path, in_order, outside, read_set, shown_path, written_set
from informer.testing.storage.field_types import FieldType
from informer.testing.storage.field_walks import compare, field_set, merge, with_named_fields, without
from informer.testing.storage.json_values import is_same
from watch.errors import ApiError

__all__ = ["WITHOUT_OWNER", "ConflictsError", "FieldOwners", "ManagerId", "OwnedWrite"]

_SET_BY_SERVER = (
    *("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation"),
    *("managedFields", "resourceVersion"),
)
WITHOUT_OWNER: FieldSet = {
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(("f:metadata", f"f:{name}") for name in _SET_BY_SERVER),
}
"""Fields that have no owner."""


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
        version = "" if entry["operation"] == "Apply" else entry["apiVersion"]
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


class OwnedWrite(NamedTuple):
    """A write, as far as the ownership of fields depends on it."""

    who: ManagerId
    version: str
    """The apiVersion of the objects."""
    resets: FieldSet
    """Fields that the endpoint does not change."""
    now: str | None
    """The present time; None for an endpoint that gives entries no times."""


class Conflict(NamedTuple):
    """A field that another manager owns."""

    manager: ManagerId
    path: Path


class FieldOwners(dict[ManagerId, Owned]):
    """The managers of one object, and the fields that each owns."""

    @classmethod
    def read(cls, entries: Iterable[Any]) -> FieldOwners:
        """Returns the owners in `metadata.managedFields`.

        Raises:
            ValueError: an entry is not valid.
        """
        owners = cls()
        for entry in entries:
            texts = (entry.get(name, "") for name in ("manager", "operation", "apiVersion", "subresource", "time"))
            if (
                not all(isinstance(text, str | None) for text in texts)
                or not entry.get("apiVersion")
                or entry.get("operation") not in ("Apply", "Update")
                or entry.get("fieldsType") != "FieldsV1"
            ):
                raise ValueError(f"{entry!r} is not an entry of managedFields")
            fields = read_set(entry.get("fieldsV1"))
            owners[ManagerId.of(entry)] = Owned(entry["apiVersion"], fields, entry.get("time"))
        return owners

    def entries(self) -> list[dict[str, Any]]:
        """Returns the owners as `metadata.managedFields` has them."""
        made = []
        for who, owned in self.items():
            entry = {"manager": who.manager, "operation": who.operation, "apiVersion": owned.api_version}
            made.append(
                {key: value for key, value in entry.items() if value}
                | ({"time": owned.time} if owned.time else {})
                | {"fieldsType": "FieldsV1", "fieldsV1": written_set(owned.fields)}
                | ({"subresource": who.subresource} if who.subresource else {})
            )
        order = ("operation", "time", "manager", "apiVersion", "subresource")
        return sorted(made, key=lambda entry: [str(entry.get(name) or "") for name in order])

    def updated(self, type_: FieldType, old: Any, new: Any, write: OwnedWrite) -> None:
        """Records that a manager has changed an object.

        Args:
            type_: the object's type.
            old: the object before.
            new: the object after.
            write: who writes, and where.
        """
        changed, removed = _changes(type_, old, new, write.resets)
        self._disown(changed | removed)
        self.add(changed - WITHOUT_OWNER, write)

    def add(self, fields: FieldSet, write: OwnedWrite) -> None:
        """Records that a manager owns these fields, too."""
        if fields:
            known = self.get(write.who)
            self[write.who] = Owned(write.version, known.fields | fields if known else fields, write.now)

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
        who, last = write.who, self.pop(write.who, None)
        mine = outside(field_set(type_, wanted), write.resets)
        merged = merge(type_, live, wanted)
        if last is not None:
            # What the manager does not apply any more is removed, unless it has another owner.
            owned = set(mine).union(*(each.fields for each in self.values()))
            gone = with_named_fields(type_, last.fields) - with_named_fields(type_, owned)
            merged = without(type_, merged, gone)
        changed, removed = _changes(type_, live, merged, write.resets)
        conflicts = [
            Conflict(manager, path)
            for manager in sorted(self, key=lambda each: each.rank)
            for path in in_order(self[manager].fields & changed)
        ]
        if conflicts and not force:
            raise ConflictsError(conflicts)
        self._disown(changed | removed)
        mine = mine - WITHOUT_OWNER
        if mine:
            before = last.time if last else None
            self[who] = Owned(write.version, mine, before if is_same(merged, live) else write.now)
        return merged

    def _disown(self, fields: FieldSet) -> None:
        for manager, owned in list(self.items()):
            rest = owned.fields - fields
            if not rest:
                del self[manager]
            elif len(rest) < len(owned.fields):
                self[manager] = owned._replace(fields=rest)


class ConflictsError(ApiError):
    """409: other managers own fields that a manager applies."""

    def __init__(self, conflicts: Iterable[Conflict]) -> None:
        self.conflicts = list(conflicts)
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": shown_path(path)}
            for manager, path in self.conflicts
        ]
        super().__init__(409, "Conflict", _message(self.conflicts), details={"causes": causes})


def _message(conflicts: list[Conflict]) -> str:
    if len(conflicts) == 1:
        (manager, path), *_ = conflicts
        return f"Apply failed with 1 conflict: conflict with {manager}: {shown_path(path)}"
    lines = []
    for manager in dict.fromkeys(each.manager for each in conflicts):
        lines.append(f"conflicts with {manager}:")
        lines += [f"- {shown_path(path)}" for other, path in conflicts if other == manager]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)


def _changes(type_: FieldType, old: Any, new: Any, resets: FieldSet) -> tuple[FieldSet, FieldSet]:
    """Returns the fields that a write has set, and those that it has removed."""
    found = compare(type_, old, new)
    return outside(found.modified | found.added, resets), outside(found.removed, resets)
