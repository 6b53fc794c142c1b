"""Gives each batch of changes to every listener, and takes in listeners late without a gap or a repeat.

Comes in: batches from the one thread that applies them. Goes out: the same batches, to each listener's backlog.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from informer.cache.change import Change
from informer.queues.delta import DeltaType
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import RLock

__all__ = ["MINIMUM_RESYNC_PERIOD", "Listener", "Processor", "ResyncSchedule"]

# Source: client-go tools/cache minimumResyncPeriod.
MINIMUM_RESYNC_PERIOD = 1.0


class ResyncSchedule:
    """When one listener is due to be shown everything again.

    Args:
        requested: seconds between two resyncs, 0 for never.
        period: what it comes to, given how often the informer looks.
    """

    def __init__(self, requested: float, period: float, now: float) -> None:
        self.requested = requested
        self.period = period
        self.due = now + period

    def take_due(self, now: float) -> bool:
        """Whether it is due; if so the next time is set."""
        if not self.period or now < self.due:
            return False
        self.due = now + self.period
        return True


class Listener(Protocol):
    """One who gets every change."""

    resync: ResyncSchedule
    syncing: bool  # it takes part in the resync under way; guarded by the processor's lock
    abandoned: bool  # nobody will ever take from it again

    def put(self, changes: Sequence[Change[Any]], initial: int) -> None:
        """Takes a batch, which nobody changes afterwards and which has so many initial adds; never blocks."""
        ...

    def close(self, *, drain: bool) -> None:
        """Takes nothing more; drops what it has not handed over unless `drain`."""
        ...

    def die(self, error: Callable[[], Exception]) -> None:
        """In a forked child: from now on every look at what waits raises."""
        ...


class Processor:
    """The listeners of one informer.

    Args:
        clock: times the resyncs.

    Threads: any. `lock` is held while a batch is applied and given out, and while a listener joins: that is what makes
    a late listener see every object once. No code of users runs under it.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.lock = RLock()
        self._clock = clock
        self._listeners: tuple[Listener, ...] = ()  # replaced as a whole; guarded by lock, as are the others
        self._closed = False
        self.resync_check_period = 0.0  # seconds; 0: no resyncs
        self._running = False

    def add(self, listener: Listener, snapshot: Callable[[], Mapping[str, Any]]) -> bool:
        """Adds a listener; what is stored already comes to it as one batch of initial adds.

        Args:
            listener: gets every batch from now on.
            snapshot: gives the stored objects by key.

        Returns:
            False if it is too late: everything is closed.
        """
        with self.lock:
            if self._closed:
                return False
            stored = snapshot()
            if stored:
                initial = [Change(DeltaType.ADDED, obj, None, True, False, False, key) for key, obj in stored.items()]
                listener.put(initial, len(initial))
            self._listeners += (listener,)
            return True

    def remove(self, listener: Listener) -> bool:
        """Removes a listener; returns whether it was there."""
        with self.lock:
            if listener not in self._listeners:
                return False
            self._listeners = tuple(each for each in self._listeners if each is not listener)
            return True

    def listeners(self) -> tuple[Listener, ...]:
        """The listeners there are now."""
        return self._listeners

    def distribute(self, changes: Sequence[Change[Any]]) -> None:
        """Gives a batch to all; an update without a new resourceVersion only to those in the resync under way."""
        if not changes:
            return
        with self.lock:
            initial = sum(change.is_in_initial_list for change in changes)
            news = changes
            if any(change.is_sync for change in changes):
                news = [change for change in changes if not change.is_sync]
            for listener in self._listeners:
                listener.put(changes if listener.syncing else news, initial)
                if listener.abandoned:
                    self.remove(listener)
                    listener.close(drain=False)

    def schedule(self, requested: float) -> ResyncSchedule:
        """A schedule for a new listener that asks for a resync each `requested` seconds (0: never).

        Before the start the informer looks as often as the most frequent listener asks; afterwards a listener gets a
        period no shorter than that.

        Source: client-go tools/cache determineResyncPeriod.
        """
        with self.lock:
            wanted = max(requested, MINIMUM_RESYNC_PERIOD) if requested > 0 else 0.0
            if wanted and self.resync_check_period and wanted < self.resync_check_period:
                if self._running:
                    wanted = self.resync_check_period
                else:
                    self.resync_check_period = wanted
            # Without a check period of the informer's own nobody looks, whatever a listener asks.
            period = wanted if self.resync_check_period else 0.0
            return ResyncSchedule(requested, period, self._clock.monotonic())

    def start(self) -> None:
        """From now on the period of looking is fixed."""
        with self.lock:
            self._running = True
            now = self._clock.monotonic()
            for listener in self._listeners:
                listener.resync.due = now + listener.resync.period

    def should_resync(self) -> bool:
        """Marks the listeners that are due; returns whether there are any."""
        with self.lock:
            now = self._clock.monotonic()
            for listener in self._listeners:
                listener.syncing = listener.resync.take_due(now)
            return any(listener.syncing for listener in self._listeners)

    def close(self, *, drain: bool) -> None:
        """Closes every listener, and takes in none any more."""
        with self.lock:
            self._closed = True
        for listener in self._listeners:
            listener.close(drain=drain)
