"""The compressed watch as clients written in Go read it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator

from tests.support.objects import config_map

MAPS = "/api/v1/namespaces/default/configmaps"
WATCH = f"{MAPS}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
_WINDOW = 32768


def read_like_go(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yields what Go's gzip reader passes on, as soon as it does.

    Go decodes into a window. It passes the window on when it is full, at a flush (an empty stored block), and at a member's
    end. There it first reads the checksum and the next member's header, and so waits for the next member.

    Source: compress/flate inflate.go and compress/gzip gunzip.go of Go.
    """
    header = read(10)
    while header:
        inflate, held, seen = zlib.decompressobj(-15), b"", b""
        while not inflate.eof:
            byte = read(1)
            seen = seen[-3:] + byte
            held += inflate.decompress(byte)
            if held and (seen == b"\x00\x00\xff\xff" or len(held) >= _WINDOW):
                yield held
                held = b""
        read(8)
        header = read(10)
        if held:
            yield held


def read_exactly(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Returns a function that reads a number of bytes, fewer only at the end."""

    def exactly(size: int) -> bytes:
        data = b""
        while len(data) < size and (more := read(size - len(data))):
            data += more
        return data

    return exactly


def lines_of(pieces: Iterator[bytes]) -> Iterator[dict]:
    buffered = b""
    for piece in pieces:
        *lines, buffered = (buffered + piece).split(b"\n")
        yield from map(json.loads, lines)


def test_go_gets_each_event_at_once(server, call):
    """The initial state, its bookmark and each event are passed on before anything else comes."""
    server.create(config_map("a"))
    stream = call.watch(WATCH, Accept_Encoding="gzip")
    assert stream.headers["content-encoding"] == "gzip"
    events = lines_of(read_like_go(read_exactly(stream.response.read)))
    assert next(events)["object"]["metadata"]["name"] == "a"
    assert next(events)["type"] == "BOOKMARK"
    for name in ("b", "c"):
        server.create(config_map(name))
        assert next(events)["object"]["metadata"]["name"] == name


def test_go_gets_events_that_are_larger_than_its_window(server, call):
    """An event of 100 kB is passed on completely."""
    stream = call.watch(WATCH, Accept_Encoding="gzip")
    events = lines_of(read_like_go(read_exactly(stream.response.read)))
    assert next(events)["type"] == "BOOKMARK"
    server.create({**config_map("a"), "data": {"a": "".join(f"{n:06}" for n in range(20_000))}})
    assert next(events)["object"]["metadata"]["name"] == "a"
