"""The queue that keeps the server's order: every delta by itself, a relist as one.

Comes in: deltas from reflectors. Goes out: the same in the same order. It never looks at the cache: a relist is one
REPLACED_ALL and a resync one SYNC_ALL, and whoever applies them compares.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any

from typing_extensions import TypeVar

from informer.deltas import Delta, DeltaType, InitialSync, ReplacedAll
from informer.errors import QueueClosedError
from informer.keys import DeletedFinalStateUnknown, meta_namespace_key
from watch.concurrency import Monitor

__all__ = ["InOrderFIFO"]

R = TypeVar("R")


class InOrderFIFO:
    """See the module; `informer.deltas.Queue` says what each method does.

    Args:
        key_func: makes an object's key, for `key_of`.
        transform: called once with each object before it is queued; never with a `DeletedFinalStateUnknown`.
        namespaces: has synced only when each of these had its list; None for one list of all.

    Threads: any; `pop` and `pop_batch` block. Source: client-go tools/cache RealFIFO, in its atomic form.
    """

    def __init__(
        self,
        key_func: Callable[[Any], str] = meta_namespace_key,
        *,
        transform: Callable[[Any], Any] | None = None,
        namespaces: Collection[str] | None = None,
    ) -> None:
        self._key_func = key_func
        self._transform = transform
        self._monitor = Monitor()
        # Deltas, each with whether it belongs to the initial list; guarded by _monitor, as are the others.
        self._items: deque[tuple[Delta, bool]] = deque()
        self._initial = InitialSync(namespaces)
        self._closed = False

    def add(self, obj: Any) -> None:
        """See `Queue.add`."""
        self.apply((Delta(DeltaType.ADDED, obj),))

    def update(self, obj: Any) -> None:
        """See `Queue.update`."""
        self.apply((Delta(DeltaType.UPDATED, obj),))

    def delete(self, obj: Any) -> None:
        """See `Queue.delete`; also takes a `DeletedFinalStateUnknown`."""
        self.apply((Delta(DeltaType.DELETED, obj),))

    def bookmark(self, resource_version: str) -> None:
        """See `Queue.bookmark`."""
        self.apply((Delta(DeltaType.BOOKMARK, resource_version),))

    def apply(self, deltas: Iterable[Delta]) -> None:
        """Queues a batch of adds, updates, deletes and bookmarks under one lock."""
        items = [(self._transformed(delta), False) for delta in deltas]
        with self._monitor:
            self._items.extend(items)
            if any(delta.type is not DeltaType.BOOKMARK for delta, _ in items):
                self._initial.added()
            self._monitor.notify()

    def replace(self, items: Iterable[Any], resource_version: str, namespace: str | None = None) -> None:
        """See `Queue.replace`: one REPLACED_ALL, whose object has `items`, `resource_version` and `namespace`.

        Args:
            items: all objects there are.
            resource_version: of the list.
            namespace: where the items are all objects of one namespace only; None for everything.
        """
        transform = self._transform
        replaced = ReplacedAll(
            list(items) if transform is None else [transform(item) for item in items], resource_version, namespace
        )
        with self._monitor:
            initial = self._initial.replaced(1, namespace)
            self._items.append((Delta(DeltaType.REPLACED_ALL, replaced), initial))
            self._monitor.notify()

    def resync(self) -> None:
        """See `Queue.resync`: one SYNC_ALL."""
        with self._monitor:
            self._items.append((Delta(DeltaType.SYNC_ALL, None), False))
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
            items = self._items
            if not items:
                raise QueueClosedError("InOrderFIFO: manipulating with closed queue")
            if len(items) <= max_items:
                taken = list(items)
                items.clear()
            else:
                taken = list(islice(items, max_items))
                for _ in taken:
                    items.popleft()
        try:
            return process([([delta], initial) for delta, initial in taken])
        finally:
            initial_items = sum(initial for _, initial in taken)
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
        """The key of an object, of a `DeletedFinalStateUnknown`, or of a non-empty list of deltas."""
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
