"""What a scrape shows of work queues and electors, whose metrics provider the collector is."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import pytest

from informer.leaderelection import ElectionMetrics
from informer.workqueue import RateLimitingQueue, WorkQueue
from watch import FakeClock


def test_a_work_queue(scrape, collector) -> None:
    """Go: TestMetrics. Depth, adds, waits, work, what is under way and retries, under client-go's names."""
    clock = FakeClock()
    queue = RateLimitingQueue(name="test", clock=clock, metrics_provider=collector)
    for item in ("foo", "bar", "foo"):
        queue.add(item)
    clock.step(0.05)
    assert queue.get() == "foo"
    clock.step(2)
    shown = scrape()
    for metric, value in {
        "workqueue_depth": 1,
        "workqueue_adds_total": 2,
        "workqueue_retries_total": 0,
        "workqueue_queue_duration_seconds_count": 1,
        "workqueue_queue_duration_seconds_sum": 0.05,
        "workqueue_work_duration_seconds_count": 0,
        "workqueue_unfinished_work_seconds": 2,
        "workqueue_longest_running_processor_seconds": 2,
    }.items():
        assert shown.value(metric, "test") == pytest.approx(value), metric
    queue.done("foo")
    queue.add_after("later", 10)
    shown = scrape()
    buckets = {
        le: shown.value("workqueue_work_duration_seconds_bucket", "test", le=le)
        for le in ("1.0", "10.0", "1e-08", "+Inf")
    }
    assert buckets == {"1e-08": 0, "1.0": 0, "10.0": 1, "+Inf": 1}
    assert shown.value("workqueue_unfinished_work_seconds", "test") == 0
    assert shown.value("workqueue_retries_total", "test") == 1
    queue.shut_down()
    assert scrape().labels("workqueue_depth") == []


def test_queues_of_the_same_name_are_told_apart(scrape, collector) -> None:
    """And one that nobody refers to is gone, even if it was not shut down."""
    first, second = (WorkQueue(name="q", metrics_provider=collector) for _ in range(2))
    second.add("x")
    shown = scrape()
    assert shown.value("workqueue_depth", "q") == 0
    assert shown.value("workqueue_depth", "q#2") == 1
    del second
    gc.collect()
    assert scrape().labels("workqueue_depth") == [{"name": "q"}]
    first.shut_down()


def test_a_queue_without_a_name_is_not_shown(scrape, collector) -> None:
    """client-go source. It measures nothing."""
    queue = WorkQueue(metrics_provider=collector)
    queue.add("x")
    assert scrape().labels("workqueue_depth") == []


class FailingClock(FakeClock):
    """A clock that fails when it is told to."""

    failing = False

    def monotonic(self) -> float:
        if self.failing:
            raise RuntimeError("no time")
        return super().monotonic()


def test_a_queue_that_cannot_be_read_hides_no_other(scrape, collector) -> None:
    """A clock of a user's may fail: that is counted, and the others are shown."""
    clock = FailingClock()
    odd = WorkQueue(name="odd", clock=clock, metrics_provider=collector)
    queue = WorkQueue(name="q", metrics_provider=collector)
    clock.failing = True
    shown = scrape()
    assert shown.labels("workqueue_depth") == [{"name": "q"}]
    assert shown.value("informer_metrics_read_errors_total", None) == 1
    odd.shut_down()
    queue.shut_down()


def test_an_elector(scrape, collector) -> None:
    """Whether it leads, and its slow renewals."""
    state: Any = SimpleNamespace(leads=False)
    metrics = ElectionMetrics("shop/leader", lambda: state.leads)
    collector.elector_started(metrics)
    assert scrape().value("leader_election_master_status", "shop/leader") == 0
    state.leads = True
    metrics.slow_path_taken()
    shown = scrape()
    assert shown.value("leader_election_master_status", "shop/leader") == 1
    assert shown.value("leader_election_slowpath_total", "shop/leader") == 1
    del metrics
    gc.collect()
    assert scrape().labels("leader_election_master_status") == []
