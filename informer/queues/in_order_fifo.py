"""The queue that keeps the order of arrival: one item per delta, and one item for a whole relist."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from informer.objects.keys import meta_namespace_key
from informer.queues.delta import BOOKMARK, REPLACED_ALL, SYNC_ALL, Delta, ReplacedAll
from informer.queues.fifo import BATCH_SIZE, FIFO, Pair, Run

__all__ = ["InOrderFIFO"]


class InOrderFIFO(FIFO):
    """A queue of deltas in order of arrival, across all keys.

    A relist is one REPLACED_ALL delta and a resync one SYNC_ALL delta. The consumer compares them with its cache, which the
    queue never reads. `informer.queues.delta.Queue` documents the methods.

    Args:
        key_func: returns an object's key; used by `key_of` only.
        transform: called with each object before it is queued; see `FIFO`.

    Threads: any; `pop` and `pop_batch` block.

    Source: client-go tools/cache RealFIFO, in its atomic form.
    """

    def __init__(
        self, key_func: Callable[[Any], str] = meta_namespace_key, *, transform: Callable[[Any], Any] | None = None
    ) -> None:
        super().__init__(key_func, transform)
        self._items: deque[Delta] = deque()  # guarded by _lock
        self._first_lists: list[Delta] = []  # those of _items that are a first list; guarded by _lock

    def apply(self, deltas: Iterable[Delta]) -> None:
        """See `FIFO.apply`."""
        items: Sequence[Delta] = deltas if isinstance(deltas, (list, tuple)) else list(deltas)
        if self._transform is not None:
            items = self._transformed(items)
        with self._lock:
            self._items.extend(items)
            if not self._initial.done and any(delta.type is not BOOKMARK for delta in items):
                self._initial.added()
            if self._poppers:
                self._queued_locked()

    def replace(
        self,
        items: Iterable[Any],
        resource_version: str,
        namespace: str | None = None,
        *,
        undecodable: Collection[str] = (),
    ) -> None:
        """See `Queue.replace`. Queues one REPLACED_ALL delta, whose object is a `ReplacedAll`.

        Args:
            items: all objects that exist and decode.
            resource_version: of the list.
            namespace: the namespace whose objects these are; None if they are all objects of the resource.
            undecodable: the keys of the objects that exist and do not decode.
        """
        transform = self._transform
        listed = list(items) if transform is None else [transform(item) for item in items]
        delta = Delta(REPLACED_ALL, ReplacedAll(listed, resource_version, namespace, frozenset(undecodable)))
        with self._lock:
            if self._initial.replaced(1, namespace):
                self._first_lists.append(delta)
            self._items.append(delta)
            self._queued_locked()

    def resync(self) -> None:
        """See `Queue.resync`. Queues one SYNC_ALL delta."""
        with self._lock:
            self._items.append(Delta(SYNC_ALL, None))
            self._queued_locked()

    def take(self, process: Callable[[Run], object]) -> None:
        """See `FIFO.take`. As long as no first list is queued, this takes a faster way without grouping and counting."""
        while self._items:
            taken = None
            with self._lock:
                if not self._first_lists and len(self._items) <= BATCH_SIZE:
                    taken = list(self._items)
                    self._items.clear()
            if taken is None:
                super().take(process)
            elif taken:
                process((taken, False))

    def __len__(self) -> int:
        return len(self._items)

    def _take_locked(self, max_items: int) -> list[Pair]:
        items = self._items
        if len(items) <= max_items:
            taken = list(items)
            items.clear()
        else:
            taken = [items.popleft() for _ in range(max_items)]
        if not self._first_lists:
            return [([delta], False) for delta in taken]
        return [([delta], self._is_first_list_locked(delta)) for delta in taken]

    def _is_first_list_locked(self, delta: Delta) -> bool:
        if not self._first_lists or self._first_lists[0] is not delta:
            return False
        del self._first_lists[0]
        return True
