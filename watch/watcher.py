"""What a watch is: events, and a way to stop it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Protocol, runtime_checkable

from typing_extensions import Self, TypeVar

from watch.channel import Channel
from watch.concurrency import Signal
from watch.errors import ChannelClosedError, WatchClosedError
from watch.event import Event

__all__ = ["BatchWatcher", "EmptyWatcher", "ProxyWatcher", "Watcher", "WatcherBase", "next_batch_of", "puller"]

T = TypeVar("T", default=Any)


@runtime_checkable
class Watcher(Protocol[T]):
    """A stream of events that its consumer stops.

    The consumer calls `stop` when it is done, even if it never read an event. A producer that fails sends one ERROR
    event, normally with a `Status`, and ends the stream itself.
    """

    def result_chan(self) -> Channel[Event[T]]:
        """The channel the events come through; always the same one. It is closed when the watch has ended."""
        ...

    def stop(self) -> None:
        """Ends the watch. Idempotent, from any thread, prompt even while a read is blocked."""
        ...

    def __iter__(self) -> Iterator[Event[T]]:
        """The events, until the watch ends."""
        ...

    def __enter__(self) -> Self:
        """The watcher itself; leaving the block stops it."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it."""
        ...


@runtime_checkable
class BatchWatcher(Watcher[T], Protocol[T]):
    """A watcher that is pulled: what is ready comes in one call, on the caller's thread."""

    def next_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """Waits for the next event and returns it with all others that are ready; never empty.

        Args:
            timeout: at most so many seconds; None waits without limit, 0 does not wait.

        Raises:
            WatchClosedError: the watch has ended.
            TimeoutError: the time is up.
        """
        ...


class WatcherBase(Generic[T]):
    """Iteration and the `with` block, for watchers that have `result_chan` and `stop`."""

    def result_chan(self) -> Channel[Event[T]]:
        """See `Watcher.result_chan`."""
        raise NotImplementedError

    def stop(self) -> None:
        """See `Watcher.stop`."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Event[T]]:
        return iter(self.result_chan())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


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


def puller(watcher: Watcher[T], *, stop: threading.Event | None = None) -> Callable[[float | None], list[Event[T]]]:
    """The watcher's `next_batch`, or the same over its channel where it has none.

    Args:
        watcher: where the events come from.
        stop: once set, nothing more is waited for in a channel, even in one that stopping the watcher does not close.
    """
    if isinstance(watcher, BatchWatcher):
        return watcher.next_batch
    return lambda timeout: next_batch_of(watcher.result_chan(), timeout, stop=stop)


def next_batch_of(
    channel: Channel[Event[T]], timeout: float | None, *, stop: threading.Event | None = None
) -> list[Event[T]]:
    """`BatchWatcher.next_batch` over a channel.

    Args:
        channel: where the events come from.
        timeout: at most so many seconds; None waits without limit, 0 does not wait.
        stop: once set, nothing more is waited for.

    Raises:
        WatchClosedError: the channel is closed, or `stop` is set, and nothing is in it.
        TimeoutError: the time is up.
    """
    try:
        return channel.get_batch(timeout=timeout, stop=stop)
    except queue.Empty:
        raise TimeoutError("no event came in time") from None
    except ChannelClosedError:
        raise WatchClosedError("the watch has ended") from None
