"""A work queue to which items can be added for later.

Comes in: items with delays. Goes out: each, to the queue itself, when its time has come. One thread for the whole queue
sleeps until the earliest of them; it is there while something waits, and for some seconds after that.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from itertools import count
from typing import Any

from typing_extensions import TypeVar

from informer.workqueue.keyed_heap import KeyedHeap
from informer.workqueue.metrics import MetricsProvider
from informer.workqueue.queue import ItemOrder, WorkQueue, check_hashable
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Monitor, Worker

__all__ = ["DelayingQueue"]

T = TypeVar("T", bound=Hashable, default=Any)

# Seconds for which the thread stays when nothing waits any more.
_IDLE = 10.0
# Seconds of one sleep at most: the system's waits take no arbitrary number.
_LONGEST_SLEEP = 3600.0


class DelayingQueue(WorkQueue[T]):
    """A `WorkQueue` with `add_after`.

    Shut it down when it is of no more use: what still waits is lost then, and its thread ends.

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
        self._waiting: KeyedHeap[T] = KeyedHeap()  # by the time at which they become ready, then as they came
        self._arrivals = count()
        self._sleeper: Worker | None = None
        # Something is to be ready before all that waited, or the queue is shut down.
        self._earlier = Monitor(self._lock)

    def add_after(self, item: T, seconds: float) -> None:
        """Adds an item when some time has passed. Of several times for one item the earliest counts.

        Args:
            item: what to add.
            seconds: 0 or less adds it at once.

        Raises:
            TypeError: the item is not hashable.
            ValueError: seconds is no finite number.
        """
        check_hashable(item)
        check_seconds(seconds)
        with self._lock:
            if self._shutting_down:
                return
            if self._metrics is not None:
                self._metrics.retried_locked()
            if seconds <= 0:
                self._add_locked(item)
            else:
                self._delay_locked(item, seconds)

    def _delay_locked(self, item: T, seconds: float) -> None:
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
                self._look_locked()
                at = self._waiting.first_rank
                if at is not None:
                    self._clock.wait(self._earlier, min(at - self._clock.monotonic(), _LONGEST_SLEEP))
                elif not self._clock.wait(self._earlier, _IDLE) and not len(self._waiting):
                    break
            self._sleeper = None

    def _look_locked(self) -> None:
        # Also called by whoever wants an item: nobody need wait for the thread to wake up.
        if not len(self._waiting):
            return
        now = self._clock.monotonic()
        while (at := self._waiting.first_rank) is not None and at <= now:
            self._due_locked(self._waiting.pop())

    def _due_locked(self, item: T) -> None:
        self._add_locked(item)

    def _end_locked(self) -> None:
        self._waiting.clear()
        self._earlier.notify_all()


def check_seconds(seconds: float) -> None:
    """Raises a ValueError for what is no finite number."""
    if not math.isfinite(seconds):
        raise ValueError(f"a delay must be a finite number of seconds, not {seconds}")
