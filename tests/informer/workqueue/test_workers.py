"""Workers that process the keys of a queue."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import queue as queues
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from informer.workqueue import (
    DelayingQueue,
    ItemExponentialFailureRateLimiter,
    PriorityQueue,
    RateLimitingQueue,
    WorkQueue,
    run_workers,
    run_workers_async,
)
from watch import FakeClock

KINDS = pytest.mark.parametrize("kind", [RateLimitingQueue, PriorityQueue], ids=lambda kind: kind.__name__)
MODES = pytest.mark.parametrize("mode", ["sync", "async"])


def as_async(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    async def reconcile(key: Any) -> Any:
        await asyncio.sleep(0)
        return function(key)

    return reconcile


def in_mode(mode: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return function if mode == "sync" else as_async(function)


def quick(make: Callable[..., Any], kind: Any, **options: Any) -> Any:
    """A queue that tries again after a millisecond."""
    return make(kind, ItemExponentialFailureRateLimiter(0.001, 0.001), **options)


@MODES
@KINDS
def test_every_key_is_processed(make: Callable[..., Any], run: Any, kind: Any, mode: str) -> None:
    """run_workers returns when the queue is shut down and what was in it is processed."""
    queue = quick(make, kind)
    seen: list[int] = []
    queue.add_all(range(100))
    queue.shut_down()
    run(lambda: run_workers(queue, in_mode(mode, seen.append), workers=4)).result()
    assert sorted(seen) == list(range(100))
    assert len(queue) == 0


@MODES
@KINDS
def test_a_key_that_fails_is_tried_again(
    make: Callable[..., Any], run: Any, caplog: pytest.LogCaptureFixture, kind: Any, mode: str
) -> None:
    """Its tries are counted until it succeeds, which forgets them; key and error are logged, at a bounded rate."""
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
def test_a_number_is_when_to_look_again(make: Callable[..., Any], run: Any, kind: Any, mode: str) -> None:
    """The key comes again after so many seconds, and earlier failures are forgotten."""
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
        """Whether the key waits, and comes exactly when so many seconds have passed."""
        while not len(queue._waiting):
            assert not task.ends_within(0.001)
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
def test_a_key_keeps_its_priority(make: Callable[..., Any], run: Any, mode: str) -> None:
    """controller-runtime source. What fails, or is to be looked at again, comes with the priority that it had."""
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


@MODES
@KINDS
def test_a_key_is_never_processed_twice_at_once(make: Callable[..., Any], run: Any, kind: Any, mode: str) -> None:
    """However many workers: what is added while a key is processed is one more turn, after it."""
    queue = quick(make, kind)
    running: list[str] = []
    clashes: list[str] = []
    turns = dict.fromkeys("abc", 0)

    def begin(key: str) -> None:
        if key in running:
            clashes.append(key)
        running.append(key)

    def end(key: str) -> float | None:
        turns[key] += 1
        running.remove(key)
        return None if turns[key] > 30 else 0

    def sync(key: str) -> float | None:
        begin(key)
        queue.add(key)
        return end(key)

    async def asynchronous(key: str) -> float | None:
        begin(key)
        queue.add(key)
        await asyncio.sleep(0)
        return end(key)

    queue.add_all("abc")
    task = run(lambda: run_workers(queue, sync if mode == "sync" else asynchronous, workers=8))
    while min(turns.values()) < 31 and not task.ends_within(0.005):
        pass
    queue.shut_down_with_drain()
    task.result()
    assert not clashes


@MODES
@KINDS
def test_what_was_added_again_is_processed_after_a_shut_down(
    make: Callable[..., Any], run: Any, kind: Any, mode: str
) -> None:
    """While a key is being processed the queue may look empty, and yet that key is to come once more."""
    queue = quick(make, kind)
    begun, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def sync(key: str) -> None:
        seen.append(key)
        begun.set()
        go_on.wait(10)

    async def asynchronous(key: str) -> None:
        seen.append(key)
        begun.set()
        while not go_on.is_set():
            await asyncio.sleep(0.001)

    queue.add("a")
    task = run(lambda: run_workers(queue, sync if mode == "sync" else asynchronous, workers=3))
    assert begun.wait(10)
    queue.add("a")
    queue.shut_down()
    assert not task.ends_within(0.02)
    go_on.set()
    task.result()
    assert seen == ["a", "a"]


@MODES
def test_workers_work_at_the_same_time(make: Callable[..., Any], run: Any, mode: str) -> None:
    """As many keys as there are workers are under way, and no more."""
    queue = quick(make, RateLimitingQueue)
    queue.add_all(range(6))
    lock = threading.Lock()
    most = [0, 0]
    three = threading.Barrier(3)

    def sync(key: int) -> None:
        with lock:
            most[0] += 1
            most[1] = max(most)
        three.wait(10)
        with lock:
            most[0] -= 1

    async def asynchronous(key: int) -> None:
        most[0] += 1
        most[1] = max(most)
        while most[1] < 3:
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        most[0] -= 1

    queue.shut_down()
    run(lambda: run_workers(queue, sync if mode == "sync" else asynchronous, workers=3)).result()
    assert most == [0, 3]


@MODES
@pytest.mark.parametrize("drain", [True, False])
def test_stop_lets_what_is_processed_end(make: Callable[..., Any], run: Any, mode: str, drain: bool) -> None:
    """The queue is shut down; what is ready is processed too, or given up."""
    queue = quick(make, RateLimitingQueue)
    stop, begun, go_on = threading.Event(), threading.Event(), threading.Event()
    seen: list[str] = []

    def sync(key: str) -> None:
        begun.set()
        go_on.wait(10)
        seen.append(key)

    async def asynchronous(key: str) -> None:
        begun.set()
        while not go_on.is_set():
            await asyncio.sleep(0.001)
        seen.append(key)

    queue.add_all(["a", "b"])
    queue.add_after("later", 1000)
    reconcile = sync if mode == "sync" else asynchronous
    task = run(lambda: run_workers(queue, reconcile, stop=stop, drain=drain))
    assert begun.wait(10)
    stop.set()
    while not queue.shutting_down:
        assert not task.ends_within(0.001)
    go_on.set()
    task.result()
    assert seen == (["a", "b"] if drain else ["a"])
    assert len(queue) == 0
    run(queue.shut_down_with_drain).result()


@MODES
@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()], ids=lambda e: type(e).__name__
)
def test_whatever_is_raised_ends_no_worker(
    make: Callable[..., Any], run: Any, mode: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """The key is tried again, and the others go on."""
    queue = quick(make, RateLimitingQueue)
    seen: list[str] = []

    def reconcile(key: str) -> None:
        seen.append(key)
        if len(seen) == 1:
            raise error
        if len(seen) == 3:
            queue.shut_down()

    queue.add_all(["bad", "good"])
    run(lambda: run_workers(queue, in_mode(mode, reconcile))).result()
    assert seen == ["bad", "good", "bad"]
    assert "reconciling 'bad' failed" in caplog.text


@pytest.mark.parametrize(
    "result", ["soon", True, float("nan"), float("inf"), object()], ids=["text", "bool", "nan", "inf", "object"]
)
def test_a_result_that_is_no_number_counts_as_a_failure(
    make: Callable[..., Any], run: Any, caplog: pytest.LogCaptureFixture, result: Any
) -> None:
    """The log says what reconcile returned, and what it should."""
    queue = quick(make, RateLimitingQueue)
    results = [result]
    queue.add("a")
    run(lambda: run_workers(queue, lambda key: results.pop() if results else queue.shut_down())).result()
    assert "must return None or seconds" in caplog.text


def test_an_async_function_behind_a_plain_one_is_found_out(
    make: Callable[..., Any], run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A lambda that only makes a coroutine would otherwise do nothing, in silence."""
    queue = quick(make, RateLimitingQueue)
    inner = as_async(lambda key: None)
    queue.add("a")
    queue.shut_down()
    run(lambda: run_workers(queue, lambda key: inner(key))).result()
    assert "pass the async function itself" in caplog.text


