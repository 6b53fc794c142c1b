"""Pieces of work on several threads."""

from __future__ import annotations

import threading

import pytest

from informer.workqueue import parallelize_until


@pytest.mark.parametrize(
    ("pieces", "workers", "chunk_size"),
    [(1000, 10, 1), (1000, 10, 10), (1000, 10, 100), (999, 10, 13), (0, 10, 1), (3, 10, 0), (5, 1, 100)],
)
def test_each_piece_is_done_once(pieces: int, workers: int, chunk_size: int) -> None:
    """Go: TestParallelizeUntil."""
    done = [0] * pieces
    lock = threading.Lock()

    def do_piece(piece: int) -> None:
        with lock:
            done[piece] += 1

    parallelize_until(workers, pieces, do_piece, chunk_size=chunk_size)
    assert done == [1] * pieces


@pytest.mark.parametrize("chunk_size", [1, 100])
def test_no_piece_begins_after_stop(chunk_size: int) -> None:
    """client-go source. What has begun ends."""
    stop = threading.Event()
    done: list[int] = []

    def do_piece(piece: int) -> None:
        done.append(piece)
        if piece == 3:
            stop.set()

    parallelize_until(1, 1000, do_piece, chunk_size=chunk_size, stop=stop)
    assert done == [0, 1, 2, 3]


def test_there_are_no_more_threads_than_chunks() -> None:
    """client-go source."""
    threads = set()
    both = threading.Barrier(2)

    def do_piece(piece: int) -> None:
        threads.add(threading.current_thread())
        both.wait(10)

    parallelize_until(100, 2, do_piece)
    assert len(threads) == 2


def test_an_error_comes_out() -> None:
    """The first one, and no further piece begins."""
    done: list[int] = []

    def do_piece(piece: int) -> None:
        done.append(piece)
        if piece == 5:
            raise LookupError("five")

    with pytest.raises(LookupError, match="five"):
        parallelize_until(1, 100, do_piece)
    assert done == [0, 1, 2, 3, 4, 5]
