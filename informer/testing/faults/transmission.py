"""How the bytes of a body are sent when a fault cuts, holds or slows them."""

from __future__ import annotations

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
        self._left_before_cut: int | None = None  # None: the connection is not cut
        self._left_before_hold: int | None = None  # None: the body is not held
        self._hold = Hold()
        self._bytes_per_second: float | None = None  # None: at full speed

    def cut_after(self, size: int) -> None:
        """Cuts the connection after `size` more bytes."""
        self._left_before_cut = size

    def hold_after(self, size: int, hold: Hold) -> None:
        """Waits for `hold` after `size` more bytes."""
        self._left_before_hold, self._hold = size, hold

    def slow_down(self, bytes_per_second: float) -> None:
        """Sends at most `bytes_per_second` from now on."""
        self._bytes_per_second = bytes_per_second

    def __call__(self, data: bytes) -> None:
        """Sends `data`.

        Raises:
            ConnectionCutError: the limit of `cut_after` is reached.
            OSError: the client has closed the connection.
        """
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
                self._send_paced(data[: self._left_before_cut])
                self._connection.cut()
                raise ConnectionCutError("a fault has cut the connection")
            self._left_before_cut -= len(data)
        self._send_paced(data)

    def _send_paced(self, data: bytes) -> None:
        if not data:
            return
        if self._bytes_per_second is None:
            self._connection.send(data)
            return
        size = max(1, int(self._bytes_per_second / _PIECES_PER_SECOND))
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            self._connection.send(piece)
            self._connection.gone.wait(len(piece) / self._bytes_per_second)
