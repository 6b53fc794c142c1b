"""The waits between failed attempts."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from watch.errors import DEFAULT_MAX_RETRY_AFTER

__all__ = ["Backoff", "BackoffState"]


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with jitter: how long to wait after each failure in a row.

    Args:
        initial: the wait after the first failure, in seconds.
        maximum: the longest wait before jitter, in seconds.
        factor: multiplies the wait after each failure.
        jitter: the largest random extension, as a multiple of the wait. It also extends a server's Retry-After. The extension
            never exceeds `jitter * maximum`.
        reset: seconds without a failure after which the next one counts as the first.
        max_retry_after: upper bound on Retry-After, in seconds; a longer one is cut to it.

    Raises:
        ValueError: a value is out of range.

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
    """The next wait of one client that follows a `Backoff`. Pure: time and randomness are passed in.

    Args:
        backoff: the waits.
        random: the source of jitter.
    """

    def __init__(self, backoff: Backoff, random: Random) -> None:
        self._backoff = backoff
        self._random = random
        self._next = backoff.initial
        self._last_failure: float | None = None

    def next(self, now: float, at_least: float = 0.0) -> float:
        """Returns the seconds to wait after a failure, and makes the following wait longer.

        Args:
            now: when it failed, in seconds of a monotonic clock.
            at_least: the server's Retry-After, in seconds. It is extended by jitter, so that clients with the same
                Retry-After do not return together.
        """
        backoff = self._backoff
        if self._last_failure is not None and now - self._last_failure > backoff.reset:
            self._next = backoff.initial
        self._last_failure = now
        wait = self._next
        self._next = min(wait * backoff.factor, backoff.maximum)
        return self.pause(wait, at_least)

    def pause(self, seconds: float, at_least: float = 0.0) -> float:
        """Returns the seconds to wait when the caller knows them; the backoff does not grow.

        Args:
            seconds: the wait before jitter.
            at_least: the server's Retry-After, in seconds.
        """
        backoff = self._backoff
        wait = max(seconds, min(at_least, backoff.max_retry_after))
        if not backoff.jitter:
            return wait
        return wait + min(wait, backoff.maximum) * backoff.jitter * self._random.random()
