"""Watchers that pass on the events of another watcher: filtered, changed, or recorded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from typing_extensions import TypeVar

from watch.channel import Channel
from watch.concurrency import Lock, RLock, Signal
from watch.errors import ApiError, ChannelClosedError, WatchClosedError
from watch.event import Event, EventType
from watch.logs import get_logger
from watch.watcher import ChannelPump, Watcher, WatcherBase, next_batch_of, puller

__all__ = ["FilteredWatcher", "Recorder", "filter_watch"]

S = TypeVar("S", default=Any)
T = TypeVar("T", default=Any)

_log = get_logger(__name__)


class FilteredWatcher(WatcherBase[T]):
    """A watcher over another one, whose events go through a function. Made by `filter_watch`. It is a `BatchWatcher`.

    Iteration and `next_batch` read the source on the caller's thread. `result_chan` starts a thread that reads it into the
    channel.

    Args:
        watcher: the source of the events.
        keep: called with each event; returns the event to pass on, or None to leave it out.

    Threads: `stop` may be called from any thread; one thread at a time reads the events.
    """

    def __init__(self, watcher: Watcher[Any], keep: Callable[[Event[Any]], Event[T] | None]) -> None:
        self._source = watcher
        self._keep = keep
        self._stopped = Signal()
        self._pull_source = puller(watcher, stop=self._stopped)
        # Held while the source is read and `keep` is called. Reentrant, since `keep` may use the watcher. It guards the
        # next three fields.
        self._reading = RLock()
        self._unseen: deque[Event[Any]] = deque()  # read from the source; `keep` was not called with them yet
        self._kept: deque[Event[T]] = deque()  # returned by `keep`, and not passed on yet
        self._failure: Exception | None = None  # raised by `keep` for the event after those in _kept
        self._pump: ChannelPump[T] = ChannelPump(self._take_for_channel, "filter-watch")
        self._pump_failed = False  # the pump's thread alone uses it

    def next_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """Returns the next events that are kept, as `BatchWatcher.next_batch` does.

        Raises:
            Exception: an exception of `keep`. The event that it was called with is left out, and the watch goes on.
        """
        if self._pump.started:
            return next_batch_of(self._pump.channel, timeout)
        return self._take(timeout)

    def result_chan(self) -> Channel[Event[T]]:
        """Returns the channel of the events. The first call starts the thread that reads the source into it.

        An exception of `keep` ends the channel, with an ERROR event.
        """
        return self._pump.start()

    def stop(self) -> None:
        """Stops the source, and with it this watcher. Events that were read from the source before can still be read."""
        self._stopped.set()
        # The pump's thread must end even if the channel is not read any more.
        self._pump.channel.unbound()
        self._source.stop()

    def __iter__(self) -> Iterator[Event[T]]:
        while True:
            try:
                # One at a time: events that a reader leaves unread stay for the next one.
                event = self._pump.channel.get() if self._pump.started else self._take(None, 1)[0]
            except (ChannelClosedError, WatchClosedError):
                return
            yield event

    def _take(self, timeout: float | None, max_events: int | None = None) -> list[Event[T]]:
        """Waits for an event that is kept; returns it with the others that are ready, at most `max_events` in all."""
        with self._reading:
            self._fill_locked(timeout)
            count = len(self._kept) if max_events is None else max_events
            return [self._kept.popleft() for _ in range(count)]

    def _fill_locked(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._kept:
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if not self._unseen:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                self._unseen.extend(self._pull_source(left))
            self._filter_unseen_locked()

    def _filter_unseen_locked(self) -> None:
        while self._unseen:
            try:
                kept = self._keep(self._unseen.popleft())
            # It is raised after the events before it were passed on. Those behind it wait until then.
            except Exception as error:
                self._failure = error
                return
            if kept is not None:
                self._kept.append(kept)

    def _take_for_channel(self) -> list[Event[T]]:
        """The pump's `next_batch`: an exception of `keep` becomes the last event."""
        if self._pump_failed:
            raise WatchClosedError("the watch has ended")
        try:
            return self._take(None)
        except (WatchClosedError, ChannelClosedError):
            raise
        except Exception as error:
            self._pump_failed = True
            _log.exception("a filtered watch failed: its filter function raised an exception")
            self._source.stop()
            status = ApiError(500, "InternalError", f"a filtered watch failed: {error}").to_status()
            return [Event(EventType.ERROR, status)]  # type: ignore[arg-type]


def filter_watch(watcher: Watcher[S], keep: Callable[[Event[S]], Event[T] | None]) -> FilteredWatcher[T]:
    """Passes a watcher's events through a function that may leave them out or replace them.

        pods = filter_watch(watcher, lambda event: event if event.object["spec"].get("nodeName") else None)

    The function sees single events. Where an object stops matching, for instance, it can only leave the MODIFIED event out:
    the consumer gets no DELETED event.

    Args:
        watcher: the source of the events. Stopping the result stops it.
        keep: called once with each event, in order; returns the event to pass on, the same or another one, or None to
            leave it out.

    Returns:
        A `BatchWatcher`. It reads its source on its reader's thread; only `result_chan` starts a thread.

    Source: apimachinery watch.Filter.
    """
    return FilteredWatcher(watcher, keep)


class Recorder(FilteredWatcher[T]):
    """A watcher that passes on another watcher's events and keeps a record of them, for tests.

    Args:
        watcher: the source of the events. Stopping the recorder stops it.

    Threads: `events` and `stop` may be called from any thread; one thread at a time reads the events.

    Source: apimachinery watch.Recorder.
    """

    def __init__(self, watcher: Watcher[T]) -> None:
        super().__init__(watcher, self._record)
        self._recording = Lock()
        self._events: list[Event[T]] = []  # guarded by _recording

    def events(self) -> list[Event[T]]:
        """Returns the events read from the source so far, in order, in a new list."""
        with self._recording:
            return list(self._events)

    def _record(self, event: Event[T]) -> Event[T]:
        with self._recording:
            self._events.append(event)
        return event
