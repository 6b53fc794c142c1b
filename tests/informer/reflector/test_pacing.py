"""Turns among the requests of many: pure, with the time passed in."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import given, strategies as st

from informer.reflector.pacing import Pacer, pacer_for


def test_the_first_few_go_at_once_and_the_rest_one_after_another() -> None:
    """Ten of three hundred wait for nothing, and the last for a second and a half."""
    pace = Pacer(qps=200, burst=10)
    waits = [pace.reserve(5.0) for _ in range(300)]
    assert waits[:10] == [0.0] * 10
    assert waits[10:13] == pytest.approx([0.005, 0.010, 0.015])
    assert waits[-1] == pytest.approx(1.45)


def test_who_is_alone_never_waits() -> None:
    """Not even with a request each five milliseconds."""
    pace = Pacer(qps=200, burst=10)
    assert [pace.reserve(i * 0.005001) for i in range(1000)] == [0.0] * 1000


def test_after_a_rest_the_first_few_go_at_once_again() -> None:
    """What was not used before is not saved up beyond that."""
    pace = Pacer(qps=200, burst=10)
    for _ in range(300):
        pace.reserve(0.0)
    waits = [pace.reserve(1000.0) for _ in range(11)]
    assert waits[:10] == [0.0] * 10
    assert waits[10] == pytest.approx(0.005)


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=300))
def test_no_second_has_more_than_its_turns_however_they_are_asked_for(pauses: list[float]) -> None:
    """At most ten, and two hundred a second, in any stretch of time; turns come in the order in which they were asked for."""
    pace, now, turns = Pacer(qps=200, burst=10), 0.0, []
    for pause in pauses:
        now += pause
        turns.append(now + pace.reserve(now))
    assert turns == sorted(turns)
    for i, first in enumerate(turns):
        for count, at in enumerate(turns[i:], 1):
            assert count <= 10 + 200 * (at - first) + 1e-6


def test_a_server_has_one_pace_for_as_long_as_somebody_uses_it() -> None:
    """Another server has another; of what is no address nothing is known."""
    mine = pacer_for("https://a")
    assert mine is not None
    assert pacer_for("https://a") is mine
    assert pacer_for("https://b") is not mine
    assert pacer_for(None) is None
    assert pacer_for(object()) is None
    mine.reserve(0.0)
    del mine
    gc.collect()
    fresh = pacer_for("https://a")
    assert fresh is not None
    assert [fresh.reserve(0.0) for _ in range(10)] == [0.0] * 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_paces_of_its_own() -> None:
    """The parent's lock may be held for ever there."""
    mine = pacer_for("https://a")
    assert mine is not None
    with mine._lock:
        child = os.fork()
        if not child:
            other = pacer_for("https://a")
            os._exit(0 if other is not None and other.reserve(0.0) == 0.0 else 1)
        assert os.waitpid(child, 0)[1] == 0
