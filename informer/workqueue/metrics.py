"""What a work queue counts and measures, for whoever shows it.

Comes in: each step of an item, with the queue's lock held. Goes out: `QueueStats`, when somebody asks. A queue without a
name, or without a provider, measures nothing.

The names are those of client-go's metrics without "workqueue_": depth, adds_total, queue_duration_seconds,
work_duration_seconds, unfinished_work_seconds, longest_running_processor_seconds, retries_total.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from informer.process import SetOnce
from watch.clock import Clock
from watch.concurrency import Lock

__all__ = ["DURATION_BUCKETS", "Durations", "MetricsProvider", "QueueMetrics", "QueueStats", "set_metrics_provider"]

# Upper bounds, in seconds. Source: component-base metrics/prometheus/workqueue.
DURATION_BUCKETS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Durations:
    """A histogram, as it was at one moment.

    Attributes:
        counts: durations in each of `DURATION_BUCKETS` that are in no earlier one, and at the end those in none.
        total: their sum, in seconds.
    """

    counts: tuple[int, ...]
    total: float

    @property
    def bounds(self) -> tuple[float, ...]:
        """`DURATION_BUCKETS`."""
        return DURATION_BUCKETS

    @property
    def count(self) -> int:
        """How many durations there were."""
        return sum(self.counts)


@dataclass(frozen=True)
class QueueStats:
    """A queue's numbers, as they were at one moment.

    Attributes:
        depth: items that wait, those included that were added again while being processed.
        adds_total: adds that changed something.
        retries_total: calls of `add_after` and `add_rate_limited`.
        queue_duration_seconds: from an item's add to its `get`.
        work_duration_seconds: from its `get` to its `done`.
        unfinished_work_seconds: how long the items being processed have been so, summed up.
        longest_running_processor_seconds: the longest of these.
    """

    depth: int
    adds_total: int
    retries_total: int
    queue_duration_seconds: Durations
    work_duration_seconds: Durations
    unfinished_work_seconds: float
    longest_running_processor_seconds: float


class MetricsProvider(Protocol):
    """Who shows the metrics of work queues.

    Threads: called on the thread that makes a queue or shuts it down; what they raise comes out there.
    """

    def queue_started(self, metrics: QueueMetrics) -> object:
        """There is a new queue: `metrics.read()` gives its numbers, at any time and on any thread."""
        ...

    def queue_ended(self, metrics: QueueMetrics) -> object:
        """A queue was shut down; its numbers can still be read, and change until what it had is processed."""
        ...


class QueueMetrics:
    """The numbers of one queue.

    Nothing is pushed and no thread keeps gauges current: they are made up when they are read.

    Threads: any may read; `..._locked` are for the queue, whose lock is held.
    """

    def __init__(self, name: str, clock: Clock, lock: Lock, provider: MetricsProvider) -> None:
        self._name = name
        self._clock = clock
        self._lock = lock
        self._provider: MetricsProvider | None = provider  # None once the queue was shut down; guarded by _lock
        # All guarded by _lock.
        self._adds = 0
        self._retries = 0
        self._added_at: dict[Hashable, float] = {}  # of what waits
        self._taken_at: dict[Hashable, float] = {}  # of what is being processed
        self._waits = _Histogram()
        self._works = _Histogram()

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._name

    def read(self) -> QueueStats:
        """The numbers as they are now."""
        with self._lock:
            now = self._clock.monotonic()
            ages = [now - since for since in self._taken_at.values()]
            return QueueStats(
                depth=len(self._added_at),
                adds_total=self._adds,
                retries_total=self._retries,
                queue_duration_seconds=self._waits.read(),
                work_duration_seconds=self._works.read(),
                unfinished_work_seconds=sum(ages),
                longest_running_processor_seconds=max(ages, default=0.0),
            )

    def added_locked(self, item: Hashable) -> None:
        """An item waits that did not."""
        self._adds += 1
        self._added_at[item] = self._clock.monotonic()

    def taken_locked(self, item: Hashable) -> None:
        """A worker has it."""
        now = self._clock.monotonic()
        self._taken_at[item] = now
        self._waits.observe(now - self._added_at.pop(item, now))

    def finished_locked(self, item: Hashable) -> None:
        """A worker is done with it."""
        now = self._clock.monotonic()
        self._works.observe(now - self._taken_at.pop(item, now))

    def retried_locked(self) -> None:
        """An item was added for later."""
        self._retries += 1

    def end(self) -> None:
        """The queue was shut down."""
        with self._lock:
            provider, self._provider = self._provider, None
        if provider is not None:
            provider.queue_ended(self)


class _Histogram:
    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts = [0] * (len(DURATION_BUCKETS) + 1)
        self._total = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(DURATION_BUCKETS, seconds)] += 1
        self._total += seconds

    def read(self) -> Durations:
        return Durations(tuple(self._counts), self._total)


# The provider of queues that were given none.
_default: SetOnce[MetricsProvider] = SetOnce()


def set_metrics_provider(provider: MetricsProvider) -> None:
    """Has the metrics of all queues made from now on, of those with a name, given to a provider.

    Only the first call has an effect.

    Source: client-go util/workqueue SetProvider.
    """
    _default.set(provider)


def metrics_for(
    name: str | None, clock: Clock, lock: Lock, provider: MetricsProvider | None = None
) -> QueueMetrics | None:
    """What a new queue measures with; None where nobody would see it."""
    provider = _default.value if provider is None else provider
    if not name or provider is None:
        return None
    metrics = QueueMetrics(name, clock, lock, provider)
    provider.queue_started(metrics)
    return metrics
