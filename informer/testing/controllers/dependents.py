"""Which objects name which owners. No I/O, no locks: callers hold the storage's lock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from informer.testing.storage.storage import Stored

__all__ = ["Dependents", "Item", "owner_references"]

_MARK = b'"ownerReferences"'


class Item(NamedTuple):
    """One object, as a key of the work queue."""

    bucket: str
    key: str
    uid: str


def owner_references(stored: Stored | None) -> list[Mapping[str, Any]]:
    """Returns an object's owner references."""
    if stored is None or _MARK not in stored.body:
        return []
    return [each for each in stored.to_dict()["metadata"].get("ownerReferences") or () if _names_owner(each)]


def _names_owner(reference: Mapping[str, Any]) -> bool:
    """Whether a reference is complete; method calls can store others, which name no owner."""
    return all(isinstance(reference.get(name), str) for name in ("apiVersion", "kind", "name", "uid"))


class Dependents:
    """The dependents of each owner, and whether each of them blocks the owner's deletion."""

    def __init__(self) -> None:
        self._by_owner: dict[str, dict[Item, bool]] = {}

    def of(self, owner: str) -> dict[Item, bool]:
        """Returns the dependents of the owner with a uid; true for those that block its deletion."""
        return dict(self._by_owner.get(owner, {}))

    def replace(self, item: Item, old: list[Mapping[str, Any]], new: list[Mapping[str, Any]]) -> None:
        """Records the present owner references of an object, given those that it had."""
        for reference in old:
            dependents = self._by_owner.get(reference["uid"], {})
            dependents.pop(item, None)
            if not dependents:
                self._by_owner.pop(reference["uid"], None)
        for reference in new:
            blocks = bool(reference.get("blockOwnerDeletion"))
            self._by_owner.setdefault(reference["uid"], {})[item] = blocks
