"""Where admission webhooks take part in writes. No I/O.

Source: apiserver pkg/admission/interfaces.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

from informer.testing.storage.json_equality import differing
from informer.testing.storage.object_checks import Target
from informer.testing.storage.storage import Stored
from informer.testing.storage.write import Write

__all__ = ["Admission", "NoAdmission", "Review"]

_ASIDE = frozenset(("kind", "apiVersion", "metadata", "status"))


class Review(NamedTuple):
    """A write that is to be admitted."""

    target: Target
    operation: Literal["CREATE", "UPDATE", "DELETE"]
    obj: dict[str, Any] | None
    """The new object; None for a deletion. In `mutate` as the client sees it, in `validate` as it is stored."""
    old: Stored | None
    """The stored object; None for a creation."""
    write: Write
    before: Mapping[str, Any] | None = None
    """The stored object of an update, decoded."""

    @property
    def keeps_content(self) -> bool:
        """Whether an update changes nothing but the metadata and the status."""
        before, obj = self.before, self.obj
        if before is None or obj is None:
            return False
        return not (differing(before, obj).keys() | (before.keys() - obj.keys())) - _ASIDE


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
