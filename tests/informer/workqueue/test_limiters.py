"""Rate limiters: how long items wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from informer.workqueue import (
    BucketRateLimiter,
    ItemExponentialFailureRateLimiter,
    ItemFastSlowRateLimiter,
    MaxOfRateLimiter,
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
def test_delays_are_counted_per_item(
    make_limiter: Callable[[], Any], one: list[float], two: list[float], again: float
) -> None:
    """Go: TestItemExponentialFailureRateLimiter, TestItemFastSlowRateLimiter, TestMaxOfRateLimiter.

    A forgotten item begins with the first delay again.
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


def test_delays_are_cut_to_a_maximum() -> None:
    """Go: TestWithMaxWaitRateLimiter."""
    limiter = WithMaxWaitRateLimiter(ItemFastSlowRateLimiter(0.005, 1000.0, 100), 500.0)
    assert waits(limiter, "one", 200) == [0.005] * 100 + [500.0] * 100
    assert limiter.num_requeues("one") == 200
    limiter.forget("one")
    assert limiter.when("one") == 0.005


def test_the_default_limiter_has_the_numbers_of_client_go() -> None:
    """client-go source. 5 ms doubled up to 1000 s per item, and 10 per second after 100 for all items together."""
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


def test_a_bucket_refills_over_time_up_to_its_burst() -> None:
    """client-go source. Each retry waits for a token of its own."""
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
def test_impossible_numbers_are_refused(make_limiter: Callable[[], Any]) -> None:
    """The error names the number."""
    with pytest.raises(ValueError, match=r"qps=|burst=|must not be negative"):
        make_limiter()


def test_a_maximum_of_no_limiters_is_no_delay() -> None:
    """Without limiters, no item waits."""
    assert MaxOfRateLimiter().when("a") == 0
    assert MaxOfRateLimiter().num_requeues("a") == 0


@pytest.mark.parametrize("bad", [-0.001, float("nan"), float("-inf")])
@pytest.mark.parametrize(
    ("name", "make_limiter"),
    [
        ("base", lambda bad: ItemExponentialFailureRateLimiter(bad, 1)),
        ("maximum", lambda bad: ItemExponentialFailureRateLimiter(1, bad)),
        ("fast", lambda bad: ItemFastSlowRateLimiter(bad, 1, 1)),
        ("slow", lambda bad: ItemFastSlowRateLimiter(1, bad, 1)),
        ("max_fast_attempts", lambda bad: ItemFastSlowRateLimiter(1, 1, bad)),
        ("max_wait", lambda bad: WithMaxWaitRateLimiter(BucketRateLimiter(1, 1), bad)),
    ],
)
def test_each_number_of_a_limiter_is_checked(name: str, make_limiter: Callable[[float], Any], bad: float) -> None:
    """The error names it; 0 is allowed."""
    with pytest.raises(ValueError, match=rf"^{name} must not be negative, but is "):
        make_limiter(bad)
    make_limiter(0)


@pytest.mark.parametrize(("qps", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0), (1, -1)])
def test_a_bucket_that_would_never_give_a_token_is_refused(qps: float, burst: int) -> None:
    """Otherwise no item would ever be retried."""
    with pytest.raises(ValueError, match=rf"qps={qps} and burst={burst} must both be above 0"):
        BucketRateLimiter(qps, burst)
