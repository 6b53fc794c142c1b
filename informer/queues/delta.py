"""What passes through a queue: deltas, and when the first of them are all through.

Comes in: what a reflector saw. Goes out: the same to whoever pops.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from typing_extensions import TypeVar

__all__ = ["Delta", "DeltaType", "InitialSync", "Queue", "ReplacedAll"]

R = TypeVar("R")


class DeltaType(StrEnum):
    """What happened to an object, or (the last three) to the whole resource.

    Source: client-go tools/cache DeltaType.
    """

    ADDED = "Added"
    UPDATED = "Updated"
    DELETED = "Deleted"
    REPLACED = "Replaced"
    SYNC = "Sync"
    REPLACED_ALL = "ReplacedAll"
    SYNC_ALL = "SyncAll"
    BOOKMARK = "Bookmark"


class Delta(msgspec.Struct, gc=False, frozen=True):
    """One thing that happened.

    The object of REPLACED_ALL is a `ReplacedAll`, that of BOOKMARK a resourceVersion, that of SYNC_ALL None; that of
    DELETED may be a `DeletedFinalStateUnknown`.
    """

    type: DeltaType
    object: Any


class ReplacedAll(msgspec.Struct, gc=False, frozen=True):
    """What a list brought: everything there is, or everything of one namespace."""

    items: list[Any]
    resource_version: str
    namespace: str | None = None


class Queue(Protocol):
    """Between a reflector, which adds, and a controller, which pops.

    `process` runs without the queue's lock; what it pops counts as handled, for `has_synced`, once it has returned.
    """

    def add(self, obj: Any) -> None:
        """An object came."""
        ...

    def update(self, obj: Any) -> None:
        """An object changed."""
        ...

    def delete(self, obj: Any) -> None:
        """An object is gone."""
        ...

    def replace(self, items: Iterable[Any], resource_version: str) -> None:
        """These are all objects there are."""
        ...

    def resync(self) -> None:
        """Shows everything again."""
        ...

    def bookmark(self, resource_version: str) -> None:
        """Everything up to this resourceVersion has been seen."""
        ...

    def pop(self, process: Callable[[list[Delta], bool], R], timeout: float | None = None) -> R:
        """Waits for deltas and gives those of one key, or the oldest one, to `process`.

        Args:
            process: called with (deltas, is_in_initial_list).
            timeout: at most so many seconds; None waits without limit, 0 does not wait.

        Returns:
            What `process` returned.

        Raises:
            queue.Empty: the time is up.
            QueueClosedError: it is closed and empty.
        """
        ...

    def pop_batch(
        self,
        process: Callable[[list[tuple[list[Delta], bool]]], R],
        max_items: int = 1000,
        timeout: float | None = None,
    ) -> R:
        """As `pop`, with all that is there, at most `max_items`, as a list of such pairs."""
        ...

    def has_synced(self) -> bool:
        """Whether the first list was handled."""
        ...

    def close(self) -> None:
        """Lets waiting and later pops fail once it is empty. Idempotent."""
        ...

    def is_closed(self) -> bool:
        """Whether it was closed."""
        ...

    def __len__(self) -> int:
        """How much waits."""
        ...


class InitialSync:
    """Counts down the first list of a queue (of each namespace, if several reflectors fill it).

    Threads: none of its own; its queue's lock guards it, but for `done`, which any thread may read.
    """

    def __init__(self) -> None:
        self._one_list = True
        self._missing: set[str | None] = {None}
        self._waiting = 0  # items of first lists that were not handled yet

    def expect(self, namespaces: Collection[str]) -> None:
        """Waits for a list of each of these, as against one of everything."""
        self._one_list = False
        self._missing = set(namespaces)

    def added(self) -> None:
        """Something was added, changed or deleted one by one: as good as an empty list."""
        if self._one_list:
            self._missing.clear()

    def replaced(self, items: int, namespace: str | None) -> bool:
        """A list was queued as so many items; returns whether it was a first one."""
        first = namespace in self._missing
        if first:
            # In this order: whoever reads `done` meanwhile must not see the list neither missing nor waiting.
            self._waiting += items
            self._missing.discard(namespace)
        return first

    def handled(self, items: int) -> None:
        """So many items of first lists were handled."""
        self._waiting -= items

    @property
    def done(self) -> bool:
        """Whether every first list was queued and handled."""
        return not self._missing and self._waiting == 0
