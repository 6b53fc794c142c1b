"""Paths into objects: "spec.nodeName", or ("metadata", "labels", "app.kubernetes.io/name") where a key has dots.

A path into an `Object` is compiled once to a decoder that builds nothing but what the path names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from informer.entries import Entry
from informer.frozen import freeze

__all__ = ["MISSING", "Path", "find_in_json", "get_path", "index_by", "parse_path"]

Path = str | tuple[str | int, ...]


class _Missing:
    """Says that a path leads nowhere, where None may be a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


@lru_cache(maxsize=4096)
def parse_path(path: Path) -> tuple[str | int, ...]:
    """The keys of a path.

    Raises:
        TypeError: it is neither a string nor a tuple of strings and ints.
        ValueError: it, or one of its keys, is empty.
    """
    keys: tuple[Any, ...] = tuple(path.split(".")) if isinstance(path, str) else path
    if not isinstance(keys, tuple) or any(isinstance(key, bool) or not isinstance(key, (str, int)) for key in keys):
        raise TypeError(f"a path is a dotted string or a tuple of keys and list indices, not {path!r}")
    if not keys or "" in keys:
        raise ValueError(f"a path needs at least one key, and none may be empty: {path!r}")
    return keys


def find_in_json(raw: bytes, keys: tuple[str | int, ...]) -> Any:
    """What a path leads to in an object's JSON, read-only; MISSING where it leads nowhere."""
    try:
        found = _decoder(keys).decode(raw)
    except msgspec.ValidationError:
        # Something on the way is null or of another type; the plain way tells which keys are there.
        return freeze(_walk(msgspec.json.decode(raw), keys))
    for key in keys:
        if isinstance(key, int):
            if not -len(found) <= key < len(found):
                return MISSING
            found = found[key]
        else:
            found = found.found
            if found is msgspec.UNSET:
                return MISSING
    return freeze(found)


def get_path(obj: Any, keys: tuple[str | int, ...]) -> Any:
    """What a path leads to in any kind of object; MISSING where it leads nowhere."""
    if type(obj) is Entry:
        obj = obj.object
    raw = getattr(obj, "raw", None)
    if isinstance(raw, bytes):
        return find_in_json(raw, keys)
    return _walk(obj, keys)


def index_by(path: Path) -> Callable[[Any], list[str]]:
    """An index function that takes its values from a path; an object without the path is in no entry of the index.

    Args:
        path: leads to a string, a number, a boolean ("true" or "false" in the index), or a list of these.

    Raises:
        TypeError, ValueError: it is no path.
    """
    keys = parse_path(path)

    def values(obj: Any) -> list[str]:
        found = get_path(obj, keys)
        if isinstance(found, str):
            return [found] if found else []
        if isinstance(found, (list, tuple)):
            return [text for item in found if (text := _text(item)) is not None]
        text = _text(found)
        return [] if text is None else [text]

    values.__name__ = values.__qualname__ = f"index_by({path!r})"
    return values


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, (int, float)) else None


@lru_cache(maxsize=1024)
def _decoder(keys: tuple[str | int, ...]) -> msgspec.json.Decoder[Any]:
    shape: Any = Any
    for key in reversed(keys):
        if isinstance(key, int):
            shape = list[shape]
        else:
            shape = msgspec.defstruct(
                "At",
                [("found", shape | msgspec.UnsetType if shape is not Any else Any, msgspec.UNSET)],
                rename={"found": key},
                gc=False,
            )
    return msgspec.json.Decoder(shape)


def _walk(value: Any, keys: Iterable[str | int]) -> Any:
    for key in keys:
        if isinstance(value, (list, tuple)):
            if not isinstance(key, int) or not -len(value) <= key < len(value):
                return MISSING
            value = value[key]
        elif isinstance(value, Mapping):
            if key not in value:
                return MISSING
            value = value[key]
        else:
            value = _attribute(value, key)
        if value is MISSING:
            return MISSING
    return value


def _attribute(value: Any, key: str | int) -> Any:
    """A field of a model: under the API's name, or under the name an official model gives it."""
    if not isinstance(key, str) or value is None:
        return MISSING
    names: Mapping[str, str] = getattr(type(value), "attribute_map", {})
    for attribute, wire_name in names.items():
        if wire_name == key:
            found = getattr(value, attribute, MISSING)
            return MISSING if found is None else found
    return getattr(value, key, MISSING)
