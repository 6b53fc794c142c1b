"""How the bytes of a body are sent when a fault cuts, holds or slows them."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

from informer.testing.http.connection import Connection, ConnectionCutError
from watch.concurrency import Latch, Signal

__all__ = ["Hold", "Transmission"]

# A slowed body is sent in this many pieces per second.
_PIECES_PER_SECOND = 20


class Hold:
    """Blocks connections' threads until it is released or their connection ends."""

    def __init__(self) -> None:
        self._released = Signal()

    def release(self) -> None:
        """Lets every blocked thread continue, and those that come later pass."""
        self._released.set()

    def wait(self, connection: Connection) -> None:
        """Blocks until `release`, or until `connection` ends."""
        either = Latch()
        withdrawals = [signal.subscribe(either.open) for signal in (self._released, connection.gone)]
        either.wait()
        for withdraw in withdrawals:
            withdraw()


class Transmission:
    """Sends the bytes of one body within the limits that faults have set.

    Threads: the connection's own.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sent = 0
        # What is done after a number of bytes in all, the lowest number first.
        self._stops: list[tuple[int, Callable[[], object]]] = []
        self._bytes_per_second: float | None = None  # None: at full speed

    def cut_after(self, size: int) -> None:
        """Cuts the connection after `size` more bytes."""
        self._stop_after(size, self._cut)

    def hold_after(self, size: int, hold: Hold) -> None:
        """Waits for `hold` after `size` more bytes."""
        self._stop_after(size, lambda: hold.wait(self._connection))

    def slow_down(self, bytes_per_second: float) -> None:
        """Sends at most `bytes_per_second` from now on."""
        self._bytes_per_second = bytes_per_second

    def __call__(self, data: bytes) -> None:
        """Sends `data`.

        Raises:
            ConnectionCutError: the limit of `cut_after` is reached.
            OSError: the client has closed the connection.
        """
        while self._stops and self._stops[0][0] <= self._sent + len(data):
            at, act = self._stops.pop(0)
            before, data = data[: at - self._sent], data[at - self._sent :]
            self._send(before)
            act()
        self._send(data)

    def _stop_after(self, size: int, act: Callable[[], object]) -> None:
        self._stops = sorted([*self._stops, (self._sent + size, act)], key=itemgetter(0))

    def _cut(self) -> None:
        self._connection.cut()
        raise ConnectionCutError("a fault has cut the connection")

    def _send(self, data: bytes) -> None:
        self._sent += len(data)
        if self._bytes_per_second is None:
            self._connection.send(data)
            return
        size = max(1, int(self._bytes_per_second / _PIECES_PER_SECOND))
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            self._connection.send(piece)
            self._connection.gone.wait(len(piece) / self._bytes_per_second)
