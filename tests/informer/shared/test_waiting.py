"""`wait_for_cache_sync`: waiting for several caches at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from informer import SharedInformer, wait_for_cache_sync
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE, Task, eventually
from watch import Channel
from watch.concurrency import Signal

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]


def never() -> bool:
    return False


def test_without_arguments_it_returns_true() -> None:
    """Go: TestWaitFor. No cache is not a cache that has not synced."""
    assert wait_for_cache_sync() is True
    assert wait_for_cache_sync(timeout=0) is True


def test_it_waits_until_all_have_synced(make_informer: Make, recorder: Any) -> None:
    """Go: TestWaitFor. Informers, registrations and functions, however long each takes."""
    source = FakeControllerSource()
    source.list_error = OSError("not at once")
    one, two = make_informer(source), make_informer(FakeControllerSource())
    registration = one.add_event_handler(recorder())
    calls = [0]

    def third_time() -> bool:
        calls[0] += 1
        return calls[0] >= 3

    one.start()
    two.start()
    assert wait_for_cache_sync(one, registration, two.has_synced, third_time, timeout=DEADLINE)
    assert one.has_synced()
    assert registration.has_synced()
    assert calls[0] >= 3


def test_functions_are_polled() -> None:
    """client-go source. They are called at once, and then ten times per second."""
    calls: list[float] = []

    def fourth_time() -> bool:
        calls.append(time.monotonic())
        return len(calls) == 4

    begun = time.monotonic()
    assert wait_for_cache_sync(fourth_time, timeout=DEADLINE)
    assert calls[0] - begun < 0.1
    assert calls[3] - calls[0] > 0.2


def test_the_wait_times_out(make_informer: Make) -> None:
    """Go: TestWaitFor. It returns False; a time-out of 0 checks each once and does not wait."""
    begun = time.monotonic()
    assert not wait_for_cache_sync(never, timeout=0.05)
    assert not wait_for_cache_sync(never, timeout=0)
    assert not wait_for_cache_sync(make_informer(FakeControllerSource()), timeout=0.05)
    assert time.monotonic() - begun < 5
    assert wait_for_cache_sync(lambda: True, timeout=0)


@pytest.mark.parametrize("make_event", [threading.Event, Signal], ids=["foreign", "own"])
def test_a_stop_event_ends_it(make_informer: Make, make_event: Any) -> None:
    """Go: TestWaitFor. It returns False once the event is set, even if the event was set before and everything has synced."""
    stop = make_event()
    answers: Channel[bool] = Channel(None)
    waiter = threading.Thread(
        target=lambda: answers.put(wait_for_cache_sync(make_informer(FakeControllerSource()), stop=stop))
    )
    waiter.start()
    stop.set()
    assert answers.get(DEADLINE) is False
    waiter.join(DEADLINE)
    assert not wait_for_cache_sync(lambda: True, stop=stop)


def test_an_informer_that_stops_ends_it(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """A stopped informer or a removed handler never syncs."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    gate = make_gate()
    registration = informer.add_event_handler(gate)
    informer.start()
    gate.entered.get(DEADLINE)
    for end in (lambda: registration.remove(wait=False), informer.begin_stop):
        answers: Channel[bool] = Channel(None)
        waited: Any = registration if end is not informer.begin_stop else make_informer(FakeControllerSource())
        waiter = threading.Thread(target=lambda w=waited, a=answers: a.put(wait_for_cache_sync(w)))
        waiter.start()
        end()
        if waited is not registration:
            waited.stop()
        assert answers.get(DEADLINE) is False
        waiter.join(DEADLINE)


def test_one_that_had_synced_before_its_stop_counts(make_informer: Make) -> None:
    """Its objects stay in the cache."""
    informer = make_informer(FakeControllerSource())
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    informer.stop()
    assert wait_for_cache_sync(informer)


def test_nothing_is_left_behind(make_informer: Make) -> None:
    """After the wait no callback of it is left in the informer."""
    informer = make_informer(FakeControllerSource())
    assert not wait_for_cache_sync(informer, timeout=0.01)
    assert informer._waiters._count == 0


def test_what_a_function_raises_comes_out() -> None:
    """The caller sees the exception."""
    with pytest.raises(ZeroDivisionError):
        wait_for_cache_sync(lambda: 1 / 0)


@pytest.mark.parametrize("odd", [None, 3, "pods"], ids=repr)
def test_other_arguments_are_refused(odd: Any) -> None:
    """What is neither callable nor has `has_synced` is a TypeError."""
    with pytest.raises(TypeError, match="an informer or a function is needed"):
        wait_for_cache_sync(odd)


def wait_in(way: str, informer: SharedInformer[Any], timeout: float | None) -> bool:
    """Waits in one of the ways to wait for a sync."""
    if way == "aio":

        async def main() -> bool:
            return await informer.aio.wait_for_sync(timeout)

        return asyncio.run(main())
    if way == "function":
        return wait_for_cache_sync(informer, timeout=timeout)
    return informer.wait_for_sync(timeout)


WAYS = pytest.mark.parametrize("way", ["method", "function", "aio"])
NOT_STARTED = "not started: call start(), or use it in a `with` block"


@WAYS
def test_a_wait_without_a_start_is_logged(make_informer: Any, caplog: pytest.LogCaptureFixture, way: str) -> None:
    """A wait of less than a second logs the warning at its end; a wait of 0 seconds logs none."""
    informer = make_informer(FakeControllerSource(), name="pods")
    assert not wait_in(way, informer, 0)
    assert caplog.messages == []
    assert not wait_in(way, informer, 0.01)
    assert len([message for message in caplog.messages if NOT_STARTED in message]) == 1
    assert NOT_STARTED in caplog.text
    caplog.clear()
    informer.start()
    assert wait_in(way, informer, DEADLINE)
    assert caplog.messages == []


@WAYS
def test_a_start_by_another_thread_during_the_wait_is_not_logged(
    make_informer: Any, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    """As in `Thread(target=informer.run).start(); informer.wait_for_sync()`."""
    informer = make_informer(FakeControllerSource(), name="pods")
    waiting = Task(wait_in, (way, informer, DEADLINE))
    assert eventually(lambda: informer._waiters._count > 0), "the wait has begun"
    informer.start()
    assert waiting.result()
    assert caplog.messages == []


@WAYS
def test_a_long_wait_without_a_start_is_logged_once_and_goes_on(
    make_informer: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The wait wakes up for the warning and continues; another thread may still start the informer."""
    monkeypatch.setattr("informer.shared.waiting._GRACE", 0.05)
    informer = make_informer(FakeControllerSource(), name="pods")
    waiting = Task(wait_in, (way, informer, None))
    assert eventually(lambda: NOT_STARTED in caplog.text)
    assert not waiting.ends_within(0.15)
    informer.start()
    assert waiting.result()
    assert len(caplog.messages) == 1
