"""Changes that wait for one handler.

Comes in: batches of changes, from the thread that applied them. Goes out: batches, to the handler's thread. `Backlog`
keeps every change; `CoalescingBacklog` keeps at most what tells a key's story from what the handler saw last to now.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from operator import length_hint
from typing import Any

from informer.cache.change import Change
from informer.objects.keys import uid_of
from informer.queues.delta import DeltaType
from watch.concurrency import Monitor

__all__ = ["Backlog", "CoalescingBacklog", "DeadBacklog"]

# A handler that falls behind takes about so many changes at a time: what was taken is held until all of it is handed over.
_TAKEN_AT_ONCE = 1000
# Fewer where later changes may still be folded into those that wait.
_COALESCED_BATCH = 256

_Batch = tuple[float, Sequence[Change[Any]]]  # with its time of arrival, by the monotonic clock


class Backlog:
    """Every change, in order.

    Of many batches some are taken at a time, of each the whole. What was taken counts as waiting until the taker has drawn
    it from `in_hand`.

    Threads: `put` never blocks; `take` waits. One thread takes and draws; everything else may come from any.
    """

    def __init__(self) -> None:
        self._monitor = Monitor()
        self._closed = False  # guarded by _monitor, as are the others
        self._batches: deque[_Batch] = deque()
        self._size = 0
        self._taken: list[Change[Any]] = []  # ours alone: emptying it is what ends an iteration over it
        self._in_hand: Iterator[Change[Any]] = iter(self._taken)
        self._arrivals: list[tuple[int, float]] = []  # of what was taken: up to which place, and when it came

    def put(self, changes: Sequence[Change[Any]]) -> int:
        """Adds a batch, which must not change afterwards; returns how many initial adds it merged away (here none)."""
        with self._monitor:
            if not self._closed and changes:
                # As a tuple: the cycle collector soon leaves it out, and so never looks at a million that wait.
                self._batches.append((time.monotonic(), tuple(changes)))
                self._size += len(changes)
                self._monitor.notify()
        return 0

    def take(self, timeout: float | None = None) -> Sequence[Change[Any]] | None:
        """Waits for changes and takes the first of them, to be drawn from `in_hand`; None when closed and empty.

        Raises:
            TimeoutError: none came within `timeout` seconds (None waits without limit).
        """
        if not length_hint(self._in_hand):
            # The wait may be long, and whoever took these before may still have the list.
            self._taken.clear()
        with self._monitor:
            if not self._monitor.wait_for(lambda: self._has_any_locked() or self._closed, timeout):
                raise TimeoutError("no change came in time")
            if not self._has_any_locked():
                return None
            taken: list[Change[Any]] = []
            arrivals: list[tuple[int, float]] = []
            for since, changes in self._take_locked():
                taken += changes
                arrivals.append((len(taken), since))
            self._taken, self._in_hand, self._arrivals = taken, iter(taken), arrivals
            return taken

    @property
    def in_hand(self) -> Iterator[Change[Any]]:
        """What the last `take` gave and was not drawn yet; it ends at once when the backlog is closed."""
        return self._in_hand

    def close(self, *, drain: bool = False) -> None:
        """Ends it: nothing more is accepted, and what waits is dropped unless `drain`. Again is harmless."""
        with self._monitor:
            self._closed = True
            if not drain:
                self._drop_locked()
                self._taken.clear()
            self._monitor.notify_all()

    def forget(self) -> None:
        """Drops what was taken, without any lock: in a forked child another thread's locks stay locked for ever."""
        self._taken.clear()

    def __len__(self) -> int:
        with self._monitor:
            return self._size + length_hint(self._in_hand)

    def __bool__(self) -> bool:
        return True

    @property
    def oldest(self) -> float | None:
        """When the oldest waiting change came, by the monotonic clock; None when nothing waits."""
        with self._monitor:
            left = length_hint(self._in_hand)
            if left:
                drawn = len(self._taken) - left
                return next((since for end, since in self._arrivals if end > drawn), None)
            return self._oldest_locked()

    def _has_any_locked(self) -> bool:
        return bool(self._batches)

    def _take_locked(self) -> Sequence[_Batch]:
        if self._size <= _TAKEN_AT_ONCE:
            batches, self._batches = self._batches, deque()
            self._size = 0
            return batches
        taken: list[_Batch] = []
        size = 0
        while self._batches and size < _TAKEN_AT_ONCE:
            taken.append(self._batches.popleft())
            size += len(taken[-1][1])
        self._size -= size
        return taken

    def _drop_locked(self) -> None:
        self._batches.clear()
        self._size = 0

    def _oldest_locked(self) -> float | None:
        return self._batches[0][0] if self._batches else None


