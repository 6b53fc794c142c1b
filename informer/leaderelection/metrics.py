"""Metrics of electors.

A provider reads the numbers when it shows them; nothing is pushed. The names are those of client-go's metrics without the
prefix "leader_election_": master_status and slowpath_total.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from informer.process import SetOnce
from watch.concurrency import Lock

__all__ = ["ElectionMetrics", "ElectionStats", "MetricsProvider", "set_metrics_provider"]


@dataclass(frozen=True)
class ElectionStats:
    """The metrics of an elector at one moment.

    Attributes:
        master_status: 1 while the elector leads, else 0.
        slowpath_total: the number of renewals that had to read the lease first, because it had changed or because the answer
            to the renewal before was lost.
    """

    master_status: int
    slowpath_total: int


class MetricsProvider(Protocol):
    """Receives the metrics of each new elector, for instance to export them to Prometheus.

    Threads: called on the thread that makes the elector. An exception reaches that thread.
    """

    def elector_started(self, metrics: ElectionMetrics) -> object:
        """Called with the metrics of a new elector. `metrics.read()` may be called at any time, from any thread."""
        ...


class ElectionMetrics:
    """The metrics of one elector.

    Args:
        name: the elector's name.
        is_leader: returns whether the elector leads.

    Threads: all methods may be called from any thread.
    """

    def __init__(self, name: str, is_leader: Callable[[], bool]) -> None:
        self._name = name
        self._is_leader = is_leader
        self._find_leader: Callable[[], str] = lambda: ""
        self._lock = Lock()
        self._slow = 0  # guarded by _lock

    @property
    def name(self) -> str:
        """The elector's name."""
        return self._name

    @property
    def leader(self) -> str:
        """The identity of the last observed leader; "" if there is none."""
        return self._find_leader()

    def read_leader_from(self, find_leader: Callable[[], str]) -> None:
        """Sets the function that `leader` calls."""
        self._find_leader = find_leader

    def read(self) -> ElectionStats:
        """Returns the present numbers."""
        with self._lock:
            slow = self._slow
        return ElectionStats(int(self._is_leader()), slow)

    def slow_path_taken(self) -> None:
        """Counts a renewal that had to read the lease first."""
        with self._lock:
            self._slow += 1


# For electors without a provider of their own.
_default: SetOnce[MetricsProvider] = SetOnce()


def set_metrics_provider(provider: MetricsProvider) -> None:
    """Sets the provider for the electors that are made from now on. Only the first call has an effect.

    Source: client-go tools/leaderelection SetProvider.
    """
    _default.set(provider)


def metrics_for(name: str, is_leader: Callable[[], bool], provider: MetricsProvider | None = None) -> ElectionMetrics:
    """Returns the metrics of a new elector, and passes them to its provider if there is one."""
    metrics = ElectionMetrics(name, is_leader)
    provider = _default.value if provider is None else provider
    if provider is not None:
        provider.elector_started(metrics)
    return metrics
