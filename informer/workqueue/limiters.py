"""Rate limiters, which decide how long a work queue's item waits before it is retried.

Source: client-go util/workqueue default_rate_limiters.go.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from informer.token_bucket import TokenBucket
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock

__all__ = [
    "BucketRateLimiter",
    "ItemExponentialFailureRateLimiter",
    "ItemFastSlowRateLimiter",
    "MaxOfRateLimiter",
    "RateLimiter",
    "WithMaxWaitRateLimiter",
    "count_retry",
    "default_controller_rate_limiter",
    "default_item_based_rate_limiter",
]

T = TypeVar("T", bound=Hashable, default=Any)
T_contra = TypeVar("T_contra", bound=Hashable, contravariant=True, default=Any)

# Two to this power is longer than any delay, and does not overflow a float.
_MAX_EXPONENT = 900


class RateLimiter(Protocol[T_contra]):
    """Decides how long an item waits before it is retried.

    Threads: a queue calls the methods on any thread.
    """

    def when(self, item: T_contra, /) -> float:
        """Counts a retry of the item and returns the delay before it, in seconds."""
        ...

    def forget(self, item: T_contra, /) -> object:
        """Resets the item's count: it succeeded, or the caller gave up on it."""
        ...

    def num_requeues(self, item: T_contra, /) -> int:
        """The number of the item's retries since it was last forgotten."""
        ...


class _RetryCounts(Generic[T]):
    """Counts the retries of each item."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[T, int] = {}  # guarded by _lock

    def _count(self, item: T) -> int:
        """Counts a retry; returns how many there were before it."""
        with self._lock:
            before = self._counts.get(item, 0)
            self._counts[item] = before + 1
            return before

    def forget(self, item: T) -> None:
        """Resets the item's count: its next delay is the first one again."""
        with self._lock:
            self._counts.pop(item, None)

    def num_requeues(self, item: T) -> int:
        """The number of the item's retries since it was last forgotten."""
        with self._lock:
            return self._counts.get(item, 0)


class ItemExponentialFailureRateLimiter(_RetryCounts[T]):
    """Exponential backoff per item: base, 2 * base, 4 * base ... seconds, up to a maximum.

    Args:
        base: the first delay, in seconds.
        maximum: the longest delay, in seconds.

    Raises:
        ValueError: a number is negative.

    Threads: any.

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
        """Counts a retry of the item and returns the delay before it, in seconds."""
        return min(self._base * 2.0 ** min(self._count(item), _MAX_EXPONENT), self._maximum)


class ItemFastSlowRateLimiter(_RetryCounts[T]):
    """A short delay for the first retries of each item, and a long one for all later ones.

    Args:
        fast: the delay of the first retries, in seconds.
        slow: the delay of the later retries, in seconds.
        max_fast_attempts: the number of retries with the short delay.

    Raises:
        ValueError: a number is negative.

    Threads: any.

    Example:
        >>> limiter = ItemFastSlowRateLimiter(0.5, 60.0, 2)
        >>> [limiter.when("shop/web") for _ in range(4)]
        [0.5, 0.5, 60.0, 60.0]
    """

    def __init__(self, fast: float, slow: float, max_fast_attempts: int) -> None:
        super().__init__()
        _check(fast=fast, slow=slow, max_fast_attempts=max_fast_attempts)
        self._fast = fast
        self._slow = slow
        self._max_fast_attempts = max_fast_attempts

    def when(self, item: T) -> float:
        """Counts a retry of the item and returns the delay before it, in seconds."""
        return self._fast if self._count(item) < self._max_fast_attempts else self._slow


class BucketRateLimiter(Generic[T]):
    """A token bucket that all items share: bursts pass at once, and then at most `qps` retries per second.

    Each retry takes a token of its own, so a delay never depends on which item is retried.

    Args:
        qps: the retries per second in the long run.
        burst: the number of retries that may pass at once.
        clock: measures the time between retries.

    Raises:
        ValueError: qps or burst is not above 0.

    Threads: any.

    Example:
        >>> from watch import FakeClock
        >>> limiter = BucketRateLimiter(2, 3, clock=FakeClock())
        >>> [limiter.when("shop/web") for _ in range(5)]
        [0.0, 0.0, 0.0, 0.5, 1.0]
    """

    def __init__(self, qps: float, burst: int, *, clock: Clock = SYSTEM_CLOCK) -> None:
        if not qps > 0 or burst < 1:
            raise ValueError(
                f"qps={qps} and burst={burst} must both be above 0: otherwise no item would ever be retried"
            )
        self._lock = Lock()
        self._clock = clock
        self._bucket = TokenBucket(qps, burst, clock.monotonic())  # guarded by _lock

    def when(self, item: T) -> float:
        """Takes a token and returns the delay until it is there, in seconds."""
        with self._lock:
            return self._bucket.reserve(self._clock.monotonic())

    def forget(self, item: T) -> None:
        """Does nothing: a bucket does not know its items."""

    def num_requeues(self, item: T) -> int:
        """Always 0: a bucket does not know its items."""
        return 0


class MaxOfRateLimiter(Generic[T]):
    """The longest delay of several limiters. Every retry is counted by each of them.

    Args:
        limiters: the limiters. Without any, the delay is 0.

    Threads: any.
    """

    def __init__(self, *limiters: RateLimiter[T]) -> None:
        self._limiters = limiters

    def when(self, item: T) -> float:
        """Counts a retry of the item in every limiter and returns their longest delay, in seconds."""
        return max((limiter.when(item) for limiter in self._limiters), default=0.0)

    def forget(self, item: T) -> None:
        """Resets the item's count in every limiter."""
        for limiter in self._limiters:
            limiter.forget(item)

    def num_requeues(self, item: T) -> int:
        """The highest count of the item in any limiter."""
        return max((limiter.num_requeues(item) for limiter in self._limiters), default=0)


