"""Event streams and handlers for asyncio: the informer's threads put changes, and wake the loop once per batch."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from types import TracebackType
from typing import Any, Generic, Protocol, Self
from weakref import finalize

from typing_extensions import TypeVar

from informer.cache.change import Change
from informer.handlers.concurrent_calls import ConcurrentCalls
from informer.handlers.delivery import Delivery, Registration, in_handler
from informer.handlers.handler import HandlerFunctions
from informer.handlers.subscription import Subscription
from watch.logs import get_logger

__all__ = ["AsyncEventStream", "AsyncRegistration", "LoopCall", "LoopEvent"]

T = TypeVar("T", default=Any)

_log = get_logger(__name__)

# After this many changes in a row without waiting, the loop's other tasks have a turn.
_TURN = 100


class LoopEvent:
    """An `asyncio.Event` that other threads set by calling this object.

    Args:
        on_closed_loop: called instead of setting the event once the loop is closed.

    Threads: made and waited for on the loop; called on any thread.
    """

    def __init__(self, on_closed_loop: Callable[[], object] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_closed_loop = on_closed_loop
        self.event = asyncio.Event()

    def __call__(self) -> None:
        """Sets the event, from any thread."""
        try:
            self._loop.call_soon_threadsafe(self.event.set)
        except RuntimeError:
            if self._on_closed_loop is not None:
                self._on_closed_loop()

    async def wait(self, timeout: float | None) -> None:
        """Waits at most `timeout` seconds (None: without limit) for the event."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.event.wait(), timeout)


