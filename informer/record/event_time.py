"""The time of events, which also tells them apart."""

from __future__ import annotations

import time

from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import RLock

__all__ = ["EventTime"]


class EventTime:
    """Nanoseconds since the epoch, never the same twice: the name of an event is made of them.

    Args:
        clock: any but the system's clock counts from the moment at which this object is made.

    Threads: any.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin = time.time_ns() - int(clock.monotonic() * 1e9)
        self._lock = RLock()  # taken again by the handler of a signal
        self._last = 0  # guarded by _lock

    def next(self) -> int:
        """The present time, or a nanosecond after the one given before."""
        # The system's wall clock is set now and then, and the monotonic one may stand still while the machine sleeps.
        now = time.time_ns() if self._clock is SYSTEM_CLOCK else self._begin + int(self._clock.monotonic() * 1e9)
        with self._lock:
            self._last = max(now, self._last + 1)
            return self._last
