"""Decoding events from frames of protobuf."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer.testing.storage.protobuf_encoding import encode_envelope, encode_status, encode_watch_event
from watch import Event, EventType
from watch.framing import Frames, LineTooLongError
from watch.protobuf_decoder import ProtobufDecoder
from watch.stream_watcher import StreamWatcher


class Pieces:
    """A response whose body arrives in given pieces."""

    headers: dict[str, str] = {}

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def read1(self, size: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        pass


def event(event_type: str, message: bytes, kind: str = "Pod") -> bytes:
    return encode_watch_event(event_type, encode_envelope("v1", kind, message))


def decoder(*pieces: bytes, **options: Any) -> ProtobufDecoder[Any]:
    return ProtobufDecoder(
        Pieces(*pieces),
        decode_object=lambda api_version, kind, message: (api_version, kind, message),
        decode_bookmark=lambda api_version, kind, message: ("bookmark", message),
        **options,
    )


def events_of(made: ProtobufDecoder[Any]) -> tuple[list[Any], Exception]:
    events: list[Any] = []
    while True:
        try:
            events += [tuple(each) for each in made.decode_batch()]
        except Exception as error:
            return events, error


BODY = (
    event("ADDED", b"one")
    + event("MODIFIED", b"2" * 300)
    + event("DELETED", b"")
    + event("BOOKMARK", b"four")
    + event("ERROR", encode_status({"message": "gone", "code": 410, "reason": "Expired"}), "Status")
)
EVENTS = [
    (EventType.ADDED, ("v1", "Pod", b"one")),
    (EventType.MODIFIED, ("v1", "Pod", b"2" * 300)),
    (EventType.DELETED, ("v1", "Pod", b"")),
    (EventType.BOOKMARK, ("bookmark", b"four")),
]


@given(st.lists(st.integers(0, len(BODY)), max_size=20))
def test_the_events_are_the_same_in_whatever_pieces(cuts: list[int]) -> None:
    ends = sorted({*cuts, len(BODY)})
    events, error = events_of(decoder(*[BODY[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]))
    assert events[:4] == EVENTS
    assert events[4][0] is EventType.ERROR
    assert events[4][1]["code"] == 410
    assert events[4][1]["message"] == "gone"
    assert isinstance(error, EOFError)


def test_an_event_laid_out_otherwise_is_the_same() -> None:
    body = encode_envelope("v1", "Pod", b"one")
    inner = b"\x0a" + bytes([len(body)]) + body
    frame = b"\x12" + bytes([len(inner)]) + inner + b"\x0a\x05ADDED"
    events, _ = events_of(decoder(len(frame).to_bytes(4, "big") + frame))
    assert events == EVENTS[:1]


def test_the_events_before_a_bad_one_come_first() -> None:
    made = decoder(event("ADDED", b"one") + b"\0\0\0\x02\xff\xff" + event("ADDED", b"two"))
    assert made.decode_batch() == [Event(EventType.ADDED, ("v1", "Pod", b"one"))]
    with pytest.raises(ValueError, match="protobuf"):
        made.decode_batch()
    with pytest.raises(EOFError):
        made.decode_batch()


def test_an_unknown_event_type_is_refused() -> None:
    with pytest.raises(ValueError, match="got invalid watch event type: b'NEW'"):
        decoder(event("NEW", b"")).decode_batch()


def test_a_frame_that_is_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(LineTooLongError):
        decoder(b"\x7f\xff\xff\xff", max_frame_bytes=1000).decode_batch()


def test_a_stream_that_ends_within_a_frame_just_ends() -> None:
    watcher = StreamWatcher(decoder(event("ADDED", b"one"), event("ADDED", b"two")[:-3]))
    assert [each.object[2] for each in watcher] == [b"one"]


@given(st.binary(max_size=60))
def test_any_bytes_are_events_or_an_error(body: bytes) -> None:
    _, error = events_of(decoder(body))
    assert isinstance(error, (ValueError, EOFError))


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 300), max_size=8))
def test_frames_in_whatever_pieces(frames: list[bytes], cuts: list[int]) -> None:
    body = b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)
    ends = sorted({min(cut, len(body)) for cut in cuts} | {len(body)})
    pieces = [body[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    assert list(Frames(100).feed(pieces)) == frames
