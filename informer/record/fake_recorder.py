"""A recorder for tests of components that record events."""

from __future__ import annotations

import queue

from informer.record.event_recorder import EventRecorder, Report
from informer.record.reference import get_reference
from watch.channel import Channel
from watch.errors import ChannelClosedError
from watch.logs import get_logger

__all__ = ["FakeRecorder"]

_log = get_logger(__name__)


class FakeRecorder(EventRecorder):
    """A recorder for tests, which keeps each event as one line of text.

    Args:
        maxsize: the largest number of lines to keep. Further events are dropped and logged. None keeps all.
        include_object: whether the lines contain the kind and the apiVersion of the object.

    Threads: all methods may be called from any thread. None blocks.

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
        """The recorded lines, "TYPE REASON MESSAGE".

        With `include_object` " involvedObject{kind=Pod,apiVersion=v1}" follows. The annotations of an event come last, as
        " map[key:value]".
        """
        return self._events

    def take(self, report: Report) -> None:
        """Keeps the event as a line. The action and the related object are ignored."""
        line = f"{report.type} {report.reason} {report.message}"
        if self._include_object:
            line += _object_text(report.obj)
        annotations = report.annotations
        if annotations:
            line += f" map[{' '.join(f'{key}:{annotations[key]}' for key in sorted(annotations))}]"
        try:
            self._events.put_nowait(line)
        except queue.Full:
            _log.error("FakeRecorder dropped an event, because it is full: use a larger maxsize, or read its events")
        except ChannelClosedError:
            _log.error("FakeRecorder dropped an event, because its channel is closed")


def _object_text(obj: object) -> str:
    try:
        reference = get_reference(obj)
    # A real recorder would drop this event; a line with an empty kind shows the mistake to the test.
    except Exception:
        reference = {}
    return f" involvedObject{{kind={reference.get('kind', '')},apiVersion={reference.get('apiVersion', '')}}}"
