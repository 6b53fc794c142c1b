"""JSON patch and merge patch, on plain dicts and lists.

Comes in: a document and a patch. Goes out: a new document; the one that came in is not changed.

Source: RFC 6902 (JSON patch), RFC 6901 (pointers), RFC 7386 (merge patch).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["PatchError", "json_patch", "merge_patch"]


class PatchError(ValueError):
    """A patch that cannot be applied; the text says why."""


def merge_patch(document: Any, patch: Any) -> Any:
    """A document with a merge patch applied: null deletes, maps merge, anything else replaces."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(document: Any, operations: Any) -> Any:
    """A document with the operations of a JSON patch applied, all or none.

    Raises:
        PatchError: one of them cannot be applied.
    """
    result = copy.deepcopy(document)
    for operation in operations:
        name = operation.get("op")
        apply = _OPERATIONS.get(name)
        if apply is None:
            raise PatchError(f"unknown operation {name!r}")
        result = apply(result, operation)
    return result


def _add(document: Any, operation: Mapping[str, Any]) -> Any:
    return _put(document, _pointer(operation, "path"), copy.deepcopy(_value(operation)))


def _remove(document: Any, operation: Mapping[str, Any]) -> Any:
    path = _pointer(operation, "path")
    _take(document, path)
    return document


def _replace(document: Any, operation: Mapping[str, Any]) -> Any:
    path, value = _pointer(operation, "path"), copy.deepcopy(_value(operation))
    if not path:
        return value
    parent, key = _locate(document, path)
    if isinstance(parent, list):
        _child(parent, key)
    # A member that is not there is added, as kube-apiserver does, though RFC 6902 says otherwise.
    parent[key] = value
    return document


def _move(document: Any, operation: Mapping[str, Any]) -> Any:
    value = _take(document, _pointer(operation, "from"))
    return _put(document, _pointer(operation, "path"), value)


def _copy(document: Any, operation: Mapping[str, Any]) -> Any:
    value = copy.deepcopy(_get(document, _pointer(operation, "from")))
    return _put(document, _pointer(operation, "path"), value)


def _test(document: Any, operation: Mapping[str, Any]) -> Any:
    path = _pointer(operation, "path")
    if _get(document, path) != operation.get("value"):
        raise PatchError(f"testing value {operation['path']} failed")
    return document


_OPERATIONS: dict[Any, Callable[[Any, Mapping[str, Any]], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _pointer(operation: Mapping[str, Any], field: str) -> list[str]:
    text = operation.get(field)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise PatchError(f"{field} {text!r} is no pointer: it must begin with '/'")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchError(f"operation {operation.get('op')!r} needs a value")
    return operation["value"]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = _child(document, _key(document, part))
    return document


def _locate(document: Any, path: list[str]) -> tuple[Any, Any]:
    parent = _get(document, path[:-1])
    return parent, _key(parent, path[-1])


def _put(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        at = len(parent) if path[-1] == "-" else _key(parent, path[-1])
        if at > len(parent):
            raise PatchError(f"index {at} is behind the end of the list")
        parent.insert(at, value)
    else:
        parent[_key(parent, path[-1])] = value
    return document


def _take(document: Any, path: list[str]) -> Any:
    if not path:
        raise PatchError("the whole document cannot be removed")
    parent, key = _locate(document, path)
    _child(parent, key)
    return parent.pop(key)


def _key(parent: Any, part: str) -> Any:
    if isinstance(parent, dict):
        return part
    if isinstance(parent, list) and part.isascii() and part.isdigit():
        return int(part)
    raise PatchError(f"nothing can be found by {part!r} in a {type(parent).__name__}")


def _child(parent: Any, key: Any) -> Any:
    try:
        return parent[key]
    except LookupError:
        raise PatchError(f"there is nothing at {key!r}") from None
