"""The queue that retries items with backoff."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from informer.workqueue import (
    BucketRateLimiter,
    ItemExponentialFailureRateLimiter,
    MaxOfRateLimiter,
    PriorityQueue,
    RateLimitingQueue,
    WithMaxWaitRateLimiter,
    default_controller_rate_limiter,
)
from watch import FakeClock


@pytest.mark.parametrize("kind", [RateLimitingQueue, PriorityQueue], ids=lambda kind: kind.__name__)
def test_a_queue_waits_as_long_as_its_limiter_says(make: Callable[..., Any], kind: Any) -> None:
    """Go: TestRateLimitingQueue."""
    clock = FakeClock()
    queue = make(kind, ItemExponentialFailureRateLimiter(0.001, 1.0), clock=clock)

    def delay(item: str) -> int:
        """Milliseconds after which an item that is added rate-limited is ready."""
        queue.add_rate_limited(item)
        for milliseconds in count():
            if len(queue):
                queue.done(queue.get(0))
                return milliseconds
            clock.step(0.001 + 1e-9)
        raise AssertionError

    assert [delay("one"), delay("one")] == [1, 2]
    assert queue.num_requeues("one") == 2
    assert [delay("two"), delay("two")] == [1, 2]
    queue.forget("one")
    assert queue.num_requeues("one") == 0
    assert delay("one") == 1


class OwnLimiter:
    """A user's limiter, which has a bucket inside."""

    def __init__(self, clock: FakeClock) -> None:
        self._limiter = default_controller_rate_limiter(clock=clock)
        self.when, self.forget, self.num_requeues = (
            self._limiter.when,
            self._limiter.forget,
            self._limiter.num_requeues,
        )


LIMITERS: dict[str, Callable[[FakeClock], Any]] = {
    "the default": lambda clock: default_controller_rate_limiter(clock=clock),
    "a bucket after a longest wait": lambda clock: WithMaxWaitRateLimiter(
        MaxOfRateLimiter(ItemExponentialFailureRateLimiter(0.01, 60), BucketRateLimiter(10, 100, clock=clock)), 900
    ),
    "a bucket alone": lambda clock: BucketRateLimiter(10, 100, clock=clock),
    "a user's": OwnLimiter,
}


@pytest.mark.parametrize("limiter", LIMITERS.values(), ids=LIMITERS)
@pytest.mark.parametrize("worked", [False, True], ids=["never processed", "processed each time"])
@pytest.mark.parametrize("kind", [RateLimitingQueue, PriorityQueue], ids=lambda kind: kind.__name__)
def test_a_key_that_fails_often_does_not_delay_the_retries_of_others(
    make: Callable[..., Any], kind: Any, worked: bool, limiter: Callable[[FakeClock], Any]
) -> None:
    """A key that waits for an earlier retry takes no further token (controller-runtime#1594)."""
    clock = FakeClock()
    queue = make(kind, limiter(clock), clock=clock)
    for _ in range(1000):
        if worked:
            queue.add("hot")
            assert queue.get(0) == "hot"
        queue.add_rate_limited("hot")
        if worked:
            queue.done("hot")
        clock.step(0.01)
    queue.add_rate_limited("other")
    clock.step(0.2)
    ready = [queue.get(0) for _ in range(len(queue))]
    assert "other" in ready


def test_a_waiting_retry_counts_and_keeps_its_time(make: Callable[..., Any]) -> None:
    """Further failures of a waiting key grow its count; they neither shorten nor lengthen the wait."""
    clock = FakeClock()
    queue = make(RateLimitingQueue, BucketRateLimiter(0.1, 1, clock=clock), clock=clock)
    queue.add_rate_limited("takes the only token")
    queue.done(queue.get(0))
    queue.add_rate_limited("shop/web")
    for _ in range(50):
        queue.add_rate_limited("shop/web")
    clock.step(9.9)
    assert len(queue) == 0
    clock.step(0.2)
    assert queue.get(0) == "shop/web"
    exponential = make(RateLimitingQueue, ItemExponentialFailureRateLimiter(1, 100), clock=clock)
    for _ in range(3):
        exponential.add_rate_limited("shop/web")
    assert exponential.num_requeues("shop/web") == 3
    clock.step(1)
    queue = exponential
    assert queue.get(0) == "shop/web"


def test_the_first_retry_after_a_success_does_not_wait_for_an_earlier_one(make: Callable[..., Any]) -> None:
    """`forget` ends the backoff, also that of a retry which still waits."""
    clock = FakeClock()
    queue = make(RateLimitingQueue, ItemExponentialFailureRateLimiter(1, 1000), clock=clock)
    for _ in range(8):
        queue.add_rate_limited("shop/web")
        clock.step(1000)
        queue.done(queue.get(0))
    queue.add_rate_limited("shop/web")
    queue.forget("shop/web")
    queue.add_rate_limited("shop/web")
    clock.step(1)
    assert queue.get(0) == "shop/web"


def test_a_limiter_that_raised_is_asked_again(make: Callable[..., Any]) -> None:
    """A retry that was never queued is not taken for one that waits."""

    class Failing(ItemExponentialFailureRateLimiter[str]):
        delays: Any = iter([ValueError("broken"), math.inf, 0.0])

        def when(self, item: str) -> float:
            delay = next(self.delays)
            if isinstance(delay, Exception):
                raise delay
            return delay  # type: ignore[no-any-return]

    queue = make(RateLimitingQueue, Failing(1, 1))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"broken|finite"):
            queue.add_rate_limited("shop/web")
    queue.add_rate_limited("shop/web")
    assert queue.get(0) == "shop/web"


def test_a_waiting_retry_takes_a_higher_priority(make: Callable[..., Any]) -> None:
    """Only its time stands."""
    clock = FakeClock()
    queue = make(PriorityQueue, ItemExponentialFailureRateLimiter(1, 10), clock=clock)
    queue.add_rate_limited("low", priority=-5)
    queue.add_rate_limited("normal")
    queue.add_rate_limited("low", priority=7)
    clock.step(1)
    assert [queue.get_with_priority(0) for _ in range(2)] == [("low", 7), ("normal", 0)]
