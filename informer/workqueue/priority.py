"""A work queue with priorities, so that changes are processed before a long initial list."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import count
from typing import Generic

from typing_extensions import TypeVar

from informer.workqueue.delaying import check_delay
from informer.workqueue.keyed_heap import KeyedHeap
from informer.workqueue.limiters import ItemExponentialFailureRateLimiter, RateLimiter
from informer.workqueue.metrics import MetricsProvider
from informer.workqueue.queue import check_key
from informer.workqueue.rate_limiting import RateLimitingQueue
from watch.clock import SYSTEM_CLOCK, Clock

__all__ = ["LOW_PRIORITY", "PriorityQueue"]

T = TypeVar("T", bound=Hashable, default=str)

LOW_PRIORITY = -100
"""The priority that `enqueue_key` and `enqueue_owner` give to unchanged objects: the initial list and resyncs."""


class PriorityQueue(RateLimitingQueue[T]):
    """A `RateLimitingQueue` that gives out items by priority, the highest first; equal ones in the order of arrival.

    Adding an item that already waits can only raise its priority and shorten its delay: a ready item stays ready, whatever
    delay it is added with. A raised item goes behind the items that already have its new priority. `get` resets both.

    Unlike in the other queues, `len` also counts items that were added again while they are processed.

    Args:
        limiter: decides how long an item waits. None: 5 ms, doubled with each retry of the item, up to 1000 s.
        name: the label of the queue's metrics. None: the queue has no metrics.
        clock: measures metrics and delays.
        metrics_provider: reads the queue's metrics. None: the provider given to `set_metrics_provider`, if any.

    Threads: all methods are safe on any thread. Only `get`, `get_with_priority` and `shut_down_with_drain` block.

    Example:
        >>> queue = PriorityQueue()
        >>> queue.add("shop/listed", priority=LOW_PRIORITY)
        >>> queue.add("shop/changed")
        >>> queue.get()
        'shop/changed'

    Source: sigs.k8s.io/controller-runtime pkg/controller/priorityqueue. There, a shut-down queue gives out no items; this one
    gives out the items that are ready, as the other queues do.
    """

    def __init__(
        self,
        limiter: RateLimiter[T] | None = None,
        *,
        name: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
        metrics_provider: MetricsProvider | None = None,
    ) -> None:
        self._priorities: _PriorityOrder[T] = _PriorityOrder()  # guarded by _lock
        super().__init__(
            ItemExponentialFailureRateLimiter(0.005, 1000.0) if limiter is None else limiter,
            name=name,
            clock=clock,
            order=self._priorities,
            metrics_provider=metrics_provider,
        )

    def add(self, item: T, *, priority: int = 0) -> None:
        """Adds an item, or raises its priority if it waits already. Once the queue is shut down, the item is ignored.

        Args:
            item: the item to add.
            priority: items of a higher priority are given out first.

        Raises:
            TypeError: the item is not a key: it is not hashable, or it is a Kubernetes object.
        """
        check_key(item)
        with self._lock:
            if not self._shutting_down:
                self._priorities.rank(item, priority)
                self._add_locked(item)

    def add_all(self, items: Iterable[T], *, priority: int = 0) -> None:
        """Adds several items of one priority under one lock, which is faster than adding them one by one.

        Raises:
            TypeError: an item is not a key, as of `add`; no item is added.
        """
        added = tuple(items)
        for item in added:
            check_key(item)
        with self._lock:
            if not self._shutting_down:
                for item in added:
                    self._priorities.rank(item, priority)
                    self._add_locked(item)

    def add_after(self, item: T, seconds: float, *, priority: int = 0) -> None:
        """Adds an item after a delay, unless it is ready already. If it waits for a delay, the earlier time counts.

        Once the queue is shut down, the item is ignored.

        Args:
            item: the item to add.
            seconds: the delay; 0 or less adds the item at once.
            priority: items of a higher priority are given out first.

        Raises:
            TypeError: the item is not a key: it is not hashable, or it is a Kubernetes object.
            ValueError: seconds is infinite or not a number.
        """
        check_key(item)
        check_delay(seconds)
        with self._lock:
            if not self._shutting_down:
                if seconds > 0 and self._metrics is not None:
                    self._metrics.retried_locked()
                self._priorities.rank(item, priority)
                self._add_after_locked(item, 0 if item in self._dirty else seconds)

    def add_rate_limited(self, item: T, *, priority: int = 0) -> None:
        """Adds an item after the delay that the limiter asks for. With most limiters it grows until `forget` is called.

        If the item still waits for an earlier retry, that retry stands: only its count and its priority can grow.

        Args:
            item: the item to add.
            priority: items of a higher priority are given out first.

        Raises:
            TypeError: the item is not a key: it is not hashable, or it is a Kubernetes object.
        """
        check_key(item)
        delay = self._begin_retry(item)
        if delay is not None:
            self.add_after(item, delay, priority=priority)

    def get_with_priority(self, timeout: float | None = None) -> tuple[T, int]:
        """Does what `get` does, and also returns the item's priority, so that the caller can requeue the item with it.

        Args:
            timeout: wait at most this many seconds. None: without limit.

        Raises:
            queue.Empty: no item became ready in time.
            ShutDownError: the queue is shut down and empty.
        """
        with self._lock:
            self._wait_locked(timeout)
            item = self._take_locked()
            return item, self._priorities.last_priority

    def __len__(self) -> int:
        """The number of ready items, including those that another worker still processes."""
        with self._lock:
            self._add_due_items_locked()
            return len(self._dirty)

    def _add_locked(self, item: T) -> None:
        self._waiting.discard(item)
        super()._add_locked(item)

    def _delay_over_locked(self, item: T) -> None:
        self._priorities.renew(item)
        super()._delay_over_locked(item)

    def _drop_waiting_locked(self) -> None:
        super()._drop_waiting_locked()
        self._priorities.keep_only(self._dirty)


class _PriorityOrder(Generic[T]):
    """The order of the ready items, and the priorities of all items that wait."""

    __slots__ = ("_arrivals", "_heap", "_ranks", "last_priority")

    def __init__(self) -> None:
        self._heap: KeyedHeap[T] = KeyedHeap()
        self._ranks: dict[T, tuple[int, int]] = {}  # priority, and place among items of the same priority
        self._arrivals = count()
        self.last_priority = 0  # the priority of the item that was popped last

    def rank(self, item: T, priority: int) -> None:
        """Gives a new item its priority, or raises the priority of a waiting one."""
        known = self._ranks.get(item)
        if known is None or known[0] < priority:
            self._ranks[item] = (priority, next(self._arrivals))

    def renew(self, item: T) -> None:
        """Moves an item behind all others of its priority."""
        self._ranks[item] = (self._ranks[item][0], next(self._arrivals))

    def push(self, item: T) -> None:
        priority, place = self._ranks[item]
        self._heap.put(item, -priority, place)

    touch = push

    def pop(self) -> T:
        item = self._heap.pop()
        self.last_priority = self._ranks.pop(item)[0]
        return item

    def keep_only(self, items: Iterable[T]) -> None:
        """Drops the priorities of all other items."""
        self._ranks = {item: self._ranks[item] for item in items}

    def __len__(self) -> int:
        return len(self._heap)
