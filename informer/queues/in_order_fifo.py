"""The queue that keeps the server's order: every delta by itself, a relist as one.

Comes in: deltas from reflectors. Goes out: the same in the same order. It never looks at the cache: a relist is one
REPLACED_ALL and a resync one SYNC_ALL, and whoever applies them compares.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from informer.objects.keys import meta_namespace_key
from informer.queues.delta import Delta, DeltaType, ReplacedAll
from informer.queues.fifo import FIFO, Pair

__all__ = ["InOrderFIFO"]


class InOrderFIFO(FIFO):
    """See the module; `informer.queues.delta.Queue` says what each method does.

    Args:
        key_func: makes an object's key, for `key_of`.
        transform: called with each object before it is queued; see `FIFO`.

    Threads: any; `pop` and `pop_batch` block. Source: client-go tools/cache RealFIFO, in its atomic form.
    """

    def __init__(
        self, key_func: Callable[[Any], str] = meta_namespace_key, *, transform: Callable[[Any], Any] | None = None
    ) -> None:
        super().__init__(key_func, transform)
        # Both are guarded by _monitor. A first list waits in both.
        self._items: deque[Delta] = deque()
        self._first_lists: list[Delta] = []

    def apply(self, deltas: Iterable[Delta]) -> None:
        """See `FIFO.apply`."""
        items = self._transformed(deltas if isinstance(deltas, (list, tuple)) else list(deltas))
        with self._monitor:
            self._items.extend(items)
            if any(delta.type is not DeltaType.BOOKMARK for delta in items):
                self._initial.added()
            self._monitor.notify_all()

    def replace(self, items: Iterable[Any], resource_version: str, namespace: str | None = None) -> None:
        """See `Queue.replace`: one REPLACED_ALL, whose object has `items`, `resource_version` and `namespace`.

        Args:
            items: all objects there are.
            resource_version: of the list.
            namespace: where the items are all objects of one namespace only; None for everything.
        """
        transform = self._transform
        listed = list(items) if transform is None else [transform(item) for item in items]
        delta = Delta(DeltaType.REPLACED_ALL, ReplacedAll(listed, resource_version, namespace))
        with self._monitor:
            if self._initial.replaced(1, namespace):
                self._first_lists.append(delta)
            self._items.append(delta)
            self._monitor.notify_all()

    def resync(self) -> None:
        """See `Queue.resync`: one SYNC_ALL."""
        with self._monitor:
            self._items.append(Delta(DeltaType.SYNC_ALL, None))
            self._monitor.notify_all()

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
