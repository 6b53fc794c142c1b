"""Workers, which take keys from a queue and call the user's function with each; and `parallelize_until`."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from typing_extensions import TypeVar

from informer.arguments import check_function, is_async
from informer.thread_group import ThreadGroup
from informer.workqueue.consumer import QueueConsumer
from informer.workqueue.rate_limiting import RateLimitingQueue
from watch.concurrency import on_set
from watch.logs import get_logger

__all__ = ["parallelize_until", "run_workers", "run_workers_async"]

_log = get_logger(__name__)

T = TypeVar("T", bound=Hashable, default=Any)


def run_workers(
    queue: RateLimitingQueue[T],
    reconcile: Callable[[T], float | None] | Callable[[T], Awaitable[float | None]],
    *,
    workers: int = 1,
    stop: threading.Event | None = None,
    drain: bool = True,
) -> None:
    """Calls `reconcile` with each key of the queue until the queue is shut down and its keys are processed.

    A key is never processed by two workers at once. A key that is added while a worker processes it is processed once more
    afterwards.

    Args:
        queue: a `RateLimitingQueue` or `PriorityQueue`.
        reconcile: called with each key. It returns None when the key needs nothing more, or the seconds after which to
            process it again; either resets the key's backoff. An exception is logged, and the key is retried with backoff.
            An async function runs on an event loop that these workers start.
        workers: how many keys are processed at the same time, at most.
        stop: shuts down the queue, for good, when it is set. None: the caller shuts down the queue.
        drain: whether keys that are ready when `stop` is set are still processed. Keys that wait for a delay are dropped.

    Raises:
        TypeError: the queue cannot retry keys, or reconcile cannot be called with a key.
        ValueError: workers is below 1.

    Threads: blocks the calling thread, on which signal handlers still run. `reconcile` is called on `workers` other threads,
    or on one other thread if it is async. An exception on the calling thread, such as KeyboardInterrupt, stops the workers
    without draining; it is raised again once the calls under way have ended.

    Example:
        >>> from informer.workqueue import RateLimitingQueue
        >>> queue = RateLimitingQueue()
        >>> queue.add("shop/web")
        >>> queue.shut_down()
        >>> run_workers(queue, lambda key: print("reconciling", key))
        reconciling shop/web

    Source: sigs.k8s.io/controller-runtime pkg/internal/controller reconcileHandler.
    """
    _check(queue, reconcile, workers)
    consumer = QueueConsumer(queue, drain=drain)
    if is_async(reconcile):
        # asyncio is loaded only where it is used.
        from informer.workqueue.async_workers import AsyncWorkers

        _run([AsyncWorkers(consumer, reconcile, workers).run], consumer, stop)
    else:
        _run([lambda: _process_all(consumer, reconcile)] * workers, consumer, stop)


async def run_workers_async(
    queue: RateLimitingQueue[T],
    reconcile: Callable[[T], Awaitable[float | None]],
    *,
    workers: int = 1,
    stop: threading.Event | None = None,
    drain: bool = True,
) -> None:
    """Does what `run_workers` does with an async function, on the running event loop.

    Cancelling it shuts down the queue and cancels the calls under way.

    Args:
        queue: a `RateLimitingQueue` or `PriorityQueue`.
        reconcile: an async function, called with each key. Its result and its exceptions mean what they mean to `run_workers`.
        workers: how many calls are under way at the same time, at most.
        stop: shuts down the queue, for good, when it is set. None: the caller shuts down the queue.
        drain: whether keys that are ready when `stop` is set are still processed.

    Raises:
        TypeError: the queue cannot retry keys, or reconcile is not an async function.
        ValueError: workers is below 1.

    Threads: does not block the loop; one thread waits for keys.
    """
    from informer.workqueue.async_workers import AsyncWorkers

    _check(queue, reconcile, workers)
    if not is_async(reconcile):
        raise TypeError("reconcile is not an async function and would block the event loop: use run_workers")
    consumer = QueueConsumer(queue, drain=drain)
    unsubscribe = None if stop is None else on_set(stop, consumer.stop)
    try:
        await AsyncWorkers(consumer, reconcile, workers).serve()
    finally:
        if unsubscribe is not None:
            unsubscribe()


def parallelize_until(
    workers: int,
    pieces: int,
    do_piece: Callable[[int], object],
    *,
    chunk_size: int = 1,
    stop: threading.Event | None = None,
) -> None:
    """Calls a function once with each number from 0 to `pieces` - 1, on several threads, and waits for all calls.

    Args:
        workers: the number of threads, at most. Below 1, nothing is called.
        pieces: the number of calls.
        do_piece: the function. Once it raises, no further call begins.
        chunk_size: how many consecutive numbers a thread takes at a time; below 1 counts as 1.
        stop: once it is set, no further call begins.

    Raises:
        BaseException: what the first failing call raised, after the calls under way have ended.

    Threads: blocks; `do_piece` is called on other threads.

    Source: client-go util/workqueue ParallelizeUntil.
    """
    check_function("do_piece", do_piece, 1)
    errors: list[BaseException] = []

    def run(chunk: range) -> None:
        for piece in chunk:
            if errors or (stop is not None and stop.is_set()):
                return
            try:
                do_piece(piece)
            except BaseException as error:
                errors.append(error)

    size = max(1, chunk_size)
    chunks = [range(start, min(start + size, pieces)) for start in range(0, pieces, size)]
    if not chunks or workers < 1:
        return
    pool = ThreadPoolExecutor(min(workers, len(chunks)), "work-queue-worker")
    try:
        for chunk in chunks:
            pool.submit(run, chunk)
        pool.shutdown()
    # Such as KeyboardInterrupt, on the calling thread: the calls under way are still waited for.
    except BaseException as error:
        errors.append(error)
        pool.shutdown()
    if errors:
        raise errors[0]


def _check(queue: object, reconcile: object, workers: int) -> None:
    if not isinstance(queue, RateLimitingQueue):
        raise TypeError(
            "workers need a RateLimitingQueue or a PriorityQueue, which can retry keys with backoff, "
            f"not a {type(queue).__qualname__}"
        )
    check_function("reconcile", reconcile, 1, may_be_async=True)
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}: without a worker no key would be processed")
    if queue.shutting_down and not len(queue):
        # Happens when an elector leads for the second time with the queue of its first term.
        _log.warning("the work queue is empty and already shut down: no key will ever be processed; make a new queue")


def _run(targets: list[Callable[[], object]], consumer: QueueConsumer[T], stop: threading.Event | None) -> None:
    threads = ThreadGroup()
    unsubscribe = None if stop is None else on_set(stop, consumer.stop)
    try:
        for target in targets:
            threads.start(target, "work-queue-worker")
        threads.close()
        # Unlike `join`, it lets signal handlers run on the main thread.
        threads.ended.wait()
    except BaseException:
        consumer.abandon()
        threads.close()
        threads.ended.wait()
        raise
    finally:
        if unsubscribe is not None:
            unsubscribe()


def _process_all(consumer: QueueConsumer[T], reconcile: Callable[[T], Any]) -> None:
    while _process_one(consumer, reconcile):
        pass


def _process_one(consumer: QueueConsumer[T], reconcile: Callable[[T], Any]) -> bool:
    # A function of its own, so that a waiting worker does not keep its previous key alive.
    taken = consumer.take()
    if taken is None:
        return False
    key, priority = taken
    try:
        consumer.handle_result(key, priority, reconcile(key))
    # SystemExit too: it would end this thread and nothing else, and the key would not be retried.
    except BaseException as error:
        consumer.handle_error(key, priority, error)
    finally:
        consumer.done(key)
    return True
