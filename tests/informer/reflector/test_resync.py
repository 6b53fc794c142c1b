"""The timer that calls a target's resync once per period."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from informer.rate_limited_log import rate_limited
from informer.reflector.resync import ResyncTimer
from watch import FakeClock
from watch.concurrency import Signal

PERIOD = 5.0
PATIENCE = 10.0


def timer(resync: Any, clock: FakeClock, *, stop: Any = None, should_resync: Any = None, period: float = PERIOD) -> Any:
    limited = rate_limited(logging.getLogger("informer.test"))
    stop = stop or Signal()
    return ResyncTimer(resync, period, should_resync, clock=clock, stop=stop, name="pods", limited=limited)


def pass_period(clock: FakeClock) -> None:
    """Lets a period pass once the timer waits for it."""
    assert clock.wait_for_waiters(1, timeout=PATIENCE)
    clock.step(PERIOD)


@pytest.mark.parametrize("stop", [Signal, threading.Event], ids=["signal", "event"])
def test_resync_is_called_once_per_period_until_the_stop(stop: Any) -> None:
    """Go: TestReflectorResyncChan. The period is measured by the injected clock."""
    clock, stopped, resyncs = FakeClock(), stop(), threading.Semaphore(0)
    with timer(resyncs.release, clock, stop=stopped):
        for _ in range(3):
            assert clock.wait_for_waiters(1, timeout=PATIENCE)
            assert not resyncs.acquire(blocking=False)
            pass_period(clock)
            assert resyncs.acquire(timeout=PATIENCE)
        stopped.set()
    assert not resyncs.acquire(blocking=False)


def test_leaving_the_block_ends_the_resyncs() -> None:
    """The thread has ended by then, although `stop` is not set."""
    clock, calls = FakeClock(), []
    with timer(lambda: calls.append(1), clock):
        assert clock.wait_for_waiters(1, timeout=PATIENCE)
        assert any(thread.name == "pods-resync" for thread in threading.enumerate())
    assert not any(thread.name == "pods-resync" for thread in threading.enumerate())
    assert calls == []


@pytest.mark.parametrize(
    ("resync", "period"), [pytest.param(lambda: None, 0, id="no-period"), pytest.param(None, 5, id="no-function")]
)
def test_without_resyncs_there_is_no_thread(resync: Any, period: float) -> None:
    """client-go source. A period of 0, or a target that cannot resync, starts no thread."""
    before = threading.active_count()
    with timer(resync, FakeClock(), period=period):
        assert threading.active_count() == before


def test_should_resync_is_called_before_each_resync() -> None:
    """client-go source. A resync that is not due is left out."""
    clock, due, resyncs = FakeClock(), iter([False, True]), threading.Semaphore(0)
    asked = threading.Semaphore(0)

    def should_resync() -> bool:
        asked.release()
        return next(due)

    with timer(resyncs.release, clock, should_resync=should_resync):
        pass_period(clock)
        assert asked.acquire(timeout=PATIENCE)
        assert clock.wait_for_waiters(1, timeout=PATIENCE)
        assert not resyncs.acquire(blocking=False)
        pass_period(clock)
        assert resyncs.acquire(timeout=PATIENCE)


@pytest.mark.parametrize("fails", ["resync", "should_resync"])
def test_a_failed_resync_is_the_last(caplog: pytest.LogCaptureFixture, fails: str) -> None:
    """Go: TestReflectorResync. The error is logged, the thread ends, and the reflector continues."""
    clock, failed = FakeClock(), threading.Event()

    def fail() -> bool:
        failed.set()
        raise RuntimeError("no more")

    made = timer(fail if fails == "resync" else lambda: None, clock, should_resync=fail if fails != "resync" else None)
    with made:
        pass_period(clock)
        assert failed.wait(PATIENCE)
    assert "pods: a resync failed: no more resyncs" in caplog.text
    assert "RuntimeError: no more" in caplog.text
