"""Shows a Prometheus registry what the informers, work queues and electors of this process are doing.

Comes in: a scrape. Goes out: metrics, made up on the scrape's thread from numbers that are kept anyway. Nothing here is
called by whoever does the work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from informer.metrics import families
from informer.metrics.client import REGISTRY, Collector, CollectorRegistry, Metric
from informer.metrics.families import FAMILIES, Histogram, Reading, shown
from informer.metrics.informers import read_informer
from informer.metrics.labels import Names
from informer.process import informers
from informer.rate_limited_log import LimitedLog
from watch.concurrency import Lock, RLock, in_forked_child

__all__ = ["InformerCollector", "install"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


class _QueueStats(Protocol):
    """The numbers of a work queue; see `informer.workqueue.QueueStats`."""

    @property
    def depth(self) -> int: ...
    @property
    def adds_total(self) -> int: ...
    @property
    def retries_total(self) -> int: ...
    @property
    def queue_duration_seconds(self) -> Histogram: ...
    @property
    def work_duration_seconds(self) -> Histogram: ...
    @property
    def unfinished_work_seconds(self) -> float: ...
    @property
    def longest_running_processor_seconds(self) -> float: ...


class _QueueMetrics(Protocol):
    @property
    def name(self) -> str: ...
    def read(self) -> _QueueStats: ...


class _ElectionStats(Protocol):
    """The numbers of an elector; see `informer.leaderelection.ElectionStats`."""

    @property
    def master_status(self) -> int: ...
    @property
    def slowpath_total(self) -> int: ...


class _ElectionMetrics(Protocol):
    @property
    def name(self) -> str: ...
    def read(self) -> _ElectionStats: ...


class InformerCollector(Collector):
    """A collector for a Prometheus registry; see `install`.

    Every informer that was started in this process is shown, from its start to its stop. Work queues and electors are shown
    when this is their metrics provider:

        informer.workqueue.set_metrics_provider(collector)
        informer.leaderelection.set_metrics_provider(collector)

    Nothing is kept alive by being shown. One that cannot be read is left out, counted and logged. A forked child shows
    nothing of its parent's.

    Threads: any.
    """

    def __init__(self) -> None:
        self._limited = LimitedLog(_log)
        self._begin()
        _collectors.add(self)

    def collect(self) -> Iterable[Metric]:
        """What there is to show now."""
        with self._lock:
            named_informers = self._informer_names.assign((each, each.name) for each in informers() if _is_shown(each))
            named_queues = self._queue_names.assign((each, each.name) for each in list(self._queues))
            named_electors = self._elector_names.assign((each, each.name) for each in list(self._electors))
        readings = [
            *self._read(named_informers, read_informer),
            *self._read(named_queues, _read_queue),
            *self._read(named_electors, _read_elector),
        ]
        readings.append(families.READ_ERRORS.of(self._read_errors))
        return list(shown(readings))

    def describe(self) -> Iterable[Metric]:
        """All metrics that there may be: a registry refuses two of the same name."""
        return [Metric(family.name, family.text, family.kind) for family in FAMILIES]

    # As the metrics provider of work queues and electors

    def queue_started(self, metrics: _QueueMetrics) -> None:
        """Shows a work queue; see `informer.workqueue.MetricsProvider`."""
        with self._lock:
            self._queues[metrics] = None

    def queue_ended(self, metrics: _QueueMetrics) -> None:
        """Shows a work queue no more."""
        with self._lock:
            self._queues.pop(metrics, None)

    def elector_started(self, metrics: _ElectionMetrics) -> None:
        """Shows an elector; see `informer.leaderelection.MetricsProvider`."""
        with self._lock:
            self._electors[metrics] = None

    def _begin(self) -> None:
        """Begins with nothing, as a forked child has to: whatever the parent's have locked stays locked there."""
        # Taken again where the handler of a signal shuts a queue down in the middle of a scrape.
        self._lock = RLock()
        self._informer_names = Names()  # guarded by _lock, as are all of these
        self._queue_names = Names()
        self._elector_names = Names()
        self._queues: WeakKeyDictionary[_QueueMetrics, None] = WeakKeyDictionary()
        self._electors: WeakKeyDictionary[_ElectionMetrics, None] = WeakKeyDictionary()
        self._read_errors = 0

    def _read(self, named: list[tuple[T, str]], read: Callable[[T, str], Iterator[Reading]]) -> Iterator[Reading]:
        for thing, name in named:
            try:
                readings = list(read(thing, name))
            # What a user has put into an informer, a clock or a list-watch, may raise anything; the others are shown.
            except Exception as error:
                with self._lock:
                    self._read_errors += 1
                self._limited.log(logging.WARNING, "no metrics of %s: it could not be read", name, exc_info=error)
            else:
                yield from readings


def install(registry: CollectorRegistry | None = None) -> InformerCollector:
    """Has a registry show all informers of this process, those included that are started later. Again is harmless.

    Args:
        registry: None for the Prometheus client's default one.

    Returns:
        The registry's collector, for work queues and electors: see `InformerCollector`.

    Raises:
        ValueError: the registry has metrics of these names from somewhere else.
    """
    chosen = REGISTRY if registry is None else registry
    with _installing:
        collector = _installed.get(chosen)
        if collector is None:
            collector = InformerCollector()
            chosen.register(collector)
            _installed[chosen] = collector
    return collector


def _is_shown(informer: Any) -> bool:
    return not informer.is_stopped() or informer.has_died


def _read_queue(metrics: _QueueMetrics, name: str) -> Iterator[Reading]:
    stats = metrics.read()
    yield families.DEPTH.of(stats.depth, name)
    yield families.ADDS.of(stats.adds_total, name)
    yield families.RETRIES.of(stats.retries_total, name)
    yield families.QUEUE_SECONDS.of(stats.queue_duration_seconds, name)
    yield families.WORK_SECONDS.of(stats.work_duration_seconds, name)
    yield families.UNFINISHED.of(stats.unfinished_work_seconds, name)
    yield families.LONGEST.of(stats.longest_running_processor_seconds, name)


def _read_elector(metrics: _ElectionMetrics, name: str) -> Iterator[Reading]:
    stats = metrics.read()
    yield families.LEADER.of(stats.master_status, name)
    yield families.SLOW_PATH.of(stats.slowpath_total, name)


_collectors: WeakSet[InformerCollector] = WeakSet()
_installed: WeakKeyDictionary[Any, InformerCollector] = WeakKeyDictionary()
_installing = Lock()


@in_forked_child
def _begin_in_child() -> None:
    global _installing  # noqa: PLW0603
    _installing = Lock()
    for collector in list(_collectors):
        collector._begin()  # noqa: SLF001 - of this very module
