"""How long items have to wait."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from informer.workqueue import (
    BucketRateLimiter,
    ItemExponentialFailureRateLimiter,
    ItemFastSlowRateLimiter,
    MaxOfRateLimiter,
    PriorityQueue,
    RateLimitingQueue,
    WithMaxWaitRateLimiter,
    default_controller_rate_limiter,
    default_item_based_rate_limiter,
)
from watch import FakeClock


def waits(limiter: Any, item: str, times: int) -> list[float]:
    return [pytest.approx(limiter.when(item)) for _ in range(times)]


EXPONENTIAL = pytest.param(
    lambda: ItemExponentialFailureRateLimiter(0.001, 1.0),
    [0.001, 0.002, 0.004, 0.008, 0.016],
    [0.001, 0.002],
    0.001,
    id="TestItemExponentialFailureRateLimiter",
)
FAST_SLOW = pytest.param(
    lambda: ItemFastSlowRateLimiter(0.005, 10.0, 3),
    [0.005, 0.005, 0.005, 10.0, 10.0],
    [0.005, 0.005],
    0.005,
    id="TestItemFastSlowRateLimiter",
)
MAX_OF = pytest.param(
    lambda: MaxOfRateLimiter(ItemFastSlowRateLimiter(0.005, 3.0, 3), ItemExponentialFailureRateLimiter(0.001, 1.0)),
    [0.005, 0.005, 0.005, 3.0, 3.0],
    [0.005, 0.005],
    0.005,
    id="TestMaxOfRateLimiter",
)


@pytest.mark.parametrize(("make_limiter", "one", "two", "again"), [EXPONENTIAL, FAST_SLOW, MAX_OF])
def test_waits_by_item(make_limiter: Callable[[], Any], one: list[float], two: list[float], again: float) -> None:
    """Go: TestItemExponentialFailureRateLimiter, TestItemFastSlowRateLimiter, TestMaxOfRateLimiter.

    Items are counted apart, and a forgotten one begins anew.
    """
    limiter = make_limiter()
    assert waits(limiter, "one", 5) == one
    assert limiter.num_requeues("one") == 5
    assert waits(limiter, "two", 2) == two
    assert limiter.num_requeues("two") == 2
    limiter.forget("one")
    limiter.forget("never seen")
    assert limiter.num_requeues("one") == 0
    assert limiter.when("one") == pytest.approx(again)


@pytest.mark.parametrize(
    ("base", "maximum", "nth", "expected"),
    [(0.001, 1000.0, 6, 0.032), (60.0, 3_600_000.0, 3, 240.0)],
    ids=["milliseconds", "minutes"],
)
def test_many_failures_do_not_overflow(base: float, maximum: float, nth: int, expected: float) -> None:
    """Go: TestItemExponentialFailureRateLimiterOverFlow."""
    limiter = ItemExponentialFailureRateLimiter(base, maximum)
    assert waits(limiter, "one", nth)[-1] == expected
    for _ in range(2000):
        last = limiter.when("one")
    assert last == maximum


def test_waits_are_cut_off() -> None:
    """Go: TestWithMaxWaitRateLimiter."""
    limiter = WithMaxWaitRateLimiter(ItemFastSlowRateLimiter(0.005, 1000.0, 100), 500.0)
    assert waits(limiter, "one", 200) == [0.005] * 100 + [500.0] * 100
    assert limiter.num_requeues("one") == 200
    limiter.forget("one")
    assert limiter.when("one") == 0.005


def test_the_default_limiter_has_the_numbers_of_client_go() -> None:
    """client-go source. 5 ms doubled up to 1000 s by item, and 10 a second after 100 for all together."""
    clock = FakeClock()
    limiter = default_controller_rate_limiter(clock=clock)
    assert waits(limiter, "one", 2) == [0.005, 0.01]
    assert limiter.num_requeues("one") == 2
    limiter = default_controller_rate_limiter(clock=clock)
    assert [limiter.when(f"item-{n}") for n in range(102)][98:] == pytest.approx([0.005, 0.005, 0.1, 0.2])
    clock.step(1000)
    assert limiter.when("another") == 0.005
    limiter = default_controller_rate_limiter(clock=clock)
    for _ in range(40):
        clock.step(1)
        last = limiter.when("one")
    assert last == 1000.0
    assert waits(default_item_based_rate_limiter(), "one", 2) == [0.001, 0.002]


def test_a_bucket_fills_with_time() -> None:
    """client-go source. Each waits for a token of its own, of which there are never more than the burst."""
    clock = FakeClock()
    limiter = BucketRateLimiter(2, 3, clock=clock)
    assert waits(limiter, "a", 5) == [0, 0, 0, 0.5, 1.0]
    clock.step(0.5)
    assert limiter.when("b") == pytest.approx(1.0)
    clock.step(3600)
    assert waits(limiter, "a", 4) == [0, 0, 0, 0.5]
    limiter.forget("a")
    assert limiter.num_requeues("a") == 0


@pytest.mark.parametrize(
    "make_limiter",
    [
        lambda: BucketRateLimiter(0, 1),
        lambda: BucketRateLimiter(1, 0),
        lambda: ItemExponentialFailureRateLimiter(-1, 1),
        lambda: WithMaxWaitRateLimiter(BucketRateLimiter(1, 1), float("nan")),
    ],
)
def test_numbers_without_sense_are_refused(make_limiter: Callable[[], Any]) -> None:
    """The error names the number."""
    with pytest.raises(ValueError, match=r"qps=|burst=|below 0"):
        make_limiter()


def test_a_maximum_of_nothing_is_no_wait() -> None:
    """Without limiters nothing waits."""
    assert MaxOfRateLimiter().when("a") == 0
    assert MaxOfRateLimiter().num_requeues("a") == 0


@pytest.mark.parametrize("kind", [RateLimitingQueue, PriorityQueue], ids=lambda kind: kind.__name__)
def test_a_queue_asks_its_limiter(make: Callable[..., Any], kind: Any) -> None:
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
