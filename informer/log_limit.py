"""Log lines at a bounded rate: what fails a thousand times a second must not fill a disk."""

from __future__ import annotations

import logging
import time
from typing import Any

from watch.concurrency import Lock

__all__ = ["LimitedLog"]


class LimitedLog:
    """Lets through some lines a period and then says how many it held back.

    Args:
        logger: where the lines go.
        burst: lines a period.
        period: seconds.
    """

    def __init__(self, logger: logging.Logger, *, burst: int = 5, period: float = 10.0) -> None:
        self._logger = logger
        self._burst = burst
        self._period = period
        self._lock = Lock()
        self._until = 0.0  # the end of the period under way; guarded by _lock, as are the counts
        self._logged = 0
        self._held_back = 0

    def log(self, level: int, message: str, *args: Any, exc_info: BaseException | None = None) -> None:
        """Logs as `Logger.log` does, or counts the line as held back."""
        with self._lock:
            now = time.monotonic()
            held_back = 0
            if now >= self._until:
                held_back, self._held_back = self._held_back, 0
                self._until, self._logged = now + self._period, 0
            if self._logged >= self._burst:
                self._held_back += 1
                return
            self._logged += 1
        if held_back:
            self._logger.log(level, "%d more lines like the following were not logged", held_back)
        self._logger.log(level, message, *args, exc_info=exc_info)
