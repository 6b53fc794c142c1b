"""A Prometheus collector for the informers, work queues and electors of this process.

Metrics are computed during a scrape, on its thread, from numbers that the objects keep anyway. So they cost nothing between
scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from informer.metrics import families
from informer.metrics.client import REGISTRY, Collector, CollectorRegistry, Metric
from informer.metrics.families import FAMILIES, Histogram, Reading, UniqueNames, to_metrics
from informer.metrics.informers import read_informer
from informer.process import informers
from informer.rate_limited_log import rate_limited
from informer.shared.shared_informer import SharedInformer
from watch.concurrency import Lock, RLock, in_forked_child
from watch.logs import get_logger

__all__ = ["InformerCollector", "install"]

T = TypeVar("T")

Read: TypeAlias = tuple[T, str, list[Reading]]
"""An object that was read, its unique name, and its readings."""

_log = get_logger(__name__)


class _QueueStats(Protocol):
    """What is read of `informer.workqueue.QueueStats`, which this package must not import."""

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
    """What is read of `informer.leaderelection.ElectionStats`, which this package must not import."""

    @property
    def master_status(self) -> int: ...
    @property
    def slowpath_total(self) -> int: ...


class _ElectionMetrics(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def leader(self) -> str: ...
    def read(self) -> _ElectionStats: ...


class InformerCollector(Collector):
    """A Prometheus collector that shows informers, work queues and electors. `install` makes one and registers it.

    Every informer of this process is shown from its start to its stop. Work queues and electors are shown if the collector is
    their metrics provider, which these calls arrange:

        informer.workqueue.set_metrics_provider(collector)
        informer.leaderelection.set_metrics_provider(collector)

    Two objects of one name are shown as "pods" and "pods#2". The collector keeps no object alive. An object whose reading
    fails is left out of the scrape; the failure is logged and counted in `informer_metrics_read_errors_total`. A forked child
    does not show its parent's objects.

    Threads: all methods are safe on any thread.
    """

    def __init__(self) -> None:
        self._limited = rate_limited(_log)
        # Reentrant, since a signal handler may shut a queue down in the middle of a scrape.
        self._lock = RLock()
        self._reset()
        _collectors.add(self)

    def collect(self) -> Iterable[Metric]:
        """Reads all objects and returns their metrics. The registry calls it for every scrape."""
        read = (*self.read_informers(), *self.read_queues(), *self.read_electors())
        readings = [reading for _, _, found in read for reading in found]
        readings.append(families.READ_ERRORS.of(self._read_errors))
        return list(to_metrics(readings))

    def describe(self) -> Iterable[Metric]:
        """Returns all metrics without samples, from which a registry knows the names that are taken."""
        return [Metric(family.name, family.text, family.kind) for family in FAMILIES]

    def queue_started(self, metrics: _QueueMetrics) -> None:
        """Begins to show a work queue. `informer.workqueue` calls it for each new queue."""
        with self._lock:
            self._queues[metrics] = None

    def queue_ended(self, metrics: _QueueMetrics) -> None:
        """Stops showing a work queue. `informer.workqueue` calls it when a queue is shut down."""
        with self._lock:
            self._queues.pop(metrics, None)

    def elector_started(self, metrics: _ElectionMetrics) -> None:
        """Begins to show an elector. `informer.leaderelection` calls it for each new elector."""
        with self._lock:
            self._electors[metrics] = None

    def named_informers(self) -> list[tuple[SharedInformer[Any], str]]:
        """Internal: returns the informers that are shown, with their unique names."""
        with self._lock:
            return self._informer_names.assign((each, each.name) for each in informers() if _is_shown(each))

    def read_informers(self) -> list[Read[SharedInformer[Any]]]:
        """Internal: reads the informers: each with its unique name and its readings."""
        return self._read(self.named_informers(), read_informer)

    def read_queues(self) -> list[Read[_QueueMetrics]]:
        """Internal: reads the work queues."""
        with self._lock:
            named = self._queue_names.assign((each, each.name) for each in list(self._queues))
        return self._read(named, _read_queue)

    def read_electors(self) -> list[Read[_ElectionMetrics]]:
        """Internal: reads the electors, of which a shard has one each."""
        with self._lock:
            named = self._elector_names.assign((each, each.name) for each in list(self._electors))
        return self._read(named, _read_elector)

    def _reset(self) -> None:
        """Forgets everything; a forked child shows nothing of its parent's."""
        # All guarded by _lock.
        self._informer_names = UniqueNames()
        self._queue_names = UniqueNames()
        self._elector_names = UniqueNames()
        self._queues: WeakKeyDictionary[_QueueMetrics, None] = WeakKeyDictionary()
        self._electors: WeakKeyDictionary[_ElectionMetrics, None] = WeakKeyDictionary()
        self._read_errors = 0

    def _read(self, named: list[tuple[T, str]], read: Callable[[T, str], Iterator[Reading]]) -> list[Read[T]]:
        done = []
        for each, name in named:
            try:
                done.append((each, name, list(read(each, name))))
            # A user's clock or list-watch may raise anything, which must not hide the other objects.
            except Exception as error:
                with self._lock:
                    self._read_errors += 1
                self._limited.warning("failed to read the metrics of %s: %r", name, error, exc_info=error)
        return done


def install(registry: CollectorRegistry | None = None) -> InformerCollector:
    """Adds the metrics of all informers of this process, also of those started later, to a Prometheus registry.

    Calling it again for the same registry returns the same collector.

    Args:
        registry: the Prometheus registry. None: the Prometheus client's default registry.

    Returns:
        The collector, to be set as the metrics provider of work queues and electors.

    Raises:
        ValueError: another collector of the registry has metrics of the same names.

    Threads: any.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> from informer.workqueue import WorkQueue
        >>> registry = CollectorRegistry()
        >>> queue = WorkQueue(name="pods", metrics_provider=install(registry))
        >>> queue.add("shop/web")
        >>> registry.get_sample_value("workqueue_depth", {"name": "pods"})
        1
        >>> queue.shut_down()
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
def _reset_in_child() -> None:
    for collector in list(_collectors):
        collector._reset()  # noqa: SLF001 - a class of this module
