"""What a change of the cache means to those who follow it."""

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
    """An object came, changed or went.

    Two are equal when they tell the same of equal objects, whatever their keys and last known states.

    Attributes:
        type: `DeltaType.ADDED`, `UPDATED` or `DELETED`.
        object: the new state; of a delete, the last known one.
        old: the state before an update, else None.
        is_in_initial_list: an add of an object that was there at the start.
        final_state_unknown: the delete itself was missed.
        is_sync: an update without news, for those who asked to be shown everything again.
        key: the object's key in the cache.
        last_known: of a delete, the state that the cache had before it, if that is not the object itself; else None.
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
    """A change of what is stored, as a change of what users see of that."""
    old = None if change.old is None else unwrap(change.old)
    # A resync shows one object twice, and must go on doing so when it is decoded on each read.
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
