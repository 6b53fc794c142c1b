"""Workers that process the keys of a queue, on threads and on an event loop; and `parallelize_until`."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from informer.workqueue import DelayingQueue, RateLimitingQueue, WorkQueue, parallelize_until, run_workers
from tests.informer.workqueue.reconcilers import KINDS, MODES, in_mode, quick
from tests.support.waiting import eventually


@MODES
@KINDS
def test_every_key_is_processed(make: Callable[..., Any], run: Any, kind: Any, mode: str) -> None:
    """run_workers returns once the queue is shut down and all of its keys are processed."""
    queue = quick(make, kind)
    seen: list[int] = []
    queue.add_all(range(100))
    queue.shut_down()
    run(lambda: run_workers(queue, in_mode(mode, seen.append), workers=4)).result()
    assert sorted(seen) == list(range(100))
    assert len(queue) == 0


@MODES
@KINDS
def test_a_key_is_never_processed_by_two_workers_at_once(
    make: Callable[..., Any], run: Any, kind: Any, mode: str
) -> None:
    """A key that is added while it is processed runs once more, after the current run, however many workers there are."""
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
    assert eventually(lambda: min(turns.values()) >= 31)
    queue.shut_down_with_drain()
    task.result()
    assert not clashes


@MODES
@KINDS
def test_a_key_added_again_while_processed_is_processed_even_after_a_shut_down(
    make: Callable[..., Any], run: Any, kind: Any, mode: str
) -> None:
    """The queue may look empty while the key is processed; workers must not end before its second run."""
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
        await asyncio.to_thread(go_on.wait, 10)

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
def test_as_many_keys_as_workers_are_processed_at_the_same_time(make: Callable[..., Any], run: Any, mode: str) -> None:
    """Three workers process three keys at once, never more."""
    queue = quick(make, RateLimitingQueue)
    queue.add_all(range(6))
    lock = threading.Lock()
    most = [0, 0]
    three, three_tasks = threading.Barrier(3), asyncio.Barrier(3)

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
        await asyncio.wait_for(three_tasks.wait(), 10)
        most[0] -= 1

    queue.shut_down()
    run(lambda: run_workers(queue, sync if mode == "sync" else asynchronous, workers=3)).result()
    assert most == [0, 3]


@MODES
@pytest.mark.parametrize("drain", [True, False])
def test_stop_finishes_the_calls_under_way_and_drains_only_on_request(
    make: Callable[..., Any], run: Any, mode: str, drain: bool
) -> None:
    """Setting `stop` shuts the queue down. With `drain` the ready keys are processed too, without it they are dropped."""
    queue = quick(make, RateLimitingQueue)
    stop, begun, go_on = threading.Event(), threading.Event(), threading.Event()
    seen: list[str] = []

    def sync(key: str) -> None:
        begun.set()
        go_on.wait(10)
        seen.append(key)

    async def asynchronous(key: str) -> None:
        begun.set()
        await asyncio.to_thread(go_on.wait, 10)
        seen.append(key)

    queue.add_all(["a", "b"])
    queue.add_after("later", 1000)
    reconcile = sync if mode == "sync" else asynchronous
    task = run(lambda: run_workers(queue, reconcile, stop=stop, drain=drain))
    assert begun.wait(10)
    stop.set()
    assert eventually(lambda: queue.shutting_down)
    go_on.set()
    task.result()
    assert seen == (["a", "b"] if drain else ["a"])
    assert len(queue) == 0
    run(queue.shut_down_with_drain).result()


@MODES
@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()], ids=lambda e: type(e).__name__
)
def test_no_exception_ends_a_worker(
    make: Callable[..., Any], run: Any, mode: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Even SystemExit only has the key retried, and the worker goes on with the next key."""
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


