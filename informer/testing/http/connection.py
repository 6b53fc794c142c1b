"""One client connection: its thread reads a request, answers it, and reads the next."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Mapping

from informer.testing.http.messages import (
    END_OF_HEAD,
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    BadMessageError,
    Request,
    parse_head,
    response_head,
)
from watch.concurrency import Signal
from watch.framing import BrokenBodyError, ChunkedBody

__all__ = ["Connection", "ConnectionCutError", "Exchange"]

_READ_BYTES = 65536
_LAST_SECONDS = 1.0
# What closing or shutting down a socket raises when it is closed already.
_ALREADY_CLOSED = contextlib.suppress(OSError, ValueError)


class ConnectionCutError(ConnectionError):
    """The server has cut the connection itself."""


class Connection:
    """A client's socket, with buffered reading of requests.

    Args:
        sock: the accepted socket.
        context: the server's TLS context; None means plain HTTP.
        number: identifies the connection within its server.

    Threads: only the connection's own thread reads, sends and closes; any thread may call `cut`.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None, number: int) -> None:
        self.number = number
        self._socket = sock
        self._context = context
        self._buffer = b""
        self.gone = Signal()
        """Set when the connection is cut or its client has closed it."""

    def fileno(self) -> int:
        """Returns the socket's file descriptor, for polling."""
        return self._socket.fileno()

    def handshake(self) -> None:
        """Does the TLS handshake; does nothing for plain HTTP."""
        if self._context is None:
            return
        # Assigned before the handshake, so that `cut` can end a handshake that hangs.
        secure = self._context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        self._socket = secure
        if self.gone.is_set():
            raise ConnectionCutError("the connection was cut")
        secure.do_handshake()

    def read_request(self) -> Request:
        """Waits for the next request and returns it.

        Raises:
            BadMessageError: the client did not send HTTP.
            OSError: the client has closed the connection, or it broke.
        """
        while True:
            # The line end of the body before may come late, and old clients send a superfluous one.
            self._buffer = self._buffer.lstrip(b"\r\n")
            end = END_OF_HEAD.search(self._buffer)
            if end is not None:
                break
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadMessageError("the request's headers are too long", 431)
            self._fill()
        request = parse_head(self._buffer[: end.start()])
        self._buffer = self._buffer[end.end() :]
        if "expect" in request.headers:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.chunked:
            return request._replace(body=self._read_chunked())
        while len(self._buffer) < request.content_length:
            self._fill()
        body, self._buffer = self._buffer[: request.content_length], self._buffer[request.content_length :]
        return request._replace(body=body)

    def send(self, data: bytes) -> None:
        """Sends all of `data`; blocks until the kernel has taken it.

        Raises:
            OSError: the client has closed the connection, or it was cut.
        """
        if self.gone.is_set():
            raise ConnectionCutError("the connection was cut")
        self._socket.sendall(data)

    def send_last(self, data: bytes) -> None:
        """Sends the last bytes of the connection and waits up to a second for the client to close.

        Closing a socket that has unread input resets the connection, and the client may lose the answer.
        """
        self.send(data)
        with _ALREADY_CLOSED:
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
            self._socket.settimeout(_LAST_SECONDS)
            while socket.socket.recv(self._socket, _READ_BYTES):
                pass

    def cut(self, *, reset: bool = False) -> None:
        """Ends the connection at once, even while its thread is blocked. Idempotent.

        Args:
            reset: send RST instead of FIN, so that the client sees "connection reset by peer".
        """
        if reset:
            with _ALREADY_CLOSED:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.gone.set()
        with _ALREADY_CLOSED:
            # Not SSLSocket.shutdown, which drops the TLS state while another thread may be sending.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the socket. Only the connection's own thread may call this."""
        self.gone.set()
        with _ALREADY_CLOSED:
            self._socket.close()

    def _fill(self) -> None:
        data = self._socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionError("the client has closed the connection")
        self._buffer += data

    def _read_chunked(self) -> bytes:
        framing, pieces, size = ChunkedBody(), list[bytes](), 0
        while True:
            try:
                new = framing.feed(self._buffer)
            except BrokenBodyError as error:
                raise BadMessageError(str(error)) from error
            self._buffer = b""
            pieces += new
            size += sum(map(len, new))
            if framing.ended:
                return b"".join(pieces)
            if size > MAX_BODY_BYTES:
                raise BadMessageError("the request's body is too long", 413)
            self._fill()


class Exchange:
    """One request, and the means to answer it.

    Args:
        connection: the connection on which the request arrived.
        request: the request.

    Threads: the connection's own.
    """

    def __init__(self, connection: Connection, request: Request) -> None:
        self.connection = connection
        self.request = request
        self.keep_alive = request.keep_alive
        self.status = 0
        """The answer's status code; 0 until the answer begins."""
        self.on_status: Callable[[int], object] | None = None
        """Called with the status code before the answer is sent."""
        self.transmit: Callable[[bytes], None] = connection.send
        """Sends bytes of the body. Faults replace it, to cut, delay or slow down the body."""

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Sends a complete answer with a Content-Length."""
        head = self._head(status, {**headers, "Content-Length": str(len(body))})
        if self.request.method == "HEAD":
            body = b""
        if self.transmit == self.connection.send:
            self.connection.send(head + body)
            return
        self.connection.send(head)
        self.transmit(body)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends the head of an answer whose length is not known: chunked, or until the connection ends for HTTP/1.0."""
        if self.request.is_http_1_0:
            self.keep_alive = False
        else:
            headers = {**headers, "Transfer-Encoding": "chunked"}
        self.connection.send(self._head(status, headers))

    def send_chunks(self, pieces: Iterable[bytes]) -> None:
        """Sends each piece as one chunk of the body, all in one write."""
        chunks = pieces if self.request.is_http_1_0 else [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
        self.transmit(b"".join(chunks))

    def end(self) -> None:
        """Ends the body that `begin` began."""
        if not self.request.is_http_1_0:
            self.transmit(b"0\r\n\r\n")

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        self.status = status
        if self.on_status is not None:
            self.on_status(status)
        is_http_1_0 = self.request.is_http_1_0
        # What the version does by itself need not be said.
        if self.keep_alive == is_http_1_0:
            headers = {**headers, "Connection": "keep-alive" if self.keep_alive else "close"}
        return response_head(status, headers, is_http_1_0=is_http_1_0)
