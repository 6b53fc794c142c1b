"""Prunes objects to the fields of a structural schema, and fills in its defaults.

Source: apiextensions-apiserver pkg/apiserver/schema/pruning and /defaulting.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from informer.testing.storage.schemas.built_in_fields import OBJECT_META, drop_unknown_fields
from informer.testing.storage.statuses import shown

__all__ = [
    "EMBEDDED",
    "INT_OR_STRING",
    "LIST_TYPE",
    "MAP_KEYS",
    "PRESERVES",
    "Schema",
    "children_with_old",
    "complete",
    "item_key",
    "joined",
]

Schema = Mapping[str, Any]

PRESERVES, EMBEDDED = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE, MAP_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
_META_FIELDS = ("kind", "apiVersion", "metadata")
_NOTHING: Schema = {}
# Larger integers are not exact as floats.
_EXACT = 2**53


def complete(obj: MutableMapping[str, Any], schema: Schema) -> list[str]:
    """Prunes an object, fills in defaults, and returns the paths of the pruned fields.

    Nulls count as missing where the schema does not allow them. Floats without a fraction become integers.

    Args:
        obj: the object, which is changed.
        schema: the schema of a version of a custom resource, which is marked as an embedded one.
    """
    unknown = sorted(_pruned(obj, schema, ""))
    _set_defaults(obj, schema)
    metadata = [path for path in unknown if path.startswith("metadata.")]
    return metadata + [path for path in unknown if path not in metadata]


def _children(value: Any, schema: Schema) -> Iterator[tuple[str | int, Any, Schema | None]]:
    """Yields key, value and schema of what a value contains; the schema is None where there is none."""
    if isinstance(value, dict):
        properties, others = schema.get("properties") or _NOTHING, schema.get("additionalProperties")
        for name, each in value.items():
            below = properties.get(name)
            if below is None and others is not None:
                below = others if isinstance(others, Mapping) else _NOTHING
            yield name, each, below
    elif isinstance(value, list):
        items = schema.get("items")
        for i, each in enumerate(value):
            yield i, each, items


def children_with_old(value: Any, schema: Schema, old: Any) -> Iterator[tuple[str | int, Any, Schema | None, Any]]:
    """Yields what a value contains as `_children` does, each with the part of the stored value that it takes the place of."""
    is_list = isinstance(value, list)
    former = {item_key(each, schema): each for each in old} if is_list and isinstance(old, list) else old
    for key, each, below in _children(value, schema):
        place = item_key(each, schema) if is_list else key
        yield key, each, below, former.get(place) if isinstance(former, dict) and place is not None else None


def item_key(item: Any, schema: Schema) -> str | None:
    """Returns what identifies an item of a list, whose schema is given, if that is a map; None in other lists."""
    if schema.get(LIST_TYPE) != "map" or not isinstance(item, Mapping):
        return None
    return shown({name: item[name] for name in schema.get(MAP_KEYS) or () if name in item})


def joined(path: str, key: str | int) -> str:
    """Returns the path of a part of a value, such as "spec.items[0]"."""
    return f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".removeprefix(".")


def _pruned(value: Any, schema: Schema, path: str) -> Iterator[str]:
    """Prunes what is in a value, and yields the paths of what it removes."""
    embedded = bool(schema.get(EMBEDDED)) and isinstance(value, dict)
    metadata = value.get("metadata") if embedded else None
    if isinstance(metadata, dict):
        for name in [name for name, each in metadata.items() if each is None]:
            del metadata[name]
        yield from drop_unknown_fields(metadata, OBJECT_META, joined(path, "metadata."))
    preserves = schema.get(PRESERVES)
    for key, each, below in list(_children(value, schema)):
        if embedded and key in _META_FIELDS:
            continue
        if below is None:
            if preserves:
                continue
            if isinstance(value, dict):
                del value[key]
                yield joined(path, key)
                continue
        if isinstance(each, (dict, list)):
            yield from _pruned(each, below or _NOTHING, joined(path, key))
        elif isinstance(each, float) and each.is_integer() and abs(each) < _EXACT:
            value[key] = int(each)


def _set_defaults(value: Any, schema: Schema) -> None:
    """Fills in the defaults of what is missing, and removes nulls that the schema does not allow."""
    if isinstance(value, dict):
        for name, below in (schema.get("properties") or _NOTHING).items():
            _set_default(value, name, below)
        others = schema.get("additionalProperties")
        if isinstance(others, Mapping):
            for name in [name for name in value if value[name] is None]:
                _set_default(value, name, others)
    key: Any
    for key, each, below in _children(value, schema):
        if below is None:
            continue
        if each is None and isinstance(value, list) and below.get("default") is not None and not below.get("nullable"):
            each = value[key] = copy.deepcopy(below["default"])  # noqa: PLW2901
        if isinstance(each, (dict, list)):
            _set_defaults(each, below)


def _set_default(value: dict[str, Any], name: str, schema: Schema) -> None:
    if name in value and (value[name] is not None or schema.get("nullable")):
        return
    if schema.get("default") is not None:
        value[name] = copy.deepcopy(schema["default"])
    else:
        value.pop(name, None)
