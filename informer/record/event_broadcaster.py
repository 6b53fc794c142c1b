"""The event broadcaster: it passes the events of a process's recorders on to logs, handlers and API servers."""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Mapping
from random import Random
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from informer.arguments import check_function
from informer.objects.keys import namespaced_name
from informer.rate_limited_log import rate_limited
from informer.record.correlator import EventCorrelator
from informer.record.delivery import Delivery, Shutdown
from informer.record.event import EVENTS_V1, LOG_FIELDS, EventTime, RecordedEvent, copy_event, log_fields, log_line
from informer.record.event_recorder import BroadcastingRecorder, EventRecorder, check_component
from informer.record.event_sink import EventSink, check_sink, sink_api_version
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
from watch.concurrency import OwnerProcess, RLock, Worker
from watch.errors import BroadcasterShutdownError
from watch.event import EventType
from watch.logs import get_logger
from watch.watcher import EmptyWatcher, Watcher

__all__ = ["EventBroadcaster"]

_log = get_logger(__name__)

# The size of the broadcaster's queue, and of the queue of each log function, handler and sink.
_MAX_QUEUED_EVENTS = 1000

# The broadcasters to shut down at exit: a program ends its daemon threads, and events that still wait would be lost.
_live: WeakSet[EventBroadcaster] = WeakSet()


