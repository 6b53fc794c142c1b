"""What becomes of a key after its reconciliation: forgotten, requeued, or retried with backoff."""

from __future__ import annotations

import logging
import queue as queues
from collections.abc import Callable
from typing import Any

import pytest

from informer.workqueue import ItemExponentialFailureRateLimiter, PriorityQueue, RateLimitingQueue, run_workers
from informer.workqueue.consumer import QueueConsumer
from tests.informer.workqueue.reconcilers import KINDS, MODES, as_async, in_mode, quick
from tests.support.waiting import eventually
from watch import FakeClock


@MODES
@KINDS
def test_a_failing_key_is_retried_until_it_succeeds(
    make: Callable[..., Any], run: Any, caplog: pytest.LogCaptureFixture, kind: Any, mode: str
) -> None:
    """Retries are counted until a success resets them. Key and error are logged, at a bounded rate."""
    queue = quick(make, kind)
    requeues: list[int] = []

    def reconcile(key: str) -> None:
        requeues.append(queue.num_requeues(key))
        if len(requeues) < 20:
            raise RuntimeError("not yet")
        queue.shut_down()

    queue.add("shop/web")
    with caplog.at_level(logging.ERROR, "informer.workqueue"):
        run(lambda: run_workers(queue, in_mode(mode, reconcile))).result()
    assert requeues == list(range(20))
    assert queue.num_requeues("shop/web") == 0
    lines = [record.getMessage() for record in caplog.records]
    assert "reconciling 'shop/web' failed: RuntimeError('not yet')" in lines
    assert len(lines) <= 10


@MODES
@KINDS
def test_a_returned_number_requeues_the_key_after_as_many_seconds(
    make: Callable[..., Any], run: Any, kind: Any, mode: str
) -> None:
    """A returned number also resets the count of earlier failures."""
    clock = FakeClock()
    queue = make(kind, ItemExponentialFailureRateLimiter(1, 1), clock=clock)
    outcomes = [RuntimeError("no"), 30, None]
    calls: queues.Queue[float] = queues.Queue()
    requeues: list[int] = []

    def reconcile(key: str) -> float | None:
        outcome = outcomes.pop(0)
        requeues.append(queue.num_requeues(key))
        calls.put(clock.monotonic())
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def called_after(seconds: float) -> bool:
        """Whether the key waits and is processed exactly after these seconds."""
        assert eventually(lambda: len(queue._waiting))
        clock.step(seconds - 0.001)
        assert len(queue) == 0
        assert calls.empty()
        clock.step(0.001)
        return calls.get(timeout=10) == clock.monotonic()

    queue.add("shop/web")
    task = run(lambda: run_workers(queue, in_mode(mode, reconcile)))
    assert calls.get(timeout=10) == 0
    assert called_after(1)
    assert called_after(30)
    queue.shut_down_with_drain()
    task.result()
    assert requeues == [0, 1, 0]
    assert not outcomes


@MODES
def test_a_requeued_key_keeps_its_priority(make: Callable[..., Any], run: Any, mode: str) -> None:
    """controller-runtime source. Both a failed key and one that returned a number keep their priority."""
    added: list[tuple[str, int]] = []

    class Noting(PriorityQueue[str]):
        def add_after(self, item: str, seconds: float, *, priority: int = 0) -> None:
            added.append((item, priority))
            super().add_after(item, seconds, priority=priority)

    queue = quick(make, Noting)
    seen: list[str] = []

    def reconcile(key: str) -> float | None:
        seen.append(key)
        if len(seen) == 4:
            queue.shut_down()
        if seen.count(key) == 2:
            return None
        if key == "failing":
            raise RuntimeError("no")
        return 0

    queue.add("failing", priority=-7)
    queue.add("again", priority=9)
    run(lambda: run_workers(queue, in_mode(mode, reconcile))).result()
    assert seen == ["again", "again", "failing", "failing"]
    assert added == [("again", 9), ("failing", -7)]


@pytest.mark.parametrize(
    "result", ["soon", True, float("nan"), float("inf"), object()], ids=["text", "bool", "nan", "inf", "object"]
)
def test_an_invalid_result_counts_as_a_failure(
    make: Callable[..., Any], run: Any, caplog: pytest.LogCaptureFixture, result: Any
) -> None:
    """The log shows what reconcile returned and what it may return."""
    queue = quick(make, RateLimitingQueue)
    results = [result]
    queue.add("a")
    run(lambda: run_workers(queue, lambda key: results.pop() if results else queue.shut_down())).result()
    assert "must return None or the seconds to requeue after" in caplog.text


def test_a_coroutine_returned_by_a_plain_function_counts_as_a_failure(
    make: Callable[..., Any], run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A lambda that only creates a coroutine would do nothing; the log says to pass the async function itself."""
    queue = quick(make, RateLimitingQueue)
    inner = as_async(lambda key: None)
    queue.add("a")
    queue.shut_down()
    run(lambda: run_workers(queue, lambda key: inner(key))).result()
    assert "pass the async function itself" in caplog.text


class Broken:
    """A limiter that raises."""

    def when(self, item: Any) -> float:
        raise LookupError("no limit")

    forget = when
    num_requeues = when


def test_a_failing_limiter_ends_no_worker(make: Callable[..., Any], run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged, the key is not requeued, and the worker goes on with the next key."""
    queue = make(RateLimitingQueue, Broken())
    seen: list[str] = []

    def reconcile(key: str) -> None:
        seen.append(key)
        if key == "a":
            raise RuntimeError

    queue.add_all("ab")
    queue.shut_down()
    run(lambda: run_workers(queue, reconcile)).result()
    assert seen == ["a", "b"]
    assert "failed to requeue 'a': its rate limiter raised LookupError('no limit')" in caplog.text


@pytest.mark.parametrize("drain", [True, False])
def test_take_returns_the_ready_keys_after_stop_only_if_it_drains(make: Callable[..., Any], drain: bool) -> None:
    """Dropped keys are done: a draining shut-down does not wait for them."""
    queue = make(RateLimitingQueue)
    queue.add_all("ab")
    consumer = QueueConsumer(queue, drain=drain)
    assert consumer.take() == ("a", 0)
    consumer.done("a")
    consumer.stop()
    assert consumer.take() == (("b", 0) if drain else None)
    consumer.done("b")
    assert consumer.take() is None
    queue.shut_down_with_drain()
    assert len(queue) == 0


def test_abandon_drops_the_ready_keys(make: Callable[..., Any]) -> None:
    """A consumer that drains does not do so any more."""
    queue = make(RateLimitingQueue)
    queue.add_all("ab")
    consumer = QueueConsumer(queue, drain=True)
    consumer.abandon()
    assert consumer.take() is None
    assert len(queue) == 0
    assert queue.shutting_down
