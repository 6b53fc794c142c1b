"""Metrics of work queues, as a snapshot that a provider reads.

A queue measures only if it has a name and a provider. The fields of `QueueStats` have the names of client-go's metrics without
the prefix "workqueue_".
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

# Source: component-base metrics/prometheus/workqueue.
DURATION_BUCKETS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)
"""The upper bounds of the histograms' buckets, in seconds."""


@dataclass(frozen=True)
class Durations:
    """A snapshot of a histogram of durations.

    Attributes:
        counts: the number of durations in each of `DURATION_BUCKETS`, not cumulative; the last number counts those above all
            bounds.
        total: the sum of all durations, in seconds.
    """

    counts: tuple[int, ...]
    total: float

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds of the buckets, in seconds: `DURATION_BUCKETS`."""
        return DURATION_BUCKETS

    @property
    def count(self) -> int:
        """The number of durations."""
        return sum(self.counts)


@dataclass(frozen=True)
class QueueStats:
    """A snapshot of a queue's metrics.

    Attributes:
        depth: the number of items that wait, including those that were added again while they are processed.
        adds_total: the number of adds, without those of items that waited already.
        retries_total: the number of calls of `add_after` and `add_rate_limited`; in a `PriorityQueue`, only those with a delay.
        queue_duration_seconds: how long items waited, from the add to `get`.
        work_duration_seconds: how long workers processed items, from `get` to `done`.
        unfinished_work_seconds: how long the items under way have been processed so far, summed up.
        longest_running_processor_seconds: the longest of these times.
    """

    depth: int
    adds_total: int
    retries_total: int
    queue_duration_seconds: Durations
    work_duration_seconds: Durations
    unfinished_work_seconds: float
    longest_running_processor_seconds: float


class MetricsProvider(Protocol):
    """Shows the metrics of work queues; `informer.metrics.InformerCollector` is one.

    Threads: called on the thread that makes a queue or shuts it down. Exceptions reach the caller there.
    """

    def queue_started(self, metrics: QueueMetrics) -> object:
        """Called for each new queue; `metrics.read()` gives its numbers at any time, on any thread."""
        ...

    def queue_ended(self, metrics: QueueMetrics) -> object:
        """Called once when a queue is shut down. Its numbers can still be read, and change until its items are processed."""
        ...


class QueueMetrics:
    """The metrics of one queue.

    Gauges are computed by `read`; no thread updates them in between.

    Threads: `read` is safe on any thread. The queue calls the `..._locked` methods with its lock held.
    """

    def __init__(self, name: str, clock: Clock, lock: Lock, provider: MetricsProvider) -> None:
        self._name = name
        self._clock = clock
        self._lock = lock
        self._provider: MetricsProvider | None = provider  # None after the shut-down; guarded by _lock
        # All guarded by _lock.
        self._adds = 0
        self._retries = 0
        self._added_at: dict[Hashable, float] = {}  # by waiting item
        self._taken_at: dict[Hashable, float] = {}  # by item under way
        self._waits = _Histogram()
        self._works = _Histogram()

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._name

    def read(self) -> QueueStats:
        """Returns the current numbers."""
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
        """Counts an add, and notes when the item began to wait."""
        self._adds += 1
        self._added_at[item] = self._clock.monotonic()

    def taken_locked(self, item: Hashable) -> None:
        """Measures how long an item waited, and notes when a worker took it."""
        now = self._clock.monotonic()
        self._taken_at[item] = now
        self._waits.observe(now - self._added_at.pop(item, now))

    def finished_locked(self, item: Hashable) -> None:
        """Measures how long a worker processed an item."""
        now = self._clock.monotonic()
        self._works.observe(now - self._taken_at.pop(item, now))

    def retried_locked(self) -> None:
        """Counts a retry."""
        self._retries += 1

    def end(self) -> None:
        """Reports the shut-down to the provider, once."""
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


# The provider of queues that have no provider of their own.
_default: SetOnce[MetricsProvider] = SetOnce()


def set_metrics_provider(provider: MetricsProvider) -> None:
    """Sets the provider of all named queues that are made from now on without a provider of their own.

    Only the first call has an effect.

    Args:
        provider: reads the queues' metrics, such as the collector that `informer.metrics.install` returns.

    Source: client-go util/workqueue SetProvider.
    """
    _default.set(provider)


def metrics_for(
    name: str | None, clock: Clock, lock: Lock, provider: MetricsProvider | None = None
) -> QueueMetrics | None:
    """The metrics of a new queue; None for a queue without a name or a provider."""
    provider = _default.value if provider is None else provider
    if not name or provider is None:
        return None
    metrics = QueueMetrics(name, clock, lock, provider)
    provider.queue_started(metrics)
    return metrics
