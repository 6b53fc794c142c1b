"""How the bytes of a body leave when a fault has its hand in them: cut off, held back, or slowly."""

from __future__ import annotations

from informer.testing.http.connection import Connection, ConnectionCutError
from watch.concurrency import Latch, Signal

__all__ = ["Hold", "Transmission"]

# A slow body leaves in so many pieces a second.
_PIECES_A_SECOND = 20


class Hold:
    """Keeps a connection's thread waiting until it is released, or the connection is gone."""

    def __init__(self) -> None:
        self._released = Signal()

    def release(self) -> None:
        """Lets whoever waits go on."""
        self._released.set()

    def wait(self, connection: Connection) -> None:
        """Waits; whoever comes after the release does not."""
        either = Latch()
        withdrawals = [signal.subscribe(either.open) for signal in (self._released, connection.gone)]
        either.wait()
        for withdraw in withdrawals:
            withdraw()


class Transmission:
    """Sends the bytes of one body; a limit of None is none.

    Threads: the connection's.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._left_before_cut: int | None = None
        self._left_before_hold: int | None = None
        self._hold = Hold()
        self._bytes_per_second: float | None = None

    def cut_after(self, size: int) -> None:
        """Ends the connection when so many more bytes have left."""
        self._left_before_cut = size

    def hold_after(self, size: int, hold: Hold) -> None:
        """Waits for `hold` when so many more bytes have left."""
        self._left_before_hold, self._hold = size, hold

    def slow_down(self, bytes_per_second: float) -> None:
        """Sends no more than so many bytes a second."""
        self._bytes_per_second = bytes_per_second

    def __call__(self, data: bytes) -> None:
        """Sends."""
        if self._left_before_hold is not None and len(data) >= self._left_before_hold:
            before, data = data[: self._left_before_hold], data[self._left_before_hold :]
            self._left_before_hold = None
            self._send(before)
            self._hold.wait(self._connection)
        elif self._left_before_hold is not None:
            self._left_before_hold -= len(data)
        self._send(data)

    def _send(self, data: bytes) -> None:
        if self._left_before_cut is not None:
            if len(data) >= self._left_before_cut:
                self._pass_on(data[: self._left_before_cut])
                self._connection.cut()
                raise ConnectionCutError("a fault has cut the connection")
            self._left_before_cut -= len(data)
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        if not data:
            return
        if self._bytes_per_second is None:
            self._connection.send(data)
            return
        size = max(1, int(self._bytes_per_second / _PIECES_A_SECOND))
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            self._connection.send(piece)
            self._connection.gone.wait(len(piece) / self._bytes_per_second)
