"""A recorder for tests of whoever records events."""

from __future__ import annotations

import logging
import queue

from informer.record.event_recorder import EventRecorder, Report
from informer.record.reference import get_reference
from watch.channel import Channel
from watch.errors import ChannelClosedError

__all__ = ["FakeRecorder"]

_log = logging.getLogger(__name__)


class FakeRecorder(EventRecorder):
    """A recorder that keeps a line of text an event.

    Args:
        maxsize: so many lines are kept; more are dropped and logged, as a broadcaster does. None keeps all.
        include_object: whether the lines also have the kind and apiVersion of the object.

    Threads: any; nothing blocks.

    Example:
        >>> recorder = FakeRecorder()
        >>> recorder.event({}, "Normal", "Scheduled", "assigned to node-1")
        >>> recorder.events.get(timeout=0)
        'Normal Scheduled assigned to node-1'

    Source: client-go tools/record FakeRecorder.
    """

    def __init__(self, maxsize: int | None = 100, *, include_object: bool = False) -> None:
        self._events: Channel[str] = Channel(maxsize)
        self._include_object = include_object

    @property
    def events(self) -> Channel[str]:
        """The lines, "TYPE REASON MESSAGE".

        Behind that there is " involvedObject{kind=Pod,apiVersion=v1}" if objects are to be included, and " map[key:value]"
        where the event has annotations.
        """
        return self._events

    def take(self, report: Report) -> None:
        """See `EventRecorder.take`; action and related object are not looked at, and the object only if it is included."""
        line = f"{report.type} {report.reason} {report.message}"
        if self._include_object:
            line += _object_in_words(report.obj)
        annotations = report.annotations
        if annotations:
            line += f" map[{' '.join(f'{key}:{annotations[key]}' for key in sorted(annotations))}]"
        try:
            self._events.put_nowait(line)
        except queue.Full:
            _log.error("a fake recorder is full: give it a larger maxsize, or take its events")
        except ChannelClosedError:
            _log.error("a fake recorder's events were closed: one more is lost")


def _object_in_words(obj: object) -> str:
    try:
        reference = get_reference(obj)
    # What a real recorder would not record is a line all the same, and shows that nothing is known of its object.
    except Exception:
        reference = {}
    return f" involvedObject{{kind={reference.get('kind', '')},apiVersion={reference.get('apiVersion', '')}}}"
