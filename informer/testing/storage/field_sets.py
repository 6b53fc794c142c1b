"""Sets of fields, and the form in which `fieldsV1` of an object's managedFields writes them.

A path has one element for each level: "f:name" for a field, 'k:{"name":"main"}' for an item of a list by its keys, 'v:"x"' for
a plain item. In `fieldsV1`, an element contains the elements below it. A path is in the set if there are none, or "." is one.

Source: structured-merge-diff fieldpath/set.go, fieldpath/serialize.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

__all__ = ["FieldSet", "Path", "in_order", "item_element", "outside", "read_set", "shown_path", "written_set"]

Path = tuple[str, ...]
FieldSet = set[Path] | frozenset[Path]


def read_set(fields: Any) -> FieldSet:
    """Returns the set that `fieldsV1` writes.

    Raises:
        ValueError: it is not a set.
    """
    return _read(msgspec.json.encode(fields))


def written_set(fields: FieldSet) -> dict[str, Any]:
    """Returns a set as `fieldsV1` writes it, with its elements in order."""
    written: dict[str, Any] = msgspec.json.decode(_written(frozenset(fields)))
    return written


def outside(fields: FieldSet, roots: FieldSet) -> FieldSet:
    """Returns the paths of a set that are neither in another set nor below a path of it."""
    first = {path[0] for path in roots}
    return {
        path
        for path in fields
        if path[0] not in first or not any(path[:depth] in roots for depth in range(1, len(path) + 1))
    }


def item_element(kind: str, value: Any) -> str:
    """Returns the element of a list's item: kind "k" and the values of its keys, or kind "v" and the item."""
    return f"{kind}:{msgspec.json.encode(value, order='sorted').decode()}"


def shown_path(path: Path) -> str:
    """Returns a path as messages show it, such as `.spec.ports[port=80,protocol="TCP"].nodePort`."""
    return "".join(map(_shown, path))


def in_order(fields: Iterable[Path]) -> list[Path]:
    """Returns paths in the order of messages: at each level, first those that end there."""
    return sorted(fields, key=lambda path: [(depth + 1 < len(path), element) for depth, element in enumerate(path)])


# Each write of an object reads the sets of all its owners, of which most are those of the write before. Many objects of a test
# have the same fields.
@lru_cache(maxsize=1024)
def _read(text: bytes) -> FieldSet:
    return frozenset(_paths(msgspec.json.decode(text), ()))


@lru_cache(maxsize=1024)
def _written(fields: frozenset[Path]) -> bytes:
    written: dict[str, Any] = {}
    for path in sorted(fields):
        at = written
        for depth, element in enumerate(path):
            if element not in at:
                if not at and path[:depth] in fields:
                    at["."] = {}
                at[element] = {}
            at = at[element]
    return msgspec.json.encode(written)


def _paths(fields: Any, path: Path) -> Iterator[Path]:
    if not isinstance(fields, dict | None):
        raise ValueError("a set of fields must be an object")
    if path and (not fields or "." in fields):
        yield path
    for key, below in (fields or {}).items():
        kind, colon, value = key.partition(":")
        if key == ".":
            continue
        if not colon:
            raise ValueError(f"missing colon: {key}")
        if kind in ("f", "k", "v", "i"):
            element = key if kind == "f" else item_element(kind, json.loads(value))
            yield from _paths(below, (*path, element))


def _shown(element: str) -> str:
    kind, _, value = element.partition(":")
    if kind == "k":
        keys = json.loads(value).items()
        return f"[{','.join(f'{name}={msgspec.json.encode(each).decode()}' for name, each in keys)}]"
    return f".{value}" if kind == "f" else f"[={value}]" if kind == "v" else f"[{value}]"
