"""What keeps a reflector from syncing, since when, and how that is reported."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from informer.errors import InformerError
from informer.rate_limited_log import LimitedLog
from informer.reflector.counts import ReflectorCounts, Verb, kind_of
from watch.clock import Clock
from watch.errors import ApiError, as_api_error

__all__ = ["Health", "answer_of", "describe_failure"]

_log = logging.getLogger(__name__)

_WARN_AFTER = 10.0


class Health:
    """The errors and signs of life of one reflector.

    Args:
        name: the reflector's, for logs.
        clock: measures the time without a sync.
        limited: the reflector's log.
        counts: counts the errors by kind.
        on_failure: called with each error that ends a round; None logs it.

    Threads: written on the reflector's thread, read on any.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        limited: LimitedLog,
        counts: ReflectorCounts,
        on_failure: Callable[[Exception], object] | None = None,
    ) -> None:
        self.error: Exception | None = None
        """What keeps the reflector from syncing or watching; None when nothing does."""
        self._name = name
        self._clock = clock
        self._limited = limited
        self._counts = counts
        self._on_failure = on_failure
        self._began = 0.0
        self._settled = False  # it has synced, or the log says why it has not
        self._last_sign: float | None = None

    @property
    def last_event_age(self) -> float | None:
        """Seconds since the server last sent anything; None before it did."""
        last = self._last_sign
        return None if last is None else time.monotonic() - last

    def begin(self) -> None:
        """Starts to measure the time without a sync."""
        self._began = self._clock.monotonic()

    def saw(self) -> float:
        """Notes that the server sent something; returns the time, in seconds of the monotonic clock."""
        self._last_sign = now = time.monotonic()
        return now

    def synced(self) -> None:
        """Notes that a list, or a watch list, was stored."""
        self._settled = True
        self.error = None

    def failed(self, error: Exception, verb: Verb) -> Exception:
        """Notes a failed attempt to list, watch or store; returns the error with its context (see `describe_failure`)."""
        self._counts.failed(verb, kind_of(error))
        self.error = failure = describe_failure(error, verb, self._name)
        self._warn()
        return failure

    def watch_failed(self, error: ApiError) -> None:
        """Notes an ERROR event. An expired version is part of every long life, and no fault."""
        self._counts.failed("follow", kind_of(error))
        level = logging.DEBUG if error.is_expired or error.is_too_many_requests else logging.WARNING
        self._limited.log(level, "%s: the watch ended: %s", self._name, error)
        if not error.is_expired:
            self.error = error

    def watch_was_short(self) -> None:
        """Notes a watch that ended within a second without an event."""
        self.error = InformerError(
            f"very short watch: {self._name}: Unexpected watch close - watch lasted less than a second and no items received"
        )
        self._limited.log(logging.WARNING, "%s", self.error)

    def report(self, error: Exception) -> None:
        """Reports an error that has ended a round: to the user's handler, or to the log."""
        if self._on_failure is None:
            # A version that has expired is part of every long life.
            expired = isinstance(error, ApiError) and error.is_expired
            self._limited.log(logging.DEBUG if expired else logging.WARNING, "%s: %s", self._name, error)
            return
        try:
            self._on_failure(error)
        except Exception as second:
            self._limited.log(logging.ERROR, "%s: the watch error handler failed", self._name, exc_info=second)

    def wait(self, clock: Clock, stop: threading.Event, seconds: float) -> None:
        """Waits between two attempts, at most until `stop` is set; logs once, in time, what keeps it from syncing."""
        until_warning = self._began + _WARN_AFTER - self._clock.monotonic()
        if not self._settled and 0 < until_warning < seconds:
            if clock.wait(stop, until_warning):
                return
            seconds -= until_warning
            self._warn()
        clock.wait(stop, seconds)

    def _warn(self) -> None:
        waited = self._clock.monotonic() - self._began
        if self._settled or waited < _WARN_AFTER:
            return
        self._settled = True
        _log.warning("%s: not synced after %.0f s: %s", self._name, waited, self.error)


def answer_of(error: Exception) -> Exception:
    """Returns the server's answer that an exception carries, or else the exception."""
    return as_api_error(error) or error


def describe_failure(error: Exception, verb: str, what: Any) -> Exception:
    """Returns an error of the same family whose text says what failed, and whose cause is the original.

    Args:
        error: the original.
        verb: what was attempted, such as "list".
        what: the resource, such as "deployments.apps".
    """
    answer = as_api_error(error)
    text = f"failed to {verb} {what}: "
    made: Exception
    if answer is not None:
        message = text + (answer.message or "the server gave no reason")
        if answer.status == HTTPStatus.NOT_FOUND:
            # A list or a watch without objects is empty, not a 404. So the resource is missing, and it may come.
            message += " (it does not serve this resource, perhaps not yet)"
        made = ApiError(answer.status, answer.reason, message, answer.retry_after, details=answer.details)
    elif isinstance(error, ConnectionRefusedError):
        made = ConnectionRefusedError(text + str(error))
    elif isinstance(error, OSError):
        made = ConnectionError(text + (str(error) or type(error).__name__))
    else:
        made = InformerError(text + (str(error) or type(error).__name__))
    made.__cause__ = error
    return made
