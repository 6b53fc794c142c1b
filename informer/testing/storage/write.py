"""A write: who writes, the options of the request, and what admission webhooks see of it.

Source: apiserver pkg/admission/interfaces.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from informer.testing.storage.json_values import differing
from informer.testing.storage.object_checks import Target
from informer.testing.storage.storage import Stored

__all__ = ["Admission", "Review", "User", "Write"]


class User(NamedTuple):
    """Who sends a request."""

    name: str
    uid: str = ""
    groups: Sequence[str] = ()
    extra: Mapping[str, Sequence[str]] = {}

    def info(self) -> dict[str, Any]:
        """Returns the user as a UserInfo of the API."""
        info = {"username": self.name, "uid": self.uid, "groups": list(self.groups), "extra": dict(self.extra)}
        return {key: value for key, value in info.items() if value}


_ADMIN = User("admin")
_ASIDE = frozenset(("kind", "apiVersion", "metadata", "status"))


@dataclass(frozen=True, kw_only=True)
class Write:
    """A write's options; those of a method call, if nothing is given."""

    user: User = _ADMIN
    dry_run: bool = False
    """Validate, but store nothing."""
    with_status: bool = False
    """Write the status together with the rest, as only method calls of the server do."""
    patches: bool = False
    """Whether the client sent a patch instead of a whole object."""
    applies: bool = False
    """Whether the client sent a server-side apply."""
    force: bool = False
    """Whether a server-side apply takes fields from other managers."""
    field_manager: str | None = None
    """The owner of the written fields in managedFields; None for a method call that names none."""
    field_validation: str = "Ignore"
    """What happens to unknown and duplicate fields: "Ignore", "Warn" or "Strict"."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options as the client sent them, for admission webhooks."""
    duplicates: Sequence[str] = ()
    """What is to be said about keys that occur twice in an object of the body."""
    warnings: list[str] = field(default_factory=list)
    """Receives the texts of the answer's Warning headers."""


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


class Admission:
    """Changes or refuses writes; this one admits all.

    The registry calls it without a lock, and again if the object changes meanwhile.

    Threads: any.
    """

    def mutate(self, review: Review) -> Any:
        """Returns the new object as it is to be written; it may be the same dict.

        Raises:
            ApiError: the write is refused.
        """
        return review.obj

    def validate(self, review: Review) -> None:
        """Raises ApiError if the write is refused."""
