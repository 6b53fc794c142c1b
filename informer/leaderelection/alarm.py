"""Waiting for a moment of a clock, or for somebody who rings earlier.

A timed wait on a condition does not count the seconds of a suspended machine: after those it would come late. On Linux the
kernel has timers that do count them, and that are due at once when the machine wakes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
import sys
import time
from typing import Protocol

from informer.leaderelection.lease_clock import LeaseClock
from watch.clock import Clock
from watch.concurrency import Monitor

__all__ = ["Alarm", "alarm_for"]

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
