"""The clock by which leases are measured: it goes on while the machine sleeps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from watch.clock import Clock, SystemClock

__all__ = ["LEASE_CLOCK", "LeaseClock", "wall_time_of"]


def _running_on() -> Callable[[], float]:
    """What gives the seconds of a clock that also counts those of a suspended machine."""
    number: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    if number is None and sys.platform == "darwin":
        # There it is this one; `time.monotonic` reads another, which stands still.
        number = time.CLOCK_MONOTONIC
    if number is None:
        return time.monotonic
    try:
        time.clock_gettime(number)
    except OSError:
        return time.monotonic
    return lambda: time.clock_gettime(number)


_seconds = _running_on()


class LeaseClock(SystemClock):
    """Seconds that pass while the machine is suspended too: others' leases go on meanwhile.

    Where the system has no such clock (it is CLOCK_BOOTTIME on Linux) this is the plain monotonic one. A hypervisor that stops
    a machine may hide that from all of the machine's clocks.
    """

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return _seconds()

    def wall(self) -> float:
        """Seconds since the epoch, for people to read in a Lease: nothing is decided by them."""
        return time.time()


LEASE_CLOCK = LeaseClock()


def wall_time_of(clock: Clock) -> Callable[[], float]:
    """What gives the time of day that goes with a clock.

    Args:
        clock: a `LeaseClock` says it itself; any other but the system's counts from this very moment.
    """
    if isinstance(clock, LeaseClock):
        return clock.wall
    if isinstance(clock, SystemClock):
        return time.time
    begin = time.time() - clock.monotonic()
    return lambda: begin + clock.monotonic()
