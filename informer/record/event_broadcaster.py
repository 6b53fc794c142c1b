"""Events of a process's components, given to logs and handlers, and written to API servers.

Comes in: events, from recorders on any thread. Goes out: each of them to every log function, handler and sink there is, on a
thread for each, so that a slow one delays nobody.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Any
from weakref import WeakSet

from typing_extensions import Self

from informer.log_limit import LimitedLog
from informer.record.correlator import EventCorrelator
from informer.record.delivery import Delivery, Ending
from informer.record.event_form import EVENTS_V1, RecordedEvent, copy_event, log_fields, log_line
from informer.record.event_recorder import BroadcastingRecorder, EventRecorder
from informer.record.event_sink import EventSink, sink_api_version
from informer.record.event_time import EventTime
from informer.record.sink_recording import (
    STOP_PATIENCE,
    CoreRecording,
    SeriesRecording,
    SinkRecording,
    SinkWatcher,
    core_pause,
    series_pause,
)
from watch.broadcaster import Broadcaster, FullChannelBehavior
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import RLock, Worker, in_forked_child
from watch.errors import BroadcasterShutdownError
from watch.event import EventType
from watch.watcher import EmptyWatcher, Watcher

__all__ = ["EventBroadcaster"]

_log = logging.getLogger(__name__)

# So many events may wait to be given out, and so many for each log function, handler or sink; more are dropped.
_MAX_QUEUED_EVENTS = 1000


# Those that were not shut down. The threads of a program end with it, and would take along what waits to be logged.
_live: WeakSet[EventBroadcaster] = WeakSet()


class EventBroadcaster:
    """See the module.

    Args:
        sleep: seconds between two of the twelve tries to write an event to a sink; the waits have jitter.
        clock: gives the events their time, and counts the waits.
        correlator: says what is counted, combined or left out of what a sink of the core group is given; None: one with
            client-go's defaults for each such sink. One that is passed serves all of them, so pass it where there is one.
        random: gives the jitter; None for randomness of its own.

    Threads: any. Recording never waits: where 1000 events wait already the new one is dropped, and where a log function,
    handler or sink is 1000 events behind it misses some; `dropped_events` counts them, and the log tells of them. Leaving a
    `with` block shuts it down, and so does the end of the program.

    Example:
        >>> broadcaster = EventBroadcaster()
        >>> _ = broadcaster.start_logging(print)
        >>> recorder = broadcaster.new_recorder("my-scheduler")
        >>> pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "web"}}
        >>> recorder.event(pod, "Normal", "Scheduled", "assigned to node-1")
        >>> broadcaster.shutdown()  # doctest: +ELLIPSIS
        Event(v1.ObjectReference{Kind:"Pod", Namespace:"shop", ...}): type: 'Normal' reason: 'Scheduled' assigned to node-1

    Source: client-go tools/record EventBroadcaster, tools/events EventBroadcaster.
    """

    def __init__(
        self,
        *,
        sleep: float = 10.0,
        clock: Clock = SYSTEM_CLOCK,
        correlator: EventCorrelator | None = None,
        random: Random | None = None,
    ) -> None:
        if not sleep >= 0:
            raise ValueError(f"sleep must be 0 or more, not {sleep}")
        self._broadcaster: Broadcaster[RecordedEvent] = Broadcaster(
            _MAX_QUEUED_EVENTS,
            FullChannelBehavior.DROP_IF_CHANNEL_FULL,
            incoming_queue_length=_MAX_QUEUED_EVENTS,
            on_drop=self._dropped,
        )
        self._sleep = sleep
        self._clock = clock
        self._correlator = correlator
        self._random = Random() if random is None else random  # noqa: S311 - spreads waits
        self._time = EventTime(clock)
        self._limited = LimitedLog(_log)
        self._process = os.getpid()
        self._lock = RLock()  # taken again by the handler of a signal
        # All guarded by _lock.
        self._workers: list[Worker] = []  # those that may still run
        self._endings: list[tuple[EventSink, Ending]] = []  # of the recordings to sinks that were not stopped
        self._dropped_events = 0
        _live.add(self)

    @property
    def dropped_events(self) -> int:
        """How many events were dropped because a queue was full, each time that one was."""
        with self._lock:
            return self._dropped_events

    def start_logging(self, log_function: Callable[[str], object]) -> Watcher[RecordedEvent]:
        """Has a function called with one line of text an event.

        Returns:
            A watcher whose `stop` ends it.

        Threads: the function is called on a thread of its own; what it raises is logged.
        """
        return self._start(lambda recorded: log_function(log_line(recorded.event)))

    def start_structured_logging(self, log_function: Callable[..., object]) -> Watcher[RecordedEvent]:
        """Has a function called with "Event occurred" and, as keywords, the fields of each event.

        Args:
            log_function: such as `structlog.get_logger().info`; the keywords are object (its key), fieldPath, kind,
                apiVersion, type, reason and message.

        Returns:
            A watcher whose `stop` ends it.

        Threads: the function is called on a thread of its own; what it raises is logged.
        """
        return self._start(lambda recorded: log_function("Event occurred", **log_fields(recorded.event)))

    def start_event_watcher(self, handler: Callable[[dict[str, Any]], object]) -> Watcher[RecordedEvent]:
        """Has a function called with every event recorded from now on, in API form, a copy of its own.

        Returns:
            A watcher whose `stop` ends it, once what it was given before is handled; an ended one after `shutdown`.

        Threads: the function is called on a thread of its own; what it raises is logged.
        """
        return self._start(lambda recorded: handler(copy_event(recorded.event)))

    def start_recording_to_sink(self, sink: EventSink) -> Watcher[RecordedEvent]:
        """Has every event recorded from now on written to a sink, with those that are alike counted or combined.

        What fails is tried twelve times, `sleep` seconds apart, and longer where the server asks for it, while later events
        wait; what the server refuses is not. Whatever is not written in the end is told in the log.

        Args:
            sink: where to: a `CoreV1EventSink`, an `EventsV1Sink`, or any `EventSink`. A server shows the same events in
                both groups, so one sink is enough for it.

        Returns:
            A watcher whose `stop` ends it, once what it was given before was tried once, a second later at most; an ended one
            after `shutdown`.

        Raises:
            RuntimeError: recording to this very sink was started already, and goes on; or the system has no more threads.

        Threads: one for a sink of the core group; for one of events.k8s.io also one that keeps time and, when there are
        events, up to eight that write.
        """
        ending = Ending()
        with self._lock:
            self._endings = [(other, each) for other, each in self._endings if not each.begun.is_set()]
            if any(other is sink for other, _ in self._endings):
                raise RuntimeError("recording to this sink was started already")
            watcher = self._watch()
            if isinstance(watcher, EmptyWatcher):
                return watcher
            self._endings.append((sink, ending))
        recorded_to = SinkWatcher(watcher, ending)
        try:
            recording = self._recording(sink, ending)
            self._work(lambda: self._record(watcher, recording), "event-recording")
        # The system has no more threads.
        except RuntimeError:
            recorded_to.stop()
            raise
        return recorded_to

    def new_recorder(self, component: str, host: str = "") -> EventRecorder:
        """What a component reports its events with.

        Args:
            component: its name, such as "my-scheduler".
            host: where it runs, "" for nowhere in particular.
        """
        return BroadcastingRecorder(component, host, self._now, self._send, self._limited)

    def shutdown(self) -> None:
        """Records nothing more; what was recorded is given to all log functions, handlers and sinks, which then end.

        No sink is given an event twice any more, and none waits for the next try. Returns when all have ended, or after a
        second; what then is not written is lost, and told in the log. Again is harmless; one of the functions may call it.
        """
        self._end_by(time.monotonic() + STOP_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _end_by(self, deadline: float) -> None:
        _live.discard(self)
        if os.getpid() != self._process:
            return
        self._broadcaster.shutdown()
        with self._lock:
            endings = [ending for _, ending in self._endings]
        for ending in endings:
            ending.begin(deadline)
        # A recording may start threads yet, to write what waits.
        while (worker := self._running_worker()) is not None and (left := deadline - time.monotonic()) > 0:
            worker.join(left)

    def _running_worker(self) -> Worker | None:
        with self._lock:
            return next((each for each in self._workers if each.is_alive and not each.is_current), None)

    def _check_process(self) -> None:
        # The threads, and whoever may have held a lock, stayed behind in the parent.
        if os.getpid() != self._process:
            raise BroadcasterShutdownError("its broadcaster belongs to the process that this one was forked from")

    def _now(self) -> int:
        self._check_process()
        return self._time.next()

    def _send(self, event: RecordedEvent) -> str | None:
        try:
            self._check_process()
            taken = self._broadcaster.action_or_drop(EventType.ADDED, event)
        except BroadcasterShutdownError as error:
            return str(error)
        if taken:
            return None
        self._count_dropped()
        return f"{_MAX_QUEUED_EVENTS} events wait already"

    def _dropped(self, event: object = None) -> None:
        self._count_dropped()
        self._limited.log(
            logging.ERROR,
            "an event is dropped for a log function, handler or sink that is %d events behind",
            _MAX_QUEUED_EVENTS,
        )

    def _count_dropped(self) -> None:
        with self._lock:
            self._dropped_events += 1

    def _recording(self, sink: EventSink, ending: Ending) -> SinkRecording:
        if sink_api_version(sink) == EVENTS_V1:
            delivery = Delivery(sink, series_pause(self._sleep, self._random), self._clock, ending, self._limited)
            return SeriesRecording(delivery, self._clock, ending.begun, self._work, self._dropped)
        delivery = Delivery(sink, core_pause(self._sleep, self._random), self._clock, ending, self._limited)
        return CoreRecording(self._correlator or EventCorrelator(clock=self._clock), delivery)

    def _start(self, function: Callable[[RecordedEvent], object]) -> Watcher[RecordedEvent]:
        with self._lock:
            watcher = self._watch()
        if not isinstance(watcher, EmptyWatcher):
            self._work(lambda: self._deliver(watcher, function), "event-watcher")
        return watcher

    def _watch(self) -> Watcher[RecordedEvent]:
        try:
            self._check_process()
            return self._broadcaster.watch()
        except BroadcasterShutdownError as error:
            _log.error("an event watcher is not started: %s", error)
            return EmptyWatcher()

    def _work(self, target: Callable[[], object], name: str) -> None:
        with self._lock:
            self._workers = [worker for worker in self._workers if worker.is_alive]
            self._workers.append(Worker(target, name).start())

    def _record(self, watcher: Watcher[RecordedEvent], recording: SinkRecording) -> None:
        try:
            self._deliver(watcher, recording.record)
        finally:
            recording.close()

    def _deliver(self, watcher: Watcher[RecordedEvent], function: Callable[[RecordedEvent], object]) -> None:
        with watcher:
            for event in watcher:
                try:
                    function(event.object)
                # SystemExit too: it would end this thread and nothing else.
                except BaseException as error:
                    self._limited.log(logging.ERROR, "a function that was given an event failed", exc_info=error)


def _end_all() -> None:
    deadline = time.monotonic() + STOP_PATIENCE
    for broadcaster in list(_live):
        broadcaster._end_by(deadline)  # noqa: SLF001 - of this module


atexit.register(_end_all)


@in_forked_child
def _renew_locks() -> None:
    """In a forked child: another thread of the parent may have held them."""
    for broadcaster in list(_live):
        broadcaster._lock = RLock()  # noqa: SLF001 - of this module
