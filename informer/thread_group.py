"""The threads of one informer: started, counted and waited for together."""

from __future__ import annotations

from collections.abc import Callable

from watch.concurrency import RLock, Signal, Worker, join_all

__all__ = ["ThreadGroup"]


class ThreadGroup:
    """See the module.

    Threads: any.
    """

    def __init__(self) -> None:
        self.ended = Signal()
        """Set when it was closed and every thread has run to its end."""
        # Taken again by the handler of a signal, which may come in the middle of anything here.
        self._lock = RLock()
        self._workers: list[Worker] = []  # all that may be alive; guarded by _lock, as are the others
        self._running = 0
        self._closed = False

    def start(self, target: Callable[[], object], name: str) -> Worker:
        """Starts a thread.

        Raises:
            RuntimeError: the system has no more threads.
        """

        def run() -> None:
            try:
                target()
            finally:
                self._count_one_ended()

        worker = Worker(run, name)
        # Before it runs, so that a thread that looks whether it is one of these finds itself. The start itself is not under
        # the lock: a thread needs that to end, and a signal's handler in the middle of this may wait for it.
        with self._lock:
            self._running += 1
            self._workers = [*(each for each in self._workers if not each.has_ended), worker]
        try:
            worker.start()
        except RuntimeError:
            with self._lock:
                self._workers = [each for each in self._workers if each is not worker]
            self._count_one_ended()
            raise
        return worker

    def close(self) -> None:
        """Says that no thread follows. Again is harmless."""
        with self._lock:
            self._closed = True
            over = self._running == 0
        if over:
            self.ended.set()

    def join(self, timeout: float | None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for the threads; returns whether all have ended.

        On one of them (see `owns_current`) it is False at once.
        """
        if self.owns_current:
            return False
        with self._lock:
            workers = list(self._workers)
        return join_all(workers, timeout)

    @property
    def owns_current(self) -> bool:
        """Whether the calling thread is one of these, or was started on one of them."""
        with self._lock:
            return any(worker.owns_current for worker in self._workers)

    def renew_lock(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = RLock()

    def _count_one_ended(self) -> None:
        with self._lock:
            self._running -= 1
            over = self._closed and self._running == 0
        if over:
            self.ended.set()
