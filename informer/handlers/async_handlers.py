"""An informer seen from asyncio: the same threads underneath, and one call into the loop for each batch.

Comes in: batches on the informer's threads. Goes out: async iteration, and calls of async functions on the caller's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import islice
from operator import length_hint
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self
from weakref import finalize

from typing_extensions import TypeVar

from informer.cache.change import Change
from informer.handlers.handler import HandlerFunctions
from informer.handlers.subscription import Subscription, initial_part
from informer.rate_limited_log import LimitedLog

if TYPE_CHECKING:
    from informer.shared.shared_informer import SharedInformer

__all__ = ["AsyncEventStream", "AsyncRegistration", "LoopEvent"]

T = TypeVar("T", default=Any)

_log = logging.getLogger(__name__)

# After so many changes in a row that never had to wait, the loop's other tasks have a turn.
_TURN = 100
# A thread that has run to its end takes so long, in seconds, to be gone.
_LAST_STEP = 0.2


class LoopEvent:
    """An `asyncio.Event` that other threads set by calling this object.

    Args:
        on_closed_loop: called when the loop has been closed, instead of setting the event.
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
        """Waits at most `timeout` seconds."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.event.wait(), timeout)


class AsyncEventStream(Generic[T]):
    """Iterates over changes with `async for` until it is closed or the informer stops.

    Used on the loop on which it was made, by one task at a time. A loop that is closed ends it.
    """

    def __init__(self, informer: SharedInformer[T], subscription: Subscription) -> None:
        self._informer = informer
        self._subscription = subscription
        self._turn = 0
        self._waker = LoopEvent(subscription.abandon)
        subscription.on_put(self._waker)
        # Who leaves a loop early need not close: the informer must not go on collecting changes for nobody.
        finalize(self, subscription.abandon).atexit = False

    def __aiter__(self) -> AsyncIterator[Change[T]]:
        return self

    async def __anext__(self) -> Change[T]:
        subscription = self._subscription
        while True:
            # A filter or model that raises concerns one change: the next call goes on behind it.
            for change in subscription.in_hand:
                await self.give_way()
                shown = subscription.visible(subscription.unwrapped(change))
                if shown is not None:
                    return shown
            if await self.take() is None:
                raise StopAsyncIteration

    async def take(self) -> Sequence[Change[Any]] | None:
        """Waits for changes in stored form, to be drawn from the subscription's `in_hand`; None at the end."""
        while True:
            self._waker.event.clear()
            try:
                taken = self._subscription.take(0)
            except TimeoutError:
                self._turn = 0
                await self._waker.event.wait()
                continue
            if taken is None:
                self.close()
            return taken

    async def give_way(self) -> None:
        """Called for each change: lets other tasks run now and then."""
        self._turn += 1
        if self._turn >= _TURN:
            self._turn = 0
            await asyncio.sleep(0)

    @property
    def backlog_size(self) -> int:
        """Changes that wait to be read."""
        return self._subscription.backlog_size

    @property
    def lag_seconds(self) -> float:
        """For how long the oldest change that waits has waited, in seconds; 0 when none waits."""
        return self._subscription.lag_seconds

    @property
    def subscription(self) -> Subscription:
        """What waits for this stream."""
        return self._subscription

    def close(self) -> None:
        """Ends the iteration and drops what waits. Idempotent."""
        self._informer.unsubscribe(self._subscription)

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
        on_error: Callable[[Change[Any], BaseException], object] | None,
    ) -> None:
        self.errors = 0
        """How many calls of the handler have raised."""
        self.calls = 0
        """How many changes were handed over, those included that the filter held back."""
        self.busy_seconds = 0.0
        """How long it has taken to hand them over, what the loop did meanwhile included."""
        self.busy_since: float | None = None
        """Since when, by the monotonic clock, the handing over that is under way goes on; None when none is."""
        self._informer = informer
        self._stream = stream
        self._functions = functions
        self._on_error = on_error
        self._limited = LimitedLog(_log)
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"informer-{informer.name}-handler")

    def has_synced(self) -> bool:
        """Whether the informer has synced and the handler has finished every initial add."""
        return self._informer.has_synced() and self._stream.subscription.initial_done

    async def wait_for_sync(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for `has_synced`.

        Returns:
            Whether it has synced; False too when the informer stops or the handler is removed before.
        """
        subscription = self._stream.subscription
        await self._informer.aio.wait_until(lambda: subscription.dropped or self.has_synced(), timeout)
        return self.has_synced()

    @property
    def name(self) -> str:
        """The handler's name for logs."""
        return self._functions.name

    @property
    def backlog_size(self) -> int:
        """Changes not yet handed over to the handler."""
        return self._stream.backlog_size

    @property
    def lag_seconds(self) -> float:
        """For how long, in seconds, the oldest change not yet handed over has waited; 0 when none waits."""
        return self._stream.lag_seconds

    async def remove(self, *, wait: bool = True) -> None:
        """Ends the calls; what was not delivered is dropped. Again is harmless.

        Args:
            wait: return only when a call under way has ended. From the handler itself it never waits.
        """
        self._stream.close()
        if wait and self.task is not asyncio.current_task():
            await asyncio.wait([self.task])

    async def _run(self) -> None:
        initial_pending = True
        async with self._stream as stream:
            subscription = stream.subscription
            while (changes := await stream.take()) is not None:
                in_hand = subscription.in_hand
                end, initial = initial_part(changes) if initial_pending else (0, 0)
                if initial:
                    await self._hand_over(islice(in_hand, end), end)
                    if subscription.dropped:
                        return
                    subscription.finished(initial)
                await self._hand_over(in_hand, length_hint(in_hand))
                initial_pending = initial_pending and not self.has_synced()

    async def _hand_over(self, changes: Iterator[Change[Any]], count: int) -> None:
        self.busy_since = begun = time.monotonic()
        if self._functions.on_batch is not None:
            await self._stream.give_way()
            await self._call_batch(self._functions.on_batch, list(changes))
        else:
            for change in changes:
                await self._stream.give_way()
                await self._call(change)
        self.calls += count
        self.busy_seconds += time.monotonic() - begun
        self.busy_since = None

    async def _call(self, change: Change[Any]) -> None:
        try:
            change = self._stream.subscription.unwrapped(change)
            shown = self._stream.subscription.visible(change)
            if shown is not None:
                await _finish(self._functions(shown))
        except (Exception, asyncio.CancelledError) as error:
            await self._failed((change,), error)

    async def _call_batch(self, call: Callable[[list[Change[Any]]], object], changes: Sequence[Change[Any]]) -> None:
        shown: list[Change[Any]] = []
        for stored in changes:
            change = stored
            try:
                change = self._stream.subscription.unwrapped(stored)
                seen = self._stream.subscription.visible(change)
            except Exception as error:
                await self._failed((change,), error)
            else:
                if seen is not None:
                    shown.append(seen)
        if not shown or self._stream.subscription.dropped:
            return
        try:
            await _finish(call(list(shown)))
        except (Exception, asyncio.CancelledError) as error:
            await self._failed(shown, error)

    async def _failed(self, changes: Sequence[Change[Any]], error: BaseException) -> None:
        """Tells that a call has failed, as `HandlerRegistration` does."""
        if isinstance(error, asyncio.CancelledError) and _is_being_cancelled(self.task):
            raise error
        self.errors += 1
        name, first = self._functions.name, changes[0]
        self._limited.log(
            logging.ERROR, "async handler %s failed at %s of %s", name, first.type, first.key, exc_info=error
        )
        if self._on_error is None:
            return
        for change in changes:
            try:
                await _finish(self._on_error(change, error))
            except Exception as second:
                self._limited.log(logging.ERROR, "on_error of handler %s failed", name, exc_info=second)


async def _finish(result: object) -> None:
    """Functions need not be async."""
    if inspect.isawaitable(result):
        await result


def _is_being_cancelled(task: asyncio.Task[None]) -> bool:
    """Whether it is the task that was cancelled, rather than something that its handler waited for.

    Python 3.10 cannot tell: there it is always the task.
    """
    cancelling: Callable[[], int] | None = getattr(task, "cancelling", None)
    return cancelling is None or cancelling() > 0
