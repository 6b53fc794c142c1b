"""The events of a watch: a type and an object."""

from __future__ import annotations

from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

T_co = TypeVar("T_co", covariant=True, default=Any)

__all__ = ["Event", "EventType"]


class EventType(StrEnum):
    """The types of events of a Kubernetes watch. A member is a string, and prints as one.

    Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/watch-event/ (wire strings).
    """

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"

    # The same hash, without the Python call that an enum's own would cost per look-up in a dict.
    __hash__ = str.__hash__


class Event(tuple["EventType | str", T_co], Generic[T_co]):
    """One event of a watch: an immutable pair, compared by value, which unpacks as `type, object = event`.

    Args:
        type: an `EventType`, or any other string that the producer sent.
        object: the new state (ADDED, MODIFIED), the state just before the deletion (DELETED), an object with only its
            resourceVersion set (BOOKMARK), or a `Status` (ERROR). It is read-only where a cache shares it.
    """

    __slots__ = ()
    __match_args__ = ("type", "object")

    def __new__(cls, type: EventType | str, object: T_co) -> Event[T_co]:
        """Makes an event from its type and object."""
        return tuple.__new__(cls, (type, object))

    if TYPE_CHECKING:

        @property
        def type(self) -> EventType | str:
            """An `EventType`, or any other string that the producer sent."""
            return self[0]

        @property
        def object(self) -> T_co:
            """The event's object; read-only where a cache shares it."""
            return self[1]

    else:
        # Both are read for every event, and these make no Python call.
        type = property(itemgetter(0), doc="An `EventType`, or any other string that the producer sent.")
        object = property(itemgetter(1), doc="The event's object; read-only where a cache shares it.")

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return f"Event(type={str(self[0])!r}, object={self[1]!r})"
