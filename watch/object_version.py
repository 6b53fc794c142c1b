"""Reads an object's resourceVersion, whatever kind of object it is.

This package knows nothing of the objects that pass through it, but that a watch is resumed from what they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["resource_version_of"]


def resource_version_of(obj: Any) -> str | None:
    """An object's resourceVersion; "" where it has none, None where there is no place for one.

    Args:
        obj: a mapping in API form; or anything with a `resource_version`, or with a `metadata` that is a mapping or has
            one (`resource_version`, as the official models spell it, or `resourceVersion`).
    """
    if isinstance(obj, Mapping):
        return _in_metadata(obj.get("metadata"))
    version = getattr(obj, "resource_version", None)
    return version if isinstance(version, str) else _in_metadata(getattr(obj, "metadata", None))


def _in_metadata(metadata: Any) -> str | None:
    if isinstance(metadata, Mapping):
        return _text(metadata.get("resourceVersion"))
    for name in ("resource_version", "resourceVersion"):
        if hasattr(metadata, name):
            return _text(getattr(metadata, name))
    return None


def _text(version: Any) -> str:
    return version if isinstance(version, str) else ""