class LoopCall:
    """A function, plain or async, that other threads have called on an event loop by calling this object.

    The calls of an async function run one after another. What a call raises is logged.

    Args:
        function: the function.
        what: what it is, for the log.
        on_closed_loop: called instead of the function once the loop is closed.

    Threads: made on the loop; called on any thread.
    """

    def __init__(
        self, function: Callable[..., object], what: str, on_closed_loop: Callable[[], object] = lambda: None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._function = function
        self._what = what
        self._on_closed_loop = on_closed_loop
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no reference to them

    def __call__(self, *args: object) -> None:
        """Has the function called with these arguments, soon and on the loop."""
        try:
            self._loop.call_soon_threadsafe(self._call, args)
        except RuntimeError:
            self._on_closed_loop()

    def _call(self, args: tuple[object, ...]) -> None:
        try:
            result = self._function(*args)
        except Exception:
            _log.exception("%s failed", self._what)
            return
        if inspect.isawaitable(result):
            task = self._loop.create_task(self._await(result), name=self._what)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _await(self, result: Awaitable[object]) -> None:
        async with self._turn:
            try:
                await result
            except Exception:
                _log.exception("%s failed", self._what)


class _StreamOwner(Protocol):
    def unsubscribe(self, subscription: Subscription) -> None: ...


class AsyncEventStream(Generic[T]):
    """An informer's changes as an asynchronous iterator; `informer.aio.events()` returns it.

        async with informer.aio.events() as changes:
            async for change in changes:
                print(change.watch_type, change.object.name)

    The iteration ends when the stream is closed, the informer stops or the loop is closed. A stream that is
    garbage-collected unsubscribes itself. If a filter or model raises, the iterator raises for that change; the next
    iteration continues with the following one.

    Threads: used on the loop on which it was made, by one task at a time.
    """

    def __init__(self, owner: _StreamOwner, subscription: Subscription) -> None:
        self._owner = owner
        self._subscription = subscription
        self._without_waiting = 0  # changes in a row
        self._waker = LoopEvent(subscription.abandon)
        subscription.on_put(self._waker)
        # For a caller that leaves its loop early without closing: changes would be collected for ever.
        finalize(self, subscription.abandon).atexit = False

    def __aiter__(self) -> AsyncIterator[Change[T]]:
        return self

    async def __anext__(self) -> Change[T]:
        subscription = self._subscription
        while True:
            # Before a change is drawn: a caller may cancel here, as `asyncio.wait_for` does, and continue later.
            await self.give_way()
            change = next(subscription.in_hand, None)
            if change is None:
                if await self.take() is None:
                    raise StopAsyncIteration
                continue
            shown = subscription.visible(subscription.unwrapped(change))
            if shown is not None:
                return shown

    async def take(self) -> Sequence[Change[Any]] | None:
        """Waits for changes and moves them into the subscription's `in_hand`.

        Returns:
            The changes in stored form; None when the stream has ended.
        """
        while True:
            self._waker.event.clear()
            try:
                taken = self._subscription.take(0)
            except TimeoutError:
                self._without_waiting = 0
                await self._waker.event.wait()
                continue
            if taken is None:
                self.close()
            return taken

    async def give_way(self) -> None:
        """Lets the loop's other tasks run now and then; called once per change."""
        self._without_waiting += 1
        if self._without_waiting >= _TURN:
            self._without_waiting = 0
            await asyncio.sleep(0)

    @property
    def backlog_size(self) -> int:
        """How many changes wait to be read."""
        return self._subscription.backlog_size

    @property
    def lag_seconds(self) -> float:
        """Seconds that the oldest waiting change has waited; 0 when none waits."""
        return self._subscription.lag_seconds

    @property
    def subscription(self) -> Subscription:
        """Where the stream's changes wait."""
        return self._subscription

    def close(self) -> None:
        """Ends the iteration and drops the waiting changes. Idempotent."""
        self._owner.unsubscribe(self._subscription)

    async def aclose(self) -> None:
        """As `close`, for `contextlib.aclosing`."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _AsyncView(Protocol):
    def wait_until(self, predicate: Callable[[], bool], timeout: float | None = None) -> Awaitable[bool]: ...


class _Owner(Protocol):
    """What a registration needs of its informer."""

    @property
    def name(self) -> str: ...

    @property
    def aio(self) -> _AsyncView: ...

    def has_synced(self) -> bool: ...


class AsyncRegistration(Registration):
    """The handle for one handler with async functions; `informer.aio.add_event_handler` returns it.

    The handler's calls come one after another in a task on the loop that added it; each is awaited before the next. With a
    `concurrency` of more than 1 that holds for the changes of each key, and calls for several keys run at a time. An
    exception of the handler is logged, counted and passed to `on_error`; the calls go on. Cancelling `task` ends them.

    Attributes:
        task: the task that calls the handler.

    Threads: `remove` and `wait_for_sync` are for the loop of the handler; the other members for any thread.
    """

    def __init__(
        self,
        owner: _Owner,
        stream: AsyncEventStream[Any],
        functions: HandlerFunctions,
        on_error: Callable[[Change[Any], BaseException], object] | None,
        *,
        concurrency: int = 1,
    ) -> None:
        catch = (Exception, asyncio.CancelledError)
        delivery = Delivery(functions, stream.subscription, owner.has_synced, on_error, yields=True, catch=catch)
        super().__init__(delivery)
        self._owner = owner
        self._stream = stream
        name = f"informer-{owner.name}-handler"
        self._calls = (
            ConcurrentCalls(delivery, self._await_each, concurrency, f"{name}-call") if concurrency > 1 else None
        )
        self.task = asyncio.get_running_loop().create_task(self._run(), name=name)

    @property
    def backlog_size(self) -> int:
        """How many changes wait for the handler."""
        return super().backlog_size + (0 if self._calls is None else self._calls.waiting)

    def runs_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Returns whether the handler's calls, or one of them, run in a task."""
        return task is self.task or (self._calls is not None and self._calls.includes(task))

    async def wait_for_sync(self, timeout: float | None = None) -> bool:
        """Waits until the handler has synced (see `has_synced`).

        Args:
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.

        Returns:
            Whether it has synced. False when the time is up, the informer stops or the handler is removed.
        """
        subscription = self._stream.subscription
        await self._owner.aio.wait_until(lambda: subscription.dropped or self.has_synced(), timeout)
        return self.has_synced()

    async def remove(self, *, wait: bool = True) -> None:
        """Removes the handler; its waiting changes are dropped. Idempotent.

        Args:
            wait: return only when a call under way has ended. In a handler's call, and in a task that one has made, it
                never waits, since two handlers that remove each other would wait for ever.
        """
        self._stream.close()
        if wait and not in_handler.get() and not self.runs_in(asyncio.current_task()):
            await asyncio.wait([self.task])

    async def _run(self) -> None:
        in_handler.set(True)
        async with self._stream as stream:
            if self._calls is not None:
                await self._calls.run(stream)
                return
            while (changes := await stream.take()) is not None:
                await self._await_each(self._delivery.deliver(changes))

    async def _await_each(self, results: Generator[object, None, None]) -> None:
        """Runs a delivery to its end, and awaits what async functions returned."""
        error: BaseException | None = None
        while True:
            try:
                result = next(results) if error is None else results.throw(error)
            except StopIteration:
                return
            error = None
            try:
                if inspect.isawaitable(result):
                    await result
            except (Exception, asyncio.CancelledError) as raised:
                # Either this task is cancelled, or only something that the handler waited for.
                task = asyncio.current_task()
                if isinstance(raised, asyncio.CancelledError) and task is not None and task.cancelling():
                    raise
                error = raised
            await self._stream.give_way()
