"""Walks over objects with their types: which fields they have, how two differ, and how one is merged into another.

Source: structured-merge-diff typed/tofieldset.go, compare.go, merge.go, remove.go, validate.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from informer.testing.storage.field_sets import FieldSet, Path, item_element, shown_path
from informer.testing.storage.field_types import FieldType
from informer.testing.storage.json_values import is_same

__all__ = ["Comparison", "check_type", "compare", "field_set", "merge", "with_named_fields", "without"]

_ABSENT: Any = object()


class Comparison(NamedTuple):
    """The fields in which two objects differ."""

    removed: set[Path]
    modified: set[Path]
    added: set[Path]


def field_set(type_: FieldType, obj: Any) -> FieldSet:
    """Returns the fields that an applied object has. Of maps and lists, their fields and items are meant."""
    found: set[Path] = set()
    _add(type_, obj, (), found, with_containers=False)
    return found


def compare(type_: FieldType, old: Any, new: Any) -> Comparison:
    """Returns the differences between two objects."""
    found = Comparison(set(), set(), set())
    _compare(type_, old, new, (), found)
    return found


def merge(type_: FieldType, old: Any, new: Any) -> Any:
    """Returns an object with the fields of `new`, and those of `old` that `new` lacks.

    Raises:
        ValueError: an item of a list cannot be identified.
    """
    parts = _parts(type_, old)
    if parts and new in (None, {}, []):
        return old
    if parts and isinstance(old, dict) and isinstance(new, dict):
        merged = {
            key: merge(type_.below(f"f:{key}"), old[key], each) if key in old else each for key, each in new.items()
        }
        return {**old, **merged}
    if parts and isinstance(old, list) and isinstance(new, list):
        return _merge_items(type_, old, new)
    return new


def without(type_: FieldType, value: Any, fields: FieldSet, path: Path = ()) -> Any:
    """Returns an object without fields; None if nothing is left. `path` is the object's own."""
    if not _parts(type_, value):
        return value
    named = _elements(type_, value) if isinstance(value, list) else [(f"f:{key}", each) for key, each in value.items()]
    kept = [
        (element, without(type_.below(element), each, fields, (*path, element)))
        for element, each in named
        if (*path, element) not in fields
    ]
    if isinstance(value, list):
        return [each for _, each in kept] or None
    return {element[2:]: each for element, each in kept} or None


def with_named_fields(type_: FieldType, fields: FieldSet) -> FieldSet:
    """Returns a set with every field above a member that the type names."""
    named = set(fields)
    for path in fields:
        at = type_
        for depth, element in enumerate(path[:-1], 1):
            if at.declares(element):
                named.add(path[:depth])
            at = at.below(element)
    return named


def check_type(type_: FieldType, value: Any, path: str = "") -> Iterator[str]:
    """Yields what does not fit in an applied object: undeclared fields, values of wrong types, items with equal keys."""
    expected, types = type_.accepts
    if value is None:
        return
    if not isinstance(value, types) or (expected == "numeric" and isinstance(value, bool)):
        yield f"{path}: expected {expected}, got {value!r}"
    elif isinstance(value, dict):
        for key, each in value.items():
            child = type_.field(key)
            if child is None:
                yield f"{path}.{key}: field not declared in schema"
            else:
                yield from check_type(child, each, f"{path}.{key}")
    elif isinstance(value, list):
        try:
            named = [(f"i:{i}", each) for i, each in enumerate(value)] if type_.whole_list else _elements(type_, value)
        except ValueError as error:
            yield f"{path}: {error}"
            return
        seen = set()
        for element, item in named:
            shown = shown_path((element,))
            if element in seen:
                yield f"{path}: duplicate entries for key {shown}"
            seen.add(element)
            yield from check_type(type_.item(), item, path + shown)


def _add(
    type_: FieldType, value: Any, path: Path, found: set[Path], *, with_containers: bool, is_member: bool = True
) -> None:
    """Adds the paths of a value and of its parts to a set; that of a map or list itself if it is a member."""
    parts = _parts(type_, value)
    if path and (parts is None or is_member):
        found.add(path)
    for element, each in (parts or {}).items():
        is_part_member = with_containers or each is None or each == {} or not type_.declares(element)
        _add(
            type_.below(element),
            each,
            (*path, element),
            found,
            with_containers=with_containers,
            is_member=is_part_member,
        )


def _compare(type_: FieldType, old: Any, new: Any, path: Path, found: Comparison) -> None:
    if old is _ABSENT or new is _ABSENT:
        is_new = old is _ABSENT
        _add(type_, new if is_new else old, path, found.added if is_new else found.removed, with_containers=True)
    elif not is_same(old, new):
        left, right = _parts(type_, old), _parts(type_, new)
        if left is None or right is None or not (left or right):
            found.modified.add(path)
            return
        for element in {**left, **right}:
            below, missing = (*path, element), type_.always_has(element)
            before, after = (parts.get(element, _ABSENT if missing is None else missing) for parts in (left, right))
            _compare(type_.below(element), before, after, below, found)


def _merge_items(type_: FieldType, old: list[Any], new: list[Any]) -> list[Any]:
    """Merges lists item by item: the order is that of `new`; other items stay behind those that they followed."""
    left, pending = _elements(type_, old), _elements(type_, new)
    known, wanted = dict(left), {element for element, _ in pending}
    both = [element for element, _ in pending if element in known]
    merged = []

    def take(count: int) -> None:
        for element, each in pending[:count]:
            merged.append(merge(type_.item(), known[element], each) if element in known else each)
        del pending[:count]

    for element, each in left:
        if element not in wanted:
            merged.append(each)
        elif both and both[0] == element:
            take([name for name, _ in pending].index(element) + 1)
            del both[0]
    take(len(pending))
    return merged


def _parts(type_: FieldType, value: Any) -> dict[str, Any] | None:
    """Returns the parts of a map or list that may have several owners, by path element; None if a value has one owner.

    Raises:
        ValueError: an item of a list cannot be identified.
    """
    if value is None:
        return {}
    if isinstance(value, dict):
        return None if type_.whole_map else {f"f:{key}": each for key, each in value.items()}
    if not isinstance(value, list) or type_.whole_list:
        return None
    elements = _elements(type_, value)
    parts = dict(elements)
    if len(parts) < len(elements):  # items with the same keys are owned together
        parts |= {
            element: same for element in parts if len(same := [each for name, each in elements if name == element]) > 1
        }
    return parts


def _elements(type_: FieldType, items: list[Any]) -> list[tuple[str, Any]]:
    """Returns the items of a list with their path elements.

    Raises:
        ValueError: an item cannot be identified.
    """
    return [(_element(type_, index, item), item) for index, item in enumerate(items)]


def _element(type_: FieldType, index: int, item: Any) -> str:
    if type_.keys:
        fields = item if isinstance(item, dict) else {}
        keys = {key: fields.get(key, type_.item().default(key)) for key in type_.keys}
        keys = {key: value for key, value in keys.items() if value is not None}
        if not keys:
            raise ValueError(f"element {index}: associative list with keys has an element without key fields")
        return item_element("k", keys)
    if item is None or isinstance(item, dict | list):
        raise ValueError(f"element {index}: associative list without keys has an element that's a map type")
    return item_element("v", item)
