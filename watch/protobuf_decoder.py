"""Decodes the body of a watch response in protobuf: frames, each of them an event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from typing_extensions import TypeVar, override

from watch.body_decoder import BodyDecoder
from watch.event import Event, EventType
from watch.framing import DEFAULT_MAX_LINE_BYTES, Frames
from watch.protobuf_wire import BYTES, bytes_in, fields_in, open_envelope, status_in

__all__ = ["ProtobufDecoder"]

T = TypeVar("T", default=Any)

_BY_NAME = {kind.value.encode(): kind for kind in EventType}
# Makes an `Event` without the Python call of its constructor.
_new_event: Any = tuple.__new__


class ProtobufDecoder(BodyDecoder[T]):
    """A `Decoder` of a Kubernetes watch in protobuf, over a response of urllib3.

    Args:
        response: a `urllib3.HTTPResponse` whose body was not read (`preload_content=False`).
        decode_object: makes an event's object of its apiVersion, its kind and its message. That of an ERROR event is a Status
            in API form.
        decode_bookmark: the same for BOOKMARK events, whose objects have only metadata.
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
        name = b""
        body = b""
        for field in fields_in(frame):
            if field.wire_type != BYTES:
                continue
            if field.number == 1:
                name = frame[field.start : field.end]
            elif field.number == 2:
                body = bytes_in(frame, 1, field.start, field.end)
        kind = _BY_NAME.get(name)
        if kind is None:
            raise ValueError(f"got invalid watch event type: {name[:100]!r}")
        envelope = open_envelope(body)
        message = body[envelope.start : envelope.end]
        if kind is EventType.ERROR:
            return Event(kind, status_in(message))  # type: ignore[arg-type]
        if kind is EventType.BOOKMARK:
            return Event(kind, self._decode_bookmark(envelope.api_version, envelope.kind, message))
        return _new_event(Event, (kind, self._decode_object(envelope.api_version, envelope.kind, message)))  # type: ignore[no-any-return]
