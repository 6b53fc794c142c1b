"""Recordings: each takes the events of one broadcaster and writes them to one sink.

There is one class per API group. Events of the core group are written one after the other on the recording's own thread: the
correlator needs the server's answer before the next event. Events of events.k8s.io are written on up to eight more threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from informer.record.correlator import EventCorrelator
from informer.record.delivery import Delivery, Shutdown
from informer.record.event import RecordedEvent, events_v1_form
from informer.record.event_series import FINISH_TIME, REFRESH_TIME, EventSeries, series_patch
from watch.channel import Channel
from watch.clock import Clock
from watch.concurrency import Monitor, Signal
from watch.event import Event
from watch.logs import get_logger
from watch.watcher import Watcher, WatcherBase

__all__ = [
    "STOP_PATIENCE",
    "CoreRecording",
    "SeriesRecording",
    "SinkRecording",
    "SinkWatcher",
    "core_pause",
    "series_pause",
]

_log = get_logger(__name__)

STOP_PATIENCE = 1.0  # seconds that a stop gives the events that still wait

_MAX_SERIES = 4096
_MAX_QUEUED_EVENTS = 1000
_MAX_SENDERS = 8


class SinkRecording(Protocol):
    """Writes recorded events to one sink."""

    def record(self, recorded: RecordedEvent) -> None:
        """Takes the next event. Always called on the same thread."""
        ...

    def close(self) -> None:
        """Ends the recording: no event follows. Called on the thread of `record`."""
        ...


def core_pause(sleep: float, random: Random) -> Callable[[int], float]:
    """Returns the pause for the core group: `sleep` seconds, the first one a random part of it.

    The jitter keeps clients from returning to a recovered server all at once.
    """
    return lambda tries: sleep * random.random() if tries == 1 else sleep


def series_pause(sleep: float, random: Random) -> Callable[[int], float]:
    """Returns the pause for events.k8s.io: `sleep` seconds and a random part of a quarter of it."""
    return lambda _tries: sleep * (1 + 0.25 * random.random())


class SinkWatcher(WatcherBase[RecordedEvent]):
    """The watcher of a recording, whose `stop` ends that recording.

    Args:
        inner: the broadcaster's watcher.
        shutdown: the recording's shutdown, which `stop` begins.
    """

    def __init__(self, inner: Watcher[RecordedEvent], shutdown: Shutdown) -> None:
        self._inner = inner
        self._shutdown = shutdown

    def result_chan(self) -> Channel[Event[RecordedEvent]]:
        """Returns the channel of the events that the recording has not taken yet."""
        return self._inner.result_chan()

    def stop(self) -> None:
        """Stops the recording: it takes no new event, stops retrying, and tries each waiting event once, for at most 1 s."""
        self._inner.stop()
        self._shutdown.begin(time.monotonic() + STOP_PATIENCE)


class CoreRecording:
    """Writes events of the core group, with counts.

    Args:
        correlator: decides what to write for each event.
        delivery: writes it.
        on_skip: called with each event that is not written because its source exceeds its rate limit.
    """

    def __init__(
        self,
        correlator: EventCorrelator,
        delivery: Delivery,
        on_skip: Callable[[dict[str, Any]], object] = lambda _event: None,
    ) -> None:
        self._correlator = correlator
        self._delivery = delivery
        self._on_skip = on_skip

    def record(self, recorded: RecordedEvent) -> None:
        """Correlates and writes an event; returns once it is written or given up."""
        correlation = self._correlator.correlate(recorded.event)
        if correlation.skip:
            self._on_skip(correlation.event)
            return
        outcome = self._delivery.deliver(correlation.event, correlation.patch)
        if outcome.answer is not None:
            self._correlator.update_state(outcome.answer, correlation.key)

    def close(self) -> None:
        """Does nothing: every event was written by `record`."""


class SeriesRecording:
    """Writes events of events.k8s.io, with series, on up to eight sender threads.

    Sender threads are started when events wait and none is idle. The events of one name are written one at a time and in
    order, also if several threads are idle. One more thread refreshes and finishes the series.

    Args:
        delivery: writes the events.
        clock: decides when a series is refreshed and when it has ended.
        stop: set when the recording ends.
        start: starts a thread that calls a function; the second argument is the thread's name.
        drop: called for each event that is dropped because the queue is full.
    """

    def __init__(
        self,
        delivery: Delivery,
        clock: Clock,
        stop: Signal,
        start: Callable[[Callable[[], object], str], object],
        drop: Callable[[], object],
    ) -> None:
        self._delivery = delivery
        self._clock = clock
        self._stop = stop
        self._start = start
        self._drop = drop
        self._series = EventSeries(_MAX_SERIES, clock)
        self._monitor = Monitor()
        # All guarded by _monitor.
        self._queue: deque[dict[str, Any]] = deque()
        self._in_progress: set[tuple[str, str]] = set()  # namespaces and names of the events that are being written
        self._senders = 0
        self._idle = 0  # senders that wait for an event
        self._closed = False
        self._started_at = clock.monotonic()
        start(self._run_timers, "event-series")

    def record(self, recorded: RecordedEvent) -> None:
        """Queues an event, or counts it in its series. Does not wait for the sink."""
        for event in self._series.observe(events_v1_form(recorded.event, recorded.nanoseconds)):
            self._put(event)

    def close(self) -> None:
        """Queues every series whose count is not written yet; the senders end once the queue is empty."""
        for event in self._series.unsent():
            self._put(event, force=True)
        with self._monitor:
            self._closed = True
            self._monitor.notify_all()

    def _put(self, event: dict[str, Any], *, force: bool = False) -> None:
        with self._monitor:
            if len(self._queue) >= _MAX_QUEUED_EVENTS and not force:
                is_queued = needs_sender = False
            else:
                self._queue.append(event)
                self._monitor.notify()
                is_queued = True
                needs_sender = self._senders < _MAX_SENDERS and self._idle < len(self._queue)
                self._senders += needs_sender
        if not is_queued:
            self._drop()
        if needs_sender:
            self._add_sender()

    def _add_sender(self) -> None:
        try:
            self._start(self._send, "event-sender")
        # No thread can be started: the system has no more, or the interpreter is shutting down.
        except RuntimeError:
            with self._monitor:
                self._senders -= 1
                waiting = [] if self._senders else list(self._queue)
                if waiting:
                    self._queue.clear()
            for event in waiting:
                self._deliver(event)

    def _send(self) -> None:
        while (event := self._next()) is not None:
            try:
                self._deliver(event)
            # SystemExit too: it would end this thread, which still counts as a sender.
            except BaseException:
                _log.exception("a sink failed to write an event")
            finally:
                self._release(_name(event))

    def _release(self, name: tuple[str, str]) -> None:
        with self._monitor:
            self._in_progress.discard(name)
            self._monitor.notify_all()

    def _next(self) -> dict[str, Any] | None:
        """Waits for an event of a name that no other thread is writing, so that each name's events stay in order.

        Returns:
            The event; None once the recording is closed and the queue is empty.
        """
        with self._monitor:
            self._idle += 1
            self._monitor.wait_for(lambda: self._first_free_locked() is not None or (self._closed and not self._queue))
            self._idle -= 1
            first = self._first_free_locked()
            if first is None:
                return None
            event = self._queue[first]
            del self._queue[first]
            self._in_progress.add(_name(event))
            return event

    def _first_free_locked(self) -> int | None:
        return next((at for at, event in enumerate(self._queue) if _name(event) not in self._in_progress), None)

    def _deliver(self, event: dict[str, Any]) -> None:
        self._delivery.deliver(event, series_patch(event))

    def _run_timers(self) -> None:
        next_refresh = self._started_at + REFRESH_TIME
        next_finish = self._started_at + FINISH_TIME
        while True:
            due = min(next_refresh, next_finish)
            if self._clock.wait(self._stop, max(0.0, due - self._clock.monotonic())):
                return
            now = self._clock.monotonic()
            if now >= next_refresh:
                next_refresh = now + (REFRESH_TIME if self._refresh() else FINISH_TIME)
            if now >= next_finish:
                next_finish = now + FINISH_TIME
                for event in self._series.finished():
                    # At the end of the queue: an earlier write of the same series may still wait there.
                    self._put(event)

    def _refresh(self) -> bool:
        """Writes every series again; returns False, and skips the rest, if the sink is not available."""
        return all(self._refresh_one(event) for event in self._series.refreshed())

    def _refresh_one(self, event: dict[str, Any]) -> bool:
        name = _name(event)
        with self._monitor:
            is_free = name not in self._in_progress and all(_name(each) != name for each in self._queue)
            if is_free:
                self._in_progress.add(name)
        if not is_free:
            self._put(event)
            return True
        try:
            return self._delivery.deliver(event, series_patch(event), max_tries=1).is_final
        finally:
            self._release(name)


def _name(event: dict[str, Any]) -> tuple[str, str]:
    return event["metadata"]["namespace"], event["metadata"]["name"]
