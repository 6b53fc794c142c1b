"""The base of the decoders of watch responses: reads a body and returns its events in batches, in any format."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from watch.byte_source import NotReadyError, byte_source
from watch.event import Event
from watch.framing import Gunzip
from watch.request_scope import RequestScope

__all__ = ["BodyDecoder", "Decoder"]

T = TypeVar("T", default=Any)
T_co = TypeVar("T_co", covariant=True, default=Any)

# Uncompressed bytes after which a batch ends. The piece that reaches it is decoded whole, and may be as large again.
_BATCH_BYTES = 1 << 20


class Decoder(Protocol[T_co]):
    """Decodes the events of a stream, for a `StreamWatcher`.

    A decoder may also have `decode_batch() -> list[Event]`, which returns all events that are ready and is then called
    instead of `decode`.
    """

    def decode(self) -> Event[T_co]:
        """Waits for the next event and returns it.

        Raises:
            EOFError, ConnectionError, TimeoutError: the stream has ended. So do the errors of urllib3 and http.client.
            Exception: any other exception is reported as an ERROR event.
        """
        ...

    def close(self) -> None:
        """Closes the stream and ends a `decode` that is waiting. May be called from any thread."""
        ...


class BodyDecoder(Generic[T]):
    """Base of the decoders of a response's body.

    This class reads and uncompresses the body, and returns events in batches. A subclass decodes the pieces of the body.

    Args:
        response: a `urllib3.HTTPResponse` whose body was not read (`preload_content=False`).

    Threads: `decode` and `decode_batch` are called by one thread at a time, `close` by any.
    """

    def __init__(self, response: Any) -> None:
        self._source = byte_source(response)
        self.takes_timeout = self._source.takes_timeout
        self._gunzip = Gunzip() if self._source.gzipped else None
        self._uncompressed: Iterator[bytes] | None = None  # what is left of the last read, uncompressed on demand
        self._ready: list[Event[T]] = []  # events of a batch that `decode` has not returned yet, in reverse
        self._failure: Exception | None = None  # raised after the events that came before a bad one
        self._ended = False  # the stream has ended, or has failed
        self._scope = RequestScope()  # cancelled when it is closed

    def decode(self) -> Event[T]:
        """Waits for the next event and returns it; raises as `decode_batch` does."""
        if not self._ready:
            self._ready = self.decode_batch()[::-1]
        return self._ready.pop()

    def decode_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """Waits for the next event and returns it with all others that have arrived; the list is never empty.

        Args:
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.

        Raises:
            NotReadyError: no event came in time; the stream can be read on.
            EOFError: the stream has ended, or an earlier call raised one of the errors below.
            Exception: the bytes are not an event, or the connection broke.
        """
        if self._ready:
            batch, self._ready = self._ready[::-1], []
            return batch
        if self._ended:
            raise EOFError("the watch has ended")
        try:
            if self._failure is not None:
                raise self._failure
            return self._read_batch(timeout)
        except NotReadyError:
            raise
        except Exception:
            # The decoder cannot know where the event after a bad one begins.
            self._failure, self._ended = None, True
            raise

    def close(self) -> None:
        """Closes the connection and ends a `decode` that is waiting."""
        self._scope.cancel()
        self._source.close()

    def _read_batch(self, timeout: float | None) -> list[Event[T]]:
        deadline = time.monotonic() + timeout if timeout else None
        left = timeout
        progress = False
        while True:
            try:
                pieces: Iterable[bytes] = self._uncompressed_pieces(left) if self._gunzip else self._source.read(left)
            except NotReadyError:
                raise NotReadyError("no event came in time", progress=progress) from None
            if not pieces:
                self._check_rest()
                raise EOFError("the watch has ended")
            # Decoding ends, too, if it takes long.
            with self._scope:
                events = self._decode_pieces(pieces)
            if events:
                return events
            progress = True
            # One read may uncompress to hundreds of megabytes without an event.
            if self._scope.cancelled:
                raise EOFError("the watch has ended")
            if deadline is not None and (left := deadline - time.monotonic()) <= 0:
                raise NotReadyError("no event came in time", progress=True)

    def _uncompressed_pieces(self, timeout: float | None) -> Iterable[bytes]:
        """Returns uncompressed pieces; () at the end of the stream."""
        if self._uncompressed is None:
            pieces = self._source.read(timeout)
            if not pieces or self._gunzip is None:
                return ()
            self._uncompressed = self._gunzip.feed(pieces)
        return self._next_uncompressed(self._uncompressed)

    def _next_uncompressed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yields the pieces of one batch: a few compressed bytes can hold a million events."""
        size = 0
        for piece in pieces:
            yield piece
            size += len(piece)
            if size >= _BATCH_BYTES:
                return
        self._uncompressed = None

    def _decode_pieces(self, pieces: Iterable[bytes]) -> list[Event[T]]:
        """Returns the events that pieces of the body complete.

        If a bad event comes after good ones, returns the good ones and sets `_failure`.
        """
        raise NotImplementedError

    def _check_rest(self) -> None:
        """Called at the end of the body. Raises ValueError if the bytes after the last event cannot begin an event."""
