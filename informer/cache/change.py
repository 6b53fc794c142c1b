"""`Change`: what one write has changed in the cache."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal

import msgspec
from typing_extensions import TypeVar

from informer.objects.official import OfficialModel
from informer.queues.delta import ADDED, DELETED, UPDATED, DeltaType

__all__ = ["NO_LONGER_DECODES", "Change", "unwrapped"]

T = TypeVar("T", default=Any)

NO_LONGER_DECODES = "no longer decodes"
"""The reason of a delete of an object that still exists, and that the model or the transform refuses."""

_WATCH_TYPES: dict[DeltaType, Literal["ADDED", "MODIFIED", "DELETED"]] = {
    ADDED: "ADDED",
    UPDATED: "MODIFIED",
    DELETED: "DELETED",
}


class Change(msgspec.Struct, Generic[T], gc=False, frozen=True, eq=False):
    """One added, updated or deleted object.

    Two changes are equal if they have the same type and flags and equal objects; the other attributes are not compared.

    With an official model, `object`, `old` and `last_known` are decoded when they are read first.

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
        reason: why this is a delete, if the server may still have the object: `NO_LONGER_DECODES` ("no longer decodes")
            when the model or the transform refuses its new state; else "".
    """

    type: DeltaType
    object: T
    old: T | None = None
    is_in_initial_list: bool = False
    final_state_unknown: bool = False
    is_sync: bool = False
    key: str = ""
    last_known: T | None = None
    reason: str = ""

    @property
    def watch_type(self) -> Literal["ADDED", "MODIFIED", "DELETED"]:
        """The type of a watch event that brings this change; "MODIFIED" for every update, also one without news."""
        return _WATCH_TYPES[self.type]

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
    if isinstance(unwrap, OfficialModel):
        return _make_undecoded(  # type: ignore[no-any-return]
            change.type,
            change.object,
            change.old,
            change.is_in_initial_list,
            change.final_state_unknown,
            change.is_sync,
            change.key,
            change.last_known,
            change.reason,
            unwrap,
        )
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
        change.reason,
    )


_OLD, _LAST_KNOWN = 1, 2  # places in the memory of an `_Undecoded`; the object's is 0


class _Undecoded(Change[Any], gc=False, frozen=True, eq=False):
    """A change that keeps stored objects, and decodes each when it is read first."""

    decode: Callable[[Any], Any] = repr
    memory: list[Any] = msgspec.field(default_factory=lambda: [_UNREAD, _UNREAD, _UNREAD])

    # A checker sees the attributes of `Change`, which these compute.
    if not TYPE_CHECKING:

        @property
        def object(self) -> Any:
            return self._decoded(0, _stored_object(self))

        @property
        def old(self) -> Any:
            stored = _stored_old(self)
            # An update of a resync has one object as old and new.
            return self._decoded(0 if stored is _stored_object(self) else _OLD, stored)

        @property
        def last_known(self) -> Any:
            return self._decoded(_LAST_KNOWN, _stored_last_known(self))

    def __repr__(self) -> str:
        # What is stored shows no data, unlike the models.
        return (
            f"Change(type={self.type!r}, object={_stored_object(self)!r}, old={_stored_old(self)!r}, key={self.key!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Change, tuple(getattr(self, field) for field in Change.__struct_fields__)

    def _decoded(self, place: int, stored: Any) -> Any:
        memory = self.memory
        if memory[place] is _UNREAD:
            memory[place] = None if stored is None else self.decode(stored)
        return memory[place]


_make_undecoded: Any = _Undecoded
_UNREAD: Any = builtins.object()
_fields: Any = Change
_stored_object: Callable[[Change[Any]], Any] = _fields.object.__get__
_stored_old: Callable[[Change[Any]], Any] = _fields.old.__get__
_stored_last_known: Callable[[Change[Any]], Any] = _fields.last_known.__get__
