"""A watch seen through a function: events left out, replaced, or written down.

Comes in: any watcher. Goes out: a watcher that is pulled, on the caller's thread; a thread of its own exists only once
somebody asks for a channel.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from typing_extensions import TypeVar

from watch.channel import Channel
from watch.concurrency import Lock, RLock, Signal, Worker
from watch.errors import ApiError, ChannelClosedError, WatchClosedError
from watch.event import Event, EventType
from watch.watcher import Watcher, WatcherBase, next_batch_of, puller

__all__ = ["FilteredWatcher", "Recorder", "filter_watch"]

S = TypeVar("S", default=Any)
T = TypeVar("T", default=Any)

_log = logging.getLogger(__name__)


class FilteredWatcher(WatcherBase[T]):
    """See `filter_watch`. It is a `BatchWatcher`: what comes from the source together goes on together."""

    def __init__(self, watcher: Watcher[Any], keep: Callable[[Event[Any]], Event[T] | None]) -> None:
        self._source = watcher
        self._keep = keep
        self._stopped = Signal()
        self._pull_source = puller(watcher, stop=self._stopped)
        # Held while the source is read, and by `keep`, which may look at the watcher. It guards the next three.
        self._reading = RLock()
        self._unseen: deque[Event[Any]] = deque()  # pulled, and not yet shown to `keep`
        self._kept: deque[Event[T]] = deque()  # and not yet given on
        self._failure: Exception | None = None  # what `keep` raised for the event behind those kept
        self._channel: Channel[Event[T]] = Channel(0)
        self._lock = Lock()
        self._pump: Worker | None = None  # guarded by _lock

    def next_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """See `BatchWatcher.next_batch`.

        Raises:
            Exception: what `keep` raised; the event it was called with is left out, and the watch goes on.
        """
        if self._pump is not None:
            return next_batch_of(self._channel, timeout)
        return self._take(timeout)

    def result_chan(self) -> Channel[Event[T]]:
        """See `Watcher.result_chan`; from the first call on a thread reads the events into it.

        There an exception of `keep` ends the watch, with an ERROR event.
        """
        with self._lock:
            if self._pump is None:
                self._pump = Worker(self._run_pump, "filter-watch").start()
        return self._channel

    def stop(self) -> None:
        """Stops the source, and so this; what was read from it until then still comes."""
        self._stopped.set()
        # The pump must not wait for a reader any more, who may be gone.
        self._channel.unbound()
        self._source.stop()

    def __iter__(self) -> Iterator[Event[T]]:
        while True:
            try:
                # One by one: what a reader that breaks off has not seen is there for the next.
                event = self._take(None, 1)[0] if self._pump is None else self._channel.get()
            except (ChannelClosedError, WatchClosedError):
                return
            yield event

    def _take(self, timeout: float | None, most: int | None = None) -> list[Event[T]]:
        """Waits for an event that is kept, and gives it with others that are there."""
        with self._reading:
            self._fill_locked(timeout)
            count = len(self._kept) if most is None else most
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
            self._show_unseen_locked()

    def _show_unseen_locked(self) -> None:
        while self._unseen:
            try:
                kept = self._keep(self._unseen.popleft())
            # Those before it come first; those behind it stay unseen until it has been raised.
            except Exception as error:
                self._failure = error
                return
            if kept is not None:
                self._kept.append(kept)

    def _run_pump(self) -> None:
        try:
            while True:
                for event in self._take(None):
                    self._channel.put(event)
        except (WatchClosedError, ChannelClosedError):
            return
        except Exception as error:
            _log.exception("a filtered watch failed")
            self._source.stop()
            status = ApiError(500, "InternalError", f"a filtered watch failed: {error}").to_status()
            with contextlib.suppress(ChannelClosedError):
                self._channel.put(Event(EventType.ERROR, status))  # type: ignore[arg-type]
        finally:
            self._channel.close()


def filter_watch(watcher: Watcher[S], keep: Callable[[Event[S]], Event[T] | None]) -> FilteredWatcher[T]:
    """A watch seen through a function.

    Args:
        watcher: where the events come from; stopping the result stops it.
        keep: called once with each event, in order; returns the event that goes on, the same or another one, or None to
            leave it out. It cannot know that an object has come to pass, or no longer passes: that is not told.

    Returns:
        A `BatchWatcher`. It reads its source on the thread that reads it, and has no thread unless `result_chan` is called.

    Source: apimachinery watch.Filter.
    """
    return FilteredWatcher(watcher, keep)


class Recorder(FilteredWatcher[T]):
    """A watch that writes down what goes through it.

    Args:
        watcher: where the events come from; stopping the recorder stops it.

    Source: apimachinery watch.Recorder.
    """

    def __init__(self, watcher: Watcher[T]) -> None:
        super().__init__(watcher, self._record)
        self._recording = Lock()
        self._events: list[Event[T]] = []  # guarded by _recording

    def events(self) -> list[Event[T]]:
        """The events read from the watcher so far, in order; the list is yours."""
        with self._recording:
            return list(self._events)

    def _record(self, event: Event[T]) -> Event[T]:
        with self._recording:
            self._events.append(event)
        return event
