"""A recorder for tests of whoever records events."""

from __future__ import annotations

import logging
import queue
from collections.abc import Mapping
from typing import Any

from watch.channel import Channel
from watch.errors import ChannelClosedError

__all__ = ["FakeRecorder"]

_log = logging.getLogger(__name__)


class FakeRecorder:
    """An `EventRecorder` that keeps a line of text an event.

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

    def event(
        self, obj: Any, type: str, reason: str, message: str, *, action: str | None = None, related: Any = None
    ) -> None:
        """See `EventRecorder.event`; the object, action and related object are not looked at."""
        self.annotated_event(obj, None, type, reason, message, action=action, related=related)

    def annotated_event(
        self,
        obj: Any,
        annotations: Mapping[str, str] | None,
        type: str,
        reason: str,
        message: str,
        *,
        action: str | None = None,
        related: Any = None,
    ) -> None:
        """See `EventRecorder.annotated_event`."""
        line = f"{type} {reason} {message}"
        if annotations:
            line += f" map[{' '.join(f'{key}:{annotations[key]}' for key in sorted(annotations))}]"
        try:
            self._events.put_nowait(line)
        except queue.Full:
            _log.error("a fake recorder is full: give it a larger maxsize, or take its events")
        except ChannelClosedError:
            _log.error("a fake recorder's events were closed: one more is lost")
