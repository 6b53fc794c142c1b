"""Changes that wait for one handler.

Comes in: batches of changes, from the thread that applied them. Goes out: batches, to the handler's thread. `Backlog`
keeps every change; `CoalescingBacklog` keeps at most what tells a key's story from what the handler saw last to now.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from informer.changes import Change
from informer.deltas import DeltaType
from informer.keys import uid_of
from watch.concurrency import Monitor

__all__ = ["Backlog", "CoalescingBacklog"]

# A handler that falls behind takes so many changes at a time where later ones may still be folded into those that wait.
_COALESCED_BATCH = 256


class Backlog:
    """Every change, in order.

    Threads: `put` never blocks; `take` waits; any thread.
    """

    def __init__(self) -> None:
        self._monitor = Monitor()
        self._batches: deque[tuple[float, Sequence[Change[Any]]]] = deque()  # with time of arrival; guarded by _monitor
        self._size = 0  # guarded by _monitor
        self._closed = False  # guarded by _monitor

    def put(self, changes: Sequence[Change[Any]]) -> int:
        """Adds a batch, which must not change afterwards; returns how many initial adds it merged away (here none)."""
        with self._monitor:
            if not self._closed and changes:
                self._batches.append((time.monotonic(), changes))
                self._size += len(changes)
                self._monitor.notify()
        return 0

    def take(self, timeout: float | None = None) -> tuple[float, Sequence[Change[Any]]] | None:
        """Waits for changes and takes what is there, with the time at which the oldest came; None when closed.

        Raises:
            TimeoutError: none came within `timeout` seconds (None waits without limit).
        """
        with self._monitor:
            if not self._monitor.wait_for(lambda: self._batches or self._closed, timeout):
                raise TimeoutError("no change came in time")
            if not self._batches:
                return None
            if len(self._batches) == 1:
                since, changes = self._batches.popleft()
            else:
                since = self._batches[0][0]
                changes = list(chain.from_iterable(batch for _, batch in self._batches))
                self._batches.clear()
            self._size = 0
            return since, changes

    def close(self, *, drain: bool = False) -> None:
        """Ends it: nothing more is accepted, and what waits is dropped unless `drain`. Again is harmless."""
        with self._monitor:
            self._closed = True
            if not drain:
                self._batches.clear()
                self._size = 0
            self._monitor.notify_all()

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        return True

    @property
    def oldest(self) -> float | None:
        """When the oldest waiting change came, by the monotonic clock; None when nothing waits."""
        with self._monitor:
            return self._batches[0][0] if self._batches else None


class CoalescingBacklog:
    """The newest state of each key that the handler has not seen: bounded by the number of keys.

    Add then update is an add of the newest; add then delete is nothing; update then update keeps the first old; update
    then delete is a delete. Delete then add stays two, as does an update to an object with another uid: a delete and an
    add. Keys come out in the order in which they began to wait.

    Args:
        key_of: gives a stored object's key.

    Threads: as `Backlog`.
    """

    def __init__(self, key_of: Callable[[Any], str]) -> None:
        self._key_of = key_of
        self._monitor = Monitor()
        # Key to what waits for it: one change, or a delete and an add. Guarded by _monitor, as are the others.
        self._waiting: dict[str, tuple[float, tuple[Change[Any], ...]]] = {}
        self._closed = False

    def put(self, changes: Sequence[Change[Any]]) -> int:
        """Folds a batch in; returns how many initial adds came to nothing by it."""
        keyed = [(self._key_of(change.object), change) for change in changes]
        merged_away = 0
        with self._monitor:
            if self._closed:
                return 0
            now = time.monotonic()
            for key, change in keyed:
                merged_away += self._fold_locked(key, change, now)
            self._monitor.notify()
        return merged_away

    def take(self, timeout: float | None = None) -> tuple[float, Sequence[Change[Any]]] | None:
        """See `Backlog.take`; takes some hundred keys at a time, so that the rest can still be folded."""
        with self._monitor:
            if not self._monitor.wait_for(lambda: self._waiting or self._closed, timeout):
                raise TimeoutError("no change came in time")
            if not self._waiting:
                return None
            taken: list[Change[Any]] = []
            since = next(iter(self._waiting.values()))[0]
            for key in list(self._waiting)[:_COALESCED_BATCH]:
                taken += self._waiting.pop(key)[1]
            return since, taken

    def close(self, *, drain: bool = False) -> None:
        """See `Backlog.close`."""
        with self._monitor:
            self._closed = True
            if not drain:
                self._waiting.clear()
            self._monitor.notify_all()

    def __len__(self) -> int:
        with self._monitor:
            return sum(len(changes) for _, changes in self._waiting.values())

    def __bool__(self) -> bool:
        return True

    @property
    def oldest(self) -> float | None:
        """See `Backlog.oldest`."""
        with self._monitor:
            return next(iter(self._waiting.values()))[0] if self._waiting else None

    def _fold_locked(self, key: str, change: Change[Any], now: float) -> int:
        entry = self._waiting.get(key)
        if entry is None:
            self._waiting[key] = (now, _split(change))
            return 0
        since, waiting = entry
        folded = (*waiting[:-1], *_fold(waiting[-1], change))
        if folded:
            self._waiting[key] = (since, folded)
        else:
            del self._waiting[key]
        lost = sum(c.is_in_initial_list for c in waiting) - sum(c.is_in_initial_list for c in folded)
        return max(lost, 0)


def _split(change: Change[Any]) -> tuple[Change[Any], ...]:
    """An update from one object to another of the same name is a delete and an add."""
    if change.type is DeltaType.UPDATED and _is_another(change.old, change.object):
        return (
            Change(DeltaType.DELETED, change.old, final_state_unknown=True),
            Change(DeltaType.ADDED, change.object),
        )
    return (change,)


def _fold(first: Change[Any], then: Change[Any]) -> tuple[Change[Any], ...]:
    if first.type is DeltaType.DELETED:
        return (first, *_split(then)) if then.type is not DeltaType.DELETED else (first,)
    if first.type is DeltaType.ADDED:
        if then.type is DeltaType.DELETED:
            return ()
        return (Change(DeltaType.ADDED, then.object, is_in_initial_list=first.is_in_initial_list),)
    if then.type is DeltaType.DELETED:
        return (then,)
    return _split(
        Change(DeltaType.UPDATED, then.object, first.old, is_sync=first.is_sync and then.is_sync),
    )


def _is_another(old: Any, new: Any) -> bool:
    before, after = uid_of(old), uid_of(new)
    return bool(before) and bool(after) and before != after
