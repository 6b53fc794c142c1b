"""The waits between failed tries."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from watch.errors import DEFAULT_MAX_RETRY_AFTER

__all__ = ["Backoff", "BackoffState"]


@dataclass(frozen=True)
class Backoff:
    """How long to wait after each failure in a row.

    Args:
        initial: seconds after the first failure.
        maximum: the wait stops growing at so many seconds.
        factor: each wait is so many times the one before.
        jitter: each wait, those that the server asks for too, is made longer by a random part of it, at most so many
            times the wait (of a wait longer than `maximum`, so many times that).
        reset: after so many seconds without a failure the next one counts as the first.
        max_retry_after: of a server's wish (Retry-After) so many seconds at most are kept to, and then it is asked again.

    Raises:
        ValueError: a value makes no sense.

    Source: client-go tools/cache, the reflector's defaults.
    """

    initial: float = 0.8
    maximum: float = 30.0
    factor: float = 2.0
    jitter: float = 1.0
    reset: float = 120.0
    max_retry_after: float = DEFAULT_MAX_RETRY_AFTER

    def __post_init__(self) -> None:
        if self.initial < 0 or self.maximum < self.initial:
            raise ValueError(f"0 <= initial <= maximum is needed, not initial={self.initial}, maximum={self.maximum}")
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, not {self.factor}")
        if self.jitter < 0 or self.reset < 0:
            raise ValueError(f"jitter and reset must be 0 or more, not {self.jitter} and {self.reset}")
        if self.max_retry_after < 0:
            raise ValueError(f"max_retry_after must be 0 or more seconds, not {self.max_retry_after}")


class BackoffState:
    """Where in a `Backoff` one client stands. Pure: the time and the randomness are passed in.

    Args:
        backoff: the waits.
        random: gives the jitter.
    """

    def __init__(self, backoff: Backoff, random: Random) -> None:
        self._backoff = backoff
        self._random = random
        self._next = backoff.initial
        self._last: float | None = None  # when a wait was last asked for

    def next(self, now: float, at_least: float = 0.0) -> float:
        """The seconds to wait after a failure.

        Args:
            now: when it failed, in seconds of a monotonic clock.
            at_least: the server's wish, before jitter: those that it has told the same must not come back together.
        """
        backoff = self._backoff
        if self._last is not None and now - self._last > backoff.reset:
            self._next = backoff.initial
        self._last = now
        wait = self._next
        self._next = min(wait * backoff.factor, backoff.maximum)
        return self._spread(max(wait, min(at_least, backoff.max_retry_after)))

    def pause(self, seconds: float, at_least: float = 0.0) -> float:
        """The seconds to wait where these are known, or where it is the server alone that says how long.

        Args:
            seconds: before jitter.
            at_least: the server's wish, as of `next`.
        """
        return self._spread(max(seconds, min(at_least, self._backoff.max_retry_after)))

    def _spread(self, wait: float) -> float:
        """A wait with its jitter."""
        backoff = self._backoff
        if not backoff.jitter:
            return wait
        return wait + min(wait, backoff.maximum) * backoff.jitter * self._random.random()
