"""A watcher over a decoder."""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from tests.support.waiting import DEADLINE, PROMPT
from watch import (
    BatchWatcher,
    Channel,
    ChannelClosedError,
    Event,
    EventType,
    JSONDecoder,
    StreamWatcher,
    WatchClosedError,
    Watcher,
)
from watch.concurrency import Latch, Lock
from watch.stream_watcher import WatchDecodeError

FOO = Event("ADDED", {"metadata": {"name": "foo"}})
BAR = Event("MODIFIED", {"metadata": {"name": "bar"}})


class Script:
    """A decoder that returns given events, and then waits to be closed."""

    def __init__(self, *steps: Any, raises_on_close: bool = False) -> None:
        self._steps: Channel[Any] = Channel(None)
        for step in steps:
            self._steps.put(step)
        self._raises_on_close = raises_on_close
        self._lock = Lock()
        self.closed = 0
        self.decoded = 0
        self.threads: set[str] = set()

    def add(self, step: Any) -> None:
        self._steps.put(step)

    def decode(self) -> Event[Any]:
        self.threads.add(threading.current_thread().name)
        try:
            step = self._steps.get()
        except ChannelClosedError:
            raise ConnectionResetError("closed") from None
        self.decoded += 1
        if isinstance(step, Exception):
            raise step
        return step  # type: ignore[no-any-return]

    def close(self) -> None:
        with self._lock:
            self.closed += 1
        self._steps.close()
        if self._raises_on_close:
            raise ValueError("close failed")


class BatchScript(Script):
    """The same, with batches."""

    def decode(self) -> Event[Any]:
        raise AssertionError("decode_batch is there")

    def decode_batch(self) -> list[Event[Any]]:
        step = Script.decode(self)
        return step if isinstance(step, list) else [step]


class Failing:
    """A decoder that always fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.closed = 0

    def decode(self) -> Event[Any]:
        raise self._error

    def close(self) -> None:
        self.closed += 1


def drain_chan(watcher: Watcher[Any]) -> list[Any]:
    return list(watcher.result_chan())


def drain_batches(watcher: Any) -> list[Any]:
    events: list[Any] = []
    while True:
        try:
            events += watcher.next_batch(DEADLINE)
        except WatchClosedError:
            return events


def drain_iteration(watcher: Watcher[Any]) -> list[Any]:
    return list(watcher)


WAYS = pytest.mark.parametrize(
    "drain", [drain_chan, drain_batches, drain_iteration], ids=["result_chan", "next_batch", "iteration"]
)


# Tests of client-go


def test_events_come_through_and_stop_closes() -> None:
    """Go: TestStreamWatcher. An event of the decoder is delivered; stop closes the decoder and ends the stream."""
    decoder = Script(FOO)
    watcher: StreamWatcher[Any] = StreamWatcher(decoder)
    assert watcher.result_chan().get(timeout=DEADLINE) == FOO
    watcher.stop()
    assert decoder.closed == 1
    with pytest.raises(ChannelClosedError):
        watcher.result_chan().get(timeout=DEADLINE)


@WAYS
def test_a_decode_error_becomes_an_event(drain: Callable[[Any], list[Any]]) -> None:
    """Go: TestStreamWatcherError.

    A failure becomes one ERROR event with the reporter's object; then the stream ends.
    """
    decoder = Failing(ValueError("test error"))
    reported: list[Exception] = []

    def reporter(error: Exception) -> object:
        reported.append(error)
        return {"made": "of the error"}

    watcher: StreamWatcher[Any] = StreamWatcher(decoder, reporter)
    assert drain(watcher) == [(EventType.ERROR, {"made": "of the error"})]
    assert len(reported) == 1
    watcher.stop()
    watcher.stop()
    assert decoder.closed == 1
    assert drain(watcher) == []


def test_a_blocked_error_is_given_up_on_stop() -> None:
    """Go: TestStreamWatcherRace. Without a reader, stop ends the stream, and it holds no event."""
    watcher: StreamWatcher[Any] = StreamWatcher(Failing(ValueError("test error")))
    channel = watcher.result_chan()
    deadline = time.monotonic() + DEADLINE
    while not channel._offers:
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)
    watcher.stop()
    assert len(channel) == 0
    assert watcher._pump.started
    assert watcher._pump.join(DEADLINE)
    with pytest.raises(ChannelClosedError):
        channel.get(timeout=0)


def test_the_reporter_is_told_what_failed() -> None:
    """client-go source. The reporter's error says what failed and why, with the failure as its cause."""
    cause = ValueError("the cause")
    watcher: StreamWatcher[Any] = StreamWatcher(Failing(cause), lambda error: error)
    error = watcher.next_batch()[0].object
    assert isinstance(error, WatchDecodeError)
    assert str(error) == "unable to decode an event from the watch stream: the cause"
    assert error.__cause__ is cause


