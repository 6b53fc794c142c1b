"""What a write is done with beside the object: who writes, and the options of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["User", "Write"]


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
