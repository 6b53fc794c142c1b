"""Deltas, the items of a queue, and the interface of queues."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from typing_extensions import TypeVar

__all__ = ["Delta", "DeltaType", "InitialSync", "Queue", "ReplacedAll"]

R = TypeVar("R")


class DeltaType(StrEnum):
    """What happened to an object or, for the last three types, to the whole resource.

    SYNC and SYNC_ALL are a resync: nothing has changed. REPLACED and REPLACED_ALL are a relist.

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


# In Python 3.11 an enum's member costs ten times a global name (77 ns): loops over events use these.
ADDED = DeltaType.ADDED
UPDATED = DeltaType.UPDATED
DELETED = DeltaType.DELETED
REPLACED = DeltaType.REPLACED
REPLACED_ALL = DeltaType.REPLACED_ALL
SYNC_ALL = DeltaType.SYNC_ALL
BOOKMARK = DeltaType.BOOKMARK


class Delta(msgspec.Struct, gc=False, frozen=True):
    """One change, as a reflector received it.

    Attributes:
        type: what happened.
        object: the object's new state, for DELETED its last state or a `DeletedFinalStateUnknown`. It is a `ReplacedAll` for
            REPLACED_ALL, a resourceVersion (str) for BOOKMARK, and None for SYNC_ALL.
    """

    type: DeltaType
    object: Any


class ReplacedAll(msgspec.Struct, gc=False, frozen=True):
    """A complete list.

    Attributes:
        items: the objects.
        resource_version: the list's resourceVersion.
        namespace: the namespace whose objects these are; None if they are all objects of the resource.
        undecodable: the keys of listed objects that are not among `items`, since they do not decode.
    """

    items: list[Any]
    resource_version: str
    namespace: str | None = None
    undecodable: frozenset[str] = frozenset()


class Queue(Protocol):
    """A queue between a reflector, which fills it, and a controller, which empties it.

    `process` functions are called without the queue's lock. `has_synced` counts an item once its `process` has returned.
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
        """Queues a complete list: consumers treat known objects that it lacks as deleted."""
        ...

    def resync(self) -> None:
        """Queues every known object once more, for a resync."""
        ...

    def bookmark(self, resource_version: str) -> None:
        """Queues a BOOKMARK: everything up to this resourceVersion was queued before it."""
        ...

    def pop(self, process: Callable[[list[Delta], bool], R], timeout: float | None = None) -> R:
        """Waits for deltas and passes the oldest to `process`: those of one key, or a single one, as the queue groups them.

        Args:
            process: called with (deltas, is_in_initial_list).
            timeout: the longest wait in seconds; None waits without limit, 0 does not wait.

        Returns:
            The result of `process`.

        Raises:
            queue.Empty: nothing was queued within `timeout`.
            QueueClosedError: the queue is closed and empty.
        """
        ...

    def pop_batch(
        self,
        process: Callable[[list[tuple[list[Delta], bool]]], R],
        max_items: int = 1000,
        timeout: float | None = None,
    ) -> R:
        """Works as `pop`, but passes a list of all that is queued to `process`, at most `max_items` pairs."""
        ...

    def has_synced(self) -> bool:
        """Returns whether every item of the first list was processed."""
        ...

    def close(self) -> None:
        """Closes the queue. Pops take what is still queued, and then raise `QueueClosedError`. Idempotent."""
        ...

    def is_closed(self) -> bool:
        """Returns whether the queue was closed."""
        ...

    def __len__(self) -> int:
        """Returns the number of queued items."""
        ...


class InitialSync:
    """Tracks whether the first list of a queue was processed: one list, or one list per namespace.

    Threads: callers hold the queue's lock, except for `done`, which any thread may read.
    """

    def __init__(self) -> None:
        self._one_list = True
        self._missing: set[str | None] = {None}
        self._waiting = 0  # queued items of first lists

    def expect(self, namespaces: Collection[str]) -> None:
        """Expects one first list per namespace instead of a single one."""
        self._one_list = False
        self._missing = set(namespaces)

    def added(self) -> None:
        """Records a single add, update or delete before the first list, which counts as an empty first list."""
        if self._one_list:
            self._missing.clear()

    def replaced(self, items: int, namespace: str | None) -> bool:
        """Records that a list was queued as `items` items; returns whether it was a first list."""
        first = namespace in self._missing
        if first:
            # In this order, so that a thread that reads `done` meanwhile finds the list either missing or waiting.
            self._waiting += items
            self._missing.discard(namespace)
        return first

    def handled(self, items: int) -> None:
        """Records that `items` items of first lists were processed."""
        self._waiting -= items

    @property
    def done(self) -> bool:
        """Whether every first list was queued and processed."""
        return not self._missing and self._waiting == 0
