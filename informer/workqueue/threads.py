"""Threads that are waited for together."""

from __future__ import annotations

from collections.abc import Callable

from watch.concurrency import Lock, Signal, Worker

__all__ = ["Threads"]


class Threads:
    """Threads, and the end of the last of them.

    Threads: any; `wait` lets signal handlers run when it is called on the main thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._running = 0  # guarded by _lock
        self._ended = Signal()  # no thread runs

    def start(self, target: Callable[[], object]) -> None:
        """Calls a function on a thread of its own."""
        with self._lock:
            self._running += 1
            self._ended.clear()
        try:
            Worker(lambda: self._run(target), "work-queue-worker").start()
        except BaseException:
            self._one_ended()
            raise

    def wait(self) -> None:
        """Returns when no thread runs."""
        with self._lock:
            if not self._running:
                return
        self._ended.wait()

    def _run(self, target: Callable[[], object]) -> None:
        try:
            target()
        finally:
            self._one_ended()

    def _one_ended(self) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                self._ended.set()
