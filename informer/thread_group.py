"""A group of threads that end together, such as those of one informer."""

from __future__ import annotations

from collections.abc import Callable

from watch.concurrency import RLock, Signal, Worker, join_all

__all__ = ["ThreadGroup"]


class ThreadGroup:
    """Threads that are started one by one and joined together.

    Attributes:
        ended: set when the group is closed and every thread has run to its end.

    Threads: any.
    """

    def __init__(self) -> None:
        self.ended = Signal()
        # Reentrant: a signal handler may interrupt any method here and call another.
        self._lock = RLock()
        self._workers: list[Worker] = []  # all that may be alive; guarded by _lock, as are the fields below
        self._running = 0
        self._closed = False

    def start(self, target: Callable[[], object], name: str) -> Worker:
        """Starts a thread that calls `target`.

        Raises:
            RuntimeError: the system cannot start another thread.
        """

        def run() -> None:
            try:
                target()
            finally:
                self._count_one_ended()

        worker = Worker(run, name)
        # The worker is listed before it runs, so that `owns_current` is true on it. The start is outside of the lock: a
        # signal handler may interrupt it and join threads, and these need the lock to end.
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
        """Declares that no thread follows, so that `ended` is set when the last one ends. Idempotent."""
        with self._lock:
            self._closed = True
            over = self._running == 0
        if over:
            self.ended.set()

    def join(self, timeout: float | None) -> bool:
        """Waits until every thread has ended.

        Args:
            timeout: seconds to wait at most; None waits without limit.

        Returns:
            Whether all have ended. On a thread of the group it is False, at once.
        """
        if self.owns_current:
            return False
        with self._lock:
            workers = list(self._workers)
        return join_all(workers, timeout)

    @property
    def owns_current(self) -> bool:
        """Whether the calling thread is one of the group, or was started on one of them."""
        with self._lock:
            return any(worker.owns_current for worker in self._workers)

    def _count_one_ended(self) -> None:
        with self._lock:
            self._running -= 1
            over = self._closed and self._running == 0
        if over:
            self.ended.set()
