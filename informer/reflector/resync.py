"""Calls the target's resync once per period."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from watch.clock import Clock
from watch.concurrency import Worker, on_set

__all__ = ["ResyncTimer"]


class ResyncTimer:
    """Calls `resync` every `period` seconds, while its `with` block lasts and until `stop` is set.

    If `resync` or `should_resync` raises, the error is logged and the timer ends.

    Args:
        resync: called once per period; None for no resyncs.
        period: seconds; 0 for no resyncs.
        should_resync: called before each resync, and returns whether it is due; None always resyncs.
        clock: measures the period.
        stop: ends the resyncs.
        name: the reflector's, for the thread's name and for logs.
        limited: the reflector's log.

    Threads: `resync` and `should_resync` are called on a thread that exists only if there are resyncs. Leaving the `with`
    block joins it.
    """

    def __init__(
        self,
        resync: Callable[[], object] | None,
        period: float,
        should_resync: Callable[[], bool] | None,
        *,
        clock: Clock,
        stop: threading.Event,
        name: str,
        limited: logging.Logger,
    ) -> None:
        self._resync = resync
        self._period = period
        self._should_resync = should_resync
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
                if self._resync is not None and (self._should_resync is None or self._should_resync()):
                    self._resync()
        # Source: client-go's reflector ends its resyncs in the same way.
        except Exception as error:
            self._limited.error("%s: a resync failed: no more resyncs", self._name, exc_info=error)
        finally:
            withdraw()
