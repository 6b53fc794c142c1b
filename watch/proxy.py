"""Watchers over a channel that is there already, or over nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typing_extensions import TypeVar

from watch.channel import Channel
from watch.concurrency import Signal
from watch.errors import ChannelClosedError
from watch.event import Event
from watch.pulling import next_batch_of
from watch.watcher import WatcherBase

__all__ = ["EmptyWatcher", "ProxyWatcher"]

T = TypeVar("T", default=Any)


class EmptyWatcher(WatcherBase[T]):
    """A watch that has ended before it began.

    Source: apimachinery watch.NewEmptyWatch.
    """

    def __init__(self) -> None:
        self._channel: Channel[Event[T]] = Channel()
        self._channel.close()

    def result_chan(self) -> Channel[Event[T]]:
        """A closed channel."""
        return self._channel

    def stop(self) -> None:
        """Does nothing: it has ended."""


class ProxyWatcher(WatcherBase[T]):
    """A channel of events seen as a watch. It is a `BatchWatcher`.

    Args:
        channel: where the events come from; it stays its owner's, who closes it.

    Attributes:
        stopped: set by `stop`; the owner may wait for it.

    Threads: every method may be called from any thread.

    Source: apimachinery watch.ProxyWatcher.
    """

    def __init__(self, channel: Channel[Event[T]]) -> None:
        self.stopped = Signal()
        self._channel = channel

    def result_chan(self) -> Channel[Event[T]]:
        """The channel itself, which `stop` does not close."""
        return self._channel

    def next_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """See `BatchWatcher.next_batch`; once stopped it gives what is in the channel, and does not wait for more."""
        return next_batch_of(self._channel, timeout, stop=self.stopped)

    def stop(self) -> None:
        """Sets `stopped`, and ends iteration and `next_batch`, but not the channel."""
        self.stopped.set()

    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self.stopped.is_set()

    def __iter__(self) -> Iterator[Event[T]]:
        while True:
            try:
                # One by one: what a reader that breaks off has not seen stays in the channel.
                batch = self._channel.get_batch(1, stop=self.stopped)
            except ChannelClosedError:
                return
            yield batch[0]
