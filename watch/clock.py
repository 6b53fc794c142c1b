"""Clocks to pass as arguments: the system's, and one that tests move by hand."""

from __future__ import annotations

import threading
import time
from typing import Protocol, runtime_checkable

from watch.concurrency import Lock, Monitor

__all__ = ["SYSTEM_CLOCK", "Clock", "FakeClock", "SystemClock"]


@runtime_checkable
class Clock(Protocol):
    """The time, and waits that are measured in it. Pass a `FakeClock` instead of the system's clock to test time-outs."""

    def monotonic(self) -> float:
        """Returns seconds since some fixed moment; the value never decreases."""
        ...

    def wait(self, condition_or_event: threading.Condition | threading.Event, timeout: float | None) -> bool:
        """Waits for a condition to be notified or for an event to be set.

        Args:
            condition_or_event: the caller holds the condition's lock. A wait on a condition may return early, as
                `Condition.wait` may.
            timeout: seconds of this clock to wait at most; None waits without limit.

        Returns:
            False when the time was up, else True.
        """
        ...


class SystemClock:
    """The clock of the system: `time.monotonic`, and waits in real time."""

    def monotonic(self) -> float:
        """Returns the seconds of `time.monotonic`."""
        return time.monotonic()

    def wait(self, condition_or_event: threading.Condition | threading.Event, timeout: float | None) -> bool:
        """Waits in real time, as `Clock.wait` says."""
        return condition_or_event.wait(timeout)


SYSTEM_CLOCK = SystemClock()


class FakeClock:
    """A clock for tests, which stands still until `step` moves it.

        clock = FakeClock()
        watcher = RetryWatcher("7", list_watch, min_restart_delay=60, clock=clock)
        clock.wait_for_waiters()  # its first watch has ended
        clock.step(60)  # now it opens the next one

    Args:
        start: the first value of `monotonic`, in seconds.

    Threads: every method may be called from any thread.
    """

    # Seconds between two looks at the clock: a wait on an event cannot be woken without setting the event.
    _EVENT_POLL = 0.002

    def __init__(self, start: float = 0.0) -> None:
        self._lock = Lock()
        self._now = start  # guarded by _lock
        self._conditions: list[tuple[threading.Condition, float | None]] = []  # with deadlines; guarded by _lock
        self._waiting = 0  # how many threads wait now; guarded by _changed
        self._changed = Monitor()

    def monotonic(self) -> float:
        """Returns the clock's time in seconds."""
        with self._lock:
            return self._now

    def step(self, seconds: float) -> None:
        """Moves the clock forward and ends every wait whose time is up.

        Raises:
            ValueError: seconds is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock cannot go back: step({seconds})")
        with self._lock:
            self._now += seconds
            due = [c for c, deadline in self._conditions if deadline is not None and deadline <= self._now]
        for condition in due:
            with condition:
                condition.notify_all()

    def wait_for_waiters(self, count: int = 1, timeout: float | None = None) -> bool:
        """Waits, at most `timeout` real seconds, until at least `count` threads wait on this clock; returns whether they do."""
        with self._changed:
            return self._changed.wait_for(lambda: self._waiting >= count, timeout)

    def wait(self, condition_or_event: threading.Condition | threading.Event, timeout: float | None) -> bool:
        """Waits as `Clock.wait` says, in seconds of this clock."""
        if isinstance(condition_or_event, threading.Event):
            return self._wait_event(condition_or_event, timeout)
        return self._wait_condition(condition_or_event, timeout)

    def _wait_event(self, event: threading.Event, timeout: float | None) -> bool:
        deadline = None if timeout is None else self.monotonic() + timeout
        self._count(1)
        try:
            while not event.is_set():
                if deadline is not None and self.monotonic() >= deadline:
                    return False
                event.wait(self._EVENT_POLL)
            return True
        finally:
            self._count(-1)

    def _wait_condition(self, condition: threading.Condition, timeout: float | None) -> bool:
        with self._lock:
            deadline = None if timeout is None else self._now + timeout
            if deadline is not None and deadline <= self._now:
                return False
            entry = (condition, deadline)
            self._conditions.append(entry)
        self._count(1)
        try:
            condition.wait()
        finally:
            self._count(-1)
            with self._lock:
                self._conditions.remove(entry)
                now = self._now
        return deadline is None or now < deadline

    def _count(self, change: int) -> None:
        with self._changed:
            self._waiting += change
            self._changed.notify_all()
