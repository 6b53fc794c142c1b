"""What queues and caches store in place of an `Object`, when a user's type does not carry its own metadata."""

from __future__ import annotations

import builtins
from typing import Any

import msgspec

from informer.objects.decode_errors import describe_decode_error
from informer.objects.namespaced_name import namespaced_name
from watch.printable import printable

__all__ = ["Entry", "Skipped", "Undecodable", "unwrap"]


class Entry(msgspec.Struct, gc=False, frozen=True, eq=False):
    """A user's value together with the metadata of the object that it was made from.

    The value is what a model or a transform returned. Users see only the value (see `unwrap`). `form` is the (apiVersion,
    kind) of the object, which the value need not have; equality does not compare it.

    The garbage collector does not trace an entry: nothing that it holds refers back to it.
    """

    name: str
    namespace: str
    uid: str
    resource_version: str
    object: Any
    form: tuple[str, str] = ("", "")

    def __eq__(self, other: builtins.object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        try:
            return self._identity() == other._identity() and bool(self.object == other.object)
        # A value with nearly as many levels as a decoder accepts.
        except RecursionError:
            return False

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, str, str, str]:
        return self.name, self.namespace, self.uid, self.resource_version

    def __repr__(self) -> str:
        return f"Entry({printable(namespaced_name(self.namespace, self.name), 512)!r}, {type(self.object).__name__})"


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
        name = printable(namespaced_name(self.namespace, self.name), 512)
        return f"Undecodable({name!r}, {describe_decode_error(self.error)})"


class Skipped(msgspec.Struct, gc=False, frozen=True):
    """Stands in a watch for an object that a source leaves out, since it belongs to another shard."""

    object: Any


def unwrap(item: Any) -> Any:
    """Returns what users see of a stored item: the value of an `Entry`, and any other item itself."""
    return item.object if type(item) is Entry else item
