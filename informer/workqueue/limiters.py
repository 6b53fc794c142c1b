"""How long an item waits before it is tried again.

Source: client-go util/workqueue default_rate_limiters.go.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock

__all__ = [
    "BucketRateLimiter",
    "ItemExponentialFailureRateLimiter",
    "ItemFastSlowRateLimiter",
    "MaxOfRateLimiter",
    "RateLimiter",
    "WithMaxWaitRateLimiter",
    "default_controller_rate_limiter",
    "default_item_based_rate_limiter",
]

T = TypeVar("T", bound=Hashable, default=Any)
T_contra = TypeVar("T_contra", bound=Hashable, contravariant=True, default=Any)

# Two to this power is more than any delay, and still a float.
_MAX_EXPONENT = 900


class RateLimiter(Protocol[T_contra]):
    """Says how long an item has to wait.

    Threads: any.
    """

    def when(self, item: T_contra, /) -> float:
        """Counts a try of an item and says how many seconds to wait before it."""
        ...

    def forget(self, item: T_contra, /) -> object:
        """An item is no longer being retried."""
        ...

    def num_requeues(self, item: T_contra, /) -> int:
        """How often `when` was asked for it since it was forgotten."""
        ...


class _Failures(Generic[T]):
    """Counts tries by item."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[T, int] = {}  # guarded by _lock

    def _count(self, item: T) -> int:
        """Counts one more; returns how many there were before."""
        with self._lock:
            before = self._counts.get(item, 0)
            self._counts[item] = before + 1
            return before

    def forget(self, item: T) -> None:
        """An item is no longer being retried."""
        with self._lock:
            self._counts.pop(item, None)

    def num_requeues(self, item: T) -> int:
        """How often `when` was asked for it since it was forgotten."""
        with self._lock:
            return self._counts.get(item, 0)


class ItemExponentialFailureRateLimiter(_Failures[T]):
    """Waits base, 2 base, 4 base ... seconds, by item.

    Args:
        base: seconds of the first wait.
        maximum: seconds of the longest.

    Example:
        >>> limiter = ItemExponentialFailureRateLimiter(0.005, 1000)
        >>> [limiter.when("shop/web") for _ in range(4)]
        [0.005, 0.01, 0.02, 0.04]
    """

    def __init__(self, base: float, maximum: float) -> None:
        super().__init__()
        _check(base=base, maximum=maximum)
        self._base = base
        self._maximum = maximum

    def when(self, item: T) -> float:
        """See `RateLimiter`."""
        return min(self._base * 2.0 ** min(self._count(item), _MAX_EXPONENT), self._maximum)


class ItemFastSlowRateLimiter(_Failures[T]):
    """Waits shortly some times, then long, by item.

    Args:
        fast: seconds of the first waits.
        slow: seconds of all others.
        max_fast_attempts: how many first ones there are.
    """

    def __init__(self, fast: float, slow: float, max_fast_attempts: int) -> None:
        super().__init__()
        _check(fast=fast, slow=slow, max_fast_attempts=max_fast_attempts)
        self._fast = fast
        self._slow = slow
        self._max_fast_attempts = max_fast_attempts

    def when(self, item: T) -> float:
        """See `RateLimiter`."""
        return self._fast if self._count(item) < self._max_fast_attempts else self._slow


class BucketRateLimiter(Generic[T]):
    """So many a second for all items together, and some at once: each waits for a token of its own.

    Args:
        qps: tokens a second.
        burst: how many there are at first, and at most.
        clock: the time.
    """

    def __init__(self, qps: float, burst: int, *, clock: Clock = SYSTEM_CLOCK) -> None:
        if not qps > 0 or burst < 1:
            raise ValueError(f"nothing would ever get through: qps={qps} and burst={burst} must be above 0")
        self._qps = qps
        self._burst = burst
        self._clock = clock
        self._lock = Lock()
        self._tokens = float(burst)  # below 0 when some are promised; guarded by _lock
        self._at = clock.monotonic()  # when there were so many; guarded by _lock

    def when(self, item: T) -> float:
        """See `RateLimiter`."""
        with self._lock:
            now = self._clock.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._qps) - 1
            self._at = now
            return max(0.0, -self._tokens / self._qps)

    def forget(self, item: T) -> None:
        """Changes nothing: a token is spent."""

    def num_requeues(self, item: T) -> int:
        """Always 0: it knows no items."""
        return 0


class MaxOfRateLimiter(Generic[T]):
    """The longest wait of several limiters, each of which counts every try."""

    def __init__(self, *limiters: RateLimiter[T]) -> None:
        self._limiters = limiters

    def when(self, item: T) -> float:
        """See `RateLimiter`."""
        return max((limiter.when(item) for limiter in self._limiters), default=0.0)

    def forget(self, item: T) -> None:
        """Has all of them forget it."""
        for limiter in self._limiters:
            limiter.forget(item)

    def num_requeues(self, item: T) -> int:
        """The highest of their numbers."""
        return max((limiter.num_requeues(item) for limiter in self._limiters), default=0)


class WithMaxWaitRateLimiter(Generic[T]):
    """Another limiter's waits, cut off.

    Args:
        limiter: the other one.
        max_wait: seconds.
    """

    def __init__(self, limiter: RateLimiter[T], max_wait: float) -> None:
        _check(max_wait=max_wait)
        self._limiter = limiter
        self._max_wait = max_wait

    def when(self, item: T) -> float:
        """See `RateLimiter`."""
        return min(self._limiter.when(item), self._max_wait)

    def forget(self, item: T) -> None:
        """See `RateLimiter`."""
        self._limiter.forget(item)

    def num_requeues(self, item: T) -> int:
        """See `RateLimiter`."""
        return self._limiter.num_requeues(item)


def default_controller_rate_limiter(*, clock: Clock = SYSTEM_CLOCK) -> RateLimiter[Any]:
    """What a controller uses: 5 ms, doubled up to 1000 s, by item; and 10 a second after the first 100 for all together."""
    return MaxOfRateLimiter(ItemExponentialFailureRateLimiter(0.005, 1000.0), BucketRateLimiter(10, 100, clock=clock))


def default_item_based_rate_limiter() -> RateLimiter[Any]:
    """1 ms, doubled up to 1000 s, by item."""
    return ItemExponentialFailureRateLimiter(0.001, 1000.0)


def _check(**numbers: float) -> None:
    for name, number in numbers.items():
        if not number >= 0:
            raise ValueError(f"{name} must not be below 0, and is {number}")
