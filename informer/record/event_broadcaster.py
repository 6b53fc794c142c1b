"""Events of a process's components, given to logs and handlers.

Comes in: events, from recorders on any thread. Goes out: each of them to every log function and handler there is, on a thread
for each, so that a slow one delays nobody.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any
from weakref import WeakSet

from typing_extensions import Self

from informer.log_limit import LimitedLog
from informer.record.event_form import copy_event, log_line
from informer.record.event_recorder import BroadcastingRecorder, EventRecorder
from informer.record.event_time import EventTime
from watch.broadcaster import Broadcaster, FullChannelBehavior
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock, Worker
from watch.errors import BroadcasterShutdownError
from watch.event import EventType
from watch.proxy import EmptyWatcher
from watch.watcher import Watcher

__all__ = ["EventBroadcaster"]

_log = logging.getLogger(__name__)

# So many events may wait to be given out, and so many for each log function or handler; more are dropped.
_MAX_QUEUED_EVENTS = 1000
_SHUTDOWN_PATIENCE = 1.0


# Those that were not shut down. The threads of a program end with it, and would take along what waits to be logged.
_live: WeakSet[EventBroadcaster] = WeakSet()


class EventBroadcaster:
    """See the module.

    Args:
        clock: gives the events their time.

    Threads: any. Recording never waits: where 1000 events wait already the new one is dropped, and where a log function or
    handler is 1000 events behind it misses some. Leaving a `with` block shuts it down, and so does the end of the program.

    Example:
        >>> broadcaster = EventBroadcaster()
        >>> _ = broadcaster.start_logging(print)
        >>> recorder = broadcaster.new_recorder("my-scheduler")
        >>> pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "web"}}
        >>> recorder.event(pod, "Normal", "Scheduled", "assigned to node-1")
        >>> broadcaster.shutdown()  # doctest: +ELLIPSIS
        Event(v1.ObjectReference{Kind:"Pod", Namespace:"shop", ...}): type: 'Normal' reason: 'Scheduled' assigned to node-1

    Source: client-go tools/record EventBroadcaster.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._broadcaster: Broadcaster[dict[str, Any]] = Broadcaster(
            _MAX_QUEUED_EVENTS, FullChannelBehavior.DROP_IF_CHANNEL_FULL, incoming_queue_length=_MAX_QUEUED_EVENTS
        )
        self._time = EventTime(clock)
        self._limited = LimitedLog(_log)
        self._process = os.getpid()
        self._lock = Lock()
        self._workers: list[Worker] = []  # those that may still run; guarded by _lock
        _live.add(self)

    def start_logging(self, log_function: Callable[[str], object]) -> Watcher[dict[str, Any]]:
        """Has a function called with one line of text an event.

        Returns:
            A watcher whose `stop` ends it.

        Threads: the function is called on a thread of its own; what it raises is logged.
        """
        return self._start(lambda event: log_function(log_line(event)))

    def start_event_watcher(self, handler: Callable[[dict[str, Any]], object]) -> Watcher[dict[str, Any]]:
        """Has a function called with every event recorded from now on, in API form, a copy of its own.

        Returns:
            A watcher whose `stop` ends it, once what it was given before is handled; an ended one after `shutdown`.

        Threads: the function is called on a thread of its own; what it raises is logged.
        """
        return self._start(lambda event: handler(copy_event(event)))

    def new_recorder(self, component: str, host: str = "") -> EventRecorder:
        """What a component reports its events with.

        Args:
            component: its name, such as "my-scheduler".
            host: where it runs, "" for nowhere in particular.
        """
        return BroadcastingRecorder(component, host, self._time.next, self._send, self._limited)

    def shutdown(self) -> None:
        """Records nothing more; what was recorded is given to all log functions and handlers, which then end.

        Returns when they have, or after a second. Again is harmless; one of the functions may call it.
        """
        self._end_by(time.monotonic() + _SHUTDOWN_PATIENCE)

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
            workers = list(self._workers)
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def _check_process(self) -> None:
        # The threads, and whoever may have held a lock, stayed behind in the parent.
        if os.getpid() != self._process:
            raise BroadcasterShutdownError("its broadcaster belongs to the process that this one was forked from")

    def _send(self, event: dict[str, Any]) -> str | None:
        try:
            self._check_process()
            taken = self._broadcaster.action_or_drop(EventType.ADDED, event)
        except BroadcasterShutdownError as error:
            return str(error)
        return None if taken else f"{_MAX_QUEUED_EVENTS} events wait already"

    def _start(self, function: Callable[[dict[str, Any]], object]) -> Watcher[dict[str, Any]]:
        with self._lock:
            try:
                self._check_process()
                watcher = self._broadcaster.watch()
            except BroadcasterShutdownError as error:
                _log.error("an event watcher is not started: %s", error)
                return EmptyWatcher()
            self._workers = [worker for worker in self._workers if worker.is_alive]
            self._workers.append(Worker(lambda: self._deliver(watcher, function), "event-watcher").start())
            return watcher

    def _deliver(self, watcher: Watcher[dict[str, Any]], function: Callable[[dict[str, Any]], object]) -> None:
        with watcher:
            for event in watcher:
                try:
                    function(event.object)
                except Exception as error:
                    self._limited.log(logging.ERROR, "a function that was given an event failed", exc_info=error)


def _end_all() -> None:
    deadline = time.monotonic() + _SHUTDOWN_PATIENCE
    for broadcaster in list(_live):
        broadcaster._end_by(deadline)  # noqa: SLF001 - of this module


atexit.register(_end_all)
