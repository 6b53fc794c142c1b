"""One listener's side of an informer: what waits for it, and whether it has had the initial list."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from operator import length_hint
from typing import Any, Literal

from informer.backlog import Backlog, CoalescingBacklog
from informer.changes import Change, unwrapped
from informer.handlers import filter_change
from informer.processor import ResyncSchedule
from watch.concurrency import Lock

__all__ = ["BacklogPolicy", "Subscription", "make_backlog"]

BacklogPolicy = Literal["all", "coalesce"]


def make_backlog(policy: BacklogPolicy, key_of: Callable[[Any], str]) -> Backlog | CoalescingBacklog:
    """The backlog of a policy.

    Raises:
        ValueError: there is no such policy.
    """
    if policy == "all":
        return Backlog()
    if policy == "coalesce":
        return CoalescingBacklog(key_of)
    raise ValueError(f'backlog must be "all" or "coalesce", not {policy!r}')


class Subscription:
    """A listener of a processor whose owner pulls.

    Args:
        backlog: where changes wait.
        resync: when it is shown everything again.
        unwrap: gives the object that users see of a stored one; None where they are the same.
        keep: lets pass the objects of interest (see `filter_change`); None lets all pass.
        on_initial_done: called when the last initial add was finished, on the thread that finished it.

    Threads: `put` on the applying thread, `take` and `finished` on the owner's, the rest on any.
    """

    def __init__(
        self,
        backlog: Backlog | CoalescingBacklog,
        resync: ResyncSchedule,
        *,
        unwrap: Callable[[Any], Any] | None,
        keep: Callable[[Any], object] | None = None,
        on_initial_done: Callable[[], object],
    ) -> None:
        self.resync = resync
        self.syncing = False
        self._backlog = backlog
        self._unwrap = unwrap
        self._keep = keep
        self._on_initial_done = on_initial_done
        self._lock = Lock()
        self._initial_left = 0  # initial adds put and not finished; guarded by _lock
        self._wake: Callable[[], object] | None = None
        self._in_hand: Any = iter(())  # what `handing_over` has taken and not yet given
        self._in_hand_since = 0.0

    def put(self, changes: Sequence[Change[Any]], initial: int) -> None:
        """See `Listener.put`."""
        if not changes:
            return
        if initial:
            with self._lock:
                self._initial_left += initial
        merged_away = self._backlog.put(changes)
        if merged_away:
            self.finished(merged_away)
        if self._wake is not None:
            self._wake()

    def on_put(self, wake: Callable[[], object]) -> None:
        """Has `wake` called after each batch, for an owner that cannot wait on a thread; it must not block."""
        self._wake = wake

    def take_nowait(self) -> Sequence[Change[Any]] | None:
        """What waits, or None when nothing does; for the one owner that takes."""
        return self.take() if len(self._backlog) else None

    def take(self, timeout: float | None = None) -> Sequence[Change[Any]] | None:
        """Waits for changes; None when closed and, if it drains, empty.

        Raises:
            TimeoutError: none came within `timeout` seconds (None waits without limit).
        """
        taken = self._backlog.take(timeout)
        if taken is None:
            return None
        self._in_hand_since, changes = taken
        return changes

    def handing_over(self, changes: Sequence[Change[Any]]) -> Any:
        """An iterator over changes just taken, whose rest counts as waiting until it is given out."""
        self._in_hand = iter(changes)
        return self._in_hand

    def visible(self, change: Change[Any]) -> Change[Any] | None:
        """A change as its owner sees it: unwrapped and filtered. Whatever the user's functions raise comes out."""
        if self._unwrap is not None:
            change = unwrapped(change, self._unwrap)
        return change if self._keep is None else filter_change(change, self._keep)

    def set_unwrap(self, unwrap: Callable[[Any], Any] | None) -> None:
        """Sets `unwrap` (see the class), before anything was put."""
        self._unwrap = unwrap

    @property
    def is_plain(self) -> bool:
        """Whether `visible` gives every change as it is."""
        return self._unwrap is None and self._keep is None

    def finished(self, initial: int) -> None:
        """Counts so many initial adds as finished."""
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
        """See `Listener.close`."""
        self._backlog.close(drain=drain)

    @property
    def backlog_size(self) -> int:
        """Changes that wait and are not yet handed over."""
        return len(self._backlog) + length_hint(self._in_hand)

    @property
    def lag_seconds(self) -> float:
        """For how long the oldest change that is not yet handed over has waited, in seconds; 0 when nothing waits."""
        if length_hint(self._in_hand):
            return time.monotonic() - self._in_hand_since
        oldest = self._backlog.oldest
        return 0.0 if oldest is None else time.monotonic() - oldest
