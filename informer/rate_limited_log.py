"""Loggers that bound the rate of their lines: what fails a thousand times per second must not fill a disk."""

from __future__ import annotations

import logging
import time

from watch.concurrency import RLock

__all__ = ["RateLimit", "rate_limited"]


def rate_limited(logger: logging.Logger, *, burst: int = 5, period: float = 10.0) -> logging.Logger:
    """Returns a logger that writes to another one at a bounded rate. It is used as any other logger.

    Each returned logger counts for itself, so that one informer's lines never suppress another's.

    Args:
        logger: where the lines go; its name, level and handlers apply.
        burst: the number of lines of each message per period.
        period: seconds.
    """
    return _LimitedLogger(logger, RateLimit(logger, burst=burst, period=period))


class RateLimit(logging.Filter):
    """Passes the first lines of each message in a period, and counts the others.

    A message is the text before its arguments are inserted. The first line after a period is preceded by one that says how many
    lines were suppressed.

    Args:
        logger: gets the line about suppressed lines.
        burst: the number of lines of each message per period.
        period: seconds.

    Threads: any.
    """

    def __init__(self, logger: logging.Logger, *, burst: int, period: float) -> None:
        super().__init__()
        self._logger = logger
        self._burst = burst
        self._period = period
        self._lock = RLock()  # reentrant: the handler of a signal may log while its thread is in here
        self._counts: dict[str, _Count] = {}  # by message; guarded by _lock

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether a line may be written."""
        with self._lock:
            now = time.monotonic()
            count = self._counts.setdefault(record.msg, _Count())
            suppressed = 0
            if now >= count.until:
                suppressed, count.suppressed = count.suppressed, 0
                count.until, count.logged = now + self._period, 0
            if count.logged >= self._burst:
                count.suppressed += 1
                return False
            count.logged += 1
        if suppressed:
            self._logger.log(record.levelno, "%d more lines like the following were not logged", suppressed)
        return True


class _Count:
    """Of one message; guarded by the lock of its `RateLimit`."""

    __slots__ = ("logged", "suppressed", "until")

    def __init__(self) -> None:
        self.until = 0.0  # the end of the current period
        self.logged = 0
        self.suppressed = 0


class _LimitedLogger(logging.Logger):
    """A logger outside of logging's tree. It has the name and level of its parent, which also handles its lines."""

    def __init__(self, parent: logging.Logger, limit: RateLimit) -> None:
        super().__init__(parent.name)
        self.parent = parent
        self.addFilter(limit)

    # The base class caches the answer, and logging clears the caches of loggers in its tree only.
    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        return self.parent is not None and self.parent.isEnabledFor(level)
