"""Bodies of lists and watches in protobuf with random faults: an error and a recovery, never a wrong cache, little memory."""

from __future__ import annotations

import contextlib
import logging
import tracemalloc
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from informer import Backoff, ListWatch, SharedInformer
from informer.listwatch.protobuf_list import ProtobufListParser
from informer.objects.protobuf_object import ProtobufObject
from informer.protobuf.edit import varint_bytes
from informer.protobuf.kinds import kind_named
from informer.testing.storage.protobuf_encoding import (
    encode_envelope,
    encode_list,
    encode_message,
    encode_status,
    encode_watch_event,
)
from tests.support.fuzzing import mutated, random_pieces
from tests.support.waiting import DEADLINE
from watch.concurrency import Monitor
from watch.framing import Frames, LineTooLongError
from watch.protobuf_wire import BYTES, VARINT, fields_in

POD = kind_named("v1", "Pod")
NAMES = ("a", "b", "c", "d")
FINAL = 1_000_000
PROTOBUF = b"Content-Type: application/vnd.kubernetes.protobuf\r\n"
STREAM_TYPE = b"Content-Type: application/vnd.kubernetes.protobuf;stream=watch\r\n"
STREAM = b"HTTP/1.1 200 OK\r\n" + STREAM_TYPE + b"Transfer-Encoding: chunked\r\n\r\n"
BOUND = 1 << 16


def pod(name: str, version: int) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"u-{name}",
            "resourceVersion": str(version),
            "labels": {"a": "ü" * 70, "b": "c"},
        },
        "spec": {"containers": [{"name": "main", "image": "x" * 130, "resources": {}}], "nodeName": f"n-{version}"},
        "status": {"phase": "Running"},
    }


def message(name: str, version: int) -> bytes:
    return encode_message(pod(name, version), POD.message)


def pod_list(version: int, names: Any) -> bytes:
    metadata = {"resourceVersion": str(version)}
    return encode_envelope("v1", "PodList", encode_list(metadata, [message(name, version) for name in names]))


def event(event_type: str, name: str, version: int) -> bytes:
    return encode_watch_event(event_type, encode_envelope("v1", "Pod", message(name, version)))


GONE = encode_watch_event(
    "ERROR", encode_envelope("v1", "Status", encode_status({"code": 410, "reason": "Expired", "message": "old"}))
)
BOOKMARK = encode_watch_event(
    "BOOKMARK", encode_envelope("v1", "Pod", encode_message({"metadata": {"resourceVersion": "77"}}, POD.message))
)


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + PROTOBUF + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, random: Random) -> bytes:
    pieces = [piece for piece in random_pieces(body, random) if piece]
    return STREAM + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# Faults that know the format


def messages_in(raw: bytes, at: int, end: int, depth: int = 0) -> list[tuple[int, int, int]]:
    """Where fields stand in a message, and in those of its values that are messages, too: tag, value, end."""
    found = []
    begin = at
    with contextlib.suppress(ValueError):
        for field in fields_in(raw, at, end):
            found.append((begin, field.start, field.end))
            if field.wire_type == BYTES and field.end - field.start > 2 and depth < 6:
                found += messages_in(raw, field.start, field.end, depth + 1)
            begin = field.end
    return found


def with_a_fault(body: bytes, start: int, random: Random) -> bytes:
    """Returns a copy of a body in which one field is doubled, moved, left out, lengthened, nested or turned into another."""
    fields = messages_in(body, start, len(body))
    if not fields:
        return body
    begin, value, end = random.choice(fields)
    field = body[begin:end]
    way = random.randrange(8)
    if way == 0:
        return body[:end] + field + body[end:]
    if way == 1:
        other, _, other_end = random.choice(fields)
        if other <= begin:
            return body[:other] + field + body[other:begin] + body[end:]
        return body[:begin] + body[end:other_end] + field + body[other_end:]
    if way == 2:
        return body[:begin] + body[end:]
    if way == 3:
        length = random.choice((0, 1, 127, 128, 2**21, 2**31 - 1, 2**31, 2**32, 2**63, 2**64 - 1))
        return body[: begin + 1] + varint_bytes(length) + body[value:]
    if way == 4:
        return body[:begin] + b"\x0a" * random.choice((1, 50, 2000)) + body[begin:]
    if way == 5:
        return body[:begin] + bytes([body[begin] ^ random.choice((1, 2, 3, 5, 7, 8, 0x80))]) + body[begin + 1 :]
    if way == 6:
        return body[:begin] + random.choice((b"\xff" * 11, b"\x00", b"\x80" * 9 + b"\x01", b"\x0b\x0c")) + body[begin:]
    deep = b""
    for _ in range(random.choice((3, 300))):
        deep = b"\x12" + varint_bytes(len(deep)) + deep
    return body[:end] + deep + body[end:]


