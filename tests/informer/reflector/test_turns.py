"""A reflector among many others that ask the same server."""

from __future__ import annotations

import time
from typing import Any

import pytest

from informer import Backoff, Reflector, Store
from informer.reflector.pacing import Pacer, pacer_for
from watch.concurrency import Signal

SERVER = "https://turns.example.com"


@pytest.fixture
def pace() -> Pacer:
    """The pace of the server, which lives as long as the test."""
    made = pacer_for(SERVER)
    assert made is not None
    return made


def taken(pace: Pacer, seconds: float) -> None:
    """Others have taken the turns of so many seconds to come."""
    now = time.monotonic()
    while pace.reserve(now) < seconds:
        pass


def reflector(source: Any) -> Reflector:
    return Reflector(source, Store(), name="testName", backoff=Backoff(0.001, 0.002))


def test_a_request_waits_for_its_turn(script: Any, pace: Pacer) -> None:
    """The list comes when its turn has; the watch that follows it waits for none."""
    source = script.source([script.pods("1", "foo")], [[script.added("bar", "2")]])
    source.server = SERVER
    taken(pace, 0.2)
    begun = time.monotonic()
    reflector(source).list_and_watch(Signal())
    assert len(source.list_calls) == 1
    assert source.watch_calls
    assert time.monotonic() - begun >= 0.19


def test_a_stop_ends_the_wait_for_a_turn(script: Any, pace: Pacer, run: Any) -> None:
    """At once, and nothing is asked."""
    source, stop = script.source(), Signal()
    source.server = SERVER
    taken(pace, 60.0)
    task = run(reflector(source).run, stop)
    assert not task.ends_within(0.05)
    stop.set()
    assert task.ends_within(1.0)
    assert source.calls == []


@pytest.mark.parametrize("server", [None, "https://other.example.com", object()], ids=["unknown", "other", "odd"])
def test_those_who_ask_another_server_do_not_wait(script: Any, pace: Pacer, server: Any) -> None:
    """A user's own list-watch, of whose server nothing is known, has no turns at all."""
    source = script.source([script.pods("1", "foo")])
    if server is not None:
        source.server = server
    taken(pace, 60.0)
    begun = time.monotonic()
    reflector(source).list_and_watch(Signal())
    assert time.monotonic() - begun < 5.0
    assert len(source.list_calls) == 1
