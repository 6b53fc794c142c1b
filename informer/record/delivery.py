"""Bringing an event to a sink, with retries that give up.

Comes in: an event, and what is new of it. Goes out: the server's answer, or a line in the log that says why there is none.
Runs, and waits between tries, on the thread of whoever records to the sink.

Source: client-go tools/record and tools/events, recordEvent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from informer.rate_limited_log import LimitedLog
from informer.record.event_form import copy_event
from informer.record.event_sink import EventSink
from watch.clock import Clock
from watch.concurrency import Signal
from watch.errors import ApiError, as_api_error

__all__ = ["MAX_TRIES", "Delivery", "Ending", "Outcome"]

_log = logging.getLogger(__name__)

MAX_TRIES = 12
_MAX_WORDS = 500
_AWAY = frozenset({502, 503, 504})
# Seconds; one event must not keep all others waiting for the day that a header may ask for.
_MAX_RETRY_AFTER = 60.0


@dataclass(frozen=True)
class Outcome:
    """What became of one try.

    Args:
        answer: the sink's, None for none.
        is_over: whether the event was written, or never will be.
        retry_after: seconds that the server asks to wait before the next try.
        why: what kept it from being written, "" where nothing did.
    """

    answer: Mapping[str, Any] | None = None
    is_over: bool = True
    retry_after: float = 0.0
    why: str = ""


class Ending:
    """When a recording comes to its end: from then on nothing is tried twice, and after a while nothing at all.

    Threads: any.
    """

    def __init__(self) -> None:
        self.begun = Signal()
        self._deadline = 0.0

    def begin(self, deadline: float) -> None:
        """Ends the waits between tries. Again is harmless.

        Args:
            deadline: when tries end too, on the system's monotonic clock.
        """
        if not self.begun.is_set():
            self._deadline = deadline
            self.begun.set()

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be tried any more."""
        return self.begun.is_set() and time.monotonic() >= self._deadline


class Delivery:
    """See the module.

    Args:
        sink: what writes events.
        pause: seconds to wait after a failed try, whose number (from 1) it is given.
        clock: counts these seconds.
        ending: says whether to try (again).
        limited: for what cannot be written.

    Threads: any, several at a time if the sink allows it.
    """

    def __init__(
        self,
        sink: EventSink,
        pause: Callable[[int], float],
        clock: Clock,
        ending: Ending,
        limited: LimitedLog,
    ) -> None:
        self._sink = sink
        self._pause = pause
        self._clock = clock
        self._ending = ending
        self._limited = limited

    def deliver(self, event: dict[str, Any], patch: dict[str, Any] | None, *, max_tries: int = MAX_TRIES) -> Outcome:
        """Tries until the event is written, refused, or was tried often enough; says in the log when it was not written.

        Args:
            event: in API form.
            patch: what is new of it where it was written before; None where it was not.
            max_tries: so often.
        """
        outcome = Outcome(is_over=False)
        for tries in range(1, max_tries + 1):
            if self._ending.is_over:
                break
            outcome = self.attempt(event, patch)
            if outcome.is_over:
                return outcome
            if tries == max_tries:
                self._lose(event, f"retry limit exceeded: {outcome.why}")
                return outcome
            self._limited.log(
                logging.WARNING, "an event %.100r is not written yet, and tried again: %s", _reason(event), outcome.why
            )
            if self._clock.wait(self._ending.begun, max(self._pause(tries), outcome.retry_after)):
                break
        self._lose(event, f"the recording has ended{': ' if outcome.why else ''}{outcome.why}")
        return outcome

    def attempt(self, event: dict[str, Any], patch: dict[str, Any] | None) -> Outcome:
        """Tries once; a patch of what is not there (any more) creates it."""
        try:
            answer = self._write(event, patch)
        except Exception as error:
            return self._failed(event, error, is_new=patch is None)
        return Outcome(answer if isinstance(answer, Mapping) else None)

    def _write(self, event: dict[str, Any], patch: dict[str, Any] | None) -> Any:
        if patch is not None:
            try:
                return self._sink.patch(_copied(event), copy_event(patch))
            except Exception as error:
                answer = as_api_error(error)
                if answer is None or answer.status != 404:
                    raise
        return self._sink.create(_copied(event))

    def _failed(self, event: dict[str, Any], error: Exception, *, is_new: bool) -> Outcome:
        why = _words(error)
        answer = as_api_error(error)
        if answer is None:
            # An untrusted certificate is a ValueError to Python, and a connection that failed to us.
            if not isinstance(error, (TypeError, ValueError)) or isinstance(error, OSError):
                return Outcome(is_over=False, why=why)
            self._lose(event, why)
        elif _will_pass(answer):
            return Outcome(is_over=False, retry_after=min(answer.retry_after or 0.0, _MAX_RETRY_AFTER), why=why)
        elif answer.reason == "AlreadyExists" and not is_new and "series" in event:
            # Its first event was written by another thread between the patch and this: the patch will find it.
            return Outcome(is_over=False, why=why)
        elif answer.reason == "AlreadyExists" or _is_namespace_terminating(answer):
            # Nobody can do anything about these: an answer to an earlier try was lost, or the place is going away.
            _log.debug("an event %.100r is not written: %s", _reason(event), why)
        else:
            self._lose(event, f"the server refuses it: {why}")
        return Outcome(why=why)

    def _lose(self, event: Mapping[str, Any], why: str) -> None:
        about = event.get("involvedObject") or event.get("regarding") or {}
        self._limited.log(
            logging.ERROR,
            "an event %.100r of %s %s/%s is not written: %s",
            _reason(event),
            about.get("kind", ""),
            about.get("namespace", ""),
            about.get("name", ""),
            why,
        )


def _will_pass(answer: ApiError) -> bool:
    """Whether the server is only busy, or away: a load balancer before it says no more than 502, 503 or 504.

    Where there is a Retry-After client-go's REST client tries again by itself, so that its recorder never sees it.
    """
    asks = answer.retry_after is not None and answer.status >= 500
    return asks or answer.is_too_many_requests or answer.status in _AWAY


def _is_namespace_terminating(answer: ApiError) -> bool:
    return any("NamespaceTerminating" in (cause.get("reason"), cause.get("type")) for cause in answer.causes)


def _words(error: Exception) -> str:
    """An error in a line of a log. The text of an `ApiException` has the whole answer in it, so only its message is taken."""
    answer = as_api_error(error)
    text = f"{type(error).__name__}: {error}" if answer is None else str(answer)
    return "\\n".join(text.splitlines())[:_MAX_WORDS]


def _reason(event: Mapping[str, Any]) -> Any:
    return event.get("reason", "")


def _copied(event: dict[str, Any]) -> dict[str, Any]:
    """The sink's own, each time, without what only the server gives."""
    copied = copy_event(event)
    copied.get("metadata", {}).pop("resourceVersion", None)
    return copied
