"""Calls one handler with changes: unwraps, filters, counts, and reports failures. No threads, no asyncio.

`Delivery.deliver` is a generator that makes the calls. A driver runs it on a thread (`HandlerRegistration`) or in a task
(`AsyncRegistration`); the latter awaits what the calls return.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextvars import ContextVar
from itertools import islice
from operator import length_hint
from typing import Any

from informer.cache.change import Change
from informer.handlers.handler import HandlerFunctions
from informer.handlers.subscription import Subscription, initial_part
from informer.rate_limited_log import rate_limited
from watch.logs import get_logger

__all__ = ["Delivery", "Registration", "in_handler"]

_log = get_logger(__name__)


class Delivery:
    """Hands the changes of one subscription over to one handler.

    Args:
        functions: the handler.
        subscription: the changes; only `deliver` draws from its `in_hand`.
        is_informer_synced: returns whether the informer has synced.
        on_error: the user's, called with (change, error) for each change of a failed call; None calls nothing.
        yields: whether `deliver` yields what the calls return, for a driver that awaits it. Otherwise it yields nothing.
        catch: the exceptions of a call that are reported; others end the delivery.

    Attributes:
        errors: how many deliveries failed: the handler, its filter, or decoding raised.
        calls: how many changes were handed over, including those that the filter dropped.
        busy_seconds: how long that took, in seconds.
        initial_pending: whether initial adds may still come.
        busy_since: when the handover under way began, by the monotonic clock; None between handovers.

    Threads: one runs `deliver`; the attributes may be read on any.
    """

    def __init__(
        self,
        functions: HandlerFunctions,
        subscription: Subscription,
        is_informer_synced: Callable[[], bool],
        on_error: Callable[[Change[Any], BaseException], object] | None,
        *,
        yields: bool = False,
        catch: type[BaseException] | tuple[type[BaseException], ...] = BaseException,
    ) -> None:
        self.functions = functions
        self.subscription = subscription
        self.errors = 0
        self.calls = 0
        self.busy_seconds = 0.0
        self.busy_since: float | None = None
        self._is_informer_synced = is_informer_synced
        self._on_error = on_error
        self._yields = yields
        self._catch = catch
        self._limited = rate_limited(_log)
        self.initial_pending = True

    def has_synced(self) -> bool:
        """Returns whether the informer has synced and the handler has finished every initial add."""
        return self._is_informer_synced() and self.subscription.initial_done

    def deliver(self, changes: Sequence[Change[Any]]) -> Generator[object, None, None]:
        """Hands over what the subscription's `take` returned.

        Yields:
            With `yields`, what each call returned, None for a change that the filter dropped. The driver may throw an
            exception back in: the call counts as failed with it.
        """
        subscription = self.subscription
        if self.initial_pending:
            # The handler counts as synced when its last initial add is finished, whatever is queued behind it.
            end, initial = initial_part(changes)
            if initial:
                yield from self._hand_over(islice(subscription.in_hand, end), end)
                if subscription.dropped:
                    return
                subscription.finished(initial)
        yield from self._hand_over(subscription.in_hand, length_hint(subscription.in_hand))
        self.initial_pending = self.initial_pending and not self.has_synced()

    def deliver_lone(self, stored: Change[Any]) -> None:
        """Hands over one change that came alone, as `deliver` does but with fewer calls: nearly all changes come alone.

        Only for changes of the form that the subscription's last `take` has found, after the initial adds.
        """
        self.busy_since = begun = time.monotonic()
        change, seen, subscription = stored, stored, self.subscription
        try:
            if not subscription.is_plain:
                change = subscription.unwrapped(stored)
                seen = subscription.visible(change)  # type: ignore[assignment]
            if seen is not None:
                on_batch = self.functions.on_batch
                if on_batch is None:
                    self.functions(seen)
                else:
                    on_batch([seen])
        except self._catch as error:
            for _ in self._report((change,), error):
                pass
        self.calls += 1
        self.busy_seconds += time.monotonic() - begun
        self.busy_since = None

    def deliver_one(self, stored: Change[Any]) -> Generator[object, None, None]:
        """Hands over one change that was drawn from the subscription, for a driver that makes several calls at a time.

        The driver sets `busy_since` before the first of them and calls `pause` after the last.

        Yields:
            As `deliver`.
        """
        change = stored
        try:
            change = self.subscription.unwrapped(stored)
            seen = self.subscription.visible(change)
            yield None if seen is None else self.functions(seen)
        except self._catch as error:
            yield from self._report((change,), error)
        self.calls += 1
        if stored.is_in_initial_list and not self.subscription.dropped:
            self.subscription.finished(1)

    def pause(self) -> None:
        """Adds the time since `busy_since` to `busy_seconds`."""
        if self.busy_since is not None:
            self.busy_seconds += time.monotonic() - self.busy_since
            self.busy_since = None

    def _hand_over(self, changes: Iterator[Change[Any]], count: int) -> Generator[object, None, None]:
        self.busy_since = begun = time.monotonic()
        if self.functions.on_batch is not None:
            yield from self._call_batch(self.functions.on_batch, changes)
        else:
            call, subscription, is_plain = self.functions, self.subscription, self.subscription.is_plain
            for stored in changes:
                change = stored
                seen: Change[Any] | None = stored
                try:
                    if not is_plain:
                        change = subscription.unwrapped(stored)
                        seen = subscription.visible(change)
                    result = None if seen is None else call(seen)
                    if self._yields:
                        yield result
                except self._catch as error:
                    yield from self._report((change,), error)
        self.calls += count
        self.busy_seconds += time.monotonic() - begun
        self.busy_since = None

    def _call_batch(
        self, call: Callable[[list[Change[Any]]], object], changes: Iterable[Change[Any]]
    ) -> Generator[object, None, None]:
        subscription = self.subscription
        shown: list[Change[Any]] = []
        for stored in list(changes):
            change = stored
            try:
                change = subscription.unwrapped(stored)
                seen = subscription.visible(change)
            except self._catch as error:
                yield from self._report((change,), error)
            else:
                if seen is not None:
                    shown.append(seen)
        if not shown or subscription.dropped:
            return
        try:
            # A copy: the handler may change its list.
            result = call(list(shown))
            if self._yields:
                yield result
        except self._catch as error:
            yield from self._report(shown, error)

    def _report(self, changes: Sequence[Change[Any]], error: BaseException) -> Generator[object, None, None]:
        """Logs a failed call once, and calls `on_error` for each of its changes."""
        self.errors += 1
        name, first = self.functions.name, changes[0]
        self._limited.error("handler %s failed for the %s change of %s", name, first.type, first.key, exc_info=error)
        if self._on_error is None:
            return
        for change in changes:
            try:
                result = self._on_error(change, error)
                if self._yields:
                    yield result
            except self._catch as second:
                self._limited.error("on_error of handler %s failed", name, exc_info=second)


in_handler: ContextVar[bool] = ContextVar("in_handler", default=False)
"""Whether a handler's call is under way in this context: on its thread, in its task, and in what these start.

