"""JSON patch (RFC 6902) and merge patch (RFC 7386), on plain dicts and lists. Neither argument is changed.

JSON patch is the work of the package `jsonpatch`, which is imported when the first JSON patch is applied.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from informer.testing.storage.deep_objects import DEEP

__all__ = ["DirectiveError", "PatchError", "json_patch", "merge_patch", "refuse_deep"]


class PatchError(ValueError):
    """The patch cannot be applied; the message says why."""


class DirectiveError(PatchError):
    """A strategic merge patch contradicts itself; the real server calls that an error of its own."""


def refuse_deep(document: Any, patch: Any) -> None:
    """Raises PatchError if a patch changes a part of the document that is undecoded because it is nested too deeply."""
    deep = msgspec.Raw
    if (isinstance(document, deep) and isinstance(patch, Mapping)) or (
        isinstance(patch, deep) and _has_fields(document)
    ):
        raise PatchError(DEEP)


def _has_fields(value: Any) -> bool:
    return isinstance(value, (Mapping, msgspec.Raw))


def merge_patch(document: Any, patch: Any) -> Any:
    """Returns a document with a merge patch applied: null deletes, mappings merge, anything else replaces.

    Raises:
        PatchError: it reaches into a part of the document that is nested too deeply.
    """
    refuse_deep(document, patch)
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
        # RFC 6902's operations only: jsonpatch has more.
        operations = MappingProxyType(
            {
                **{name: jsonpatch.JsonPatch.operations[name] for name in ("add", "remove", "move", "copy", "test")},
                "replace": LenientReplace,
            }
        )

    return jsonpatch, LenientPatch
