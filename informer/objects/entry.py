"""What stands in queues and caches for objects that need not say who they are."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Entry", "Undecodable", "unwrap"]


class Entry(msgspec.Struct, gc=False, frozen=True):
    """What a model or a transform gave, beside the metadata it was made from.

    The collector does not trace it: nothing that it holds refers back to it.
    """

    name: str
    namespace: str
    uid: str
    resource_version: str
    object: Any

    def __repr__(self) -> str:
        return f"Entry({_where(self)!r}, {type(self.object).__name__})"


class Undecodable(msgspec.Struct, gc=False, frozen=True):
    """Stands for an object whose model or transform failed; "" where even the metadata could not be read."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    raw: bytes
    error: Exception

    def __repr__(self) -> str:
        return f"Undecodable({_where(self)!r}, {type(self.error).__name__})"


def unwrap(item: Any) -> Any:
    """What users see of a stored item: an entry's object, and anything else as it is."""
    return item.object if type(item) is Entry else item


def _where(item: Entry | Undecodable) -> str:
    return f"{item.namespace}/{item.name}" if item.namespace else item.name