Such a caller never waits for a handler's call to end: that call may be waiting for the caller's own.
"""


class Registration:
    """What every registration of a handler shows: its name, its progress and its failures.

    Args:
        delivery: calls the handler.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def has_synced(self) -> bool:
        """Returns whether the informer has synced and the handler has finished every initial add."""
        return self._delivery.has_synced()

    @property
    def name(self) -> str:
        """The handler's name in logs and metrics: its class, or the names of its functions."""
        return self._delivery.functions.name

    @property
    def calls(self) -> int:
        """How many changes (not calls) were handed over to the handler, including those that its filter dropped."""
        return self._delivery.calls

    @property
    def errors(self) -> int:
        """How many deliveries failed: the handler, its filter, or decoding raised."""
        return self._delivery.errors

    @property
    def backlog_size(self) -> int:
        """How many changes wait for the handler."""
        return self._delivery.subscription.backlog_size

    @property
    def lag_seconds(self) -> float:
        """Seconds that the oldest waiting change has waited; 0 when none waits."""
        return self._delivery.subscription.lag_seconds

    @property
    def busy_seconds(self) -> float:
        """Seconds spent so far in handing changes over; with asyncio this includes other tasks' turns."""
        return self._delivery.busy_seconds

    @property
    def busy_since(self) -> float | None:
        """When the handover under way began, by the monotonic clock; None between handovers."""
        return self._delivery.busy_since
