"""Makes the OpenAPI v2 document from those of v3: the definitions of all kinds, without paths.

It is written in JSON, or in protobuf, the only form in which client-go's `OpenAPISchema` reads it.

Source: kube-openapi pkg/schemaconv; apiextensions-apiserver pkg/controller/openapi/v2; github.com/google/gnostic-models
openapiv2/OpenAPIv2.proto.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from informer.protobuf.edit import varint_bytes
from informer.testing.api_documents.custom_documents import REFERENCE, with_inner
from watch.protobuf_wire import BYTES, DOUBLE, VARINT

__all__ = ["encode_openapi_v2", "openapi_v2"]

_KINDS = "x-kubernetes-group-version-kind"
_NOT_IN_V2 = ("allOf", "anyOf", "default", "oneOf", "not", "nullable")
# The numbers of the fields of a Schema in protobuf, by their type.
_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_DOUBLES = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_INTEGERS = {
    "exclusiveMaximum": 8, "exclusiveMinimum": 10, "maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15,
    "uniqueItems": 16, "maxProperties": 17, "minProperties": 18,
}  # fmt: skip
_REQUIRED, _ENUM, _ADDITIONAL, _TYPE, _ITEMS, _PROPERTIES, _EXTENSION = 19, 20, 21, 22, 23, 25, 31


def openapi_v2(
    built_in: Iterable[Mapping[str, Any]], custom: Iterable[Mapping[str, Any]], version: str
) -> dict[str, Any]:
    """Returns the OpenAPI v2 document.

    Args:
        built_in: the OpenAPI v3 documents of built-in kinds.
        custom: those of custom resources.
        version: the server's version, such as "1.37".
    """
    definitions: dict[str, Any] = {}
    for documents, is_custom in ((built_in, False), (custom, True)):
        for document in documents:
            for name, schema in document.get("components", {}).get("schemas", {}).items():
                if name not in definitions:
                    definitions[name] = _schema(schema, custom=is_custom)
                for kind in schema.get(_KINDS, ()):
                    known = definitions[name].setdefault(_KINDS, [])
                    known += [kind] if kind not in known else []
    info = {"title": "Kubernetes", "version": version}
    return {"swagger": "2.0", "info": info, "paths": {}, "definitions": dict(sorted(definitions.items()))}


def _schema(schema: Mapping[str, Any], *, custom: bool) -> dict[str, Any]:
    # The kinds are collected from all documents.
    made = {key: value for key, value in schema.items() if key not in (*_NOT_IN_V2, _KINDS)}
    if not custom and "oneOf" in schema:  # a quantity, or an integer or string
        made["type"] = "string"
    for each in schema.get("allOf", ()):
        made |= {key: value for key, value in each.items() if key == "$ref"}
    if "$ref" in made:
        made["$ref"] = made["$ref"].replace(REFERENCE, "#/definitions/")
    if custom:
        _drop_variants(made, schema)
    return with_inner(made, functools.partial(_schema, custom=custom))


def _drop_variants(made: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Drops the type of what may be of another type: clients of the time of v2 cannot read both."""
    unknown = schema.get("x-kubernetes-preserve-unknown-fields")
    if unknown or schema.get("nullable"):
        made.pop("items", None)
        made.pop("properties", None)
    if schema.get("nullable") or (unknown and made.get("type") in ("array", "object")):
        made.pop("type", None)


def encode_openapi_v2(document: Mapping[str, Any]) -> bytes:
    """Returns the message of a document that has no paths."""
    info = _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])
    definitions = _encoded_schemas(9, document["definitions"])
    return _text(1, document["swagger"]) + _bytes(2, info) + _bytes(8, b"") + definitions


def _encoded_schemas(number: int, schemas: Mapping[str, Any]) -> bytes:
    """Encodes schemas by name."""
    named = (_bytes(1, _text(1, name) + _bytes(2, _encoded_schema(each))) for name, each in schemas.items())
    return _bytes(number, b"".join(named))


def _encoded_schema(schema: Mapping[str, Any]) -> bytes:
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
    inner = _integer(2, value) if isinstance(value, bool) else _bytes(1, _encoded_schema(value))
    return _bytes(_ADDITIONAL, inner)


_MESSAGES: dict[str, Callable[[Any], bytes]] = {
    "properties": lambda value: _encoded_schemas(_PROPERTIES, value),
    "items": lambda value: _bytes(_ITEMS, _bytes(1, _encoded_schema(value))),
    "additionalProperties": _additional,
    "type": lambda value: _bytes(_TYPE, _text(1, value)),
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