class WithMaxWaitRateLimiter(Generic[T]):
    """The delays of another limiter, cut to a maximum.

    Args:
        limiter: the other limiter.
        max_wait: the longest delay, in seconds.

    Raises:
        ValueError: max_wait is negative.

    Threads: any.
    """

    def __init__(self, limiter: RateLimiter[T], max_wait: float) -> None:
        _check(max_wait=max_wait)
        self._limiter = limiter
        self._max_wait = max_wait

    def when(self, item: T) -> float:
        """Counts a retry of the item in the other limiter and returns its delay, at most `max_wait` seconds."""
        return min(self._limiter.when(item), self._max_wait)

    def forget(self, item: T) -> None:
        """Resets the item's count in the other limiter."""
        self._limiter.forget(item)

    def num_requeues(self, item: T) -> int:
        """The item's count in the other limiter."""
        return self._limiter.num_requeues(item)


def default_controller_rate_limiter(*, clock: Clock = SYSTEM_CLOCK) -> RateLimiter[Any]:
    """The default limiter of a `RateLimitingQueue`: backoff per item, and a token bucket that all items share.

    The backoff begins with 5 ms and doubles up to 1000 s. The bucket lets 100 retries pass at once, and then 10 per second.

    Args:
        clock: measures the time between retries.
    """
    return MaxOfRateLimiter(ItemExponentialFailureRateLimiter(0.005, 1000.0), BucketRateLimiter(10, 100, clock=clock))


def default_item_based_rate_limiter() -> RateLimiter[Any]:
    """Exponential backoff per item, from 1 ms up to 1000 s."""
    return ItemExponentialFailureRateLimiter(0.001, 1000.0)


def count_retry(limiter: RateLimiter[T], item: T) -> None:
    """Counts a retry of an item that waits for an earlier retry: its own count grows, and no token is taken.

    A limiter that is not of this module is not called: it may take tokens too.
    """
    match limiter:
        case _RetryCounts():
            limiter._count(item)  # noqa: SLF001 - of this module
        case MaxOfRateLimiter():
            for each in limiter._limiters:  # noqa: SLF001
                count_retry(each, item)
        case WithMaxWaitRateLimiter():
            count_retry(limiter._limiter, item)  # noqa: SLF001


def _check(**numbers: float) -> None:
    for name, number in numbers.items():
        if not number >= 0:
            raise ValueError(f"{name} must not be negative, but is {number}")
