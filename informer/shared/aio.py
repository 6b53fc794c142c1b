"""The asyncio view of a shared informer: its streams, handlers and waits for one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Protocol, Self

from typing_extensions import TypeVar

from informer.arguments import check_callable, check_function
from informer.cache.change import Change
from informer.handlers.async_handlers import AsyncEventStream, AsyncRegistration, LoopCall, LoopEvent
from informer.handlers.handler import Handler, HandlerFunctions, OnAdd, OnDelete
from informer.handlers.subscription import BacklogPolicy, Subscription
from informer.shared.waiting import StartWarning
from watch.concurrency import Lock

__all__ = ["AsyncInformer"]

T = TypeVar("T", default=Any)

# Seconds that a thread may take to disappear once it has run to its end.
_LAST_STEP = 0.2


class _Informer(Protocol[T]):
    """What the view needs of its informer; a `SharedInformer` has it."""

    @property
    def name(self) -> str: ...

    @property
    def aio(self) -> AsyncInformer[T]: ...

    def subscribe(
        self,
        *,
        keep: Callable[[T], object] | None = ...,
        resync_period: float | None = ...,
        backlog: BacklogPolicy = ...,
        initial: bool = ...,
    ) -> Subscription: ...

    def unsubscribe(self, subscription: Subscription) -> None: ...

    def has_synced(self) -> bool: ...

    def sync_error(self) -> Exception | None: ...

    def synced_or_raise(self) -> bool: ...

    def has_reached(self, rv: Any, namespace: str | None = ...) -> bool: ...

    def is_started(self) -> bool: ...

    def is_stopped(self) -> bool: ...

    def on_progress(self, callback: Callable[[], object]) -> Callable[[], None]: ...

    def on_end(self, callback: Callable[[], object]) -> Callable[[], None]: ...

    def start(self) -> None: ...

    def begin_stop(self, *, drain: bool = ...) -> None: ...

    def stop(self, timeout: float | None = ..., *, drain: bool = ...) -> bool: ...


class AsyncInformer(Generic[T]):
    """A `SharedInformer` for use from asyncio; `informer.aio` returns it.

    It shares the informer's threads, cache and connection: batches cross to the event loop, one wake-up per batch, and
    async handlers run there. `async with` starts the informer and stops it:

        async with informer.aio as pods:
            await pods.wait_for_sync(30)
            async for change in pods.events():
                print(change.watch_type, change.object.name)

    Threads: call the methods on the event loop. Several loops may use one informer.
    """

    def __init__(self, informer: _Informer[T]) -> None:
        self._informer = informer
        self._tasks: dict[asyncio.Task[None], AsyncRegistration] = {}  # by the task that calls the handler

    def events(
        self,
        *,
        filter: Callable[[T], object] | None = None,
        initial: bool = True,
        backlog: BacklogPolicy = "coalesce",
    ) -> AsyncEventStream[T]:
        """Returns the changes as an asynchronous iterator (see `SharedInformer.events`).

        Args:
            filter: called with an object; the stream shows those for which it returns true.
            initial: begin with an add for each cached object. False leaves out the adds of the first list too.
            backlog: "coalesce" keeps the net change per key for a slow reader, "all" every change.

        Raises:
            RuntimeError: the informer has stopped, or no event loop is running.
        """
        asyncio.get_running_loop()  # raises before anything is subscribed
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
        concurrency: int = 1,
    ) -> AsyncRegistration:
        """Adds a handler, whose functions may be async, to be called in a task on the running loop.

        Args:
            handler: an object with some of `on_add`, `on_update`, `on_delete`; see `ResourceEventHandler`.
            on_add: instead of a handler: takes (obj), or (obj, *, is_in_initial_list).
            on_update: takes (old, new).
            on_delete: takes (obj), or (obj, *, final_state_unknown), or (obj, *, final_state_unknown, reason).
            on_batch: instead of the three: takes a list of `Change`.
            filter: a plain function; the handler sees the objects for which it returns true.
            resync_period: seconds between two resyncs (an update of every cached object, with old and new the same); 0 for
                none, None for the informer's period. The minimum is 1 second. A handler that is added after the start cannot
                have a shorter period than the informer's, or than the shortest asked for before the start.
            backlog: "all" keeps every change for a slow handler, "coalesce" the net change per key.
            on_error: called with (change, exception) when the handler raises; it may be async.
            concurrency: how many calls may run at a time: in order for each key, in parallel between keys.

        Returns:
            The registration, which shows the handler's progress and removes it.

        Raises:
            RuntimeError: the informer has stopped, or no event loop is running.
            TypeError, ValueError: the arguments do not fit together; the message says how.
        """
        functions = HandlerFunctions(
            handler, on_add=on_add, on_update=on_update, on_delete=on_delete, on_batch=on_batch, may_be_async=True
        )
        asyncio.get_running_loop()  # raises before anything is subscribed
        check_function("on_error", on_error, 2, or_none=True, may_be_async=True)
        _check_concurrency(concurrency, is_batch=functions.on_batch is not None)
        subscription = self._informer.subscribe(keep=filter, resync_period=resync_period, backlog=backlog)
        stream = AsyncEventStream(self._informer, subscription)
        registration = AsyncRegistration(self._informer, stream, functions, on_error, concurrency=concurrency)
        self._tasks[registration.task] = registration
        registration.task.add_done_callback(self._forget)
        return registration

    @property
    def handlers(self) -> list[AsyncRegistration]:
        """The registrations of the present async handlers; may be read on any thread."""
        return list(self._tasks.values())

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    def on_error(self, function: Callable[[Exception], object]) -> Callable[[], None]:
        """Has a function called on the running loop with each error that keeps the cache from following the server.

        An error that is present already is passed at once. Errors that follow each other quickly may be passed as one.

        Args:
            function: takes what `sync_error` returns; it may be async, and is then awaited before the next call.

        Returns:
            A function that withdraws it. It is withdrawn by itself when the loop is closed.

        Raises:
            RuntimeError: no event loop is running.
            TypeError: the argument is not a function of one argument.
        """
        check_callable("function", function)
        watch = _ErrorWatch(self._informer, function)
        watch.check()
        return watch.withdraw

    def on_end(self, function: Callable[[], object]) -> Callable[[], None]:
        """Has a function called once on the running loop, when the informer has stopped and its last thread ends.

        Args:
            function: takes nothing; it may be async. For an informer that has ended already it is called at once.

        Returns:
            A function that withdraws it.

        Raises:
            RuntimeError: no event loop is running.
            TypeError: the argument is not a function without arguments.
        """
        check_callable("function", function)
        return self._informer.on_end(LoopCall(function, f"on_end of informer {self._informer.name}"))

    async def wait_for_sync(self, timeout: float | None = None, *, raise_on_error: bool = False) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for the first list.

        Args:
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.
            raise_on_error: also end the wait when there is a `sync_error`, and raise it (see `SharedInformer.wait_for_sync`).

        Returns:
            Whether the cache has synced. False when the time is up or the informer stops.

        Raises:
            Exception: with `raise_on_error`, what `sync_error` returns.
        """
        informer = self._informer
        if not raise_on_error:
            return await self._wait_until(informer.has_synced, timeout, StartWarning([informer], timeout))
        await self.wait_until(lambda: informer.has_synced() or informer.sync_error() is not None, timeout)
        return informer.synced_or_raise()

    async def wait_for_resource_version(
        self, rv: Any, timeout: float | None = None, *, namespace: str | None = None
    ) -> bool:
        """Waits until the cache shows a write (see `SharedInformer.wait_for_resource_version`)."""
        self._informer.has_reached(rv, namespace)
        return await self.wait_until(lambda: self._informer.has_reached(rv, namespace), timeout)

    async def wait_until(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Waits until a predicate about the informer is true (see `SharedInformer.wait_until`)."""
        return await self._wait_until(predicate, timeout)

    async def _wait_until(
        self, predicate: Callable[[], bool], timeout: float | None, warning: StartWarning | None = None
    ) -> bool:
        waker = LoopEvent()
        withdraw = self._informer.on_progress(waker)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                waker.event.clear()
                if predicate() or self._informer.is_stopped():
                    return predicate()
                left = None if deadline is None else deadline - time.monotonic()
                pause = left if warning is None else warning.pause(left)
                if left is not None and left <= 0:
                    return False
                await waker.wait(pause)
        finally:
            withdraw()

    async def stop(self, timeout: float | None = 1.0, *, drain: bool = False) -> bool:
        """Stops the informer (see `SharedInformer.stop`) without blocking the loop.

        Args:
            timeout: seconds to wait at most for threads and for async handlers of this loop; None waits without limit.
            drain: deliver the waiting changes to the handlers first, instead of dropping them.

        Returns:
            Whether every thread and every async handler has ended. A handler that calls it is not waited for.
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
        handlers = {task: handler for task, handler in list(self._tasks.items()) if task.get_loop() is loop}
        others = [task for task, handler in handlers.items() if not handler.runs_in(current)]
        if others:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            await asyncio.wait(others, timeout=left)
        return ended and all(task.done() for task in handlers)

    async def __aenter__(self) -> Self:
        self._informer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class _ErrorWatch:
    """Calls a function on an event loop with each new error of an informer.

    Threads: made on the loop; `check` is called after each progress, on the thread that made it.
    """

    def __init__(self, informer: _Informer[Any], function: Callable[[Exception], object]) -> None:
        self._informer = informer
        self._lock = Lock()
        self._last: Exception | None = None  # guarded by _lock
        self._call = LoopCall(function, f"on_error of informer {informer.name}", self.withdraw)
        self._unsubscribe = informer.on_progress(self.check)

    def check(self) -> None:
        """Passes the informer's error on if it is a new one."""
        if not self._informer.is_started():
            return
        with self._lock:
            before, error = self._last, self._informer.sync_error()
            self._last = error
        if error is not None and error is not before:
            self._call(error)

    def withdraw(self) -> None:
        """Ends the calls. Idempotent."""
        self._unsubscribe()


def _check_concurrency(concurrency: Any, *, is_batch: bool) -> None:
    if not isinstance(concurrency, int) or isinstance(concurrency, bool):
        raise TypeError(f"concurrency must be an int, not {type(concurrency).__name__}")
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")
    if concurrency > 1 and is_batch:
        raise ValueError("concurrency does not fit on_batch: give on_add, on_update and on_delete instead")
