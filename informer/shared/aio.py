"""An informer seen from asyncio: the same threads underneath, and one call into the loop for each batch.

Comes in: batches on the informer's threads. Goes out: async iteration, and calls of async functions on the caller's loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self

from typing_extensions import TypeVar

from informer.arguments import check_callable
from informer.cache.change import Change
from informer.handlers.handler import Handler, HandlerFunctions, OnAdd, OnDelete

if TYPE_CHECKING:
    from informer.handlers.subscription import BacklogPolicy
    from informer.shared.shared_informer import SharedInformer

from informer.handlers.async_handlers import AsyncEventStream, AsyncRegistration, LoopEvent

__all__ = ["AsyncInformer"]

T = TypeVar("T", default=Any)

_log = logging.getLogger(__name__)

# After so many changes in a row that never had to wait, the loop's other tasks have a turn.
_TURN = 100
# A thread that has run to its end takes so long, in seconds, to be gone.
_LAST_STEP = 0.2


class AsyncInformer(Generic[T]):
    """A thin view of a `SharedInformer` for asyncio; `informer.aio` gives it.

    `async with informer.aio:` starts the informer and stops it.
    """

    def __init__(self, informer: SharedInformer[T]) -> None:
        self._informer = informer
        # By the task of each, which is used on its own loop.
        self._tasks: dict[asyncio.Task[None], AsyncRegistration] = {}

    def events(
        self,
        *,
        filter: Callable[[T], object] | None = None,
        initial: bool = True,
        backlog: BacklogPolicy = "coalesce",
    ) -> AsyncEventStream[T]:
        """As `SharedInformer.events`, for `async for`; call it on the loop that reads."""
        asyncio.get_running_loop()  # raises where there is none, before anything is subscribed
        subscription = self._informer.subscribe(keep=filter, backlog=backlog, initial=initial)
        return AsyncEventStream(self._informer, subscription)

    def add_event_handler(
        self,
        handler: Handler[T] | None = None,
        *,
        on_add: OnAdd[T] | None = None,
        on_update: Callable[[T, T], object] | None = None,
        on_delete: OnDelete[T] | None = None,
        on_batch: Callable[[list[Change[T]]], object] | None = None,
        filter: Callable[[T], object] | None = None,
        resync_period: float | None = None,
        backlog: BacklogPolicy = "all",
        on_error: Callable[[Change[T], BaseException], object] | None = None,
    ) -> AsyncRegistration:
        """As `SharedInformer.add_event_handler`, with async functions, which run on the calling loop in a task."""
        functions = HandlerFunctions(
            handler, on_add=on_add, on_update=on_update, on_delete=on_delete, on_batch=on_batch, may_be_async=True
        )
        asyncio.get_running_loop()  # raises where there is none, before anything is subscribed
        check_callable("on_error", on_error, or_none=True)
        subscription = self._informer.subscribe(keep=filter, resync_period=resync_period, backlog=backlog)
        stream = AsyncEventStream(self._informer, subscription)
        registration = AsyncRegistration(self._informer, stream, functions, on_error)
        self._tasks[registration.task] = registration
        registration.task.add_done_callback(self._forget)
        return registration

    @property
    def handlers(self) -> list[AsyncRegistration]:
        """The registrations of the async handlers that there are now; on any thread."""
        return list(self._tasks.values())

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    async def wait_for_sync(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for the first list; False too when it stops."""
        return await self.wait_until(self._informer.has_synced, timeout)

    async def wait_for_resource_version(self, rv: str, timeout: float | None = None) -> bool:
        """As `SharedInformer.wait_for_resource_version`."""
        self._informer.has_reached(rv)
        return await self.wait_until(lambda: self._informer.has_reached(rv), timeout)

    async def wait_until(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Waits for something that changes with what the informer applies or its handlers finish."""
        waker = LoopEvent()
        withdraw = self._informer.on_progress(waker)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                waker.event.clear()
                if predicate() or self._informer.is_stopped():
                    return predicate()
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                await waker.wait(left)
        finally:
            withdraw()

    async def stop(self, timeout: float | None = 1.0, *, drain: bool = False) -> bool:
        """As `SharedInformer.stop`; the loop goes on meanwhile.

        It waits for the async handlers too, but for one that calls it.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        waker = LoopEvent()
        withdraw = self._informer.on_end(waker)
        try:
            self._informer.begin_stop(drain=drain)
            await waker.wait(timeout)
        finally:
            withdraw()
        ended = self._informer.stop(_LAST_STEP if waker.event.is_set() else 0, drain=drain)
        loop, current = asyncio.get_running_loop(), asyncio.current_task()
        handlers = {task for task in list(self._tasks) if task.get_loop() is loop}
        if handlers - {current}:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            await asyncio.wait(handlers - {current}, timeout=left)
        return ended and all(task.done() for task in handlers)

    async def __aenter__(self) -> Self:
        self._informer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
