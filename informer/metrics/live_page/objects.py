"""An object of a cache as JSON text that may be shown: without the data of Secrets, control characters and credentials."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from informer.cache.index import meta_namespace_index
from informer.listwatch.source import as_source
from informer.objects.form import form_of
from informer.objects.keys import metadata_of
from informer.shared.shared_informer import SharedInformer
from watch.printable import printable

__all__ = ["json_lines", "shown_indices"]

_HIDDEN = "[hidden]"
_MAX_LINE = 4000
_MAX_TEXT = 512 * 1024
_SECRETS = re.compile(r"(?<![a-z])secrets?(?![a-z])")
# What a Secret shows. All else may be a copy of its data: a transform may have put it anywhere.
_SHOWN_FIELDS = ("apiVersion", "api_version", "kind", "type", "immutable")
_SHOWN_METADATA = (
    *("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
    *("labels", "finalizers", "ownerReferences"),
)
# Kinds that do not say what the object is.
_ANY_KIND = frozenset({"", None, "PartialObjectMetadata"})
_DATA_FIELDS = ("data", "stringData", "string_data")


def shown_indices(informer: SharedInformer[Any]) -> list[str]:
    """Returns the names of the indices that may be shown: where there may be Secrets, only those by namespace."""
    indices = informer.indexer.records.indices
    if _may_hold_secrets(informer):
        indices = [index for index in indices if index.function is meta_namespace_index]
    return [index.name for index in indices]


def json_lines(informer: SharedInformer[Any], stored: Any) -> list[str]:
    """Returns a stored object as lines of JSON, fit to be shown.

    Of a Secret, or of an object that does not say its kind in a cache that may hold Secrets, only harmless fields are shown.
    """
    try:
        shown = informer.indexer.records.show([stored])[0]
        plain = _plain(shown)
        if _is_secret(informer, stored, shown, plain):
            plain = _without_data(stored, plain)
        text = json.dumps(plain, indent=2, ensure_ascii=False, default=_describe)
    # Nested too deeply, or not to be expressed as JSON; a user's type may raise anything. The error may quote the object.
    except Exception as error:
        return [f"This object cannot be shown as JSON ({type(error).__name__})."]
    lines = [_printable_line(line) for line in text[:_MAX_TEXT].split("\n")]
    return lines if len(text) <= _MAX_TEXT else [*lines, f"... and {len(text) - _MAX_TEXT:,} more characters"]


def _printable_line(line: str) -> str:
    """Returns a line fit to be shown, with its indentation."""
    content = line.lstrip(" ")
    return " " * (len(line) - len(content)) + printable(content, _MAX_LINE)


def _plain(shown: Any) -> Any:
    """Returns what a user sees as mappings, lists and plain values."""
    if hasattr(shown, "to_dict"):
        return shown.to_dict()
    if isinstance(shown, Mapping):
        return dict(shown)
    return msgspec.to_builtins(shown)


def _may_hold_secrets(informer: SharedInformer[Any]) -> bool:
    """Whether a cache may hold Secrets: by its resource, or else by its first object, since all are of one kind."""
    resource = as_source(informer.lister_watcher).resource_name
    if not resource or _names_secrets(resource):
        return True
    return any(_kind_of(stored) == "Secret" for _, stored in informer.indexer.records.window(0, 1))


def _kind_of(stored: Any) -> str:
    try:
        return form_of(stored)[1]
    # A user's type may raise anything.
    except Exception:
        return ""


def _is_secret(informer: SharedInformer[Any], stored: Any, shown: Any, plain: Any) -> bool:
    """Whether an object is a Secret, or may be one since neither its list-watch nor the object says what it is."""
    resource = as_source(informer.lister_watcher).resource_name
    kinds = {_kind_of(stored), plain.get("kind") if isinstance(plain, Mapping) else ""}
    if not resource and not any(kinds - _ANY_KIND):
        return True
    return _names_secrets(resource or "") or "Secret" in kinds or "Secret" in type(shown).__name__


def _names_secrets(resource: str) -> bool:
    return _SECRETS.search(resource.lower()) is not None


def _without_data(stored: Any, plain: Any) -> dict[str, Any]:
    fields = plain if isinstance(plain, Mapping) else {}
    metadata = fields.get("metadata")
    if isinstance(metadata, Mapping):
        shown = {name: metadata[name] for name in _SHOWN_METADATA if name in metadata}
        # Annotations of kubectl and of other tools repeat the data.
        shown["annotations"] = _hide(metadata.get("annotations") or {})
    else:
        shown = metadata_of(stored)._asdict()
    found = {name: fields[name] for name in _SHOWN_FIELDS if name in fields}
    data = {name: _hide(fields[name]) for name in _DATA_FIELDS if fields.get(name)}
    return {**found, "metadata": shown, **data}


def _hide(values: Any) -> Any:
    return dict.fromkeys(values, _HIDDEN) if isinstance(values, Mapping) else _HIDDEN


def _describe(value: Any) -> Any:
    """Returns what stands for a value that JSON does not have."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    return str(value)
