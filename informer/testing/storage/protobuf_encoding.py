"""Encodes objects in API form as protobuf, as an API server does.

Source: the generated marshalling code of the Go types (gogo protobuf). Fields are ordered by number, values that are not
pointers are written even if they are zero, and the keys of maps are sorted.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from informer.protobuf.edit import varint_bytes
from informer.protobuf.kinds import FieldType, message_fields
from watch.protobuf_wire import BYTES, DOUBLE, MAGIC, VARINT

__all__ = ["encode_envelope", "encode_list", "encode_message", "encode_status", "encode_watch_event"]

_VARINTS = ("int", "uint", "bool")
_META = "k8s.io/apimachinery/pkg/apis/meta/v1."
_LIST_META, _STATUS = f"{_META}ListMeta", f"{_META}Status"
_DETAILS, _CAUSE, _SHARD = f"{_META}StatusDetails", f"{_META}StatusCause", f"{_META}ShardInfo"


def _texts(first: int, *names: str) -> tuple[FieldType, ...]:
    return tuple(FieldType(number, name, "one", (), "string") for number, name in enumerate(names, first))


# Messages that the table of kinds does not have, since no kind contains them.
_MORE_MESSAGES = {
    _LIST_META: (
        *_texts(1, "selfLink", "resourceVersion", "continue"),
        FieldType(4, "remainingItemCount", "one", ("pointer",), "int"),
        FieldType(5, "shardInfo", "one", ("pointer",), _SHARD),
    ),
    _SHARD: _texts(1, "selector"),
    _STATUS: (
        FieldType(1, "metadata", "one", (), _LIST_META),
        *_texts(2, "status", "message", "reason"),
        FieldType(5, "details", "one", ("pointer",), _DETAILS),
        FieldType(6, "code", "one", (), "int"),
    ),
    _DETAILS: (
        *_texts(1, "name", "group", "kind"),
        FieldType(4, "causes", "list", (), _CAUSE),
        FieldType(5, "retryAfterSeconds", "one", (), "int"),
        *_texts(6, "uid"),
    ),
    _CAUSE: _texts(1, "reason", "message", "field"),
}


def encode_message(obj: Mapping[str, Any], message: str) -> bytes:
    """Encodes an object as its message, without an envelope.

    Args:
        obj: the object, or a part of it, in API form. Fields that the message does not have are left out.
        message: its name in the table of kinds.
    """
    parts: list[bytes] = []
    for field in _MORE_MESSAGES.get(message) or message_fields(message):
        if not field.name:
            parts.append(_tagged(field.number, encode_message(obj, field.value)))
            continue
        value = obj.get(field.name)
        if field.shape == "list":
            parts += [_value(field, item) for item in value or ()]
        elif field.shape == "map":
            parts += [_entry(field, key, item) for key, item in sorted((value or {}).items())]
        elif value is not None or ("pointer" not in field.flags and field.value != "bytes"):
            parts.append(_value(field, value))
    return b"".join(parts)


def encode_envelope(api_version: str, kind: str, message: bytes) -> bytes:
    """Returns a body: the magic bytes, then the envelope that contains the message."""
    type_meta = _tagged(1, api_version.encode()) + _tagged(2, kind.encode())
    return MAGIC + _tagged(1, type_meta) + _tagged(2, message) + _tagged(3, b"") + _tagged(4, b"")


def encode_list(metadata: Mapping[str, Any], items: list[bytes]) -> bytes:
    """Returns the message of a list.

    Args:
        metadata: the list's metadata in API form.
        items: the messages of its items.
    """
    return _tagged(1, encode_message(metadata, _LIST_META)) + b"".join(_tagged(2, item) for item in items)


def encode_status(status: Mapping[str, Any]) -> bytes:
    """Returns the message of a Status in API form."""
    return encode_message(status, _STATUS)


def encode_watch_event(event_type: str, body: bytes) -> bytes:
    """Returns an event of a watch, with its length before it.

    Args:
        event_type: such as "ADDED".
        body: the object, in its envelope.
    """
    frame = _tagged(1, event_type.encode()) + _tagged(2, _tagged(1, body))
    return len(frame).to_bytes(4, "big") + frame


def _tagged(number: int, value: bytes) -> bytes:
    return varint_bytes(number << 3 | BYTES) + varint_bytes(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return varint_bytes(number << 3 | VARINT) + varint_bytes(value & 0xFFFFFFFFFFFFFFFF)


def _value(field: FieldType, value: Any) -> bytes:
    if field.value in _VARINTS:
        return _number(field.number, int(value or 0))
    if field.value == "double":
        return varint_bytes(field.number << 3 | DOUBLE) + struct.pack("<d", value or 0)
    return _tagged(field.number, _bytes_of(field, value))


def _entry(field: FieldType, key: str, value: Any) -> bytes:
    return _tagged(field.number, _tagged(1, key.encode()) + _tagged(2, _bytes_of(field, value)))


def _bytes_of(field: FieldType, value: Any) -> bytes:
    form, _, part = field.value.partition(":")
    writer = _WRITERS.get(form)
    if writer is not None:
        return writer(value)
    if part:
        return _schema_part(form, part, value)
    return encode_message(value or {}, field.value)


def _schema_part(form: str, part: str, value: Any) -> bytes:
    """Encodes a part of a CustomResourceDefinition's schema that has one of two forms in JSON."""
    schema = {field.number: field.value for field in message_fields(part)}
    if form == "schema_or_bool":
        if isinstance(value, Mapping):
            return _number(1, 1) + _tagged(2, encode_message(value, schema[2]))
        return _number(1, int(bool(value)))
    if isinstance(value, Mapping):
        return _tagged(1, encode_message(value, schema[1]))
    if form == "schema_or_array":
        return b"".join(_tagged(2, encode_message(each, schema[2])) for each in value or ())
    return b"".join(_tagged(2, each.encode()) for each in value or ())


def _quantity(value: Any) -> bytes:
    return _tagged(1, str("0" if value is None else value).encode())


def _int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return _number(1, 1) + _number(2, 0) + _tagged(3, value.encode())
    return _number(1, 0) + _number(2, value or 0) + _tagged(3, b"")


def _time(value: Any) -> bytes:
    if value is None:
        return b""
    moment = datetime.fromisoformat(value).astimezone(UTC)
    return _number(1, int(moment.replace(microsecond=0).timestamp())) + _number(2, moment.microsecond * 1000)


def _json(value: Any) -> bytes:
    return b"" if value is None else _tagged(1, msgspec.json.encode(value))


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "string": lambda value: (value or "").encode(),
    "bytes": lambda value: base64.b64decode(value or ""),
    "quantity": _quantity,
    "int_or_string": _int_or_string,
    "time": _time,
    "micro_time": _time,
    "json": _json,
    "strings": lambda value: b"".join(_tagged(1, text.encode()) for text in value or ()),
}
