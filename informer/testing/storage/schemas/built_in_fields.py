"""The fields that built-in kinds and the metadata of every object have. Other fields are dropped, as Go drops them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from informer.protobuf.kinds import FieldType, kind_named, message_fields

__all__ = ["OBJECT_META", "drop_unknown_fields", "message_of"]

OBJECT_META = "k8s.io/apimachinery/pkg/apis/meta/v1.ObjectMeta"
_SCHEMA = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps"
# Messages whose JSON is of any form.
_OPAQUE = ("runtime.RawExtension", "v1.FieldsV1")

Fields = Mapping[str, str | None]
"""The names of a message's fields, each with the message of its values, if these have one."""


@cache
def message_of(api_version: str, kind: str) -> str | None:
    """Returns the message of a built-in kind; None if the table of kinds does not have it."""
    found = kind_named(api_version, kind)
    return None if found is None else found.message


@cache
def _fields_of(message: str) -> Fields:
    fields: dict[str, str | None] = {}
    for field in message_fields(message):
        if field.name:
            # The values of a map have names of their own, but no message: the walk passes through them.
            fields[field.name] = _message_in(field)
        else:
            fields |= _fields_of(field.value)
    if fields.get("metadata") == OBJECT_META:
        fields |= {"kind": None, "apiVersion": None}
    return fields


def _message_in(field: FieldType) -> str | None:
    form, _, message = field.value.rpartition(":")
    if form:
        message = _SCHEMA
    if "/" not in message or message.endswith(_OPAQUE):
        return None
    return f"map:{message}" if field.shape == "map" else message


def drop_unknown_fields(obj: dict[str, Any], message: str, path: str = "") -> list[str]:
    """Removes the fields that a message does not have, at every depth, and returns their paths.

    Args:
        obj: the object, which is changed.
        message: its name in the table of kinds.
        path: where the object is, as a prefix of the paths.
    """
    return list(_dropped(obj, message, path))


def _dropped(obj: dict[str, Any], message: str, path: str) -> Iterator[str]:
    fields = _fields_of(message)
    for name, value in list(obj.items()):
        below = fields.get(name, "")
        if below == "":
            del obj[name]
            yield f"{path}{name}"
        elif below is not None and type(value) in (dict, list):
            yield from _dropped_below(value, below, f"{path}{name}")


def _dropped_below(value: Any, message: str, path: str) -> Iterator[str]:
    if message.startswith("map:"):
        message = message.removeprefix("map:")
        for key, each in value.items() if type(value) is dict else ():
            if type(each) is dict:
                yield from _dropped(each, message, f"{path}.{key}.")
    elif type(value) is dict:
        yield from _dropped(value, message, f"{path}.")
    else:
        for i, each in enumerate(value):
            if type(each) is dict:
                yield from _dropped(each, message, f"{path}[{i}].")
