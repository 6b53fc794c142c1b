"""JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge patch, on plain dicts and lists. No argument is changed.

JSON patch is the work of the package `jsonpatch`, which is imported when the first JSON patch is applied. A strategic merge
patch merges lists of the built-in kinds item by item, by the field that identifies an item in the type of the list.

Source: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from informer.testing.storage.field_types import FieldType
from informer.testing.storage.json_values import DEEP
from informer.testing.storage.statuses import shown

__all__ = ["DirectiveError", "PatchError", "json_patch", "merge_patch", "strategic_merge"]

_DIRECTIVE, _RETAIN, _ORDER = "$patch", "$retainKeys", "$setElementOrder/"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"


class PatchError(ValueError):
    """The patch cannot be applied; the message says why."""


class DirectiveError(PatchError):
    """A strategic merge patch contradicts itself; the real server calls that an error of its own."""


def merge_patch(document: Any, patch: Any) -> Any:
    """Returns a document with a merge patch applied: null deletes, mappings merge, anything else replaces.

    Raises:
        PatchError: it reaches into a part of the document that is nested too deeply.
    """
    _refuse_deep(document, patch)
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(document: Any, operations: list[Any]) -> Any:
    """Returns a document with the operations of a JSON patch applied, all or none.

    As in kube-apiserver, and against RFC 6902, `replace` adds a member that the object does not have.

    Raises:
        PatchError: an operation is malformed, or does not fit the document.
        ImportError: the `jsonpatch` package is not installed.
    """
    jsonpatch, patch_class = _library()
    # Copied, since releases of jsonpatch before 1.34 put the operations' own values into the result.
    copied = copy.deepcopy(operations)
    try:
        return patch_class(copied).apply(document)
    # TypeError and AttributeError: releases before 1.34 fail so on a path through a string, or one that is not a string.
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, AttributeError) as error:
        raise PatchError(str(error)) from error


def strategic_merge(type_: FieldType, document: Any, patch: Any) -> Any:
    """Returns a document of a type with a strategic merge patch applied.

    Raises:
        DirectiveError: an item of a list does not have the list's merge key, or a directive is not known.
        PatchError: the patch reaches into a part of the document that is nested too deeply.
    """
    _refuse_deep(document, patch)
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    match patch.get(_DIRECTIVE, "merge"):
        case "replace":
            return {key: copy.deepcopy(value) for key, value in patch.items() if key != _DIRECTIVE}
        case "delete":
            return {}
        case unknown if unknown != "merge":
            raise DirectiveError(f"unknown patch type: {unknown} in map: {shown(patch)}")
    return _merge_fields(type_, document if isinstance(document, Mapping) else {}, patch)


def _merge_fields(type_: FieldType, old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = {key: value for key, value in old.items() if key in patch.get(_RETAIN, old)}
    for key, value in patch.items():
        if key.startswith(_DELETE_PRIMITIVES):
            name = key.removeprefix(_DELETE_PRIMITIVES)
            merged[name] = [item for item in merged.get(name) or () if item not in value]
        elif value is None or _directive(value) == "delete":
            merged.pop(key, None)
        elif not key.startswith("$"):
            change, below = _merge_list if isinstance(value, list) else strategic_merge, type_.below(f"f:{key}")
            merged[key] = change(below, merged.get(key), value)
    for key, order in patch.items():
        name = key.removeprefix(_ORDER)
        if name != key and isinstance(merged.get(name), list):
            merge_key = type_.below(f"f:{name}").merge_key
            merged[name] = _in_order(merged[name], order, old.get(name) or [], merge_key)
    return merged


def _merge_list(type_: FieldType, document: Any, patch: list[Any]) -> list[Any]:
    kept = [item for item in patch if _directive(item) != "replace"]
    merge_key = type_.merge_key
    if merge_key is None or len(kept) < len(patch):
        return copy.deepcopy(kept)
    old = document or []
    result = list(old)
    for item in patch:
        if not merge_key or not isinstance(item, Mapping):
            if item not in result:
                result.append(item)
            continue
        if merge_key not in item:
            raise DirectiveError(f"map: {shown(item)} does not contain declared merge key: {merge_key}")
        at = next((i for i, have in enumerate(result) if _identity(have, merge_key) == item[merge_key]), len(result))
        same = result[at : at + 1]
        merged = strategic_merge(type_.item(), same[0] if same else {}, item)
        result[at : at + 1] = [] if _directive(item) == "delete" else [merged]
    return _in_order(result, [item for item in patch if _directive(item) != "delete"], old, merge_key)


def _directive(item: Any) -> Any:
    return item.get(_DIRECTIVE) if isinstance(item, Mapping) else None


def _identity(item: Any, merge_key: str | None) -> Any:
    return item.get(merge_key) if merge_key and isinstance(item, Mapping) else item


def _in_order(items: list[Any], order: list[Any], old: list[Any], merge_key: str | None) -> list[Any]:
    """Returns items in the order of `order`; others stand before the first of these that they preceded in `old`."""

    def place(item: Any, wanted: list[Any]) -> int:
        named = _identity(item, merge_key)
        return wanted.index(named) if named in wanted else -1

    first, before = ([_identity(item, merge_key) for item in items] for items in (order, old))
    named = sorted((item for item in items if place(item, first) >= 0), key=lambda item: place(item, first))
    others = [item for item in items if place(item, first) < 0]
    result = []
    while named and others:
        is_before = 0 <= place(others[0], before) < place(named[0], before)
        result.append((others if is_before else named).pop(0))
    return result + named + others


def _refuse_deep(document: Any, patch: Any) -> None:
    """Raises PatchError if a patch changes a part of the document that is undecoded because it is nested too deeply."""
    deep = msgspec.Raw
    if (isinstance(document, deep) and isinstance(patch, Mapping)) or (
        isinstance(patch, deep) and isinstance(document, Mapping | deep)
    ):
        raise PatchError(DEEP)


@functools.cache
def _library() -> tuple[Any, Any]:
    """Returns the module `jsonpatch` and a JsonPatch class with the lenient `replace`."""
    try:
        import jsonpatch
    except ImportError as error:
        raise ImportError("JSON patch needs the package jsonpatch: pip install 'kube-informer[testing]'") from error

    class LenientReplace(jsonpatch.ReplaceOperation):
        def apply(self, obj: Any) -> Any:
            parent, key = self.pointer.to_last(obj)
            if isinstance(parent, dict) and key is not None and "value" in self.operation:
                parent[key] = copy.deepcopy(self.operation["value"])
                return obj
            return super().apply(obj)

    class LenientPatch(jsonpatch.JsonPatch):
        operations = MappingProxyType({**jsonpatch.JsonPatch.operations, "replace": LenientReplace})

    return jsonpatch, LenientPatch