class CoalescingBacklog(Backlog):
    """The newest state of each key that the handler has not seen: bounded by the number of keys.

    Add then update is an add of the newest; add then delete is nothing; update then update keeps the first old; update
    then delete is a delete. Delete then add stays two, as does an update to an object with another uid: a delete and an
    add. Keys come out in the order in which they began to wait, some hundred at a time, so that later changes can still
    be folded into the rest.
    """

    def __init__(self) -> None:
        super().__init__()
        # Key to what waits for it: one change, or a delete and an add. Guarded by _monitor.
        self._waiting: OrderedDict[str, _Batch] = OrderedDict()

    def put(self, changes: Sequence[Change[Any]]) -> int:
        """Folds a batch in; returns how many initial adds came to nothing by it."""
        merged_away = 0
        with self._monitor:
            if self._closed:
                return 0
            now = time.monotonic()
            for change in changes:
                merged_away += self._fold_locked(change, now)
            self._monitor.notify()
        return merged_away

    def _fold_locked(self, change: Change[Any], now: float) -> int:
        key = change.key
        entry = self._waiting.get(key)
        if entry is None:
            self._waiting[key] = (now, first := _split(change))
            self._size += len(first)
            return 0
        since, waiting = entry
        folded = (*waiting[:-1], *_fold(waiting[-1], change))
        if folded:
            self._waiting[key] = (since, folded)
        else:
            del self._waiting[key]
        self._size += len(folded) - len(waiting)
        lost = sum(c.is_in_initial_list for c in waiting) - sum(c.is_in_initial_list for c in folded)
        return max(lost, 0)

    def _has_any_locked(self) -> bool:
        return bool(self._waiting)

    def _take_locked(self) -> Sequence[_Batch]:
        taken = [self._waiting.popitem(last=False)[1] for _ in range(min(_COALESCED_BATCH, len(self._waiting)))]
        self._size -= sum(len(changes) for _, changes in taken)
        return taken

    def _drop_locked(self) -> None:
        self._waiting.clear()
        self._size = 0

    def _oldest_locked(self) -> float | None:
        return next(iter(self._waiting.values()))[0] if self._waiting else None


class DeadBacklog(Backlog):
    """What a forked child finds in place of a backlog, whose locks and threads are the parent's.

    Args:
        error: makes what every look at it raises.
    """

    def __init__(self, error: Callable[[], Exception]) -> None:
        super().__init__()
        self._error = error
        self._closed = True

    def take(self, timeout: float | None = None) -> Sequence[Change[Any]] | None:
        """Raises the error."""
        raise self._error()

    def __len__(self) -> int:
        raise self._error()

    @property
    def oldest(self) -> float | None:
        """Raises the error."""
        raise self._error()


def _split(change: Change[Any]) -> tuple[Change[Any], ...]:
    """An update from one object to another of the same name is a delete and an add."""
    if change.type is DeltaType.UPDATED and _is_another(change.old, change.object):
        return (
            Change(DeltaType.DELETED, change.old, final_state_unknown=True, key=change.key),
            Change(DeltaType.ADDED, change.object, key=change.key),
        )
    return (change,)


def _fold(first: Change[Any], then: Change[Any]) -> tuple[Change[Any], ...]:
    if first.type is DeltaType.DELETED:
        return (first, *_split(then)) if then.type is not DeltaType.DELETED else (first,)
    if first.type is DeltaType.ADDED:
        if then.type is DeltaType.DELETED:
            return ()
        return (Change(DeltaType.ADDED, then.object, is_in_initial_list=first.is_in_initial_list, key=first.key),)
    if then.type is DeltaType.DELETED:
        # What the handler has seen last is older than what the cache had last.
        unknown = then.final_state_unknown
        return (
            Change(DeltaType.DELETED, then.object, final_state_unknown=unknown, key=first.key, last_known=first.old),
        )
    return _split(
        Change(DeltaType.UPDATED, then.object, first.old, is_sync=first.is_sync and then.is_sync, key=first.key),
    )


def _is_another(old: Any, new: Any) -> bool:
    try:
        before, after = uid_of(old), uid_of(new)
    # Objects need not have metadata; without it they are told apart by their key alone.
    except Exception:
        return False
    return bool(before) and bool(after) and before != after
