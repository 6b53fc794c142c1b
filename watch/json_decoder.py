"""Decodes the body of a watch response: JSON documents, one per line, each of them an event.

An API server writes `{"type":"ADDED","object":{...}}`. In that form the object is cut out by position, and only the object
is decoded. Any other form of the same JSON is decoded as a whole, which takes longer and gives the same event.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from typing_extensions import TypeVar, override

from watch.body_decoder import BodyDecoder
from watch.deep_json import check_json, parts_in
from watch.event import Event, EventType
from watch.framing import DEFAULT_MAX_LINE_BYTES, Lines
from watch.printable import printable, quoted_beginning

__all__ = ["JSONDecoder"]

T = TypeVar("T", default=Any)


class _Envelope(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw = msgspec.Raw(b"null")


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_any = msgspec.json.Decoder().decode


def _read_envelope(line: bytes) -> _Envelope:
    try:
        return _decode_envelope(line)
    except RecursionError:
        check_json(line)
        parts = parts_in(line)
        obj = parts.pop("object", msgspec.Raw(b"null"))
        envelope = _decode_envelope(msgspec.json.encode({key: parts[key] for key in ("type",) if key in parts}))
        return _Envelope(envelope.type, obj)


def _decode_dict(raw: bytes) -> dict[str, Any]:
    try:
        decoded = _decode_any(raw)
    except RecursionError:
        raise ValueError("an event's object is nested too deeply to decode") from None
    if not isinstance(decoded, dict):
        raise ValueError(f"an event's object must be a JSON object, not a {type(decoded).__name__}")
    return decoded


class _Whole(msgspec.Struct, gc=False):
    kind: str = ""
    message: str = ""
    type: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Status(msgspec.Struct, gc=False):
    code: int = 0
    reason: str = ""
    message: str = ""


_decode_status = msgspec.json.Decoder(_Status).decode

MAX_STATUS_BYTES = 64 * 1024
"""The longest Status of an ERROR event that is decoded whole, in bytes of JSON."""

_decode_whole = msgspec.json.Decoder(_Whole).decode


def _foreign(line: bytes) -> str | None:
    """Says what a line is that is not an event; None where it may be a malformed event.

    JSON is not quoted, since it may hold the data of a Secret.
    """
    if line.lstrip().startswith(b"<"):
        hint = "is a proxy or login page in front?"
        return f"the watch was answered with a page, not with events ({hint}){quoted_beginning(line)}"
    try:
        whole = _decode_whole(line)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None
    if whole.type is not msgspec.UNSET or not whole.kind:
        return None
    kind = printable(whole.kind.encode())
    if kind.endswith("List"):
        return (
            f"the watch was answered with a {kind}, not with events: did a proxy drop the query parameter watch=true?"
        )
    if kind == "Status":
        return f"the watch was answered with a Status, not with events: {printable(whole.message.encode(), 300)}"
    return f"the watch was answered with an object of kind {kind}, not with events (is a proxy in front?)"


# What stands before the object in the lines of an API server, and the event's type.
_FORMS = tuple(
    (b'{"type":"%s","object":' % kind.value.encode(), kind)
    for kind in (EventType.MODIFIED, EventType.ADDED, EventType.DELETED)
)
_NEWLINE, _CLOSING_BRACE = b"\n}"
_BY_NAME = {kind.value: kind for kind in EventType}
# Makes an `Event` without the Python call of its constructor.
_new_event: Any = tuple.__new__


def _decode_error(raw: bytes) -> Any:
    """Returns the object of an ERROR event, normally a Status. Of a very large or deep one, only what an error needs.

    A few hundred bytes are usual. Decoded, megabytes of empty lists take twenty times as much memory.
    """
    if len(raw) <= MAX_STATUS_BYTES:
        with contextlib.suppress(RecursionError):
            return _decode_any(raw)
    try:
        status = _decode_status(raw)
    except (ValueError, msgspec.DecodeError, RecursionError):
        status = _Status()
    message = (
        f"the server sent an error of {len(raw)} bytes in place of a short Status: {printable(status.message.encode())}"
    )
    return {
        "kind": "Status",
        "status": "Failure",
        "code": status.code,
        "reason": status.reason[:100],
        "message": message,
    }


class JSONDecoder(BodyDecoder[T]):
    """A `Decoder` of a Kubernetes watch in JSON, over a response of urllib3.

    Args:
        response: a `urllib3.HTTPResponse` whose body was not read (`preload_content=False`).
        decode_object: makes an event's object of its JSON, given as bytes. It raises ValueError unless they are one JSON
            object. By default the object is a dict.
        decode_bookmark: the same for BOOKMARK events; None tries `decode_object`, and makes a dict where that raises.
        max_line_bytes: the longest event accepted, in bytes.
        heads: how the JSON of the objects begins that `decode_object` is made for; () stands for all objects.
        decode_unusual: makes the objects that begin otherwise; None has `decode_object` make them too.

    Threads: `decode` and `decode_batch` are called by one thread at a time, `close` by any.
    """

    def __init__(
        self,
        response: Any,
        *,
        decode_object: Callable[[bytes], T] = _decode_dict,  # type: ignore[assignment]
        decode_bookmark: Callable[[bytes], Any] | None = None,
        max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
        heads: Sequence[bytes] = (),
        decode_unusual: Callable[[bytes], T] | None = None,
    ) -> None:
        super().__init__(response)
        self._lines = Lines(max_line_bytes)
        self._decode_object = decode_object
        self._decode_unusual = decode_unusual or decode_object
        # How a line begins, where its object begins, and the event's type.
        self._forms = [(form + head, len(form), kind) for head in heads or (b"",) for form, kind in _FORMS]
        self._decode_bookmark = decode_bookmark or self._bookmark

    @override
    def _check_rest(self) -> None:
        rest = self._lines.rest()
        if rest.strip() and not rest.startswith(b'{"type"'):
            foreign = _foreign(rest)
            if foreign is not None:
                raise ValueError(foreign)

    @override
    def _decode_pieces(self, pieces: Iterable[bytes]) -> list[Event[T]]:
        events: list[Event[T]] = []
        append = events.append
        decode_object = self._decode_object
        forms = self._forms
        try:
            for line in self._lines.feed(pieces):
                for prefix, begin, kind in forms:
                    if line.startswith(prefix):
                        end = -2 if line[-1] == _NEWLINE else -1
                        if line[end] != _CLOSING_BRACE:
                            continue
                        try:
                            obj = decode_object(line[begin:end])
                        except (ValueError, msgspec.DecodeError, RecursionError):
                            # The envelope may have another field behind the object.
                            append(self._decode_other(line))
                        else:
                            append(_new_event(Event, (kind, obj)))
                        break
                else:
                    # Servers and proxies send blank lines to keep a connection open.
                    if line.strip():
                        append(self._decode_other(line))
        except Exception as error:
            if not events:
                raise
            # The events before the bad line are returned first.
            self._failure = error
        return events

    def _decode_other(self, line: bytes) -> Event[T]:
        """Decodes a line in any form of JSON."""
        try:
            if not line.isascii():
                # msgspec checks the UTF-8 of the texts that it returns only: this raises where the rest is malformed.
                line.decode()
            envelope = _read_envelope(line)
        except RecursionError:
            raise ValueError("an event is nested too deeply to decode") from None
        except (ValueError, msgspec.DecodeError) as error:
            foreign = _foreign(line)
            if foreign is None:
                raise
            raise ValueError(foreign) from error
        kind = _BY_NAME.get(envelope.type)
        if kind is None:
            raise ValueError(f"got invalid watch event type: {envelope.type[:100]!r}")
        raw = bytes(envelope.object)
        if kind is EventType.ERROR:
            return Event(kind, _decode_error(raw))
        if kind is EventType.BOOKMARK:
            return Event(kind, self._decode_bookmark(raw))
        return Event(kind, self._decode_unusual(raw))

    def _bookmark(self, raw: bytes) -> Any:
        try:
            return self._decode_object(raw)
        # A bookmark has only metadata, so a type with other required fields refuses it.
        except Exception:
            return _decode_dict(raw)
