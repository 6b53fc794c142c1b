"""One listener's side of an informer: the changes that wait for it, and whether it has had the initial list."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from informer.cache.change import Change, unwrapped
from informer.handlers.backlog import Backlog, CoalescingBacklog
from informer.handlers.handler import filter_change
from informer.handlers.processor import ResyncSchedule
from watch.concurrency import Lock

__all__ = ["BacklogPolicy", "Subscription", "initial_part", "make_backlog"]

BacklogPolicy = Literal["all", "coalesce"]


def make_backlog(policy: BacklogPolicy) -> Backlog:
    """Returns a new backlog: "all" keeps every change, "coalesce" the net change per key.

    Raises:
        ValueError: the policy is neither.
    """
    if policy == "all":
        return Backlog()
    if policy == "coalesce":
        return CoalescingBacklog()
    raise ValueError(f'backlog must be "all" or "coalesce", not {policy!r}')


class Subscription:
    """A listener of a `Processor` that keeps changes until its owner takes them.

    Handlers, event streams and the asyncio view each own one.

    Args:
        backlog: where changes wait.
        resync: when every object is shown again.
        unwrap: called once per `take`; returns the function that converts a stored object to the user's, or None
            where users see the stored objects themselves.
        keep: returns whether the owner wants an object (see `filter_change`); None keeps all.
        skip_initial: leaves out the initial adds.
        on_initial_done: called when the last initial add is finished, on the thread that finished it.
        check_process: raises in a forked child, whose parent has the threads that put changes; None never does.

    Attributes:
        backlog: as the argument.
        in_hand: the taken changes that are not drawn yet. It ends at once when the subscription is closed without
            `drain`.
        is_plain: whether the changes taken last are neither filtered nor unwrapped, so that `visible` and `unwrapped`
            return their argument.
        dropped: whether it was closed without `drain`.
        abandoned: True once its owner was garbage-collected; the processor then removes it.

    Threads: `put` is called on the thread that applies changes; `take`, `finished` and drawing from `in_hand` on the
        owner's thread; everything else on any.
    """

    def __init__(
        self,
        backlog: Backlog,
        resync: ResyncSchedule,
        *,
        unwrap: Callable[[], Callable[[Any], Any] | None],
        keep: Callable[[Any], object] | None = None,
        skip_initial: bool = False,
        on_initial_done: Callable[[], object],
        check_process: Callable[[], object] | None = None,
    ) -> None:
        self.resync = resync
        # Until the informer first checks which listeners are due, the states that a relist repeats count as a resync.
        self.syncing = resync.period > 0
        self.abandoned = False
        self.dropped = False
        self.is_plain = keep is None
        self.in_hand: Iterator[Change[Any]] = iter(())
        self.backlog = backlog
        self._find_unwrap = unwrap
        self._unwrap: Callable[[Any], Any] | None = None
        self._keep = keep
        self._skip_initial = skip_initial
        self._on_initial_done = on_initial_done
        self._check_process = check_process or _accept
        self._lock = Lock()
        self._initial_left = 0  # initial adds put and not finished; guarded by _lock
        self._wake: Callable[[], object] | None = None

    def put(self, changes: Sequence[Change[Any]], initial: int) -> None:
        """Adds a batch; never blocks (see `Listener.put`)."""
        if initial and self._skip_initial:
            changes = [change for change in changes if not change.is_in_initial_list]
            initial = 0
        if not changes:
            return
        if initial:
            with self._lock:
                self._initial_left += initial
        merged_away = self.backlog.put(changes)
        if merged_away:
            self.finished(merged_away)
        if self._wake is not None:
            self._wake()

    def on_put(self, wake: Callable[[], object]) -> None:
        """Has `wake` called after each batch and at the end, for an owner that must not block; `wake` must not either."""
        self._wake = wake

    def take(self, timeout: float | None = None) -> Sequence[Change[Any]] | None:
        """Waits for changes and moves them into `in_hand`.

        Args:
            timeout: seconds to wait at most; None waits without limit.

        Returns:
            The changes in stored form; None when the subscription is closed and empty.

        Raises:
            TimeoutError: no change came in time.
        """
        taken = self.backlog.take(timeout)
        if taken is None:
            self._check_process()
        self.in_hand = self.backlog.in_hand
        self._unwrap = unwrap = self._find_unwrap()
        self.is_plain = unwrap is None and self._keep is None
        return taken

    def take_waiting(self) -> Sequence[Change[Any]]:
        """Moves the changes that wait into `in_hand`, as `take` does, but never waits: there may be none."""
        try:
            return self.take(0) or ()
        # Closed, or what waited was folded away meanwhile.
        except TimeoutError:
            return ()

    def visible(self, change: Change[Any]) -> Change[Any] | None:
        """Applies the filter to an unwrapped change: returns what the owner sees of it, None for nothing.

        Raises:
            Exception: what the user's filter raised.
        """
        return change if self._keep is None else filter_change(change, self._keep)

    def unwrapped(self, change: Change[Any]) -> Change[Any]:
        """Returns a stored change with the objects that users see.

        Raises:
            Exception: what the model raised while it decoded an object.
        """
        return change if self._unwrap is None else unwrapped(change, self._unwrap)

    def finished(self, initial: int) -> None:
        """Counts `initial` initial adds as finished."""
        if not initial:
            return
        with self._lock:
            self._initial_left -= initial
            done = self._initial_left == 0
        if done:
            self._on_initial_done()

    @property
    def initial_done(self) -> bool:
        """Whether every initial add that was put is finished."""
        return self._initial_left == 0

    def close(self, *, drain: bool = False) -> None:
        """Refuses further changes, and drops the waiting ones unless `drain` is True. Idempotent."""
        if not drain:
            self.dropped = True
        self.backlog.close(drain=drain)
        if self._wake is not None:
            self._wake()

    def abandon(self) -> None:
        """Has the processor remove it with the next batch; takes no lock, so that a finalizer may call it."""
        self.abandoned = True

    def end_in_child(self) -> None:
        """Closes it in a forked child, without a wake: the owner's event loop is the parent's."""
        self.dropped = True
        self.backlog.close()

    @property
    def backlog_size(self) -> int:
        """How many changes wait and are not yet drawn."""
        self._check_process()
        return len(self.backlog)

    @property
    def lag_seconds(self) -> float:
        """Seconds that the oldest change not yet drawn has waited; 0 when none waits."""
        self._check_process()
        oldest = self.backlog.oldest
        return 0.0 if oldest is None else time.monotonic() - oldest


def initial_part(changes: Sequence[Change[Any]]) -> tuple[int, int]:
    """Returns the index behind the last initial add in a batch, and how many initial adds the batch has.

    Another thread may empty the batch meanwhile, as `Subscription.close` does.
    """
    indices = [index for index, change in enumerate(changes, 1) if change.is_in_initial_list]
    return (indices[-1], len(indices)) if indices else (0, 0)


def _accept() -> None:
    """The check of a subscription that may be used in every process."""
