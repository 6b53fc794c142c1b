"""Decoding events from lines of JSON."""

from __future__ import annotations

import gzip
import io
import json
import sys
import time
import tracemalloc
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from informer import Object
from tests.support.waiting import DEADLINE, PROMPT
from watch import Event, EventType
from watch.byte_source import NotReadyError
from watch.errors import RequestCancelledError
from watch.framing import LineTooLongError
from watch.json_decoder import JSONDecoder


class Pieces:
    """A response whose body arrives in given pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.closed = 0

    def read1(self, size: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        self.closed += 1


def events_of(decoder: JSONDecoder[Any]) -> tuple[list[Any], Exception]:
    """All events as tuples, and the exception that ended them."""
    events: list[Any] = []
    while True:
        try:
            events += [tuple(event) for event in decoder.decode_batch()]
        except Exception as error:
            return events, error


def decoded(body: bytes, **options: Any) -> tuple[list[Any], Exception]:
    return events_of(JSONDecoder(Pieces(body), **options))


def line(type: str, object: Any) -> bytes:
    return json.dumps({"type": type, "object": object}, separators=(",", ":")).encode() + b"\n"


POD = {"kind": "Pod", "metadata": {"name": "web", "resourceVersion": "5"}}


@pytest.mark.parametrize("kind", list(EventType))
def test_every_type_of_event(kind: EventType) -> None:
    """client-go source. Each of the five types is decoded to its EventType, with its object."""
    events, error = decoded(line(kind, POD))
    assert events == [(kind, POD)]
    assert type(events[0][0]) is EventType
    assert isinstance(error, EOFError)


def test_decode_gives_one_at_a_time() -> None:
    """`decode` returns the events of a read one at a time; `decode_batch` returns the rest of them in order."""
    decoder = JSONDecoder(Pieces(b"".join(line("ADDED", {"n": number}) for number in range(4)), line("DELETED", {})))
    assert decoder.decode() == Event("ADDED", {"n": 0})
    assert decoder.decode() == Event("ADDED", {"n": 1})
    assert decoder.decode_batch() == [Event("ADDED", {"n": 2}), Event("ADDED", {"n": 3})]
    assert decoder.decode() == Event("DELETED", {})
    with pytest.raises(EOFError):
        decoder.decode()


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"ADDED","object":{"a":1}}\n',
        '{"type":"ADDED","object":{"a":1}}\r\n',
        '  {"type":"ADDED","object":{"a":1}}  \n',
        '\t{"type":"ADDED","object":{"a":1} }\n',
        '{"type":"ADDED","object": {"a":1}}\n',
        '{"type" : "ADDED" , "object" : { "a" : 1 } }\n',
        '{"object":{"a":1},"type":"ADDED"}\n',
        '{"type":"ADDED","object":{"a":1},"other":{"type":"DELETED"}}\n',
        '{"other":[{}],"type":"ADDED","object":{"a":1}}\n',
        '{"type":"ADDED","object":{"b":2},"object":{"a":1}}\n',
        '{"type":"ADDED","object":{"a":2,"a":1}}\n',
        '{"type":"DELETED","object":{"a":1},"type":"ADDED"}\n',
        '{"type":"DELETED","type":"ADDED","object":{"a":1}}\n',
        '{"\\u0074ype":"\\u0041DDED","object":{"\\u0061":1}}\n',
        '\n \r\n\t\n{"type":"ADDED","object":{"a":1}}\n\n',
    ],
)
def test_any_form_of_an_event(text: str) -> None:
    """Key order, spaces, further keys, escapes and blank lines do not matter. The last of two equal keys counts."""
    events, error = decoded(text.encode())
    assert events == [("ADDED", {"a": 1})]
    assert isinstance(error, EOFError)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(b'{"type":"OTHER","object":{}}', "got invalid watch event type: 'OTHER'", id="unknown-type"),
        pytest.param(b'{"type":"added","object":{}}', "got invalid watch event type: 'added'", id="lower-case"),
        pytest.param(b'{"type":"","object":{}}', "got invalid watch event type: ''", id="empty-type"),
        pytest.param(b'{"type":null,"object":{}}', "Expected `str`", id="null-type"),
        pytest.param(b'{"type":1,"object":{}}', "Expected `str`", id="number-type"),
        pytest.param(b'{"object":{}}', "missing required field `type`", id="no-type"),
        pytest.param(b'{"type":"ADDED"}', "must be a JSON object, not a NoneType", id="no-object"),
        pytest.param(b'{"type":"ADDED","object":null}', "must be a JSON object, not a NoneType", id="null-object"),
        pytest.param(b'{"type":"MODIFIED","object":[]}', "must be a JSON object, not a list", id="list-object"),
        pytest.param(b'{"type":"DELETED","object":"x"}', "must be a JSON object, not a str", id="text-object"),
        pytest.param(b'{"type":"BOOKMARK","object":5}', "must be a JSON object, not a int", id="number-bookmark"),
        pytest.param(b"null", "Expected `object`", id="null"),
        pytest.param(b"[]", "Expected `object`", id="list"),
        pytest.param(b"garbage", "malformed", id="garbage"),
        pytest.param(b'{"type":"ADDED","object":{"a":1}', "truncated", id="not-closed"),
        pytest.param(b'{"type":"ADDED","object":{"a":}}', "malformed", id="no-value"),
        pytest.param(b'{"type":"ADDED","object":}', "malformed", id="nothing"),
        pytest.param(b'{"type":"ADDED","object":{"a":1}}}', "malformed", id="closed-twice"),
        pytest.param(line("ADDED", {})[:-1] * 2, "trailing", id="two-in-a-line"),
        pytest.param(b'{"type":"ADDED","object":{}} x', "trailing", id="text-behind"),
        pytest.param(b'\xef\xbb\xbf{"type":"ADDED","object":{}}', "malformed", id="bom"),
        pytest.param(b'{"type":"ADDED","object":{"a":NaN}}', "malformed", id="nan"),
        pytest.param(b'{"type":"ADDED","object":{"a":Infinity}}', "malformed", id="infinity"),
        pytest.param(b'{"type":"ADDED","object":{"a":1e400}}', "out of range", id="too-large"),
        pytest.param(b'{"type":"ADDED","object":{"a":01}}', "invalid number", id="leading-zero"),
        pytest.param(b'{"type":"ADDED","object":{"a":"\xff"}}', "can't decode byte 0xff", id="invalid-utf-8"),
        pytest.param(b'{"type":"ADDED","object":{"a":"\xc3"}}', "decode byte 0xc3", id="half-a-character"),
        pytest.param(b'{"type":"ADDED","object":{"a":"\n"}}', "truncated", id="newline-in-text"),
        pytest.param(b"\0" * 20, "malformed", id="zeros"),
        pytest.param(
            b'{"type":"ADDED","object":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply", id="lists"
        ),
        pytest.param(
            b'{"type":"ADDED","object":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
            "nested too deeply",
            id="deep-objects",
        ),
        pytest.param(
            b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"type":"ADDED"}', "nested too deeply", id="deep-elsewhere"
        ),
    ],
)
def test_a_malformed_event_is_an_error(text: bytes, words: str) -> None:
    """The events before a bad line come first, then an error that describes it, then the end."""
    good = line("ADDED", {"n": 1})
    decoder: JSONDecoder[Any] = JSONDecoder(Pieces(good + text + b"\n" + good, good))
    events, error = events_of(decoder)
    assert events == [("ADDED", {"n": 1})]
    assert isinstance(error, (ValueError, RecursionError))
    assert words in str(error)
    with pytest.raises(EOFError):
        decoder.decode_batch()


@pytest.mark.parametrize("key", ["a", "kind"])
def test_an_object_with_more_levels_than_python_decodes(key: str) -> None:
    """An API server accepts 10,000 levels; a decoder accepts about a thousand before Python 3.12."""
    deep = b"[" * 9000 + b"]" * 9000
    events, error = decoded(b'{"type":"ADDED","object":{"%s":%s}}\n' % (key.encode(), deep))
    if not (events and sys.version_info >= (3, 12)):
        assert str(error) == "an event's object is nested too deeply to decode"


def test_a_call_stack_without_room_for_the_decoder() -> None:
    """The more calls the caller is within, the sooner decoding fails."""

    def decode_within(calls: int, decoder: JSONDecoder[Any]) -> Any:
        return decode_within(calls - 1, decoder) if calls else decoder.decode_batch()

    said = set()
    for calls in range(sys.getrecursionlimit()):
        decoder: JSONDecoder[Any] = JSONDecoder(Pieces('{"type":"ADDED","object":{"a":"é"}, "b":1}\n'.encode()))
        try:
            decode_within(calls, decoder)
        except (ValueError, RecursionError) as error:
            said.add(str(error))
    too_deep = "an event is nested too deeply to decode"
    # From Python 3.12, the calls of C functions have a limit of their own.
    assert too_deep in said or (sys.version_info >= (3, 12) and said == {"maximum recursion depth exceeded"})


@pytest.mark.parametrize(
    "value",
    [2**63, -(2**64), 10**30, 1.5, 1e300, 0.1, True, None, "\u0000\ud83d\ude00é", "\u2028", ""],
    ids=repr,
)
def test_values_at_the_edges(value: Any) -> None:
    """Numbers beyond 64 bits and unusual text are decoded unchanged."""
    if isinstance(value, str):
        value = value.encode("utf-16", "surrogatepass").decode("utf-16")
    for text in (line("ADDED", {"a": value}), json.dumps({"type": "ADDED", "object": {"a": value}}).encode() + b"\n"):
        events, _ = decoded(text)
        assert events == [("ADDED", {"a": value})]
        assert type(events[0][1]["a"]) is type(value)


@pytest.mark.parametrize(
    "status",
    [
        {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"},
        {"code": "410"},
        {},
        None,
        [],
        "text",
        7,
    ],
    ids=repr,
)
def test_an_error_event_may_hold_anything(status: Any) -> None:
    """The object of an ERROR event is decoded as plain JSON, whatever decode_object is."""

    def decode_object(raw: bytes) -> Any:
        raise AssertionError("decode_object must not be called for an ERROR event")

    events, error = decoded(line("ERROR", status), decode_object=decode_object)
    assert events == [("ERROR", status)]
    assert isinstance(error, EOFError)


class Pod(msgspec.Struct):
    spec: dict[str, Any]


def test_a_bookmark_need_not_fit_the_type() -> None:
    """A bookmark has only metadata: where decode_object refuses it, it becomes a dict."""
    bookmark = {"kind": "Pod", "metadata": {"resourceVersion": "7"}}
    decode = msgspec.json.Decoder(Pod).decode
    pod = {"spec": {"nodeName": "n"}}
    events, _ = decoded(line("BOOKMARK", bookmark) + line("ADDED", pod), decode_object=decode)
    assert events == [("BOOKMARK", bookmark), ("ADDED", Pod({"nodeName": "n"}))]
    events, _ = decoded(line("BOOKMARK", bookmark), decode_object=Object.from_bytes)
    assert events[0][1].resource_version == "7"
    events, _ = decoded(line("BOOKMARK", bookmark), decode_bookmark=lambda raw: raw)
    assert json.loads(events[0][1]) == bookmark


def test_an_exception_of_decode_object_comes_after_the_good_events() -> None:
    """An exception of decode_object is raised after the events before it, and ends the stream."""

    def decode_object(raw: bytes) -> Any:
        return {b'{"a":1}': 1}[raw]

    events, error = decoded(line("ADDED", {"a": 1}) + line("ADDED", {"a": 2}), decode_object=decode_object)
    assert events == [("ADDED", 1)]
    assert isinstance(error, KeyError)


def test_an_unfinished_line_is_dropped() -> None:
    """A stream that ends within a line gives no event for it, even if the line is valid."""
    events, error = decoded(line("ADDED", {"n": 1}) + line("ADDED", {"n": 2})[:-1])
    assert events == [("ADDED", {"n": 1})]
    assert isinstance(error, EOFError)


def test_a_stream_that_failed_gives_nothing_more() -> None:
    """After an error of the connection no more is read: the next bytes could be of any line."""

    class Breaks(Pieces):
        def read1(self, size: int) -> bytes:
            if not self._pieces:
                self._pieces.append(line("ADDED", {"n": 2}))
                raise ConnectionResetError("reset")
            return super().read1(size)

    decoder: JSONDecoder[Any] = JSONDecoder(Breaks(line("ADDED", {"n": 1})))
    events, error = events_of(decoder)
    assert events == [("ADDED", {"n": 1})]
    assert isinstance(error, ConnectionResetError)
    with pytest.raises(EOFError):
        decoder.decode()


def test_a_line_that_is_too_long_says_so() -> None:
    """A line over the limit raises an error that names max_line_bytes; one of exactly the limit is an event."""
    event = line("ADDED", {"a": "x" * 500})
    assert decoded(event, max_line_bytes=len(event) - 1)[0] == [("ADDED", {"a": "x" * 500})]
    events, error = decoded(line("ADDED", {}) + event, max_line_bytes=len(event) - 2)
    assert events == [("ADDED", {})]
    assert isinstance(error, LineTooLongError)
    assert "max_line_bytes" in str(error)


def test_an_event_of_3_mb() -> None:
    """A large event is decoded from pieces of any size."""
    event = line("ADDED", {"a": "é" * 1_500_000})
    pieces = [event[i : i + 70_001] for i in range(0, len(event), 70_001)]
    events, _ = events_of(JSONDecoder(Pieces(*pieces)))
    assert events == [("ADDED", {"a": "é" * 1_500_000})]


def test_closing_closes_the_response_once() -> None:
    """`close` closes the response once, however often it is called."""
    response = Pieces(line("ADDED", {}))
    decoder: JSONDecoder[Any] = JSONDecoder(response)
    decoder.close()
    decoder.close()
    assert response.closed == 1
    with pytest.raises(EOFError):
        decoder.decode()


def test_a_response_of_any_reader() -> None:
    """A file of recorded events can be the response."""
    events, _ = events_of(JSONDecoder(io.BytesIO(line("ADDED", POD) + line("DELETED", POD))))
    assert [kind for kind, _ in events] == ["ADDED", "DELETED"]


keys = st.text(max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(keys, values, max_size=4)
forms = st.sampled_from(
    [
        lambda kind, obj: {"type": kind, "object": obj},
        lambda kind, obj: {"object": obj, "type": kind},
        lambda kind, obj: {"other": [obj], "type": kind, "object": obj, "type2": "DELETED"},
    ]
)
styles = st.fixed_dictionaries(
    {"ensure_ascii": st.booleans(), "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : ")])}
)
lines = st.builds(
    lambda kind, obj, form, style, end: ((kind, obj), json.dumps(form(kind, obj), **style).encode() + end),
    st.sampled_from([kind.value for kind in EventType]),
    objects,
    forms,
    styles,
    st.sampled_from([b"\n", b"\r\n", b" \n", b"\n\n"]),
)


@given(st.lists(lines, max_size=6), st.lists(st.integers(0, 2000), max_size=10))
def test_events_are_the_same_however_they_come(sent: list[tuple[Any, bytes]], cuts: list[int]) -> None:
    """Any objects in any form of JSON, cut anywhere, give the events that were sent."""
    body = b"".join(text for _, text in sent)
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    pieces = [body[start:end] for start, end in zip(places, places[1:], strict=False) if end > start]  # noqa: RUF007
    events, error = events_of(JSONDecoder(Pieces(*pieces)))
    assert events == [event for event, _ in sent]
    assert isinstance(error, EOFError)


@given(st.lists(lines, min_size=1, max_size=4), st.floats(0, 1, exclude_max=True), st.integers(0, 255))
def test_a_wrong_byte_gives_events_or_a_clear_error(sent: list[tuple[Any, bytes]], where: float, byte: int) -> None:
    """With one byte replaced, all other lines are correct up to an error of a known type."""
    body = bytearray(b"".join(text for _, text in sent))
    place = int(where * len(body))
    body[place] = byte
    hit = body[:place].count(b"\n")
    whole = [event for event, text in sent]
    events, error = decoded(bytes(body))
    assert isinstance(error, (EOFError, ValueError, RecursionError))
    before = len([text for text in b"".join(text for _, text in sent).split(b"\n")[:hit] if text.strip()])
    assert events[:before] == whole[:before]


# Over real connections


def test_events_over_a_connection(stream_server: Any) -> None:
    """A burst comes in batches, a lone event at once, and the end of the body ends the stream."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    decoder: JSONDecoder[Any] = JSONDecoder(response)
    assert decoder.takes_timeout
    peer.chunk(*[line("ADDED", {"n": number}) for number in range(100)])
    got: list[Any] = []
    while len(got) < 100:
        got += decoder.decode_batch(DEADLINE)
    assert [event.object["n"] for event in got] == list(range(100))
    peer.chunk(line("MODIFIED", {"n": 1}))
    assert decoder.decode_batch(DEADLINE) == [Event("MODIFIED", {"n": 1})]
    peer.finish()
    with pytest.raises(EOFError):
        decoder.decode_batch(DEADLINE)
    decoder.close()
    response, _ = server.answer(pool)
    response.close()
    assert server.connections == 1


