"""The token bucket."""

from __future__ import annotations

import pytest

from informer.token_bucket import TokenBucket


def test_a_bucket_starts_full() -> None:
    """`burst` tokens can be taken at once, and no more."""
    bucket = TokenBucket(1, 3, 100)
    assert [bucket.try_take(100) for _ in range(4)] == [True, True, True, False]


def test_tokens_come_at_the_rate_up_to_the_burst() -> None:
    """A failed `try_take` does not cost a token, and a long pause does not earn more than the burst."""
    bucket = TokenBucket(0.5, 2, 0)
    assert [bucket.try_take(0) for _ in range(3)] == [True, True, False]
    assert [bucket.try_take(at) for at in (1.9, 2.0, 3.9)] == [False, True, False]
    assert [bucket.try_take(1000) for _ in range(3)] == [True, True, False]


def test_a_rate_of_zero_gives_no_more_tokens() -> None:
    """The burst is all there is."""
    bucket = TokenBucket(0, 1, 0)
    assert [bucket.try_take(at) for at in (0, 1_000_000)] == [True, False]


def test_reserved_tokens_come_one_after_the_other() -> None:
    """Each reservation waits for a token of its own."""
    bucket = TokenBucket(10, 1, 0)
    assert [bucket.reserve(0) for _ in range(3)] == pytest.approx([0, 0.1, 0.2])
    assert bucket.reserve(0.15) == pytest.approx(0.15)
    assert not bucket.try_take(0.3)
