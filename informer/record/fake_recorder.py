"""A recorder for tests of whoever records events."""

from __future__ import annotations

import logging
import queue

from informer.record.event_recorder import EventRecorder, Report
from watch.channel import Channel
from watch.errors import ChannelClosedError

__all__ = ["FakeRecorder"]

_log = logging.getLogger(__name__)


class FakeRecorder(EventRecorder):
    """A recorder that keeps a line of text an event.

    Args:
        maxsize: so many lines are kept; more are dropped and logged, as a broadcaster does. None keeps all.

    Threads: any; nothing blocks.

    Example:
        >>> recorder = FakeRecorder()
        >>> recorder.event({}, "Normal", "Scheduled", "assigned to node-1")
        >>> recorder.events.get(timeout=0)
        'Normal Scheduled assigned to node-1'

    Source: client-go tools/record FakeRecorder.
    """

    def __init__(self, maxsize: int | None = 100) -> None:
        self._events: Channel[str] = Channel(maxsize)

    @property
    def events(self) -> Channel[str]:
        """The lines, "TYPE REASON MESSAGE", with " map[key:value]" behind where the event has annotations."""
        return self._events

    def take(self, report: Report) -> None:
        """See `EventRecorder.take`; the object, action and related object are not looked at."""
        line = f"{report.type} {report.reason} {report.message}"
        annotations = report.annotations
        if annotations:
            line += f" map[{' '.join(f'{key}:{annotations[key]}' for key in sorted(annotations))}]"
        try:
            self._events.put_nowait(line)
        except queue.Full:
            _log.error("a fake recorder is full: give it a larger maxsize, or take its events")
        except ChannelClosedError:
            _log.error("a fake recorder's events were closed: one more is lost")
