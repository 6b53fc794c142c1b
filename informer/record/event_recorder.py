"""Recorders: a component calls one to report an event about an object."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from informer.record.event import EVENT_TYPES, RecordedEvent, make_event
from informer.record.reference import get_reference
from watch.logs import get_logger

__all__ = ["BroadcastingRecorder", "EventRecorder", "Report", "check_component"]

_log = get_logger(__name__)


_DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_MAX_DOMAIN = 253
# The API server's limit for all annotations of an object together, in bytes.
_MAX_ANNOTATIONS = 256 * 1024


def check_component(component: str) -> None:
    """Checks the name of a component that records events.

    Raises:
        TypeError: it is not a string.
        ValueError: it is not a qualified name, which the API server demands of an event's reportingController.
    """
    if not isinstance(component, str):
        raise TypeError(f"component must be a string such as 'my-controller', not a {type(component).__name__}")
    if not _is_qualified_name(component):
        raise ValueError(
            f"component {component[:100]!r} is not a qualified name, so the API server would refuse its events: use at most "
            "63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, optionally after a DNS name "
            "and '/'"
        )


def _is_qualified_name(text: str) -> bool:
    domain, slash, name = text.rpartition("/")
    if slash and (len(domain) > _MAX_DOMAIN or not _DOMAIN.match(domain)):
        return False
    return _NAME.match(name) is not None


@dataclass(frozen=True)
class Report:
    """The arguments of one call of a recorder, unchanged; `EventRecorder.annotated_event` describes them."""

    obj: Any
    annotations: Mapping[str, str] | None
    type: str
    reason: str
    message: str
    action: str | None
    related: Any


class EventRecorder:
    """Records Kubernetes events about objects, for one component.

    `EventBroadcaster.new_recorder` makes one, and `FakeRecorder` is one for tests. To write another, subclass this class and
    override `take`.

    A recorder never blocks and never raises. An event that it cannot record is logged and dropped.

    Threads: all methods may be called from any thread.

    Example:
        >>> from informer.record import EventBroadcaster
        >>> with EventBroadcaster() as broadcaster:
        ...     recorder = broadcaster.new_recorder("my-controller")
        ...     pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "web"}}
        ...     recorder.event(pod, "Warning", "FailedMount", "volume data is not ready")

    Source: client-go tools/record EventRecorder, tools/events EventRecorder.
    """

    def event(
        self, obj: Any, type: str, reason: str, message: str, *, action: str | None = None, related: Any = None
    ) -> None:
        """Records an event.

        Args:
            obj: the object that the event is about: a dict in API form, an `informer.Object`, an official model, anything
                with `.metadata`, or a reference dict. Only the fields of a reference are read.
            type: "Normal" or "Warning".
            reason: the reason, one short word in CamelCase.
            message: a message for people. It is not a format string.
            action: the action that was taken; None for the same text as the reason.
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
        """Records an event that has annotations.

        Args:
            obj: as of `event`, like all arguments but the next.
            annotations: the annotations of the event itself, not of the object; None for none.
            type: as of `event`.
            reason: as of `event`.
            message: as of `event`.
            action: as of `event`.
            related: as of `event`.
        """
        self.take(Report(obj, annotations, type, reason, message, action, related))

    def take(self, report: Report) -> None:
        """Handles one reported event. Subclasses override it; components call `event` instead."""
        raise NotImplementedError


class BroadcastingRecorder(EventRecorder):
    """The recorder that an `EventBroadcaster` makes for one component.

    Args:
        component: the name of the component that reports the events.
        host: the host or instance of that component; "" if it has none.
        now: returns a unique time, in nanoseconds since the epoch.
        send: passes an event on without blocking. It returns None, or why it did not accept the event.
        limited: logs what could not be recorded, at a bounded rate.
    """

    def __init__(
        self,
        component: str,
        host: str,
        now: Callable[[], int],
        send: Callable[[RecordedEvent], str | None],
        limited: logging.Logger,
    ) -> None:
        self._component = component
        self._host = host
        self._now = now
        self._send = send
        self._limited = limited

    def take(self, report: Report) -> None:
        """Builds the event and sends it to the broadcaster."""
        try:
            self._record(report)
        # The caller's object may raise anything when it is read; the caller only wanted to report something.
        except Exception as error:
            self._log_lost(report, str(error) or error.__class__.__name__)

    def _record(self, report: Report) -> None:
        regarding = get_reference(report.obj)
        if report.type not in EVENT_TYPES:
            self._log_lost(report, f"unsupported event type {str(report.type)[:100]!r}: use 'Normal' or 'Warning'")
            return
        if not str(report.reason):
            self._log_lost(report, "its reason is empty: give one word in CamelCase, such as 'Started'")
            return
        refused = _refused_annotations(report.annotations)
        if refused:
            self._log_lost(report, refused)
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
        error = self._send(RecordedEvent(event, nanoseconds))
        if error is not None:
            self._log_lost(report, error)

    def _related(self, report: Report) -> dict[str, str] | None:
        """Returns a reference to the related object; None, and a log line, if it cannot be referenced."""
        if report.related is None:
            return None
        try:
            return get_reference(report.related)
        except Exception as error:
            self._limited.warning(
                "event %.100r of %s is recorded without its related object: %s",
                report.reason,
                self._component,
                error,
            )
            return None

    def _log_lost(self, report: Report, error: str) -> None:
        self._limited.error("failed to record event %.100r of %s: %s", report.reason, self._component, error)


def _refused_annotations(annotations: Mapping[Any, Any] | None) -> str:
    """Returns why the API server would refuse an event's annotations; "" if it accepts them. Quotes no value."""
    size = 0
    for key, value in (annotations or {}).items():
        # Source: apimachinery ValidateAnnotations, which compares keys in lower case.
        if not isinstance(key, str) or not _is_qualified_name(key.lower()):
            return f"{str(key)[:100]!r} is not the key of an annotation: use a name such as 'example.com/attempt'"
        if not isinstance(value, str):
            return f"the value of annotation {key!r} is a {type(value).__name__}, not a string"
        size += len(key.encode("utf-8", "replace")) + len(value.encode("utf-8", "replace"))
    return (
        ""
        if size <= _MAX_ANNOTATIONS
        else f"its annotations have {size} bytes, of which {_MAX_ANNOTATIONS} are allowed"
    )
