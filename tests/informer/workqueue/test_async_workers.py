"""Workers for async functions: which functions count as async, the loop they run on, and cancelling."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from informer.workqueue import RateLimitingQueue, run_workers, run_workers_async
from tests.informer.workqueue.reconcilers import quick


def test_async_callable_objects_and_partials_run_on_an_event_loop(make: Callable[..., Any], run: Any) -> None:
    """An async `__call__` and functools.partial of an async function are recognized."""

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


def test_run_workers_async_uses_the_running_loop(make: Callable[..., Any]) -> None:
    """It shares the loop with the caller's tasks, and ends when the stop event is set."""

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


def test_cancelling_run_workers_async_cancels_the_calls_under_way(make: Callable[..., Any]) -> None:
    """The queue is shut down, and the keys that wait are not processed."""

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


def test_run_workers_async_refuses_a_plain_function(make: Callable[..., Any]) -> None:
    """It would block the loop; the error names run_workers."""
    with pytest.raises(TypeError, match=r"not an async function.*run_workers"):
        asyncio.run(run_workers_async(make(RateLimitingQueue), print))
