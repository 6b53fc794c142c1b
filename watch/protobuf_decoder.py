"""Decodes the body of a watch response in protobuf: a sequence of frames, each with one event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from typing_extensions import TypeVar, override

from watch.body_decoder import BodyDecoder
from watch.event import Event, EventType
from watch.framing import DEFAULT_MAX_LINE_BYTES, Frames
from watch.protobuf_wire import BYTES, CUT_OFF, MAGIC, bytes_in, fields_in, open_envelope, status_in, text_in, varint_at

__all__ = ["ProtobufDecoder"]

T = TypeVar("T", default=Any)

_FIRST, _SECOND = 1 << 3 | BYTES, 2 << 3 | BYTES
_ENVELOPE = MAGIC + bytes([_FIRST])
_BY_NAME = {kind.value.encode(): kind for kind in EventType}
# Makes an `Event` without the Python call of its constructor.
_new_event: Any = tuple.__new__


class ProtobufDecoder(BodyDecoder[T]):
    """A `Decoder` of a Kubernetes watch in protobuf, over a response of urllib3.

    Args:
        response: a `urllib3.HTTPResponse` whose body was not read (`preload_content=False`).
        decode_object: called with an object's apiVersion, kind and message; returns the event's object. It is not called for an
            ERROR event, whose object is a Status in API form.
        decode_bookmark: called in its place for BOOKMARK events, whose objects have only metadata.
        max_frame_bytes: the longest event accepted, in bytes.

    Threads: `decode` and `decode_batch` are called by one thread at a time, `close` by any.

    Source: apimachinery pkg/apis/meta/v1 WatchEvent; apiserver pkg/endpoints/handlers/watch.go.
    """

    def __init__(
        self,
        response: Any,
        *,
        decode_object: Callable[[str, str, bytes], T],
        decode_bookmark: Callable[[str, str, bytes], Any],
        max_frame_bytes: int = DEFAULT_MAX_LINE_BYTES,
    ) -> None:
        super().__init__(response)
        self._frames = Frames(max_frame_bytes)
        self._decode_object = decode_object
        self._decode_bookmark = decode_bookmark

    @override
    def _decode_pieces(self, pieces: Iterable[bytes]) -> list[Event[T]]:
        events: list[Event[T]] = []
        try:
            events.extend(map(self._event, self._frames.feed(pieces)))
        except Exception as error:
            if not events:
                raise
            # The events before the bad one are returned first.
            self._failure = error
        return events

    def _event(self, frame: bytes) -> Event[T]:
        try:
            name, api_version, kind, message = _parts_by_position(frame) or _parts_by_fields(frame)
        except IndexError:
            raise ValueError(CUT_OFF) from None
        event_type = _BY_NAME.get(name)
        if event_type is None:
            raise ValueError(f"got invalid watch event type: {name[:100]!r}")
        if event_type is EventType.ERROR:
            return Event(event_type, status_in(message))  # type: ignore[arg-type]
        if event_type is EventType.BOOKMARK:
            return Event(event_type, self._decode_bookmark(api_version, kind, message))
        return _new_event(Event, (event_type, self._decode_object(api_version, kind, message)))  # type: ignore[no-any-return]


# The event's type, the apiVersion and kind of its object, and the object's message.
_Parts = tuple[bytes, str, str, bytes]


def _parts_by_position(frame: bytes) -> _Parts | None:
    """Cuts out the parts of an event in the layout that API servers use; None for any other layout.

    It is faster than `_parts_by_fields`, which reads any layout.
    """
    at = 2 + frame[1]
    if frame[0] != _FIRST or frame[1] > 0x7F or frame[at] != _SECOND:
        return None
    _, inner = varint_at(frame, at + 1)
    _, body = varint_at(frame, inner + 1)
    meta = body + len(MAGIC)
    size = frame[meta + 1]
    start = meta + 2
    at = start + size
    if frame[inner] != _FIRST or not frame.startswith(_ENVELOPE, body) or size > 0x7F or frame[at] != _SECOND:
        return None
    length, begin = varint_at(frame, at + 1)
    end = begin + length
    if end > len(frame):
        return None
    return frame[2 : 2 + frame[1]], *_type_in(frame[start:at]), frame[begin:end]


@lru_cache(maxsize=256)
def _type_in(type_meta: bytes) -> tuple[str, str]:
    return text_in(type_meta, 1), text_in(type_meta, 2)


def _parts_by_fields(frame: bytes) -> _Parts:
    name = body = b""
    for field in fields_in(frame):
        if field.number == 1 and field.wire_type == BYTES:
            name = frame[field.start : field.end]
        elif field.number == 2 and field.wire_type == BYTES:
            body = bytes_in(frame, 1, field.start, field.end)
    envelope = open_envelope(body)
    return name, envelope.api_version, envelope.kind, body[envelope.start : envelope.end]
