"""The queue that groups by key: what happened to one object comes out together, at the place of its first delta.

Comes in: deltas from reflectors. Goes out: for each key once, the deltas since it was last popped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from informer.objects.keys import DeletedFinalStateUnknown, meta_namespace_key, namespace_of
from informer.queues.delta import Delta, DeltaType
from informer.queues.fifo import FIFO, Pair

__all__ = ["DeltaFIFO", "KnownObjects"]


class KnownObjects(Protocol):
    """What the consumer of a `DeltaFIFO` knows already."""

    def list_keys(self) -> list[str]:
        """All keys."""
        ...

    def get_by_key(self, key: str) -> Any:
        """The object of a key, or None."""
        ...


class _Bookmark:
    """The key under which a bookmark waits: no other is equal to it."""

    __slots__ = ()


class DeltaFIFO(FIFO):
    """See the module; `informer.queues.delta.Queue` says what each method does.

    An object's delete is not queued if nobody knows the object: neither the queue, nor the process function that has it
    in hand, nor the consumer.

    Args:
        key_func: makes an object's key.
        known_objects: looked at, and never changed, to find what a list no longer has and what a resync shows; its lock
            comes after this queue's.
        emit_replaced: whether what a list brings is REPLACED, as against SYNC, which a resync gives too.
        transform: called with each object before it is queued; see `FIFO`.
        bookmark_replaces: whether each list is followed by a BOOKMARK with its resourceVersion.

    Threads: any; `pop` and `pop_batch` block. Source: client-go tools/cache DeltaFIFO.
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
        self._replaced_type = DeltaType.REPLACED if emit_replaced else DeltaType.SYNC
        self._bookmark_replaces = bookmark_replaces
        # What waits, by key, in the order in which the keys began to wait. Guarded by _monitor, as are the others.
        self._items: OrderedDict[Any, list[Delta]] = OrderedDict()
        self._initial_left: set[Any] = set()  # keys of first lists that were not popped yet
        # What was popped and is not yet processed, by the id of the popped batch: the last delta of each key. The consumer
        # does not show these yet, so that for what is known they count as if they still waited.
        self._in_hand: dict[int, dict[Any, Delta]] = {}

    def apply(self, deltas: Iterable[Delta]) -> None:
        """See `FIFO.apply`."""
        given = deltas if isinstance(deltas, (list, tuple)) else list(deltas)
        keys = self._keys_of(given)
        items = self._transformed(given)
        with self._monitor:
            for key, delta in zip(keys, items, strict=True):
                if delta.type is not DeltaType.DELETED or self._is_known_locked(key):
                    self._queue_locked(key, delta)
            if any(delta.type is not DeltaType.BOOKMARK for delta in items):
                self._initial.added()
            self._monitor.notify_all()

    def replace(self, items: Iterable[Any], resource_version: str, namespace: str | None = None) -> None:
        """See `Queue.replace`: a delta for each item, and a DELETED for each object that is no longer there.

        Args:
            items: all objects there are.
            resource_version: of the list.
            namespace: where the items are all objects of one namespace only; None for everything.
        """
        given = [Delta(self._replaced_type, item) for item in items]
        keys = self._keys_of(given)
        deltas = self._transformed(given)
        with self._monitor:
            queued: dict[Any, None] = {}
            for key, delta in zip(keys, deltas, strict=True):
                self._queue_locked(key, delta)
                queued[key] = None
            for key, last_known in self._gone_locked(queued, namespace).items():
                self._queue_locked(key, Delta(DeltaType.DELETED, DeletedFinalStateUnknown(key, last_known)))
                queued[key] = None
            if self._bookmark_replaces:
                mark = _Bookmark()
                self._queue_locked(mark, Delta(DeltaType.BOOKMARK, resource_version))
                queued[mark] = None
            fresh = [key for key in queued if key not in self._initial_left]
            if self._initial.replaced(len(fresh), namespace):
                self._initial_left.update(fresh)
            self._monitor.notify_all()

    def resync(self) -> None:
        """See `Queue.resync`: a SYNC for each known object about which nothing waits."""
        if self._known is None:
            return
        with self._monitor:
            for key in self._known.list_keys():
                obj = self._known.get_by_key(key)
                if obj is not None and key not in self._items and self._in_hand_locked(key) is None:
                    self._queue_locked(key, Delta(DeltaType.SYNC, obj))
            self._monitor.notify_all()

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
        self._in_hand[id(pairs)] = {key: deltas[-1] for key, deltas in taken.items()}
        return pairs

    def _processed_locked(self, pairs: list[Pair]) -> None:
        del self._in_hand[id(pairs)]

    def _keys_of(self, deltas: Iterable[Delta]) -> list[Any]:
        key_func = self._key_func
        keys: list[Any] = []
        for delta in deltas:
            if delta.type is DeltaType.BOOKMARK:
                keys.append(_Bookmark())
            elif isinstance(delta.object, DeletedFinalStateUnknown):
                keys.append(delta.object.key)
            else:
                keys.append(key_func(delta.object))
        return keys

    def _in_hand_locked(self, key: Any) -> Delta | None:
        return next((batch[key] for batch in self._in_hand.values() if key in batch), None)

    def _is_known_locked(self, key: Any) -> bool:
        if key in self._items or self._in_hand_locked(key) is not None:
            return True
        return self._known is not None and self._known.get_by_key(key) is not None

    def _queue_locked(self, key: Any, delta: Delta) -> None:
        waiting = self._items.get(key)
        if waiting is None:
            self._items[key] = [delta]
        elif waiting[-1].type is DeltaType.DELETED and delta.type is DeltaType.DELETED:
            # Of two deletes in a row the one that knows the object's last state is kept.
            if isinstance(waiting[-1].object, DeletedFinalStateUnknown):
                waiting[-1] = delta
        else:
            waiting.append(delta)

    def _gone_locked(self, listed: Collection[Any], namespace: str | None) -> dict[str, Any]:
        """The keys that are known and not in a list, each with its last known state."""
        states: dict[str, Any] = {}
        if self._known is not None:
            for key in self._known.list_keys():
                if key not in listed:
                    states[key] = self._known.get_by_key(key)
        for batch in self._in_hand.values():
            for key, delta in batch.items():
                if delta.type is DeltaType.DELETED:
                    states.pop(key, None)
                elif key not in listed:
                    states[key] = delta.object
        for key, deltas in self._items.items():
            if key not in listed:
                last = deltas[-1].object
                states[key] = last.obj if isinstance(last, DeletedFinalStateUnknown) else last
        return {key: last for key, last in states.items() if not isinstance(key, _Bookmark) and _is_in(last, namespace)}


def _is_in(obj: Any, namespace: str | None) -> bool:
    if namespace is None:
        return True
    try:
        return namespace_of(obj) == namespace
    except Exception:
        return False
