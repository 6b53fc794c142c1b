"""The queue that groups deltas by key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from informer.objects.keys import (
    DeletedFinalStateUnknown,
    NoLongerDecodes,
    last_state_of,
    meta_namespace_key,
    namespace_of,
)
from informer.queues.delta import BOOKMARK, DELETED, REPLACED, Delta, DeltaType
from informer.queues.fifo import FIFO, Pair

__all__ = ["DeltaFIFO", "KnownObjects"]


class KnownObjects(Protocol):
    """The cache of a `DeltaFIFO`'s consumer, as the queue reads it."""

    def list_keys(self) -> list[str]:
        """Returns all keys."""
        ...

    def get_by_key(self, key: str) -> Any:
        """Returns the object of a key, or None."""
        ...


class _Bookmark:
    """The key under which a bookmark is queued; it equals no other key."""

    __slots__ = ()


class DeltaFIFO(FIFO):
    """A queue of keys, each with its deltas since the last pop.

    A key keeps the place of its first delta. A delete of an unknown object is not queued: an object is known if it is queued,
    being processed, or among the known objects. `informer.queues.delta.Queue` documents the methods.

    Args:
        key_func: returns an object's key.
        known_objects: the consumer's cache; None for none. The queue reads it to find the objects that a list lacks and those
            that a resync queues. It does so under its own lock, so that the cache's lock is always taken second.
        emit_replaced: whether each object of a list is queued as REPLACED; otherwise as SYNC, as in a resync.
        transform: called with each object before it is queued; see `FIFO`.
        bookmark_replaces: whether each list is followed by a BOOKMARK with its resourceVersion.

    Threads: any; `pop` and `pop_batch` block.

    Source: client-go tools/cache DeltaFIFO.
    """

    def __init__(
        self,
        key_func: Callable[[Any], str] = meta_namespace_key,
        *,
        known_objects: KnownObjects | None = None,
        emit_replaced: bool = False,
        transform: Callable[[Any], Any] | None = None,
        bookmark_replaces: bool = False,
    ) -> None:
        super().__init__(key_func, transform)
        self._known = known_objects
        self._replaced_type = REPLACED if emit_replaced else DeltaType.SYNC
        self._bookmark_replaces = bookmark_replaces
        # By key, in the order in which the keys were queued. Guarded by _lock, as are the others.
        self._items: OrderedDict[Any, list[Delta]] = OrderedDict()
        self._initial_left: set[Any] = set()  # keys of first lists that are still queued
        # The last delta of each key that is being processed, by the id of the popped batch. The consumer has not stored these
        # yet, so they count as known objects.
        self._in_process: dict[int, dict[Any, Delta]] = {}

    def apply(self, deltas: Iterable[Delta]) -> None:
        """See `FIFO.apply`."""
        given = deltas if isinstance(deltas, (list, tuple)) else list(deltas)
        keys = self._keys_of(given)
        items = self._transformed(given)
        with self._lock:
            for key, delta in zip(keys, items, strict=True):
                if delta.type is not DELETED or self._is_known_locked(key):
                    self._queue_locked(key, delta)
            if not self._initial.done and any(delta.type is not BOOKMARK for delta in items):
                self._initial.added()
            self._queued_locked()

    def replace(
        self,
        items: Iterable[Any],
        resource_version: str,
        namespace: str | None = None,
        *,
        undecodable: Collection[str] = (),
    ) -> None:
        """See `Queue.replace`. Queues one delta per item, and a DELETED for each known object that the list lacks.

        Args:
            items: all objects that exist and decode.
            resource_version: of the list.
            namespace: the namespace whose objects these are; None if they are all objects of the resource.
            undecodable: the keys of the objects that exist and do not decode.
        """
        given = [Delta(self._replaced_type, item) for item in items]
        keys = self._keys_of(given)
        deltas = self._transformed(given)
        with self._lock:
            queued: dict[Any, None] = {}
            for key, delta in zip(keys, deltas, strict=True):
                self._queue_locked(key, delta)
                queued[key] = None
            for key, last_known in self._missing_locked(queued, namespace).items():
                tombstone = NoLongerDecodes if key in undecodable else DeletedFinalStateUnknown
                self._queue_locked(key, Delta(DELETED, tombstone(key, last_known)))
                queued[key] = None
            if self._bookmark_replaces:
                mark = _Bookmark()
                self._queue_locked(mark, Delta(BOOKMARK, resource_version))
                queued[mark] = None
            fresh = [key for key in queued if key not in self._initial_left]
            if self._initial.replaced(len(fresh), namespace):
                self._initial_left.update(fresh)
            self._queued_locked()

    def resync(self) -> None:
        """See `Queue.resync`. Queues a SYNC for each known object without queued or unprocessed deltas."""
        if self._known is None:
            return
        with self._lock:
            for key in self._known.list_keys():
                obj = self._known.get_by_key(key)
                if obj is not None and key not in self._items and self._in_process_locked(key) is None:
                    self._queue_locked(key, Delta(DeltaType.SYNC, obj))
            self._queued_locked()

    def __len__(self) -> int:
        return len(self._items)

    def _take_locked(self, max_items: int) -> list[Pair]:
        if len(self._items) <= max_items:
            taken, self._items = self._items, OrderedDict()
        else:
            taken = OrderedDict(self._items.popitem(last=False) for _ in range(max_items))
        left = self._initial_left
        pairs = [(deltas, key in left) for key, deltas in taken.items()]
        if left:
            left.difference_update(taken)
        self._in_process[id(pairs)] = {key: deltas[-1] for key, deltas in taken.items()}
        return pairs

    def _processed_locked(self, pairs: list[Pair]) -> None:
        del self._in_process[id(pairs)]

    def _keys_of(self, deltas: Iterable[Delta]) -> list[Any]:
        key_func = self._key_func
        keys: list[Any] = []
        for delta in deltas:
            if delta.type is BOOKMARK:
                keys.append(_Bookmark())
            elif isinstance(delta.object, DeletedFinalStateUnknown):
                keys.append(delta.object.key)
            else:
                keys.append(key_func(delta.object))
        return keys

    def _in_process_locked(self, key: Any) -> Delta | None:
        return next((batch[key] for batch in self._in_process.values() if key in batch), None)

    def _is_known_locked(self, key: Any) -> bool:
        if key in self._items or self._in_process_locked(key) is not None:
            return True
        return self._known is not None and self._known.get_by_key(key) is not None

    def _queue_locked(self, key: Any, delta: Delta) -> None:
        waiting = self._items.get(key)
        if waiting is None:
            self._items[key] = [delta]
        elif waiting[-1].type is DELETED and delta.type is DELETED:
            # Of two consecutive deletes, the one with the object's last state is kept.
            if isinstance(waiting[-1].object, DeletedFinalStateUnknown):
                waiting[-1] = delta
        else:
            waiting.append(delta)

    def _missing_locked(self, listed: Collection[Any], namespace: str | None) -> dict[str, Any]:
        """Returns the known keys that a list lacks, each with its last known state."""
        states: dict[str, Any] = {}
        if self._known is not None:
            for key in self._known.list_keys():
                if key not in listed:
                    states[key] = self._known.get_by_key(key)
        for batch in self._in_process.values():
            for key, delta in batch.items():
                if delta.type is DELETED:
                    states.pop(key, None)
                elif key not in listed:
                    states[key] = delta.object
        for key, deltas in self._items.items():
            if key not in listed:
                last = deltas[-1].object
                states[key] = last_state_of(last)
        return {key: last for key, last in states.items() if not isinstance(key, _Bookmark) and _is_in(last, namespace)}


def _is_in(obj: Any, namespace: str | None) -> bool:
    if namespace is None:
        return True
    try:
        return namespace_of(obj) == namespace
    except Exception:
        return False
