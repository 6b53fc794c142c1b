"""Malformed watch streams: each line is decoded as JSON says, or is an error that ends the stream."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from informer import Object
from tests.support.fuzzing import mutated, random_pieces, strict_json
from watch import EventType
from watch.framing import DEFAULT_MAX_LINE_BYTES, LineTooLongError
from watch.json_decoder import JSONDecoder

TYPES = frozenset(kind.value for kind in EventType)


class Pieces:
    """A response whose body arrives in given pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read1(self, size: int) -> bytes:
        return next(self._pieces, b"")

    def close(self) -> None:
        pass


def read(pieces: Iterator[bytes], **options: Any) -> tuple[list[tuple[Any, Any]], Exception]:
    """All events, and the exception that ended them."""
    decoder: JSONDecoder[Any] = JSONDecoder(Pieces(pieces), **options)
    events: list[tuple[Any, Any]] = []
    while True:
        try:
            events += [tuple(event) for event in decoder.decode_batch()]
        except Exception as error:
            return events, error


def line(kind: str, obj: Any, **fields: Any) -> bytes:
    return (
        json.dumps({"type": kind, "object": obj, **fields}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    )


METADATA = {"name": "web", "namespace": "ns", "uid": "u", "resourceVersion": "5", "labels": {"a": "ü"}}
POD = {"kind": "Pod", "apiVersion": "v1", "metadata": METADATA, "spec": {"n": [1, 2.5, None, True, '{"type":"x"}']}}
LINES = (
    *(line(kind, POD) for kind in ("ADDED", "MODIFIED", "DELETED")),
    line("ADDED", {"metadata": {"name": "a"}}),
    line("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "7"}}),
    line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "details": {"causes": [{"reason": "x"}]}}),
    json.dumps({"object": POD, "other": [{"type": "DELETED"}], "type": "MODIFIED"}).encode() + b"\n",
)


class Expected:
    """What JSON says of a line: an event, no event, or (`bad`) an error."""

    def __init__(self, text: bytes) -> None:
        self.is_blank = not text.strip()
        self.is_bad = False
        self.event: tuple[Any, Any] = (None, None)
        if self.is_blank:
            return
        try:
            whole = strict_json(text)
            kind, obj = whole["type"], whole.get("object")
            self.is_bad = kind not in TYPES or not (isinstance(obj, dict) or kind == "ERROR")
            self.event = (kind, obj)
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            self.is_bad = True
        # The decoder may refuse these: only the standard library accepts half a surrogate pair and 1e999, and of two
        # types both have to be known ones.
        self.may_be_refused = b"\\ud" in text or b"1e999" in text or text.count(b'"type"') > 1


@pytest.mark.parametrize("decode_object", [None, Object.from_bytes], ids=["dict", "Object"])
@pytest.mark.parametrize("seed", range(6))
def test_lines_of_wrong_bytes_are_what_json_says_or_an_error(
    seed: int,
    decode_object: Any,
) -> None:
    """Malformed streams, in pieces of any size, give the events that JSON sees, up to an error."""
    random = Random(seed)
    options = {} if decode_object is None else {"decode_object": decode_object}
    refused = right = 0
    for _ in range(300):
        lines = [random.choice(LINES) for _ in range(random.randint(1, 3))]
        lines[random.randrange(len(lines))] = mutated(random.choice(lines), random)
        body = b"".join(lines)
        events, error = read(random_pieces(body, random), **options)
        # An incomplete line at the end is not an event.
        for text in body.split(b"\n")[:-1]:
            expected = Expected(text)
            if expected.is_blank:
                continue
            if not events:
                assert expected.is_bad or expected.may_be_refused, text
                assert isinstance(error, (ValueError, RecursionError)), (text, error)
                assert str(error)
                refused += 1
                break
            assert not expected.is_bad, text
            kind, obj = events.pop(0)
            assert kind == expected.event[0]
            assert type(kind) is EventType
            assert_same(obj, expected.event[1])
            right += 1
        else:
            assert isinstance(error, EOFError)
        assert not events
    assert right > 100
    assert refused > 50


