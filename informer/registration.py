"""A handler's place in an informer: its backlog, its thread, and its handle for the user."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from informer.changes import Change
from informer.handlers import HandlerFunctions
from informer.keys import meta_namespace_key
from informer.log_limit import LimitedLog
from informer.subscription import Subscription
from watch.concurrency import Latch, Worker

__all__ = ["HandlerRegistration"]

_log = logging.getLogger(__name__)


class _Owner(Protocol):
    """What a registration asks of its informer."""

    def has_synced(self) -> bool: ...

    def wait_until(self, predicate: Callable[[], bool], timeout: float | None) -> bool: ...

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
        self.functions = functions
        self.errors = 0
        """How many calls of the handler have raised."""
        self.calls = 0
        """How many changes the handler was called with (batches count each of their changes)."""
        self._owner = owner
        self._on_error = on_error
        self._limited = LimitedLog(_log)
        self._removed = False
        self._initial_pending = True
        self._worker = Worker(self._run, f"{name}-handler")
        self._started = Latch()

    def has_synced(self) -> bool:
        """Whether the informer has synced and the handler has finished every initial add."""
        return self._owner.has_synced() and self.subscription.initial_done

    def wait_for_sync(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for `has_synced`; False too when the informer stops."""
        return self._owner.wait_until(self.has_synced, timeout)

    def remove(self, *, wait: bool = True) -> None:
        """Ends the calls; what was not delivered is dropped. Again is harmless.

        Args:
            wait: return only when a call under way has ended. From the handler itself it never waits.
        """
        self._owner.remove_event_handler(self)
        if wait:
            self.join(None)

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
        return self.functions.name

    def start(self) -> None:
        """Starts the thread; again is harmless."""
        if not self._started.is_open:
            self._started.open()
            self._worker.start()

    def discard(self) -> None:
        """Stops calling the handler, even with what it has taken already."""
        self._removed = True
        self.subscription.close()

    def join(self, timeout: float | None) -> bool:
        """Waits for the thread's end; returns whether it has ended. From the handler: False at once."""
        return not self._started.is_open or self._worker.join(timeout)

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is the handler's."""
        return self._worker.is_current

    def _run(self) -> None:
        subscription = self.subscription
        while not self._removed:
            changes = subscription.take()
            if changes is None:
                return
            # The handler counts as synced when its last initial add is finished, whatever was queued behind that.
            split = _end_of_initial(changes) if self._initial_pending else 0
            if split:
                self._hand_over(changes[:split])
                subscription.finished(sum(c.is_in_initial_list for c in changes[:split]))
                changes = changes[split:]
            if changes:
                self._hand_over(changes)
            self._initial_pending = not self.has_synced()

    def _hand_over(self, changes: Sequence[Change[Any]]) -> None:
        if self.functions.on_batch is not None:
            self._call_batch(changes)
            return
        call = self.functions
        subscription = self.subscription
        visible = None if subscription.is_plain else subscription.visible
        for change in subscription.handing_over(changes):
            if self._removed:
                return
            try:
                shown = change if visible is None else visible(change)
                if shown is not None:
                    call(shown)
            # Whatever a handler raises, SystemExit included, must not end its thread and with it all later calls.
            except BaseException as error:
                self._failed(change, error)
        self.calls += len(changes)

    def _call_batch(self, changes: Sequence[Change[Any]]) -> None:
        shown: list[Change[Any]] = []
        for change in changes:
            try:
                seen = self.subscription.visible(change)
            except BaseException as error:
                self._failed(change, error)
            else:
                if seen is not None:
                    shown.append(seen)
        self.calls += len(changes)
        if not shown or self.functions.on_batch is None or self._removed:
            return
        try:
            self.functions.on_batch(shown)
        except BaseException as error:
            self._failed(shown[0], error)

    def _failed(self, change: Change[Any], error: BaseException) -> None:
        self.errors += 1
        try:
            key = meta_namespace_key(change.object)
        except Exception:
            key = "an object without a key"
        self._limited.log(logging.ERROR, "handler %s failed at %s of %s", self.name, change.type, key, exc_info=error)
        if self._on_error is None:
            return
        try:
            self._on_error(change, error)
        except BaseException as second:
            self._limited.log(logging.ERROR, "on_error of handler %s failed", self.name, exc_info=second)


def _end_of_initial(changes: Sequence[Change[Any]]) -> int:
    """The place behind the last initial add."""
    if changes[-1].is_in_initial_list:
        return len(changes)
    return max((i for i, change in enumerate(changes, 1) if change.is_in_initial_list), default=0)
