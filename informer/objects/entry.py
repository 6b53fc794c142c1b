"""What queues and caches store in place of an `Object`, when a user's type does not carry its own metadata."""

from __future__ import annotations

from typing import Any

import msgspec

from informer.objects.namespaced_name import namespaced_name

__all__ = ["Entry", "Undecodable", "unwrap"]


class Entry(msgspec.Struct, gc=False, frozen=True):
    """A user's value together with the metadata of the object that it was made from.

    The value is what a model or a transform returned. Users see only the value (see `unwrap`).

    The garbage collector does not trace an entry: nothing that it holds refers back to it.
    """

    name: str
    namespace: str
    uid: str
    resource_version: str
    object: Any

    def __repr__(self) -> str:
        return f"Entry({namespaced_name(self.namespace, self.name)!r}, {type(self.object).__name__})"


class Undecodable(msgspec.Struct, gc=False, frozen=True):
    """An object whose model or transform raised: its metadata, its JSON and the exception.

    The four metadata fields are "" when even the metadata could not be read.
    """

    name: str
    namespace: str
    uid: str
    resource_version: str
    raw: bytes
    error: Exception

    def __repr__(self) -> str:
        return f"Undecodable({namespaced_name(self.namespace, self.name)!r}, {type(self.error).__name__})"


def unwrap(item: Any) -> Any:
    """Returns what users see of a stored item: the value of an `Entry`, and any other item itself."""
    return item.object if type(item) is Entry else item
