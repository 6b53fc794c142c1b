"""Watchers: streams of events that their consumer stops. The protocols, a base class, and watchers over a channel."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Protocol, Self, runtime_checkable

from typing_extensions import TypeVar

from watch.channel import Channel
from watch.concurrency import Lock, Signal, Worker
from watch.errors import ChannelClosedError, WatchClosedError
from watch.event import Event

__all__ = [
    "BatchWatcher",
    "ChannelPump",
    "EmptyWatcher",
    "ProxyWatcher",
    "StopsOnExit",
    "Watcher",
    "WatcherBase",
    "next_batch_of",
    "puller",
]

T = TypeVar("T", default=Any)


@runtime_checkable
class Watcher(Protocol[T]):
    """A stream of events that its consumer stops.

    Iterate over it, or read its channel:

        with watcher:
            for event in watcher:
                print(event.type, event.object)

    The consumer calls `stop` when it is done, even if it never read an event; leaving a `with` block does so. A producer
    that fails sends one ERROR event, normally with a `Status` object, and ends the stream itself.
    """

    def result_chan(self) -> Channel[Event[T]]:
        """Returns the channel that the events come through: always the same one, closed when the watch has ended."""
        ...

    def stop(self) -> None:
        """Ends the watch.

        Threads: may be called from any thread, and more than once. It returns promptly, and so does a blocked read.
        """
        ...

    def __iter__(self) -> Iterator[Event[T]]:
        """Yields the events until the watch ends."""
        ...

    def __enter__(self) -> Self:
        """Returns the watcher, which is stopped when the block is left."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the watcher."""
        ...


@runtime_checkable
class BatchWatcher(Watcher[T], Protocol[T]):
    """A watcher whose events can also be read in batches, on the caller's thread."""

    def next_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """Waits for the next event and returns it with all others that are ready; the list is never empty.

        Args:
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.

        Raises:
            WatchClosedError: the watch has ended.
            TimeoutError: no event came in time.
        """
        ...


class StopsOnExit:
    """A context manager that calls the object's own `stop` when its `with` block is left."""

    def stop(self) -> object:
        """Stops the object. To be overridden."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class WatcherBase(StopsOnExit, Generic[T]):
    """A base for watchers: gives iteration and the `with` block to a class with `result_chan` and `stop`."""

    def result_chan(self) -> Channel[Event[T]]:
        """Returns the channel of the events. To be overridden, as `Watcher.result_chan` asks."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Event[T]]:
        return iter(self.result_chan())


class EmptyWatcher(WatcherBase[T]):
    """A watch that has already ended: its channel is closed and never had an event.

    Source: apimachinery watch.NewEmptyWatch.
    """

    def __init__(self) -> None:
        self._channel: Channel[Event[T]] = Channel()
        self._channel.close()

    def result_chan(self) -> Channel[Event[T]]:
        """Returns a closed channel."""
        return self._channel

    def stop(self) -> None:
        """Does nothing: the watch has ended already."""


class ProxyWatcher(WatcherBase[T]):
    """A watcher over a channel that another object owns and fills. It is a `BatchWatcher`.

    `stop` ends the reading but does not close the channel. The owner learns of it from `stopped` or `stopping()`.

    Args:
        channel: the events. Its owner closes it when there are no more.

    Attributes:
        stopped: a `threading.Event`, set by `stop`.

    Threads: every method may be called from any thread.

    Source: apimachinery watch.ProxyWatcher.
    """

    def __init__(self, channel: Channel[Event[T]]) -> None:
        self.stopped = Signal()
        self._channel = channel

    def result_chan(self) -> Channel[Event[T]]:
        """Returns the owner's channel itself."""
        return self._channel

    def next_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """Returns the next events as `BatchWatcher.next_batch` does.

        A stopped watcher still returns what the channel holds, and then raises WatchClosedError instead of waiting.
        """
        return next_batch_of(self._channel, timeout, stop=self.stopped)

    def stop(self) -> None:
        """Sets `stopped` and ends iteration and `next_batch`. The channel stays open."""
        self.stopped.set()

    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self.stopped.is_set()

    def __iter__(self) -> Iterator[Event[T]]:
        while True:
            try:
                # One at a time: events that a reader leaves unread stay in the channel.
                batch = self._channel.get_batch(1, stop=self.stopped)
            except ChannelClosedError:
                return
            yield batch[0]


class ChannelPump(Generic[T]):
    """Moves events from a function that returns batches into a channel, on a thread of its own.

    It is how a watcher that is read on its caller's thread offers a channel as well. The thread starts when the channel
    is first asked for. It ends, and closes the channel, when there are no more events or the channel was closed.

    Args:
        next_batch: called without arguments for the next events; raises WatchClosedError at the end.
        name: the thread's name.
        on_end: called on the thread when the channel is closed; None calls nothing.

    Attributes:
        channel: a hand-off channel of the events. Closing it ends the thread at its next event.
        started: whether the thread was started.

    Threads: `start` may be called from any thread.
    """

    def __init__(
        self, next_batch: Callable[[], list[Event[T]]], name: str, *, on_end: Callable[[], object] | None = None
    ) -> None:
        self.channel: Channel[Event[T]] = Channel(0)
        self.started = False  # written under _lock
        self._next_batch = next_batch
        self._on_end = on_end
        self._lock = Lock()
        self._name = name
        self._worker: Worker | None = None  # guarded by _lock

    def start(self) -> Channel[Event[T]]:
        """Starts the thread, unless it was started or the channel is closed; returns the channel."""
        with self._lock:
            if not self.started and not self.channel.closed:
                self.started = True
                self._worker = Worker(self._run, self._name).start()
        return self.channel

    def join(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for the thread to end; returns whether it is not running."""
        with self._lock:
            worker = self._worker
        return worker is None or worker.join(timeout)

    def _run(self) -> None:
        try:
            while True:
                for event in self._next_batch():
                    self.channel.put(event)
        except (WatchClosedError, ChannelClosedError):
            return
        finally:
            self.channel.close()
            if self._on_end is not None:
                self._on_end()


def puller(watcher: Watcher[T], *, stop: threading.Event | None = None) -> Callable[[float | None], list[Event[T]]]:
    """Returns a function that reads a watcher in batches, as `BatchWatcher.next_batch` does, from any kind of watcher.

    Args:
        watcher: the source of the events.
        stop: ends a wait at a channel when it is set, even where stopping the watcher leaves the channel open. A
            `BatchWatcher` does not need it.
    """
    if isinstance(watcher, BatchWatcher):
        return watcher.next_batch
    return lambda timeout: next_batch_of(watcher.result_chan(), timeout, stop=stop)


def next_batch_of(
    channel: Channel[Event[T]], timeout: float | None, *, stop: threading.Event | None = None
) -> list[Event[T]]:
    """Reads a channel as `BatchWatcher.next_batch` reads a watcher.

    Args:
        channel: the source of the events.
        timeout: seconds to wait at most; None waits without limit, 0 does not wait.
        stop: ends the wait when it is set.

    Raises:
        WatchClosedError: the channel is empty, and it is closed or `stop` is set.
        TimeoutError: no event came in time.
    """
    try:
        return channel.get_batch(timeout=timeout, stop=stop)
    except queue.Empty:
        raise TimeoutError("no event came in time") from None
    except ChannelClosedError:
        raise WatchClosedError("the watch has ended") from None
