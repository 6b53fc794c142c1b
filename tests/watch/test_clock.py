"""The system's clock, and one that tests move by hand."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.support.waiting import DEADLINE
from watch import Clock, FakeClock
from watch.clock import SYSTEM_CLOCK
from watch.concurrency import Monitor, Signal


def waiting(clock: Clock, timeout: float | None, woken: threading.Event) -> tuple[Monitor, Any]:
    """A monitor, and a function that waits on it for a state or the time."""
    monitor = Monitor()

    def wait() -> bool:
        with monitor:
            while not woken.is_set():
                if not clock.wait(monitor, timeout):
                    return False
            return True

    return monitor, wait


@pytest.mark.parametrize("clock", [SYSTEM_CLOCK, FakeClock()], ids=["system", "fake"])
def test_both_are_clocks(clock: Any) -> None:
    """Both clocks satisfy the Clock protocol."""
    assert isinstance(clock, Clock)
    assert clock.monotonic() <= clock.monotonic()


def test_the_systems_clock_waits(run: Any) -> None:
    """A wait ends when it is notified, when the event is set, or after its time."""
    monitor = Monitor()
    with monitor:
        begun = time.monotonic()
        assert not SYSTEM_CLOCK.wait(monitor, 0.02)
        assert time.monotonic() - begun >= 0.015
    event = threading.Event()
    assert not SYSTEM_CLOCK.wait(event, 0.001)
    task = run(SYSTEM_CLOCK.wait, event, DEADLINE)
    event.set()
    assert task.result()


def test_a_fake_clock_stands_still() -> None:
    """Only `step` moves the time, and only forward."""
    clock = FakeClock(100.0)
    assert clock.monotonic() == 100.0
    clock.step(2.5)
    clock.step(0)
    assert clock.monotonic() == 102.5
    with pytest.raises(ValueError, match="cannot go back"):
        clock.step(-1)
    assert clock.monotonic() == 102.5


@pytest.mark.parametrize("kind", ["condition", "event", "signal"])
def test_a_step_wakes_those_whose_time_is_up(kind: str, run: Any) -> None:
    """A step ends the waits that are due, which return False, and no others."""
    clock = FakeClock()
    tasks = {}
    never = threading.Event() if kind != "signal" else Signal()
    for seconds in (5.0, 10.0, None):
        target = waiting(clock, seconds, never)[1] if kind == "condition" else None
        tasks[seconds] = run(target) if target else run(clock.wait, never, seconds)
    assert clock.wait_for_waiters(3, DEADLINE)
    clock.step(4.999)
    assert not tasks[5.0].ends_within(0.03)
    clock.step(0.001)
    assert tasks[5.0].result() is False
    assert not tasks[10.0].ends_within(0.03)
    clock.step(100)
    assert tasks[10.0].result() is False
    assert not tasks[None].ends_within(0.03)
    never.set()
    if kind == "condition":
        # Its wait has no time-out, and the test does not know its condition, so the clock wakes it.
        for condition, _ in list(clock._conditions):
            with condition:
                condition.notify_all()
    assert tasks[None].result() is True


def test_a_notification_ends_a_wait(run: Any) -> None:
    """A wait whose condition is notified before the time is up returns True."""
    clock = FakeClock()
    woken = threading.Event()
    monitor, wait = waiting(clock, 10, woken)
    task = run(wait)
    assert clock.wait_for_waiters(1, DEADLINE)
    woken.set()
    with monitor:
        monitor.notify_all()
    assert task.result() is True
    assert clock._conditions == []


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_does_not_wait(timeout: float) -> None:
    """A wait of 0 seconds returns at once: True for an event that is set, else False."""
    clock = FakeClock()
    event = threading.Event()
    monitor = Monitor()
    with monitor:
        assert clock.wait(monitor, timeout) is False
    assert clock.wait(event, timeout) is False
    event.set()
    assert clock.wait(event, timeout) is True


def test_waiters_are_counted(run: Any) -> None:
    """A test can wait until a given number of threads wait on the clock."""
    clock = FakeClock()
    assert clock.wait_for_waiters(0, 0)
    assert not clock.wait_for_waiters(1, 0.01)
    event = threading.Event()
    task = run(clock.wait, event, None)
    assert clock.wait_for_waiters(1, DEADLINE)
    event.set()
    task.result()
    assert not clock.wait_for_waiters(1, 0.01)
