"""A token bucket, the usual limit on a rate that allows bursts."""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Holds at most `burst` tokens, starts full, and gains `qps` tokens per second.

    It reads no clock and takes no lock: the caller passes the time, which must not go back. The caller also checks `qps` and
    `burst`.

    Args:
        qps: tokens per second.
        burst: the largest number of tokens.
        now: the present time in seconds, on the caller's clock.

    Threads: not thread-safe; the caller holds a lock.

    Source: golang.org/x/time/rate Limiter.
    """

    __slots__ = ("_burst", "_qps", "_tokens", "_updated_at")

    def __init__(self, qps: float, burst: int, now: float) -> None:
        self._qps = qps
        self._burst = burst
        self._tokens = float(burst)  # below 0 while reserved tokens are still to come
        self._updated_at = now

    def try_take(self, now: float) -> bool:
        """Takes a token if there is one; returns whether it did."""
        self._refill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def reserve(self, now: float) -> float:
        """Takes a token, in advance if there is none yet; returns the seconds until that token is there.

        `qps` must be above 0.
        """
        self._refill(now)
        self._tokens -= 1
        return max(0.0, -self._tokens / self._qps)

    def _refill(self, now: float) -> None:
        self._tokens = min(float(self._burst), self._tokens + (now - self._updated_at) * self._qps)
        self._updated_at = now
