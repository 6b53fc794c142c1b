"""A queue of keys to work on, each of them once however often it is added, and never two workers on one.

Comes in: items, from any thread. Goes out: each to one worker at a time, in the order of arrival. An item that is added while
a worker has it comes once more when that worker is done with it.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from informer.errors import InformerError
from informer.workqueue.metrics import MetricsProvider, QueueMetrics, metrics_for
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock, Monitor

__all__ = ["ItemOrder", "ShutDownError", "WorkQueue", "check_hashable"]

T = TypeVar("T", bound=Hashable, default=Any)


class ShutDownError(InformerError):
    """A work queue is shut down and empty."""


class ItemOrder(Protocol[T]):
    """In which order a queue gives out what is ready. Called with the queue's lock held."""

    def push(self, item: T, /) -> object:
        """An item is ready, and was not before."""
        ...

    def pop(self) -> T:
        """Takes out the item that comes next; there is one."""
        ...

    def touch(self, item: T, /) -> object:
        """An item that is ready was added again."""
        ...

    def __len__(self) -> int:
        """How many items are ready."""
        ...


class WorkQueue(Generic[T]):
    """See the module.

    Args:
        name: what its metrics are called; None: it has none.
        clock: the time, for metrics and delays.
        order: in which order items come; None: that of their arrival.
        metrics_provider: who reads its metrics; None: the one given to `set_metrics_provider`, if any.

    Threads: any. Only `get` and `shut_down_with_drain` wait.

    Example:
        >>> queue = WorkQueue()
        >>> queue.add("shop/web")
        >>> queue.add("shop/web")
        >>> len(queue)
        1
        >>> queue.get()
        'shop/web'
        >>> queue.done("shop/web")

    Source: client-go util/workqueue Typed.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
        order: ItemOrder[T] | None = None,
        metrics_provider: MetricsProvider | None = None,
    ) -> None:
        self._clock = clock
        self._lock = Lock()
        self._ready = Monitor(self._lock)  # an item is ready, or the queue is shut down
        self._drained = Monitor(self._lock)  # nothing is left, or nobody may wait for that any more
        # All guarded by _lock. An item that is in both was added again while it is being processed, and is not in _order.
        self._order: ItemOrder[T] = _ArrivalOrder() if order is None else order
        self._dirty: set[T] = set()  # to be processed
        self._processing: set[T] = set()  # given out and not done
        self._waiters = 0  # threads in get
        self._shutting_down = False
        self._draining = False
        self._metrics: QueueMetrics | None = metrics_for(name, clock, self._lock, metrics_provider)

    def add(self, item: T) -> None:
        """Asks for an item to be processed; ignored once the queue is shut down.

        Raises:
            TypeError: the item is not hashable.
        """
        check_hashable(item)
        with self._lock:
            if not self._shutting_down:
                self._add_locked(item)

    def add_all(self, items: Iterable[T]) -> None:
        """Adds items, all at once: cheaper than one by one.

        Raises:
            TypeError: one of them is not hashable; none is added.
        """
        added = list(items)
        for item in added:
            check_hashable(item)
        with self._lock:
            if not self._shutting_down:
                for item in added:
                    self._add_locked(item)

    def get(self, timeout: float | None = None) -> T:
        """Waits for an item and takes it; call `done` with it when it is processed.

        Args:
            timeout: seconds to wait at most, None without limit.

        Raises:
            queue.Empty: the time was up.
            ShutDownError: the queue is shut down and empty.
        """
        with self._lock:
            self._wait_locked(timeout)
            return self._take_locked()

    def done(self, item: T) -> None:
        """An item is processed: if it was added meanwhile it is ready again. Harmless for an item that nobody has."""
        with self._lock:
            if item not in self._processing:
                return
            if self._metrics is not None:
                self._metrics.finished_locked(item)
            self._processing.discard(item)
            if item in self._dirty:
                self._push_locked(item)
            elif self._draining and self._is_idle_locked():
                self._drained.notify_all()

    def shut_down(self) -> None:
        """Accepts nothing more and returns at once; what is queued can still be got. Ends every `shut_down_with_drain`."""
        self._shut_down(draining=False)
        self._ended()

    def shut_down_with_drain(self) -> None:
        """Accepts nothing more, and waits until all that is queued was got and is done.

        Somebody has to get it: without workers this waits for `shut_down`, as it does when called by a worker.
        """
        self._shut_down(draining=True)
        with self._lock:
            while self._draining and not self._is_idle_locked():
                self._drained.wait()
        self._ended()

    @property
    def shutting_down(self) -> bool:
        """Whether it was shut down."""
        return self._shutting_down

    def __len__(self) -> int:
        """How many items are ready to be got."""
        with self._lock:
            self._look_locked()
            return len(self._order)

    def __bool__(self) -> bool:
        return True

    def _add_locked(self, item: T) -> None:
        if item in self._dirty:
            if item not in self._processing:
                self._order.touch(item)
            return
        if self._metrics is not None:
            self._metrics.added_locked(item)
        self._dirty.add(item)
        if item not in self._processing:
            self._push_locked(item)

    def _push_locked(self, item: T) -> None:
        self._order.push(item)
        if self._waiters:
            self._ready.notify()

    def _take_locked(self) -> T:
        item = self._order.pop()
        self._dirty.discard(item)
        self._processing.add(item)
        if self._metrics is not None:
            self._metrics.taken_locked(item)
        return item

    def _wait_locked(self, timeout: float | None) -> None:
        """Returns when an item is ready."""
        self._look_locked()
        if len(self._order):
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        self._waiters += 1
        try:
            while not len(self._order):
                if self._shutting_down:
                    raise ShutDownError("the work queue is shut down")
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise queue.Empty
                self._ready.wait(left)
        finally:
            self._waiters -= 1

    def _look_locked(self) -> None:
        """Makes ready what has become so by itself."""

    def _is_idle_locked(self) -> bool:
        return not self._dirty and not self._processing

    def _shut_down(self, *, draining: bool) -> None:
        with self._lock:
            self._draining = draining
            self._shutting_down = True
            self._end_locked()
            self._ready.notify_all()
            self._drained.notify_all()

    def _end_locked(self) -> None:
        """Lets go of what is of no use once the queue is shut down."""

    def _ended(self) -> None:
        if self._metrics is not None:
            self._metrics.end()


class _ArrivalOrder(Generic[T]):
    """First come, first served."""

    __slots__ = ("_items", "pop", "push")

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self.push = self._items.append
        self.pop = self._items.popleft

    def touch(self, item: T) -> None:
        """It keeps its place."""

    def __len__(self) -> int:
        return len(self._items)


def check_hashable(item: object) -> None:
    """Raises a TypeError with advice for what cannot be an item."""
    try:
        hash(item)
    except TypeError as error:
        raise TypeError(
            f"an item of a work queue must be hashable, a {type(item).__qualname__} is not ({error}): "
            'add a key such as "namespace/name" and look the object up when it is processed'
        ) from None
