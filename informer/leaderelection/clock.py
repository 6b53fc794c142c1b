"""The clock by which leases are measured: it goes on while the machine sleeps."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
import sys
import time
from collections.abc import Callable
from typing import Protocol

from watch.clock import Clock, SystemClock
from watch.concurrency import Monitor

__all__ = ["LEASE_CLOCK", "Alarm", "LeaseClock", "alarm_for", "wall_time_of"]


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


_TFD_TIMER_ABSTIME = 1
_NANOSECONDS = 10**9


class Alarm(Protocol):
    """See the module.

    Threads: one waits, and closes it in the end; any may ring.
    """

    def wait(self, until: float) -> None:
        """Returns at that moment of the clock, or when it has rung since the last wait; now and then earlier."""
        ...

    def ring(self) -> None:
        """Ends the wait that is under way, or the next."""
        ...

    def close(self) -> None:
        """Gives back what it needs of the system."""
        ...


def alarm_for(clock: Clock) -> Alarm:
    """An alarm by a clock; by the kernel's timer where the clock is the lease clock and the kernel has one."""
    if isinstance(clock, LeaseClock) and sys.platform == "linux" and struct.calcsize("@l") == 8:
        with contextlib.suppress(OSError, AttributeError):
            return _TimerAlarm()
    return _ConditionAlarm(clock)


class _ConditionAlarm:
    """By a timed wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = Monitor()
        self._rung = False  # guarded by _changed

    def wait(self, until: float) -> None:
        with self._changed:
            left = until - self._clock.monotonic()
            if not self._rung and left > 0:
                self._clock.wait(self._changed, left)
            self._rung = False

    def ring(self) -> None:
        with self._changed:
            self._rung = True
            self._changed.notify_all()

    def close(self) -> None:
        pass


class _TimerAlarm:
    """By a timer of the kernel on the clock that goes on through suspension.

    Raises:
        OSError: there is none to be had.

    Source: timerfd_create(2).
    """

    def __init__(self) -> None:
        # `os` has these only since Python 3.13.
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = self._libc.timerfd_create(time.CLOCK_BOOTTIME, os.O_CLOEXEC | os.O_NONBLOCK)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "no timer")
        try:
            self._bell, self._button = os.pipe()
        except OSError:
            os.close(self._timer)
            raise
        os.set_blocking(self._bell, False)
        os.set_blocking(self._button, False)
        self._lock = Monitor()
        self._closed = False  # guarded by _lock: a number that was closed may be another's file

    def wait(self, until: float) -> None:
        seconds, nanoseconds = divmod(max(1, int(until * _NANOSECONDS)), _NANOSECONDS)
        # struct itimerspec: no interval, and the moment.
        spec = struct.pack("@4l", 0, 0, seconds, nanoseconds)
        if self._libc.timerfd_settime(self._timer, _TFD_TIMER_ABSTIME, spec, None) < 0:
            raise OSError(ctypes.get_errno(), "the timer cannot be set")
        waiter = select.poll()
        waiter.register(self._timer, select.POLLIN)
        waiter.register(self._bell, select.POLLIN)
        waiter.poll()
        for file in (self._timer, self._bell):
            with contextlib.suppress(BlockingIOError):
                os.read(file, 4096)

    def ring(self) -> None:
        with self._lock:
            if not self._closed:
                # A full pipe has rung already.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._button, b".")

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for file in (self._timer, self._bell, self._button):
                os.close(file)
