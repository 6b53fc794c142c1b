"""One client connection: its thread reads a request, answers it, and reads the next."""

from __future__ import annotations

import contextlib
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
    end_of_head,
    parse_head,
    response_head,
)
from watch.concurrency import Signal
from watch.framing import BrokenBodyError, ChunkedBody

__all__ = ["Connection", "ConnectionCutError", "Exchange"]

_READ_BYTES = 65536
_LAST_SECONDS = 1.0


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
        self._raw = sock
        self._socket = sock
        self._context = context
        self._buffer = b""
        self._follows_post = False  # whether the request before was a POST
        self.gone = Signal()
        """Set when the connection is cut or its client has closed it."""

    def fileno(self) -> int:
        """Returns the socket's file descriptor, for polling; -1 once the socket is closed."""
        return self._raw.fileno()

    def handshake(self) -> None:
        """Does the TLS handshake; does nothing for plain HTTP."""
        if self._context is None:
            return
        # Assigned before the handshake, so that `cut` can end a handshake that hangs.
        secure = self._context.wrap_socket(self._raw, server_side=True, do_handshake_on_connect=False)
        self._socket = self._raw = secure
        if self.gone.is_set():
            raise ConnectionCutError("the connection was cut")
        secure.do_handshake()

    def read_request(self) -> tuple[Head, Request] | None:
        """Waits for the next request and returns it; None if the client has closed the connection.

        Raises:
            BadMessageError: the client did not send HTTP.
            OSError: the connection broke.
        """
        while True:
            if self._follows_post:
                # Old clients send a superfluous line end behind a body.
                self._buffer = self._buffer.lstrip(b"\r\n")
            end, begin = end_of_head(self._buffer)
            if end >= 0 or len(self._buffer) > MAX_HEAD_BYTES:
                break
            if not self._fill():
                return None
        if not 0 <= end <= MAX_HEAD_BYTES:
            raise BadMessageError("the request's headers are too long", 431)
        lines, self._buffer = self._buffer[:end], self._buffer[begin:]
        head = parse_head(lines)
        self._follows_post = head.method == "POST"
        if head.expects_continue:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return head, Request.of(head, self._read_chunked() if head.chunked else self._read_plain(head.content_length))

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
        with _ignored_errors():
            socket.socket.shutdown(self._raw, socket.SHUT_WR)
            self._raw.settimeout(_LAST_SECONDS)
            while socket.socket.recv(self._raw, _READ_BYTES):
                pass

    def cut(self, *, reset: bool = False) -> None:
        """Ends the connection at once, even while its thread is blocked. Idempotent.

        Args:
            reset: send RST instead of FIN, so that the client sees "connection reset by peer".
        """
        if reset:
            with _ignored_errors():
                self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.gone.set()
        with _ignored_errors():
            # Not SSLSocket.shutdown, which drops the TLS state while another thread may be sending.
            socket.socket.shutdown(self._raw, socket.SHUT_RDWR)

    def peer_closed(self) -> bool:
        """Returns whether the client has closed the connection; input that is still unread hides this."""
        try:
            return not socket.socket.recv(self._raw, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Closes the socket. Only the connection's own thread may call this."""
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
                raise ConnectionError("the client closed the connection in the middle of a request")
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
                    raise BadMessageError("the request's body is too long", 413)
                if not self._fill():
                    raise ConnectionError("the client closed the connection in the middle of a request")
        except BrokenBodyError as error:
            raise BadMessageError(str(error), 500) from error


class Exchange:
    """One request, and the means to answer it.

    Args:
        connection: the connection on which the request arrived.
        head: the request's head, which decides about keep-alive.
        request: the request.

    Threads: the connection's own.
    """

    def __init__(self, connection: Connection, head: Head, request: Request) -> None:
        self.connection = connection
        self.request = request
        self.keep_alive = head.keep_alive
        self._is_http_1_0 = head.is_http_1_0
        self.status = 0
        """The answer's status code; 0 until the answer begins."""
        self.on_status: Callable[[int], object] | None = None
        """Called with the status code before the answer is sent."""
        self.transmit: Callable[[bytes], None] = connection.send
        """Sends bytes of the body. Faults replace it, to cut, delay or slow down the body."""

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Sends a complete answer with a Content-Length."""
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
        """Sends the head of an answer whose length is not known: chunked, or until the connection ends for HTTP/1.0."""
        if self._is_http_1_0:
            self.keep_alive = False
        else:
            headers = {**headers, "Transfer-Encoding": "chunked"}
        self.connection.send(self._head(status, headers))

    def send_chunks(self, pieces: Iterable[bytes]) -> None:
        """Sends each piece as one chunk of the body, all in one write."""
        self.transmit(b"".join(pieces if self._is_http_1_0 else [chunk(piece) for piece in pieces]))

    def end(self) -> None:
        """Ends the body that `begin` began."""
        if not self._is_http_1_0:
            self.transmit(LAST_CHUNK)

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        self.status = status
        if self.on_status is not None:
            self.on_status(status)
        if self._is_http_1_0:
            if self.keep_alive:
                headers = {**headers, "Connection": "keep-alive"}
        elif not self.keep_alive:
            headers = {**headers, "Connection": "close"}
        return response_head(status, headers, is_http_1_0=self._is_http_1_0)


def _ignored_errors() -> contextlib.suppress:
    """Suppresses what closing or shutting down a socket raises when the socket is closed already."""
    return contextlib.suppress(OSError, ValueError)
