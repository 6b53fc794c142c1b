"""Time as an argument: the system's clock, and one that tests move by hand."""

from __future__ import annotations

import threading
import time
from typing import Protocol, runtime_checkable

from watch.concurrency import Lock, Monitor

__all__ = ["SYSTEM_CLOCK", "Clock", "FakeClock", "SystemClock"]


@runtime_checkable
class Clock(Protocol):
    """What this project needs of time."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def wait(self, condition_or_event: threading.Condition | threading.Event, timeout: float | None) -> bool:
        """Waits for a notification of a condition (which the caller holds) or for an event to be set.

        Args:
            condition_or_event: what to wait for. A wait on a condition may wake early, as `Condition.wait` may.
            timeout: at most so many seconds of this clock; None waits without limit.

        Returns:
            False when the time was up, else True.
        """
        ...


class SystemClock:
    """`time.monotonic` and the real waits."""

    def monotonic(self) -> float:
        """Seconds of the system's monotonic clock."""
        return time.monotonic()

    def wait(self, condition_or_event: threading.Condition | threading.Event, timeout: float | None) -> bool:
        """See `Clock.wait`."""
        return condition_or_event.wait(timeout)


SYSTEM_CLOCK = SystemClock()


class FakeClock:
    """A clock that stands still until `step` moves it.

    Args:
        start: what `monotonic` gives at first, in seconds.

    Threads: any; a `step` wakes every wait whose time is up.
    """

    # A plain event cannot be told to wake a waiter without setting it, so a wait on one looks up at this interval.
    _EVENT_POLL = 0.002

    def __init__(self, start: float = 0.0) -> None:
        self._lock = Lock()
        self._now = start  # guarded by _lock
        self._conditions: list[tuple[threading.Condition, float | None]] = []  # with deadlines; guarded by _lock
        self._waiting = 0  # waits under way; guarded by _changed
        self._changed = Monitor()

    def monotonic(self) -> float:
        """The time that `step` has brought it to."""
        with self._lock:
            return self._now

    def step(self, seconds: float) -> None:
        """Moves the time forward and wakes every wait whose time is up.

        Raises:
            ValueError: seconds is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock does not go back: step({seconds})")
        with self._lock:
            self._now += seconds
            due = [c for c, deadline in self._conditions if deadline is not None and deadline <= self._now]
        for condition in due:
            with condition:
                condition.notify_all()

    def wait_for_waiters(self, count: int = 1, timeout: float | None = None) -> bool:
        """Waits (in real seconds) until at least `count` waits are under way; returns whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: self._waiting >= count, timeout)

    def wait(self, condition_or_event: threading.Condition | threading.Event, timeout: float | None) -> bool:
        """See `Clock.wait`; the time-out counts this clock's seconds."""
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