ENDS = [
    EOFError(),
    ConnectionResetError(),
    BrokenPipeError(),
    TimeoutError(),
    TimeoutError(),
    ssl.SSLError(1, "of TLS"),
    OSError(9, "Bad file descriptor"),
    http.client.IncompleteRead(b""),
    http.client.RemoteDisconnected(),
    urllib3.exceptions.ProtocolError("Connection broken: InvalidChunkLength"),
    urllib3.exceptions.IncompleteRead(1, 2),
    urllib3.exceptions.ReadTimeoutError(None, "", "Read timed out."),  # type: ignore[arg-type]
    RuntimeError("http: can't write HTTP request on broken connection"),
    RuntimeError("rpc: http2: server sent GOAWAY and closed the connection; LastStreamID=1"),
    RuntimeError("read tcp: connection reset by peer"),
    RuntimeError("Use of Closed Network Connection"),
]


@pytest.mark.parametrize("error", ENDS, ids=lambda e: f"{type(e).__name__}-{str(e)[:20]}")
@WAYS
def test_the_end_of_a_stream_is_no_error(error: Exception, drain: Callable[[Any], list[Any]]) -> None:
    """client-go source. An ended, broken or timed-out connection ends the stream without an ERROR event."""
    decoder = Script(FOO, error)
    assert drain(StreamWatcher(decoder)) == [FOO]
    assert decoder.closed == 1


FAILURES = [
    ValueError("malformed"),
    json.JSONDecodeError("malformed", "", 0),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    RecursionError("too deep"),
    KeyError("of a user's function"),
    urllib3.exceptions.DecodeError("failed to decode gzip"),
    RuntimeError(),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda e: type(e).__name__)
@WAYS
def test_any_other_error_is_reported(error: Exception, drain: Callable[[Any], list[Any]]) -> None:
    """client-go source. Any other exception becomes an ERROR event with a Status of code 500."""
    events = drain(StreamWatcher(Script(FOO, error)))
    assert events[:-1] == [FOO]
    kind, status = events[-1]
    assert kind is EventType.ERROR
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 500, "InternalError")
    assert status["details"]["causes"][0]["reason"] == "ClientWatchDecoding"
    assert status["message"] == f"unable to decode an event from the watch stream: {error}"


@WAYS
def test_an_error_that_stopping_causes_is_not_reported(drain: Callable[[Any], list[Any]], run: Any) -> None:
    """client-go source. An exception that a decoder raises after a stop ends the stream quietly."""

    class Odd(Script):
        def decode(self) -> Event[Any]:
            try:
                return super().decode()
            except ConnectionResetError:
                raise ValueError("I/O operation on closed file") from None

    watcher: StreamWatcher[Any] = StreamWatcher(Odd())
    draining = run(drain, watcher)
    assert not draining.ends_within(0.02)
    watcher.stop()
    assert draining.result() == []


@pytest.mark.parametrize("end", [EOFError(), ValueError("x"), None], ids=["end", "error", "stop"])
def test_the_decoder_is_closed_once(end: Exception | None, run: Any) -> None:
    """client-go source. The decoder is closed once, however the stream ends and however often it is stopped."""
    decoder = Script(*([end] if end else []))
    watcher: StreamWatcher[Any] = StreamWatcher(decoder)
    draining = run(drain_chan, watcher)
    if end is not None:
        draining.result()
    for task in [run(watcher.stop) for _ in range(5)]:
        task.result()
    draining.result()
    assert decoder.closed == 1


def test_nothing_is_decoded_ahead() -> None:
    """client-go source. The channel is a hand-off: the next event is decoded when the one before was taken."""
    decoder = Script(FOO, BAR, BAR)
    watcher: StreamWatcher[Any] = StreamWatcher(decoder)
    channel = watcher.result_chan()
    deadline = time.monotonic() + DEADLINE
    while not channel._offers:
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)
    assert decoder.decoded == 1
    assert len(channel) == 0
    assert channel.get(timeout=DEADLINE) == FOO
    watcher.stop()


# Batches and the channel


