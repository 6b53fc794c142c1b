"""What an election is about: something at the server that only one writer at a time can change."""

from __future__ import annotations

from typing import Protocol

from informer.leaderelection.election_record import LeaderElectionRecord

__all__ = ["DEFAULT_TIMEOUT", "ResourceLock"]

DEFAULT_TIMEOUT = 5.0


class ResourceLock(Protocol):
    """A record at the server, and who asks for it. `LeaseLock` is one.

    A write that somebody else's was faster than must fail with an `ApiError` of status 409, and one may fail in any other way:
    its outcome is unknown then. Requests belong to the `RequestScope` in which they are made, and end when that is cancelled.

    Threads: one call at a time.

    Source: client-go tools/leaderelection/resourcelock Interface.
    """

    @property
    def identity(self) -> str:
        """Under which name this process takes part; no other process may have the same."""
        ...

    def get(self, *, timeout: float = DEFAULT_TIMEOUT) -> LeaderElectionRecord:
        """Reads the record; `ApiError` of status 404 when there is none."""
        ...

    def create(self, record: LeaderElectionRecord, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Writes the first record."""
        ...

    def update(self, record: LeaderElectionRecord, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Replaces the record that was read or written last, if it is still there."""
        ...

    def record_event(self, text: str) -> object:
        """Tells people what has happened."""
        ...

    def describe(self) -> str:
        """What it is, for messages."""
        ...
