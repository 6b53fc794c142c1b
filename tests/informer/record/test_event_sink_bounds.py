"""What a hostile server can make an event sink hold, wait for and do."""

from __future__ import annotations

import json
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import informer.record.event_sink
from informer.record import CoreV1EventSink, EventBroadcaster, EventsV1Sink
from informer.record.event import make_event
from tests.support.memory import MIB, check_refused_within_memory
from tests.support.waiting import DEADLINE, PROMPT, eventually
from watch import ApiError

REFERENCE = {"kind": "Pod", "apiVersion": "v1", "namespace": "shop", "name": "web"}
EVENT = make_event(REFERENCE, "Normal", "R", "m", nanoseconds=10**18, component="c", host="h")
LISTS = b'{"details":[' + b"[]," * (5 * MIB) + b"[]]}"
STATUS = b'{"kind":"Status","code":403,"reason":"Forbidden","message":"' + b"x" * (15 * MIB) + b'"}'
HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"

sinks = pytest.mark.parametrize("sink", [CoreV1EventSink, EventsV1Sink])
verbs = pytest.mark.parametrize("verb", ["create", "patch"])


def send_endlessly(connection: Any, first: bytes, pieces: Iterator[bytes], pause: float = 0.0) -> None:
    connection.keep = False
    connection.send(first)
    for piece in pieces:
        connection.send(piece)
        if pause:
            time.sleep(pause)  # the drip of a slow server


def endless(connection: Any) -> None:
    def chunks() -> Iterator[bytes]:
        while True:
            yield b"4000\r\n" + b"[" * 0x4000 + b"\r\n"

    send_endlessly(connection, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunks())


