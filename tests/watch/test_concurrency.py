"""Threads, locks and stop signals."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from tests.support.waiting import DEADLINE, eventually
from watch.concurrency import Latch, Monitor, Signal, Worker, current_thread_id, on_set


def calls() -> tuple[list[str], Any]:
    made: list[str] = []
    return made, made.append


# Signal


def test_a_signal_calls_each_subscriber_once() -> None:
    """`set` calls every subscriber on the setting thread; a second `set` calls none."""
    signal = Signal()
    threads: list[int] = []
    for _ in range(2):
        signal.subscribe(lambda: threads.append(current_thread_id()))
    assert not threads
    signal.set()
    signal.set()
    assert threads == [current_thread_id()] * 2
    assert signal.is_set()


def test_a_late_subscriber_is_called_at_once() -> None:
    """A subscriber of a set signal is called before `subscribe` returns."""
    signal = Signal()
    signal.set()
    made, call = calls()
    withdraw = signal.subscribe(lambda: call("late"))
    assert made == ["late"]
    withdraw()


def test_a_withdrawn_subscriber_is_not_called() -> None:
    """Withdrawing ends one subscription and leaves another one of the same function."""
    signal = Signal()
    made, call = calls()

    def callback() -> None:
        call("same")

    withdraw = signal.subscribe(callback)
    signal.subscribe(callback)
    withdraw()
    withdraw()
    signal.set()
    assert made == ["same"]
    withdraw()


def test_an_exception_of_a_subscriber_does_not_stop_the_next(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a subscriber is logged, and the next one is called."""
    signal = Signal()
    made, call = calls()

    def fails() -> None:
        raise ValueError("of its own")

    signal.subscribe(fails)
    signal.subscribe(lambda: call("next"))
    signal.set()
    assert made == ["next"]
    assert "of its own" in caplog.text


def test_a_subscriber_may_use_the_signal() -> None:
    """A subscriber may set the signal, subscribe and withdraw."""
    signal = Signal()
    made, call = calls()
    withdraw = signal.subscribe(lambda: call("withdrawn"))

    def callback() -> None:
        signal.set()
        signal.subscribe(lambda: call("inner"))

    withdraw()
    signal.subscribe(callback)
    signal.set()
    assert made == ["inner"]


# on_set


@pytest.mark.parametrize("kind", [threading.Event, Signal])
def test_on_set_calls_back(kind: type[threading.Event]) -> None:
    """The callback is called when the event is set, for either type of event."""
    event = kind()
    called = Latch()
    on_set(event, called.open)
    assert not called.is_open
    event.set()
    assert called.wait(DEADLINE)


@pytest.mark.parametrize("kind", [threading.Event, Signal])
def test_on_set_of_a_set_event_calls_at_once(kind: type[threading.Event]) -> None:
    """An event that is set already calls back at once."""
    event = kind()
    event.set()
    made, call = calls()
    withdraw = on_set(event, lambda: call("now"))
    assert made == ["now"]
    withdraw()


def test_many_plain_events_share_one_thread() -> None:
    """One thread watches all plain events, and ends when there are none."""
    events = [threading.Event() for _ in range(20)]
    latches = [Latch() for _ in events]
    before = threading.active_count()
    withdraws = [on_set(event, latch.open) for event, latch in zip(events, latches, strict=True)]
    assert threading.active_count() <= before + 1
    events[13].set()
    assert latches[13].wait(DEADLINE)
    assert sum(latch.is_open for latch in latches) == 1
    for withdraw in withdraws:
        withdraw()
    for event in events:
        event.set()
    later = Latch()
    last = threading.Event()
    on_set(last, later.open)
    last.set()
    assert later.wait(DEADLINE)
    assert sum(latch.is_open for latch in latches) == 1


def test_withdrawing_a_plain_events_callback() -> None:
    """Withdrawing one of two callbacks leaves the other, even if both are the same function."""
    event = threading.Event()
    first, second = Latch(), Latch()
    made, call = calls()

    def same() -> None:
        call("same")

    withdraw = on_set(event, same)
    on_set(event, same)
    withdraw_first = on_set(event, first.open)
    on_set(event, second.open)
    withdraw()
    withdraw()
    withdraw_first()
    event.set()
    assert second.wait(DEADLINE)
    assert made == ["same"]
    assert not first.is_open


def test_a_failing_callback_does_not_end_the_watching(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a callback is logged, and other events are still watched."""
    bad, good = threading.Event(), threading.Event()
    called = Latch()

    def fails() -> None:
        raise ValueError("of its own")

    on_set(bad, fails)
    on_set(good, called.open)
    bad.set()
    good.set()
    assert called.wait(DEADLINE)
    assert eventually(lambda: "of its own" in caplog.text)


# Latch, Monitor, Worker


def test_a_latch_opens_once_and_stays_open(run: Any) -> None:
    """A wait ends when the latch is opened, and later waits return at once."""
    latch = Latch()
    assert not latch.wait(0.01)
    task = run(latch.wait)
    latch.open()
    latch.open()
    assert task.result() is True
    assert latch.is_open
    assert latch.wait(0)


def test_a_monitor_guards_and_wakes(run: Any) -> None:
    """A thread that waits on a monitor is woken by another one that holds it."""
    monitor = Monitor()
    state: list[int] = []

    def wait() -> bool:
        with monitor:
            return monitor.wait_for(lambda: bool(state), DEADLINE)

    task = run(wait)
    with monitor:
        state.append(1)
        monitor.notify_all()
    assert task.result()


def test_a_worker_runs_its_function() -> None:
    """A worker is a named daemon thread, alive while its function runs."""
    begun, release = Latch(), Latch()
    seen: list[threading.Thread] = []

    def target() -> None:
        seen.append(threading.current_thread())
        begun.open()
        release.wait(DEADLINE)

    worker = Worker(target, "a-name")
    assert not worker.is_alive
    assert worker.join(0)
    assert worker.start() is worker
    assert begun.wait(DEADLINE)
    assert worker.is_alive
    assert not worker.is_current
    assert not worker.join(0.01)
    release.open()
    assert worker.join(DEADLINE)
    assert not worker.is_alive
    assert (worker.name, seen[0].name, seen[0].daemon) == ("a-name", "a-name", True)


def test_a_worker_does_not_join_itself() -> None:
    """`join` from the worker's own thread returns False at once."""
    results: list[tuple[bool, bool]] = []
    ready = Latch()

    def target() -> None:
        ready.wait(DEADLINE)
        results.append((worker.is_current, worker.join()))

    worker = Worker(target, "self").start()
    ready.open()
    assert worker.join(DEADLINE)
    assert results == [(True, False)]


@pytest.mark.parametrize("error", [ValueError("of its own"), SystemExit("of its own")], ids=["error", "exit"])
def test_an_exception_of_a_worker_is_logged(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """An exception that ends a worker is logged with the thread's name."""

    def target() -> None:
        raise error

    with caplog.at_level(logging.ERROR):
        assert Worker(target, "a-name").start().join(DEADLINE)
    assert "thread a-name ended with an error" in caplog.text
    assert "of its own" in caplog.text
