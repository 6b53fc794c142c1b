"""Workers that are tasks of an event loop.

Comes in: keys, which one thread takes from the queue and hands to the loop as long as there is a free place. Goes out: calls
of the user's async function, on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic

from typing_extensions import TypeVar

from informer.workqueue.work import Work
from watch.concurrency import Monitor, Worker

__all__ = ["AsyncWorkers"]

T = TypeVar("T", bound=Hashable, default=Any)


class AsyncWorkers(Generic[T]):
    """See the module.

    Args:
        work: the queue's side.
        reconcile: called with each key.
        workers: how many calls may be under way.
    """

    def __init__(self, work: Work[T], reconcile: Callable[[T], Any], workers: int) -> None:
        self._work = work
        self._reconcile: Callable[[T], Awaitable[object]] = reconcile
        self._places = _Places(workers)
        # Of the loop's thread alone.
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelling = False

    def run(self) -> None:
        """Serves on a loop of its own, on the calling thread."""
        asyncio.run(self.serve())

    async def serve(self) -> None:
        """Returns when the queue is shut down and every call has ended."""
        loop = asyncio.get_running_loop()
        fed_all = asyncio.Event()
        Worker(lambda: self._feed(loop, fed_all), "work-queue-feeder").start()
        try:
            await fed_all.wait()
        except BaseException:
            self._work.abandon()
            self._cancelling = True
            for task in self._tasks:
                task.cancel()
            await fed_all.wait()
            raise

    def _feed(self, loop: asyncio.AbstractEventLoop, fed_all: asyncio.Event) -> None:
        while True:
            self._places.take()
            taken = self._work.take()
            if taken is None and self._places.wait_for_others():
                # What was added again while it was processed is ready only now.
                self._places.give_back()
                continue
            try:
                if taken is None:
                    loop.call_soon_threadsafe(fed_all.set)
                    return
                loop.call_soon_threadsafe(self._start, *taken)
            except RuntimeError:  # the loop was closed
                self._work.abandon()
                if taken is None:
                    return
                self._work.finish(taken[0])
                self._places.give_back()
            del taken

    def _start(self, key: T, priority: int) -> None:
        task = asyncio.get_running_loop().create_task(self._process(key, priority))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(task, key, priority))
        if self._cancelling:
            task.cancel()

    async def _process(self, key: T, priority: int) -> None:
        try:
            result = await self._reconcile(key)
        except asyncio.CancelledError:
            raise
        # SystemExit too: it would end the loop and leave the key to nobody.
        except BaseException as error:
            self._work.failed(key, priority, error)
        else:
            self._work.settle(key, priority, result)

    def _ended(self, task: asyncio.Task[None], key: T, priority: int) -> None:
        # Here and not in the task: one that is cancelled before its first step never runs.
        self._tasks.discard(task)
        if task.cancelled():
            self._work.failed(key, priority, asyncio.CancelledError("it was cancelled"))
        self._work.finish(key)
        self._places.give_back()


class _Places:
    """So many may be taken; whoever wants one more waits."""

    def __init__(self, count: int) -> None:
        self._monitor = Monitor()
        self._count = count
        self._free = count  # guarded by _monitor

    def take(self) -> None:
        with self._monitor:
            self._monitor.wait_for(lambda: self._free > 0)
            self._free -= 1

    def give_back(self) -> None:
        with self._monitor:
            self._free += 1
            self._monitor.notify()

    def wait_for_others(self) -> bool:
        """Waits until only the caller has a place; returns whether it had to wait."""
        with self._monitor:
            if self._free == self._count - 1:
                return False
            return self._monitor.wait_for(lambda: self._free == self._count - 1)
