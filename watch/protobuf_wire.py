r"""The wire format of protobuf as the Kubernetes API uses it: fields, the envelope of an answer, and `Status`. No I/O.

A body begins with `k8s\0`. The envelope follows, a message `runtime.Unknown`: it names the apiVersion and kind of the object,
and contains the object's own message.

Source: apimachinery pkg/runtime/serializer/protobuf and pkg/runtime/types_proto.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = [
    "BYTES",
    "CUT_OFF",
    "DOUBLE",
    "MAGIC",
    "VARINT",
    "Envelope",
    "Field",
    "bytes_in",
    "fields_in",
    "looks_like_protobuf",
    "open_envelope",
    "signed",
    "status_in",
    "text_in",
    "varint_at",
]

MAGIC = b"k8s\0"
"""The first bytes of every body."""

VARINT, DOUBLE, BYTES, _FLOAT = 0, 1, 2, 5
"""Wire types: how the value of a field is written."""

_MAX_VARINT_BYTES = 10
CUT_OFF = "the protobuf message ends within a field"
_MALFORMED = "the protobuf message has a malformed field"


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: the field's number in its message.
        wire_type: `VARINT`, `DOUBLE` or `BYTES`; 5 for a float of four bytes.
        start: where its value begins in the bytes.
        end: where its value ends.
        value: the value of a varint; 0 for the others.
    """

    number: int
    wire_type: int
    start: int
    end: int
    value: int


class Envelope(NamedTuple):
    """The type of the object in a body, and the position of its own message in the body."""

    api_version: str
    kind: str
    start: int
    end: int


def varint_at(raw: bytes, at: int) -> tuple[int, int]:
    """Reads a varint; returns its value and the index after its last byte.

    Raises:
        ValueError: the bytes end within it, or it is longer than ten bytes.
    """
    # Most numbers have one or two bytes.
    try:
        first = raw[at]
        if first < 0x80:
            return first, at + 1
        second = raw[at + 1]
        if second < 0x80:
            return first & 0x7F | second << 7, at + 2
    except IndexError:
        raise ValueError(CUT_OFF) from None
    value = shift = 0
    for byte in raw[at : at + _MAX_VARINT_BYTES]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise ValueError(CUT_OFF)


def fields_in(raw: bytes, at: int = 0, end: int | None = None) -> Iterator[Field]:
    """Yields the fields of a message, in the order in which they are written.

    Args:
        raw: bytes that contain the message.
        at: where the message begins.
        end: where it ends; None for the end of `raw`.

    Raises:
        ValueError: the bytes are not a protobuf message.
    """
    stop = len(raw) if end is None else end
    while at < stop:
        tag, at = varint_at(raw, at)
        number, wire_type = tag >> 3, tag & 7
        value = 0
        start = at
        if wire_type == BYTES:
            length, start = varint_at(raw, at)
            at = start + length
        elif wire_type == VARINT:
            value, at = varint_at(raw, at)
        elif wire_type == DOUBLE:
            at += 8
        elif wire_type == _FLOAT:
            at += 4
        else:
            raise ValueError(_MALFORMED)
        if at > stop:
            raise ValueError(CUT_OFF)
        if not number:
            raise ValueError(_MALFORMED)
        yield Field(number, wire_type, start, at, value)


def bytes_in(raw: bytes, number: int, at: int = 0, end: int | None = None) -> bytes:
    """Returns the bytes of a field that holds bytes, text or a message; b"" if the message does not have the field."""
    for field in fields_in(raw, at, end):
        if field.number == number and field.wire_type == BYTES:
            return raw[field.start : field.end]
    return b""


def text_in(raw: bytes, number: int, at: int = 0, end: int | None = None) -> str:
    """Returns the text of a field; "" if the message does not have the field. Invalid UTF-8 is replaced."""
    return bytes_in(raw, number, at, end).decode(errors="replace")


def looks_like_protobuf(raw: bytes) -> bool:
    """Returns whether a body begins as one in protobuf does."""
    return raw.startswith(MAGIC)


def open_envelope(body: bytes) -> Envelope:
    """Reads the envelope of a body, but not the object in it.

    Raises:
        ValueError: the body is not protobuf of the Kubernetes API.
    """
    if not body.startswith(MAGIC):
        raise ValueError("the answer is not protobuf of the Kubernetes API: it does not begin with k8s")
    api_version = kind = ""
    start = end = 0
    for field in fields_in(body, len(MAGIC)):
        if field.number == 1 and field.wire_type == BYTES:
            api_version = text_in(body, 1, field.start, field.end)
            kind = text_in(body, 2, field.start, field.end)
        elif field.number == 2 and field.wire_type == BYTES:
            start, end = field.start, field.end
    return Envelope(api_version, kind, start, end)


def status_in(message: bytes) -> dict[str, Any]:
    """Decodes a `Status` to API form.

    Args:
        message: the message of the Status, without the envelope.

    Raises:
        ValueError: the bytes are not a protobuf message.

    Source: apimachinery pkg/apis/meta/v1/generated.proto, Status and StatusDetails.
    """
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}}
    for field in fields_in(message):
        if field.wire_type == VARINT and field.number == 6 and field.value:
            status["code"] = signed(field.value)
        elif field.wire_type == BYTES and field.number == 5:
            status["details"] = _details_in(message[field.start : field.end])
        elif field.wire_type == BYTES and (name := _STATUS_TEXTS.get(field.number)) and field.end > field.start:
            status[name] = message[field.start : field.end].decode(errors="replace")
    return status


_STATUS_TEXTS = {2: "status", 3: "message", 4: "reason"}
_DETAIL_TEXTS = {1: "name", 2: "group", 3: "kind", 6: "uid"}
_CAUSE_TEXTS = {1: "reason", 2: "message", 3: "field"}
_MAX_CAUSES = 100


def _details_in(message: bytes) -> dict[str, Any]:
    details: dict[str, Any] = {}
    causes: list[dict[str, str]] = []
    for field in fields_in(message):
        if field.wire_type == VARINT and field.number == 5 and field.value:
            details["retryAfterSeconds"] = signed(field.value)
        elif field.wire_type == BYTES and field.number == 4 and len(causes) < _MAX_CAUSES:
            cause = message[field.start : field.end]
            texts = {name: text_in(cause, number) for number, name in _CAUSE_TEXTS.items()}
            causes.append({name: text for name, text in texts.items() if text})
        elif field.wire_type == BYTES and (name := _DETAIL_TEXTS.get(field.number)) and field.end > field.start:
            details[name] = message[field.start : field.end].decode(errors="replace")
    if causes:
        details["causes"] = causes
    return details


def signed(value: int) -> int:
    """Returns the signed integer that Go wrote as this varint."""
    return value - (1 << 64) if value >> 63 else value
