"""What an elector shows to whoever collects metrics."""

from __future__ import annotations

from typing import Any

import pytest

from informer.leaderelection import ElectionMetrics, ElectionStats, metrics as metrics_module, set_metrics_provider
from informer.process import SetOnce
from watch import FakeClock


class Provider:
    def __init__(self) -> None:
        self.metrics: list[ElectionMetrics] = []

    def elector_started(self, metrics: ElectionMetrics) -> None:
        self.metrics.append(metrics)


def test_status_and_slow_path(leading: Any, lease: Any, clock: FakeClock) -> None:
    """Leading is 1, and 0 before and after; a renewal that had to read the lease counts."""
    provider = Provider()
    each = leading(metrics_provider=provider, name="mine")
    (metrics,) = provider.metrics
    assert metrics.name == "mine"
    assert metrics.read() == ElectionStats(0, 0)
    each.lead()
    assert metrics.read() == ElectionStats(1, 0)
    lease.write(lease.record)
    calls = len(each.lock.calls)
    clock.step(2)
    assert each.lock.wait_for_calls(calls + 3)
    each.settle()
    assert metrics.read() == ElectionStats(1, 1)
    clock.step(15)
    assert metrics.read().master_status == 0, "at once, whoever has noticed"


def test_the_first_provider_is_that_of_all(leading: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of client-go's SetProvider; a name that is not given is the lock's description."""
    monkeypatch.setattr(metrics_module, "_default", SetOnce())
    first, second = Provider(), Provider()
    set_metrics_provider(first)
    set_metrics_provider(second)
    leading()
    assert [each.name for each in first.metrics] == ["foo/bar"]
    assert second.metrics == []
