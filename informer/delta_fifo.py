"""The queue that groups by key: what happened to one object comes out together, at the place of its first delta.

Comes in: deltas from reflectors. Goes out: for each key once, the deltas since it was last popped.
"""

from __future__ import annotations

import queue
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Protocol

from typing_extensions import TypeVar

from informer.deltas import Delta, DeltaType, InitialSync
from informer.errors import QueueClosedError
from informer.keys import DeletedFinalStateUnknown, meta_namespace_key, namespace_of
from watch.concurrency import Monitor

__all__ = ["DeltaFIFO", "KnownObjects"]

R = TypeVar("R")


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


class DeltaFIFO:
    """See the module; `informer.deltas.Queue` says what each method does.

    Args:
        key_func: makes an object's key.
        known_objects: looked at, and never changed, to find what a list no longer has and what a resync shows; its lock
            comes after this queue's.
        emit_replaced: whether what a list brings is REPLACED, as against SYNC, which a resync gives too.
        transform: called once with each object before it is queued; never with a `DeletedFinalStateUnknown`.
        namespaces: has synced only when each of these had its list; None for one list of all.
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
        namespaces: Collection[str] | None = None,
        bookmark_replaces: bool = False,
    ) -> None:
        self._key_func = key_func
        self._known = known_objects
        self._replaced_type = DeltaType.REPLACED if emit_replaced else DeltaType.SYNC
        self._transform = transform
        self._bookmark_replaces = bookmark_replaces
        self._monitor = Monitor()
        # What waits, by key, in the order in which the keys began to wait. Guarded by _monitor, as are the others.
        self._items: OrderedDict[Any, list[Delta]] = OrderedDict()
        self._initial = InitialSync(namespaces)
        self._initial_left: set[Any] = set()  # keys of first lists that were not popped yet
        self._closed = False

    def add(self, obj: Any) -> None:
        """See `Queue.add`."""
        self.apply((Delta(DeltaType.ADDED, obj),))

    def update(self, obj: Any) -> None:
        """See `Queue.update`."""
        self.apply((Delta(DeltaType.UPDATED, obj),))

    def delete(self, obj: Any) -> None:
        """See `Queue.delete`; an object that neither the queue nor the consumer knows is not queued."""
        self.apply((Delta(DeltaType.DELETED, obj),))

    def bookmark(self, resource_version: str) -> None:
        """See `Queue.bookmark`."""
        self.apply((Delta(DeltaType.BOOKMARK, resource_version),))

    def apply(self, deltas: Iterable[Delta]) -> None:
        """Queues a batch of adds, updates, deletes and bookmarks under one lock."""
        keyed = [
            (_Bookmark() if delta.type is DeltaType.BOOKMARK else self.key_of(delta.object), self._transformed(delta))
            for delta in deltas
        ]
        with self._monitor:
            for key, delta in keyed:
                if delta.type is not DeltaType.BOOKMARK:
                    self._initial.added()
                if delta.type is not DeltaType.DELETED or self._is_known_locked(key):
                    self._queue_locked(key, delta)
            self._monitor.notify()

    def replace(self, items: Iterable[Any], resource_version: str, namespace: str | None = None) -> None:
        """See `Queue.replace`: a delta for each item, and a DELETED for each object that is no longer there.

        Args:
            items: all objects there are.
            resource_version: of the list.
            namespace: where the items are all objects of one namespace only; None for everything.
        """
        keyed = [(self.key_of(item), self._transformed(Delta(self._replaced_type, item))) for item in items]
        with self._monitor:
            queued: dict[Any, None] = {}
            for key, delta in keyed:
                self._queue_locked(key, delta)
                queued[key] = None
            for key, last_known in [*self._gone_locked(queued, namespace)]:
                self._queue_locked(key, Delta(DeltaType.DELETED, DeletedFinalStateUnknown(key, last_known)))
                queued[key] = None
            if self._bookmark_replaces:
                mark = _Bookmark()
                self._queue_locked(mark, Delta(DeltaType.BOOKMARK, resource_version))
                queued[mark] = None
            fresh = [key for key in queued if key not in self._initial_left]
            if self._initial.replaced(len(fresh), namespace):
                self._initial_left.update(fresh)
            self._monitor.notify()

    def resync(self) -> None:
        """See `Queue.resync`: a SYNC for each known object about which nothing waits."""
        if self._known is None:
            return
        with self._monitor:
            for key in self._known.list_keys():
                obj = self._known.get_by_key(key)
                if obj is not None and key not in self._items:
                    self._queue_locked(key, Delta(DeltaType.SYNC, obj))
            self._monitor.notify()

    def pop(self, process: Callable[[list[Delta], bool], R], timeout: float | None = None) -> R:
        """See `Queue.pop`."""
        return self.pop_batch(lambda pairs: process(*pairs[0]), 1, timeout)

    def pop_batch(
        self,
        process: Callable[[list[tuple[list[Delta], bool]]], R],
        max_items: int = 1000,
        timeout: float | None = None,
    ) -> R:
        """See `Queue.pop_batch`."""
        if max_items < 1:
            raise ValueError(f"max_items must be at least 1, not {max_items}")
        with self._monitor:
            if not self._monitor.wait_for(lambda: self._items or self._closed, timeout):
                raise queue.Empty
            if not self._items:
                raise QueueClosedError("DeltaFIFO: manipulating with closed queue")
            pairs, initial_items = self._take_locked(max_items)
        try:
            return process(pairs)
        finally:
            if initial_items:
                with self._monitor:
                    self._initial.handled(initial_items)

    def has_synced(self) -> bool:
        """See `Queue.has_synced`."""
        return self._initial.done

    def close(self) -> None:
        """See `Queue.close`."""
        with self._monitor:
            self._closed = True
            self._monitor.notify_all()

    def is_closed(self) -> bool:
        """See `Queue.is_closed`."""
        return self._closed

    def key_of(self, obj: Any) -> str:
        """The key of an object, of a `DeletedFinalStateUnknown`, or of a non-empty list of deltas.

        Raises:
            ValueError: the list is empty.
            KeyFuncError: the object has no key.
        """
        if isinstance(obj, list):
            if not obj:
                raise ValueError("0 length Deltas object; can't get key")
            obj = obj[-1].object
        return obj.key if isinstance(obj, DeletedFinalStateUnknown) else self._key_func(obj)

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return True

    def _transformed(self, delta: Delta) -> Delta:
        if self._transform is None or delta.type is DeltaType.BOOKMARK:
            return delta
        if isinstance(delta.object, DeletedFinalStateUnknown):
            return delta
        return Delta(delta.type, self._transform(delta.object))

    def _is_known_locked(self, key: Any) -> bool:
        return key in self._items or (self._known is not None and self._known.get_by_key(key) is not None)

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

    def _gone_locked(self, listed: Collection[Any], namespace: str | None) -> Iterator[tuple[str, Any]]:
        """The keys that wait or are known and are not in a list, each with its last known state."""
        for key, deltas in self._items.items():
            if isinstance(key, _Bookmark) or key in listed:
                continue
            last = deltas[-1].object
            if isinstance(last, DeletedFinalStateUnknown):
                last = last.obj
            if _is_in(last, namespace):
                yield key, last
        for key in self._known.list_keys() if self._known is not None else ():
            if key not in listed and key not in self._items:
                last = self._known.get_by_key(key) if self._known is not None else None
                if _is_in(last, namespace):
                    yield key, last

    def _take_locked(self, max_items: int) -> tuple[list[tuple[list[Delta], bool]], int]:
        pairs: list[tuple[list[Delta], bool]] = []
        initial_items = 0
        is_in_initial_list = not self._initial.done
        items = self._items
        while items and len(pairs) < max_items:
            key, deltas = items.popitem(last=False)
            if is_in_initial_list:
                if key in self._initial_left:
                    self._initial_left.discard(key)
                    initial_items += 1
                elif pairs and not self._initial_left:
                    # The first list is complete with what was taken; what follows it is popped by itself.
                    items[key] = deltas
                    items.move_to_end(key, last=False)
                    break
            pairs.append((deltas, is_in_initial_list))
        return pairs, initial_items


def _is_in(obj: Any, namespace: str | None) -> bool:
    if namespace is None:
        return True
    try:
        return namespace_of(obj) == namespace
    except Exception:
        return False
