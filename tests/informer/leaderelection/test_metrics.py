"""The metrics of electors."""

from __future__ import annotations

from typing import Any

import pytest

from informer.leaderelection import ElectionMetrics, ElectionStats, metrics as metrics_module, set_metrics_provider
from informer.process import SetOnce
from watch import FakeClock


class Provider:
    def __init__(self) -> None:
        self.metrics: list[ElectionMetrics] = []
        self.first_stats: list[ElectionStats] = []

    def elector_started(self, metrics: ElectionMetrics) -> None:
        self.metrics.append(metrics)
        self.first_stats.append(metrics.read())


def test_an_elector_measures_its_status_and_slow_path(make_election: Any, lease: Any, clock: FakeClock) -> None:
    """The status is 1 while it leads, and a renewal that had to read the lease counts."""
    provider = Provider()
    election = make_election(metrics_provider=provider, name="mine")
    (metrics,) = provider.metrics
    assert metrics.name == "mine"
    assert metrics.read() == provider.first_stats[0] == ElectionStats(0, 0)
    election.lead()
    assert metrics.read() == ElectionStats(1, 0)
    lease.write(lease.record)
    calls = len(election.lock.calls)
    clock.step(2)
    assert election.lock.wait_for_calls(calls + 3)
    election.settle()
    assert metrics.read() == ElectionStats(1, 1)
    clock.step(15)
    assert metrics.read().master_status == 0, "at once, before any thread has noticed"


def test_the_first_default_provider_stays(make_election: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with client-go's SetProvider. An elector without a name has the lock's description."""
    monkeypatch.setattr(metrics_module, "_default", SetOnce())
    first, second = Provider(), Provider()
    set_metrics_provider(first)
    set_metrics_provider(second)
    make_election()
    assert [each.name for each in first.metrics] == ["foo/bar"]
    assert second.metrics == []


def test_metrics_name_the_last_observed_leader(make_election: Any) -> None:
    """It is "" before the lease was read."""
    provider = Provider()
    election = make_election(metrics_provider=provider)
    (metrics,) = provider.metrics
    assert metrics.leader == ""
    election.lead()
    assert metrics.leader == election.elector.leader != ""
