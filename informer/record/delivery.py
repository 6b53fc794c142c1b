"""Writes one event to a sink, and retries until it succeeds or has to give up.

Source: client-go tools/record and tools/events, recordEvent.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from informer.errors import NotLeadingError
from informer.record.event import copy_event
from informer.record.event_sink import EventSink
from watch.clock import Clock
from watch.concurrency import Monitor, Signal, Worker
from watch.errors import ApiError, as_api_error
from watch.logs import get_logger
from watch.request_scope import RequestScope

__all__ = ["MAX_TRIES", "Delivery", "Outcome", "Shutdown"]

_log = get_logger(__name__)

MAX_TRIES = 12
_MAX_ERROR_LENGTH = 500
# A load balancer reports an outage of the server behind it with one of these, often without a Retry-After.
_UNAVAILABLE = frozenset({502, 503, 504})
# Seconds. A Retry-After may ask for a day, and all later events would wait as long.
_MAX_RETRY_AFTER = 60.0


@dataclass(frozen=True)
class Outcome:
    """The result of one try to write an event.

    Args:
        answer: the sink's answer; None if it gave none.
        is_final: False if the event should be tried again.
        retry_after: seconds that the server asks to wait before the next try.
        error: why the event was not written; "" if it was written.
    """

    answer: Mapping[str, Any] | None = None
    is_final: bool = True
    retry_after: float = 0.0
    error: str = ""


class Shutdown:
    """Tells the deliveries of one recording to finish.

    Once it has begun, deliveries stop retrying: each event is tried once. At its deadline the requests in flight are
    cancelled, and then no event is tried at all.

    Attributes:
        begun: set when the shutdown begins.

    Threads: all methods may be called from any thread.
    """

    def __init__(self) -> None:
        self.begun = Signal()
        self._deadline = 0.0  # written before `begun` is set
        self._monitor = Monitor()
        self._requests: set[RequestScope] = set()  # in flight; guarded by _monitor
        self._is_timed = False  # a thread waits for the deadline; guarded by _monitor

    def begin(self, deadline: float) -> None:
        """Begins the shutdown and ends the waits between tries. Further calls have no effect.

        Args:
            deadline: when to stop trying, on the system's monotonic clock.
        """
        if not self.begun.is_set():
            self._deadline = deadline
            self.begun.set()
            with self._monitor:
                self._time_locked()

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Within this context, this thread's requests are cancelled at the deadline."""
        scope = RequestScope()
        with self._monitor:
            self._requests.add(scope)
            self._time_locked()
        try:
            with scope:
                yield
        finally:
            with self._monitor:
                self._requests.discard(scope)
                self._monitor.notify_all()

    @property
    def has_expired(self) -> bool:
        """Whether the deadline has passed."""
        return self.begun.is_set() and time.monotonic() >= self._deadline

    def _time_locked(self) -> None:
        if not self.begun.is_set() or self._is_timed or not self._requests:
            return
        self._is_timed = True
        # At exit threads cannot be started any more, and a process that ends does not wait.
        with contextlib.suppress(RuntimeError):
            Worker(self._cancel_at_deadline, "event-shutdown").start()

    def _cancel_at_deadline(self) -> None:
        with self._monitor:
            self._monitor.wait_for(lambda: not self._requests, max(0.0, self._deadline - time.monotonic()))
            late = list(self._requests)
            self._is_timed = False
        for scope in late:
            scope.cancel()


