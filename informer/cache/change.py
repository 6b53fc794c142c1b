"""`Change`: what one write has changed in the cache."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, Generic

import msgspec
from typing_extensions import TypeVar

from informer.queues.delta import DeltaType

__all__ = ["Change", "unwrapped"]

T = TypeVar("T", default=Any)


class Change(msgspec.Struct, Generic[T], gc=False, frozen=True, eq=False):
    """One added, updated or deleted object.

    Two changes are equal if they have the same type and flags and equal objects; `key` and `last_known` are not compared.

    Attributes:
        type: `DeltaType.ADDED`, `UPDATED` or `DELETED`.
        object: the new state; for a delete, the last state.
        old: the state before an update, else None.
        is_in_initial_list: whether this is one of the handler's initial adds: from the first list, or cached when the handler
            was added.
        final_state_unknown: whether the informer missed the delete event; `object` may then not be the last state.
        is_sync: whether this is an update that repeats the state in the cache, from a resync or a relist.
        key: the object's key in the cache.
        last_known: for a delete, the state in the cache before it, if that is not `object` itself; else None.
    """

    type: DeltaType
    object: T
    old: T | None = None
    is_in_initial_list: bool = False
    final_state_unknown: bool = False
    is_sync: bool = False
    key: str = ""
    last_known: T | None = None

    def __eq__(self, other: builtins.object) -> bool:
        if not isinstance(other, Change):
            return NotImplemented
        return (
            self.type is other.type
            and self.is_in_initial_list == other.is_in_initial_list
            and self.final_state_unknown == other.final_state_unknown
            and self.is_sync == other.is_sync
            and bool(self.object == other.object)
            and bool(self.old == other.old)
        )

    def __hash__(self) -> int:
        return hash((self.type, self.is_in_initial_list, self.final_state_unknown, self.is_sync))


def unwrapped(change: Change[Any], unwrap: Callable[[Any], Any]) -> Change[Any]:
    """Returns a change of stored objects as users see it.

    Args:
        change: the change of stored objects.
        unwrap: returns what users see of a stored object.
    """
    old = None if change.old is None else unwrap(change.old)
    # An update of a resync has one object as old and new, also if the object is decoded on each read.
    new = old if change.object is change.old else unwrap(change.object)
    last_known = None if change.last_known is None else unwrap(change.last_known)
    return Change(
        change.type,
        new,
        old,
        change.is_in_initial_list,
        change.final_state_unknown,
        change.is_sync,
        change.key,
        last_known,
    )
