"""An informer seen from asyncio: the same threads underneath, and one call into the loop for each batch.

Comes in: batches on the informer's threads. Goes out: async iteration, and calls of async functions on the caller's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import Self, TypeVar

from informer.changes import Change
from informer.handlers import HandlerFunctions
from informer.log_limit import LimitedLog
from watch.concurrency import Worker

if TYPE_CHECKING:
    from informer.shared_informer import SharedInformer
    from informer.subscription import BacklogPolicy, Subscription

__all__ = ["AsyncEventStream", "AsyncInformer", "AsyncRegistration"]

T = TypeVar("T", default=Any)

_log = logging.getLogger(__name__)


class _Waker:
    """An `asyncio.Event` that other threads set; a loop that was closed is nobody's any more."""

    def __init__(self, on_closed_loop: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_closed_loop = on_closed_loop
        self.event = asyncio.Event()

    def __call__(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self.event.set)
        except RuntimeError:
            self._on_closed_loop()


class AsyncEventStream(Generic[T]):
    """Iterates over changes with `async for` until it is closed or the informer stops.

    Used on the loop on which it was made, by one task at a time. A loop that is closed ends it.
    """

    def __init__(self, informer: SharedInformer[T], subscription: Subscription) -> None:
        self._informer = informer
        self._subscription = subscription
        self._ready: deque[Change[T]] = deque()
        self._waker = _Waker(lambda: informer.unsubscribe(subscription))
        self._closed = False
        subscription.on_put(self._waker)
        self._withdraw = informer.on_progress(self._waker)

    def __aiter__(self) -> AsyncIterator[Change[T]]:
        return self

    async def __anext__(self) -> Change[T]:
        while True:
            while self._ready:
                change = self._subscription.visible(self._ready.popleft())
                if change is not None:
                    return change
            taken = await self.take()
            if taken is None:
                raise StopAsyncIteration
            self._ready.extend(taken)
            self.finished(taken)

    async def take(self) -> Sequence[Change[Any]] | None:
        """Waits for changes in stored form; None at the end."""
        while not self._closed:
            self._waker.event.clear()
            stopped = self._informer.is_stopped()
            taken = self._subscription.take_nowait()
            if taken:
                return taken
            if stopped:
                break
            await self._waker.event.wait()
        self.close()
        return None

    def finished(self, changes: Sequence[Change[Any]]) -> None:
        """Counts the initial adds among changes as finished."""
        self._subscription.finished(sum(change.is_in_initial_list for change in changes))

    @property
    def subscription(self) -> Subscription:
        """What waits for this stream."""
        return self._subscription

    def close(self) -> None:
        """Ends the iteration and drops what waits. Idempotent; on the loop."""
        if not self._closed:
            self._closed = True
            self._withdraw()
            self._informer.unsubscribe(self._subscription)
            self._waker.event.set()

    async def aclose(self) -> None:
        """The same, for `contextlib.aclosing`."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncRegistration:
    """What `AsyncInformer.add_event_handler` gives back. The handler's calls come one after another, in a task."""

    def __init__(
        self,
        informer: SharedInformer[Any],
        stream: AsyncEventStream[Any],
        functions: HandlerFunctions,
        on_error: Callable[[Change[Any], Exception], object] | None,
    ) -> None:
        self.errors = 0
        """How many calls of the handler have raised."""
        self._informer = informer
        self._stream = stream
        self._functions = functions
        self._on_error = on_error
        self._limited = LimitedLog(_log)
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"informer-{informer.name}-handler")

    def has_synced(self) -> bool:
        """Whether the informer has synced and the handler has finished every initial add."""
        return self._informer.has_synced() and self._stream.subscription.initial_done

    async def wait_for_sync(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for `has_synced`; False too when the informer stops."""
        return await self._informer.aio.wait_until(self.has_synced, timeout)

    @property
    def backlog_size(self) -> int:
        """Changes not yet handed over to the handler."""
        return self._stream.subscription.backlog_size

    @property
    def lag_seconds(self) -> float:
        """For how long, in seconds, the oldest change not yet handed over has waited; 0 when none waits."""
        return self._stream.subscription.lag_seconds

    async def remove(self, *, wait: bool = True) -> None:
        """Ends the calls; what was not delivered is dropped. Again is harmless.

        Args:
            wait: return only when a call under way has ended. From the handler itself it never waits.
        """
        self._stream.close()
        if wait and self._task is not asyncio.current_task():
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        async with self._stream as stream:
            while (taken := await stream.take()) is not None:
                if self._functions.on_batch is not None:
                    await self._call_batch(taken)
                else:
                    for change in stream.subscription.handing_over(taken):
                        await self._call(change)
                stream.finished(taken)

    async def _call(self, change: Change[Any]) -> None:
        try:
            shown = self._stream.subscription.visible(change)
            if shown is not None:
                result = self._functions(shown)
                if inspect.isawaitable(result):
                    await result
        except Exception as error:
            self._failed(change, error)

    async def _call_batch(self, changes: Sequence[Change[Any]]) -> None:
        try:
            seen = [self._stream.subscription.visible(change) for change in changes]
            shown = [change for change in seen if change is not None]
            if shown and self._functions.on_batch is not None:
                result = self._functions.on_batch(shown)
                if inspect.isawaitable(result):
                    await result
        except Exception as error:
            self._failed(changes[0], error)

    def _failed(self, change: Change[Any], error: Exception) -> None:
        self.errors += 1
        name = self._functions.name
        self._limited.log(logging.ERROR, "async handler %s failed at %s", name, change.type, exc_info=error)
        if self._on_error is not None:
            try:
                self._on_error(change, error)
            except Exception as second:
                self._limited.log(logging.ERROR, "on_error of handler %s failed", name, exc_info=second)


class AsyncInformer(Generic[T]):
    """A thin view of a `SharedInformer` for asyncio; `informer.aio` gives it.

    `async with informer.aio:` starts the informer and stops it.
    """

    def __init__(self, informer: SharedInformer[T]) -> None:
        self._informer = informer

    def events(
        self,
        *,
        filter: Callable[[T], object] | None = None,
        initial: bool = True,
        backlog: BacklogPolicy = "coalesce",
    ) -> AsyncEventStream[T]:
        """As `SharedInformer.events`, for `async for`; call it on the loop that reads."""
        subscription = self._informer.subscribe(keep=filter, backlog=backlog, initial=initial)
        return AsyncEventStream(self._informer, subscription)

    def add_event_handler(
        self,
        handler: Any = None,
        *,
        on_add: Callable[..., object] | None = None,
        on_update: Callable[..., object] | None = None,
        on_delete: Callable[..., object] | None = None,
        on_batch: Callable[[list[Change[T]]], object] | None = None,
        filter: Callable[[T], object] | None = None,
        resync_period: float | None = None,
        backlog: BacklogPolicy = "all",
        on_error: Callable[[Change[T], Exception], object] | None = None,
    ) -> AsyncRegistration:
        """As `SharedInformer.add_event_handler`, with async functions, which run on the calling loop in a task."""
        functions = HandlerFunctions(
            handler, on_add=on_add, on_update=on_update, on_delete=on_delete, on_batch=on_batch
        )
        subscription = self._informer.subscribe(keep=filter, resync_period=resync_period, backlog=backlog)
        return AsyncRegistration(self._informer, AsyncEventStream(self._informer, subscription), functions, on_error)

    async def wait_for_sync(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for the first list; False too when it stops."""
        return await self.wait_until(self._informer.has_synced, timeout)

    async def wait_for_resource_version(self, resource_version: str, timeout: float | None = None) -> bool:
        """As `SharedInformer.wait_for_resource_version`."""
        return await self.wait_until(lambda: self._informer.has_reached(resource_version), timeout)

    async def wait_until(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Waits for something that changes with what the informer applies or its handlers finish."""
        waker = _Waker(lambda: None)
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
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(waker.event.wait(), left)
        finally:
            withdraw()

    async def stop(self, timeout: float = 1.0, *, drain: bool = False) -> bool:
        """As `SharedInformer.stop`; the loop goes on meanwhile."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[bool] = loop.create_future()

        def answer(value: bool) -> None:
            if not ended.done():
                ended.set_result(value)

        def stop() -> None:
            value = self._informer.stop(timeout, drain=drain)
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(answer, value)

        self._informer.begin_stop(drain=drain)
        Worker(stop, f"informer-{self._informer.name}-stop").start()
        return await ended

    async def __aenter__(self) -> Self:
        self._informer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
