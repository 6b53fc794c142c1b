"""A work queue in which some items are before others: changes before a whole list that came at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import count
from typing import Any, Generic

from typing_extensions import TypeVar

from informer.workqueue.delaying import check_seconds
from informer.workqueue.keyed_heap import KeyedHeap
from informer.workqueue.limiters import ItemExponentialFailureRateLimiter, RateLimiter
from informer.workqueue.metrics import MetricsProvider
from informer.workqueue.queue import check_hashable
from informer.workqueue.rate_limiting import RateLimitingQueue
from watch.clock import SYSTEM_CLOCK, Clock

__all__ = ["LOW_PRIORITY", "PriorityQueue"]

T = TypeVar("T", bound=Hashable, default=Any)

# Of what is no news: the initial list, and what a resync shows again.
LOW_PRIORITY = -100


class PriorityQueue(RateLimitingQueue[T]):
    """A `RateLimitingQueue` that gives out the highest priority first, and in the order of arrival within one.

    While an item waits its priority only rises, which puts it behind those that have the new one already, and its time only
    comes earlier: one that is ready stays so whatever delay it is added with. Once it was got both are forgotten.

    Unlike in the other queues `len` counts an item that was added again while it is being processed.

    Args:
        limiter: how long an item waits; None: 5 ms, doubled up to 1000 s, by item.
        name: see `WorkQueue`, as for the rest.
        clock: as above.
        metrics_provider: as above.

    Source: sigs.k8s.io/controller-runtime pkg/controller/priorityqueue. There a queue that is shut down gives nothing more;
    this one gives what it has, as all the others do.
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
        """Asks for an item to be processed; ignored once the queue is shut down.

        Raises:
            TypeError: the item is not hashable.
        """
        check_hashable(item)
        with self._lock:
            if not self._shutting_down:
                self._priorities.rank(item, priority)
                self._add_locked(item)

    def add_all(self, items: Iterable[T], *, priority: int = 0) -> None:
        """Adds items, all at once: cheaper than one by one.

        Raises:
            TypeError: one of them is not hashable; none is added.
        """
        added = tuple(items)
        for item in added:
            check_hashable(item)
        with self._lock:
            if not self._shutting_down:
                for item in added:
                    self._priorities.rank(item, priority)
                    self._add_locked(item)

    def add_after(self, item: T, seconds: float, *, priority: int = 0) -> None:
        """Adds an item when some time has passed, if it is not ready by then or already.

        Args:
            item: what to add.
            seconds: 0 or less adds it at once.
            priority: with which it waits, and comes.

        Raises:
            TypeError: the item is not hashable.
            ValueError: seconds is no finite number.
        """
        check_hashable(item)
        check_seconds(seconds)
        with self._lock:
            if self._shutting_down:
                return
            if seconds > 0 and self._metrics is not None:
                self._metrics.retried_locked()
            self._priorities.rank(item, priority)
            if seconds <= 0 or item in self._dirty:
                self._add_locked(item)
            else:
                self._delay_locked(item, seconds)

    def add_rate_limited(self, item: T, *, priority: int = 0) -> None:
        """Adds an item when its limiter says so; each call without a `forget` in between may make it wait longer.

        Raises:
            TypeError: the item is not hashable.
        """
        check_hashable(item)
        self.add_after(item, self._limiter.when(item), priority=priority)

    def get_with_priority(self, timeout: float | None = None) -> tuple[T, int]:
        """As `get`, and says with which priority the item came: for who adds it again."""
        with self._lock:
            self._wait_locked(timeout)
            item = self._take_locked()
            return item, self._priorities.last_priority

    def __len__(self) -> int:
        """How many items are ready, those included that are being processed at the same time."""
        with self._lock:
            self._look_locked()
            return len(self._dirty)

    def _add_locked(self, item: T) -> None:
        self._waiting.discard(item)
        super()._add_locked(item)

    def _due_locked(self, item: T) -> None:
        self._priorities.renew(item)
        super()._due_locked(item)

    def _end_locked(self) -> None:
        super()._end_locked()
        self._priorities.keep_only(self._dirty)


class _PriorityOrder(Generic[T]):
    """The order of what is ready, and the priorities of all that waits."""

    __slots__ = ("_arrivals", "_heap", "_ranks", "last_priority")

    def __init__(self) -> None:
        self._heap: KeyedHeap[T] = KeyedHeap()
        self._ranks: dict[T, tuple[int, int]] = {}  # priority, and place among those of the same
        self._arrivals = count()
        self.last_priority = 0  # of what was popped last

    def rank(self, item: T, priority: int) -> None:
        """Gives a new item its rank, and raises that of one that waits."""
        known = self._ranks.get(item)
        if known is None or known[0] < priority:
            self._ranks[item] = (priority, next(self._arrivals))

    def renew(self, item: T) -> None:
        """Puts an item behind all others of its priority."""
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
        """Forgets all others."""
        self._ranks = {item: self._ranks[item] for item in items}

    def __len__(self) -> int:
        return len(self._heap)
