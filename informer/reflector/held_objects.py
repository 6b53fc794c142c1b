"""Bounds the number of objects that a reflector's target holds. No I/O."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from informer.cache.store import Store
from informer.objects.keys import DeletedFinalStateUnknown
from informer.queues.delta import BOOKMARK, DELETED, Delta

__all__ = ["HeldObjects", "count_of"]

Count = Callable[[str | None], int]
"""Returns the number of stored objects, of one namespace or, for None, of all."""


def count_of(target: object) -> Count | None:
    """Returns the function that counts a target's objects; None if the target cannot tell."""
    return target.records.count if isinstance(target, Store) else None


class HeldObjects:
    """Bounds the number of objects that a target holds.

    Events alone do not tell the number: a server may delete objects that do not exist, or modify such that were never added.
    So each change of a batch counts as a new object at first. Once the bound may be exceeded, the target's objects are
    counted. A target that cannot tell, such as a user's own queue, has the keys of its objects remembered here.

    Args:
        limit: the most objects; None for no limit.
        namespace: the namespace whose objects count; None for all.
        count: counts the objects that the target holds; None remembers their keys.
        key_of: returns an object's key.
    """

    def __init__(
        self, limit: int | None, namespace: str | None, count: Count | None, key_of: Callable[[Any], str]
    ) -> None:
        self._limit = limit
        self._namespace = namespace
        self._count = count
        self._key_of = key_of
        self._most = 0  # at least the number of objects that the target holds
        self._keys: set[str] = set()

    def listed(self, items: Sequence[Any]) -> None:
        """Records a list, which has replaced the target's content."""
        self._most = len(items)
        if self._limit is not None and self._count is None:
            self._keys = set()
            for item in items:
                with contextlib.suppress(Exception):  # without a key it was not stored
                    self._keys.add(self._key_of(item))

    def are_too_many_with(self, deltas: Sequence[Delta]) -> bool:
        """Records a batch that was stored, and returns whether the target holds too many objects now."""
        if self._limit is None:
            return False
        self._most += len(deltas)
        if self._count is None:
            self._remember(deltas)
        if self._most > self._limit:
            self._most = len(self._keys) if self._count is None else self._count(self._namespace)
        return self._most > self._limit

    def _remember(self, deltas: Iterable[Delta]) -> None:
        for delta in deltas:
            obj = delta.object
            if delta.type is BOOKMARK:
                continue
            with contextlib.suppress(Exception):
                key = obj.key if isinstance(obj, DeletedFinalStateUnknown) else self._key_of(obj)
                (self._keys.discard if delta.type is DELETED else self._keys.add)(key)
