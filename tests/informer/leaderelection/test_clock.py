"""The clock of leases, and alarms by it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from informer.leaderelection import LeaseClock
from informer.leaderelection.clock import _ConditionAlarm, _TimerAlarm, alarm_for, wall_time_of
from watch.clock import FakeClock, SystemClock


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="CLOCK_BOOTTIME needs Linux")
def test_the_lease_clock_reads_clock_boottime() -> None:
    """That clock runs while the machine is suspended."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = LeaseClock().monotonic()
    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_each_clock_has_a_time_of_day() -> None:
    """A fake clock's advances with it, and a LeaseClock may override its own."""
    assert wall_time_of(LeaseClock())() == pytest.approx(time.time(), abs=5)
    assert wall_time_of(SystemClock())() == pytest.approx(time.time(), abs=5)
    fake = FakeClock(7)
    wall = wall_time_of(fake)
    begin = wall()
    assert begin == pytest.approx(time.time(), abs=5)
    fake.step(100)
    assert wall() == begin + 100

    class Wrong(LeaseClock):
        def wall(self) -> float:
            return super().wall() + 3600

    assert wall_time_of(Wrong())() == pytest.approx(time.time() + 3600, abs=5)


CLOCK = LeaseClock()
linux = pytest.mark.skipif(sys.platform != "linux", reason="kernel timers need Linux")


@pytest.fixture(params=["condition", pytest.param("timer", marks=linux)])
def alarm(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An alarm of each kind."""
    made: Any = _TimerAlarm() if request.param == "timer" else _ConditionAlarm(CLOCK)
    yield made
    made.close()


def test_an_alarm_waits_until_its_moment(alarm: Any) -> None:
    """A wait for a moment that has passed returns at once."""
    until = CLOCK.monotonic() + 0.05
    alarm.wait(until)
    assert CLOCK.monotonic() >= until - 1e-6
    alarm.wait(until)
    alarm.wait(-1.0)


def test_wake_ends_the_present_or_the_next_wait(alarm: Any, run: Any) -> None:
    """It ends one wait, and the one after that is not affected."""
    task = run(alarm.wait, CLOCK.monotonic() + 100)
    assert not task.ends_within(0.02)
    alarm.wake()
    task.result()
    for _ in range(3):
        alarm.wake()
    alarm.wait(CLOCK.monotonic() + 100)
    until = CLOCK.monotonic() + 0.02
    alarm.wait(until)
    assert CLOCK.monotonic() >= until - 1e-6


def test_wake_and_close_after_close_do_not_raise_or_touch_other_files(alarm: Any) -> None:
    """The numbers of the closed files may belong to other files by then."""
    alarm.close()
    # The lowest free numbers: those of the files that the alarm has closed.
    read, write = os.pipe()
    try:
        os.set_blocking(read, False)
        alarm.wake()
        alarm.close()
        os.fstat(read)
        os.fstat(write)
        with pytest.raises(BlockingIOError):
            os.read(read, 1)
    finally:
        os.close(read)
        os.close(write)


def test_wake_does_not_block_while_no_thread_waits(alarm: Any) -> None:
    """Not even when the pipe of a timer alarm is full; the next wait returns at once."""
    for _ in range(100_000):
        alarm.wake()
    until = CLOCK.monotonic() + 100
    alarm.wait(until)
    assert CLOCK.monotonic() < until


@linux
def test_the_lease_clock_gets_a_kernel_timer_on_clock_boottime() -> None:
    """Such a timer is due at once when the machine wakes."""
    alarm = alarm_for(CLOCK)
    assert isinstance(alarm, _TimerAlarm)
    assert "clockid: 7\n" in Path(f"/proc/self/fdinfo/{alarm._timer}").read_text()
    alarm.close()


def test_other_clocks_get_a_timed_wait() -> None:
    """A FakeClock is advanced by hand."""
    assert isinstance(alarm_for(FakeClock()), _ConditionAlarm)


@linux
def test_without_a_kernel_timer_a_timed_wait_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox may forbid the timer, or no file descriptors may be left."""

    def refuse() -> None:
        raise OSError("no files left")

    monkeypatch.setattr("informer.leaderelection.clock._TimerAlarm", refuse)
    assert isinstance(alarm_for(CLOCK), _ConditionAlarm)
