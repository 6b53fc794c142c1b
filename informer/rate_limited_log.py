"""Loggers that bound the rate of their lines: what fails a thousand times per second must not fill a disk."""

from __future__ import annotations

import heapq
import logging
import time
import weakref
from itertools import count as counter

from watch.concurrency import Monitor, RLock, Worker, in_forked_child
from watch.logs import FIT_FOR_LOGS
from watch.printable import printable

__all__ = ["LimitedLogger", "RateLimit", "rate_limited"]

# The most messages that one logger counts; beyond it the oldest is forgotten.
_MAX_COUNTS = 100
_MAX_COUNTED = 1000  # characters of a line that is kept
_MAX_QUOTED = 200  # characters of a line in a summary


def rate_limited(
    logger: logging.Logger, *, burst: int = 5, period: float = 10.0, by_text: bool = False
) -> LimitedLogger:
    """Returns a logger that writes to another one at a bounded rate. It is used as any other logger.

    Each returned logger counts for itself, so that one informer's lines never suppress another's.

    Args:
        logger: where the lines go; its name, level and handlers apply.
        burst: the number of lines of each message per period.
        period: seconds.
        by_text: whether lines with different arguments are different messages.
    """
    return LimitedLogger(logger, RateLimit(logger, burst=burst, period=period, by_text=by_text))


class RateLimit(logging.Filter):
    """Passes the first lines of each message in a period, and counts the others.

    A message is the text before its arguments are inserted, or with `by_text` after. At the end of the period a line says how
    many lines were suppressed.

    Args:
        logger: gets the line about suppressed lines.
        burst: the number of lines of each message per period.
        period: seconds.
        by_text: whether lines with different arguments are different messages.

    Threads: any. The lines about suppressed lines come from a thread that all limits share.
    """

    def __init__(self, logger: logging.Logger, *, burst: int, period: float, by_text: bool = False) -> None:
        super().__init__()
        self._logger = logger
        self._burst = burst
        self._period = period
        self._by_text = by_text
        self._lock = RLock()  # reentrant: the handler of a signal may log while its thread is in here
        self._counts: dict[str, _Count] = {}  # by message, the oldest first; guarded by _lock

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether a line may be written."""
        message = _text_of(record) if self._by_text else str(record.msg)
        summary = due = None
        with self._lock:
            now = time.monotonic()
            count = self._counts.get(message) or self._add_locked(message)
            if now >= count.until:
                summary = self._take_summary_locked(count)
                count.until, count.logged = now + self._period, 0
            is_passed = count.logged < self._burst
            if is_passed:
                count.logged += 1
                # The lines that a limit passes are formatted anyway, and few.
                count.line = message if self._by_text else _text_of(record)
            else:
                count.suppressed += 1
                count.level = record.levelno
                if count.suppressed == 1:
                    due = count.until
        if due is not None:
            _summaries.add(due, self)
        self._log(summary)
        return is_passed

    def summarize(self, *, now: float | None = None) -> None:
        """Logs how many lines of each message were suppressed in the periods that are over.

        Args:
            now: seconds of the monotonic clock; None ends every period.
        """
        with self._lock:
            over = [count for count in self._counts.values() if now is None or now >= count.until]
            summaries = [self._take_summary_locked(count) for count in over]
            if now is None:
                self._counts.clear()
                _summaries.remove(self)
        for summary in summaries:
            self._log(summary)

    def _add_locked(self, message: str) -> _Count:
        if len(self._counts) >= _MAX_COUNTS:
            del self._counts[next(iter(self._counts))]
        self._counts[message] = count = _Count()
        return count

    def _take_summary_locked(self, count: _Count) -> tuple[int, int, str] | None:
        suppressed, count.suppressed = count.suppressed, 0
        return (count.level, suppressed, count.line) if suppressed else None

    def _log(self, summary: tuple[int, int, str] | None) -> None:
        if summary is None:
            return
        level, suppressed, line = summary
        line = line if len(line) <= _MAX_QUOTED else line[:_MAX_QUOTED] + "..."
        self._logger.log(level, "%d more lines like this one were not logged: %s", suppressed, line)


class _Count:
    """Of one message; guarded by the lock of its `RateLimit`."""

    __slots__ = ("level", "line", "logged", "suppressed", "until")

    def __init__(self) -> None:
        self.until = 0.0  # the end of the current period
        self.logged = 0
        self.suppressed = 0
        self.level = 0  # of the last line that was suppressed
        self.line = ""  # the last one that was passed


class _Summaries:
    """Has limits log their summaries when a period ends, on one thread that runs only while lines are suppressed."""

    def __init__(self) -> None:
        self._monitor = Monitor(RLock())
        self._numbers = counter()
        self._due: list[tuple[float, int, weakref.ref[RateLimit]]] = []  # a heap; guarded by _monitor
        self._worker: Worker | None = None  # guarded by _monitor

    def add(self, due: float, limit: RateLimit) -> None:
        """Has a limit log its summaries at a time of the monotonic clock, unless it is gone by then."""
        with self._monitor:
            heapq.heappush(self._due, (due, next(self._numbers), weakref.ref(limit, self._forget)))
            self._monitor.notify_all()
            if self._worker is not None:
                return
            self._worker = worker = Worker(self._run, "informer-log-summaries")
        try:
            worker.start()
        # The system has no more threads, or the process ends: the next line of the message brings the summary.
        except RuntimeError:
            with self._monitor:
                self._worker = None

    def remove(self, limit: RateLimit) -> None:
        """Forgets a limit, which has logged its summaries."""
        with self._monitor:
            if any(each[2]() is limit for each in self._due):
                self._due = [each for each in self._due if each[2]() is not limit]
                heapq.heapify(self._due)
                self._monitor.notify_all()

    def begin_in_child(self) -> None:
        """Called in a forked child, which does not have the thread."""
        self.__init__()  # type: ignore[misc]

    def _forget(self, _: object) -> None:
        """Wakes the thread, which ends if no limit is left that waits."""
        with self._monitor:
            self._monitor.notify_all()

    def _run(self) -> None:
        while True:
            with self._monitor:
                self._due = [each for each in self._due if each[2]() is not None]
                heapq.heapify(self._due)
                if not self._due:
                    self._worker = None
                    return
                left = self._due[0][0] - time.monotonic()
                if left > 0:
                    self._monitor.wait(left)
                    continue
                due, _, reference = heapq.heappop(self._due)
            limit = reference()
            if limit is not None:
                limit.summarize(now=due)
            del limit


def _text_of(record: logging.LogRecord) -> str:
    try:
        return printable(record.getMessage(), _MAX_COUNTED)
    # Arguments that do not fit are reported by the handlers.
    except Exception:
        return str(record.msg)


_summaries = _Summaries()
in_forked_child(_summaries.begin_in_child)


class LimitedLogger(logging.Logger):
    """A logger outside of logging's tree. It has the name and level of its parent, which also handles its lines."""

    def __init__(self, parent: logging.Logger, limit: RateLimit) -> None:
        super().__init__(parent.name)
        self.parent = parent
        self._limit = limit
        self.addFilter(limit)
        # After the limit: only a line that is written is worth the work. The parent's filters see its own lines only.
        self.addFilter(FIT_FOR_LOGS)

    def start_over(self) -> None:
        """Ends the period of every message: logs how many lines were suppressed, and passes the next ones."""
        self._limit.summarize()

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        """Returns whether the parent logs lines of a level."""
        # The base class caches the answer, and logging clears the caches of loggers in its tree only.
        return self.parent is not None and self.parent.isEnabledFor(level)
