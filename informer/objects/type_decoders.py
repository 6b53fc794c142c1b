"""Decoders of users' types, made once each.

Comes in: a type that names the fields of interest. Goes out: a function from JSON to it. A dataclass has no way to rename
a field, and Python's field names are snake_case: `node_name` is read from nodeName, through a struct made for the purpose.
"""

from __future__ import annotations

import dataclasses
import operator
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from typing import Any

import msgspec
from typing_extensions import is_typeddict

from informer.objects.paths import camel_case

__all__ = ["decoder_for", "described_parts", "fields_of", "is_described"]

_UNIONS = (typing.Union, type(int | str))


@lru_cache(maxsize=256)
def decoder_for(kind: Any) -> Callable[[bytes], Any]:
    """What decodes JSON to a `msgspec.Struct`, dataclass or TypedDict.

    Raises:
        TypeError: it is no such type, or one that cannot be decoded to; the message says why.
    """
    if not is_described(kind):
        raise TypeError(f"a msgspec.Struct, dataclass or TypedDict is needed, not {kind!r}")
    if not any(_is_renamed(part) for part in _reachable(kind)):
        return msgspec.json.Decoder(kind).decode
    decode = msgspec.json.Decoder(_wire_type(kind, ())).decode

    def decode_renamed(raw: bytes) -> Any:
        return msgspec.convert(decode(raw), kind, from_attributes=True)

    return decode_renamed


def is_described(kind: Any) -> bool:
    """Whether it is a type that names fields: a `msgspec.Struct`, dataclass or TypedDict."""
    if not isinstance(kind, type):
        return False
    return issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind) or is_typeddict(kind)


def fields_of(kind: Any) -> Mapping[str, Any]:
    """The fields of such a type that are read from JSON: their names there (but for a dataclass's) and types.

    Raises:
        TypeError: an annotation names a type that cannot be found.
    """
    try:
        if issubclass(kind, msgspec.Struct):
            return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        hints = typing.get_type_hints(kind, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"an annotation of {kind.__name__} cannot be found ({error}): define it at the top of its module"
        ) from None
    if dataclasses.is_dataclass(kind):
        return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}
    return hints


def described_parts(annotation: Any) -> list[Any]:
    """The types that name fields in an annotation such as `list[Container] | None`."""
    if is_described(annotation):
        return [annotation]
    return [part for argument in typing.get_args(annotation) for part in described_parts(argument)]


def _reachable(kind: Any) -> set[Any]:
    """A type and all types of its parts, and theirs."""
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
    """The type to decode to instead of one with a renamed part."""
    if not any(_is_renamed(part) for part in _reachable(kind)):
        return kind
    name = kind.__name__
    if kind in inside:
        raise TypeError(f'{name} contains itself: make it a msgspec.Struct with rename="camel"')
    if not dataclasses.is_dataclass(kind):
        raise TypeError(
            f"{name} contains a dataclass whose names have to be changed to the API's: "
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
    """An annotation with every type in it that has a renamed part exchanged."""
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
