"""So many pieces of work on so many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from informer.workqueue.threads import Threads
from watch.concurrency import Lock

__all__ = ["parallelize_until"]


def parallelize_until(
    workers: int,
    pieces: int,
    do_piece: Callable[[int], object],
    *,
    chunk_size: int = 1,
    stop: threading.Event | None = None,
) -> None:
    """Calls a function with each number below `pieces`, once, and returns when all calls have ended.

    Args:
        workers: how many threads to use at most.
        pieces: how many calls to make; 0 is none.
        do_piece: the function. What it raises comes out, the first error of several; no further piece begins then.
        chunk_size: how many pieces a thread takes at a time; below 1 counts as 1.
        stop: no further piece begins once it is set.

    Source: client-go util/workqueue ParallelizeUntil.
    """
    work = _Pieces(pieces, max(1, chunk_size), do_piece, stop)
    threads = Threads()
    try:
        for _ in range(min(workers, work.chunks)):
            threads.start(work.run)
        threads.wait()
    except BaseException as error:
        work.fail(error)
        threads.wait()
    if work.error is not None:
        raise work.error


class _Pieces:
    def __init__(
        self, pieces: int, chunk_size: int, do_piece: Callable[[int], object], stop: threading.Event | None
    ) -> None:
        starts = range(0, pieces, chunk_size)
        self.chunks = len(starts)
        self.error: BaseException | None = None  # the first; set under _lock
        self._lock = Lock()
        self._chunks: Iterator[range] = (
            range(start, min(start + chunk_size, pieces)) for start in starts
        )  # under _lock
        self._do_piece = do_piece
        self._stop = stop

    def run(self) -> None:
        while (chunk := self._next()) is not None:
            for piece in chunk:
                if self._is_over():
                    return
                try:
                    self._do_piece(piece)
                except BaseException as error:
                    self.fail(error)
                    return

    def fail(self, error: BaseException) -> None:
        with self._lock:
            if self.error is None:
                self.error = error

    def _next(self) -> range | None:
        with self._lock:
            return next(self._chunks, None)

    def _is_over(self) -> bool:
        return self.error is not None or (self._stop is not None and self._stop.is_set())
