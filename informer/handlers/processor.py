"""Gives each batch of changes to every listener of an informer, and schedules the listeners' resyncs."""

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
    """When one listener is due for its next resync.

    Args:
        requested: the period that the listener asked for, in seconds; 0 for none.
        period: the period that it gets, in seconds; 0 for none.
        now: the time, by the processor's clock.

    Attributes:
        due: when the next resync is due, by the processor's clock.
    """

    def __init__(self, requested: float, period: float, now: float) -> None:
        self.requested = requested
        self.period = period
        self.due = now + period

    def take_due(self, now: float) -> bool:
        """Returns whether a resync is due; if it is, schedules the next one."""
        if not self.period or now < self.due:
            return False
        self.due = now + self.period
        return True


class Listener(Protocol):
    """Receives every change of an informer.

    Attributes:
        resync: when it is due for a resync.
        syncing: whether it takes part in the resync under way; guarded by the processor's lock.
        abandoned: whether its owner has gone, so that the processor should remove it.
    """

    resync: ResyncSchedule
    syncing: bool
    abandoned: bool

    def put(self, changes: Sequence[Change[Any]], initial: int) -> None:
        """Takes a batch with `initial` initial adds; never blocks. The batch does not change afterwards."""
        ...

    def close(self, *, drain: bool) -> None:
        """Takes nothing more; drops what is not handed over yet unless `drain` is True."""
        ...

    def end_in_child(self) -> None:
        """Drops everything: this is a forked child of the process that fills the listener."""
        ...


class Processor:
    """Distributes changes to the listeners of one informer.

    A listener that joins late first gets an add for each stored object. No change is lost or repeated in between, because
    `lock` is held while a batch is applied to the cache and distributed, and while a listener joins.

    Args:
        clock: times the resyncs.
        resync_check_period: seconds between two checks which listeners are due for a resync; 0 for no resyncs.

    Attributes:
        lock: see above. Users' functions never run under it.
        resync_check_period: as the argument, or shorter if a listener asked for a shorter period before the start.

    Threads: any.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK, resync_check_period: float = 0.0) -> None:
        self.lock = RLock()
        self.resync_check_period = resync_check_period
        self._clock = clock
        self._listeners: tuple[Listener, ...] = ()  # replaced as a whole; guarded by lock, as are the fields below
        self._closed = False
        self._running = False

    def add(self, listener: Listener, snapshot: Callable[[], Mapping[str, Any]]) -> bool:
        """Adds a listener, and puts an initial add for each stored object to it, as one batch.

        Args:
            listener: gets every batch from now on.
            snapshot: returns the stored objects by key.

        Returns:
            Whether it was added; False after `close`.
        """
        with self.lock:
            if self._closed:
                return False
            stored = snapshot()
            if stored:
                # The fields of a Change: type, object, old, is_in_initial_list, final_state_unknown, is_sync, key.
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
        """Returns the present listeners."""
        return self._listeners

    def takes_syncs(self) -> bool:
        """Returns whether a listener takes part in a resync now; called under `lock`."""
        return any(listener.syncing for listener in self._listeners)

    def distribute(self, changes: Sequence[Change[Any]]) -> None:
        """Puts a batch to all listeners; repeated states (`is_sync`) only to those that take part in the resync under way."""
        if not changes:
            return
        with self.lock:
            initial = syncs = 0
            for change in changes:
                initial += change.is_in_initial_list
                syncs += change.is_sync
            news = changes if not syncs else [change for change in changes if not change.is_sync]
            for listener in self._listeners:
                listener.put(changes if listener.syncing else news, initial)
                if listener.abandoned:
                    self.remove(listener)
                    listener.close(drain=False)

    def schedule(self, requested: float) -> ResyncSchedule:
        """Returns a schedule for a new listener that asks for a resync every `requested` seconds (0: never).

        Before the start, a shorter period shortens the informer's check period. After it, the listener's period is
        lengthened to the check period. Without a check period there are no resyncs.

        Source: client-go tools/cache determineResyncPeriod.
        """
        with self.lock:
            wanted = max(requested, MINIMUM_RESYNC_PERIOD) if requested > 0 else 0.0
            if wanted and self.resync_check_period and wanted < self.resync_check_period:
                if self._running:
                    wanted = self.resync_check_period
                else:
                    self.resync_check_period = wanted
            period = wanted if self.resync_check_period else 0.0
            return ResyncSchedule(requested, period, self._clock.monotonic())

    def start(self) -> None:
        """Fixes the check period, and begins the listeners' periods."""
        with self.lock:
            self._running = True
            now = self._clock.monotonic()
            for listener in self._listeners:
                listener.resync.due = now + listener.resync.period

    def should_resync(self) -> bool:
        """Marks the listeners that are due for a resync; returns whether there are any."""
        with self.lock:
            now = self._clock.monotonic()
            for listener in self._listeners:
                listener.syncing = listener.resync.take_due(now)
            return any(listener.syncing for listener in self._listeners)

    def close(self, *, drain: bool) -> None:
        """Closes every listener, and refuses further ones."""
        with self.lock:
            self._closed = True
        for listener in self._listeners:
            listener.close(drain=drain)