def test_a_timeout_counts_whole_events(stream_server: Any) -> None:
    """A part of an event does not extend the time-out. It shows as `progress` and is not lost."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    decoder: JSONDecoder[Any] = JSONDecoder(response)
    with pytest.raises(NotReadyError) as caught:
        decoder.decode_batch(0)
    assert not caught.value.progress
    event = line("ADDED", {"a": "é"})
    peer.chunk(event[:-5])
    begun = time.monotonic()
    with pytest.raises(NotReadyError) as caught:
        decoder.decode_batch(0.1)
    assert 0.09 < time.monotonic() - begun < PROMPT
    assert caught.value.progress
    peer.chunk(event[-5:])
    assert decoder.decode_batch(DEADLINE) == [Event("ADDED", {"a": "é"})]
    decoder.close()


def test_blank_lines_do_not_keep_a_wait_alive(make_server: Any, run: Any) -> None:
    """Blank lines do not extend the time-out."""
    server, pool = make_server()
    response, peer = server.answer(pool)
    decoder: JSONDecoder[Any] = JSONDecoder(response)
    ended = run(lambda: blank_lines(peer))
    begun = time.monotonic()
    with pytest.raises(NotReadyError):
        decoder.decode_batch(0.1)
    assert time.monotonic() - begun < PROMPT
    decoder.close()
    ended.result()


def blank_lines(peer: Any) -> None:
    try:
        while True:
            peer.chunk(b"\n" * 1000)
    except OSError:
        return


GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_gzip_with_a_member_a_flush(stream_server: Any) -> None:
    """Source: apiserver WatchListCompression. Each flush is a gzip member; its events are decoded at once."""
    server, pool = stream_server
    response, peer = server.answer(pool, GZIP)
    decoder: JSONDecoder[Any] = JSONDecoder(response)
    for number in range(3):
        peer.chunk(gzip.compress(line("ADDED", {"n": number})))
        assert decoder.decode_batch(DEADLINE) == [Event("ADDED", {"n": number})]
    member = gzip.compress(line("ADDED", {"n": 3}))
    peer.chunk(member[:20])
    with pytest.raises(NotReadyError):
        decoder.decode_batch(0.05)
    peer.chunk(member[20:])
    assert decoder.decode_batch(DEADLINE) == [Event("ADDED", {"n": 3})]
    peer.chunk(b"no gzip")
    with pytest.raises(Exception, match="incorrect header check"):
        decoder.decode_batch(DEADLINE)
    decoder.close()


@pytest.mark.parametrize(
    ("decode", "most"),
    [pytest.param(lambda raw: raw, 1200, id="bytes"), pytest.param(Object.from_bytes, 1700, id="object")],
)
def test_a_kept_object_does_not_keep_the_read(make_server: Any, run: Any, decode: Any, most: int) -> None:
    """An object does not keep the read that it came with in memory."""
    server, pool = make_server()
    response, peer = server.answer(pool)
    decoder: JSONDecoder[Any] = JSONDecoder(response, decode_object=decode)
    sent = [line("ADDED", {"metadata": {"name": f"pod-{n}"}, "spec": {"x": "y" * 960}}) for n in range(300)]
    # In one write, so that reads are large.
    run(peer.chunk, *sent).result()
    tracemalloc.start()
    try:
        kept: list[Any] = []
        count = 0
        while count < len(sent):
            batch = decoder.decode_batch(DEADLINE)
            count += len(batch)
            kept.append(batch[0].object)
            del batch
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(kept) < 30
    assert held < len(kept) * most + 16384
    decoder.close()


def test_closing_ends_the_decoding_of_a_deep_event() -> None:
    """Several megabytes of brackets would keep the thread for seconds."""
    deep = b'{"a":' + b"[" * 1_200 + b"[[[[1]]]]," * 1_000_000 + b"1" + b"]" * 1_200 + b"}"

    def decode(raw: bytes) -> Object:
        decoder.close()
        return Object.from_bytes(raw)

    decoder = JSONDecoder(Pieces(b'{"type":"ADDED","object":' + deep + b"}\n"), decode_object=decode)
    before = time.process_time()
    # From Python 3.12, the decoder takes all 10,000 levels, and is quick.
    with pytest.raises(RequestCancelledError) if sys.version_info < (3, 12) else nullcontext():
        decoder.decode()
    assert time.process_time() - before < 0.5
