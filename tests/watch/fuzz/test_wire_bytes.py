"""Malformed bytes on the wire of a watch: framing, compression and lines together, over a real connection's file."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import tracemalloc
import zlib
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import urllib3

from informer import Object
from tests.support.fuzzing import mutated
from tests.support.waiting import DEADLINE
from watch import EventType
from watch.framing import BrokenBodyError, ChunkedBody
from watch.json_decoder import JSONDecoder
from watch.stream_watcher import StreamWatcher

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"


class Wire:
    """A response whose server has sent some bytes and closed the connection."""

    def __init__(self, wire: bytes) -> None:
        self._near, self._far = socket.socketpair()
        self._far.sendall(wire)
        self._far.shutdown(socket.SHUT_WR)
        inner = http.client.HTTPResponse(self._near)
        inner.begin()
        # As with a real connection, the response alone refers to the socket from now on.
        self.response = urllib3.HTTPResponse(body=inner, headers=inner.msg.items(), preload_content=False)

    def events(self) -> list[Any]:
        """All events of a watcher."""
        watcher: StreamWatcher[Any] = StreamWatcher(JSONDecoder(self.response, decode_object=Object.from_bytes))
        try:
            return [tuple(event) for event in watcher]
        finally:
            watcher.stop()
            self._far.close()
            self._near.close()


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


def line(number: int) -> bytes:
    pod = {"metadata": {"name": f"p{number}", "resourceVersion": str(number)}, "spec": {"text": "ü" * (number % 7)}}
    return json.dumps({"type": "ADDED", "object": pod}, separators=(",", ":")).encode() + b"\n"


def sent(count: int, random: Random, *, gzipped: bool) -> bytes:
    """Events on the wire, a chunk each or cut by chance; compressed, each flush is a member or a part of the one."""
    lines = [line(number) for number in range(1, count + 1)]
    if gzipped and random.random() < 0.5:
        lines = [gzip.compress(each, mtime=0) for each in lines]
    elif gzipped:
        compressor = zlib.compressobj(wbits=31)
        lines = [compressor.compress(each) + compressor.flush(zlib.Z_SYNC_FLUSH) for each in lines]
    if random.random() < 0.5:
        lines = list(random_pieces(b"".join(lines), random))
    return b"".join(map(chunk, lines)) + b"0\r\n\r\n"


def random_pieces(body: bytes, random: Random) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        to = at + random.randint(1, 120)
        yield body[at:to]
        at = to


@pytest.mark.parametrize("gzipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_on_the_wire_gives_no_wrong_event(seed: int, gzipped: bool) -> None:
    """A bit flipped in framing, gzip, envelope or object gives correct events, perhaps one ERROR, and the end.

    A flipped bit in an object's text cannot be detected, so objects are compared up to one bit.
    """
    random = Random(seed)
    errors = 0
    for _ in range(120):
        wire = bytearray(sent(5, random, gzipped=gzipped))
        bit = random.randrange(8 * len(wire))
        wire[bit // 8] ^= 1 << bit % 8
        if random.random() < 0.3:
            del wire[random.randrange(len(wire)) :]
        events = Wire((GZIP if gzipped else CHUNKED) + bytes(wire)).events()
        if events and events[-1][0] is EventType.ERROR:
            assert events.pop()[1]["reason"] == "InternalError"
            errors += 1
        assert len(events) <= 5
        wrong = 0
        for (kind, obj), number in zip(events, range(1, 6), strict=False):
            raw = json.loads(line(number))["object"]
            if (kind, json.loads(obj.raw)) != ("ADDED", raw):
                # The checksum of gzip comes after all of its text.
                assert bits_between(line(number), obj.raw) <= 1 or gzipped
                wrong += 1
        assert wrong <= 1 or gzipped
    assert errors > 10


def bits_between(right: bytes, raw: bytes) -> int:
    """The number of bits in which an object differs from the one that was sent."""
    own = right[len(b'{"type":"ADDED","object":') : -2]
    if len(own) != len(raw):
        return 1000
    return sum((one ^ other).bit_count() for one, other in zip(own, raw, strict=True))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("gzipped", [False, True], ids=["plain", "gzip"])
def test_any_wrong_bytes_on_the_wire_end_a_watch(seed: int, gzipped: bool) -> None:
    """After lost, repeated and foreign bytes the watch ends, with at most one ERROR, which comes last and says why."""
    random = Random(seed)
    for _ in range(150):
        wire = mutated(sent(4, random, gzipped=gzipped), random)
        events = Wire((GZIP if gzipped else CHUNKED) + wire).events()
        for kind, obj in events[:-1]:
            assert kind in ("ADDED", "DELETED")
            assert isinstance(obj, Object)
        if events and events[-1][0] is EventType.ERROR:
            assert "unable to decode an event from the watch stream" in events[-1][1]["message"]


@pytest.mark.parametrize("cut", range(0, 40, 3))
@pytest.mark.parametrize("members", [True, False], ids=["a-member-a-flush", "one-member"])
def test_truncated_gzip_gives_the_complete_lines(cut: int, members: bool) -> None:
    """A truncated gzip stream gives its complete lines, and no ERROR."""
    lines = [line(number) for number in range(1, 4)]
    if members:
        parts = [gzip.compress(each) for each in lines]
    else:
        compressor = zlib.compressobj(wbits=31)
        parts = [compressor.compress(each) + compressor.flush(zlib.Z_SYNC_FLUSH) for each in lines]
    body = b"".join(parts[:2]) + parts[2][:cut]
    events = Wire(GZIP + chunk(body)).events()
    assert [obj.name for _, obj in events][:2] == ["p1", "p2"]
    assert [kind for kind, _ in events] == ["ADDED"] * len(events)


@pytest.mark.parametrize(
    ("wire", "names", "is_error"),
    [
        pytest.param(b"ffffffffffffffff\r\n" + line(1), ["p1"], False, id="2^64-1-bytes-to-come"),
        pytest.param(b"1ffffffffffffffff\r\n" + line(1), [], False, id="beyond-64-bits"),
        pytest.param(chunk(line(1)) + b"-5\r\nhello\r\n", [], False, id="negative"),
        pytest.param(chunk(line(1)) + b"+5\r\nhello\r\n", [], False, id="signed"),
        pytest.param(chunk(line(1)) + b"0x5\r\nhello\r\n", [], False, id="prefixed"),
        pytest.param(b"%x;a=b;c\r\n%s\r\n0\r\n\r\n" % (len(line(1)), line(1)), ["p1"], False, id="extensions"),
        pytest.param(chunk(line(1)) + b"0\r\nExpires: never\r\n\r\n", ["p1"], False, id="trailer"),
        pytest.param(b"%x\r\n%s\r\n0\r\n\r\n" % (len(line(1)) - 1, line(1)), [], False, id="a-size-too-small"),
        pytest.param(b"%x\r\n%s\r\n0\r\n\r\n" % (len(line(1)) + 1, line(1)), [], False, id="a-size-too-large"),
        pytest.param(b"\r\n" * 3000, [], False, id="line-ends"),
        pytest.param(b"\0" * 9000, [], False, id="zeros"),
        pytest.param(chunk(b"<html>\n<body>502</body>\n</html>\n"), [], True, id="html"),
    ],
)
def test_odd_chunks(wire: bytes, names: list[str], is_error: bool) -> None:
    """A malformed size is a broken connection, which ends quietly; a malformed event is an ERROR.

    All bytes arrive in one read, and no event of a read with broken framing is delivered.
    """
    events = Wire(CHUNKED + wire).events()
    assert [obj.name for kind, obj in events if kind != "ERROR"] == names
    assert [kind for kind, _ in events].count("ERROR") == is_error


@pytest.mark.parametrize(
    ("length", "names"),
    [
        pytest.param(b"Content-Length: 3", [], id="too-small"),
        pytest.param(b"Content-Length: 99999", ["p1", "p2"], id="too-large"),
        pytest.param(b"Content-Length: -1", ["p1", "p2"], id="negative"),
        pytest.param(b"Content-Length: abc", ["p1", "p2"], id="no-number"),
        pytest.param(b"Content-Length: 99999999999999999999999999", ["p1", "p2"], id="beyond-64-bits"),
        pytest.param(b"Content-Length: %d" % len(line(1)), ["p1"], id="of-one-line"),
    ],
)
def test_odd_lengths(length: bytes, names: list[str]) -> None:
    """The complete lines within the length are events, and the watch ends quietly."""
    events = Wire(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n" + line(1) + line(2)).events()
    assert [(kind, obj.name) for kind, obj in events] == [("ADDED", name) for name in names]


def test_few_compressed_bytes_are_a_batch_after_another(make_server: Any) -> None:
    """A million events in 50 kB come in batches of 1 MB, and are not all held at once."""
    server, pool = make_server()
    response, peer = server.answer(pool, GZIP)
    decoder: JSONDecoder[Any] = JSONDecoder(response, decode_object=len)
    event = b'{"type":"ADDED","object":{}}\n'
    peer.chunk(zlib_members(event * 500_000))
    peer.finish()
    count, largest = 0, 0
    tracemalloc.start()
    try:
        while count < 500_000:
            batch = decoder.decode_batch(DEADLINE)
            count, largest = count + len(batch), max(largest, len(batch))
            del batch
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    with pytest.raises(EOFError):
        decoder.decode_batch(DEADLINE)
    assert count == 500_000
    assert largest <= (2 << 20) // len(event)
    assert peak < 40 << 20
    decoder.close()


def zlib_members(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=9)


def test_events_before_broken_gzip_come_before_the_error(make_server: Any) -> None:
    """The events before the error come first, over several batches."""
    server, pool = make_server()
    response, peer = server.answer(pool, GZIP)
    watcher: StreamWatcher[Any] = StreamWatcher(JSONDecoder(response, decode_object=len))
    event = b'{"type":"ADDED","object":{}}\n'
    peer.chunk(gzip.compress(event * 100_000) + b"tail")
    events = list(watcher)
    assert len(events) == 100_001
    assert events[-1].type == "ERROR"


def test_an_error_about_framing_does_not_quote_bytes() -> None:
    """An error about a chunk's size does not quote the bytes, which may be secret."""
    secret = b"c2VjcmV0"
    body = b'{"a":"' + b"\r\n".join([secret] * 6) + b'"}\n'
    for size in range(1, len(body)):
        with pytest.raises(BrokenBodyError) as caught:
            ChunkedBody().feed(b"%x\r\n%s\r\n" % (size, body))
        assert secret.decode()[:4] not in str(caught.value)