def assert_same(obj: Any, expected: Any) -> None:
    if not isinstance(obj, Object):
        assert obj == expected
        return
    assert json.loads(obj.raw) == expected
    metadata = expected.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    own = (obj.name, obj.namespace, obj.uid, obj.resource_version)
    for name, value in zip(("name", "namespace", "uid", "resourceVersion"), own, strict=True):
        assert value == (fields.get(name) if isinstance(fields.get(name), str) else "")
    labels = fields.get("labels")
    texts = {key: value for key, value in labels.items() if isinstance(value, str)} if isinstance(labels, dict) else {}
    assert dict(obj.labels) == texts


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"type":"ADDED","x\xff":1,"object":{}}', id="in-a-key-of-the-envelope"),
        pytest.param(b'{"type":"ADDED","x":"\xff","object":{}}', id="in-a-value-of-the-envelope"),
        pytest.param(b'{"type":"ADDED","object":{"a":"\xff"}}', id="in-a-value"),
        pytest.param(b'{"type":"ADDED","object":{"a\xff":1}}', id="in-a-key"),
        pytest.param(b'{"type":"ADDED","object":{"metadata":{"name":"\xff"}}}', id="in-the-name"),
        pytest.param(b'{"type":"ADDED","object":{"metadata":{"labels":{"a":"\xc3"}}}}', id="in-a-label"),
        pytest.param(b'{"type":"ADDED","object":{"a":"\xed\xa0\x80"}}', id="half-a-pair"),
        pytest.param(b'{"type":"\xff","object":{}}', id="in-the-type"),
        pytest.param(b'{"type":"BOOKMARK","object":{"a":"\xff"}}', id="in-a-bookmark"),
        pytest.param(b'{"type":"ERROR","object":{"message":"\xff"}}', id="in-a-status"),
        pytest.param(b"\xff", id="alone"),
    ],
)
@pytest.mark.parametrize("decode_object", [None, Object.from_bytes], ids=["dict", "Object"])
def test_bytes_that_are_no_utf_8_are_an_error_wherever_they_stand(text: bytes, decode_object: Any) -> None:
    """They are never replaced: an object's name would differ from the server's."""
    options = {} if decode_object is None else {"decode_object": decode_object}
    events, error = read(iter([text + b"\n", line("ADDED", {})]), **options)
    assert events == []
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    "text",
    [
        b'\0{"type":"ADDED","object":{}}',
        b'{"type":"ADDED\0","object":{}}',
        b'{"type":"ADDED","object":{"metadata":{"name":"a\0"}}}',
        b'{"type":"ADDED","object":{}\0}',
        b'{"type":"ADDED","object":{}}\0',
        b'\xef\xbb\xbf{"type":"ADDED","object":{}}',
        b'{"type":"ADDED","object":\xef\xbb\xbf{}}',
    ],
    ids=repr,
)
def test_nul_and_bom_are_an_error_wherever_they_stand(text: bytes) -> None:
    """JSON allows neither between its tokens, nor a bare NUL in a text."""
    events, error = read(iter([text + b"\n"]), decode_object=Object.from_bytes)
    assert events == []
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        (b'{"metadata":{"name":"a"},"metadata":{"name":"b"}}', "b", ""),
        (b'{"metadata":{"name":"a","resourceVersion":"1"},"metadata":{}}', "", ""),
        (b'{"metadata":{"name":"a"},"metadata":null}', "", ""),
        (b'{"metadata":null,"metadata":{"name":"a"}}', "a", ""),
        (b'{"metadata":{"name":"a","name":"b"}}', "b", ""),
        (b'{"metadata":{"name":"a","name":7}}', "", ""),
        (b'{"metadata":{"name":7,"name":"b"}}', "b", ""),
        (b'{"metadata":{"name":"a","resourceVersion":"1","resourceVersion":"2"}}', "a", "2"),
        (b'{"metadata":{"name":"a","resourceVersion":"1","resourceVersion":2}}', "a", ""),
        (b'{"metadata":{"name":"a"},"\\u006detadata":{"name":"b"}}', "b", ""),
        (b'{"metadata":{"name":"a","\\u006eame":"b"}}', "b", ""),
    ],
    ids=repr,
)
def test_of_equal_keys_the_last_counts(text: bytes, name: str, version: str) -> None:
    """Of equal keys the last one counts, in the name and version as in the decoded object."""
    events, _ = read(iter([b'{"type":"ADDED","object":' + text + b"}\n"]), decode_object=Object.from_bytes)
    obj = events[0][1]
    assert (obj.name, obj.resource_version) == (name, version)
    shown = json.loads(text)["metadata"] or {}
    assert name == (shown.get("name") if isinstance(shown.get("name"), str) else "")


@pytest.mark.parametrize(
    "where",
    [
        b'{"spec":%s}',
        b'{"metadata":%s}',
        b'{"metadata":{"labels":%s}}',
        b'{"metadata":{"name":%s}}',
        b'{"metadata":{"resourceVersion":%s}}',
    ],
    ids=repr,
)
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
@pytest.mark.parametrize("kind", [b"ADDED", b"BOOKMARK", b"ERROR"])
def test_100000_levels_are_an_error(where: bytes, brackets: tuple[bytes, bytes], kind: bytes) -> None:
    """Deep nesting raises an error and ends the stream, without a crash."""
    deep = brackets[0] * 100_000 + b"1" + brackets[1] * 100_000
    events, error = read(iter([b'{"type":"%s","object":%s}\n' % (kind, where % deep)]), decode_object=Object.from_bytes)
    assert events == []
    assert isinstance(error, (ValueError, RecursionError))
    assert "deep" in str(error) or "recursion" in str(error)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((b'{"type":"ADDED","object":{"a":"', b"x" * 65536), id="an-event"),
        pytest.param((b"", b"x" * 65536), id="no-event"),
        pytest.param((b"", b" " * 65536), id="spaces"),
        pytest.param((b"", b"\0" * 65536), id="nul"),
        pytest.param((b'{"type":"ADDED","object":', b"[" * 65536), id="brackets"),
    ],
)
def test_100_mb_without_a_newline_are_not_held(pieces: tuple[bytes, bytes]) -> None:
    """The default limit ends the line at 16 MiB, in little more memory than that, and the error names the option."""
    head, filler = pieces

    def endless() -> Iterator[bytes]:
        yield line("ADDED", {}) + head
        for _ in range(1600):
            yield bytes(bytearray(filler))

    tracemalloc.start()
    try:
        events, error = read(endless())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert events == [("ADDED", {})]
    assert isinstance(error, LineTooLongError)
    assert "more than 16777216 bytes: raise max_line_bytes" in str(error)
    assert peak < DEFAULT_MAX_LINE_BYTES + 4 * 1024 * 1024
