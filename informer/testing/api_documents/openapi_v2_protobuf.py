"""Writes an OpenAPI v2 document in protobuf, the only form in which client-go's `OpenAPISchema` reads it.

Source: github.com/google/gnostic-models openapiv2/OpenAPIv2.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from informer.protobuf.edit import varint_bytes
from watch.protobuf_wire import BYTES, DOUBLE, VARINT

__all__ = ["encode_openapi_v2"]

# The fields of a Schema, by their type.
_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_DOUBLES = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_INTEGERS = {
    "exclusiveMaximum": 8, "exclusiveMinimum": 10, "maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15,
    "uniqueItems": 16, "maxProperties": 17, "minProperties": 18,
}  # fmt: skip
_DEFAULT, _REQUIRED, _ENUM, _ADDITIONAL, _TYPE, _ITEMS, _PROPERTIES, _EXTENSION = 5, 19, 20, 21, 22, 23, 25, 31


def encode_openapi_v2(document: Mapping[str, Any]) -> bytes:
    """Returns the message of a document that has no paths."""
    info = _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])
    return _text(1, document["swagger"]) + _bytes(2, info) + _bytes(8, b"") + _schemas(9, document["definitions"])


def _schemas(number: int, schemas: Mapping[str, Any]) -> bytes:
    """Encodes schemas by name."""
    named = (_bytes(1, _text(1, name) + _bytes(2, _schema(each))) for name, each in schemas.items())
    return _bytes(number, b"".join(named))


def _schema(schema: Mapping[str, Any]) -> bytes:
    return b"".join(part for key, value in schema.items() for part in _parts(key, value))


def _parts(key: str, value: Any) -> Iterator[bytes]:
    if key in _TEXTS:
        yield _text(_TEXTS[key], value)
    elif key in _DOUBLES:
        yield varint_bytes(_DOUBLES[key] << 3 | DOUBLE) + struct.pack("<d", value)
    elif key in _INTEGERS:
        yield _integer(_INTEGERS[key], value)
    elif key in ("required", "enum"):
        yield from (_text(_REQUIRED, each) if key == "required" else _bytes(_ENUM, _any(each)) for each in value)
    elif key in _MESSAGES:
        yield _MESSAGES[key](value)
    elif key.startswith("x-"):
        yield _bytes(_EXTENSION, _text(1, key) + _bytes(2, _any(value)))


def _additional(value: Any) -> bytes:
    inner = _integer(2, value) if isinstance(value, bool) else _bytes(1, _schema(value))
    return _bytes(_ADDITIONAL, inner)


_MESSAGES: dict[str, Callable[[Any], bytes]] = {
    "properties": lambda value: _schemas(_PROPERTIES, value),
    "items": lambda value: _bytes(_ITEMS, _bytes(1, _schema(value))),
    "additionalProperties": _additional,
    "type": lambda value: _bytes(_TYPE, _text(1, value)),
    "default": lambda value: _bytes(_DEFAULT, _any(value)),
}


def _any(value: Any) -> bytes:
    """Encodes a value of any type as YAML, of which JSON is a part."""
    return _text(2, msgspec.json.encode(value).decode() + "\n")


def _integer(number: int, value: int) -> bytes:
    return varint_bytes(number << 3 | VARINT) + varint_bytes(int(value))


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _bytes(number: int, value: bytes) -> bytes:
    return varint_bytes(number << 3 | BYTES) + varint_bytes(len(value)) + value