class Delivery:
    """Writes events to one sink, with retries, and logs each event that it could not write.

    It runs, and waits between tries, on the calling thread.

    Args:
        sink: writes the events.
        pause: returns the seconds to wait after a failed try; its argument is the number of that try, from 1.
        clock: the clock of these waits.
        shutdown: ends the retries.
        limited: logs what could not be written, at a bounded rate.

    Threads: several threads may call it at once if the sink allows that.
    """

    def __init__(
        self,
        sink: EventSink,
        pause: Callable[[int], float],
        clock: Clock,
        shutdown: Shutdown,
        limited: logging.Logger,
    ) -> None:
        self._sink = sink
        self._pause = pause
        self._clock = clock
        self._shutdown = shutdown
        self._limited = limited

    def deliver(self, event: dict[str, Any], patch: dict[str, Any] | None, *, max_tries: int = MAX_TRIES) -> Outcome:
        """Tries to write an event until it is written or refused, the tries are used up, or the recording shuts down.

        Args:
            event: the event in API form.
            patch: a merge patch with the changed fields, if the event was written before. None for a new event.
            max_tries: the largest number of tries.

        Returns:
            The outcome of the last try. An event that was not written is logged.
        """
        outcome = Outcome(is_final=False)
        for tries in range(1, max_tries + 1):
            if self._shutdown.has_expired:
                break
            outcome = self._try(event, patch)
            if outcome.is_final:
                return outcome
            if tries == max_tries:
                self._log_lost(event, f"retry limit exceeded: {outcome.error}")
                return outcome
            self._limited.warning("failed to write event %.100r, retrying: %s", _reason(event), outcome.error)
            if self._clock.wait(self._shutdown.begun, max(self._pause(tries), outcome.retry_after)):
                break
        self._log_lost(event, f"recording was stopped{': ' if outcome.error else ''}{outcome.error}")
        return outcome

    def _try(self, event: dict[str, Any], patch: dict[str, Any] | None) -> Outcome:
        try:
            with self._shutdown.request():
                answer = self._write(event, patch)
        except Exception as error:
            return self._judge(event, error, is_new=patch is None)
        return Outcome(answer if isinstance(answer, Mapping) else None)

    def _write(self, event: dict[str, Any], patch: dict[str, Any] | None) -> Any:
        """Patches the event, or creates it if it is new or the server does not have it any more."""
        if patch is not None:
            try:
                return self._sink.patch(_copy_for_sink(event), copy_event(patch))
            except Exception as error:
                answer = as_api_error(error)
                if answer is None or answer.status != 404:
                    raise
        return self._sink.create(_copy_for_sink(event))

    def _judge(self, event: dict[str, Any], error: Exception, *, is_new: bool) -> Outcome:
        """Decides whether a failed try is repeated; logs the event as lost if it is not."""
        text = _describe(error)
        answer = as_api_error(error)
        if answer is None:
            # ssl.SSLCertVerificationError is both a ValueError and an OSError; here it is a failed connection.
            # Another process may lead by now, and records its own events: a retry would only delay all later events.
            is_final = isinstance(error, (TypeError, ValueError, NotLeadingError)) and not isinstance(error, OSError)
            if not is_final:
                return Outcome(is_final=False, error=text)
            self._log_lost(event, text)
        elif _is_transient(answer):
            return Outcome(is_final=False, retry_after=min(answer.retry_after or 0.0, _MAX_RETRY_AFTER), error=text)
        elif answer.reason == "AlreadyExists" and not is_new and "series" in event:
            # Another thread created the series' first event after this patch got its 404: the next patch will find it.
            return Outcome(is_final=False, error=text)
        elif answer.reason == "AlreadyExists" or _is_namespace_terminating(answer):
            # Expected: the answer to an earlier try was lost, or the namespace is being deleted.
            _log.debug("event %.100r is not written: %s", _reason(event), text)
        else:
            self._log_lost(event, f"the server refused it: {text}")
        return Outcome(error=text)

    def _log_lost(self, event: Mapping[str, Any], error: str) -> None:
        regarding = event.get("involvedObject") or event.get("regarding") or {}
        self._limited.error(
            "failed to write event %.100r of %s %s/%s: %s",
            _reason(event),
            regarding.get("kind", ""),
            regarding.get("namespace", ""),
            regarding.get("name", ""),
            error,
        )


def _is_transient(answer: ApiError) -> bool:
    """Whether the server is only busy or unavailable.

    client-go's REST client retries an answer with a Retry-After by itself, so that its recorder never sees one.
    """
    asks_for_retry = answer.retry_after is not None and answer.status >= 500
    return asks_for_retry or answer.is_too_many_requests or answer.status in _UNAVAILABLE


def _is_namespace_terminating(answer: ApiError) -> bool:
    return any("NamespaceTerminating" in (cause.get("reason"), cause.get("type")) for cause in answer.causes)


def _describe(error: Exception) -> str:
    """Returns an error as one line; of an `ApiException`, whose text contains the whole answer, only the message."""
    answer = as_api_error(error)
    text = f"{type(error).__name__}: {error}" if answer is None else str(answer)
    return "\\n".join(text.splitlines())[:_MAX_ERROR_LENGTH]


def _reason(event: Mapping[str, Any]) -> Any:
    return event.get("reason", "")


def _copy_for_sink(event: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy that the sink may change, without the resourceVersion, which only the server sets."""
    copied = copy_event(event)
    copied.get("metadata", {}).pop("resourceVersion", None)
    return copied
