"""What both queues have in common: one lock, what waits under it, and the first list being counted down.

Comes in: deltas from reflectors. Goes out: pairs of deltas and whether they belong to the first list, to whoever pops.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

from typing_extensions import TypeVar

from informer.errors import QueueClosedError
from informer.objects.keys import DeletedFinalStateUnknown, key_by, meta_namespace_key
from informer.queues.delta import Delta, DeltaType, InitialSync
from watch.concurrency import Monitor

__all__ = ["FIFO", "Pair"]

R = TypeVar("R")

Pair = tuple[list[Delta], bool]
"""The deltas popped together, and whether they belong to the initial list."""


class FIFO:
    """Base of the queues; `informer.queues.delta.Queue` says what each method does.

    Args:
        key_func: makes an object's key.
        transform: called with each object before it is queued, never with a `DeletedFinalStateUnknown`. It is called once
            an object, but for those that were added in one batch with an object that it raised for: nothing of that batch
            is queued, and whoever tries the others again has them transformed again.

    Threads: any; `pop` and `pop_batch` block.
    """

    def __init__(self, key_func: Callable[[Any], str], transform: Callable[[Any], Any] | None) -> None:
        # Ours keeps its word, and is called for every event.
        self._key_func = key_func if key_func is meta_namespace_key else partial(key_by, key_func)
        self._transform = transform
        self._monitor = Monitor()
        self._initial = InitialSync()  # guarded by _monitor
        self._closed = False  # guarded by _monitor

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
        """Queues a batch of adds, updates, deletes and bookmarks under one lock; all of them, or none if it raises."""
        raise NotImplementedError

    def expect_namespaces(self, namespaces: Collection[str]) -> None:
        """Makes `has_synced` wait for a list of each of these, as against one of everything; before the first list."""
        with self._monitor:
            self._initial.expect(namespaces)

    def pop(self, process: Callable[[list[Delta], bool], R], timeout: float | None = None) -> R:
        """See `Queue.pop`."""
        return self.pop_batch(lambda pairs: process(*pairs[0]), 1, timeout)

    def pop_batch(self, process: Callable[[list[Pair]], R], max_items: int = 1000, timeout: float | None = None) -> R:
        """See `Queue.pop_batch`."""
        if max_items < 1:
            raise ValueError(f"max_items must be at least 1, not {max_items}")
        with self._monitor:
            if not self._monitor.wait_for(lambda: len(self) or self._closed, timeout):
                raise queue.Empty
            if not len(self):
                raise QueueClosedError(f"{type(self).__name__}: manipulating with closed queue")
            pairs = self._take_locked(max_items)
            # Counted now: `process` may do with the list what it likes.
            initial_items = 0 if self._initial.done else sum(initial for _, initial in pairs)
        try:
            return process(pairs)
        finally:
            with self._monitor:
                self._initial.handled(initial_items)
                self._processed_locked(pairs)

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
        raise NotImplementedError

    def __bool__(self) -> bool:
        return True

    def _take_locked(self, max_items: int) -> list[Pair]:
        """Takes the oldest, at most so many."""
        raise NotImplementedError

    def _processed_locked(self, pairs: list[Pair]) -> None:
        """What `_take_locked` gave has been processed."""

    def _transformed(self, deltas: Sequence[Delta]) -> Sequence[Delta]:
        transform = self._transform
        if transform is None:
            return deltas
        return [
            delta
            if delta.type is DeltaType.BOOKMARK or isinstance(delta.object, DeletedFinalStateUnknown)
            else Delta(delta.type, transform(delta.object))
            for delta in deltas
        ]
