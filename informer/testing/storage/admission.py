"""Where admission webhooks take part in writes. No I/O.

Source: apiserver pkg/admission/interfaces.go.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

from informer.testing.storage.object_checks import Target
from informer.testing.storage.storage import Stored
from informer.testing.storage.write import Write

__all__ = ["Admission", "NoAdmission", "Review"]


class Review(NamedTuple):
    """A write that is to be admitted."""

    target: Target
    operation: Literal["CREATE", "UPDATE", "DELETE"]
    obj: dict[str, Any] | None
    """The new object; None for a deletion. In `mutate` as the client sees it, in `validate` as it is stored."""
    old: Stored | None
    """The stored object; None for a creation."""
    write: Write


class Admission(Protocol):
    """Changes or refuses writes. The registry calls it without a lock, and again if the object changes meanwhile.

    Threads: any.
    """

    def mutate(self, review: Review) -> dict[str, Any]:
        """Returns the new object as it is to be written; it may be the same dict.

        Raises:
            ApiError: the write is refused.
        """

    def validate(self, review: Review) -> None:
        """Raises ApiError if the write is refused."""


class NoAdmission:
    """Admits every write."""

    def mutate(self, review: Review) -> Any:
        """Returns the object as it is."""
        return review.obj

    def validate(self, review: Review) -> None:
        """Does nothing."""
