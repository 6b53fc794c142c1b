"""Clocks and waits that count the time for which the machine is suspended: leases expire in that time too."""

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

_TFD_TIMER_ABSTIME = 1
_NANOSECONDS = 10**9


def _suspend_aware_clock() -> Callable[[], float]:
    """Returns a function that reads a clock which also runs while the machine is suspended, if the system has one."""
    number: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    if number is None and sys.platform == "darwin":
        # On macOS CLOCK_MONOTONIC runs while suspended; `time.monotonic` reads another clock, which does not.
        number = time.CLOCK_MONOTONIC
    if number is None:
        return time.monotonic
    try:
        time.clock_gettime(number)
    except OSError:
        return time.monotonic
    return lambda: time.clock_gettime(number)


_read_clock = _suspend_aware_clock()


class LeaseClock(SystemClock):
    """A clock that also runs while the machine is suspended, as the leases of other machines do.

    It reads CLOCK_BOOTTIME on Linux and CLOCK_MONOTONIC on macOS. On other systems it is the plain monotonic clock. A
    hypervisor that pauses a virtual machine may hide the pause from all clocks of that machine.
    """

    def monotonic(self) -> float:
        """Returns the seconds since a fixed moment. They never go back."""
        return _read_clock()

    def wall(self) -> float:
        """Returns the seconds since the epoch. They are written into a Lease for people to read; no decision uses them."""
        return time.time()


LEASE_CLOCK = LeaseClock()


def wall_time_of(clock: Clock) -> Callable[[], float]:
    """Returns a function that gives the time of day for a clock, in seconds since the epoch.

    Args:
        clock: a `LeaseClock` gives its own. A clock that is not the system's starts at the present time of day.
    """
    if isinstance(clock, LeaseClock):
        return clock.wall
    if isinstance(clock, SystemClock):
        return time.time
    offset = time.time() - clock.monotonic()
    return lambda: offset + clock.monotonic()


class Alarm(Protocol):
    """Waits until a moment of a clock, or until another thread wakes it.

    Threads: one thread waits, and closes it in the end. `wake` may be called from any thread.
    """

    def wait(self, until: float) -> None:
        """Returns at that moment of the clock, or once `wake` was called since the last wait. It may return early."""
        ...

    def wake(self) -> None:
        """Ends the present wait, or the next one."""
        ...

    def close(self) -> None:
        """Frees the system's resources. Further calls have no effect."""
        ...


def alarm_for(clock: Clock) -> Alarm:
    """Returns an alarm for a clock.

    A timed wait on a condition does not count the time for which the machine is suspended, and would end late. For a
    `LeaseClock` on 64-bit Linux the alarm is a timer of the kernel, which is due at once when the machine wakes.
    """
    if isinstance(clock, LeaseClock) and sys.platform == "linux" and struct.calcsize("@l") == 8:
        with contextlib.suppress(OSError, AttributeError):
            return _TimerAlarm()
    return _ConditionAlarm(clock)


class _ConditionAlarm:
    """An alarm that uses a timed wait on a condition."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = Monitor()
        self._woken = False  # guarded by _changed

    def wait(self, until: float) -> None:
        with self._changed:
            left = until - self._clock.monotonic()
            if not self._woken and left > 0:
                self._clock.wait(self._changed, left)
            self._woken = False

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        pass


class _TimerAlarm:
    """An alarm that uses a kernel timer on CLOCK_BOOTTIME, which runs while the machine is suspended.

    Raises:
        OSError: the kernel has no such timer, or there are no file descriptors left.

    Source: timerfd_create(2).
    """

    def __init__(self) -> None:
        # Through ctypes: `os.timerfd_create` exists only since Python 3.13.
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = self._libc.timerfd_create(time.CLOCK_BOOTTIME, os.O_CLOEXEC | os.O_NONBLOCK)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        try:
            self._wake_read, self._wake_write = os.pipe()
        except OSError:
            os.close(self._timer)
            raise
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._lock = Monitor()
        self._closed = False  # guarded by _lock: the number of a closed file may be reused for another file

    def wait(self, until: float) -> None:
        seconds, nanoseconds = divmod(max(1, int(until * _NANOSECONDS)), _NANOSECONDS)
        # struct itimerspec: an interval of 0, which means once, and the moment.
        spec = struct.pack("@4l", 0, 0, seconds, nanoseconds)
        if self._libc.timerfd_settime(self._timer, _TFD_TIMER_ABSTIME, spec, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")
        poll = select.poll()
        poll.register(self._timer, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        poll.poll()
        for file in (self._timer, self._wake_read):
            with contextlib.suppress(BlockingIOError):
                os.read(file, 4096)

    def wake(self) -> None:
        with self._lock:
            if not self._closed:
                # A full pipe wakes the waiting thread as well.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake_write, b".")

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for file in (self._timer, self._wake_read, self._wake_write):
                os.close(file)
