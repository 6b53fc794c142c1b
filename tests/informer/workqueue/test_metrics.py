"""The metrics of work queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from informer.process import SetOnce
from informer.workqueue import (
    DURATION_BUCKETS,
    DelayingQueue,
    PriorityQueue,
    QueueMetrics,
    RateLimitingQueue,
    WorkQueue,
    metrics,
    set_metrics_provider,
)
from watch import FakeClock


class Provider:
    """Keeps the metrics of all queues that it was told of."""

    def __init__(self) -> None:
        self.queues: dict[str, QueueMetrics] = {}
        self.ended: list[str] = []

    def queue_started(self, metrics: QueueMetrics) -> None:
        self.queues[metrics.name] = metrics

    def queue_ended(self, metrics: QueueMetrics) -> None:
        self.ended.append(metrics.name)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.mark.parametrize("kind", [WorkQueue, RateLimitingQueue, PriorityQueue], ids=lambda kind: kind.__name__)
def test_each_step_is_measured(make: Callable[..., Any], clock: FakeClock, kind: Any) -> None:
    """Go: TestMetrics."""
    provider = Provider()
    queue = make(kind, name="test", clock=clock, metrics_provider=provider)
    read = provider.queues["test"].read
    queue.add("foo")
    assert (read().adds_total, read().depth) == (1, 1)
    clock.step(50e-6)
    queue.get(0)
    assert read().queue_duration_seconds.count == 1
    assert read().queue_duration_seconds.total == pytest.approx(50e-6)
    assert read().depth == 0
    for _ in range(5):
        queue.add("foo")
    assert (read().adds_total, read().depth) == (2, 1)
    clock.step(25e-6)
    queue.done("foo")
    assert read().work_duration_seconds.count == 1
    assert read().work_duration_seconds.total == pytest.approx(25e-6)
    assert read().depth == 1
    queue.get(0)
    assert read().queue_duration_seconds.count == 2
    assert read().queue_duration_seconds.total == pytest.approx(75e-6)
    clock.step(0.001)
    assert read().unfinished_work_seconds == pytest.approx(0.001)
    assert read().longest_running_processor_seconds == pytest.approx(0.001)
    queue.done("foo")
    assert read().work_duration_seconds.count == 2
    assert read().work_duration_seconds.total == pytest.approx(0.001025)
    assert read().unfinished_work_seconds == read().longest_running_processor_seconds == 0


def test_unfinished_work_is_a_sum_and_its_longest_a_maximum(make: Callable[..., Any], clock: FakeClock) -> None:
    """client-go source."""
    provider = Provider()
    queue = make(WorkQueue, name="test", clock=clock, metrics_provider=provider)
    queue.add_all(["a", "b"])
    queue.get(0)
    clock.step(2)
    queue.get(0)
    clock.step(1)
    stats = provider.queues["test"].read()
    assert (stats.unfinished_work_seconds, stats.longest_running_processor_seconds) == (4, 3)


def test_a_provider_is_told_once_of_a_shut_down(make: Callable[..., Any], clock: FakeClock) -> None:
    """Go: TestMetricShutdown. No thread runs for the metrics, and they can still be read after the shut-down."""
    provider = Provider()
    queue = make(WorkQueue, name="test", clock=clock, metrics_provider=provider)
    assert not clock.wait_for_waiters(1, 0.01)
    queue.add("foo")
    queue.get(0)
    assert provider.ended == []
    queue.shut_down()
    queue.shut_down()
    assert provider.ended == ["test"]
    clock.step(1)
    queue.done("foo")
    assert provider.queues["test"].read().work_duration_seconds.total == 1


def test_retries_are_counted(make: Callable[..., Any], clock: FakeClock) -> None:
    """client-go source. Each add_after counts; in a PriorityQueue only one with a delay, as in controller-runtime."""
    provider = Provider()
    for kind in (DelayingQueue, RateLimitingQueue, PriorityQueue):
        queue = make(kind, name=kind.__name__, clock=clock, metrics_provider=provider)
        queue.add("foo")
        queue.add_after("foo", 0)
        queue.add_after("foo", 1)
        if kind is not DelayingQueue:
            queue.add_rate_limited("foo")
    retries = {name: found.read().retries_total for name, found in provider.queues.items()}
    assert retries == {"DelayingQueue": 2, "RateLimitingQueue": 3, "PriorityQueue": 2}


def test_durations_are_counted_in_buckets(make: Callable[..., Any], clock: FakeClock) -> None:
    """The bounds are component-base's inclusive upper bounds."""
    provider = Provider()
    queue = make(WorkQueue, name="test", clock=clock, metrics_provider=provider)
    for seconds in (0, 1.0, 5.0, 2000.0):
        queue.add("foo")
        clock.step(seconds)
        queue.done(queue.get(0))
    counts = provider.queues["test"].read().queue_duration_seconds.counts
    found = dict(zip((*DURATION_BUCKETS, "more"), counts, strict=True))
    assert {bound: count for bound, count in found.items() if count} == {1e-8: 1, 1.0: 1, 10.0: 1, "more": 1}


@pytest.mark.parametrize("options", [{"name": ""}, {"metrics_provider": Provider()}, {"name": "test"}])
def test_without_name_or_provider_nothing_is_measured(
    make: Callable[..., Any], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """client-go source."""
    # A test before this one may have set a provider for the process, as a Manager with a server of metrics does.
    monkeypatch.setattr(metrics, "_default", SetOnce())
    assert make(WorkQueue, **options)._metrics is None


def test_the_default_provider_is_set_once(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """client-go source. Later calls have no effect, and a queue's own provider takes precedence."""
    monkeypatch.setattr(metrics, "_default", SetOnce())
    first, second, own = Provider(), Provider(), Provider()
    make(WorkQueue, name="too early")
    set_metrics_provider(first)
    set_metrics_provider(second)
    make(WorkQueue, name="test")
    make(WorkQueue, name="other", metrics_provider=own)
    assert (list(first.queues), list(second.queues), list(own.queues)) == (["test"], [], ["other"])