def damaged(body: bytes, start: int, random: Random) -> bytes:
    for _ in range(random.choice((1, 1, 2, 3))):
        body = with_a_fault(body, start, random) if random.random() < 0.6 else mutated(body, random)
    return body[: random.randrange(len(body) + 1)] if random.random() < 0.1 else body


def damaged_stream(frames: list[bytes], random: Random) -> bytes:
    """A stream in which a frame has a fault; its length is mostly corrected, so that the fault is found in the message."""
    body = []
    for frame in frames:
        if random.random() < 0.5:
            inner = damaged(frame[4:], 0, random)
            frame = (len(inner).to_bytes(4, "big") if random.random() < 0.8 else frame[:4]) + inner
        body.append(frame)
    return b"".join(body)


class Server:
    """Answers wrongly for a while, then with one valid list, and a watch that stays open."""

    def __init__(self, serve: Any, random: Random, wrong: int, minor: str) -> None:
        self.requests = 0
        self._minor = minor
        self._random = random
        self._wrong = wrong
        self._version = 10
        self._monitor = Monitor()
        self.http = serve(self._handle)

    def _handle(self, request: Any, connection: Any) -> None:
        if request.path == "/version":
            connection.answer({"major": "1", "minor": self._minor})
            return
        watch = "watch" in request.query
        with self._monitor:
            self.requests += 1
            wrong = self.requests <= self._wrong
            wire = self._wrong_answer(watch=watch) if wrong else b""
        if wrong:
            connection.send(wire)
            connection.cut()
        elif "sendInitialEvents" in request.query:
            # As a server without streaming lists answers. After a 410, an informer asks for one again.
            connection.answer({"kind": "Status", "code": 422, "reason": "Invalid", "message": "forbidden"}, 422)
        elif "protobuf" not in request.headers["accept"]:
            # An unknown field has led to JSON.
            self._in_json(request, connection, watch=watch)
        elif not watch:
            connection.send(answer(pod_list(FINAL, ("a", "b"))))
        elif request.query.get("resourceVersion") == str(FINAL):
            connection.send(STREAM)
            connection.hang()
        else:
            connection.send(chunked(GONE, self._random))

    def _in_json(self, request: Any, connection: Any, *, watch: bool) -> None:
        if not watch:
            items = [pod(name, FINAL) for name in ("a", "b")]
            connection.answer(
                {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(FINAL)}, "items": items}
            )
        else:
            connection.begin()
            if request.query.get("resourceVersion") == str(FINAL):
                connection.hang()
            else:
                connection.chunk({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}})
                connection.end()

    def _wrong_answer(self, *, watch: bool) -> bytes:
        random = self._random
        self._version += 10
        if not watch:
            body = pod_list(self._version, random.sample(NAMES, random.randint(0, 4)))
            return answer(damaged(body, 4, random) if random.random() < 0.7 else body)
        kinds = ("ADDED", "MODIFIED", "DELETED")
        frames = [
            event(random.choice(kinds), random.choice(NAMES), self._version + number)
            for number in range(random.randint(1, 5))
        ]
        frames.append(random.choice((GONE, BOOKMARK, b"")))
        return chunked(damaged_stream(frames, random), random)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.CRITICAL):
        yield


