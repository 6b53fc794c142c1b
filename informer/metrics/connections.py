"""The connections of the metrics server. One thread, which never blocks on one of them, reads, writes and closes them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from informer.metrics.http_head import MAX_HEAD_BYTES, Head, format_head, parse_head
from informer.metrics.pages import Answer

__all__ = ["Connection", "Connections"]

_MAX_CONNECTIONS = 512
# Seconds that a client has to send its whole request, then to receive its answer, and then to close the connection.
_REQUEST_TIMEOUT = 5.0
_SEND_TIMEOUT = 30.0
_CLOSE_TIMEOUT = 1.0
# Bytes of an answer that are passed to the socket at once.
_CHUNK_BYTES = 65536


class Connections:
    """The open connections of a server, whose number is bounded.

    Args:
        loop: the event loop that reads and writes them.
        on_request: called with a connection and its request; has to see to it that `Connection.answer` is called later.

    Threads: that of the loop only.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_request: Callable[[Connection, Head], None]) -> None:
        self.loop = loop
        self.on_request = on_request
        self._open: set[Connection] = set()
        # Those without a whole request, and those that were answered; the oldest first. They may be closed for new ones.
        self._idle: dict[Connection, None] = {}

    def make(self) -> Connection:
        """Returns the protocol of a new connection, for asyncio."""
        return Connection(self)

    def add(self, connection: Connection) -> None:
        """Admits a connection. If there are too many, it takes the place of the oldest one without a whole request."""
        if len(self._open) >= _MAX_CONNECTIONS:
            oldest = next(iter(self._idle), connection)
            oldest.abort()
            self.forget(oldest)
            if oldest is connection:
                return
        self._open.add(connection)
        self._idle[connection] = None

    def forget(self, connection: Connection) -> None:
        """Removes a connection that is lost."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def mark_working(self, connection: Connection) -> None:
        """Protects a connection from being closed for another one: its request is whole."""
        self._idle.pop(connection, None)

    def mark_answered(self, connection: Connection) -> None:
        """Ends the protection: the whole answer was sent."""
        self._idle[connection] = None

    def abort_all(self) -> bool:
        """Closes all connections; returns whether there were any."""
        for connection in list(self._open):
            connection.abort()
        return bool(self._open)


class Connection(asyncio.Protocol):
    """A client's connection, for one request."""

    _transport: asyncio.Transport
    _timer: asyncio.TimerHandle

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._received = bytearray()
        self._method = ""
        self._on_done: Callable[[], None] | None = None
        self._is_reading = True
        self._unsent: memoryview | None = None  # None before there is an answer
        self._is_full = False  # whether the socket takes no more bytes for now
        self._has_ended = False  # whether the client has closed its side
        self.is_gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to wait for the request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(0)
        self._timer = self._connections.loop.call_later(_REQUEST_TIMEOUT, self.abort)
        self._connections.add(self)

    def abort(self) -> None:
        """Closes the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Passes the request on once its head is complete."""
        known = len(self._received)
        self._received += data[:MAX_HEAD_BYTES]
        if not self._is_reading:
            # The rest is a body or another request, which is ignored. A client that sends too much of it is cut off.
            if len(self._received) > 8 * MAX_HEAD_BYTES:
                self.abort()
            return
        head = parse_head(self._received, known)
        if head is None:
            return
        self._is_reading = False
        self._connections.mark_working(self)
        if isinstance(head, Answer):
            self.answer(head)
            return
        self._method = head.method
        # In the loop's next turn, after the socket was read once more: a client that has already disconnected costs no work.
        self._set_timer(0, lambda: self._hand_over(head))

    def eof_received(self) -> bool:
        """Returns whether the connection stays open although the client has closed its side: while it gets its answer."""
        self._has_ended = True
        self.is_gone = self._unsent is None
        return bool(self._unsent)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection, which is closed."""
        self.is_gone = True
        self._timer.cancel()
        self._connections.forget(self)
        self._report_done()

    def pause_writing(self) -> None:
        """Called when the socket is full: pauses sending."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Called when the socket takes bytes again: sends more of the answer."""
        self._is_full = False
        self._send()

    def when_done(self, callback: Callable[[], None]) -> None:
        """Sets a function to call when the whole answer was sent or the client has disconnected."""
        self._on_done = callback

    def answer(self, answer: Answer) -> None:
        """Sends an answer, unless the client has disconnected."""
        if self.is_gone or self._transport.is_closing():
            return
        body = b"" if self._method == "HEAD" else answer.body
        # A view, not a copy of the body: otherwise each of hundreds of slow clients would hold a copy of its own.
        self._unsent = memoryview(body)[_CHUNK_BYTES:]
        self._set_timer(_SEND_TIMEOUT, self.abort)
        self._transport.write(format_head(answer) + body[:_CHUNK_BYTES])
        if not self._is_full:
            self._send()

    def _send(self) -> None:
        # asyncio would log each write to a connection that was reset.
        while self._unsent and not self._is_full and not self._transport.is_closing():
            chunk, self._unsent = self._unsent[:_CHUNK_BYTES], self._unsent[_CHUNK_BYTES:]
            self._transport.write(chunk)
        if not self._is_full and not self._transport.is_closing():
            self._finish()

    def _finish(self) -> None:
        """Lets the client close first: closing while the client still sends would reset the connection and lose the answer."""
        self._report_done()
        if self._has_ended:
            self._transport.close()
            return
        self._connections.mark_answered(self)
        self._set_timer(_CLOSE_TIMEOUT, self.abort)
        try:
            self._transport.write_eof()
        # The client has reset the connection.
        except OSError:
            self.abort()

    def _hand_over(self, head: Head) -> None:
        if not self.is_gone and not self._transport.is_closing():
            self._connections.on_request(self, head)

    def _report_done(self) -> None:
        if self._on_done is not None:
            self._on_done()
            self._on_done = None

    def _set_timer(self, seconds: float, callback: Any) -> None:
        self._timer.cancel()
        self._timer = self._connections.loop.call_later(seconds, callback)