class EventBroadcaster:
    """Distributes Kubernetes events from recorders to log functions, handlers and sinks.

    `new_recorder` makes a recorder for each component that reports events. Each `start_...` method adds a receiver, with a
    thread of its own, so that a slow receiver does not delay the others. The receiver gets every event recorded from then on,
    until the `stop` of the returned watcher is called.

    Recording never blocks. The broadcaster holds up to 1000 events, and drops further ones. A receiver that is 1000 events
    behind misses the next ones. Dropped events are logged and counted in
    `dropped_events`, also those that a sink's rate limit drops.

    Call `shutdown`, or use the broadcaster in a `with` block, to deliver the waiting events before the program goes on.
    Otherwise it shuts down when the program exits. It does not survive a fork: a child process creates its own.

    Args:
        sleep: seconds between two tries to write an event to a sink, before jitter.
        clock: gives events their time, and counts the waits between tries.
        correlator: counts, combines and drops the events for sinks of the core group. None: one with client-go's defaults for
            each sink. A given correlator is shared by all sinks, so pass one only if there is a single sink.
        random: the source of jitter; None for a new one.

    Raises:
        ValueError: `sleep` is below 0 or not a number.

    Threads: all methods may be called from any thread.

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
            on_drop=self._on_drop,
        )
        self._sleep = sleep
        self._clock = clock
        self._correlator = correlator
        self._random = Random() if random is None else random  # noqa: S311 - spreads waits
        self._time = EventTime(clock)
        self._limited = rate_limited(_log)
        self._process = OwnerProcess()
        self._lock = RLock()  # reentrant: a signal handler may record an event too
        # All guarded by _lock.
        self._workers: list[Worker] = []  # those that have ended are removed when another starts
        self._recordings: list[tuple[EventSink, Shutdown]] = []  # stopped ones are removed when another starts
        self._dropped_events = 0
        _live.add(self)

    @property
    def dropped_events(self) -> int:
        """The number of events that were dropped because a queue was full or a source exceeded its rate limit.

        An event counts once for each queue and each sink that dropped it.
        """
        with self._lock:
            return self._dropped_events

    def start_logging(self, log_function: Callable[[str], object]) -> Watcher[RecordedEvent]:
        """Calls a function with one line of text per event.

        Args:
            log_function: such as `logger.info` or `print`. An exception that it raises is logged.

        Returns:
            A watcher; its `stop` ends the calls.

        Threads: the function is called on a thread of its own.
        """
        check_function("log_function", log_function, 1)
        return self._start_receiver(lambda recorded: log_function(log_line(recorded.event)))

    def start_structured_logging(self, log_function: Callable[..., object]) -> Watcher[RecordedEvent]:
        """Calls a function with "Event occurred" and the fields of each event as keyword arguments.

        Args:
            log_function: such as `structlog.get_logger().info`. The keywords are object ("namespace/name"), fieldPath, kind,
                apiVersion, type, reason and message. An exception that it raises is logged.

        Returns:
            A watcher; its `stop` ends the calls.

        Threads: the function is called on a thread of its own.
        """
        check_function("log_function", log_function, 1, keywords=LOG_FIELDS)
        return self._start_receiver(lambda recorded: log_function("Event occurred", **log_fields(recorded.event)))

    def start_event_watcher(self, handler: Callable[[dict[str, Any]], object]) -> Watcher[RecordedEvent]:
        """Calls a function with each event recorded from now on.

        Args:
            handler: receives the event in API form of the core group, a copy that it may change. An exception that it raises
                is logged.

        Returns:
            A watcher; its `stop` ends the calls once the events before it are handled. After `shutdown` it is closed already.

        Threads: the function is called on a thread of its own.
        """
        check_function("handler", handler, 1)
        return self._start_receiver(lambda recorded: handler(copy_event(recorded.event)))

    def start_recording_to_sink(self, sink: EventSink) -> Watcher[RecordedEvent]:
        """Writes each event recorded from now on to a sink.

        Repeated events are counted and similar events are combined, as `EventCorrelator` describes; for events.k8s.io
        repeated events become a series. A failed write is tried up to 12 times, `sleep` seconds apart, or up to 60 s if the
        server sends a Retry-After; meanwhile later events wait. A write that the server refuses is not retried. Each event
        that is not written is logged.

        Args:
            sink: a `CoreV1EventSink`, an `EventsV1Sink` or another `EventSink`. An API server shows the same events in both
                groups, so one sink per server is enough.

        Returns:
            A watcher; its `stop` ends the recording. Events that wait are tried once each, for at most 1 s. After `shutdown` it
            is closed already.

        Raises:
            TypeError: the sink lacks `create`, or one of its methods is async or takes other arguments.
            RuntimeError: recording to this sink is already started, or the system cannot start another thread.

        Threads: one thread for a sink of the core group. A sink of events.k8s.io has one more for its timers, and up to eight
        that write.
        """
        check_sink(sink)
        shutdown = Shutdown()
        with self._lock:
            self._recordings = [(other, each) for other, each in self._recordings if not each.begun.is_set()]
            if any(other is sink for other, _ in self._recordings):
                raise RuntimeError("recording to this sink is already started")
            watcher = self._watch()
            if isinstance(watcher, EmptyWatcher):
                return watcher
            self._recordings.append((sink, shutdown))
        sink_watcher = SinkWatcher(watcher, shutdown)
        try:
            recording = self._make_recording(sink, shutdown)
            self._start_worker(lambda: self._record(watcher, recording), "event-recording")
        # The system cannot start another thread.
        except RuntimeError:
            sink_watcher.stop()
            raise
        return sink_watcher

    def new_recorder(self, component: str, host: str = "") -> EventRecorder:
        """Returns a recorder, with which a component reports its events.

        Args:
            component: the component's name, such as "my-scheduler" or "example.com/my-scheduler".
            host: the component's host or instance, such as its pod's name; "" for none.

        Raises:
            ValueError: the component is not a qualified name; the API server would refuse each of its events.
        """
        check_component(component)
        return BroadcastingRecorder(component, host, self._now, self._send, self._limited)

    def shutdown(self) -> None:
        """Stops recording, delivers the waiting events, and ends all threads.

        Sinks try each waiting event once, without retries. Events that are not written within 1 s are dropped and logged.
        Further calls have no effect.

        Threads: blocks until all receivers have ended, for at most 1 s. A handler may call it.
        """
        self._shut_down_by(time.monotonic() + STOP_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _shut_down_by(self, deadline: float) -> None:
        _live.discard(self)
        if not self._process.is_current:
            return
        self._broadcaster.shutdown()
        with self._lock:
            shutdowns = [shutdown for _, shutdown in self._recordings]
        for shutdown in shutdowns:
            shutdown.begin(deadline)
        # One after the other, since a recording may still start threads to write its waiting events.
        while (worker := self._running_worker()) is not None and (left := deadline - time.monotonic()) > 0:
            worker.join(left)

    def _running_worker(self) -> Worker | None:
        with self._lock:
            return next((each for each in self._workers if each.is_alive and not each.is_current), None)

    def _check_process(self) -> None:
        # The broadcaster's threads run in the parent only.
        if not self._process.is_current:
            raise BroadcasterShutdownError(
                "the event broadcaster belongs to the process that this one was forked from: create one after the fork"
            )

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
        return f"the broadcaster's queue is full ({_MAX_QUEUED_EVENTS} events)"

    def _on_drop(self, event: object = None) -> None:
        self._count_dropped()
        self._limited.error(
            "dropped an event, because a log function, handler or sink is %d events behind",
            _MAX_QUEUED_EVENTS,
        )

    def _on_skip(self, event: Mapping[str, Any]) -> None:
        self._count_dropped()
        involved = event.get("involvedObject") or {}
        self._limited.warning(
            "dropped event %.100r of %s %s: its source exceeds the rate limit of events about one object (record fewer, or "
            "raise burst or qps of an EventCorrelator)",
            event.get("reason", ""),
            involved.get("kind", ""),
            namespaced_name(involved.get("namespace", ""), involved.get("name", "")),
        )

    def _count_dropped(self) -> None:
        with self._lock:
            self._dropped_events += 1

    def _make_recording(self, sink: EventSink, shutdown: Shutdown) -> SinkRecording:
        if sink_api_version(sink) == EVENTS_V1:
            delivery = Delivery(sink, series_pause(self._sleep, self._random), self._clock, shutdown, self._limited)
            return SeriesRecording(delivery, self._clock, shutdown.begun, self._start_worker, self._on_drop)
        delivery = Delivery(sink, core_pause(self._sleep, self._random), self._clock, shutdown, self._limited)
        return CoreRecording(self._correlator or EventCorrelator(clock=self._clock), delivery, self._on_skip)

    def _start_receiver(self, function: Callable[[RecordedEvent], object]) -> Watcher[RecordedEvent]:
        with self._lock:
            watcher = self._watch()
        if not isinstance(watcher, EmptyWatcher):
            self._start_worker(lambda: self._deliver(watcher, function), "event-watcher")
        return watcher

    def _watch(self) -> Watcher[RecordedEvent]:
        try:
            self._check_process()
            return self._broadcaster.watch()
        except BroadcasterShutdownError as error:
            _log.error("failed to start an event watcher: %s", error)
            return EmptyWatcher()

    def _start_worker(self, target: Callable[[], object], name: str) -> None:
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
                # SystemExit too: it would end nothing but this thread.
                except BaseException as error:
                    self._limited.error("a log function, handler or sink of events failed", exc_info=error)


def _shut_down_all() -> None:
    deadline = time.monotonic() + STOP_PATIENCE
    for broadcaster in list(_live):
        broadcaster._shut_down_by(deadline)  # noqa: SLF001 - the class is in this module


atexit.register(_shut_down_all)
