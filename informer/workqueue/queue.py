"""The plain work queue, on which the delaying, rate-limiting and priority queues build.

The rules stand on the fields of `WorkQueue`: `_dirty` holds the items to be processed, `_processing` those that workers hold.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Generic, Protocol

from typing_extensions import TypeVar

from informer.errors import InformerError
from informer.objects.keys import EAGER
from informer.workqueue.metrics import MetricsProvider, QueueMetrics, metrics_for
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock, Monitor

__all__ = ["ItemOrder", "ShutDownError", "WorkQueue", "check_key"]

T = TypeVar("T", bound=Hashable, default=str)

_REMEDY = 'add a key such as "namespace/name" and look the object up when it is processed'


class ShutDownError(InformerError):
    """Raised by `get` when the queue is shut down and empty: the worker can end."""


class ItemOrder(Protocol[T]):
    """The order in which a queue gives out its ready items; it holds these items.

    Threads: the queue calls it with its lock held, so it must not block or call the queue.

    Source: client-go util/workqueue Queue.
    """

    def push(self, item: T, /) -> object:
        """Adds an item that has become ready."""
        ...

    def pop(self) -> T:
        """Removes and returns the next item. Called only when there is one."""
        ...

    def touch(self, item: T, /) -> object:
        """Notes that an item it holds was added again; it may move the item."""
        ...

    def __len__(self) -> int:
        """The number of ready items."""
        ...


class WorkQueue(Generic[T]):
    """A queue of keys to process that holds each key once and never gives a key to two workers.

    Adding an item that already waits changes nothing. An item that is added while a worker processes it waits until that
    worker calls `done`, and is then given out once more. So no change is missed, and several changes cost one run.

    Items are hashable; controllers use keys such as "namespace/name" and look the object up when they process it.

    Args:
        name: the label of the queue's metrics. None: the queue has no metrics.
        clock: measures metrics and delays.
        order: decides which ready item is next. None: the order in which they were added.
        metrics_provider: reads the queue's metrics. None: the provider given to `set_metrics_provider`, if any.

    Threads: all methods are safe on any thread. Only `get` and `shut_down_with_drain` block.

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
        self._name = name
        self._clock = clock
        self._lock = Lock()
        self._ready = Monitor(self._lock)  # notified when an item is ready, or the queue is shut down
        self._drained = Monitor(self._lock)  # notified when no item is left, or draining is called off
        # All guarded by _lock. An item in both sets was added again while it is processed, and is not in _order.
        self._order: ItemOrder[T] = _ArrivalOrder() if order is None else order
        self._dirty: set[T] = set()  # items to be processed
        self._processing: set[T] = set()  # items that were got and are not done
        self._waiters = 0  # threads that wait in `get`
        self._shutting_down = False
        self._draining = False
        self._metrics: QueueMetrics | None = metrics_for(name, clock, self._lock, metrics_provider)

    @property
    def name(self) -> str | None:
        """The name for metrics and logs; None if the queue has none."""
        return self._name

    def add(self, item: T) -> None:
        """Adds an item, unless it waits already. Once the queue is shut down, the item is ignored.

        Raises:
            TypeError: the item is not a key: it is not hashable, or it is a Kubernetes object.
        """
        check_key(item)
        with self._lock:
            if not self._shutting_down:
                self._add_locked(item)

    def add_all(self, items: Iterable[T]) -> None:
        """Adds several items under one lock, which is faster than adding them one by one.

        Raises:
            TypeError: an item is not a key, as of `add`; no item is added.
        """
        added = list(items)
        for item in added:
            check_key(item)
        with self._lock:
            if not self._shutting_down:
                for item in added:
                    self._add_locked(item)

    def get(self, timeout: float | None = None) -> T:
        """Waits for an item and takes it. The caller must call `done` with the item when it is processed.

        Args:
            timeout: wait at most this many seconds. None: without limit.

        Raises:
            queue.Empty: no item became ready in time.
            ShutDownError: the queue is shut down and empty.
        """
        with self._lock:
            self._wait_locked(timeout)
            return self._take_locked()

    def done(self, item: T) -> None:
        """Ends the processing of an item; if it was added in the meantime, it becomes ready again.

        An item that is not being processed is ignored.
        """
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
        """Stops accepting items, and returns at once.

        Items already in the queue can still be got. Calls of `shut_down_with_drain` that wait return.
        """
        self._shut_down(draining=False)
        self._end_metrics()

    def shut_down_with_drain(self) -> None:
        """Stops accepting items, and waits until workers have processed all that are in the queue.

        Without workers, or on a worker's own thread, it waits until another thread calls `shut_down`.
        """
        self._shut_down(draining=True)
        with self._lock:
            while self._draining and not self._is_idle_locked():
                self._drained.wait()
        self._end_metrics()

    @property
    def shutting_down(self) -> bool:
        """Whether the queue was shut down."""
        return self._shutting_down

    def __len__(self) -> int:
        """The number of items that are ready to be got."""
        with self._lock:
            self._add_due_items_locked()
            return len(self._order)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        name = "" if self._name is None else f" {self._name}"
        with self._lock:
            state = ", shut down" if self._shutting_down else ""
            return f"<{type(self).__name__}{name}: {self._counts_locked()}{state}>"

    def _counts_locked(self) -> str:
        return f"{len(self._order)} ready, {len(self._processing)} in progress"

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
        """Waits until an item is ready."""
        self._add_due_items_locked()
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

    def _add_due_items_locked(self) -> None:
        """Adds the items whose delay is over. A plain queue has no delays."""

    def _is_idle_locked(self) -> bool:
        return not self._dirty and not self._processing

    def _shut_down(self, *, draining: bool) -> None:
        with self._lock:
            self._draining = draining
            self._shutting_down = True
            self._drop_waiting_locked()
            self._ready.notify_all()
            self._drained.notify_all()

    def _drop_waiting_locked(self) -> None:
        """Drops the items that wait for a delay. A plain queue has no delays."""

    def _end_metrics(self) -> None:
        if self._metrics is not None:
            self._metrics.end()


class _ArrivalOrder(Generic[T]):
    """First in, first out."""

    __slots__ = ("_items", "pop", "push")

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self.push = self._items.append
        self.pop = self._items.popleft

    def touch(self, item: T) -> None:
        """Does nothing: the item keeps its place."""

    def __len__(self) -> int:
        return len(self._items)


def check_key(item: object) -> None:
    """Checks that an item can be a key, which stays the same when the object that it stands for changes.

    Raises:
        TypeError: the item is not hashable, or it is a Kubernetes object, of which each version would be another item. The
            message says what to add instead.
    """
    if type(item) is str:
        return
    try:
        hash(item)
    except TypeError as error:
        raise TypeError(
            f"an item of a work queue must be hashable, but a {type(item).__qualname__} is not ({error}): {_REMEDY}"
        ) from None
    if isinstance(item, tuple) and not hasattr(item, "metadata"):
        for part in item:
            check_key(part)
    elif isinstance(item, EAGER) or getattr(item, "metadata", None) is not None:
        raise TypeError(
            f"an item of a work queue must be a key, but a {type(item).__qualname__} is an object, of which each version would "
            f"be another item: {_REMEDY}"
        )