def test_async_objects_and_partials_are_async(make: Callable[..., Any], run: Any) -> None:
    """What is async is seen from a callable object and through functools.partial."""

    class Reconciler:
        async def __call__(self, key: str) -> None:
            seen.append((key, asyncio.get_running_loop() is not None))

    async def two(extra: str, key: str) -> None:
        seen.append((key, asyncio.get_running_loop() is not None))

    seen: list[tuple[str, bool]] = []
    for reconcile in (Reconciler(), functools.partial(two, "x")):
        queue = quick(make, RateLimitingQueue)
        queue.add("a")
        queue.shut_down()
        run(lambda queue=queue, reconcile=reconcile: run_workers(queue, reconcile)).result()
    assert seen == [("a", True), ("a", True)]


class Broken:
    """A limiter that fails."""

    def when(self, item: Any) -> float:
        raise LookupError("no limit")

    forget = when
    num_requeues = when


def test_a_limiter_that_fails_ends_no_worker(
    make: Callable[..., Any], run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged; the key is lost, but not held."""
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
    assert "not added again: LookupError('no limit')" in caplog.text


@pytest.mark.parametrize("kind", [WorkQueue, DelayingQueue], ids=lambda kind: kind.__name__)
def test_a_queue_must_be_able_to_try_again(make: Callable[..., Any], kind: Any) -> None:
    """The error names the queue that was given and those that will do."""
    with pytest.raises(TypeError, match=f"RateLimitingQueue or a PriorityQueue.*{kind.__name__}"):
        run_workers(make(kind), print)


def test_misuse_is_named(make: Callable[..., Any]) -> None:
    """No workers, nothing to call, and a plain function where an async one is needed."""
    queue = make(RateLimitingQueue)
    with pytest.raises(ValueError, match="workers=0"):
        run_workers(queue, print, workers=0)
    with pytest.raises(TypeError, match="reconcile"):
        run_workers(queue, "no function")
    with pytest.raises(TypeError, match="no async function"):
        asyncio.run(run_workers_async(queue, print))


class Key:
    """Something that can be seen to be freed."""


@MODES
def test_a_worker_that_waits_holds_no_key(
    make: Callable[..., Any], run: Any, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was processed, well or not, is freed while the worker waits for the next."""
    queue = quick(make, RateLimitingQueue)
    caplog.set_level(logging.CRITICAL, "informer.workqueue")  # what is logged is kept by caplog
    done = threading.Event()
    tries: list[int] = []

    def reconcile(key: Key) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("once")
        done.set()

    task = run(lambda: run_workers(queue, in_mode(mode, reconcile)))
    key = Key()
    ref = weakref.ref(key)
    queue.add(key)
    del key
    assert done.wait(10)
    for _ in range(1000):
        gc.collect()
        if ref() is None or task.ends_within(0.005):
            break
    assert ref() is None
    queue.shut_down()
    task.result()


def test_on_the_callers_loop(make: Callable[..., Any]) -> None:
    """run_workers_async shares the loop with the caller's tasks and ends with the stop event."""

    async def main() -> list[Any]:
        queue = quick(make, RateLimitingQueue)
        loop = asyncio.get_running_loop()
        seen: list[Any] = []
        stop = threading.Event()

        async def reconcile(key: str) -> float | None:
            assert asyncio.get_running_loop() is loop
            seen.append(key)
            if len(seen) == 3:
                stop.set()
            return None

        queue.add_all("abc")
        await asyncio.wait_for(run_workers_async(queue, reconcile, workers=2, stop=stop), 10)
        return seen

    assert asyncio.run(main()) == ["a", "b", "c"]


def test_cancelling_ends_it(make: Callable[..., Any]) -> None:
    """The queue is shut down, what is being processed is cancelled, and nothing stays behind."""

    async def main() -> tuple[list[str], bool]:
        queue = quick(make, RateLimitingQueue)
        seen: list[str] = []
        begun = asyncio.Event()

        async def reconcile(key: str) -> None:
            begun.set()
            try:
                await asyncio.sleep(1000)
            finally:
                seen.append(key)

        queue.add_all("ab")
        task = asyncio.ensure_future(run_workers_async(queue, reconcile))
        await asyncio.wait_for(begun.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen, queue.shutting_down

    assert asyncio.run(main()) == (["a"], True)


@KINDS
@pytest.mark.parametrize("left", [False, True], ids=["empty", "something-left"])
def test_workers_of_a_queue_that_was_shut_down(
    make: Callable[..., Any], caplog: pytest.LogCaptureFixture, kind: Any, left: bool
) -> None:
    """They process what is left; where there is nothing a line says so, as nothing will ever come."""
    queue, seen = make(kind), []
    if left:
        queue.add("a")
    queue.shut_down()
    run_workers(queue, seen.append)
    assert seen == (["a"] if left else [])
    assert ["shut down before" in line for line in caplog.messages] == ([] if left else [True])
