"""The first half of a write: all of the user's functions run on a batch, while no lock is held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from informer.cache.index import Index, IndexErrorHandler
from informer.cache.relist import is_same_state
from informer.objects.keys import DeletedFinalStateUnknown, key_by, meta_namespace_key
from informer.queues.delta import ADDED, BOOKMARK, DELETED, REPLACED, REPLACED_ALL, SYNC_ALL, UPDATED, Delta, DeltaType

__all__ = ["SETS", "Prepared", "Preparer"]

SETS = frozenset({ADDED, UPDATED, REPLACED, DeltaType.SYNC})
"""The types of deltas that store one object."""

# How many objects in a row may have been deleted before the order of a list is lost.
_NEAR = 8
_NO_CHANGE = frozenset({BOOKMARK, SYNC_ALL})


class Prepared:
    """A batch of deltas with all keys and index values, ready for `Records.commit`.

    Attributes:
        deltas: the batch.
        keys: the key of each delta's object; a list of keys for a REPLACED_ALL.
        values: the index values of each delta's object, one tuple per index; a list of these for a REPLACED_ALL.
        indexing: identifies the set of indices that the values belong to.
        relies_on: the number of commits at which the values of stored objects were reused, None if none were. One more
            commit makes the batch stale.
    """

    __slots__ = ("deltas", "indexing", "keys", "relies_on", "values")

    def __init__(
        self, deltas: Sequence[Delta], keys: list[Any], values: list[Any], indexing: object, relies_on: int | None
    ) -> None:
        self.deltas = deltas
        self.keys = keys
        self.values = values
        self.indexing = indexing
        self.relies_on = relies_on


class Preparer:
    """Runs the user's key and index functions on batches of deltas.

    Args:
        key_func: returns an object's key.
        unwrap: returns what index functions see of a stored object; None if that is the stored object itself.
        on_index_error: called when an index function raises; None raises `IndexFuncError` instead.
    """

    def __init__(
        self,
        key_func: Callable[[Any], str],
        unwrap: Callable[[Any], Any] | None,
        on_index_error: IndexErrorHandler | None,
    ) -> None:
        # meta_namespace_key raises the right errors by itself, and is called for every event.
        self.key_of: Callable[[Any], str] = key_func if key_func is meta_namespace_key else partial(key_by, key_func)
        self.unwrap = unwrap
        self._on_index_error = on_index_error

    def prepare(
        self,
        deltas: Sequence[Delta],
        indexing: object,
        indices: tuple[Index, ...],
        stored: Mapping[str, Any],
        commits: int | None,
    ) -> Prepared:
        """Returns the batch with its keys and index values.

        Args:
            deltas: the batch.
            indexing: identifies the set of indices.
            indices: the indices.
            stored: the stored objects by key. A list in the batch does not compute the index values of an object that is
                stored already; without any, it computes all.
            commits: the number of commits that led to `stored`; None if `stored` is empty for the purpose.

        Raises:
            KeyFuncError: an object has no key.
            IndexFuncError: an index function raised, and there is no `on_index_error`.
        """
        keys: list[Any] = []
        values: list[Any] = []
        relies_on = None
        key_of = self.key_of
        for delta in deltas:
            kind = delta.type
            obj = delta.object
            if kind in SETS:
                key = key_of(obj)
                keys.append(key)
                values.append(self.values(indices, obj, key) if indices else ())
            elif kind is DELETED:
                keys.append(obj.key if isinstance(obj, DeletedFinalStateUnknown) else key_of(obj))
                values.append(None)
            elif kind is REPLACED_ALL:
                known = {} if commits is None else stored
                of_items = self._keys_of_list(obj.items, known)
                values.append(self._values_of_list(indices, obj.items, of_items, known))
                keys.append(of_items)
                if indices and commits is not None:
                    relies_on = commits
            else:
                keys.append(None)
                values.append(None)
            if kind not in _NO_CHANGE:
                # A list later in the batch meets what this delta has stored, not what is stored now.
                commits = None
        return Prepared(deltas, keys, values, indexing, relies_on)

    def values(self, indices: tuple[Index, ...], obj: Any, key: str) -> tuple[tuple[Any, ...], ...]:
        """Returns the values of a stored object, one tuple per index. Raises `IndexFuncError` as `prepare` does."""
        on_error = self._on_index_error
        unwrap = self.unwrap
        if unwrap is None:
            return tuple([index.values_of(obj, key, on_error) for index in indices])
        memory: list[Any] = []

        def seen() -> Any:
            if not memory:
                memory.append(unwrap(obj))
            return memory[0]

        return tuple([index.values_of(obj, key, on_error, seen) for index in indices])

    def _keys_of_list(self, items: Sequence[Any], stored: Mapping[str, Any]) -> list[str]:
        """Returns the keys of a list's objects.

        Most objects are stored already, in the order of the list. Their keys are taken from the cache, since a million new
        strings would take 78 MB. An object that is stored elsewhere in the order, or has been deleted, is passed over.
        """
        if not stored:
            return [self.key_of(item) for item in items]
        known = list(stored)
        keys: list[str] = []
        at = 0
        for item in items:
            if at < len(known) and stored.get(known[at]) is item:
                key = known[at]
                at += 1
            else:
                key = self.key_of(item)
                near = known[at : at + _NEAR]
                if key in near:
                    at += near.index(key) + 1
                    key = known[at - 1]
            keys.append(key)
        return keys

    def _values_of_list(
        self, indices: tuple[Index, ...], items: Sequence[Any], keys: Sequence[str], stored: Mapping[str, Any]
    ) -> list[Any]:
        """Returns the index values of a list's objects; None for an object already stored, whose values are known."""
        if not indices:
            return [()] * len(keys)
        values: list[Any] = []
        for key, obj in zip(keys, items, strict=True):
            old = stored.get(key)
            values.append(None if old is not None and is_same_state(old, obj) else self.values(indices, obj, key))
        return values
