"""What a reflector can say of itself: what keeps it from syncing, since when, and when anything last came.

Comes in: failures, successes and signs of life, on the reflector's thread. Goes out: the answers, on any.
"""

from __future__ import annotations

import logging
import threading
import time
from http import HTTPStatus

from informer.errors import InformerError
from watch.clock import Clock
from watch.errors import ApiError, as_api_error

__all__ = ["Health", "answer_of", "describe_failure"]

_log = logging.getLogger(__name__)

_WARN_AFTER = 10.0


class Health:
    """See the module.

    Args:
        name: the reflector's, for logs.
        clock: counts the seconds without a sync.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.error: Exception | None = None
        """What keeps it from syncing or watching; None when nothing does."""
        self._name = name
        self._clock = clock
        self._began = 0.0
        self._settled = False  # it has synced, or it was told why not
        self._last_sign: float | None = None

    @property
    def last_event_age(self) -> float | None:
        """Seconds since anything came; None before."""
        last = self._last_sign
        return None if last is None else time.monotonic() - last

    def begin(self) -> None:
        """A run begins."""
        self._began = self._clock.monotonic()

    def saw(self) -> float:
        """Something came; returns the time, in seconds of the system's clock."""
        self._last_sign = now = time.monotonic()
        return now

    def synced(self) -> None:
        """A list, or a watch list, was stored."""
        self._settled = True
        self.error = None

    def failed(self, error: Exception) -> None:
        """A try has failed."""
        self.error = error
        self._warn()

    def wait(self, clock: Clock, stop: threading.Event, seconds: float) -> None:
        """Waits between two tries, and tells in its time what keeps it from syncing; `stop` ends the wait."""
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
    """The server's answer that an exception carries, or else the exception."""
    return as_api_error(error) or error


def describe_failure(error: Exception, verb: str, what: str) -> Exception:
    """An error of the same family that says what failed, and whose cause is the error.

    Args:
        error: what was raised.
        verb: what was to be done, such as "list".
        what: with what, such as "deployments.apps".
    """
    answer = as_api_error(error)
    text = f"failed to {verb} {what}: "
    made: Exception
    if answer is not None:
        message = text + (answer.message or "the server gave no reason")
        if answer.status == HTTPStatus.NOT_FOUND:
            # A list or a watch of nothing is empty, so it is the resource that is missing, and that may come.
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