@pytest.mark.parametrize("decoder", [Script, BatchScript])
def test_it_is_a_batch_watcher(decoder: Any) -> None:
    """A StreamWatcher is a BatchWatcher with any decoder."""
    watcher: StreamWatcher[Any] = StreamWatcher(decoder())
    assert isinstance(watcher, Watcher)
    assert isinstance(watcher, BatchWatcher)
    watcher.stop()


def test_a_batch_is_what_the_decoder_gives() -> None:
    """A decoder's batch is returned as it is, on the caller's thread; no thread is started."""
    decoder = BatchScript([FOO, BAR], [BAR], EOFError())
    watcher: StreamWatcher[Any] = StreamWatcher(decoder)
    assert watcher.next_batch() == [FOO, BAR]
    assert watcher.next_batch() == [BAR]
    assert decoder.threads == {threading.current_thread().name}
    assert not watcher._pump.started
    for _ in range(2):
        with pytest.raises(WatchClosedError):
            watcher.next_batch()


def test_without_batches_events_come_singly() -> None:
    """A decoder without decode_batch gives batches of one, on the caller's thread."""
    decoder = Script(FOO, BAR)
    watcher: StreamWatcher[Any] = StreamWatcher(decoder)
    assert watcher.next_batch() == [FOO]
    assert watcher.next_batch() == [BAR]
    assert decoder.threads == {threading.current_thread().name}
    watcher.stop()


def test_an_empty_batch_is_passed_over() -> None:
    """After an empty batch the decoder is called again."""
    watcher: StreamWatcher[Any] = StreamWatcher(BatchScript([], [], [FOO], [], EOFError()))
    assert watcher.next_batch() == [FOO]
    with pytest.raises(WatchClosedError):
        watcher.next_batch()


def test_a_timeout_holds_with_a_decoder_that_takes_none() -> None:
    """A decoder without time-outs waits on another thread, and no event is lost."""
    decoder = Script()
    watcher: StreamWatcher[Any] = StreamWatcher(decoder)
    begun = time.monotonic()
    for timeout in (0, 0.02):
        with pytest.raises(TimeoutError):
            watcher.next_batch(timeout)
    assert time.monotonic() - begun < PROMPT
    decoder.add(FOO)
    assert watcher.next_batch(DEADLINE) == [FOO]
    decoder.add(BAR)
    assert watcher.next_batch() == [BAR]
    decoder.add(EOFError())
    with pytest.raises(WatchClosedError):
        watcher.next_batch(DEADLINE)


def test_the_channel_after_batches() -> None:
    """A reader may change from batches to the channel: no event is lost or repeated."""
    watcher: StreamWatcher[Any] = StreamWatcher(BatchScript([FOO, BAR], [BAR, FOO], [FOO], EOFError()))
    assert watcher.next_batch() == [FOO, BAR]
    channel = watcher.result_chan()
    assert channel is watcher.result_chan()
    assert list(channel) == [BAR, FOO, FOO]


def test_batches_after_the_channel() -> None:
    """A reader may change from the channel to batches, which then come through the channel."""
    watcher: StreamWatcher[Any] = StreamWatcher(BatchScript([FOO, BAR], [BAR], EOFError()))
    assert watcher.result_chan().get(timeout=DEADLINE) == FOO
    assert drain_batches(watcher) == [BAR, BAR]


def test_the_channel_while_a_batch_is_awaited(run: Any) -> None:
    """Asking for the channel while another thread reads does not call the decoder on two threads."""
    decoder = Script()
    watcher: StreamWatcher[Any] = StreamWatcher(decoder)
    pulling = run(watcher.next_batch)
    while not decoder.threads:
        assert not pulling.ends_within(0.001)
    channel = watcher.result_chan()
    decoder.add(FOO)
    decoder.add(BAR)
    assert pulling.result() == [FOO]
    assert channel.get(timeout=DEADLINE) == BAR
    watcher.stop()


# Stopping


def stop_at_once(watcher: StreamWatcher[Any], decoder: Script) -> None:
    watcher.stop()


def stop_with_channel(watcher: StreamWatcher[Any], decoder: Script) -> None:
    watcher.result_chan()
    watcher.stop()


def stop_with_blocked_pump(watcher: StreamWatcher[Any], decoder: Script) -> None:
    decoder.add(FOO)
    channel = watcher.result_chan()
    while not channel._offers:
        threading.Event().wait(0.001)
    watcher.stop()


def stop_after_batch(watcher: StreamWatcher[Any], decoder: Script) -> None:
    decoder.add(FOO)
    assert watcher.next_batch() == [FOO]
    watcher.stop()


