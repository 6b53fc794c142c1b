"""Workers: they take keys from a queue and call the user's function with each.

Comes in: keys. Goes out: calls of `reconcile`, each on the thread of one worker; and what came of it, to the queue.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from typing_extensions import TypeVar

from informer.arguments import check_callable
from informer.workqueue.rate_limiting import RateLimitingQueue
from informer.workqueue.threads import Threads
from informer.workqueue.work import Work
from watch.concurrency import on_set

__all__ = ["run_workers", "run_workers_async"]

_log = logging.getLogger(__name__)

T = TypeVar("T", bound=Hashable, default=Any)


def run_workers(
    queue: RateLimitingQueue[T],
    reconcile: Callable[[T], float | None] | Callable[[T], Awaitable[float | None]],
    *,
    workers: int = 1,
    stop: threading.Event | None = None,
    drain: bool = True,
) -> None:
    """Processes keys until the queue is shut down; then the keys being processed are finished, and it returns.

    Args:
        queue: where the keys are, a `RateLimitingQueue` or `PriorityQueue`.
        reconcile: called with each key. It returns None when all is well with it, or seconds after which to look at it
            again; either forgets earlier failures. Whatever it raises is logged, and the key is tried again rate-limited.
            An async function runs on an event loop of these workers alone.
        workers: how many keys may be processed at the same time; never one key twice.
        stop: shuts down the queue, for good, when it is set; None: somebody else does.
        drain: whether keys that are ready when `stop` is set are still processed. Those that wait for their time are not.

    Raises:
        TypeError: the queue cannot add keys for later, or reconcile cannot be called.
        ValueError: there are no workers.

    Threads: waits on the calling one, so that signal handlers run there; `reconcile` is called on `workers` others, or on
    one other if it is async. An exception on the calling thread, such as KeyboardInterrupt, ends the workers as `stop` without
    `drain` does, and comes out when they have ended.

    Source: sigs.k8s.io/controller-runtime pkg/internal/controller reconcileHandler.
    """
    _check(queue, reconcile, workers)
    work = Work(queue, drain=drain)
    if _is_async(reconcile):
        # asyncio is for those who use it.
        from informer.workqueue.async_workers import AsyncWorkers

        _run([AsyncWorkers(work, reconcile, workers).run], work, stop)
    else:
        _run([lambda: _process_all(work, reconcile)] * workers, work, stop)


async def run_workers_async(
    queue: RateLimitingQueue[T],
    reconcile: Callable[[T], Awaitable[float | None]],
    *,
    workers: int = 1,
    stop: threading.Event | None = None,
    drain: bool = True,
) -> None:
    """As `run_workers` with an async function, on the running loop, which it does not block.

    Cancelling it shuts down the queue and cancels what is being processed.
    """
    from informer.workqueue.async_workers import AsyncWorkers

    _check(queue, reconcile, workers)
    if not _is_async(reconcile):
        raise TypeError("reconcile is no async function: it would block the loop, use run_workers")
    work = Work(queue, drain=drain)
    withdraw = None if stop is None else on_set(stop, work.stop)
    try:
        await AsyncWorkers(work, reconcile, workers).serve()
    finally:
        if withdraw is not None:
            withdraw()


def _check(queue: object, reconcile: object, workers: int) -> None:
    if not isinstance(queue, RateLimitingQueue):
        raise TypeError(
            f"workers need a RateLimitingQueue or a PriorityQueue, to try keys again; this is a {type(queue).__qualname__}"
        )
    check_callable("reconcile", reconcile)
    if workers < 1:
        raise ValueError(f"workers={workers}: without a worker nothing would ever be processed")
    if queue.shutting_down and not len(queue):
        # As the stop event of workers before these did: whoever leads again needs a new one.
        _log.warning(
            "the work queue was shut down before, and is empty: there is nothing to process, nor will there be"
        )


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _run(targets: list[Callable[[], object]], work: Work[T], stop: threading.Event | None) -> None:
    threads = Threads()
    withdraw = None if stop is None else on_set(stop, work.stop)
    try:
        for target in targets:
            threads.start(target)
        threads.wait()
    except BaseException:
        work.abandon()
        threads.wait()
        raise
    finally:
        if withdraw is not None:
            withdraw()


def _process_all(work: Work[T], reconcile: Callable[[T], Any]) -> None:
    while _process_one(work, reconcile):
        pass


def _process_one(work: Work[T], reconcile: Callable[[T], Any]) -> bool:
    # A call for each: while a worker waits, nothing holds what it had last.
    taken = work.take()
    if taken is None:
        return False
    key, priority = taken
    try:
        work.settle(key, priority, reconcile(key))
    # SystemExit too: in a thread it would end that and nothing else, and the key would be nobody's.
    except BaseException as error:
        work.failed(key, priority, error)
    finally:
        work.finish(key)
    return True
