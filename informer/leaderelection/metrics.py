"""What an elector counts, for whoever shows it.

Nothing is pushed: the numbers are made up when they are read. An elector without a provider measures all the same, which
costs nothing, and shows it to nobody.

The names are those of client-go's metrics without "leader_election_": master_status, slowpath_total.
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
    """An elector's numbers, as they were at one moment.

    Attributes:
        master_status: 1 while it leads, else 0.
        slowpath_total: renewals that had to read the lease first, since somebody had changed it, or the server's answer to the
            renewal before was lost.
    """

    master_status: int
    slowpath_total: int


class MetricsProvider(Protocol):
    """Who shows the metrics of electors.

    Threads: called on the thread that makes an elector; what it raises comes out there.
    """

    def elector_started(self, metrics: ElectionMetrics) -> object:
        """There is a new elector: `metrics.read()` gives its numbers, at any time and on any thread."""
        ...


class ElectionMetrics:
    """The numbers of one elector.

    Args:
        name: the elector's.
        is_leader: says whether it leads.

    Threads: any.
    """

    def __init__(self, name: str, is_leader: Callable[[], bool]) -> None:
        self._name = name
        self._is_leader = is_leader
        self._lock = Lock()
        self._slow = 0  # guarded by _lock

    @property
    def name(self) -> str:
        """The elector's name."""
        return self._name

    def read(self) -> ElectionStats:
        """The numbers as they are now."""
        with self._lock:
            slow = self._slow
        return ElectionStats(int(self._is_leader()), slow)

    def slow_path_taken(self) -> None:
        """A renewal has read the lease first."""
        with self._lock:
            self._slow += 1


# The provider of electors that were given none.
_default: SetOnce[MetricsProvider] = SetOnce()


def set_metrics_provider(provider: MetricsProvider) -> None:
    """Has the metrics of all electors made from now on given to a provider.

    Only the first call has an effect.

    Source: client-go tools/leaderelection SetProvider.
    """
    _default.set(provider)


def metrics_for(name: str, is_leader: Callable[[], bool], provider: MetricsProvider | None = None) -> ElectionMetrics:
    """What a new elector measures with."""
    metrics = ElectionMetrics(name, is_leader)
    provider = _default.value if provider is None else provider
    if provider is not None:
        provider.elector_started(metrics)
    return metrics
