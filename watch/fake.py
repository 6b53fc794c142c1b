"""Watchers for tests, which send the events that a test gives them."""

from __future__ import annotations

import queue
from typing import Any

from typing_extensions import TypeVar

from watch.channel import Channel
from watch.concurrency import Lock
from watch.errors import ChannelClosedError, ChannelFullError
from watch.event import Event, EventType
from watch.watcher import WatcherBase

__all__ = ["FakeWatcher", "RaceFreeFakeWatcher"]

T = TypeVar("T", default=Any)


class FakeWatcher(WatcherBase[T]):
    """A watcher for tests. Its methods send events, and wait for a reader.

        fake = FakeWatcher(10)
        fake.add({"metadata": {"name": "a"}})
        fake.stop()
        assert [event.type for event in fake] == ["ADDED"]

    Args:
        maxsize: the number of events that may wait to be read. A method that sends waits while there are as many. 0 makes
            it wait until its event is read; None makes it never wait.

    Threads: every method may be called from any thread.

    Source: apimachinery watch.FakeWatcher.
    """

    def __init__(self, maxsize: int | None = 0) -> None:
        self._maxsize = maxsize
        self._lock = Lock()
        self._channel: Channel[Event[T]] = Channel(maxsize)  # replaced by `reset`; guarded by _lock

    def add(self, obj: T) -> None:
        """Sends an ADDED event, as `action` does."""
        self.action(EventType.ADDED, obj)

    def modify(self, obj: T) -> None:
        """Sends a MODIFIED event, as `action` does."""
        self.action(EventType.MODIFIED, obj)

    def delete(self, obj: T) -> None:
        """Sends a DELETED event, as `action` does."""
        self.action(EventType.DELETED, obj)

    def error(self, obj: Any) -> None:
        """Sends an ERROR event, as `action` does; its object is normally a `Status`."""
        self.action(EventType.ERROR, obj)

    def action(self, type: EventType | str, obj: Any) -> None:
        """Sends an event of any type.

        Raises:
            ChannelClosedError: the watcher was stopped, before the call or during its wait; the event was not sent.
        """
        self.result_chan().put(_event(type, obj))

    def result_chan(self) -> Channel[Event[T]]:
        """Returns the channel of the events. `reset` replaces it."""
        with self._lock:
            return self._channel

    def stop(self) -> None:
        """Ends the watch. Events that were sent before can still be read."""
        self.result_chan().close()

    def reset(self) -> None:
        """Makes the watcher as new, with another channel. The old channel is closed."""
        with self._lock:
            old, self._channel = self._channel, Channel(self._maxsize)
        old.close()

    def is_stopped(self) -> bool:
        """Whether the watcher was stopped, and not reset since."""
        return self.result_chan().closed


class RaceFreeFakeWatcher(FakeWatcher[T]):
    """A `FakeWatcher` whose methods never wait, and do nothing when it is stopped.

    Args:
        maxsize: the number of events that may wait to be read. A method that sends raises ChannelFullError when there are as
            many; None sets no bound.

    Threads: every method may be called from any thread; none blocks.

    Source: apimachinery watch.RaceFreeFakeWatcher.
    """

    def __init__(self, maxsize: int | None = 100) -> None:
        super().__init__(maxsize)

    def action(self, type: EventType | str, obj: Any) -> None:
        """Sends an event of any type. After `stop` it does nothing.

        Raises:
            ChannelFullError: `maxsize` events are waiting to be read.
        """
        try:
            self.result_chan().put_nowait(_event(type, obj))
        except ChannelClosedError:
            return
        except queue.Full:
            raise ChannelFullError("channel full") from None


def _event(type: EventType | str, obj: Any) -> Event[Any]:
    try:
        return Event(EventType(type), obj)
    except ValueError:
        return Event(type, obj)
