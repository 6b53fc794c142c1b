"""Prunes objects to the fields of a structural schema, and fills in its defaults.

Source: apiextensions-apiserver pkg/apiserver/schema/pruning and /defaulting.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from informer.testing.storage.schemas.built_in_fields import OBJECT_META, drop_unknown_fields

__all__ = ["EMBEDDED", "INT_OR_STRING", "PRESERVES", "Schema", "children", "complete", "set_defaults"]

Schema = Mapping[str, Any]

PRESERVES, EMBEDDED = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
_META_FIELDS = ("kind", "apiVersion", "metadata")
_NOTHING: Schema = {}
# Larger integers are not exact as floats.
_EXACT = 2**53


def complete(obj: MutableMapping[str, Any], schema: Schema, floats: list[str] | None = None) -> list[str]:
    """Prunes an object, fills in defaults, and returns the paths of the pruned fields.

    Nulls count as missing where the schema does not allow them. Floats without a fraction become integers.

    Args:
        obj: the object, which is changed.
        schema: the schema of a version of a custom resource, which is marked as an embedded one.
        floats: receives the paths of the floats that became integers where the schema wants integers.
    """
    unknown = sorted(_pruned(obj, schema, "", [] if floats is None else floats))
    set_defaults(obj, schema)
    metadata = [path for path in unknown if path.startswith("metadata.")]
    return metadata + [path for path in unknown if path not in metadata]


def children(value: Any, schema: Schema) -> Iterator[tuple[str | int, Any, Schema | None]]:
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


def _pruned(value: Any, schema: Schema, path: str, floats: list[str]) -> Iterator[str]:
    """Prunes what is in a value, and yields the paths of what it removes."""
    embedded = bool(schema.get(EMBEDDED)) and isinstance(value, dict)
    metadata = value.get("metadata") if embedded else None
    if isinstance(metadata, dict):
        yield from _prune_metadata(metadata, path)
    preserves = schema.get(PRESERVES)
    for key, each, below in list(children(value, schema)):
        if embedded and key in _META_FIELDS:
            continue
        if below is None:
            if preserves:
                continue
            if isinstance(value, dict):
                del value[key]
                yield f"{path}{key}"
                continue
        if isinstance(each, (dict, list)):
            yield from _pruned(each, below or _NOTHING, f"{_joined(path, key)}.", floats)
        elif isinstance(each, float) and each.is_integer() and abs(each) < _EXACT:
            value[key] = int(each)
            floats += [_joined(path, key)] if (below or _NOTHING).get("type") == "integer" else []


def _prune_metadata(metadata: dict[str, Any], path: str) -> list[str]:
    for name in [name for name, each in metadata.items() if each is None]:
        del metadata[name]
    return drop_unknown_fields(metadata, OBJECT_META, f"{path}metadata.")


def _joined(path: str, key: str | int) -> str:
    return f"{path.removesuffix('.')}[{key}]" if isinstance(key, int) else f"{path}{key}"


def set_defaults(value: Any, schema: Schema) -> None:
    """Fills in the defaults of what is missing, and removes nulls that the schema does not allow."""
    if isinstance(value, dict):
        for name, below in (schema.get("properties") or _NOTHING).items():
            _set_default(value, name, below)
        others = schema.get("additionalProperties")
        if isinstance(others, Mapping):
            for name in [name for name in value if value[name] is None]:
                _set_default(value, name, others)
    key: Any
    for key, each, below in children(value, schema):
        if below is None:
            continue
        if each is None and isinstance(value, list) and below.get("default") is not None and not below.get("nullable"):
            each = value[key] = copy.deepcopy(below["default"])  # noqa: PLW2901
        if isinstance(each, (dict, list)):
            set_defaults(each, below)


def _set_default(value: dict[str, Any], name: str, schema: Schema) -> None:
    if name in value and (value[name] is not None or schema.get("nullable")):
        return
    if schema.get("default") is not None:
        value[name] = copy.deepcopy(schema["default"])
    else:
        value.pop(name, None)
