"""One stream of events given to any number of watchers.

Comes in: events, from any thread. Goes out: each of them to every watcher there was when it was accepted, in the order of
acceptance, on the broadcaster's own thread.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from types import TracebackType
from typing import Any, Generic, Self

from typing_extensions import TypeVar

from watch.channel import Channel
from watch.concurrency import Monitor, RLock, Worker
from watch.errors import BroadcasterShutdownError, ChannelClosedError
from watch.event import Event, EventType
from watch.watcher import Watcher, WatcherBase

__all__ = ["Broadcaster", "FullChannelBehavior"]

T = TypeVar("T", default=Any)


class FullChannelBehavior(Enum):
    """What a broadcaster does when a watcher's channel has no room for an event."""

    WAIT_IF_CHANNEL_FULL = "wait"
    """Waits until it has: no event is lost, and a watcher that does not read keeps all others waiting."""
    DROP_IF_CHANNEL_FULL = "drop"
    """Leaves the event out for this watcher; the others still get it."""


class Broadcaster(Generic[T]):
    """Gives every event to every watcher.

    Args:
        queue_length: so many events may wait in a watcher's channel; 0 hands each over to a waiting reader.
        full_channel_behavior: what happens when there is no more room in one.
        incoming_queue_length: so many accepted events may wait for the one that is being given out.
        on_drop: called with each event that was left out for a watcher, on the broadcaster's thread; it must return
            soon and not raise. None tells nobody.

    Raises:
        ValueError: a length is negative.

    Threads: every method may be called from any thread. `action` blocks while the incoming queue is full, `shutdown`
    until all is given out; no other method waits for a watcher to read. Leaving a `with` block shuts it down.

    Source: apimachinery watch.Broadcaster.
    """

    def __init__(
        self,
        queue_length: int,
        full_channel_behavior: FullChannelBehavior = FullChannelBehavior.WAIT_IF_CHANNEL_FULL,
        *,
        incoming_queue_length: int = 25,
        on_drop: Callable[[Event[T]], object] | None = None,
    ) -> None:
        for name, length in (("queue_length", queue_length), ("incoming_queue_length", incoming_queue_length)):
            if length < 0:
                raise ValueError(f"{name} must be 0 or more, not {length}")
        self._queue_length = queue_length
        self._drops = FullChannelBehavior(full_channel_behavior) is FullChannelBehavior.DROP_IF_CHANNEL_FULL
        self._on_drop = on_drop
        # One more than may wait: the one in the distributor's hand.
        self._most_unfinished = incoming_queue_length + 1
        # The handler of a signal may report something in the middle of what its thread does here.
        self._monitor = Monitor(RLock())
        # All of these are guarded by _monitor, which is never held while an event is given out. An event goes with the
        # channels there were when it was accepted: so a new watcher sees what comes after it and nothing before, and
        # neither watching nor stopping has to wait for the queue.
        self._incoming: deque[tuple[Event[T], tuple[Channel[Event[T]], ...]]] = deque()
        self._channels: tuple[Channel[Event[T]], ...] = ()
        self._unfinished = 0  # events accepted and not yet given to all
        self._waiting = 0  # calls that were let in before the shutdown and wait for room
        self._stopped = False
        self._ended = False  # the distributor has
        self._worker = Worker(self._run, "broadcaster").start()

    def watch(self) -> Watcher[T]:
        """A new watcher, which gets every event accepted from now on.

        Read it or stop it: one that does neither keeps a broadcaster that waits from giving out anything.

        Raises:
            BroadcasterShutdownError: it was shut down.
        """
        return self._add(Channel(self._queue_length))

    def watch_with_prefix(self, events: Iterable[Event[T]]) -> Watcher[T]:
        """A new watcher, which gets `events` first, then every event accepted from now on.

        Raises:
            BroadcasterShutdownError: it was shut down.
        """
        prefix = list(events)
        channel: Channel[Event[T]] = Channel(max(self._queue_length, len(prefix) + 1))
        for event in prefix:
            channel.put_nowait(event)
        return self._add(channel)

    def action(self, type: EventType | str, obj: T) -> None:
        """Has an event given out, waiting for room in the incoming queue.

        Raises:
            BroadcasterShutdownError: it was shut down before this call.
        """
        with self._monitor:
            self._check_running_locked()
            self._waiting += 1
            try:
                self._monitor.wait_for(lambda: self._has_room_locked() or self._ended)
                if self._ended:
                    raise BroadcasterShutdownError("broadcaster already stopped")
                self._accept_locked(type, obj)
            finally:
                self._waiting -= 1
                self._monitor.notify_all()

    def action_or_drop(self, type: EventType | str, obj: T) -> bool:
        """Has an event given out if there is room for it at once; returns whether there was.

        Raises:
            BroadcasterShutdownError: it was shut down.
        """
        with self._monitor:
            self._check_running_locked()
            if not self._has_room_locked():
                return False
            self._accept_locked(type, obj)
            self._monitor.notify_all()
            return True

    def shutdown(self) -> None:
        """Accepts nothing more, and returns once all that was accepted is in the watchers' channels and these are closed.

        Again, or from several threads: every call returns when that is done. A watcher that waits for a reader has to be
        read, or stopped, meanwhile.
        """
        with self._monitor:
            self._stopped = True
            self._monitor.notify_all()
        self._worker.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _add(self, channel: Channel[Event[T]]) -> Watcher[T]:
        with self._monitor:
            self._check_running_locked()
            self._channels = (*self._channels, channel)
        return _BroadcasterWatcher(self, channel)

    def _remove(self, channel: Channel[Event[T]]) -> None:
        with self._monitor:
            self._channels = tuple(other for other in self._channels if other is not channel)

    def _check_running_locked(self) -> None:
        if self._stopped:
            raise BroadcasterShutdownError("broadcaster already stopped")

    def _has_room_locked(self) -> bool:
        return self._unfinished < self._most_unfinished

    def _accept_locked(self, type: EventType | str, obj: T) -> None:
        self._unfinished += 1
        self._incoming.append((Event(type, obj), self._channels))

    def _run(self) -> None:
        try:
            while self._distribute_next():
                pass
        finally:
            with self._monitor:
                self._stopped = self._ended = True
                channels, self._channels = self._channels, ()
                self._incoming.clear()
                self._monitor.notify_all()
            for channel in channels:
                channel.close()

    def _distribute_next(self) -> bool:
        """Gives out one event; returns whether there may be more. Between two calls nothing refers to the event."""
        with self._monitor:
            self._monitor.wait_for(lambda: self._incoming or (self._stopped and not self._waiting))
            if not self._incoming:
                return False
            event, channels = self._incoming.popleft()
        for channel in channels:
            self._give(channel, event)
        with self._monitor:
            self._unfinished -= 1
            self._monitor.notify_all()
        return True

    def _give(self, channel: Channel[Event[T]], event: Event[T]) -> None:
        try:
            if self._drops:
                channel.put_nowait(event)
            else:
                channel.put(event)
        except queue.Full:
            if self._on_drop is not None:
                self._on_drop(event)
        # It was stopped, perhaps while it was waited for.
        except ChannelClosedError:
            return


class _BroadcasterWatcher(WatcherBase[T]):
    def __init__(self, broadcaster: Broadcaster[T], channel: Channel[Event[T]]) -> None:
        self._broadcaster = broadcaster
        self._channel = channel

    def result_chan(self) -> Channel[Event[T]]:
        return self._channel

    def stop(self) -> None:
        # This also frees the distributor if it waits for this watcher to be read.
        self._channel.close()
        self._broadcaster._remove(self._channel)  # noqa: SLF001
