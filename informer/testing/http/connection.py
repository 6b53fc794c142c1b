"""One connection of a client: requests are read from it and answered on it, one after another, on its own thread."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Mapping

from informer.testing.http.messages import (
    LAST_CHUNK,
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    BadMessageError,
    Head,
    Request,
    chunk,
    parse_head,
    response_head,
)
from watch.concurrency import Signal
from watch.framing import BrokenBodyError, ChunkedBody

__all__ = ["Connection", "ConnectionCutError", "Exchange"]

_READ_BYTES = 65536
_LAST_SECONDS = 1.0


class ConnectionCutError(ConnectionError):
    """The server itself has cut the connection."""


class Connection:
    """A client's socket.

    Args:
        sock: as accepted.
        context: for TLS; None for plain HTTP.
        number: no other connection of its server has it.

    Threads: reading and sending belong to the connection's thread; `cut` is for any.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None, number: int) -> None:
        self.number = number
        self._raw = sock
        self._socket = sock
        self._context = context
        self._buffer = b""
        self.gone = Signal()
        """Set once it is cut or its client has gone."""

    def fileno(self) -> int:
        """The socket's, for whoever waits for the client to hang up; -1 once closed."""
        return self._raw.fileno()

    def handshake(self) -> None:
        """Begins TLS, if there is to be any."""
        if self._context is None:
            return
        # Known to `cut` before the handshake, which may never end.
        secure = self._context.wrap_socket(self._raw, server_side=True, do_handshake_on_connect=False)
        self._socket = self._raw = secure
        if self.gone.is_set():
            raise ConnectionCutError("the connection was cut")
        secure.do_handshake()

    def read_request(self) -> tuple[Head, Request] | None:
        """Waits for the next request; None when the client has closed the connection.

        Raises:
            BadMessageError: it is not HTTP.
            OSError: the connection broke.
        """
        while (end := self._buffer.find(b"\r\n\r\n")) < 0 and len(self._buffer) <= MAX_HEAD_BYTES:
            if not self._fill():
                return None
        if not 0 <= end <= MAX_HEAD_BYTES:
            raise BadMessageError("the request's headers are too long")
        lines, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        head = parse_head(lines.lstrip(b"\r\n"))
        if head.expects_continue:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return head, Request.of(head, self._read_chunked() if head.chunked else self._read_plain(head.content_length))

    def send(self, data: bytes) -> None:
        """Sends all of it.

        Raises:
            OSError: the client has gone, or the connection was cut.
        """
        if self.gone.is_set():
            raise ConnectionCutError("the connection was cut")
        self._socket.sendall(data)

    def send_last(self, data: bytes) -> None:
        """Sends, and waits a little for the client to close: closed with bytes unread, a socket would forget the answer."""
        self.send(data)
        with _ignored_errors():
            socket.socket.shutdown(self._raw, socket.SHUT_WR)
            self._raw.settimeout(_LAST_SECONDS)
            while socket.socket.recv(self._raw, _READ_BYTES):
                pass

    def cut(self, *, reset: bool = False) -> None:
        """Ends it at once, even while its thread waits; with `reset` without a proper end (RST). Again is harmless."""
        if reset:
            with _ignored_errors():
                self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.gone.set()
        with _ignored_errors():
            # Not SSLSocket's own, which takes the TLS state away from under a thread that is sending.
            socket.socket.shutdown(self._raw, socket.SHUT_RDWR)

    def peer_closed(self) -> bool:
        """Whether the client has closed it, as far as can be told without taking what it sent."""
        try:
            return not socket.socket.recv(self._raw, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Gives the socket back; only for its thread."""
        self.gone.set()
        with _ignored_errors():
            self._socket.close()

    def _fill(self) -> bool:
        data = self._socket.recv(_READ_BYTES)
        self._buffer += data
        return bool(data)

    def _read_plain(self, length: int) -> bytes:
        while len(self._buffer) < length:
            if not self._fill():
                raise ConnectionError("the client left in the middle of a request")
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return body

    def _read_chunked(self) -> bytes:
        framing, pieces, size = ChunkedBody(), [], 0
        try:
            while True:
                for piece in framing.feed(self._buffer):
                    pieces.append(piece)
                    size += len(piece)
                self._buffer = b""
                if framing.ended:
                    return b"".join(pieces)
                if size > MAX_BODY_BYTES:
                    raise BadMessageError("the request's body is too long")
                if not self._fill():
                    raise ConnectionError("the client left in the middle of a request")
        except BrokenBodyError as error:
            raise BadMessageError(str(error)) from error


class Exchange:
    """A request and its answer.

    Args:
        connection: that the request came on.
        head: and `request`: what came.

    Threads: the connection's.
    """

    def __init__(self, connection: Connection, head: Head, request: Request) -> None:
        self.connection = connection
        self.request = request
        self.keep_alive = head.keep_alive
        self.status = 0
        """Of the answer; 0 until there is one."""
        self.on_status: Callable[[int], object] | None = None
        """Called with the status, before the answer leaves."""
        self.transmit: Callable[[bytes], None] = connection.send
        """How the bytes of the body leave; faults take its place."""

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Sends a whole answer."""
        length = {"Content-Length": str(len(body))}
        head = self._head(status, {**headers, **length})
        if self.request.method == "HEAD":
            body = b""
        if self.transmit == self.connection.send:
            self.connection.send(head + body)
            return
        self.connection.send(head)
        self.transmit(body)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends the head of an answer whose body comes in chunks."""
        self.connection.send(self._head(status, {**headers, "Transfer-Encoding": "chunked"}))

    def send_chunks(self, pieces: Iterable[bytes]) -> None:
        """Sends pieces of the body, each a chunk of its own, in one go."""
        self.transmit(b"".join([chunk(piece) for piece in pieces]))

    def end(self) -> None:
        """Ends the body."""
        self.transmit(LAST_CHUNK)

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        self.status = status
        if self.on_status is not None:
            self.on_status(status)
        return response_head(status, headers if self.keep_alive else {**headers, "Connection": "close"})


class _ignored_errors:  # noqa: N801
    """A socket that is closed already cannot be closed or shut down: nothing to do."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return isinstance(error, (OSError, ValueError))
