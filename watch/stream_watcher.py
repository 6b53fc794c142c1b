"""A watcher over a decoder of a stream, such as the body of a watch response."""

from __future__ import annotations

import http.client
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import urllib3.exceptions
from typing_extensions import TypeVar

from watch.byte_source import NotReadyError
from watch.channel import Channel
from watch.concurrency import Lock, RLock
from watch.errors import MAX_MESSAGE, ApiError, ChannelClosedError, WatchClosedError, WatchError
from watch.event import Event, EventType
from watch.json_decoder import Decoder
from watch.watcher import ChannelPump, WatcherBase, next_batch_of

__all__ = ["StreamWatcher", "WatchDecodeError", "report_error"]

T = TypeVar("T", default=Any)

_log = logging.getLogger(__name__)

# These end a stream quietly: the connection broke, or the server closed it.
_BROKEN_STREAM = (
    EOFError,
    ConnectionError,
    TimeoutError,
    OSError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
)
# So do errors of other types with these texts. Source: apimachinery util/net IsProbableEOF.
_PROBABLE_END = (
    "http: can't write http request on broken connection",
    "http2: server sent goaway and closed the connection",
    "connection reset by peer",
    "use of closed network connection",
)


class WatchDecodeError(WatchError):
    """A watch stream could not be decoded; the cause says why."""


def report_error(error: Exception) -> dict[str, Any]:
    """Returns the Status object of the ERROR event that ends a stream which could not be decoded.

    Source: client-go rest ClientErrorReporter.
    """
    # A decoder's exception may quote what the server sent.
    message = str(error)[:MAX_MESSAGE]
    cause = {"reason": "ClientWatchDecoding", "message": message}
    return ApiError(500, "InternalError", message, details={"causes": [cause]}).to_status()


class StreamWatcher(WatcherBase[T]):
    """A watcher over a decoder. It is a `BatchWatcher`.

        response = api_client.call_api(..., _preload_content=False)  # or any other response of urllib3
        with StreamWatcher(JSONDecoder(response)) as watcher:
            for event in watcher:
                ...

    Iteration and `next_batch` decode on the caller's thread. `result_chan` starts a thread that decodes into the channel;
    from then on iteration and `next_batch` read the channel. Where the decoder takes no time-out, a `next_batch` with one
    reads the channel too.

    A stream that the server closes, or whose connection breaks, just ends. A stream that cannot be decoded ends with one
    ERROR event.

    Args:
        decoder: decodes the events; it is closed once, when the watch ends.
        reporter: called with a `WatchDecodeError`, returns the object of that ERROR event, normally a `Status`.

    Threads: `stop` may be called from any thread; one thread at a time reads the events.

    Source: apimachinery watch.StreamWatcher.
    """

    def __init__(self, decoder: Decoder[T], reporter: Callable[[Exception], object] = report_error) -> None:
        self._decoder = decoder
        self._reporter = reporter
        self._takes_timeout = bool(getattr(decoder, "takes_timeout", False))
        self._decode = _batches_of(decoder, takes_timeout=self._takes_timeout)
        self._pump: ChannelPump[T] = ChannelPump(lambda: self._pull(None), "stream-watcher")
        # Held while the decoder is called. Reentrant, since a reporter may use the watcher. Taken before _lock.
        self._reading = RLock()
        self._unread: deque[Event[T]] = deque()  # events of a batch that iteration has not yielded; guarded by _reading
        self._lock = Lock()
        self._stopped = False
        self._decoder_closed = False  # guarded by _lock
        self._ended = False  # the decoder has ended or failed; written by the reading thread

    def next_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """Returns the next events, as `BatchWatcher.next_batch` does."""
        if not self._pump.started and (timeout is None or self._takes_timeout):
            return self._pull(timeout)
        # A decoder that takes no time-out has to wait on another thread.
        return next_batch_of(self.result_chan(), timeout)

    def result_chan(self) -> Channel[Event[T]]:
        """Returns the channel of the events. The first call starts the thread that reads the stream into it."""
        return self._pump.start()

    def stop(self) -> None:
        """Ends the watch, closes the decoder, and drops the events that were not read."""
        self._stopped = True
        self._pump.channel.close()
        self._close_decoder()

    def __iter__(self) -> Iterator[Event[T]]:
        while True:
            try:
                # One at a time: events that a reader leaves unread stay for the next one.
                event = self._pump.channel.get() if self._pump.started else self._pull_one()
            except (WatchClosedError, ChannelClosedError):
                return
            yield event

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

    def _end(self, error: Exception) -> list[Event[T]]:
        """Ends the watch: returns its ERROR event, or raises WatchClosedError where the stream just ended."""
        self._ended = True
        just_ended = self._stopped or _is_end(error)
        self._close_decoder()
        if just_ended:
            _log.debug("a watch ended: %s", type(error).__name__)
            raise WatchClosedError("the watch has ended") from error
        return [Event(EventType.ERROR, self._report(error))]

    def _report(self, error: Exception) -> Any:
        failure = WatchDecodeError(f"unable to decode an event from the watch stream: {error}")
        failure.__cause__ = error
        try:
            return self._reporter(failure)
        except Exception:
            _log.exception("the reporter of a StreamWatcher raised an exception: sending the default Status")
            return report_error(failure)

    def _close_decoder(self) -> None:
        with self._lock:
            if self._decoder_closed:
                return
            self._decoder_closed = True
        try:
            self._decoder.close()
        except Exception:
            _log.debug("closing the decoder of a watch failed", exc_info=True)


def _batches_of(decoder: Decoder[T], *, takes_timeout: bool) -> Callable[[float | None], list[Event[T]]]:
    """Returns a function that decodes the next events; it takes a time-out in seconds."""
    decode_batch: Callable[..., list[Event[T]]] | None = getattr(decoder, "decode_batch", None)
    if decode_batch is None:
        return lambda _: [decoder.decode()]
    return decode_batch if takes_timeout else lambda _: decode_batch()


def _is_end(error: Exception) -> bool:
    # Data that does not uncompress is not a broken connection, though urllib3's error is an HTTPError.
    if isinstance(error, _BROKEN_STREAM) and not isinstance(error, urllib3.exceptions.DecodeError):
        return True
    text = str(error).lower()
    return any(end in text for end in _PROBABLE_END)
