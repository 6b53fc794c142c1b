"""Watchers that tests feed by hand."""

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
    """A watch whose events are given to it by method calls, which wait for a reader.

    Args:
        maxsize: so many events may wait to be read before a call waits; 0 waits for each to be read, None never.

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
        """Sends an event of any type, known or not.

        Raises:
            ChannelClosedError: it was stopped, before the call or while it waited; the event was not sent.
        """
        self.result_chan().put(_event(type, obj))

    def result_chan(self) -> Channel[Event[T]]:
        """See `Watcher.result_chan`; `reset` gives it another one."""
        with self._lock:
            return self._channel

    def stop(self) -> None:
        """See `Watcher.stop`; what was sent can still be read."""
        self.result_chan().close()

    def reset(self) -> None:
        """Makes it as new: open, with another channel. The old channel is closed."""
        with self._lock:
            old, self._channel = self._channel, Channel(self._maxsize)
        old.close()

    def is_stopped(self) -> bool:
        """Whether it was stopped, and not reset since."""
        return self.result_chan().closed


class RaceFreeFakeWatcher(FakeWatcher[T]):
    """A `FakeWatcher` whose calls never wait.

    Args:
        maxsize: so many events may wait to be read.

    Threads: every method may be called from any thread; none blocks.

    Source: apimachinery watch.RaceFreeFakeWatcher.
    """

    def __init__(self, maxsize: int | None = 100) -> None:
        super().__init__(maxsize)

    def action(self, type: EventType | str, obj: Any) -> None:
        """Sends an event of any type, known or not; once stopped it does nothing.

        Raises:
            ChannelFullError: `maxsize` events wait to be read.
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
