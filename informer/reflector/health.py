"""Records what keeps a reflector from syncing, and since when; reports it to the log or to the user's handler."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from informer.errors import InformerError
from informer.listwatch.resources import UnknownResourceError
from informer.rate_limited_log import LimitedLogger, rate_limited
from informer.reflector.counts import ReflectorCounts, Verb, error_kind
from watch.clock import Clock
from watch.errors import ApiError, as_api_error
from watch.logs import get_logger

__all__ = ["Health", "answer_of", "describe_failure"]

_log = get_logger(__name__)

_WARN_AFTER = 10.0  # seconds without a sync
# The same error is logged at most this often while it lasts: a resource that stays absent fails every minute.
_REPEATS = 2
_REPEATS_PERIOD = 3600.0  # seconds


class Health:
    """The health of one reflector: its current error, and when the server last sent anything.

    A reflector that has not synced after 10 seconds logs one warning with the reason.

    Args:
        name: the reflector's, for logs.
        clock: measures the time until the first sync.
        limited: the reflector's log.
        counts: counts the errors by verb and kind.
        on_failure: called with each error that is reported (see `report`); None logs it.
        on_change: called when `error` has changed; it must not block.

    Threads: written on the reflector's thread, read on any.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        limited: logging.Logger,
        counts: ReflectorCounts,
        on_failure: Callable[[Exception], object] | None = None,
        on_change: Callable[[], object] | None = None,
    ) -> None:
        self._error: Exception | None = None
        self.failing_since: float | None = None
        """When `error` was set, in seconds since the epoch, as `time.time()`; None while `error` is None."""
        self._name = name
        self._clock = clock
        self._limited = limited
        self._counts = counts
        self._on_failure = on_failure
        self._on_change = on_change
        self._repeated = rate_limited(limited.parent or limited, burst=_REPEATS, period=_REPEATS_PERIOD, by_text=True)
        self._started = 0.0  # by the clock
        self._needs_no_warning = False  # it has synced, or the warning was logged
        self._has_synced = False
        self._is_list_only = False
        self._last_activity: float | None = None  # in seconds of the monotonic clock

    @property
    def error(self) -> Exception | None:
        """The error that keeps the reflector from listing or watching; None if there is none."""
        return self._error

    @property
    def last_event_age(self) -> float | None:
        """Seconds since the server last sent anything; None if it has not yet."""
        last = self._last_activity
        return None if last is None else time.monotonic() - last

    def begin(self) -> None:
        """Starts to measure the time until the first sync."""
        self._started = self._clock.monotonic()

    def record_activity(self) -> float:
        """Records that the server sent something; returns the time, in seconds of the monotonic clock."""
        self._last_activity = now = time.monotonic()
        return now

    def record_sync(self) -> None:
        """Records that a list, or a watch list, was stored."""
        self._needs_no_warning = self._has_synced = True
        self._recovered()

    def record_watch(self) -> None:
        """Records that a watch is open."""
        self._recovered()

    def record_waiting(self, what: str) -> None:
        """Records what the reflector is waiting for, unless an error is known that explains more."""
        if self._error is None:
            self._set_error(InformerError(f"{self._name}: {what}"))
            self._warn_if_due()

    def record_failure(self, error: Exception, verb: Verb) -> Exception:
        """Records a failed attempt to list, watch or store; returns the error with its context (see `describe_failure`)."""
        # Before the first list it may be a watch list that is refused.
        if verb == "watch" and self._has_synced:
            answer = as_api_error(error)
            if answer is not None and answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
                return self._record_list_only(answer)
        self._counts.failed(verb, error_kind(error))
        failure = describe_failure(error, verb, self._name)
        self._set_error(failure)
        self._warn_if_due()
        return failure

    def _record_list_only(self, error: ApiError) -> ApiError:
        """Logs once that the resource cannot be watched, which does not keep the reflector from syncing."""
        if not self._is_list_only:
            self._is_list_only = True
            _log.warning(
                "%s can be listed only, not watched (%s): the cache is renewed every 30 to 60 s",
                self._name,
                error.message or error.status,
            )
        return error

    def record_error_event(self, error: ApiError) -> None:
        """Records an ERROR event, which has ended a watch. An expired version is normal and not an error."""
        self._counts.failed("follow", error_kind(error))
        level = logging.DEBUG if error.is_expired or error.is_too_many_requests else logging.WARNING
        self._limited.log(level, "%s: the watch ended: %s", self._name, error)
        if not error.is_expired:
            self._set_error(error)

    def record_short_watch(self) -> None:
        """Records a watch that ended within a second without an event."""
        error = InformerError(
            f"very short watch: {self._name}: Unexpected watch close - watch lasted less than a second and no items received"
        )
        self._set_error(error)
        self._limited.warning("%s", error)

    def report(self, error: Exception, *, retried: bool = False) -> None:
        """Reports a failed request, to `on_failure` or else to the log.

        Args:
            error: the failure, as `record_failure` returned it.
            retried: whether the same round continues after a wait; otherwise the error has ended it.
        """
        if self._on_failure is None:
            # Versions expire in the normal course of events.
            expired = isinstance(error, ApiError) and error.is_expired
            level = logging.DEBUG if expired else logging.INFO if retried else logging.WARNING
            self._repeated.log(level, "%s: %s", self._name, error)
            return
        try:
            self._on_failure(error)
        except Exception as handler_error:
            self._limited.error("%s: the watch error handler failed", self._name, exc_info=handler_error)

    def log_retry(self, error: Exception) -> None:
        """Logs a failed request that another one follows at once."""
        self._repeated.info("%s: %s: retrying", self._name, error)

    def end(self) -> None:
        """Logs how many lines were suppressed, since no more follow."""
        self._repeated.start_over()
        if isinstance(self._limited, LimitedLogger):
            self._limited.start_over()

    def wait(self, clock: Clock, stop: threading.Event, seconds: float) -> None:
        """Waits before the next attempt. The warning about a missing sync is logged when it is due, not after the wait.

        Args:
            clock: measures the wait.
            stop: ends the wait.
            seconds: how long to wait.
        """
        until_warning = self._started + _WARN_AFTER - self._clock.monotonic()
        if not self._needs_no_warning and 0 < until_warning < seconds:
            if clock.wait(stop, until_warning):
                return
            seconds -= until_warning
            self._warn_if_due()
        clock.wait(stop, seconds)

    def _warn_if_due(self) -> None:
        waited = self._clock.monotonic() - self._started
        if self._needs_no_warning or waited < _WARN_AFTER:
            return
        self._needs_no_warning = True
        _log.warning("%s: not synced after %.0f s: %s", self._name, waited, self._error)

    def _recovered(self) -> None:
        if self._error is not None:
            self._set_error(None)
            # The next outage is reported from its first failure.
            self._repeated.start_over()

    def _set_error(self, error: Exception | None) -> None:
        if self._error is None or error is None:
            self.failing_since = None if error is None else time.time()
        self._error = error
        if self._on_change is None:
            return
        try:
            self._on_change()
        except Exception as callback_error:
            self._limited.error("%s: a callback about its progress failed", self._name, exc_info=callback_error)


def answer_of(error: Exception) -> Exception:
    """Returns an exception as an `ApiError` if it is the answer of a server, or else unchanged."""
    return as_api_error(error) or error


def describe_failure(error: Exception, verb: str, what: Any) -> Exception:
    """Returns an error whose text says what failed. It has the same base class and the original as its cause.

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
        # Discovery says so by itself, with a hint.
        if answer.status == HTTPStatus.NOT_FOUND and not isinstance(answer, UnknownResourceError):
            # A list without objects is empty, not a 404. So the server lacks the resource, whose CRD may come later.
            hint = "it does not serve this resource, perhaps not yet"
            message = f"{message[:-1]}; {hint})" if message.endswith(")") else f"{message} ({hint})"
        made = ApiError(answer.status, answer.reason, message, answer.retry_after, details=answer.details)
    elif isinstance(error, ConnectionRefusedError):
        made = ConnectionRefusedError(text + str(error))
    elif isinstance(error, OSError):
        made = ConnectionError(text + (str(error) or type(error).__name__))
    else:
        made = InformerError(text + (str(error) or type(error).__name__))
    made.__cause__ = error
    return made
