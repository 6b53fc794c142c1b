"""Random faults in bytes, random cuts of a stream, and a strict reading of JSON to compare with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

from tests.support.attackers import HOSTILE_JSON

_VALUE = re.compile(rb':("[^"\\]*"|\d+|null|true)')
# Pieces that break JSON, and pieces that are valid but unusual.
_TOKENS = (
    *(b"\xef\xbb\xbf", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\n", b"\r", b"\t", b" ", b"\\", b'"', b",", b":"),
    *(b"{", b"}", b"[", b"]", b"{}", b"[]", b"[{", b"}]", b"},{", b"null", b"true", b"NaN", b"-", b"0", b"1e999"),
    *(b"18446744073709551616", b"\\u0000", b"\\ud800", b"/*", b"//", b"'", b"\x01", b"\x7f", b"\x0c"),
    *(b'"metadata":null,', b'"metadata":{"name":"twice"},', b'"metadata":[],', b'"metadata":"x",', b'"name":7,'),
    *(b'"type":"DELETED",', b'"type":7,', b'"object":{},', b'"object":null,', b'"resourceVersion":"99",'),
    *(
        b'"items":[],',
        b'"items":null,',
        b'"kind":"Table",',
        b'"kind":"Status",',
        b'"\\u0069tems":[{}],',
        b'{"items":[{}]}',
    ),
)


def mutated(data: bytes, random: Random) -> bytes:
    """Returns a copy of `data` with one to three random faults: a flipped bit, or bytes replaced, lost, doubled or added."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        at, to = sorted(random.randrange(len(data) + 1) for _ in range(2))
        to = min(to, at + random.choice((1, 1, 2, 8, 1000)))
        way = random.randrange(7)
        if way == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        elif way == 1:
            data = data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        elif way == 2:
            data = data[:at] + data[to:]
        elif way == 3:
            data = data[:to] + data[at:]
        elif way == 4:
            # Between two tokens of JSON: the result is often unusual but still valid.
            places = [place for place, byte in enumerate(data, 1) if byte in b'{,[:"'] or [at]
            at = random.choice(places)
            data = data[:at] + random.choice(_TOKENS) + data[at:]
        elif way == 5:
            data = data[:at] + random.choice(_TOKENS) + data[to:]
        elif values := [*_VALUE.finditer(data)]:
            # What an attacker writes in place of a value.
            value = random.choice(values)
            data = data[: value.start(1)] + random.choice(HOSTILE_JSON) + data[value.end(1) :]
    return data


def random_pieces(body: bytes, random: Random) -> Iterator[bytes]:
    """Cuts bytes at random: into single bytes, small pieces or large pieces."""
    at = 0
    step = random.choice((1, 7, 100, 100_000))
    while at < len(body):
        to = at + random.randint(1, step)
        yield body[at:to]
        at = to


def strict_json(data: bytes, errors: str = "strict") -> Any:
    """Reads JSON as the standard library does, but refuses NaN and Infinity.

    Args:
        data: UTF-8.
        errors: how to treat bytes that are not UTF-8, as in `bytes.decode`.

    Raises:
        ValueError: `data` is not JSON.
    """

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(data.decode("utf-8", errors), parse_constant=refuse)
