"""Recording to one sink: what is recorded is correlated and written, the older first.

Comes in: recorded events, on one thread of this recording's own. Goes out: what is to be written of them, to the sink: on the
same thread for the core group, where each event must know what became of the one before; on up to eight others for
events.k8s.io.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from informer.record.correlator import EventCorrelator
from informer.record.delivery import Delivery, Ending
from informer.record.event import RecordedEvent, events_v1_form
from informer.record.event_series import FINISH_TIME, REFRESH_TIME, EventSeries, series_patch
from watch.channel import Channel
from watch.clock import Clock
from watch.concurrency import Monitor, Signal
from watch.event import Event
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

_log = logging.getLogger(__name__)

STOP_PATIENCE = 1.0  # seconds

_MAX_SERIES = 4096
_MAX_QUEUED_EVENTS = 1000
_MAX_SENDERS = 8


class SinkRecording(Protocol):
    """What is done with recorded events for one sink."""

    def record(self, recorded: RecordedEvent) -> None:
        """Takes the next event. Called on one thread."""
        ...

    def close(self) -> None:
        """Says that no event follows. Called on the same thread."""
        ...


def core_pause(sleep: float, random: Random) -> Callable[[int], float]:
    """The waits of the core group: the first is a random part of `sleep`, so that clients do not come back all together."""
    return lambda tries: sleep * random.random() if tries == 1 else sleep


def series_pause(sleep: float, random: Random) -> Callable[[int], float]:
    """The waits of events.k8s.io: each is up to a quarter longer than `sleep`."""
    return lambda _tries: sleep * (1 + 0.25 * random.random())


class SinkWatcher(WatcherBase[RecordedEvent]):
    """What of a broadcaster's events goes to a sink.

    Args:
        inner: the broadcaster's watcher.
        ending: of the recording; `stop` begins it.
    """

    def __init__(self, inner: Watcher[RecordedEvent], ending: Ending) -> None:
        self._inner = inner
        self._ending = ending

    def result_chan(self) -> Channel[Event[RecordedEvent]]:
        """See `Watcher.result_chan`."""
        return self._inner.result_chan()

    def stop(self) -> None:
        """Takes nothing more; what waits is tried once each, for a second at most, and a wait between tries ends."""
        self._inner.stop()
        self._ending.begin(time.monotonic() + STOP_PATIENCE)


class CoreRecording:
    """Events of the core group, with counts.

    Args:
        correlator: says what to write of each.
        delivery: writes it.
    """

    def __init__(self, correlator: EventCorrelator, delivery: Delivery) -> None:
        self._correlator = correlator
        self._delivery = delivery

    def record(self, recorded: RecordedEvent) -> None:
        """See `SinkRecording`; returns when the event is written, or given up."""
        correlation = self._correlator.correlate(recorded.event)
        if correlation.skip:
            return
        outcome = self._delivery.deliver(correlation.event, correlation.patch)
        if outcome.answer is not None:
            self._correlator.update_state(outcome.answer, correlation.key)

    def close(self) -> None:
        """See `SinkRecording`."""


class SeriesRecording:
    """Events of events.k8s.io, with series.

    Args:
        delivery: writes them.
        clock: says when series end.
        stop: set when the recording ends.
        start: starts a thread, of a function and a name.
        drop: told of an event for which there was no room.
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
        self._in_hand: set[tuple[str, str]] = set()  # what is being written
        self._senders = 0
        self._idle = 0  # of these
        self._closed = False
        self._begin = clock.monotonic()
        start(self._keep_time, "event-series")

    def record(self, recorded: RecordedEvent) -> None:
        """See `SinkRecording`; does not wait for the sink."""
        for event in self._series.observe(events_v1_form(recorded.event, recorded.nanoseconds)):
            self._put(event)

    def close(self) -> None:
        """See `SinkRecording`; what is only counted yet is written."""
        for event in self._series.unsent():
            self._put(event, at_any_rate=True)
        with self._monitor:
            self._closed = True
            self._monitor.notify_all()

    def _put(self, event: dict[str, Any], *, at_any_rate: bool = False) -> None:
        with self._monitor:
            if len(self._queue) >= _MAX_QUEUED_EVENTS and not at_any_rate:
                is_taken = needs_another = False
            else:
                self._queue.append(event)
                self._monitor.notify()
                is_taken = True
                needs_another = self._senders < _MAX_SENDERS and self._idle < len(self._queue)
                self._senders += needs_another
        if not is_taken:
            self._drop()
        if needs_another:
            self._add_sender()

    def _add_sender(self) -> None:
        try:
            self._start(self._send, "event-sender")
        # The system has no more threads, or the program is ending, when Python starts none.
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
            # SystemExit too: it would end this thread, which counts as one that writes.
            except BaseException:
                _log.exception("a sink that was given an event failed")
            finally:
                self._release(_name(event))

    def _release(self, name: tuple[str, str]) -> None:
        with self._monitor:
            self._in_hand.discard(name)
            self._monitor.notify_all()

    def _next(self) -> dict[str, Any] | None:
        """Waits for an event that no other thread has in hand: what is written of one is written in order."""
        with self._monitor:
            self._idle += 1
            self._monitor.wait_for(lambda: self._first_free_locked() is not None or (self._closed and not self._queue))
            self._idle -= 1
            first = self._first_free_locked()
            if first is None:
                return None
            event = self._queue[first]
            del self._queue[first]
            self._in_hand.add(_name(event))
            return event

    def _first_free_locked(self) -> int | None:
        return next((at for at, event in enumerate(self._queue) if _name(event) not in self._in_hand), None)

    def _deliver(self, event: dict[str, Any]) -> None:
        self._delivery.deliver(event, series_patch(event))

    def _keep_time(self) -> None:
        next_refresh = self._begin + REFRESH_TIME
        next_finish = self._begin + FINISH_TIME
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
                    # Behind what may wait to be written of it yet, whose count is lower.
                    self._put(event)

    def _refresh(self) -> bool:
        """Writes all series anew; returns whether the sink took them, and does not go on with one that is away."""
        return all(self._refresh_one(event) for event in self._series.refreshed())

    def _refresh_one(self, event: dict[str, Any]) -> bool:
        name = _name(event)
        with self._monitor:
            is_free = name not in self._in_hand and all(_name(each) != name for each in self._queue)
            if is_free:
                self._in_hand.add(name)
        if not is_free:
            self._put(event)
            return True
        try:
            return self._delivery.deliver(event, series_patch(event), max_tries=1).is_over
        finally:
            self._release(name)


def _name(event: dict[str, Any]) -> tuple[str, str]:
    return event["metadata"]["namespace"], event["metadata"]["name"]
