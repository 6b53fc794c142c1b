"""Validates what JSON Schema cannot say: lists that are sets or maps, and objects inside custom objects.

Source: apiextensions-apiserver pkg/apiserver/schema/listtype and /objectmeta.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from informer.testing.storage.name_rules import annotation_causes, label_causes, name_causes
from informer.testing.storage.schemas.structure import EMBEDDED, Schema, children
from informer.testing.storage.schemas.validation import Failure, Path, as_json, path_text
from informer.testing.storage.statuses import Cause

__all__ = ["LABEL_1035", "LIST_TYPE", "MAP_KEYS", "item_key", "object_failures"]

LIST_TYPE, MAP_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
LABEL_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and "
    "end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)


def item_key(item: Any, schema: Schema) -> str | None:
    """Returns what identifies an item of a list that is a map; None in other lists.

    Args:
        item: the item.
        schema: the list's schema.
    """
    if schema.get(LIST_TYPE) != "map" or not isinstance(item, Mapping):
        return None
    return as_json({name: item[name] for name in schema.get(MAP_KEYS) or () if name in item})


def object_failures(value: Any, schema: Schema, path: Path = ()) -> Iterator[Failure]:
    """Yields the duplicates in sets and maps of a value, and what is wrong with the objects in it.

    Args:
        value: the value.
        schema: its schema.
        path: where it is.
    """
    if schema.get(EMBEDDED) and path and isinstance(value, Mapping):
        yield from (Failure(path, cause) for cause in _embedded_causes(value, f"{path_text(path)}."))
    yield from _duplicates(value, schema, path)
    for key, each, below in children(value, schema):
        if isinstance(each, (dict, list)) and below is not None:
            yield from object_failures(each, below, (*path, key))


def _duplicates(value: Any, schema: Schema, path: Path) -> Iterator[Failure]:
    kind = schema.get(LIST_TYPE)
    if kind not in ("set", "map") or not isinstance(value, list):
        return
    seen: dict[str, bool] = {}
    for i, item in enumerate(value):
        key = as_json(item) if kind == "set" else item_key(item, schema)
        if key is None:
            continue
        if seen.get(key) is False:
            where = (*path, i)
            yield Failure(path, Cause("FieldValueDuplicate", f"Duplicate value: {key}", path_text(where)))
        seen[key] = key in seen


def _embedded_causes(value: Mapping[str, Any], path: str) -> Iterator[Cause]:
    version, kind = value.get("apiVersion"), value.get("kind")
    if isinstance(version, str) and version.count("/") > 1:
        text = f"unexpected GroupVersion string: {version}"
        yield Cause.bad(f"{path}apiVersion", json.dumps(version), text)
    if isinstance(kind, str) and not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", kind.lower()):
        message = f"may have mixed case, but should otherwise match: {LABEL_1035}"
        yield Cause.bad(f"{path}kind", json.dumps(kind), message)
    metadata = value.get("metadata") or {}
    texts = [metadata.get(name) or {} for name in ("labels", "annotations")] if isinstance(metadata, Mapping) else [0]
    if not all(isinstance(each, Mapping) and all(isinstance(text, str) for text in each.values()) for each in texts):
        yield Cause.bad(
            f"{path}metadata", as_json(metadata), "json: cannot unmarshal it into Go value of type v1.ObjectMeta"
        )
        return
    causes = [*label_causes(metadata.get("labels") or {}), *annotation_causes(metadata.get("annotations") or {})]
    if metadata.get("namespace"):
        namespace = metadata["namespace"]
        causes += name_causes("metadata.namespace", namespace, namespace, "Namespace")
    for cause in causes:
        yield cause._replace(field=path + cause.field)
