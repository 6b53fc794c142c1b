"""One listener's side of an informer: what waits for it, and whether it has had the initial list."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from informer.cache.change import Change, unwrapped
from informer.handlers.backlog import Backlog, CoalescingBacklog, DeadBacklog
from informer.handlers.handler import filter_change
from informer.handlers.processor import ResyncSchedule
from watch.concurrency import Lock

__all__ = ["BacklogPolicy", "Subscription", "initial_part", "make_backlog"]

BacklogPolicy = Literal["all", "coalesce"]


def make_backlog(policy: BacklogPolicy) -> Backlog:
    """The backlog of a policy.

    Raises:
        ValueError: there is no such policy.
    """
    if policy == "all":
        return Backlog()
    if policy == "coalesce":
        return CoalescingBacklog()
    raise ValueError(f'backlog must be "all" or "coalesce", not {policy!r}')


class Subscription:
    """A listener of a processor whose owner pulls.

    Args:
        backlog: where changes wait.
        resync: when it is shown everything again.
        unwrap: asked, once a batch, for the function that gives the object that users see of a stored one; None where
            they are the same.
        keep: lets pass the objects of interest (see `filter_change`); None lets all pass.
        skip_initial: leaves out what is there at the start.
        on_initial_done: called when the last initial add was finished, on the thread that finished it.

    Threads: `put` on the applying thread; `take`, `finished` and drawing from `in_hand` on the owner's; the rest on any.
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
    ) -> None:
        self.resync = resync
        # Until the informer first looks who is due, a list that brings nothing new is as good as a resync.
        self.syncing = resync.period > 0
        self.abandoned = False
        self._backlog = backlog
        self._unwrap_now = unwrap
        self._unwrap: Callable[[Any], Any] | None = None
        self._keep = keep
        self._skip_initial = skip_initial
        self._on_initial_done = on_initial_done
        self._lock = Lock()
        self._initial_left = 0  # initial adds put and not finished; guarded by _lock
        self._dropped = False
        self._wake: Callable[[], object] | None = None

    def put(self, changes: Sequence[Change[Any]], initial: int) -> None:
        """See `Listener.put`."""
        if initial and self._skip_initial:
            changes = [change for change in changes if not change.is_in_initial_list]
            initial = 0
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
        """Has `wake` called after each batch and at the end, for an owner that cannot wait; it must not block."""
        self._wake = wake

    def take(self, timeout: float | None = None) -> Sequence[Change[Any]] | None:
        """Waits for changes, to be drawn from `in_hand`; None when closed and, if it drains, empty.

        Raises:
            TimeoutError: none came within `timeout` seconds (None waits without limit).
        """
        taken = self._backlog.take(timeout)
        self._unwrap = self._unwrap_now()
        return taken

    @property
    def in_hand(self) -> Iterator[Change[Any]]:
        """What was taken and is not yet handed over; it ends at once when the subscription ends."""
        return self._backlog.in_hand

    def visible(self, change: Change[Any]) -> Change[Any] | None:
        """A change as its owner sees it, None if the filter holds it back. What the user's functions raise comes out."""
        return change if self._keep is None else filter_change(change, self._keep)

    def unwrapped(self, change: Change[Any]) -> Change[Any]:
        """A change with the objects that users see. What the model raises comes out."""
        return change if self._unwrap is None else unwrapped(change, self._unwrap)

    @property
    def is_plain(self) -> bool:
        """Whether its owner sees every change as it is stored."""
        return self._unwrap is None and self._keep is None

    def finished(self, initial: int) -> None:
        """Counts so many initial adds as finished."""
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
        """See `Listener.close`."""
        if not drain:
            self._dropped = True
        self._backlog.close(drain=drain)
        if self._wake is not None:
            self._wake()

    @property
    def dropped(self) -> bool:
        """Whether it was closed with what waited."""
        return self._dropped

    def abandon(self) -> None:
        """Has it removed with the next batch; takes no lock, so that a finaliser may call it."""
        self.abandoned = True

    def die(self, error: Callable[[], Exception]) -> None:
        """In a forked child: from now on every look at what waits raises."""
        self._backlog.forget()
        self._dropped = True
        self._backlog = DeadBacklog(error)

    @property
    def backlog_size(self) -> int:
        """Changes that wait and are not yet handed over."""
        return len(self._backlog)

    @property
    def lag_seconds(self) -> float:
        """For how long the oldest change that is not yet handed over has waited, in seconds; 0 when nothing waits."""
        oldest = self._backlog.oldest
        return 0.0 if oldest is None else time.monotonic() - oldest


def initial_part(changes: Sequence[Change[Any]]) -> tuple[int, int]:
    """The place behind the last initial add in a batch, and how many of these there are up to it.

    The batch may be emptied meanwhile, as `Subscription.close` does.
    """
    places = [place for place, change in enumerate(changes, 1) if change.is_in_initial_list]
    return (places[-1], len(places)) if places else (0, 0)
