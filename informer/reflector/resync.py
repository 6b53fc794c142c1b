"""Shows everything again, every so often.

Comes in: a period and a function. Goes out: calls of the function, on a thread of its own that exists while there is a period.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from informer.rate_limited_log import LimitedLog
from watch.clock import Clock
from watch.concurrency import Worker, on_set

__all__ = ["Resyncs"]


class Resyncs:
    """Calls `resync` each `period`, while its `with` block lasts and `stop` is not set. One that fails is the last.

    Args:
        resync: called each period; None, as a period of 0, calls nothing.
        period: seconds.
        wanted: asked before each call; None always wants one.
        clock: counts the seconds.
        stop: ends it.
        name: of the thread, and for logs.
        limited: logs.
    """

    def __init__(
        self,
        resync: Callable[[], object] | None,
        period: float,
        wanted: Callable[[], bool] | None,
        *,
        clock: Clock,
        stop: threading.Event,
        name: str,
        limited: LimitedLog,
    ) -> None:
        self._resync = resync
        self._period = period
        self._wanted = wanted
        self._clock = clock
        self._stop = stop
        self._name = name
        self._limited = limited
        self._ended = threading.Event()
        self._worker: Worker | None = None

    def __enter__(self) -> Self:
        if self._period > 0 and self._resync is not None:
            self._worker = Worker(self._run, f"{self._name}-resync").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._worker is not None:
            self._worker.join()

    def _run(self) -> None:
        withdraw = on_set(self._stop, self._ended.set)
        try:
            while not self._clock.wait(self._ended, self._period):
                if self._resync is not None and (self._wanted is None or self._wanted()):
                    self._resync()
        # Source: client-go's reflector ends its resyncs in the same way.
        except Exception as error:
            self._limited.log(logging.ERROR, "%s: the resync failed", self._name, exc_info=error)
        finally:
            withdraw()
