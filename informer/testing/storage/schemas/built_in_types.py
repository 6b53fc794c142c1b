"""Checks the types of the fields of built-in kinds, as decoding them into Go's types does.

Source: the types of k8s.io/api, which the table of kinds has; encoding/json.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from informer.protobuf.kinds import FieldType, message_fields

__all__ = ["GO_TYPES", "wrong_types"]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
GO_TYPES = {str: "string", int: "number", float: "number", bool: "bool", list: "array", dict: "object"}
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
_ANY = ("runtime.RawExtension", "v1.FieldsV1")


class _Field(NamedTuple):
    shape: str
    types: tuple[type, ...]
    """The types of a value in decoded JSON."""
    go_type: str
    message: str
    """The message of a value; "" for a scalar."""
    problem: Callable[[str], str] | None
    """Returns what is wrong with a text of the right type; "" if nothing is."""


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
        if field is not None and value is not None:
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
        if not each.name:
            fields |= _fields_of(each.value)
        elif (made := _field(each)) is not None:
            fields[each.name] = made
    return fields


def _field(field: FieldType) -> _Field | None:
    value = field.value
    if value in _SCALARS:
        return _Field(field.shape, *_SCALARS[value], "", _PROBLEMS.get(value))
    if "/" not in value or ":" in value or value.endswith(_ANY):
        return None  # of any form
    return _Field(field.shape, (dict,), value.rpartition("/")[2], value, None)


def _time_problem(text: str) -> str:
    return (
        ""
        if not text or _TIME.fullmatch(text)
        else f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse it'
    )


def _base64_problem(text: str) -> str:
    try:
        base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except ValueError as error:
        return f"illegal base64 data: {error}"
    return ""


_PROBLEMS = {"time": _time_problem, "micro_time": _time_problem, "bytes": _base64_problem}
