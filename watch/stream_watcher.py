"""A watch response read as events.

Comes in: an urllib3 response, or any decoder. Goes out: events, in batches, on the thread that asks for them; a
thread of its own exists only once somebody asks for a channel.
"""

from __future__ import annotations

import http.client
import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol

import msgspec
import urllib3.exceptions
from typing_extensions import TypeVar

from watch.byte_source import NotReadyError, byte_source
from watch.channel import Channel
from watch.concurrency import Lock, RLock, Worker
from watch.errors import ApiError, ChannelClosedError, WatchClosedError, WatchError
from watch.event import Event, EventType
from watch.framing import Gunzip, Lines
from watch.watcher import WatcherBase

__all__ = ["DEFAULT_MAX_LINE_BYTES", "Decoder", "JSONDecoder", "StreamWatcher", "WatchDecodeError", "report_error"]

T = TypeVar("T", default=Any)
T_co = TypeVar("T_co", covariant=True, default=Any)

_log = logging.getLogger(__name__)

DEFAULT_MAX_LINE_BYTES = 16 * 1024 * 1024
# So many uncompressed bytes, and at most as many again, are decoded to one batch.
_MAX_PLAIN = 1 << 20

# These end a stream quietly: the connection broke, or the server closed it.
_BROKEN_STREAM = (
    EOFError,
    ConnectionError,
    TimeoutError,
    OSError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
)
# Source: apimachinery util/net IsProbableEOF, for errors that arrive as others.
_PROBABLE_END = (
    "http: can't write http request on broken connection",
    "http2: server sent goaway and closed the connection",
    "connection reset by peer",
    "use of closed network connection",
)


class WatchDecodeError(WatchError):
    """A watch stream holds what is no event; the cause says why."""


class Decoder(Protocol[T_co]):
    """Gives the events of a stream. It may also have `decode_batch() -> list[Event]`, which is then called instead."""

    def decode(self) -> Event[T_co]:
        """Waits for the next event.

        Raises:
            EOFError, ConnectionError, TimeoutError: the stream has ended; so do urllib3's and http.client's errors.
            Exception: anything else is reported as an ERROR event.
        """
        ...

    def close(self) -> None:
        """Ends the stream, and a `decode` under way, from any thread."""
        ...


