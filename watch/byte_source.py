"""Sources of a response's body: its socket, read directly, or any response that can be read.

An API server sends each event as a chunk of its own. The readers of urllib3 and http.client cost at least one call per
chunk. A `SocketSource` reads everything that has arrived in one call instead, and takes the chunk framing off itself.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from watch.concurrency import Lock
from watch.framing import Body, ChunkedBody, PlainBody

__all__ = ["ByteSource", "NotReadyError", "ReaderSource", "SocketSource", "byte_source"]

# Bytes per read. The events of one read become one batch, and each batch costs a switch to the handler's thread (58 us).
READ_SIZE = 512 * 1024
# Bytes per read after a small one. A buffer of READ_SIZE can cost a map and an unmap of memory, 17 us for each lone event.
_FIRST_READ_SIZE = 64 * 1024
# Bytes of the buffer that a blocking receive holds while it waits, which most informers do most of the time.
_WAITING_SIZE = 16 * 1024
# The most that one read of a TLS socket returns.
_TLS_RECORD_SIZE = 16 * 1024
# After a read of this size more has probably arrived. After a smaller one the socket is empty: a lone event was read.
_BURST_SIZE = 32 * 1024
_MAX_POLL_MILLISECONDS = 2**31 - 1
# Whether a blocking receive can have a time-out (SO_RCVTIMEO), so that a lone event costs one system call.
# Elsewhere the option has other units. A TLS socket cannot: `ssl` repeats a receive that the option has ended.
_HAS_RECEIVE_TIMEOUT = sys.platform == "linux"
# A wait that was shorter than this many seconds has found bytes that were there before: more have probably arrived.
_NO_WAIT = 20e-6
_GZIP = ("gzip", "x-gzip")
_ENCODINGS = ("", "identity", *_GZIP)


class NotReadyError(TimeoutError):
    """No bytes, or no complete event, came in time. The source can be read on.

    Args:
        message: the error's text.
        progress: whether any bytes came.
    """

    def __init__(self, message: str = "no bytes came in time", *, progress: bool = False) -> None:
        super().__init__(message)
        self.progress = progress


class ByteSource(Protocol):
    """A source of the pieces of a body."""

    gzipped: bool
    """Whether the pieces are still compressed."""
    takes_timeout: bool
    """Whether `read` honours its time-out."""

    def read(self, timeout: float | None) -> list[bytes]:
        """Waits for bytes and returns all that have arrived, in pieces; [] at the end of the body.

        Args:
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.

        Raises:
            NotReadyError: no bytes came in time.
            EOFError: the source was closed, or the connection ended before the body did.
            OSError: the connection broke.
        """
        ...

    def close(self) -> None:
        """Ends a `read` that is waiting, on any thread, and closes the connection. A second call does nothing."""
        ...


def byte_source(response: Any) -> ByteSource:
    """Returns a `SocketSource` where the response is one of urllib3's that was not read, else a `ReaderSource`."""
    found = _socket_and_body(response)
    return ReaderSource(response) if found is None else SocketSource(response, *found)


def _socket_and_body(response: Any) -> tuple[socket.socket, Body] | None:
    """The socket under a response, and the framing of its body; None where the socket cannot be read directly."""
    inner = getattr(response, "_fp", None)
    reader = getattr(inner, "fp", None)
    if not isinstance(reader, io.BufferedReader) or _was_read(response) or _encoding(response) not in _ENCODINGS:
        return None
    # The project's connection class exposes `socket`; http.client has only the private `_sock`.
    sock = getattr(inner, "socket", None) or getattr(reader.raw, "_sock", None)
    if not isinstance(sock, socket.socket):
        return None
    if getattr(inner, "chunked", False):
        # http.client sets chunk_left when a chunk was begun.
        return (sock, ChunkedBody()) if getattr(inner, "chunk_left", None) is None else None
    return sock, PlainBody(getattr(inner, "length", None))


def _was_read(response: Any) -> bool:
    """Whether a part of the body was read, so that urllib3 may hold bytes of it."""
    return (
        getattr(response, "_fp_bytes_read", 0) > 0
        or getattr(response, "chunk_left", None) is not None
        or getattr(response, "_has_decoded_content", False)
    )


def _encoding(response: Any) -> str:
    return (response.headers.get("content-encoding") or "").strip().lower()