@pytest.mark.parametrize("queue", ["in_order", "delta"])
@pytest.mark.parametrize("seed", range(4))
def test_an_informer_recovers_from_damaged_protobuf(seed: int, queue: str, serve: Any) -> None:
    """A hundred answers with faults precede a valid list: the cache is then right, and readers of objects never crash."""
    # Only the objects of a newer server are searched for unknown fields, and lead to JSON.
    server = Server(serve, Random(seed), 100, "99" if seed == 3 else "37")
    list_watch = ListWatch.for_resource(server.http.client(), "pods", wire="protobuf")
    failures: list[BaseException] = []

    def read(old: Any, new: Any) -> None:
        for obj in (old, new):
            try:
                obj.at("spec.nodeName")
                dict(obj.labels)
                obj.to_dict()
            except ValueError:
                pass
            except BaseException as error:
                failures.append(error)

    options: dict[str, Any] = {"watch_list": seed % 2 == 0, "backoff": Backoff(initial=0.001, maximum=0.002)}
    informer: SharedInformer[Any] = SharedInformer(list_watch, queue=queue, name="pods", random=Random(1), **options)
    informer.add_event_handler(on_update=read)
    expected = {f"ns/{name}": pod(name, FINAL) for name in ("a", "b")}
    with informer:
        assert informer.wait_until(lambda: cached(informer) == expected, DEADLINE), cached(informer)
        assert not informer.is_stopped()
        # It has not asked without a pause.
        assert server.requests < 1000
    assert failures == []


def cached(informer: Any) -> dict[str, Any]:
    found = {}
    for obj in informer.store.list():
        try:
            found[f"{obj.namespace}/{obj.name}"] = obj.to_dict()
        except ValueError:
            found[f"{obj.namespace}/{obj.name}"] = None
    return found


LIST = pod_list(5, NAMES)


@given(st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_a_damaged_list_is_items_or_an_error_in_whatever_pieces(random: Any) -> None:
    """The pieces do not matter: the same items, and the same kind of end."""
    body = damaged(LIST, 4, random)

    def parse(pieces: Any) -> tuple[list[bytes], bool]:
        parser = ProtobufListParser(lambda api_version, kind, raw: raw, BOUND)
        items: list[bytes] = []
        try:
            for piece in pieces:
                items.extend(parser.feed(piece))
                assert len(parser._held) <= BOUND + 8192
            items.extend(parser.last_items())
        except ValueError:
            return items, False
        return items, True

    whole, complete = parse([body])
    assert parse(random_pieces(body, random)) == (whole, complete)
    for raw in whole:
        with contextlib.suppress(ValueError):
            obj = ProtobufObject.of(raw, POD)
            obj.at("metadata.labels.a")
            obj.without("metadata.labels")
            obj.to_dict()


@given(st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_damaged_frames_are_the_same_in_whatever_pieces(random: Any) -> None:
    """The frames up to the first fault in a length, and then the same error."""
    body = damaged_stream([event("ADDED", name, 5) for name in NAMES], random)

    def cut(pieces: Any) -> tuple[list[bytes], bool]:
        frames: list[bytes] = []
        made = Frames(BOUND)
        try:
            for piece in pieces:
                frames.extend(made.feed([piece]))
                assert len(made._held) <= BOUND + 4
        except LineTooLongError:
            return frames, False
        return frames, True

    assert cut(random_pieces(body, random)) == cut([body])


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(LIST[:4] + b"\x0a" + varint_bytes(2**40), id="an-endless-type"),
        pytest.param(LIST[:4] + b"\x12" + varint_bytes(2**60) + b"\x12" + varint_bytes(2**50), id="an-endless-item"),
        pytest.param(LIST[:4] + b"\x12" + varint_bytes(2**60) + b"\x0a" + varint_bytes(2**50), id="endless-metadata"),
        pytest.param(LIST, id="an-endless-tail"),
    ],
)
def test_a_list_with_huge_lengths_is_refused_early(beginning: bytes) -> None:
    """Nothing is reserved for a length, and no more is held than one item may have."""
    parser = ProtobufListParser(lambda api_version, kind, raw: None, BOUND)
    filler = bytes(16_384)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            for _ in parser.feed(beginning):
                pass
            for _ in range(100):
                for _ in parser.feed(filler):
                    pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_a_field_with_a_huge_number_or_of_another_wire_type_is_no_crash() -> None:
    """An object with such fields has a name, and its dict is refused."""
    raw = message("a", 5) + varint_bytes((2**40) << 3 | VARINT) + b"\x01"
    obj = ProtobufObject.of(raw, POD)
    assert obj.name == "a"
    with pytest.raises(ValueError):
        obj.to_dict()
