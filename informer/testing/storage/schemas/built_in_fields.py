"""The fields that built-in kinds and the metadata of every object have, and their types.

Other fields are dropped, and wrong types are reported, as decoding into Go's types does.

Source: the types of k8s.io/api, which the table of kinds has; encoding/json.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

from informer.protobuf.kinds import FieldType, kind_named, message_fields

__all__ = ["GO_TYPES", "OBJECT_META", "drop_unknown_fields", "message_of", "wrong_types"]

OBJECT_META = "k8s.io/apimachinery/pkg/apis/meta/v1.ObjectMeta"
GO_TYPES = {str: "string", int: "number", float: "number", bool: "bool", list: "array", dict: "object"}
_SCHEMA = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps"
# Messages whose JSON is of any form.
_OPAQUE = ("runtime.RawExtension", "v1.FieldsV1")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
# Quantities are parsed where they are brought into their usual form.
_SCALARS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "string"),
    "bytes": ((str,), "[]uint8"),
    "int": ((int,), "int64"),
    "uint": ((int,), "uint64"),
    "bool": ((bool,), "bool"),
    "double": ((int, float), "float64"),
    "time": ((str,), "v1.Time"),
    "micro_time": ((str,), "v1.MicroTime"),
    "quantity": ((str, int, float), "resource.Quantity"),
    "int_or_string": ((int, str), "intstr.IntOrString"),
}


class _Field(NamedTuple):
    shape: str = "one"
    message: str = ""
    """The message of a value; "" for a scalar, and for a value of any form."""
    types: tuple[type, ...] = ()
    """The types of a value in decoded JSON; empty if it may have any."""
    go_type: str = ""
    problem: Callable[[str], str] | None = None
    """Returns what is wrong with a text of the right type; "" if nothing is."""


@cache
def message_of(api_version: str, kind: str) -> str | None:
    """Returns the message of a built-in kind; None if the table of kinds does not have it."""
    found = kind_named(api_version, kind)
    return None if found is None else found.message


def drop_unknown_fields(obj: dict[str, Any], message: str, path: str = "") -> list[str]:
    """Removes the fields that a message does not have, at every depth, and returns their paths; null as a string is empty.

    Args:
        obj: the object, which is changed.
        message: its name in the table of kinds.
        path: where the object is, as a prefix of the paths.
    """
    return list(_dropped(obj, message, path))


def _dropped(obj: dict[str, Any], message: str, path: str) -> Iterator[str]:
    fields = _fields_of(message)
    for name, value in list(obj.items()):
        field, at = fields.get(name), f"{path}{name}"
        if field is None:
            del obj[name]
            yield at
        elif field.shape == "map" and field.go_type == "string" and type(value) is dict and None in value.values():
            obj[name] = {key: "" if each is None else each for key, each in value.items()}
        elif field.message and type(value) in (dict, list):
            parts: Any = ((at, value),)
            if type(value) is list:
                parts = ((f"{at}[{i}]", each) for i, each in enumerate(value))
            elif field.shape == "map":
                parts = ((f"{at}.{key}", each) for key, each in value.items())
            for where, each in parts:
                if type(each) is dict:
                    yield from _dropped(each, field.message, f"{where}.")


def wrong_types(obj: Mapping[str, Any], message: str, path: str = "") -> Iterator[str]:
    """Yields why an object cannot be decoded.

    Args:
        obj: the object, without unknown fields.
        message: its name in the table of kinds.
        path: where the object is, as a prefix of paths.
    """
    fields = _fields_of(message)
    for key, value in obj.items():
        field = fields.get(key)
        if field is not None and field.types and value is not None:
            yield from _wrong(field, value, message, f"{path}{key}")


def _wrong(field: _Field, value: Any, message: str, path: str) -> Iterator[str]:
    if field.shape == "one":
        values: Any = (value,)
    elif field.shape == "list" and type(value) is list:
        values = value
    elif field.shape == "map" and type(value) is dict:
        values = value.values()
    else:
        container = "[]" if field.shape == "list" else "map[string]"
        yield _cannot(value, message, path, f"{container}{field.go_type}")
        return
    for each in values:
        if each is None:
            continue
        if type(each) not in field.types:
            yield _cannot(each, message, path, field.go_type)
        elif field.message:
            yield from wrong_types(each, field.message, f"{path}.")
        elif field.problem is not None and (problem := field.problem(each)):
            yield problem


def _cannot(value: Any, message: str, path: str, go_type: str) -> str:
    found = GO_TYPES.get(type(value), "object")
    struct = message.rpartition(".")[2]
    return f"json: cannot unmarshal {found} into Go struct field {struct}.{path} of type {go_type}"


@cache
def _fields_of(message: str) -> Mapping[str, _Field]:
    fields: dict[str, _Field] = {}
    for each in message_fields(message):
        if each.name:
            fields[each.name] = _field(each)
        else:
            fields |= _fields_of(each.value)
    if "metadata" in fields and fields["metadata"].message == OBJECT_META:
        fields |= {"kind": _Field(), "apiVersion": _Field()}
    return fields


def _field(field: FieldType) -> _Field:
    value = field.value
    if value in _SCALARS:
        return _Field(field.shape, "", *_SCALARS[value], _PROBLEMS.get(value))
    if ":" in value:  # a schema, or something else
        return _Field(field.shape, _SCHEMA)
    if "/" not in value or value.endswith(_OPAQUE):
        return _Field()
    return _Field(field.shape, value, (dict,), value.rpartition("/")[2])


def _time_problem(text: str, pattern: re.Pattern[str] = _TIME, fraction: str = "") -> str:
    if not text or pattern.fullmatch(text):
        return ""
    return f'parsing time "{text}" as "2006-01-02T15:04:05{fraction}Z07:00": cannot parse it'


def _base64_problem(text: str) -> str:
    try:
        base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except ValueError as error:
        return f"illegal base64 data: {error}"
    return ""


_PROBLEMS: Mapping[str, Callable[[str], str]] = {
    "time": _time_problem,
    "micro_time": partial(_time_problem, pattern=_MICRO_TIME, fraction=".000000"),
    "bytes": _base64_problem,
}
