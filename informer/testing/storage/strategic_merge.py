"""Strategic merge patch: merges lists of the built-in kinds item by item, by a field that identifies the item.

The merge key depends only on the list's name, which is enough for the common kinds. Arguments are not changed.

Source: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/; the merge keys are
those of the API's types (patchMergeKey).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from informer.testing.storage.patches import DirectiveError, refuse_deep

__all__ = ["strategic_merge"]

# The merge key of each list, by the list's name. "" is a list of plain values, which is merged as a set.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "readinessGates": "",
    "conditions": "type",
    "podIPs": "ip",
    "hostIPs": "",
    "addresses": "type",
    "ownerReferences": "uid",
    "finalizers": "",
    "secrets": "name",
    "webhooks": "name",
    "matchConditions": "name",
    "podCIDRs": "",
}
# The merge key of a list "ports" is the first of these that an item has.
_PORTS = ("containerPort", "port")
_DIRECTIVE, _ORDER, _DELETE_PRIMITIVES, _RETAIN = (
    "$patch",
    "$setElementOrder/",
    "$deleteFromPrimitiveList/",
    "$retainKeys",
)


def strategic_merge(document: Any, patch: Any) -> Any:
    """Returns a document with a strategic merge patch applied.

    Raises:
        DirectiveError: an item of a list does not have the list's merge key, or a directive is not known.
        PatchError: the patch reaches into a part of the document that is nested too deeply.
    """
    refuse_deep(document, patch)
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    if patch.get(_DIRECTIVE) == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != _DIRECTIVE}
    if patch.get(_DIRECTIVE) == "delete":
        return {}
    if _DIRECTIVE in patch and patch[_DIRECTIVE] != "merge":
        raise DirectiveError(f"unknown patch type: {patch[_DIRECTIVE]} in map: {_shown(patch)}")
    merged = copy.deepcopy(dict(document)) if isinstance(document, Mapping) else {}
    if _RETAIN in patch:
        merged = {key: value for key, value in merged.items() if key in patch[_RETAIN]}
    for key, value in patch.items():
        _merge_field(merged, key, value)
    for key, order in patch.items():
        if key.startswith(_ORDER):
            name = key[len(_ORDER) :]
            merged[name] = _reordered(name, merged.get(name), order, _list_in(document, name))
    return merged


def _shown(value: Any) -> str:
    """Returns a value as Go prints it."""
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_shown(value[key])}' for key in sorted(value))}]"
    return f"[{' '.join(map(_shown, value))}]" if isinstance(value, list) else str(value)


def _merge_field(merged: dict[str, Any], key: str, value: Any) -> None:
    if key.startswith(_DELETE_PRIMITIVES):
        name = key[len(_DELETE_PRIMITIVES) :]
        merged[name] = [item for item in merged.get(name) or () if item not in value]
    elif key.startswith(_ORDER) or key in (_RETAIN, _DIRECTIVE):
        return
    elif value is None:
        merged.pop(key, None)
    elif isinstance(value, list):
        merged[key] = _merge_list(key, merged.get(key) or [], value)
    elif isinstance(value, Mapping) and value.get(_DIRECTIVE) == "delete":
        merged.pop(key, None)
    else:
        merged[key] = strategic_merge(merged.get(key), value)


def _merge_list(name: str, old: list[Any], patch: list[Any]) -> list[Any]:
    if any(isinstance(item, Mapping) and item.get(_DIRECTIVE) == "replace" for item in patch):
        return [copy.deepcopy(i) for i in patch if not (isinstance(i, Mapping) and i.get(_DIRECTIVE) == "replace")]
    merge_key = _merge_key(name, [*old, *patch])
    if merge_key is None:
        return copy.deepcopy(patch)
    result = list(old)
    for item in patch:
        if not merge_key:
            if item not in result:
                result.append(copy.deepcopy(item))
            continue
        if not isinstance(item, Mapping) or merge_key not in item:
            raise DirectiveError(f"map: {_shown(item)} does not contain declared merge key: {merge_key}")
        at = next((i for i, have in enumerate(result) if _names(have, merge_key, item[merge_key])), None)
        if item.get(_DIRECTIVE) == "delete":
            if at is not None:
                del result[at]
        elif at is None:
            result.append(strategic_merge({}, item))
        else:
            result[at] = strategic_merge(result[at], item)
    order = [item for item in patch if not (isinstance(item, Mapping) and item.get(_DIRECTIVE) == "delete")]
    return _in_order(result, order, old, merge_key)


def _merge_key(name: str, items: list[Any]) -> str | None:
    if name == "ports":
        return next((key for key in _PORTS if any(isinstance(i, Mapping) and key in i for i in items)), None)
    merge_key = _MERGE_KEYS.get(name)
    if merge_key and items and not any(isinstance(item, Mapping) for item in items):
        return None
    return merge_key


def _names(item: Any, merge_key: str, value: Any) -> bool:
    return isinstance(item, Mapping) and item.get(merge_key) == value


def _reordered(name: str, items: Any, order: list[Any], old: list[Any]) -> Any:
    """Returns a merged list in the order that `$setElementOrder` gives."""
    if not isinstance(items, list):
        return items
    return _in_order(items, order, old, _merge_key(name, [*items, *order]))


def _in_order(items: list[Any], order: list[Any], old: list[Any], merge_key: str | None) -> list[Any]:
    """Returns items in the order of `order`; others stand before the first of these that they preceded in `old`."""

    def identity(item: Any) -> Any:
        return item.get(merge_key) if merge_key and isinstance(item, Mapping) else item

    def place(item: Any, wanted: list[Any]) -> int:
        return wanted.index(identity(item)) if identity(item) in wanted else -1

    first, before = [identity(item) for item in order], [identity(item) for item in old]
    named = sorted((item for item in items if place(item, first) >= 0), key=lambda item: place(item, first))
    others = [item for item in items if place(item, first) < 0]
    result = []
    while named and others:
        is_before = 0 <= place(others[0], before) < place(named[0], before)
        result.append((others if is_before else named).pop(0))
    return result + named + others


def _list_in(document: Any, name: str) -> list[Any]:
    found = document.get(name) if isinstance(document, Mapping) else None
    return found if isinstance(found, list) else []
