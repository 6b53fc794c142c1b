"""Walks over objects with their types: which fields they have, how two differ, and how one is merged into another.

Source: structured-merge-diff typed/tofieldset.go, compare.go, merge.go, remove.go, validate.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from informer.testing.storage.field_sets import (
    FieldSet,
    children_of,
    is_member,
    joined,
    key_element,
    set_paths,
    value_element,
)
from informer.testing.storage.field_types import FieldType
from informer.testing.storage.json_equality import is_same

__all__ = ["ABSENT", "Comparison", "check_type", "compare", "field_set", "merge", "with_named_fields", "without"]

ABSENT: Any = object()
"""Stands for a field that an object does not have."""
_SCALARS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "numeric": (int, float),
    "any": (str, int, float, bool),
}
_EXPECTED = {
    "string": "expected string, got &value.valueUnstructured{{Value:{json}}}",
    "boolean": "expected boolean, got &{{{value}}}",
    "numeric": "expected numeric (int or float), got {type}",
    "any": "expected any scalar, got &{{{value}}}",
}
_GO_TYPES = {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}
_UNDECLARED = FieldType({}, {}, keeps_unknown=True)


class Comparison(NamedTuple):
    """The fields in which two objects differ."""

    removed: FieldSet
    modified: FieldSet
    added: FieldSet


def field_set(type_: FieldType, obj: Any) -> FieldSet:
    """Returns the fields that an applied object has."""
    return children_of(_fields(type_, obj, member=False, containers=False) or {})


def compare(type_: FieldType, old: Any, new: Any) -> Comparison:
    """Returns the differences between two objects."""
    return Comparison(*(children_of(each or {}) for each in _compare(type_, old, new)))


def merge(type_: FieldType, old: Any, new: Any) -> Any:
    """Returns an object with the fields of `new`, and those of `old` that `new` lacks.

    Raises:
        ValueError: the type of a field does not fit.
    """
    form = _form(type_, old if new is ABSENT else new)
    if form == "map" and not type_.whole_map:
        left, right = _fields_of(old), _fields_of(new)
        if left or right:
            merged = {
                key: merge(_below(type_, key), left.get(key, ABSENT), right.get(key, ABSENT))
                for key in {**left, **right}
            }
            return {key: value for key, value in merged.items() if value is not ABSENT} or ABSENT
    elif form == "list" and not type_.whole_list:
        left_items, right_items = _items_of(old), _items_of(new)
        if left_items or right_items:
            return _merge_lists(type_, left_items, right_items)
    return old if new is ABSENT else new


def without(type_: FieldType, value: Any, fields: FieldSet) -> Any:
    """Returns an object without fields; None if nothing is left."""
    form = _form(type_, value)
    kept: Any
    if form == "map" and isinstance(value, dict) and not type_.whole_map:
        kept = {}
        for key, each in value.items():
            below = fields.get(f"f:{key}")
            if below is None:
                kept[key] = each
            elif not is_member(below):
                kept[key] = without(_below(type_, key), each, below)
        return kept or None
    if form == "list" and isinstance(value, list) and not type_.whole_list:
        kept = []
        for element, each in _elements(type_, value):
            below = fields.get(element)
            if below is None:
                kept.append(each)
            elif not is_member(below):
                kept.append(without(type_.item(), each, below))
        return kept or None
    return value if form == "scalar" else None


def with_named_fields(type_: FieldType | None, fields: FieldSet) -> FieldSet:
    """Returns a set with every field above a member that the type names."""
    result = {}
    for key, below in fields.items():
        child = (
            None
            if type_ is None
            else type_.item()
            if key[0] == "k"
            else type_.field(key[2:])
            if key[0] == "f"
            else None
        )
        member = is_member(below) or (type_ is not None and key[0] == "f" and type_.declares(key[2:]))
        result[key] = joined(with_named_fields(child, children_of(below)), member=member) or {}
    return result


def check_type(type_: FieldType, value: Any, path: str = "") -> Iterator[str]:
    """Yields what does not fit in an applied object: undeclared fields, values of wrong types, items with equal keys."""
    form = _form(type_, value)
    if value is None:
        return
    if form == "map":
        if not isinstance(value, dict):
            yield f"{path}: expected map, got &{{{value}}}"
            return
        for key, each in value.items():
            child = type_.field(key)
            if child is None:
                yield f"{path}.{key}: field not declared in schema"
                return
            yield from check_type(child, each, f"{path}.{key}")
    elif form == "list":
        if not isinstance(value, list):
            yield f"{path}: expected list, got &{{{value}}}"
            return
        yield from _check_items(type_, value, path)
    elif not isinstance(value, _SCALARS[type_.scalar]) or (type_.scalar == "numeric" and isinstance(value, bool)):
        yield f"{path}: " + _EXPECTED[type_.scalar].format(
            json=json.dumps(value), value=value, type=_GO_TYPES.get(type(value))
        )


def _fields(type_: FieldType, value: Any, *, member: bool, containers: bool) -> FieldSet | None:
    """Returns the fields of a value and below it.

    Args:
        type_: the value's type.
        value: the value.
        member: whether a map or list of single owners is in the set itself.
        containers: whether all maps and lists in it are.
    """
    form = _form(type_, value)
    children: FieldSet = {}
    if form == "map" and isinstance(value, dict) and not type_.whole_map:
        for key, each in value.items():
            owned = containers or each is None or each == {} or not type_.declares(key)
            below = _fields(_below(type_, key), each, member=owned, containers=containers)
            if below is not None:
                children[f"f:{key}"] = below
        return joined(children, member=member)
    if form == "list" and isinstance(value, list) and not type_.whole_list:
        for element, items in _grouped(type_, value).items():
            several = len(items) > 1
            children[element] = (
                {} if several else _fields(type_.item(), items[0], member=True, containers=containers) or {}
            )
        return joined(children, member=member)
    if value is None and (form == "map" or (form == "list" and not type_.whole_list)):
        return joined({}, member=member)
    return {}


def _compare(type_: FieldType, old: Any, new: Any) -> tuple[FieldSet | None, FieldSet | None, FieldSet | None]:
    if old is ABSENT:
        return None, None, _fields(type_, new, member=True, containers=True)
    if new is ABSENT:
        return _fields(type_, old, member=True, containers=True), None, None
    if old == new and (isinstance(old, bool) == isinstance(new, bool) if _is_scalar(old) else is_same(old, new)):
        return None, None, None
    found: tuple[FieldSet, FieldSet, FieldSet] = ({}, {}, {})
    modified = False
    for form in {_form(type_, old), _form(type_, new)}:
        if form == "map" and not type_.whole_map and (_fields_of(old) or _fields_of(new)):
            left, right = _fields_of(old), _fields_of(new)
            for key in {**left, **right}:
                differences = _compare(_below(type_, key), left.get(key, ABSENT), right.get(key, ABSENT))
                _put(found, f"f:{key}", differences)
        elif form == "list" and not type_.whole_list and (_items_of(old) or _items_of(new)):
            _compare_items(type_, _items_of(old), _items_of(new), found)
        else:
            modified = True
    return found[0] or None, joined(found[1], member=modified), found[2] or None


def _compare_items(
    type_: FieldType, old: list[Any], new: list[Any], found: tuple[FieldSet, FieldSet, FieldSet]
) -> None:
    left, right = _grouped(type_, old), _grouped(type_, new)
    for element in {**left, **right}:
        before, after = left.get(element, []), right.get(element, [])
        if len(before) > 1 and len(after) > 1:
            if before != after:
                found[1][element] = {}
        elif len(before) > 1 or len(after) > 1:
            one = (ABSENT, after[0]) if len(after) == 1 else (before[0], ABSENT) if len(before) == 1 else None
            if one is not None:
                _put(found, element, _compare(type_.item(), *one))
            found[0 if len(before) > 1 else 2][element] = {}
        else:
            both = (before[0] if before else ABSENT, after[0] if after else ABSENT)
            _put(found, element, _compare(type_.item(), *both))


def _put(found: tuple[FieldSet, ...], key: str, differences: tuple[FieldSet | None, ...]) -> None:
    for into, each in zip(found, differences, strict=True):
        if each is not None:
            into[key] = each


def _merge_lists(type_: FieldType, old: list[Any], new: list[Any]) -> Any:
    """Merges lists item by item: the order is that of `new`; other items stay behind those that they followed."""
    left, right = list(_elements(type_, old)), list(_elements(type_, new))
    before = {element: items[0] for element, items in _grouped(type_, old).items() if len(items) == 1}
    known, after = {element for element, _ in left}, dict(right)
    shared = [element for element, _ in right if element in known]
    merged, done, at_left, at_right = [], set(), 0, 0
    while at_left < len(left) or at_right < len(right):
        element = left[at_left][0] if at_left < len(left) else None
        wanted = right[at_right][0] if at_right < len(right) else None
        if element is not None and element == wanted:
            at_left += 1
        elif element is not None and wanted is not None and element in after and shared and shared[0] != element:
            at_left += 1
            continue
        elif element is not None and element not in after:
            merged.append(merge(type_.item(), left[at_left][1], ABSENT))
            at_left += 1
            continue
        elif element in done:
            at_left += 1
        if wanted is not None:
            done.add(wanted)
            merged.append(merge(type_.item(), before.get(wanted, ABSENT), after[wanted]))
            at_right += 1
            if shared and shared[0] == wanted:
                del shared[0]
    return [each for each in merged if each is not ABSENT] or ABSENT


def _elements(type_: FieldType, items: list[Any]) -> Iterator[tuple[str, Any]]:
    """Yields the items of a list with their path elements.

    Raises:
        ValueError: an item cannot be identified.
    """
    for index, item in enumerate(items):
        if not type_.keys:
            if item is None or isinstance(item, dict | list):
                raise ValueError(f"element {index}: associative list without keys has an element that's a map type")
            yield value_element(item), item
            continue
        if not isinstance(item, dict):
            raise ValueError(f"element {index}: associative list with keys may not have non-map elements")
        keys = {key: item.get(key, type_.item().default(key)) for key in type_.keys}
        keys = {key: value for key, value in keys.items() if value is not None}
        if not keys:
            names = " ".join(f'"{key}"' for key in type_.keys)
            raise ValueError(
                f"element {index}: associative list with keys has an element that omits all key fields [{names}] "
                "(and doesn't have default values for any key fields)"
            )
        yield key_element(keys), item


def _grouped(type_: FieldType, items: list[Any]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for element, item in _elements(type_, items):
        groups.setdefault(element, []).append(item)
    return groups


def _check_items(type_: FieldType, items: list[Any], path: str) -> Iterator[str]:
    try:
        named = (
            [(f"i:{index}", item) for index, item in enumerate(items)]
            if type_.whole_list
            else list(_elements(type_, items))
        )
    except ValueError as error:
        yield f"{path}: {error}"
        return
    seen = set()
    for element, item in named:
        shown = next(set_paths({element: {}}))
        if element in seen:
            yield f"{path}: duplicate entries for key {shown}"
        seen.add(element)
        yield from check_type(type_.item(), item, path + shown)


def _form(type_: FieldType, value: Any) -> str:
    """Returns as what a value is handled: "map", "list" or "scalar"."""
    own = "map" if isinstance(value, dict) else "list" if isinstance(value, list) else "scalar"
    if type_.shape != "any":
        return type_.shape
    return "map" if value is None else own


def _below(type_: FieldType, key: str) -> FieldType:
    return type_.field(key) or _UNDECLARED


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _fields_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
