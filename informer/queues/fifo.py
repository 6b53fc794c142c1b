"""The base of both queues: one lock, pops in batches, and the progress of the first list."""

from __future__ import annotations

import queue
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

from typing_extensions import TypeVar

from informer.arguments import check_function
from informer.errors import QueueClosedError
from informer.objects.keys import DeletedFinalStateUnknown, key_by, meta_namespace_key
from informer.queues.delta import Delta, DeltaType, InitialSync
from watch.concurrency import Lock, Monitor

__all__ = ["BATCH_SIZE", "FIFO", "Pair", "Run"]

R = TypeVar("R")

BATCH_SIZE = 1000
"""The most items that are taken in one batch."""

Pair = tuple[list[Delta], bool]
"""The deltas that are popped together, and whether they belong to the initial list."""

Run = tuple[list[Delta], bool]
"""Consecutive deltas, of any number of keys, and whether they belong to the initial list."""


class FIFO:
    """Base of the queues; `informer.queues.delta.Queue` documents the methods.

    Args:
        key_func: returns an object's key.
        transform: called once with each object, before it is queued; never with a `DeletedFinalStateUnknown`. None for no
            transform. If it raises for one object of a batch, nothing of the batch is queued. A caller that queues the other
            objects again has them transformed again.

    Threads: any; `pop` and `pop_batch` block.
    """

    def __init__(self, key_func: Callable[[Any], str], transform: Callable[[Any], Any] | None) -> None:
        check_function("transform", transform, 1, or_none=True)
        # Only a user's function needs the check that it returns a str, which costs time for every event.
        self._key_func = key_func if key_func is meta_namespace_key else partial(key_by, key_func)
        self._transform = transform
        self._lock = Lock()
        self._filled = Monitor(self._lock)  # notified when something is queued, and when the queue is closed
        self._poppers = 0  # threads that wait in pop_batch; guarded by _lock
        self._initial = InitialSync()  # guarded by _lock
        self._closed = False  # guarded by _lock

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
        """Queues a batch of adds, updates, deletes and bookmarks under one lock. If it raises, nothing is queued."""
        raise NotImplementedError

    def expect_namespaces(self, namespaces: Collection[str]) -> None:
        """Makes `has_synced` wait for one list per namespace instead of a single one. Call it before the first list."""
        with self._lock:
            self._initial.expect(namespaces)

    def pop(self, process: Callable[[list[Delta], bool], R], timeout: float | None = None) -> R:
        """See `Queue.pop`."""
        return self.pop_batch(lambda pairs: process(*pairs[0]), 1, timeout)

    def pop_batch(
        self, process: Callable[[list[Pair]], R], max_items: int = BATCH_SIZE, timeout: float | None = None
    ) -> R:
        """See `Queue.pop_batch`."""
        if max_items < 1:
            raise ValueError(f"max_items must be at least 1, not {max_items}")
        with self._lock:
            if not len(self) and not self._closed:
                self._wait_locked(timeout)
            if not len(self):
                raise QueueClosedError(f"{type(self).__name__}: manipulating with closed queue")
            pairs = self._take_locked(max_items)
            # Counted before `process`, which may change the list.
            initial_items = 0 if self._initial.done else sum(initial for _, initial in pairs)
        try:
            return process(pairs)
        finally:
            with self._lock:
                self._initial.handled(initial_items)
                self._processed_locked(pairs)

    def take(self, process: Callable[[Run], object]) -> None:
        """Passes everything that is queued to `process`, one batch at a time, without waiting.

        It is cheaper than `pop_batch`, and is for a consumer that applies whole batches, as a controller does.

        Args:
            process: called with each `Run`, without the lock; not called if nothing is queued.
        """
        while len(self):
            with self._lock:
                pairs = self._take_locked(BATCH_SIZE)
                initial_items = 0 if self._initial.done else sum(initial for _, initial in pairs)
            try:
                for run in _runs(pairs, initial_items):
                    process(run)
            finally:
                with self._lock:
                    self._initial.handled(initial_items)
                    self._processed_locked(pairs)

    def has_synced(self) -> bool:
        """See `Queue.has_synced`."""
        return self._initial.done

    def close(self) -> None:
        """See `Queue.close`."""
        with self._lock:
            self._closed = True
            self._filled.notify_all()

    def is_closed(self) -> bool:
        """See `Queue.is_closed`."""
        return self._closed

    def key_of(self, obj: Any) -> str:
        """Returns the key of an object, of a `DeletedFinalStateUnknown`, or of a non-empty list of deltas.

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

    def _wait_locked(self, timeout: float | None) -> None:
        self._poppers += 1
        try:
            if not self._filled.wait_for(lambda: len(self) or self._closed, timeout):
                raise queue.Empty
        finally:
            self._poppers -= 1

    def _queued_locked(self) -> None:
        """Wakes the threads that wait in `pop_batch`. In an informer there are none: its reader thread uses `take`."""
        if self._poppers:
            self._filled.notify_all()

    def _take_locked(self, max_items: int) -> list[Pair]:
        """Removes and returns the oldest pairs, at most `max_items`."""
        raise NotImplementedError

    def _processed_locked(self, pairs: list[Pair]) -> None:
        """Called once the pairs that `_take_locked` returned have been processed."""

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


def _runs(pairs: list[Pair], initial_items: int) -> list[Run]:
    """Joins pairs that belong together."""
    if initial_items in (0, len(pairs)):
        return [([delta for deltas, _ in pairs for delta in deltas], initial_items > 0)] if pairs else []
    groups = groupby(pairs, key=itemgetter(1))
    return [([delta for deltas, _ in group for delta in deltas], is_initial) for is_initial, group in groups]
