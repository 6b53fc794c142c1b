"""The waits before requests and rounds: which backoff, which clock, and the pacing among other informers."""

from __future__ import annotations

import logging
import time
from random import Random
from typing import Any

import pytest

from informer import Backoff, Reflector, Store
from informer.rate_limited_log import rate_limited
from informer.reflector.config import ReflectorConfig
from informer.reflector.counts import ReflectorCounts
from informer.reflector.health import Health
from informer.reflector.pacing import Pacer, pacer_for
from informer.reflector.state import Next, Step
from informer.reflector.waits import Waits
from tests.support.waiting import PROMPT
from watch.concurrency import Signal

SERVER = "https://paced.example.com"


def waits(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Waits of which those by the system's clock pass at once, too; they are found in `clock.waits` with the others."""
    monkeypatch.setattr("informer.reflector.waits.SYSTEM_CLOCK", clock)
    config = ReflectorConfig(clock=clock, backoff=Backoff(1, 8, jitter=0))
    health = Health("pods", clock, rate_limited(logging.getLogger("informer.test")), ReflectorCounts())
    health.record_sync()
    return Waits(config, Random(1), None, health)


def test_rounds_and_watches_back_off_independently(auto_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that is retried does not make the waits between rounds longer."""
    made, stop = waits(auto_clock, monkeypatch), Signal()
    for _ in range(3):
        assert made.before_request(Next(Step.WATCH, wait=True), Step.WATCH, stop)
    made.before_round(Next(Step.FAILED, wait=True), stop)
    assert auto_clock.waits == [1, 2, 4, 1]


def test_a_pause_does_not_make_the_backoff_longer(auto_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a Retry-After without a backoff."""
    made, stop = waits(auto_clock, monkeypatch), Signal()
    made.before_request(Next(Step.WATCH, pause=0.5), Step.WATCH, stop)
    made.before_request(Next(Step.LIST, at_least=3.0), Step.WATCH_LIST, stop)
    made.before_request(Next(Step.WATCH, wait=True), Step.WATCH, stop)
    assert auto_clock.waits == [0.5, 3.0, 1]


def test_a_request_that_follows_at_once_does_not_wait(auto_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the watch after a list."""
    assert waits(auto_clock, monkeypatch).before_request(Next(Step.WATCH), Step.LIST, Signal())
    assert auto_clock.waits == []


def test_after_a_stop_no_request_is_made(auto_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`before_request` returns False."""
    stop = Signal()
    stop.set()
    assert not waits(auto_clock, monkeypatch).before_request(Next(Step.LIST), None, stop)


# Pacing among the reflectors of one server


@pytest.fixture
def pacer() -> Pacer:
    """The pacer of the server, kept alive by the test."""
    made = pacer_for(SERVER)
    assert made is not None
    return made


def reserve_ahead(pacer: Pacer, seconds: float) -> None:
    """Reserves the requests of other informers for the next `seconds`."""
    now = time.monotonic()
    while pacer.reserve(now) < seconds:
        pass


def reflector(source: Any) -> Reflector:
    return Reflector(source, Store(), name="testName", backoff=Backoff(0.001, 0.002))


def test_a_reflector_is_paced(script: Any, pacer: Pacer) -> None:
    """The list is paced; the watch that follows it is not."""
    source = script.source([script.pods("1", "foo")], [[script.added("bar", "2")]])
    source.server = SERVER
    reserve_ahead(pacer, 0.2)
    begun = time.monotonic()
    reflector(source).list_and_watch(Signal())
    assert len(source.list_calls) == 1
    assert source.watch_calls
    assert time.monotonic() - begun >= 0.19


def test_a_stop_ends_the_wait_of_a_paced_request(script: Any, pacer: Pacer, run: Any) -> None:
    """The wait ends at once, and no request is made."""
    source, stop = script.source(), Signal()
    source.server = SERVER
    reserve_ahead(pacer, 60.0)
    task = run(reflector(source).run, stop)
    assert not task.ends_within(0.05)
    stop.set()
    assert task.ends_within(PROMPT)
    assert source.calls == []


@pytest.mark.parametrize("server", [None, "https://other.example.com", object()], ids=["unknown", "other", "odd"])
def test_reflectors_of_another_server_do_not_wait(script: Any, pacer: Pacer, server: Any) -> None:
    """Nor does a user's own list-watch, whose server is unknown."""
    source = script.source([script.pods("1", "foo")])
    if server is not None:
        source.server = server
    reserve_ahead(pacer, 60.0)
    begun = time.monotonic()
    reflector(source).list_and_watch(Signal())
    assert time.monotonic() - begun < 5.0
    assert len(source.list_calls) == 1
