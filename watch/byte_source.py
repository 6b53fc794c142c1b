"""Where the bytes of a response come from: its socket, read in as few calls as there can be, or any reader.

Comes in: an urllib3 response whose body was not read. Goes out: pieces of its body, with HTTP's framing taken off. The
public readers of urllib3 and http.client cost at least one call a chunk, and an API server sends each event as a chunk.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import select
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any, Protocol

from watch.concurrency import Lock
from watch.framing import Body, ChunkedBody, PlainBody

__all__ = ["ByteSource", "NotReadyError", "ReaderSource", "SocketSource", "byte_source"]

# A read's worth of events is a batch, and a batch has its price: 58 us measured, with the switch to the handler's thread.
READ_SIZE = 512 * 1024
_LONGEST_POLL = 2**31 - 1  # milliseconds
_GZIP = ("gzip", "x-gzip")
_ENCODINGS = ("", "identity", *_GZIP)


class NotReadyError(TimeoutError):
    """Nothing, or nothing whole, came in time; the source can be read on.

    Args:
        progress: whether bytes came at all.
    """

    def __init__(self, message: str = "nothing came in time", *, progress: bool = False) -> None:
        super().__init__(message)
        self.progress = progress


class ByteSource(Protocol):
    """Pieces of a body."""

    gzipped: bool
    """Whether the pieces are still compressed."""
    takes_timeout: bool
    """Whether `read` can be told when to give up."""

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
    if not isinstance(reader, io.BufferedReader) or _is_begun(response) or _encoding(response) not in _ENCODINGS:
        return None
    sock = getattr(reader.raw, "_sock", None)
    if not isinstance(sock, socket.socket):
        return None
    if getattr(inner, "chunked", False):
        # Set once somebody has read from this response through http.client.
        left = getattr(inner, "chunk_left", None)
        return None if left is not None else (sock, ChunkedBody())
    return sock, PlainBody(getattr(inner, "length", None))


def _is_begun(response: Any) -> bool:
    """Whether somebody has read from the body, so that urllib3 may hold some of it, or an uncompressor's state."""
    return (
        getattr(response, "_fp_bytes_read", 0) > 0
        or getattr(response, "chunk_left", None) is not None
        or getattr(response, "_has_decoded_content", False)
    )


def _encoding(response: Any) -> str:
    return (response.headers.get("content-encoding") or "").strip().lower()


class _OneReader:
    """Reading on one thread and closing on any: what is being read is released by the reader."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reading = False  # guarded by _lock
        self._closed = False  # guarded by _lock

    def read(self, timeout: float | None) -> list[bytes]:
        """See `ByteSource.read`."""
        self._enter()
        try:
            return self._read(timeout)
        finally:
            if self._leave():
                self._release()

    def _read(self, timeout: float | None) -> list[bytes]:
        raise NotImplementedError

    def _release(self) -> None:
        raise NotImplementedError

    def _enter(self) -> None:
        with self._lock:
            if self._closed:
                raise EOFError("the stream was closed")
            self._reading = True

    def _leave(self) -> bool:
        """Returns whether it was closed meanwhile."""
        with self._lock:
            self._reading = False
            return self._closed

    def _close(self) -> bool | None:
        """Lets nobody read any more; returns whether somebody still reads, None when it was closed before."""
        with self._lock:
            if self._closed:
                return None
            self._closed = True
            return self._reading


class SocketSource(_OneReader):
    """Reads the socket itself.

    Threads: `read` on one thread at a time, `close` from any.
    """

    takes_timeout = True

    def __init__(self, response: Any, sock: socket.socket, body: Body) -> None:
        super().__init__()
        self.gzipped = _encoding(response) in _GZIP
        self._response = response
        self._sock = sock
        self._body = body
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        self._timeout = sock.gettimeout()  # for whom the connection serves next
        sock.settimeout(0)
        # What http.client has read beyond the head; with nothing there this is a read that does not wait.
        self._ready = _buffered(response)

    def close(self) -> None:
        """See `ByteSource.close`."""
        reading = self._close()
        if reading is None:
            return
        if not reading and self._body.ended and self._body.clean and self._give_back():
            return
        # Below TLS: a farewell would have to be sent, and could block; and the reader still uses the TLS object.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        if not reading:
            self._release()

    def _give_back(self) -> bool:
        """Returns the connection of a body that was read to its end to its pool, for the next request."""
        response = self._response
        inner = response._fp  # noqa: SLF001
        if getattr(inner, "will_close", True) or getattr(response, "_connection", None) is None:
            return False
        with contextlib.suppress(OSError, ValueError):
            self._sock.settimeout(self._timeout)
            inner.close()
            response.release_conn()
            return True
        return False

    def _release(self) -> None:
        _close(self._response)
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


def _close(response: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        response.close()
    # A pool that hands out so many connections and no more counts this one until it has it back, closed or not.
    if getattr(getattr(response, "_pool", None), "block", False):
        response.release_conn()


def _buffered(response: Any) -> bytes:
    try:
        return bytes(response._fp.fp.peek())  # noqa: SLF001
    except (OSError, ValueError):
        return b""


def _wait(sock: socket.socket, deadline: float | None, *, for_writing: bool) -> None:
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise NotReadyError
    number = sock.fileno()
    if number < 0:
        raise EOFError("the stream was closed")
    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(number, select.POLLOUT if for_writing else select.POLLIN)
        ready: Any = poller.poll(None if left is None else min(left * 1000, _LONGEST_POLL))
    else:
        ready = any(select.select([number], [number] if for_writing else [], [], left))
    if not ready:
        raise NotReadyError


class ReaderSource(_OneReader):
    """Reads through a response's own methods: for a response that is no plain socket's. Time-outs have no effect.

    Threads: `read` on one thread at a time; `close` from any, but a read under way ends only where the response has a
    `shutdown`, as urllib3's have.
    """

    gzipped = False
    takes_timeout = False

    def __init__(self, response: Any) -> None:
        super().__init__()
        self._response = response
        self._pieces = self._read_all(response)

    def close(self) -> None:
        """See `ByteSource.close`."""
        reading = self._close()
        if reading:
            # Closing would wait for the reader, which closes when it is through.
            with contextlib.suppress(OSError, ValueError, RuntimeError, AttributeError):
                self._response.shutdown()
        elif reading is False:
            self._release()

    def _read(self, timeout: float | None) -> list[bytes]:
        return list(itertools.islice(self._pieces, 1))

    def _release(self) -> None:
        _close(self._response)

    @staticmethod
    def _read_all(response: Any) -> Iterator[bytes]:
        is_urllib3 = hasattr(response, "stream")
        read1 = getattr(response, "read1", None)
        # read1 gives what there is and does not wait for more, but knows nothing of a chunk that stream() has begun.
        if is_urllib3 and (read1 is None or getattr(response, "chunk_left", None) is not None):
            yield from (piece for piece in response.stream(READ_SIZE, decode_content=True) if piece)
            return
        options = {"decode_content": True} if is_urllib3 else {}
        read = read1 or response.read
        while piece := read(READ_SIZE, **options):
            yield piece
