"""Pacing of the requests to one server. Pure: time is passed in."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import given, strategies as st

from informer.reflector.pacing import Pacer, pacer_for


def test_a_burst_goes_at_once_and_the_rest_is_evenly_spaced() -> None:
    """Of 300 simultaneous requests, ten do not wait, and the last one waits for 1.45 seconds."""
    pacer = Pacer(qps=200, burst=10)
    waits = [pacer.reserve(5.0) for _ in range(300)]
    assert waits[:10] == [0.0] * 10
    assert waits[10:13] == pytest.approx([0.005, 0.010, 0.015])
    assert waits[-1] == pytest.approx(1.45)


def test_requests_at_the_allowed_rate_do_not_wait() -> None:
    """One request every five milliseconds is 200 per second."""
    pacer = Pacer(qps=200, burst=10)
    assert [pacer.reserve(i * 0.005001) for i in range(1000)] == [0.0] * 1000


def test_after_a_quiet_time_the_next_burst_goes_at_once() -> None:
    """A long quiet time does not allow a longer burst."""
    pacer = Pacer(qps=200, burst=10)
    for _ in range(300):
        pacer.reserve(0.0)
    waits = [pacer.reserve(1000.0) for _ in range(11)]
    assert waits[:10] == [0.0] * 10
    assert waits[10] == pytest.approx(0.005)


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=300))
def test_no_stretch_of_time_exceeds_burst_and_rate(pauses: list[float]) -> None:
    """At most ten requests plus 200 per second, in any stretch of time and in the order in which they were reserved."""
    pacer, now, times = Pacer(qps=200, burst=10), 0.0, []
    for pause in pauses:
        now += pause
        times.append(now + pacer.reserve(now))
    assert times == sorted(times)
    for i, first in enumerate(times):
        for count, at in enumerate(times[i:], 1):
            assert count <= 10 + 200 * (at - first) + 1e-6


def test_a_server_has_one_pacer_while_it_is_in_use() -> None:
    """Another server has another pacer, and an unknown server none. An unused pacer is forgotten."""
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
def test_a_forked_child_has_its_own_pacers() -> None:
    """The parent's lock may be held at the time of the fork, and is never released in the child."""
    mine = pacer_for("https://a")
    assert mine is not None
    with mine._lock:
        child = os.fork()
        if not child:
            other = pacer_for("https://a")
            os._exit(0 if other is not None and other.reserve(0.0) == 0.0 else 1)
        assert os.waitpid(child, 0)[1] == 0
