"""Changes that wait for one handler or event stream.

`Backlog` keeps every change. `CoalescingBacklog` keeps the net change per key since the last delivery.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from operator import length_hint
from queue import Empty, SimpleQueue
from typing import Any

from informer.cache.change import Change
from informer.objects.keys import uid_of
from informer.queues.delta import ADDED, DELETED, UPDATED
from watch.concurrency import Lock

__all__ = ["Backlog", "CoalescingBacklog"]

# A handler that falls behind takes about this many changes at a time: they stay in memory until all are handed over.
_TAKEN_AT_ONCE = 1000
# Fewer where later changes can still be folded into those that wait.
_COALESCED_BATCH = 256

_Batch = tuple[float, Sequence[Change[Any]]]  # with its time of arrival, by the monotonic clock


class Backlog:
    """A queue of changes that keeps every change, in order.

    `take` moves one or more whole batches into `in_hand`, an iterator. A change counts as waiting until it is drawn from
    `in_hand`.

    Attributes:
        in_hand: the taken changes that are not drawn yet. It ends at once when the backlog is closed without `drain`.
        size: the number of changes to take. Read without the lock, it includes at least what the same thread has put.

    Threads: `put` never blocks; `take` waits. One thread takes and draws; any thread may call the other methods.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._closed = False  # guarded by _lock, as are the fields below
        # The taking thread sets _waits and waits for a token, which `put` sends only then. A condition does the same with some
        # thirty more calls, and every change that comes alone would pay for them.
        self._waits = False
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._batches: deque[_Batch] = deque()
        self.size = 0
        self._taken: list[Change[Any]] = []  # never shared: clearing it is what ends an iteration over it
        self.in_hand: Iterator[Change[Any]] = iter(self._taken)
        self._arrivals: list[tuple[int, float]] = []  # per taken batch: the index behind its last change, its arrival

    def put(self, changes: Sequence[Change[Any]]) -> int:
        """Adds a batch, which must not change afterwards.

        Returns:
            How many initial adds were folded away; always 0 here.
        """
        with self._lock:
            if not self._closed and changes:
                # A tuple: the cycle collector soon untracks it, and never visits a million waiting changes.
                self._batches.append((time.monotonic(), tuple(changes)))
                self.size += len(changes)
                if self._waits:
                    self._wake_locked()
        return 0

    def take(self, timeout: float | None = None) -> Sequence[Change[Any]] | None:
        """Waits for changes and moves the oldest of them into `in_hand`.

        Args:
            timeout: seconds to wait at most; None waits without limit.

        Returns:
            The changes; None when the backlog is closed and empty.

        Raises:
            TimeoutError: no change came in time.
        """
        if not length_hint(self.in_hand):
            # The wait may be long: these changes must not stay in memory meanwhile.
            self._taken.clear()
        with self._lock:
            if not self.size and not self._closed:
                self._wait_locked(timeout)
            if not self.size:
                return None
            taken: list[Change[Any]] = []
            arrivals: list[tuple[int, float]] = []
            for since, changes in self._take_locked():
                taken += changes
                arrivals.append((len(taken), since))
            self._taken, self.in_hand, self._arrivals = taken, iter(taken), arrivals
            return taken

    def take_lone(self) -> Change[Any] | None:
        """Returns the change that waits alone, without waiting; it counts as drawn. None if none or several wait."""
        with self._lock:
            if self.size != 1:
                return None
            self.size = 0
            return self._batches.popleft()[1][0]

    def close(self, *, drain: bool = False) -> None:
        """Refuses further changes, and drops the waiting ones unless `drain` is True. Idempotent."""
        with self._lock:
            self._closed = True
            if not drain:
                self._drop_locked()
                self._taken.clear()
            self._wake_locked()

    def __len__(self) -> int:
        with self._lock:
            return self.size + length_hint(self.in_hand)

    def __bool__(self) -> bool:
        return True

    @property
    def oldest(self) -> float | None:
        """When the oldest waiting change came, by the monotonic clock; None when no change waits."""
        with self._lock:
            left = length_hint(self.in_hand)
            if left:
                drawn = len(self._taken) - left
                return next((since for end, since in self._arrivals if end > drawn), None)
            return self._oldest_locked()

    def _wait_locked(self, timeout: float | None) -> None:
        """Waits until there are changes or the backlog is closed; the lock is not held meanwhile."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.size and not self._closed:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError("no change came in time")
            self._waits = True
            self._lock.release()
            try:
                # A token may be left over from a wait that was interrupted: hence the loop.
                with contextlib.suppress(Empty):
                    self._tokens.get(timeout=left)
            finally:
                self._lock.acquire()

    def _wake_locked(self) -> None:
        if self._waits:
            self._waits = False
            self._tokens.put(None)

    def _take_locked(self) -> Sequence[_Batch]:
        if self.size <= _TAKEN_AT_ONCE:
            batches, self._batches = self._batches, deque()
            self.size = 0
            return batches
        taken: list[_Batch] = []
        size = 0
        while self._batches and size < _TAKEN_AT_ONCE:
            taken.append(self._batches.popleft())
            size += len(taken[-1][1])
        self.size -= size
        return taken

    def _drop_locked(self) -> None:
        self._batches.clear()
        self.size = 0

    def _oldest_locked(self) -> float | None:
        return self._batches[0][0] if self._batches else None


class CoalescingBacklog(Backlog):
    """A backlog that keeps the net change per key since the last delivery: at most two changes per key.

    A change is folded into the one that waits for the same key:

    - Add and update become an add of the newest state. Add and delete cancel out.
    - Two updates become one, with the old state of the first. Update and delete become a delete.
    - Delete and add stay two changes. An update to an object with another uid becomes a delete and an add.

    Keys come out in the order in which they began to wait. `take` gives up to 256 keys, so that later changes can still
    be folded into the rest.
    """

    def __init__(self) -> None:
        super().__init__()
        # What waits per key: one change, or a delete and an add. Guarded by _lock.
        self._waiting: OrderedDict[str, _Batch] = OrderedDict()

    def put(self, changes: Sequence[Change[Any]]) -> int:
        """Folds a batch in; returns how many initial adds were folded away."""
        merged_away = 0
        with self._lock:
            if self._closed:
                return 0
            now = time.monotonic()
            for change in changes:
                merged_away += self._fold_locked(change, now)
            self._wake_locked()
        return merged_away

    def take_lone(self) -> Change[Any] | None:
        """See `Backlog.take_lone`."""
        with self._lock:
            if self.size != 1:
                return None
            self.size = 0
            return self._waiting.popitem()[1][1][0]

    def _fold_locked(self, change: Change[Any], now: float) -> int:
        key = change.key
        entry = self._waiting.get(key)
        if entry is None:
            self._waiting[key] = (now, first := _split(change))
            self.size += len(first)
            return 0
        since, waiting = entry
        folded = (*waiting[:-1], *_fold(waiting[-1], change))
        if folded:
            self._waiting[key] = (since, folded)
        else:
            del self._waiting[key]
        self.size += len(folded) - len(waiting)
        lost = sum(c.is_in_initial_list for c in waiting) - sum(c.is_in_initial_list for c in folded)
        return max(lost, 0)

    def _take_locked(self) -> Sequence[_Batch]:
        taken: list[_Batch] = []
        while self._waiting and len(taken) < _COALESCED_BATCH:
            batch = self._waiting.popitem(last=False)[1]
            taken.append(batch)
            self.size -= len(batch[1])
        return taken

    def _drop_locked(self) -> None:
        self._waiting.clear()
        self.size = 0

    def _oldest_locked(self) -> float | None:
        return next(iter(self._waiting.values()))[0] if self._waiting else None


def _split(change: Change[Any]) -> tuple[Change[Any], ...]:
    """Splits an update that replaced the object (another uid) into a delete and an add."""
    if change.type is UPDATED and _has_another_uid(change.old, change.object):
        return (
            Change(DELETED, change.old, final_state_unknown=True, key=change.key),
            Change(ADDED, change.object, key=change.key),
        )
    return (change,)


def _fold(first: Change[Any], then: Change[Any]) -> tuple[Change[Any], ...]:
    if first.type is DELETED:
        return (first, *_split(then)) if then.type is not DELETED else (first,)
    if first.type is ADDED:
        if then.type is DELETED:
            return ()
        return (Change(ADDED, then.object, is_in_initial_list=first.is_in_initial_list, key=first.key),)
    if then.type is DELETED:
        # The handler has last seen `first.old`, which is older than the cache's last state.
        unknown = then.final_state_unknown
        reason = then.reason
        return (
            Change(
                DELETED, then.object, final_state_unknown=unknown, key=first.key, last_known=first.old, reason=reason
            ),
        )
    return _split(
        Change(UPDATED, then.object, first.old, is_sync=first.is_sync and then.is_sync, key=first.key),
    )


def _has_another_uid(old: Any, new: Any) -> bool:
    try:
        before, after = uid_of(old), uid_of(new)
    # An object need not have metadata; then its key is all that identifies it.
    except Exception:
        return False
    return bool(before) and bool(after) and before != after