class _ClosableSource:
    """A source that one thread reads and any thread closes. A reading thread itself releases what it reads from."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reading = False  # guarded by _lock
        self._closed = False  # guarded by _lock

    def read(self, timeout: float | None) -> list[bytes]:
        """Returns the bytes that have arrived, as `ByteSource.read` does."""
        with self._lock:
            if self._closed:
                raise EOFError("the stream was closed")
            self._reading = True
        try:
            return self._read(timeout)
        finally:
            if self._end_read():
                self._release()

    def _read(self, timeout: float | None) -> list[bytes]:
        raise NotImplementedError

    def _release(self) -> None:
        raise NotImplementedError

    def _end_read(self) -> bool:
        """Returns whether the source was closed during the read."""
        with self._lock:
            self._reading = False
            return self._closed

    def _begin_close(self) -> bool | None:
        """Refuses further reads; returns whether a thread is reading now, None when the source was closed before."""
        with self._lock:
            if self._closed:
                return None
            self._closed = True
            return self._reading


class SocketSource(_ClosableSource):
    """Reads the socket of a response directly, plain or TLS.

    Args:
        response: the response, which gives its connection back to its pool.
        sock: its socket, whose time-out is changed.
        body: takes off the framing.

    Threads: `read` is called by one thread at a time, `close` by any.
    """

    takes_timeout = True

    def __init__(self, response: Any, sock: socket.socket, body: Body) -> None:
        super().__init__()
        self.gzipped = _encoding(response) in _GZIP
        self._response = response
        self._sock = sock
        self._body = body
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        self._pool_timeout = sock.gettimeout()  # restored when the connection goes back to its pool
        sock.settimeout(0)
        self._wait_readable = _waiter(sock)
        # Not `SSLSocket.recv`, which is one more call on the way to `read`.
        self._read_some: Callable[[int], bytes] = sock.read if isinstance(sock, ssl.SSLSocket) else sock.recv
        self._size = _TLS_RECORD_SIZE if self._is_tls else READ_SIZE  # of the next read
        self._is_drained = False  # nothing is left to read, in the socket or in its TLS layer, as far as is known
        self._buffered = _buffered(response)  # what http.client read beyond the head of the answer
        self._limit: float | None = None  # the socket's own time-out of a receive, in seconds
        self._flags = 0  # of a receive
        self._is_blocking = _HAS_RECEIVE_TIMEOUT and not self._is_tls
        if self._is_blocking:
            sock.settimeout(None)

    def close(self) -> None:
        """Ends a `read` that is waiting. The connection of a body that was read to its end goes back to its pool."""
        reading = self._begin_close()
        if reading is None:
            return
        if not reading and self._body.ended and self._body.clean and self._give_back():
            return
        # Not through the TLS object: a reading thread uses it, and its close_notify could block.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        if not reading:
            self._release()

    def _give_back(self) -> bool:
        """Gives the connection back to its pool; returns whether it can serve another request."""
        response = self._response
        inner = response._fp  # noqa: SLF001
        if getattr(inner, "will_close", True) or getattr(response, "_connection", None) is None:
            return False
        with contextlib.suppress(OSError, ValueError):
            if self._is_blocking:
                self._set_limit(None)
            self._sock.settimeout(self._pool_timeout)
            inner.close()
            response.release_conn()
            return True
        return False

    def _release(self) -> None:
        _close(self._response)
        with contextlib.suppress(OSError):
            self._sock.close()

    def _read(self, timeout: float | None) -> list[bytes]:
        now = begun = time.monotonic()
        left = timeout
        while True:
            if self._body.ended:
                return []
            data, self._buffered = self._buffered or self._receive(left, now), b""
            if not data:
                if isinstance(self._body, PlainBody) and self._body.ends_with_connection:
                    return []
                raise EOFError("the connection ended within the body")
            pieces = self._body.feed(data)
            if pieces:
                return pieces
            now = time.monotonic()
            left = None if timeout is None else max(0.0, begun + timeout - now)

    def _receive(self, seconds: float | None, now: float) -> bytes:
        """Waits at most `seconds` for bytes and returns all that have arrived; b"" at the end of the connection."""
        if not self._is_blocking:
            return self._receive_ready(seconds, now)
        # One system call waits and receives.
        if seconds != self._limit:
            self._set_limit(seconds)
        if self._size == READ_SIZE:
            # After a long read more may have come already. This buffer is too large to wait with.
            with contextlib.suppress(BlockingIOError):
                return self._sock.recv(READ_SIZE, socket.MSG_DONTWAIT)
        try:
            data = self._sock.recv(_WAITING_SIZE, self._flags)
        except BlockingIOError:
            raise NotReadyError from None
        self._size = _FIRST_READ_SIZE if len(data) < _WAITING_SIZE else READ_SIZE
        return data

    def _set_limit(self, seconds: float | None) -> None:
        """Has each blocking receive end after `seconds`; None for no limit, 0 for none that blocks."""
        self._limit = seconds
        self._flags = socket.MSG_DONTWAIT if seconds == 0 else 0
        # Zero would be no limit.
        microseconds = 0 if seconds is None else max(1, int(min(seconds, _MAX_POLL_MILLISECONDS) * 1e6))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", *divmod(microseconds, 10**6)))

    def _receive_ready(self, seconds: float | None, now: float) -> bytes:
        """Does what `_receive` does, for a socket that does not block.

        A lone event costs one wait and one receive: the attempt to read an empty socket would raise an exception. In a
        burst the wait is left out.
        """
        deadline = None if seconds is None else now + seconds
        has_waited = False
        while True:
            if self._is_drained:
                self._wait(self._wait_readable, deadline)
                has_waited = time.monotonic() - now > _NO_WAIT
            try:
                data = self._read_some(self._size)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._is_drained = True
            except ssl.SSLWantWriteError:
                self._wait(_waiter(self._sock, for_writing=True), deadline)
            except ssl.SSLEOFError:
                return b""
            else:
                if not self._is_tls:
                    self._is_drained = 0 < len(data) < _BURST_SIZE
                    self._size = _FIRST_READ_SIZE if self._is_drained else READ_SIZE
                elif not has_waited or len(data) == _TLS_RECORD_SIZE:
                    return self._with_more_records(data)
                return data

    def _with_more_records(self, data: bytes) -> bytes:
        """Adds the other TLS records that have arrived: one receive gives one record (at most 16 KiB)."""
        # The usual record comes alone, and looking is cheaper than a receive that raises.
        if data and not self._wait_readable(0.0) and not self._sock.pending():  # type: ignore[attr-defined]
            self._is_drained = True
            return data
        records, size, record = [data], len(data), data
        self._is_drained = False
        while record and size < READ_SIZE:
            try:
                record = self._read_some(_TLS_RECORD_SIZE)
            except ssl.SSLWantReadError:
                self._is_drained = size < _BURST_SIZE
                break
            # The next read meets the error again: the bytes before it are not held back.
            except OSError:
                break
            records.append(record)
            size += len(record)
        return b"".join(records)

    def _wait(self, ready_within: Callable[[float | None], object], deadline: float | None) -> None:
        # The socket was closed on another thread: fileno is -1, and its descriptor may have been reused.
        if self._sock.fileno() < 0:
            raise EOFError("the stream was closed")
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not ready_within(left):
            raise NotReadyError


def _waiter(sock: socket.socket, *, for_writing: bool = False) -> Callable[[float | None], object]:
    """A function that waits at most the given seconds (None: without limit) for a socket, and returns whether it is ready."""
    if not hasattr(select, "poll"):
        read, write = ([], [sock]) if for_writing else ([sock], [])
        return lambda seconds: any(select.select(read, write, [], seconds))
    poller = select.poll()
    poller.register(sock.fileno(), select.POLLOUT if for_writing else select.POLLIN)
    poll = poller.poll
    return lambda seconds: poll(None if seconds is None else min(seconds * 1000, _MAX_POLL_MILLISECONDS))


def _close(response: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        response.close()
    # A pool with a limit counts this connection until it gets it back, closed or not.
    if getattr(getattr(response, "_pool", None), "block", False):
        response.release_conn()


def _buffered(response: Any) -> bytes:
    try:
        # An empty buffer makes this a read of the socket, which does not block.
        return bytes(response._fp.fp.peek())  # noqa: SLF001
    except (OSError, ValueError):
        return b""


class ReaderSource(_ClosableSource):
    """Reads a response through its own methods, where its socket cannot be read directly. Time-outs have no effect.

    Args:
        response: one of urllib3's, or any object with `read1` or `read`.

    Threads: `read` is called by one thread at a time, `close` by any. A `read` that is waiting ends at once only where the
    response has a `shutdown` method, as urllib3's has from version 2.3 on.
    """

    gzipped = False
    takes_timeout = False

    def __init__(self, response: Any) -> None:
        super().__init__()
        self._response = response
        self._pieces = self._read_all(response)

    def close(self) -> None:
        """Ends a `read` that is waiting, where the response allows it, and closes the response."""
        reading = self._begin_close()
        if reading:
            # `close` of the response would wait for the reading thread, which closes it after its read.
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
        # read1 returns what has arrived without waiting for more, but it cannot go on with a chunk that stream() began.
        if is_urllib3 and (read1 is None or getattr(response, "chunk_left", None) is not None):
            yield from (piece for piece in response.stream(READ_SIZE, decode_content=True) if piece)
            return
        options = {"decode_content": True} if is_urllib3 else {}
        read = read1 or response.read
        while piece := read(READ_SIZE, **options):
            yield piece
