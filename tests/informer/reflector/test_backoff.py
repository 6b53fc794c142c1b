"""The waits between failed attempts."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer import Backoff
from informer.reflector.backoff import BackoffState


def test_default_waits_double_up_to_half_a_minute() -> None:
    """client-go source. 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, ... seconds before jitter."""
    state = BackoffState(Backoff(jitter=0), Random(1))
    assert [state.next(0) for _ in range(8)] == pytest.approx([0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])


def test_jitter_at_most_doubles_each_wait() -> None:
    """client-go source. Each wait times a random factor in [1, 2), no two alike."""
    state = BackoffState(Backoff(maximum=0.8), Random(1))
    factors = [state.next(0) / 0.8 for _ in range(200)]
    assert all(1 <= factor < 2 for factor in factors)
    assert max(factors) - min(factors) > 0.9
    assert len(set(factors)) == 200


def test_the_same_retry_after_is_spread_over_many_clients() -> None:
    """Clients with the same Retry-After wait at least that long, and do not return together."""
    waits = sorted(BackoffState(Backoff(), Random(seed)).next(0, at_least=5.0) for seed in range(300))
    assert waits[0] >= 5.0
    assert waits[-1] < 10.0
    tenths = [sum(begin <= wait < begin + 0.1 for wait in waits) for begin in (5 + i / 10 for i in range(50))]
    assert max(tenths) < 20


def test_a_long_retry_after_is_extended_by_the_maximum_at_most() -> None:
    """The random extension is bounded by `jitter * maximum`; without jitter there is none."""
    waits = [BackoffState(Backoff(), Random(seed)).next(0, at_least=200.0) for seed in range(100)]
    assert min(waits) >= 200.0
    assert max(waits) < 230.0
    assert BackoffState(Backoff(jitter=0), Random(1)).next(0, at_least=200.0) == 200.0


@pytest.mark.parametrize(
    ("backoff", "retry_after", "expected"),
    [
        pytest.param(Backoff(jitter=0), 86_000.0, 300.0, id="five-minutes-by-default"),
        pytest.param(Backoff(jitter=0, max_retry_after=60.0), 61.0, 60.0, id="a-configured-bound"),
        pytest.param(Backoff(jitter=0, max_retry_after=60.0), 59.0, 59.0, id="a-shorter-one-is-used"),
        pytest.param(Backoff(jitter=0, max_retry_after=0), 5.0, 0.8, id="none-at-all"),
        pytest.param(Backoff(600, 600, jitter=0), 86_000.0, 600.0, id="a-longer-backoff"),
    ],
)
def test_retry_after_is_bounded(backoff: Backoff, retry_after: float, expected: float) -> None:
    """A Retry-After beyond `max_retry_after` is cut to it; the configured backoff may be longer."""
    assert BackoffState(backoff, Random(1)).next(0, at_least=retry_after) == pytest.approx(expected)
    assert BackoffState(backoff, Random(1)).pause(0.1, retry_after) == max(
        0.1, min(retry_after, backoff.max_retry_after)
    )
    assert BackoffState(backoff, Random(1)).pause(5.0) == 5.0


def test_the_backoff_resets_after_two_minutes_without_a_failure() -> None:
    """client-go source. More than the reset time after the last failure, the next one counts as the first."""
    state = BackoffState(Backoff(jitter=0), Random(1))
    assert [state.next(0), state.next(0), state.next(120)] == pytest.approx([0.8, 1.6, 3.2])
    assert state.next(240.001) == pytest.approx(0.8)


def test_one_failure_per_minute_does_not_reset_the_backoff() -> None:
    """The time between failures has to exceed the reset time."""
    state = BackoffState(Backoff(jitter=0), Random(1))
    assert [state.next(60.0 * i) for i in range(10)][-1] == 30


def test_the_same_random_gives_the_same_waits() -> None:
    """The source of randomness is an argument."""
    one, other = (BackoffState(Backoff(), Random(7)) for _ in range(2))
    assert [one.next(0) for _ in range(5)] == [other.next(0) for _ in range(5)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"initial": -1},
        {"initial": 31},
        {"maximum": 0.5},
        {"factor": 0.9},
        {"jitter": -0.1},
        {"reset": -1},
        {"max_retry_after": -2},
    ],
    ids=str,
)
def test_invalid_values_are_refused(arguments: dict[str, Any]) -> None:
    """The error has the value."""
    with pytest.raises(ValueError, match=str(next(iter(arguments.values())))):
        Backoff(**arguments)


@given(
    initial=st.floats(0, 10),
    more=st.floats(0, 100),
    factor=st.floats(1, 5),
    jitter=st.floats(0, 3),
    gaps=st.lists(st.floats(0, 300), max_size=50),
)
def test_waits_stay_within_their_bounds(
    initial: float, more: float, factor: float, jitter: float, gaps: list[float]
) -> None:
    """A wait is never shorter than the first one, and never longer than the last one with its full jitter."""
    backoff = Backoff(initial=initial, maximum=initial + more, factor=factor, jitter=jitter)
    state, now = BackoffState(backoff, Random(3)), 0.0
    for gap in gaps:
        now += gap
        assert initial <= state.next(now) <= (initial + more) * (1 + jitter) + 1e-9
