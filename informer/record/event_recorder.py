"""What a component reports events with.

Comes in: an object and what happened to it. Goes out: an event, to whoever broadcasts it. Runs on the caller's thread, which
it never keeps waiting and never fails: what cannot be recorded is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from informer.log_limit import LimitedLog
from informer.record.event_form import EVENT_TYPES, make_event
from informer.record.reference import get_reference

__all__ = ["BroadcastingRecorder", "EventRecorder"]

_log = logging.getLogger(__name__)


@runtime_checkable
class EventRecorder(Protocol):
    """Records events.

    Threads: any; no method blocks or raises. What cannot be recorded is logged, and lost.

    Source: client-go tools/record EventRecorder.
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
        ...

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
        ...


class BroadcastingRecorder:
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
        send: Callable[[dict[str, Any]], str | None],
        limited: LimitedLog,
    ) -> None:
        self._component = component
        self._host = host
        self._now = now
        self._send = send
        self._limited = limited

    def event(
        self, obj: Any, type: str, reason: str, message: str, *, action: str | None = None, related: Any = None
    ) -> None:
        """See `EventRecorder.event`."""
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
        try:
            self._record(obj, annotations, type, reason, message, action, related)
        # An object may be anybody's, and what it raises must not stop who only wanted to report something.
        except Exception as error:
            self._lose(reason, str(error) or error.__class__.__name__)

    def _record(
        self,
        obj: Any,
        annotations: Mapping[str, str] | None,
        type: str,
        reason: str,
        message: str,
        action: str | None,
        related: Any,
    ) -> None:
        regarding = get_reference(obj)
        if type not in EVENT_TYPES:
            self._lose(reason, f"unsupported event type {str(type)[:100]!r}: it is 'Normal' or 'Warning'")
            return
        event = make_event(
            regarding,
            str(type),
            str(reason),
            str(message),
            nanoseconds=self._now(),
            component=self._component,
            host=self._host,
            annotations=annotations,
            action=None if action is None else str(action),
            related=self._related(related, reason),
        )
        refused = self._send(event)
        if refused is not None:
            self._lose(reason, refused)

    def _related(self, related: Any, reason: str) -> dict[str, str] | None:
        """The event is worth recording without it, too."""
        if related is None:
            return None
        try:
            return get_reference(related)
        except Exception as error:
            self._limited.log(
                logging.WARNING, "an event %.100r of %s has no related object: %s", reason, self._component, error
            )
            return None

    def _lose(self, reason: str, why: str) -> None:
        self._limited.log(logging.ERROR, "an event %.100r of %s is not recorded: %s", reason, self._component, why)