class _Envelope(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw = msgspec.Raw(b"null")


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_any = msgspec.json.Decoder().decode


def _decode_dict(raw: bytes) -> dict[str, Any]:
    decoded = _decode_any(raw)
    if not isinstance(decoded, dict):
        raise ValueError(f"an event's object is no JSON object but a {type(decoded).__name__}")
    return decoded


# An API server writes its events in this form: how a line begins, and where its object does.
_FORMS = tuple(
    (b'{"type":"%s","object":' % kind.value.encode(), kind)
    for kind in (EventType.MODIFIED, EventType.ADDED, EventType.DELETED)
)
_NEWLINE, _CLOSE = b"\n}"
_BY_NAME = {kind.value: kind for kind in EventType}
# What `Event` does, without its Python call for each.
_new_event: Any = tuple.__new__


class JSONDecoder(Generic[T]):
    """A decoder of newline-framed events in JSON.

    Args:
        response: an urllib3 response whose body was not read (`preload_content=False`).
        decode_object: makes an event's object of its JSON, which is a copy of its own; raises ValueError for what is not
            one JSON object.
        decode_bookmark: the same for BOOKMARK events; None tries `decode_object`, and then gives a dict.
        max_line_bytes: the longest event allowed, in bytes.
        heads: how the JSON of the objects begins that `decode_object` is for; () for all.
        decode_unusual: makes the objects that begin otherwise; None has `decode_object` do that too.

    Threads: `decode`, `decode_batch` on one thread at a time; `close` from any.
    """

    def __init__(
        self,
        response: Any,
        *,
        decode_object: Callable[[bytes], T] = _decode_dict,  # type: ignore[assignment]
        decode_bookmark: Callable[[bytes], Any] | None = None,
        max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
        heads: Sequence[bytes] = (),
        decode_unusual: Callable[[bytes], T] | None = None,
    ) -> None:
        self._source = byte_source(response)
        self.takes_timeout = self._source.takes_timeout
        self._gunzip = Gunzip() if self._source.gzipped else None
        self._plain: Iterator[bytes] | None = None  # what uncompresses of the last read and was not looked at yet
        self._lines = Lines(max_line_bytes)
        self._decode_object = decode_object
        self._decode_unusual = decode_unusual or decode_object
        # A line that begins so, where its object does, and what has happened to that.
        self._forms = [(form + head, len(form), kind) for head in heads or (b"",) for form, kind in _FORMS]
        self._decode_bookmark = decode_bookmark or self._bookmark
        self._ready: list[Event[T]] = []  # decoded and not yet given by `decode`, the last first
        self._failure: Exception | None = None  # of a line that followed events already decoded
        self._ended = False  # nothing more comes, whether it ended well or badly

    def decode(self) -> Event[T]:
        """See `Decoder.decode`."""
        if not self._ready:
            self._ready = self.decode_batch()[::-1]
        return self._ready.pop()

    def decode_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """Waits for an event and returns it with all others that have come; never empty.

        Args:
            timeout: at most so many seconds; None waits without limit, 0 does not wait.

        Raises:
            NotReadyError: the time is up; the stream goes on.
            EOFError: the stream has ended, or has raised something else before.
            Exception: a line is no event, or the connection broke.
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
            # What follows in the stream may begin anywhere: to read on could make events of what is none.
            self._failure, self._ended = None, True
            raise

    def close(self) -> None:
        """See `Decoder.close`."""
        self._source.close()

    def _read_batch(self, timeout: float | None) -> list[Event[T]]:
        deadline = time.monotonic() + timeout if timeout else None
        left = timeout
        progress = False
        while True:
            try:
                pieces = self._read_pieces(left)
            except NotReadyError:
                raise NotReadyError("no event came in time", progress=progress) from None
            events = self._decode_lines(self._lines.feed(pieces))
            if events:
                return events
            progress = True
            if deadline is not None and (left := deadline - time.monotonic()) <= 0:
                raise NotReadyError("no event came in time", progress=True)

    def _read_pieces(self, timeout: float | None) -> Iterable[bytes]:
        if self._plain is None:
            pieces = self._source.read(timeout)
            if not pieces:
                raise EOFError("the watch has ended")
            if self._gunzip is None:
                return pieces
            self._plain = self._gunzip.feed(pieces)
        return self._some_plain(self._plain)

    def _some_plain(self, plain: Iterator[bytes]) -> Iterator[bytes]:
        """As much of what was read as may make a batch: few compressed bytes can hold a million events."""
        size = 0
        for piece in plain:
            yield piece
            size += len(piece)
            if size >= _MAX_PLAIN:
                return
        self._plain = None

    def _decode_lines(self, lines: Iterator[bytes]) -> list[Event[T]]:
        events: list[Event[T]] = []
        append = events.append
        decode_object = self._decode_object
        forms = self._forms
        try:
            for line in lines:
                # The form that an API server writes, and then any other.
                for prefix, begin, kind in forms:
                    if line.startswith(prefix):
                        end = -2 if line[-1] == _NEWLINE else -1
                        if line[end] != _CLOSE:
                            continue
                        try:
                            obj = decode_object(line[begin:end])
                        except (ValueError, msgspec.DecodeError, RecursionError):
                            # Perhaps something follows the object in the envelope.
                            append(self._decode_other(line))
                        else:
                            append(_new_event(Event, (kind, obj)))
                        break
                else:
                    # Blank lines keep a connection alive.
                    if line.strip():
                        append(self._decode_other(line))
        except Exception as error:
            if not events:
                raise
            # What came before the bad line is good, and comes first.
            self._failure = error
        return events

    def _decode_other(self, line: bytes) -> Event[T]:
        """Any other form of an event, read as JSON asks."""
        if not line.isascii():
            # The decoder looks at the bytes of no text that it does not return.
            line.decode()
        envelope = _decode_envelope(line)
        kind = _BY_NAME.get(envelope.type)
        if kind is None:
            raise ValueError(f"got invalid watch event type: {envelope.type[:100]!r}")
        raw = bytes(envelope.object)
        if kind is EventType.ERROR:
            return Event(kind, _decode_any(raw))
        if kind is EventType.BOOKMARK:
            return Event(kind, self._decode_bookmark(raw))
        return Event(kind, self._decode_unusual(raw))

    def _bookmark(self, raw: bytes) -> Any:
        try:
            return self._decode_object(raw)
        # A bookmark has metadata and nothing else: a type that asks for more is right to refuse it.
        except Exception:
            return _decode_dict(raw)


def report_error(error: Exception) -> dict[str, Any]:
    """The Status of an ERROR event that tells of a stream that could not be decoded.

    Source: client-go rest ClientErrorReporter.
    """
    cause = {"reason": "ClientWatchDecoding", "message": str(error)}
    return ApiError(500, "InternalError", str(error), details={"causes": [cause]}).to_status()


class StreamWatcher(WatcherBase[T]):
    """A `BatchWatcher` over a decoder.

    Args:
        decoder: gives the events; closed once, when the watch ends.
        reporter: makes the object of the ERROR event with which a stream ends that could not be decoded.

    Threads: `stop` from any; the events are read by one thread at a time.
    """

    def __init__(self, decoder: Decoder[T], reporter: Callable[[Exception], object] = report_error) -> None:
        self._decoder = decoder
        self._reporter = reporter
        self._decode_batch: Callable[..., list[Event[T]]] | None = getattr(decoder, "decode_batch", None)
        self._takes_timeout = bool(getattr(decoder, "takes_timeout", False))
        self._channel: Channel[Event[T]] = Channel(0)
        # Held while the decoder is asked, and by a reporter, which may look at the watcher; taken before _lock.
        self._reading = RLock()
        self._unread: deque[Event[T]] = deque()  # of a batch that iteration has not come to; guarded by _reading
        self._lock = Lock()
        self._pump: Worker | None = None  # guarded by _lock
        self._stopped = False  # guarded by _lock
        self._decoder_closed = False  # guarded by _lock
        self._ended = False  # the decoder has nothing more; written by the reading thread

    def next_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """See `BatchWatcher.next_batch`."""
        if self._pump is None and (timeout is None or self._takes_timeout):
            return self._pull(timeout)
        # A decoder that cannot be told when to give up waits on the pump's thread instead of here.
        try:
            return self.result_chan().get_batch(timeout=timeout)
        except queue.Empty:
            raise TimeoutError("no event came in time") from None
        except ChannelClosedError:
            raise WatchClosedError("the watch has ended") from None

    def result_chan(self) -> Channel[Event[T]]:
        """See `Watcher.result_chan`; from the first call on a thread reads the stream into it."""
        with self._lock:
            if self._pump is None and not self._stopped:
                self._pump = Worker(self._run_pump, "stream-watcher").start()
        return self._channel

    def stop(self) -> None:
        """See `Watcher.stop`."""
        with self._lock:
            self._stopped = True
        self._channel.close()
        self._close_decoder()

    def __iter__(self) -> Iterator[Event[T]]:
        while True:
            try:
                # One by one: what a reader that breaks off has not seen is there for the next.
                event = self._pull_one() if self._pump is None else self._channel.get()
            except (WatchClosedError, ChannelClosedError):
                return
            yield event

    def _run_pump(self) -> None:
        try:
            while True:
                for event in self._pull(None):
                    self._channel.put(event)
        except (WatchClosedError, ChannelClosedError):
            pass
        finally:
            self._channel.close()

    def _pull_one(self) -> Event[T]:
        with self._reading:
            if not self._unread or self._stopped:
                self._unread.extend(self._read(None))
            return self._unread.popleft()

    def _pull(self, timeout: float | None) -> list[Event[T]]:
        with self._reading:
            if not self._unread or self._stopped:
                return self._read(timeout)
            batch = list(self._unread)
            self._unread.clear()
            return batch

    def _read(self, timeout: float | None) -> list[Event[T]]:
        while not self._ended and not self._stopped:
            try:
                batch = self._decode(timeout)
            except NotReadyError:
                raise
            except Exception as error:
                return self._end(error)
            if batch:
                return batch
        raise WatchClosedError("the watch has ended")

    def _decode(self, timeout: float | None) -> list[Event[T]]:
        if self._decode_batch is None:
            return [self._decoder.decode()]
        return self._decode_batch(timeout) if self._takes_timeout else self._decode_batch()

    def _end(self, error: Exception) -> list[Event[T]]:
        """The last event of a stream that failed; raises `WatchClosedError` for one that just ended."""
        self._ended = True
        quiet = self._stopped or _is_end(error)
        self._close_decoder()
        if quiet:
            _log.debug("a watch ended: %s", type(error).__name__)
            raise WatchClosedError("the watch has ended") from error
        return [Event(EventType.ERROR, self._report(error))]

    def _report(self, error: Exception) -> Any:
        failure = WatchDecodeError(f"unable to decode an event from the watch stream: {error}")
        failure.__cause__ = error
        try:
            return self._reporter(failure)
        except Exception:
            _log.exception("the reporter of a watch failed")
            return report_error(failure)

    def _close_decoder(self) -> None:
        with self._lock:
            if self._decoder_closed:
                return
            self._decoder_closed = True
        try:
            self._decoder.close()
        except Exception:
            _log.debug("closing a watch's decoder failed", exc_info=True)


def _is_end(error: Exception) -> bool:
    # What does not uncompress has come whole.
    if isinstance(error, _BROKEN_STREAM) and not isinstance(error, urllib3.exceptions.DecodeError):
        return True
    text = str(error).lower()
    return any(end in text for end in _PROBABLE_END)