def bomb(connection: Any) -> None:
    compress = zlib.compressobj(9, wbits=31)
    piece = b'{"a":"' + b"x" * MIB

    def chunks() -> Iterator[bytes]:
        while True:
            raw = compress.compress(piece)
            if raw:
                yield b"%x\r\n%s\r\n" % (len(raw), raw)

    send_endlessly(connection, HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", chunks())


def empty_lists(connection: Any) -> None:
    connection.answer(LISTS, 201)


def large_status(connection: Any) -> None:
    connection.answer(STATUS, 403)


def long_reason(connection: Any) -> None:
    connection.keep = False
    connection.send(b"HTTP/1.1 403 " + b"x" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n")


def call(sink: Any, verb: str) -> None:
    if verb == "create":
        sink.create(EVENT)
    else:
        sink.patch(EVENT, {"reason": "S"})


@sinks
@verbs
@pytest.mark.parametrize("answer", [endless, bomb, empty_lists, large_status, long_reason])
def test_a_large_answer_is_an_error(
    serve: Callable[..., Any], sink: Any, verb: str, answer: Callable[[Any], None]
) -> None:
    """At most a few hundred kilobytes are kept in memory, and the error is short."""
    server = serve(lambda request, connection: answer(connection))
    made = sink(server.client())
    with pytest.raises((ApiError, ConnectionError)):
        call(sink(serve(long_reason_of).client()), verb)  # imports what is needed, before memory is measured
    check_refused_within_memory(lambda: call(made, verb))


def long_reason_of(request: Any, connection: Any) -> None:
    long_reason(connection)


@sinks
@verbs
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(serve: Callable[..., Any], sink: Any, verb: str, status: int) -> None:
    """The other host receives neither the event nor the token."""
    other = serve(lambda request, connection: connection.answer({}))
    server = serve(lambda request, connection: connection.answer({}, status, Location=other.url + "/api"))
    made = sink(server.client(api_key={"authorization": "Bearer t"}))
    with pytest.raises(ApiError, match="redirected") as caught:
        call(made, verb)
    assert caught.value.status == status
    assert other.connections == 0


def drip(first: bytes, piece: bytes) -> Callable[[Any], None]:
    def pieces() -> Iterator[bytes]:
        while True:
            yield piece

    return lambda connection: send_endlessly(connection, first, pieces(), 0.02)


SLOW = pytest.mark.parametrize(
    "answer",
    [
        pytest.param(drip(b"HTTP/1.1 201 ", b"x"), id="status-line"),
        pytest.param(drip(HEAD, b"X: y\r\n"), id="headers-without-end"),
        pytest.param(drip(HEAD + b"X: ", b"y"), id="header-without-end"),
        pytest.param(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="interim-answers"),
        pytest.param(drip(HEAD + b"Content-Length: 50000\r\n\r\n", b" "), id="body"),
        pytest.param(drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"), id="chunk-size"),
        pytest.param(lambda connection: connection.hang(), id="silence"),
    ],
)


@SLOW
@sinks
def test_a_slow_answer_is_given_up(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, sink: Any, answer: Callable[[Any], None]
) -> None:
    """The time limit holds for all of the headers and all of the body, however many bytes arrive in between."""
    monkeypatch.setattr(informer.record.event_sink, "_TIMEOUT", 0.4)
    server = serve(lambda request, connection: answer(connection))
    begun = time.monotonic()
    with pytest.raises(ConnectionError):
        sink(server.client()).create(EVENT)
    assert time.monotonic() - begun < PROMPT


@SLOW
def test_a_shutdown_ends_a_slow_request(serve: Callable[..., Any], answer: Callable[[Any], None]) -> None:
    """The shutdown takes 1 s and leaves no thread of the recording."""
    server = serve(lambda request, connection: answer(connection))
    broadcaster = EventBroadcaster()
    broadcaster.start_recording_to_sink(CoreV1EventSink(server.client()))
    before = set(threading.enumerate())
    broadcaster.new_recorder("c").event(REFERENCE, "Normal", "R", "m")
    assert eventually(lambda: len(server.requests) == 1)
    begun = time.monotonic()
    broadcaster.shutdown()
    assert time.monotonic() - begun < PROMPT

    def recording_ended() -> bool:
        names = {thread.name for thread in threading.enumerate() if thread not in before or "event-" in thread.name}
        return not any(name.startswith(("event-recording", "event-shutdown", "request-time-limit")) for name in names)

    assert eventually(recording_ended)


def test_the_watchers_stop_ends_a_slow_request(serve: Callable[..., Any]) -> None:
    """The recording's threads end a second later, although the server never answers."""
    server = serve(lambda request, connection: connection.hang())
    with EventBroadcaster() as broadcaster:
        watcher = broadcaster.start_recording_to_sink(EventsV1Sink(server.client()))
        broadcaster.new_recorder("c").event(REFERENCE, "Normal", "R", "m")
        assert eventually(lambda: len(server.requests) == 1)
        begun = time.monotonic()
        watcher.stop()
        assert time.monotonic() - begun < 0.9
        assert eventually(
            lambda: not any(t.name.startswith(("event-sender", "event-series")) for t in threading.enumerate())
        )
        assert time.monotonic() - begun < DEADLINE


@sinks
@pytest.mark.parametrize("answer", [large_status, long_reason, endless, empty_lists])
def test_refused_events_fill_no_log(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture, sink: Any, answer: Callable[[Any], None]
) -> None:
    """A hundred events, each refused with megabytes, leave some kilobytes in the log."""
    caplog.set_level(logging.DEBUG)
    server = serve(lambda request, connection: answer(connection))
    with EventBroadcaster(sleep=0) as broadcaster:
        broadcaster.start_recording_to_sink(sink(server.client()))
        recorder = broadcaster.new_recorder("c")
        for number in range(20):
            recorder.event({**REFERENCE, "name": f"web{number}"}, "Normal", f"R{number}", "m")
        assert eventually(lambda: len(server.requests) >= 5)
    logged = sum(len(record.getMessage()) for record in caplog.records if record.name.startswith(("informer", "watch")))
    assert logged < 32 * 1024


@pytest.mark.parametrize(
    "answer",
    [
        {"metadata": [], "count": 2},
        {"metadata": {"name": 7}, "count": 2},
        {"metadata": {"name": "x" * 60_000}, "count": 2},
        {"metadata": {"name": "web.1"}, "count": "2"},
        {"metadata": {"name": "web.1"}, "count": 2**31},
        {"metadata": {"name": "web.1"}, "count": -2},
        {"metadata": {"name": "web.1"}, "count": 2, "firstTimestamp": ["x"]},
        {"metadata": {"name": "web.1"}, "count": 2, "firstTimestamp": "2" * 60_000},
    ],
    ids=lambda answer: json.dumps(answer)[:60],
)
def test_a_malformed_answer_does_not_spoil_the_next_event(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture, answer: dict[str, Any]
) -> None:
    """What the correlator remembers is sent with the next event: only valid values are."""
    server = serve(lambda request, connection: connection.answer(answer, 201))
    with EventBroadcaster(sleep=0) as broadcaster:
        broadcaster.start_recording_to_sink(CoreV1EventSink(server.client()))
        recorder = broadcaster.new_recorder("c")
        recorder.event(REFERENCE, "Normal", "R", "m")
        recorder.event(REFERENCE, "Normal", "R", "m")
        assert eventually(lambda: len(server.requests) == 2)
    created, patched = server.requests
    name = json.loads(created.body)["metadata"]["name"]
    assert (patched.method, patched.path.rsplit("/", 1)[-1]) == ("PATCH", name)
    assert json.loads(patched.body)["count"] == 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
