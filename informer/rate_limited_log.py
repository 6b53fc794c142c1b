"""Log lines at a bounded rate: what fails a thousand times a second must not fill a disk."""

from __future__ import annotations

import logging
import time
from typing import Any
from weakref import WeakSet

from watch.concurrency import RLock, in_forked_child

__all__ = ["LimitedLog"]


class LimitedLog:
    """Lets through some lines of each kind a period and then says how many it held back.

    Args:
        logger: where the lines go.
        burst: lines a period, of each message (before its arguments are put in).
        period: seconds.
    """

    def __init__(self, logger: logging.Logger, *, burst: int = 5, period: float = 10.0) -> None:
        self._logger = logger
        self._burst = burst
        self._period = period
        self._lock = RLock()  # taken again by the handler of a signal
        self._counts: dict[str, _Count] = {}  # by message; guarded by _lock
        _logs.add(self)

    def log(self, level: int, message: str, *args: Any, exc_info: BaseException | None = None) -> None:
        """Logs as `Logger.log` does, or counts the line as held back.

        Args:
            level: one of `logging`'s.
            message: a constant; what varies belongs into `args`.
            args: for the message.
            exc_info: an exception to show.
        """
        if not self._logger.isEnabledFor(level):
            return
        with self._lock:
            now = time.monotonic()
            count = self._counts.setdefault(message, _Count())
            held_back = 0
            if now >= count.until:
                held_back, count.held_back = count.held_back, 0
                count.until, count.logged = now + self._period, 0
            if count.logged >= self._burst:
                count.held_back += 1
                return
            count.logged += 1
        if held_back:
            self._logger.log(level, "%d more lines like the following were not logged", held_back)
        self._logger.log(level, message, *args, exc_info=exc_info)

    def renew_lock(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = RLock()


class _Count:
    """Of one message; guarded by the lock of its `LimitedLog`."""

    __slots__ = ("held_back", "logged", "until")

    def __init__(self) -> None:
        self.until = 0.0  # the end of the period under way
        self.logged = 0
        self.held_back = 0


_logs: WeakSet[LimitedLog] = WeakSet()


@in_forked_child
def _renew_locks() -> None:
    for log in list(_logs):
        log.renew_lock()