@pytest.mark.parametrize("kind", [WorkQueue, DelayingQueue], ids=lambda kind: kind.__name__)
def test_a_queue_that_cannot_retry_is_refused(make: Callable[..., Any], kind: Any) -> None:
    """The error names the given queue class and those that work."""
    with pytest.raises(TypeError, match=f"RateLimitingQueue or a PriorityQueue.*{kind.__name__}"):
        run_workers(make(kind), print)


def test_wrong_arguments_are_refused(make: Callable[..., Any]) -> None:
    """Zero workers and a reconcile that is not callable raise an error that names the argument."""
    queue = make(RateLimitingQueue)
    with pytest.raises(ValueError, match="workers must be at least 1, not 0"):
        run_workers(queue, print, workers=0)
    with pytest.raises(TypeError, match="reconcile"):
        run_workers(queue, "no function")


class Key:
    """A key that can be weakly referenced."""


@MODES
def test_a_waiting_worker_does_not_keep_its_last_key_alive(
    make: Callable[..., Any], run: Any, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A key is freed after it was processed, also after a failure, while the worker waits for the next one."""
    queue = quick(make, RateLimitingQueue)
    caplog.set_level(logging.CRITICAL, "informer.workqueue")  # caplog would keep the logged key alive
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

    def is_freed() -> bool:
        gc.collect()
        return ref() is None

    assert eventually(is_freed)
    queue.shut_down()
    task.result()


@KINDS
@pytest.mark.parametrize("left", [False, True], ids=["empty", "something-left"])
def test_workers_of_a_queue_that_is_shut_down_process_what_is_left(
    make: Callable[..., Any], caplog: pytest.LogCaptureFixture, kind: Any, left: bool
) -> None:
    """If nothing is left, a warning says that no key will ever be processed."""
    queue, seen = make(kind), []
    if left:
        queue.add("a")
    queue.shut_down()
    run_workers(queue, seen.append)
    assert seen == (["a"] if left else [])
    assert ["already shut down" in line for line in caplog.messages] == ([] if left else [True])


@pytest.mark.parametrize(
    ("pieces", "workers", "chunk_size"),
    [(1000, 10, 1), (1000, 10, 10), (1000, 10, 100), (999, 10, 13), (0, 10, 1), (3, 10, 0), (5, 1, 100)],
)
def test_each_piece_is_processed_once(pieces: int, workers: int, chunk_size: int) -> None:
    """Go: TestParallelizeUntil."""
    done = [0] * pieces
    lock = threading.Lock()

    def do_piece(piece: int) -> None:
        with lock:
            done[piece] += 1

    parallelize_until(workers, pieces, do_piece, chunk_size=chunk_size)
    assert done == [1] * pieces


@pytest.mark.parametrize("chunk_size", [1, 100])
def test_no_piece_begins_after_stop(chunk_size: int) -> None:
    """client-go source. Pieces that have begun are finished."""
    stop = threading.Event()
    done: list[int] = []

    def do_piece(piece: int) -> None:
        done.append(piece)
        if piece == 3:
            stop.set()

    parallelize_until(1, 1000, do_piece, chunk_size=chunk_size, stop=stop)
    assert done == [0, 1, 2, 3]


def test_there_are_no_more_threads_than_chunks() -> None:
    """client-go source."""
    threads = set()
    both = threading.Barrier(2)

    def do_piece(piece: int) -> None:
        threads.add(threading.current_thread())
        both.wait(10)

    parallelize_until(100, 2, do_piece)
    assert len(threads) == 2


def test_the_first_error_is_raised_and_no_further_piece_begins() -> None:
    """Pieces before the failing one have been processed, pieces after it have not."""
    done: list[int] = []

    def do_piece(piece: int) -> None:
        done.append(piece)
        if piece == 5:
            raise LookupError("five")

    with pytest.raises(LookupError, match="five"):
        parallelize_until(1, 100, do_piece)
    assert done == [0, 1, 2, 3, 4, 5]


def test_without_a_worker_no_piece_is_processed() -> None:
    """client-go source."""
    done: list[int] = []
    parallelize_until(0, 10, done.append)
    assert done == []
