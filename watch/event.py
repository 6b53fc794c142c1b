"""What a watch yields: a type and an object."""

from __future__ import annotations

from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

T_co = TypeVar("T_co", covariant=True, default=Any)

__all__ = ["Event", "EventType"]


class EventType(StrEnum):
    """The kinds of events of a Kubernetes watch.

    Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/watch-event/ (wire strings).
    """

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"

    # Python 3.10 and 3.11 differ in what str() and format() of a mixed-in enum give.
    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]
    # The same value, without the Python call that an enum makes of each look-up in a dict.
    __hash__ = str.__hash__


class Event(tuple["EventType | str", T_co], Generic[T_co]):
    """One event of a watch: immutable, compared by value, unpacks as `type, object = event`.

    Args:
        type: an `EventType`, or the server's own string where it is none of them.
        object: the new state (ADDED, MODIFIED), the state just before deletion (DELETED), an object with only its
            resourceVersion set (BOOKMARK), or a `Status` (ERROR).
    """

    __slots__ = ()
    __match_args__ = ("type", "object")

    def __new__(cls, type: EventType | str, object: T_co) -> Event[T_co]:
        """See the class."""
        return tuple.__new__(cls, (type, object))

    if TYPE_CHECKING:

        @property
        def type(self) -> EventType | str:
            """An `EventType`, or the server's own string."""
            return self[0]

        @property
        def object(self) -> T_co:
            """The event's object; read-only where it is shared with a cache."""
            return self[1]

    else:
        # Read for every event: these make no Python call.
        type = property(itemgetter(0), doc="An `EventType`, or the server's own string.")
        object = property(itemgetter(1), doc="The event's object; read-only where it is shared with a cache.")

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return f"Event(type={str(self[0])!r}, object={self[1]!r})"
