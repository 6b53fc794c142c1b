"""Sets of fields in the form of `fieldsV1`, and their operations. No argument is changed.

A set is a dict whose keys are path elements: "f:name" for a field, 'k:{"name":"main"}' for an item of a list by its keys,
'v:"x"' for a plain item. A value is the set below. A path is a member if it has nothing below it, or "." below it.

Source: structured-merge-diff fieldpath/set.go, fieldpath/serialize.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

__all__ = [
    "FieldSet",
    "children_of",
    "difference",
    "in_order",
    "intersection",
    "is_member",
    "joined",
    "key_element",
    "read_set",
    "set_paths",
    "union",
    "value_element",
]

FieldSet = dict[str, Any]
_ORDER = "fkvi"


def is_member(below: FieldSet) -> bool:
    """Whether a path is in the set, by what is below it."""
    return not below or "." in below


def children_of(below: FieldSet) -> FieldSet:
    """Returns the set below a path, without the path itself."""
    return {key: value for key, value in below.items() if key != "."} if "." in below else below


def joined(children: FieldSet, *, member: bool) -> FieldSet | None:
    """Returns what is below a path; None if neither the path nor anything below it is in the set."""
    if not member:
        return children or None
    return {".": {}, **children} if children else {}


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Returns the paths of both sets, in order if these are."""
    result = dict(left)
    for key, below in right.items():
        mine = result.get(key)
        if mine is None:
            result[key] = below
        else:
            both = union(children_of(mine), children_of(below))
            result[key] = joined(both, member=is_member(below) or is_member(mine)) or {}
    return result if len(result) == len(left) else {key: result[key] for key in sorted(result)}


def difference(left: FieldSet, right: FieldSet, *, recursive: bool = False) -> FieldSet:
    """Returns the paths of `left` that `right` lacks; if recursive, also without the paths below those of `right`."""
    if left.keys().isdisjoint(right):
        return left
    result = {}
    for key, below in left.items():
        rest: FieldSet | None = below
        other = right.get(key)
        if other is not None:
            member = is_member(other)
            keeps = {} if recursive and member else children_of(below)
            rest = joined(
                difference(keeps, children_of(other), recursive=recursive), member=is_member(below) and not member
            )
        if rest is not None:
            result[key] = rest
    return result


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Returns the paths that both sets have."""
    result = {}
    for key in left.keys() & right.keys():
        mine, other = left[key], right[key]
        member = is_member(mine) and is_member(other)
        both = joined(intersection(children_of(mine), children_of(other)), member=member)
        if both is not None:
            result[key] = both
    return result


def in_order(fields: FieldSet) -> FieldSet:
    """Returns a set with its path elements in order."""
    return {key: in_order(fields[key]) for key in sorted(fields)}


def key_element(keys: Mapping[str, Any]) -> str:
    """Returns the path element of a list's item with these keys."""
    return "k:" + _json(dict(sorted(keys.items())))


def value_element(value: Any) -> str:
    """Returns the path element of a plain item."""
    return "v:" + _json(value)


def read_set(fields: Any) -> FieldSet:
    """Returns a set that a client has sent, with its path elements in their usual form.

    Raises:
        ValueError: it is not a set.
    """
    return children_of(_read({} if fields is None else fields))


def set_paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """Yields the paths of a set as messages show them, such as `.spec.ports[port=80,protocol="TCP"].nodePort`."""
    keys = sorted(fields, key=_rank)
    for key in keys:
        if is_member(fields[key]):
            yield prefix + _shown(key)
    for key in keys:
        yield from set_paths(children_of(fields[key]), prefix + _shown(key))


def _read(fields: Any) -> FieldSet:
    if not isinstance(fields, dict):
        raise ValueError("a set of fields must be an object")
    result: FieldSet = {}
    for key, below in fields.items():
        if key != "." and key[1:2] != ":":
            raise ValueError(f"missing colon: {key}")
        if key[0] in (".", "f"):
            element = key
        elif key[0] in _ORDER:
            value = json.loads(key[2:])
            element = key_element(value) if key[0] == "k" else key[:2] + _json(value)
        else:
            continue
        result[element] = _read({} if below is None else below)
    return result


def _rank(key: str) -> tuple[int, Any]:
    kind, value = key[0], key[2:]
    if kind == "k":
        return 1, [(name, *_value_rank(each)) for name, each in json.loads(value).items()]
    return _ORDER.index(kind), value if kind == "f" else _value_rank(json.loads(value))


def _value_rank(value: Any) -> tuple[int, Any]:
    """Numbers come first, then texts, then booleans."""
    if isinstance(value, bool):
        return 2, value
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def _shown(key: str) -> str:
    kind, value = key[0], key[2:]
    if kind == "k":
        return "[" + ",".join(f"{name}={_json(each)}" for name, each in json.loads(value).items()) + "]"
    return f".{value}" if kind == "f" else f"[={value}]" if kind == "v" else f"[{value}]"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
