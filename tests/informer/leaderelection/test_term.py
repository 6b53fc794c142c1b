"""Terms of leading, which end in time."""

from __future__ import annotations

from typing import Any

import pytest

from informer.leaderelection import LeaseClock
from informer.leaderelection.clock import _ConditionAlarm
from informer.leaderelection.term import Term
from tests.support.waiting import PROMPT, Task
from watch.clock import FakeClock

CLOCK = LeaseClock()


def test_the_watchdog_ends_a_term_at_its_deadline() -> None:
    """By the real clock; extensions in the meantime move the deadline."""
    begun = CLOCK.monotonic()
    term = Term(CLOCK, begun + 0.1)
    assert term.extend(begun + 0.2)
    term.require_renewal_by(begun + 0.15)
    assert term.extend(begun + 0.25)
    assert term.stop.wait(10)
    assert 0.25 <= CLOCK.monotonic() - begun < PROMPT
    assert term.is_lost
    term.close()


def test_a_term_that_has_ended_is_not_extended() -> None:
    """A renewal that was answered too late changes nothing."""
    for answered, lease_end in ((10.0, 25.0), (9.0, 9.0)):
        clock = FakeClock()
        term = Term(clock, 10)
        clock.step(answered)
        assert term.extend(lease_end) is False
        clock.step(1)
        assert term.stop.wait(10)
        assert not term.check()
        term.close()


def test_a_term_ends_if_its_watchdog_fails(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise nothing would end it in time."""

    def fail(self: Any, until: float) -> None:
        raise OSError("no timer")

    monkeypatch.setattr(_ConditionAlarm, "wait", fail)
    term = Term(FakeClock(), 100)
    assert term.stop.wait(10)
    term.close()
    assert (term.is_active, term.is_lost) == (False, True)
    assert "no timer" in caplog.text


def test_an_extension_waits_for_the_lock() -> None:
    """Without the lock, a term that ends meanwhile could be extended."""
    term = Term(FakeClock(), 10)
    with term._lock:
        task = Task(term.extend, (20.0,))
        assert not task.ends_within(0.02)
    assert task.result() is True
    term.close()
