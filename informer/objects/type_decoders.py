"""Decodes JSON to users' types, which name only the fields of interest: `msgspec.Struct`, dataclass, TypedDict, pydantic.

A dataclass cannot rename its fields, and Python's names are in snake case. So JSON is decoded to a generated struct with
the API's names first (`node_name` from nodeName), and that is converted to the dataclass.
"""

from __future__ import annotations

import dataclasses
import operator
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from typing import Any

import msgspec
from typing_extensions import is_typeddict

from informer.objects.official import OfficialModel, is_official
from informer.objects.paths import camel_case

__all__ = ["decoder_for", "described_parts", "fields_of", "is_described", "wanted_fields"]

_UNIONS = (typing.Union, types.UnionType)


@lru_cache(maxsize=256)
def decoder_for(kind: Any) -> Callable[[bytes], Any]:
    """Returns a function that decodes JSON to a type. It is made once per type and raises `msgspec.ValidationError`.

    For a pydantic model it raises `pydantic.ValidationError`, for an official model class `ModelError`.

    Args:
        kind: a `msgspec.Struct`, dataclass, TypedDict, pydantic `BaseModel` or official model class.

    Raises:
        TypeError: `kind` is another kind of type, or msgspec cannot decode to it; the message says why.
    """
    if is_official(kind):
        return OfficialModel(kind).decode
    if not is_described(kind):
        raise TypeError(
            f"the type must be a msgspec.Struct, dataclass or TypedDict, not {kind!r} "
            "(a pydantic BaseModel or an official model class will do, too)"
        )
    if _is_pydantic(kind):
        return kind.model_validate_json  # type: ignore[no-any-return]
    if not any(_is_renamed(part) for part in _reachable(kind)):
        return msgspec.json.Decoder(kind).decode
    decode = msgspec.json.Decoder(_wire_type(kind, ())).decode

    def decode_renamed(raw: bytes) -> Any:
        return msgspec.convert(decode(raw), kind, from_attributes=True)

    return decode_renamed


def is_described(kind: Any) -> bool:
    """Whether a value is a type that names fields: a `msgspec.Struct`, dataclass, TypedDict or pydantic `BaseModel`."""
    if not isinstance(kind, type):
        return False
    return (
        issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind) or is_typeddict(kind) or _is_pydantic(kind)
    )


def fields_of(kind: Any) -> Mapping[str, Any]:
    """Returns the names and types of the fields that are read from JSON.

    The names are those in JSON, except for a dataclass, whose own names are returned.

    Raises:
        TypeError: an annotation names a type that cannot be found.
    """
    try:
        if issubclass(kind, msgspec.Struct):
            return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        if _is_pydantic(kind):
            return {_wire_name(name, field): field.annotation for name, field in kind.model_fields.items()}
        hints = typing.get_type_hints(kind, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"cannot resolve an annotation of {kind.__name__} ({error}): define that type at the top level of its module"
        ) from None
    if dataclasses.is_dataclass(kind):
        return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}
    return hints


def wanted_fields(kind: Any, inside: tuple[Any, ...] = ()) -> dict[str, Any] | None:
    """Returns the fields of an object that a type reads, as nested dicts of names in JSON; None stands for all fields.

    Args:
        kind: a type that `decoder_for` takes.
        inside: the types that contain this one. A type that contains itself reads all fields.
    """
    if not is_described(kind) or _is_pydantic(kind) or kind in inside:
        return None
    if issubclass(kind, msgspec.Struct) and kind.__struct_config__.tag is not None:
        return None
    is_renamed = dataclasses.is_dataclass(kind)
    return {
        camel_case(name) if is_renamed else name: _wanted_in(annotation, (*inside, kind))
        for name, annotation in fields_of(kind).items()
    }


def _wanted_in(annotation: Any, inside: tuple[Any, ...]) -> dict[str, Any] | None:
    """Returns the fields that an annotation reads, if it is one type, a list of one, or one type or None; else None for all."""
    if is_described(annotation):
        return wanted_fields(annotation, inside)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list or origin in _UNIONS:
        parts = [argument for argument in arguments if argument is not types.NoneType]
        if len(parts) == 1:
            return _wanted_in(parts[0], inside)
    return None


def _is_pydantic(kind: Any) -> bool:
    """Whether a type is a pydantic model; pydantic itself is not imported for that."""
    return isinstance(getattr(kind, "__pydantic_fields__", None), dict) and hasattr(kind, "model_validate_json")


def _wire_name(name: str, field: Any) -> str:
    """The name under which a pydantic model reads a field."""
    alias = field.validation_alias
    return alias if isinstance(alias, str) else field.alias or name


def described_parts(annotation: Any) -> list[Any]:
    """Returns the types that name fields within an annotation: `[Container]` for `list[Container] | None`."""
    if is_described(annotation):
        return [annotation]
    return [part for argument in typing.get_args(annotation) for part in described_parts(argument)]


def _reachable(kind: Any) -> set[Any]:
    """A type and all types that its fields use, directly or not."""
    found: set[Any] = set()
    waiting = [kind]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [part for annotation in fields_of(one).values() for part in described_parts(annotation)]
    return found


def _is_renamed(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) and any(camel_case(name) != name for name in fields_of(kind))


def _wire_type(kind: Any, inside: tuple[Any, ...]) -> Any:
    """The type to decode JSON to: `kind` itself, or a generated struct when names must change in it or below it."""
    if not any(_is_renamed(part) for part in _reachable(kind)):
        return kind
    name = kind.__name__
    if kind in inside:
        raise TypeError(f'{name} contains itself: make it a msgspec.Struct with rename="camel"')
    if not dataclasses.is_dataclass(kind):
        raise TypeError(
            f"{name} contains a dataclass with fields in snake case, which can only be renamed within a dataclass: "
            "make both dataclasses, or give the fields the API's names"
        )
    types = fields_of(kind)
    parts: list[Any] = []
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        annotation = _replaced(types[field.name], (*inside, kind))
        if field.default is not dataclasses.MISSING:
            parts.append((field.name, annotation, field.default))
        elif field.default_factory is not dataclasses.MISSING:
            parts.append((field.name, annotation, msgspec.field(default_factory=field.default_factory)))
        else:
            parts.append((field.name, annotation))
    renamed = {field_name: camel_case(field_name) for field_name in types}
    return msgspec.defstruct(name, parts, rename=renamed, kw_only=True)


def _replaced(annotation: Any, inside: tuple[Any, ...]) -> Any:
    """An annotation in which every type is replaced by its `_wire_type`."""
    if is_described(annotation):
        return _wire_type(annotation, inside)
    arguments = typing.get_args(annotation)
    changed = tuple(_replaced(argument, inside) for argument in arguments)
    if changed == arguments:
        return annotation
    origin = typing.get_origin(annotation)
    if origin in _UNIONS:
        return reduce(operator.or_, changed)
    return origin[changed]
