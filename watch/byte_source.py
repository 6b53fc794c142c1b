"""Where the bytes of a response come from: its socket, read in as few calls as there can be, or any reader.

Comes in: an urllib3 response whose body was not read. Goes out: pieces of its body, with HTTP's framing taken off. The
public readers of urllib3 and http.client cost at least one call a chunk, and an API server sends each event as a chunk.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any, Protocol

from watch.concurrency import Lock
from watch.framing import Body, ChunkedBody, PlainBody

__all__ = ["ByteSource", "NotReadyError", "ReaderSource", "SocketSource", "byte_source"]

READ_SIZE = 256 * 1024


class NotReadyError(TimeoutError):
    """Nothing came in time; the source can be read on."""


class ByteSource(Protocol):
    """Pieces of a body, and whether they are still compressed."""

    gzipped: bool

    def read(self, timeout: float | None) -> list[bytes]:
        """Waits for bytes and returns all that are ready; [] at the end of the body.

        Args:
            timeout: at most so many seconds; None waits without limit, 0 does not wait.

        Raises:
            NotReadyError: nothing came in time.
            EOFError: the connection ended before the body did.
        """
        ...

    def close(self) -> None:
        """Ends a read under way, on any thread, and closes the connection. Idempotent."""
        ...


def byte_source(response: Any) -> ByteSource:
    """The best source for a response."""
    taken = _socket_of(response)
    return ReaderSource(response) if taken is None else SocketSource(response, *taken)


def _socket_of(response: Any) -> tuple[socket.socket, Body] | None:
    """The socket below a response and what frames its body; None where there is no plain way down to it."""
    inner = getattr(response, "_fp", None)
    reader = getattr(inner, "fp", None)
    if not isinstance(reader, io.BufferedReader):
        return None
    sock = getattr(reader.raw, "_sock", None)
    if not isinstance(sock, socket.socket):
        return None
    if getattr(inner, "chunked", False):
        # Set once somebody has read from this response through http.client.
        left = getattr(inner, "chunk_left", None)
        return None if left is not None else (sock, ChunkedBody())
    return sock, PlainBody(getattr(inner, "length", None))


class SocketSource:
    """Reads the socket itself.

    Threads: `read` on one thread at a time, `close` from any.
    """

    def __init__(self, response: Any, sock: socket.socket, body: Body) -> None:
        self.gzipped = "gzip" in (response.headers.get("content-encoding") or "").lower()
        self._response = response
        self._sock = sock
        self._body = body
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        self._lock = Lock()
        self._reading = False  # guarded by _lock
        self._closed = False  # guarded by _lock
        sock.settimeout(0)
        # What http.client has read beyond the head; with nothing there this is a read that does not wait.
        self._ready = _buffered(response)

    def read(self, timeout: float | None) -> list[bytes]:
        """See `ByteSource.read`."""
        with self._lock:
            if self._closed:
                raise EOFError("the stream was closed")
            self._reading = True
        try:
            return self._read(timeout)
        finally:
            with self._lock:
                self._reading = False
                closed = self._closed
            if closed:
                self._release()

    def close(self) -> None:
        """See `ByteSource.close`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            reading = self._reading
            complete = not reading and self._body.ended and self._body.clean
        if complete and _give_back(self._response):
            return
        # Below TLS: a farewell would have to be sent, and could block; and the reader still uses the TLS object.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        if not reading:
            self._release()

    def _release(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._response.close()
        with contextlib.suppress(OSError):
            self._sock.close()

    def _read(self, timeout: float | None) -> list[bytes]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._body.ended:
                return []
            data, self._ready = self._ready or self._receive(deadline), b""
            if not data:
                if isinstance(self._body, PlainBody) and self._body.ends_with_connection:
                    return []
                raise EOFError("the connection ended within the body")
            pieces = self._body.feed(data)
            if pieces:
                return pieces

    def _receive(self, deadline: float | None) -> bytes:
        """All that is ready, after waiting for the first of it; b"" at the end."""
        while True:
            try:
                data = self._sock.recv(READ_SIZE)
            except (BlockingIOError, ssl.SSLWantReadError):
                _wait(self._sock, deadline, for_writing=False)
            except ssl.SSLWantWriteError:
                _wait(self._sock, deadline, for_writing=True)
            except ssl.SSLEOFError:
                return b""
            else:
                return self._more_records(data) if self._is_tls and data else data

    def _more_records(self, data: bytes) -> bytes:
        """TLS gives one record (16 KiB) a read: takes those that have come already."""
        records, size = [data], len(data)
        while size < READ_SIZE:
            try:
                record = self._sock.recv(READ_SIZE - size)
            # The end, or an error, shows again at the next read; what came before it is not held back.
            except OSError:
                break
            if not record:
                break
            records.append(record)
            size += len(record)
        return b"".join(records)


def _give_back(response: Any) -> bool:
    """Returns the connection of a response that was read to its end to its pool, for the next request."""
    inner = response._fp  # noqa: SLF001
    if getattr(inner, "will_close", True):
        return False
    with contextlib.suppress(OSError, ValueError):
        inner.close()
        response.release_conn()
        return True
    return False


def _buffered(response: Any) -> bytes:
    try:
        return bytes(response._fp.fp.peek())  # noqa: SLF001
    except (OSError, ValueError):
        return b""


def _wait(sock: socket.socket, deadline: float | None, *, for_writing: bool) -> None:
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise NotReadyError("nothing came in time")
    number = sock.fileno()
    if number < 0:
        raise EOFError("the stream was closed")
    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(number, select.POLLOUT if for_writing else select.POLLIN)
        ready: Any = poller.poll(None if left is None else left * 1000)
    else:
        ready = any(select.select([number], [number] if for_writing else [], [], left))
    if not ready:
        raise NotReadyError("nothing came in time")


class ReaderSource:
    """Reads through a response's own methods: for a response that is no plain socket's. A time-out has no effect."""

    gzipped = False

    def __init__(self, response: Any) -> None:
        self._response = response
        self._closed = False
        self._pieces = self._read_all()

    def read(self, timeout: float | None) -> list[bytes]:
        """See `ByteSource.read`."""
        for piece in self._pieces:
            return [piece]
        return []

    def close(self) -> None:
        """See `ByteSource.close`."""
        if not self._closed:
            self._closed = True
            self._response.close()

    def _read_all(self) -> Iterator[bytes]:
        response = self._response
        if hasattr(response, "stream"):
            yield from (piece for piece in response.stream(READ_SIZE, decode_content=True) if piece)
            return
        read = getattr(response, "read1", None) or response.read
        while piece := read(READ_SIZE):
            yield piece
