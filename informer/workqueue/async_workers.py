"""Workers for async functions: one thread takes keys from the queue, and tasks on an event loop process them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic

from typing_extensions import TypeVar

from informer.workqueue.consumer import QueueConsumer
from watch.concurrency import Monitor, Worker

__all__ = ["AsyncWorkers"]

T = TypeVar("T", bound=Hashable, default=Any)


class AsyncWorkers(Generic[T]):
    """Processes the keys of a queue with an async function, one task per key, on one event loop.

    A feeder thread waits for a free slot, takes a key and hands it to the loop. So at most `workers` keys are taken at a time,
    and all other keys stay in the queue.

    Args:
        consumer: takes keys from the queue and applies their results.
        reconcile: the async function, called with each key.
        workers: how many calls are under way at the same time, at most.

    Threads: `reconcile` runs on the loop's thread; only the feeder thread waits for the queue.
    """

    def __init__(self, consumer: QueueConsumer[T], reconcile: Callable[[T], Any], workers: int) -> None:
        self._consumer = consumer
        self._reconcile: Callable[[T], Awaitable[object]] = reconcile
        self._slots = _Slots(workers)
        # Used by the loop's thread only.
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelling = False

    def run(self) -> None:
        """Runs `serve` on an event loop of its own, on the calling thread."""
        asyncio.run(self.serve())

    async def serve(self) -> None:
        """Processes keys on the running loop; returns when the queue is shut down and every call has ended.

        Cancelling it shuts down the queue and cancels the calls under way.
        """
        loop = asyncio.get_running_loop()
        finished = asyncio.Event()
        Worker(lambda: self._feed(loop, finished), "work-queue-feeder").start()
        try:
            await finished.wait()
        except BaseException:
            self._consumer.abandon()
            self._cancelling = True
            for task in self._tasks:
                task.cancel()
            await finished.wait()
            raise

    def _feed(self, loop: asyncio.AbstractEventLoop, finished: asyncio.Event) -> None:
        while True:
            self._slots.acquire()
            taken = self._consumer.take()
            if taken is None and self._slots.wait_until_others_free():
                # A key that was added again while it was processed has only now become ready.
                self._slots.release()
                continue
            try:
                if taken is None:
                    loop.call_soon_threadsafe(finished.set)
                    return
                loop.call_soon_threadsafe(self._start, *taken)
            except RuntimeError:  # the loop is closed
                self._consumer.abandon()
                if taken is None:
                    return
                self._consumer.done(taken[0])
                self._slots.release()
            # While this thread waits it must not keep a processed key alive.
            del taken

    def _start(self, key: T, priority: int) -> None:
        task = asyncio.get_running_loop().create_task(self._process(key, priority))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._task_ended(task, key, priority))
        if self._cancelling:
            task.cancel()

    async def _process(self, key: T, priority: int) -> None:
        try:
            result = await self._reconcile(key)
        except asyncio.CancelledError:
            raise
        # SystemExit too: it would end the loop, and the key would not be retried.
        except BaseException as error:
            self._consumer.handle_error(key, priority, error)
        else:
            self._consumer.handle_result(key, priority, result)

    def _task_ended(self, task: asyncio.Task[None], key: T, priority: int) -> None:
        # A callback, since a task that is cancelled before its first step runs no `finally` of its own.
        self._tasks.discard(task)
        if task.cancelled():
            self._consumer.handle_error(key, priority, asyncio.CancelledError("the call was cancelled"))
        self._consumer.done(key)
        self._slots.release()


class _Slots:
    """A counting semaphore that can also wait until only the caller holds a slot."""

    def __init__(self, count: int) -> None:
        self._monitor = Monitor()
        self._count = count
        self._free = count  # guarded by _monitor

    def acquire(self) -> None:
        """Waits for a free slot and takes it."""
        with self._monitor:
            self._monitor.wait_for(lambda: self._free > 0)
            self._free -= 1

    def release(self) -> None:
        """Gives a slot back."""
        with self._monitor:
            self._free += 1
            self._monitor.notify()

    def wait_until_others_free(self) -> bool:
        """Waits until all slots but the caller's are free; returns whether it had to wait."""
        with self._monitor:
            if self._free == self._count - 1:
                return False
            return self._monitor.wait_for(lambda: self._free == self._count - 1)
