"""Waiting for a moment that a suspended machine does not put off."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from informer.leaderelection import LeaseClock
from informer.leaderelection.clock import _ConditionAlarm, _TimerAlarm, alarm_for, wall_time_of
from informer.leaderelection.term import Term
from watch.clock import FakeClock, SystemClock


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="CLOCK_BOOTTIME is Linux's")
def test_it_counts_the_time_of_a_suspended_machine() -> None:
    """It is the clock that goes on through suspension, which the monotonic one does not."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = LeaseClock().monotonic()
    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_time_of_day_goes_with_the_clock() -> None:
    """That of a clock which tests move, too; a lease clock may say another."""
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
linux = pytest.mark.skipif(sys.platform != "linux", reason="the timer is Linux's")


@pytest.fixture(params=["condition", pytest.param("timer", marks=linux)])
def alarm(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One of each kind."""
    made: Any = _TimerAlarm() if request.param == "timer" else _ConditionAlarm(CLOCK)
    yield made
    made.close()


def test_it_comes_at_its_moment(alarm: Any) -> None:
    """Not before, but for a rounding, and at once when it has passed."""
    until = CLOCK.monotonic() + 0.05
    alarm.wait(until)
    assert CLOCK.monotonic() >= until - 1e-6
    alarm.wait(until)
    alarm.wait(-1.0)


def test_it_may_be_rung(alarm: Any, run: Any) -> None:
    """A wait under way ends, and so does the next one when nobody waits; then it is used up."""
    task = run(alarm.wait, CLOCK.monotonic() + 100)
    assert not task.ends_within(0.02)
    alarm.ring()
    task.result()
    for _ in range(3):
        alarm.ring()
    alarm.wait(CLOCK.monotonic() + 100)
    until = CLOCK.monotonic() + 0.02
    alarm.wait(until)
    assert CLOCK.monotonic() >= until - 1e-6


def test_ringing_one_that_is_closed_is_harmless(alarm: Any) -> None:
    """Its number may be another file's by then."""
    alarm.close()
    alarm.close()
    alarm.ring()


def test_one_that_nobody_waits_for_may_be_rung_for_ever(alarm: Any) -> None:
    """Ringing never waits."""
    for _ in range(100_000):
        alarm.ring()
    alarm.wait(CLOCK.monotonic() + 100)


@linux
def test_the_kernels_timer_runs_through_suspension() -> None:
    """It is on CLOCK_BOOTTIME, and the one that a lease gets."""
    alarm = alarm_for(CLOCK)
    assert isinstance(alarm, _TimerAlarm)
    assert "clockid: 7\n" in Path(f"/proc/self/fdinfo/{alarm._timer}").read_text()
    alarm.close()


def test_another_clock_is_waited_for_as_it_says() -> None:
    """Tests move theirs by hand."""
    assert isinstance(alarm_for(FakeClock()), _ConditionAlarm)


@linux
def test_a_system_without_such_timers_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a sandbox forbids them, or no files are left."""

    def refuse() -> None:
        raise OSError("no files left")

    monkeypatch.setattr("informer.leaderelection.clock._TimerAlarm", refuse)
    assert isinstance(alarm_for(CLOCK), _ConditionAlarm)


def test_a_term_ends_at_its_moment_by_the_real_clock() -> None:
    """Its stop event is set then, by the watchdog alone; moved in the meantime, it ends at the later moment."""
    begun = CLOCK.monotonic()
    term = Term(CLOCK, begun + 0.1)
    assert term.renewed(begun + 0.2)
    term.must_renew_by(begun + 0.15)
    assert term.renewed(begun + 0.25)
    assert term.stop.wait(10)
    assert 0.25 <= CLOCK.monotonic() - begun < 2
    assert term.is_lost
    term.close()


def test_a_term_that_is_over_is_not_renewed() -> None:
    """Whatever an answer says that came too late."""
    for answered, lease_end in ((10.0, 25.0), (9.0, 9.0)):
        clock = FakeClock()
        term = Term(clock, 10)
        clock.step(answered)
        assert term.renewed(lease_end) is False
        clock.step(1)
        assert term.stop.wait(10)
        assert not term.check()
        term.close()


def test_a_term_whose_watchdog_fails_is_over(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody would see to its end any more."""

    def fail(self: Any, until: float) -> None:
        raise OSError("no timer")

    monkeypatch.setattr(_ConditionAlarm, "wait", fail)
    term = Term(FakeClock(), 100)
    assert term.stop.wait(10)
    term.close()
    assert (term.is_current, term.is_lost) == (False, True)
    assert "no timer" in caplog.text
