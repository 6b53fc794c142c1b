"""A work queue with delays.

One thread per queue sleeps until the earliest delay is over. It exists while items wait, and for a few seconds after that.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from itertools import count

from typing_extensions import TypeVar

from informer.workqueue.keyed_heap import KeyedHeap
from informer.workqueue.metrics import MetricsProvider
from informer.workqueue.queue import ItemOrder, WorkQueue, check_key
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Monitor, Worker

__all__ = ["DelayingQueue", "check_delay"]

T = TypeVar("T", bound=Hashable, default=str)

# The thread ends when no item has waited for this many seconds.
_IDLE = 10.0
# The longest single sleep, in seconds: operating systems limit the time-out of a wait.
_LONGEST_SLEEP = 3600.0


class DelayingQueue(WorkQueue[T]):
    """A `WorkQueue` with `add_after`, which adds an item after a delay.

    Shut the queue down when it is not needed any more: that ends its thread and drops the items that still wait for their
    delay.

    Args:
        name: the label of the queue's metrics. None: the queue has no metrics.
        clock: measures metrics and delays.
        order: decides which ready item is next. None: the order in which they became ready.
        metrics_provider: reads the queue's metrics. None: the provider given to `set_metrics_provider`, if any.

    Threads: all methods are safe on any thread. Only `get` and `shut_down_with_drain` block.

    Example:
        >>> from watch import FakeClock
        >>> clock = FakeClock()
        >>> queue = DelayingQueue(clock=clock)
        >>> queue.add_after("shop/web", 60)
        >>> len(queue)
        0
        >>> clock.step(60)
        >>> queue.get()
        'shop/web'
        >>> queue.shut_down()

    Source: client-go util/workqueue TypedDelayingInterface.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
        order: ItemOrder[T] | None = None,
        metrics_provider: MetricsProvider | None = None,
    ) -> None:
        super().__init__(name=name, clock=clock, order=order, metrics_provider=metrics_provider)
        # All guarded by _lock.
        self._waiting: KeyedHeap[T] = KeyedHeap()  # ordered by the time at which the delay is over, then by arrival
        self._arrivals = count()
        self._sleeper: Worker | None = None
        # Notified when an item's delay ends before all others, or the queue is shut down.
        self._earlier = Monitor(self._lock)

    def add_after(self, item: T, seconds: float) -> None:
        """Adds an item after a delay. If the item already waits for a delay, the earlier time counts.

        Once the queue is shut down, the item is ignored.

        Args:
            item: the item to add.
            seconds: the delay; 0 or less adds the item at once.

        Raises:
            TypeError: the item is not a key: it is not hashable, or it is a Kubernetes object.
            ValueError: seconds is infinite or not a number.
        """
        check_key(item)
        check_delay(seconds)
        with self._lock:
            if not self._shutting_down:
                if self._metrics is not None:
                    self._metrics.retried_locked()
                self._add_after_locked(item, seconds)

    def _counts_locked(self) -> str:
        return f"{super()._counts_locked()}, {len(self._waiting)} delayed"

    def _add_after_locked(self, item: T, seconds: float) -> None:
        if seconds <= 0:
            self._add_locked(item)
            return
        at = self._clock.monotonic() + seconds
        before = self._waiting.rank_of(item)
        if before is not None and before <= at:
            return
        self._waiting.put(item, at, next(self._arrivals))
        if self._sleeper is None or not self._sleeper.is_alive:
            self._sleeper = Worker(self._sleep, "work-queue-delays").start()
        elif self._waiting.first_rank == at:
            self._earlier.notify()

    def _sleep(self) -> None:
        with self._lock:
            while not self._shutting_down:
                self._add_due_items_locked()
                at = self._waiting.first_rank
                if at is not None:
                    self._clock.wait(self._earlier, min(at - self._clock.monotonic(), _LONGEST_SLEEP))
                elif not self._clock.wait(self._earlier, _IDLE) and not len(self._waiting):
                    break
            self._sleeper = None

    def _add_due_items_locked(self) -> None:
        # `get` and `len` call it too, so that they do not depend on the thread waking up in time.
        if not len(self._waiting):
            return
        now = self._clock.monotonic()
        while (at := self._waiting.first_rank) is not None and at <= now:
            self._delay_over_locked(self._waiting.pop())

    def _delay_over_locked(self, item: T) -> None:
        self._add_locked(item)

    def _drop_waiting_locked(self) -> None:
        self._waiting.clear()
        self._earlier.notify_all()


def check_delay(seconds: float) -> None:
    """Raises a ValueError if the delay is not a finite number."""
    if not math.isfinite(seconds):
        raise ValueError(f"a delay must be a finite number of seconds, not {seconds}")