def stop_after_end(watcher: StreamWatcher[Any], decoder: Script) -> None:
    decoder.add(EOFError())
    assert drain_batches(watcher) == []
    watcher.stop()


def stop_by_leaving(watcher: StreamWatcher[Any], decoder: Script) -> None:
    with watcher as entered:
        assert entered is watcher


@pytest.mark.parametrize(
    "stop",
    [stop_at_once, stop_with_channel, stop_with_blocked_pump, stop_after_batch, stop_after_end, stop_by_leaving],
)
def test_stop_in_every_state(stop: Callable[[Any, Any], None]) -> None:
    """After a stop, in any state, no way of reading gives an event, and the decoder is closed."""
    decoder = Script()
    watcher: StreamWatcher[Any] = StreamWatcher(decoder)
    stop(watcher, decoder)
    watcher.stop()
    assert decoder.closed == 1
    assert watcher.result_chan().closed
    for timeout in (None, 0, 1):
        with pytest.raises(WatchClosedError):
            watcher.next_batch(timeout)
    assert list(watcher) == []
    assert list(watcher.result_chan()) == []


@WAYS
def test_stop_ends_a_blocked_reader(drain: Callable[[Any], list[Any]], run: Any) -> None:
    """A stop ends another thread's wait for events at once."""
    watcher: StreamWatcher[Any] = StreamWatcher(Script(FOO))
    draining = run(drain, watcher)
    assert not draining.ends_within(0.02)
    begun = time.monotonic()
    watcher.stop()
    assert draining.result() == [FOO]
    assert time.monotonic() - begun < PROMPT


def test_stop_while_iterating() -> None:
    """A loop may stop the watcher, and ends without yielding the rest of the batch."""
    watcher: StreamWatcher[Any] = StreamWatcher(Script(FOO, BAR, BAR))
    seen = []
    for event in watcher:
        seen.append(event)
        watcher.stop()
    assert seen == [FOO]


# Decoders and reporters that raise


@WAYS
def test_a_reporter_that_raises(drain: Callable[[Any], list[Any]], caplog: pytest.LogCaptureFixture) -> None:
    """An exception of the reporter is logged, and the default Status is sent."""

    def reporter(error: Exception) -> object:
        raise KeyError("of the reporter")

    events = drain(StreamWatcher(Failing(ValueError("test error")), reporter))
    assert [(event.type, event.object["code"]) for event in events] == [("ERROR", 500)]
    assert "test error" in events[0].object["message"]
    assert "of the reporter" in caplog.text


def test_a_reporter_may_use_the_watcher() -> None:
    """A reporter may stop the watcher or read it, without a deadlock; it finds the watch ended."""
    found: list[type[Exception]] = []

    def reporter(error: Exception) -> object:
        watcher.stop()
        try:
            watcher.next_batch()
        except WatchClosedError as closed:
            found.append(type(closed))
        return "reported"

    watcher: StreamWatcher[Any] = StreamWatcher(Failing(ValueError("test error")), reporter)
    assert watcher.next_batch() == [Event("ERROR", "reported")]
    assert found == [WatchClosedError]


