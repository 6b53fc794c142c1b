"""The clock of leases."""

from __future__ import annotations

import sys
import time

import pytest

from informer.leaderelection import LeaseClock
from informer.leaderelection.lease_clock import wall_time_of
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
