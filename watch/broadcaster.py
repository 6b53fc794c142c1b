"""Sends one stream of events to any number of watchers."""

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
    """What a broadcaster does with an event when a watcher's channel is full."""

    WAIT_IF_CHANNEL_FULL = "wait"
    """Wait for room. No event is lost, but a watcher that does not read holds up all others."""
    DROP_IF_CHANNEL_FULL = "drop"
    """Drop the event for this watcher. The other watchers still get it."""


class Broadcaster(Generic[T]):
    """Sends every event to every watcher that existed when the event was accepted, in the order of acceptance.

        with Broadcaster(100) as broadcaster:
            watcher = broadcaster.watch()
            broadcaster.action(EventType.ADDED, pod)  # from any thread
            event = watcher.result_chan().get()

    A thread of the broadcaster delivers the events. Leaving a `with` block shuts it down.

    Args:
        queue_length: the number of events that may wait in one watcher's channel; 0 hands each event to a waiting reader.
        full_channel_behavior: what to do with an event when a watcher's channel is full.
        incoming_queue_length: the number of accepted events that may wait while one event is being delivered.
        on_drop: called on the broadcaster's thread with each event that is dropped for a watcher, once per watcher; it must
            return soon and not raise. None calls nothing.

    Raises:
        ValueError: a length is negative.

    Threads: every method may be called from any thread. `action` blocks while the incoming queue is full. `shutdown` blocks
    until all events are delivered. No other method blocks.

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
        # Those that wait, and the one that is being delivered.
        self._max_undelivered = incoming_queue_length + 1
        # Reentrant: the handler of a signal may interrupt a method here and send an event itself.
        self._monitor = Monitor(RLock())
        # All of these are guarded by _monitor, which is not held while an event is delivered. Each event is queued with
        # the channels that existed when it was accepted. So a new watcher sees only later events, and neither `watch`
        # nor `stop` has to wait for the queue.
        self._incoming: deque[tuple[Event[T], tuple[Channel[Event[T]], ...]]] = deque()
        self._channels: tuple[Channel[Event[T]], ...] = ()
        self._undelivered = 0  # events accepted, and not yet delivered to every watcher
        self._waiting = 0  # calls of `action` that wait for room; `shutdown` waits for them
        self._stopped = False
        self._ended = False  # the delivering thread has ended
        self._worker = Worker(self._run, "broadcaster").start()

    def watch(self) -> Watcher[T]:
        """Returns a new watcher, which gets every event accepted from now on.

        Read it until you stop it: with WAIT_IF_CHANNEL_FULL an unread watcher holds up the whole broadcaster.

        Raises:
            BroadcasterShutdownError: the broadcaster was shut down.
        """
        return self._add(Channel(self._queue_length))

    def watch_with_prefix(self, events: Iterable[Event[T]]) -> Watcher[T]:
        """Returns a new watcher, which first gets `events`, then every event accepted from now on.

        Raises:
            BroadcasterShutdownError: the broadcaster was shut down.
        """
        prefix = list(events)
        channel: Channel[Event[T]] = Channel(max(self._queue_length, len(prefix) + 1))
        for event in prefix:
            channel.put_nowait(event)
        return self._add(channel)

    def action(self, type: EventType | str, obj: T) -> None:
        """Sends an event to all watchers, after waiting for room in the incoming queue.

        Args:
            type: an `EventType` or any other string.
            obj: the event's object.

        Raises:
            BroadcasterShutdownError: the broadcaster was shut down before this call.
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
        """Sends an event to all watchers if the incoming queue has room; returns whether it had.

        Args:
            type: an `EventType` or any other string.
            obj: the event's object.

        Raises:
            BroadcasterShutdownError: the broadcaster was shut down.
        """
        with self._monitor:
            self._check_running_locked()
            if not self._has_room_locked():
                return False
            self._accept_locked(type, obj)
            self._monitor.notify_all()
            return True

    def shutdown(self) -> None:
        """Refuses further events, delivers those accepted before, and closes every watcher's channel.

        It returns when that is done, and so does every further call, from any thread. With WAIT_IF_CHANNEL_FULL the
        watchers have to be read or stopped meanwhile.
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
        return self._undelivered < self._max_undelivered

    def _accept_locked(self, type: EventType | str, obj: T) -> None:
        self._undelivered += 1
        self._incoming.append((Event(type, obj), self._channels))

    def _run(self) -> None:
        try:
            while self._deliver_next():
                pass
        finally:
            with self._monitor:
                self._stopped = self._ended = True
                channels, self._channels = self._channels, ()
                self._incoming.clear()
                self._monitor.notify_all()
            for channel in channels:
                channel.close()

    def _deliver_next(self) -> bool:
        """Delivers one event; returns whether there may be more. It keeps no reference to the event."""
        with self._monitor:
            self._monitor.wait_for(lambda: self._incoming or (self._stopped and not self._waiting))
            if not self._incoming:
                return False
            event, channels = self._incoming.popleft()
        for channel in channels:
            self._deliver(channel, event)
        with self._monitor:
            self._undelivered -= 1
            self._monitor.notify_all()
        return True

    def _deliver(self, channel: Channel[Event[T]], event: Event[T]) -> None:
        try:
            if self._drops:
                channel.put_nowait(event)
            else:
                channel.put(event)
        except queue.Full:
            if self._on_drop is not None:
                self._on_drop(event)
        # The watcher was stopped, perhaps during this put.
        except ChannelClosedError:
            return


class _BroadcasterWatcher(WatcherBase[T]):
    def __init__(self, broadcaster: Broadcaster[T], channel: Channel[Event[T]]) -> None:
        self._broadcaster = broadcaster
        self._channel = channel

    def result_chan(self) -> Channel[Event[T]]:
        return self._channel

    def stop(self) -> None:
        # This also ends a delivery that waits for room in the channel.
        self._channel.close()
        self._broadcaster._remove(self._channel)  # noqa: SLF001