@pytest.mark.parametrize("end", [EOFError(), ValueError("x"), None], ids=["end", "error", "stop"])
def test_a_decoder_whose_close_raises(end: Exception | None, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of the decoder's `close` is logged and has no other effect."""
    decoder = Script(FOO, *([end] if end else []), raises_on_close=True)
    watcher: StreamWatcher[Any] = StreamWatcher(decoder)
    with caplog.at_level(logging.DEBUG):
        assert watcher.next_batch() == [FOO]
        if end is None:
            watcher.stop()
        events = drain_batches(watcher)
    assert len(events) == isinstance(end, ValueError)
    assert decoder.closed == 1
    assert "close failed" in caplog.text


def test_a_pump_that_fails_closes_its_channel(caplog: pytest.LogCaptureFixture) -> None:
    """Even where the decoder raises SystemExit, the channel is closed for its readers."""

    class GivesUp(Script):
        def decode(self) -> Event[Any]:
            raise SystemExit

    watcher: StreamWatcher[Any] = StreamWatcher(GivesUp())
    assert list(watcher.result_chan()) == []
    assert watcher._pump.started
    assert watcher._pump.join(DEADLINE)
    assert "stream-watcher ended with an error" in caplog.text
    watcher.stop()


# Over real connections


def line(kind: str, number: int) -> bytes:
    return b'{"type":"%s","object":{"n":%d}}\n' % (kind.encode(), number)


@WAYS
def test_a_stream_over_a_connection(stream_server: Any, drain: Callable[[Any], list[Any]], run: Any) -> None:
    """A server's events are delivered. The end of the body ends the watch and gives the connection back."""
    server, pool = stream_server
    for _ in range(2):
        response, peer = server.answer(pool)
        watcher: StreamWatcher[Any] = StreamWatcher(JSONDecoder(response))
        draining = run(drain, watcher)
        for number in range(5):
            peer.chunk(line("ADDED", number))
        peer.finish()
        assert draining.result() == [("ADDED", {"n": number}) for number in range(5)]
    assert server.connections == 1


@WAYS
@pytest.mark.parametrize("begun", [b"", b"5\r\nhel", b'{"type'], ids=["idle", "within-a-chunk", "within-a-line"])
def test_stopping_a_stream_over_a_connection(
    stream_server: Any, drain: Callable[[Any], list[Any]], begun: bytes, run: Any
) -> None:
    """Stopping ends a blocked read within half a second, closes the connection and leaves no thread."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    watcher: StreamWatcher[Any] = StreamWatcher(JSONDecoder(response))
    read = Latch()

    def drained() -> list[Any]:
        events = watcher.next_batch(DEADLINE)
        read.open()
        return events + drain(watcher)

    draining = run(drained)
    peer.chunk(line("ADDED", 1))
    assert read.wait(DEADLINE)
    if begun.startswith(b"{"):
        peer.chunk(begun)
    else:
        peer.send(begun)
    assert not draining.ends_within(0.02)
    stopped = time.monotonic()
    watcher.stop()
    assert draining.result() == [("ADDED", {"n": 1})]
    assert time.monotonic() - stopped < PROMPT
    assert peer.client_has_gone()
    assert watcher._pump.join(DEADLINE)


@pytest.mark.parametrize("how", ["hang_up", "reset"])
@pytest.mark.parametrize(
    "cut", [b"", b"20\r\n" + line("ADDED", 2)[:20], line("ADDED", 2)[:-1]], ids=["between", "mid-chunk", "mid-line"]
)
@WAYS
def test_a_cut_connection_ends_a_stream_quietly(
    stream_server: Any, drain: Callable[[Any], list[Any]], how: str, cut: bytes, run: Any
) -> None:
    """A connection that breaks gives the complete events, and no ERROR event."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    watcher: StreamWatcher[Any] = StreamWatcher(JSONDecoder(response))
    draining = run(lambda: [*watcher.next_batch(), *drain(watcher)])
    peer.chunk(line("ADDED", 1))
    while not watcher._decoder._source._reading:  # type: ignore[attr-defined]
        assert not draining.ends_within(0.001)
    if cut.startswith(b"{"):
        peer.chunk(cut)
    elif cut:
        peer.send(cut)
    if how == "reset":
        # A reset discards bytes that were not read.
        assert not draining.ends_within(0.05)
    getattr(peer, how)()
    assert draining.result() == [("ADDED", {"n": 1})]


def test_garbage_on_a_connection_is_reported(stream_server: Any) -> None:
    """A line that is not an event becomes an ERROR event after the good ones, and the connection is closed."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    watcher: StreamWatcher[Any] = StreamWatcher(JSONDecoder(response))
    peer.chunk(line("ADDED", 1) + b"garbage\n" + line("ADDED", 2))
    events = drain_batches(watcher)
    assert [event.type for event in events] == ["ADDED", "ERROR"]
    assert "malformed" in events[1].object["message"]
    assert peer.client_has_gone()


def test_a_timeout_over_a_connection_needs_no_thread(stream_server: Any) -> None:
    """Over a socket the caller's thread keeps the time-out, and can read on after it."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    watcher: StreamWatcher[Any] = StreamWatcher(JSONDecoder(response))
    for timeout in (0, 0.02):
        with pytest.raises(TimeoutError):
            watcher.next_batch(timeout)
    assert not watcher._pump.started
    peer.chunk(line("ADDED", 1))
    assert watcher.next_batch(DEADLINE) == [("ADDED", {"n": 1})]
    watcher.stop()


def test_a_timeout_is_kept_where_urllib3_reads(make_server: Any) -> None:
    """Time-outs hold even where the socket cannot be read directly."""
    server, pool = make_server()
    response, peer = server.answer(pool, b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n")
    watcher: StreamWatcher[Any] = StreamWatcher(JSONDecoder(response))
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        watcher.next_batch(0.02)
    assert time.monotonic() - begun < PROMPT
    watcher.stop()
    assert peer.client_has_gone()
