"""Objects of built-in kinds as Go types hold them: without empty optional fields, with those that Go always writes.

The real server compares such objects to find out which fields a writer has changed.

Source: structured-merge-diff value/structreflect.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from informer.protobuf.kinds import kind_named, message_fields

__all__ = ["go_form"]

_METADATA = "k8s.io/apimachinery/pkg/apis/meta/v1.ObjectMeta"
_ZEROS = {"string": "", "int": 0, "uint": 0, "bool": False, "double": 0, "quantity": "0", "int_or_string": 0}
_EMPTY: tuple[Any, ...] = ("", 0, False, [], {})
# Of these Go has structs, which "omitempty" does not leave out.
_STRUCTS = ("time", "micro_time", "quantity", "int_or_string")


class _Field(NamedTuple):
    shape: str
    message: str
    """The name of the message that the field has; "" for other values."""
    zero: Any
    """What stands for a missing value."""
    written: bool
    """Whether the field is there even if it is missing in JSON."""
    optional: bool
    """Whether an empty value counts as missing."""


def go_form(api_version: str, kind: str, obj: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an object as its Go type holds it; custom resources have such a type for their metadata only."""
    known = kind_named(api_version, kind)
    if known is None:
        return {**obj, "metadata": _struct(_METADATA, obj["metadata"])} if "metadata" in obj else dict(obj)
    return {"apiVersion": api_version, "kind": kind, **_struct(known.message, obj)}


def _struct(message: str, obj: Any) -> dict[str, Any]:
    if not isinstance(obj, dict):
        return {}
    fields, result = _fields_of(message), {}
    for name, value in obj.items():
        field = fields.get(name)
        if field is None or value is None:
            continue
        held = _message_value(field, value) if field.message else value
        if not (field.optional and held in _EMPTY):
            result[name] = held
    for name, field in _written(message):
        if name not in result:
            result[name] = _message_value(field, field.zero) if field.message else field.zero
    return result


def _message_value(field: _Field, value: Any) -> Any:
    if field.shape == "one":
        return value if value is None else _struct(field.message, value)
    if field.shape == "list" and isinstance(value, list):
        return [_struct(field.message, each) for each in value]
    if field.shape == "map" and isinstance(value, Mapping):
        return {key: _struct(field.message, each) for key, each in value.items()}
    return value


@lru_cache(maxsize=1024)
def _written(message: str) -> list[tuple[str, _Field]]:
    return [(name, field) for name, field in _fields_of(message).items() if field.written]


@lru_cache(maxsize=1024)
def _fields_of(message: str) -> dict[str, _Field]:
    fields: dict[str, _Field] = {}
    for field in message_fields(message):
        name, shape, flags, value = field.name, field.shape, field.flags, field.value
        if not name:
            fields.update(_fields_of(value))
            continue
        is_message, pointer = "/" in value and ":" not in value, "pointer" in flags
        struct = shape == "one" and not pointer and (is_message or value in _STRUCTS)
        optional = "omitzero" in flags or ("omitempty" in flags and not struct)
        zero = None if shape != "one" or pointer else {} if is_message else _ZEROS.get(value)
        fields[name] = _Field(shape, value if is_message else "", zero, not optional, optional and not pointer)
    return fields
