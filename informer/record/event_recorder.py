"""What a component reports events with.

Comes in: an object and what happened to it. Goes out: an event, to whoever broadcasts it. Runs on the caller's thread, which
it never keeps waiting and never fails: what cannot be recorded is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from informer.rate_limited_log import LimitedLog
from informer.record.event_form import EVENT_TYPES, RecordedEvent, make_event
from informer.record.reference import get_reference

__all__ = ["BroadcastingRecorder", "EventRecorder", "Report"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What a recorder was told, as it was told; see `EventRecorder.annotated_event`."""

    obj: Any
    annotations: Mapping[str, str] | None
    type: str
    reason: str
    message: str
    action: str | None
    related: Any


class EventRecorder:
    """Records events. Whoever makes one of their own overrides `take`.

    Threads: any; no method blocks or raises. What cannot be recorded is logged, and lost.

    Source: client-go tools/record EventRecorder, tools/events EventRecorder.
    """

    def event(
        self, obj: Any, type: str, reason: str, message: str, *, action: str | None = None, related: Any = None
    ) -> None:
        """Records an event.

        Args:
            obj: what it is about: a dict in API form, an `informer.Object`, an official model, anything with `.metadata`,
                or a reference dict. Only what a reference needs is taken of it.
            type: "Normal" or "Warning".
            reason: why, as one short word in CamelCase.
            message: for people; it is not formatted.
            action: what was done; None for the same as the reason.
            related: a second object, in any form that `obj` may have; None for none.
        """
        self.take(Report(obj, None, type, reason, message, action, related))

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
        """As `event`, with annotations of the event itself."""
        self.take(Report(obj, annotations, type, reason, message, action, related))

    def take(self, report: Report) -> None:
        """What becomes of a report; for recorders, not for those who use them."""
        raise NotImplementedError


class BroadcastingRecorder(EventRecorder):
    """The recorder of one component.

    Args:
        component: what reports the events.
        host: where that runs, "" for nowhere in particular.
        now: gives nanoseconds since the epoch, never the same twice.
        send: takes an event and returns without waiting, why it was not taken, or None.
        limited: for what cannot be recorded.
    """

    def __init__(
        self,
        component: str,
        host: str,
        now: Callable[[], int],
        send: Callable[[RecordedEvent], str | None],
        limited: LimitedLog,
    ) -> None:
        self._component = component
        self._host = host
        self._now = now
        self._send = send
        self._limited = limited

    def take(self, report: Report) -> None:
        """See `EventRecorder.take`."""
        try:
            self._record(report)
        # An object may be anybody's, and what it raises must not stop who only wanted to report something.
        except Exception as error:
            self._lose(report, str(error) or error.__class__.__name__)

    def _record(self, report: Report) -> None:
        regarding = get_reference(report.obj)
        if report.type not in EVENT_TYPES:
            self._lose(report, f"unsupported event type {str(report.type)[:100]!r}: it is 'Normal' or 'Warning'")
            return
        nanoseconds = self._now()
        event = make_event(
            regarding,
            str(report.type),
            str(report.reason),
            str(report.message),
            nanoseconds=nanoseconds,
            component=self._component,
            host=self._host,
            annotations=report.annotations,
            action=None if report.action is None else str(report.action),
            related=self._related(report),
        )
        refused = self._send(RecordedEvent(event, nanoseconds))
        if refused is not None:
            self._lose(report, refused)

    def _related(self, report: Report) -> dict[str, str] | None:
        """The event is worth recording without it, too."""
        if report.related is None:
            return None
        try:
            return get_reference(report.related)
        except Exception as error:
            self._limited.log(
                logging.WARNING,
                "an event %.100r of %s has no related object: %s",
                report.reason,
                self._component,
                error,
            )
            return None

    def _lose(self, report: Report, why: str) -> None:
        self._limited.log(
            logging.ERROR, "an event %.100r of %s is not recorded: %s", report.reason, self._component, why
        )
