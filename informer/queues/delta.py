"""What passes through a queue: deltas; and the interface of queues."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from typing_extensions import TypeVar

__all__ = ["Delta", "DeltaType", "InitialSync", "Queue", "ReplacedAll"]

R = TypeVar("R")


class DeltaType(StrEnum):
    """What happened to an object or, for the last three, to the whole resource.

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
    """One change, as a reflector saw it.

    Attributes:
        type: what happened.
        object: the object's new state. For DELETED it may be a `DeletedFinalStateUnknown`; for REPLACED_ALL it is a
            `ReplacedAll`, for BOOKMARK a resourceVersion (str), for SYNC_ALL None.
    """

    type: DeltaType
    object: Any


class ReplacedAll(msgspec.Struct, gc=False, frozen=True):
    """A complete list: all objects of the resource, or all objects of one namespace."""

    items: list[Any]
    resource_version: str
    namespace: str | None = None


class Queue(Protocol):
    """What a reflector fills and a controller empties.

    `process` is called without the queue's lock. For `has_synced`, popped items count as handled once `process` has returned.
    """

    def add(self, obj: Any) -> None:
        """Queues an object that was added."""
        ...

    def update(self, obj: Any) -> None:
        """Queues an object that was changed."""
        ...

    def delete(self, obj: Any) -> None:
        """Queues an object that was deleted."""
        ...

    def replace(self, items: Iterable[Any], resource_version: str) -> None:
        """Queues a complete list."""
        ...

    def resync(self) -> None:
        """Queues every object once more."""
        ...

    def bookmark(self, resource_version: str) -> None:
        """Notes that everything up to this resourceVersion was queued."""
        ...

    def pop(self, process: Callable[[list[Delta], bool], R], timeout: float | None = None) -> R:
        """Waits for deltas and gives those of one key, or the oldest one, to `process`.

        Args:
            process: called with (deltas, is_in_initial_list).
            timeout: the longest wait in seconds; None waits without limit, 0 does not wait.

        Returns:
            What `process` returned.

        Raises:
            queue.Empty: nothing was queued in time.
            QueueClosedError: the queue is closed and empty.
        """
        ...

    def pop_batch(
        self,
        process: Callable[[list[tuple[list[Delta], bool]]], R],
        max_items: int = 1000,
        timeout: float | None = None,
    ) -> R:
        """Works as `pop`, but gives `process` everything that is queued, at most `max_items` pairs, as one list."""
        ...

    def has_synced(self) -> bool:
        """Returns whether the first list was handled."""
        ...

    def close(self) -> None:
        """Makes waiting and later pops fail once the queue is empty. Idempotent."""
        ...

    def is_closed(self) -> bool:
        """Returns whether the queue was closed."""
        ...

    def __len__(self) -> int:
        """Returns the number of queued items."""
        ...


class InitialSync:
    """Counts down the items of a queue's first list, or of each namespace's if several reflectors fill the queue.

    Threads: guarded by the queue's lock, except for `done`, which any thread may read.
    """

    def __init__(self) -> None:
        self._one_list = True
        self._missing: set[str | None] = {None}
        self._waiting = 0  # items of first lists that are not handled yet

    def expect(self, namespaces: Collection[str]) -> None:
        """Waits for one list per namespace instead of one list."""
        self._one_list = False
        self._missing = set(namespaces)

    def added(self) -> None:
        """Notes a single add, update or delete, which counts as an empty first list."""
        if self._one_list:
            self._missing.clear()

    def replaced(self, items: int, namespace: str | None) -> bool:
        """Notes that a list was queued as `items` items; returns whether it was a first list."""
        first = namespace in self._missing
        if first:
            # In this order, so that a thread that reads `done` meanwhile never sees the list as neither missing nor waiting.
            self._waiting += items
            self._missing.discard(namespace)
        return first

    def handled(self, items: int) -> None:
        """Notes that `items` items of first lists were handled."""
        self._waiting -= items

    @property
    def done(self) -> bool:
        """Whether every first list was queued and handled."""
        return not self._missing and self._waiting == 0
