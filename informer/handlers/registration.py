"""A handler's place in an informer: its backlog, its thread, and its handle for the user."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import length_hint
from typing import Any, Protocol

from informer.cache.change import Change
from informer.handlers.handler import HandlerFunctions
from informer.handlers.subscription import Subscription, initial_part
from informer.rate_limited_log import LimitedLog
from informer.thread_group import ThreadGroup
from watch.concurrency import Worker

__all__ = ["HandlerRegistration"]

_log = logging.getLogger(__name__)


class _Owner(Protocol):
    """What a registration asks of its informer."""

    def has_synced(self) -> bool: ...

    def is_stopped(self) -> bool: ...

    def wait_until(self, predicate: Callable[[], bool], timeout: float | None) -> bool: ...

    def on_progress(self, callback: Callable[[], object]) -> Callable[[], None]: ...

    def remove_event_handler(self, registration: HandlerRegistration) -> None: ...


class HandlerRegistration:
    """What `add_event_handler` gives back.

    Threads: any. The handler itself is called on one thread of its own.
    """

    def __init__(
        self,
        owner: _Owner,
        functions: HandlerFunctions,
        subscription: Subscription,
        *,
        name: str,
        on_error: Callable[[Change[Any], BaseException], object] | None = None,
    ) -> None:
        self.subscription = subscription
        self.errors = 0
        """How many calls of the handler have raised."""
        self.calls = 0
        """How many changes were handed over, those included that the filter held back."""
        self.busy_seconds = 0.0
        """How long it has taken to hand them over."""
        self.busy_since: float | None = None
        """Since when, by the monotonic clock, the handing over that is under way goes on; None when none is."""
        self._owner = owner
        self._functions = functions
        self._on_error = on_error
        self._limited = LimitedLog(_log)
        self._thread_name = f"{name}-handler"
        self._worker: Worker | None = None
        self._removed = False

    def has_synced(self) -> bool:
        """Whether the informer has synced and the handler has finished every initial add."""
        return self._owner.has_synced() and self.subscription.initial_done

    def wait_for_sync(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for `has_synced`.

        Returns:
            Whether it has synced; False too when the informer stops or the handler is removed before.
        """
        self._owner.wait_until(lambda: self._removed or self.has_synced(), timeout)
        return self.has_synced()

    def remove(self, *, wait: bool = True) -> None:
        """Ends the calls; what was not delivered is dropped. Again is harmless.

        Args:
            wait: return only when a call under way has ended. From the handler itself it never waits.
        """
        self._owner.remove_event_handler(self)
        if wait and self._worker is not None:
            self._worker.join()

    def is_stopped(self) -> bool:
        """Whether the handler was removed or the informer has stopped."""
        return self._removed or self._owner.is_stopped()

    def on_progress(self, callback: Callable[[], object]) -> Callable[[], None]:
        """As the informer's."""
        return self._owner.on_progress(callback)

    @property
    def backlog_size(self) -> int:
        """Changes not yet handed over to the handler."""
        return self.subscription.backlog_size

    @property
    def lag_seconds(self) -> float:
        """For how long, in seconds, the oldest change not yet handed over has waited; 0 when none waits."""
        return self.subscription.lag_seconds

    @property
    def name(self) -> str:
        """The handler's name for logs."""
        return self._functions.name

    def start(self, thread_group: ThreadGroup) -> None:
        """Starts the thread; once."""
        self._worker = thread_group.start(self._run, self._thread_name)

    def discard(self) -> None:
        """Stops calling the handler, even with what was taken already."""
        self._removed = True
        self.subscription.close()

    def _run(self) -> None:
        subscription = self.subscription
        initial_pending = True
        while (changes := subscription.take()) is not None:
            in_hand = subscription.in_hand
            # The handler counts as synced when its last initial add is finished, whatever was queued behind that.
            end, initial = initial_part(changes) if initial_pending else (0, 0)
            if initial:
                self._hand_over(islice(in_hand, end), end)
                if subscription.dropped:
                    return
                subscription.finished(initial)
            self._hand_over(in_hand, length_hint(in_hand))
            initial_pending = initial_pending and not self.has_synced()

    def _hand_over(self, changes: Iterator[Change[Any]], count: int) -> None:
        self.busy_since = begun = time.monotonic()
        if self._functions.on_batch is not None:
            self._call_batch(self._functions.on_batch, list(changes))
        elif self.subscription.is_plain:
            call = self._functions
            for change in changes:
                try:
                    call(change)
                # Whatever a handler raises, SystemExit included, must not end its thread and with it all later calls.
                except BaseException as error:
                    self._failed((change,), error)
        else:
            for change in changes:
                self._call_one(change)
        self.calls += count
        self.busy_seconds += time.monotonic() - begun
        self.busy_since = None

    def _call_one(self, change: Change[Any]) -> None:
        try:
            change = self.subscription.unwrapped(change)
            shown = self.subscription.visible(change)
            if shown is not None:
                self._functions(shown)
        except BaseException as error:
            self._failed((change,), error)

    def _call_batch(self, call: Callable[[list[Change[Any]]], object], changes: Sequence[Change[Any]]) -> None:
        shown: list[Change[Any]] = []
        for stored in changes:
            change = stored
            try:
                change = self.subscription.unwrapped(stored)
                seen = self.subscription.visible(change)
            except BaseException as error:
                self._failed((change,), error)
            else:
                if seen is not None:
                    shown.append(seen)
        if not shown or self.subscription.dropped:
            return
        try:
            # A list of its own: what the handler does to it is its own affair.
            call(list(shown))
        except BaseException as error:
            self._failed(shown, error)

    def _failed(self, changes: Sequence[Change[Any]], error: BaseException) -> None:
        """Tells that a call has failed: once in the log, and to `on_error` for each change that it was about."""
        self.errors += 1
        first = changes[0]
        self._limited.log(
            logging.ERROR, "handler %s failed at %s of %s", self.name, first.type, first.key, exc_info=error
        )
        if self._on_error is None:
            return
        for change in changes:
            try:
                self._on_error(change, error)
            except BaseException as second:
                self._limited.log(logging.ERROR, "on_error of handler %s failed", self.name, exc_info=second)
