"""Builds Kubernetes events: their fields in both API groups, their names and times, and their form in logs.

Source: client-go tools/record makeEvent and StartLogging, tools/events makeEvent, tools/internal/events GenerateEventName.
"""

from __future__ import annotations

import json
import re
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from informer.objects.keys import namespaced_name
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import RLock
from watch.printable import printable

__all__ = [
    "EVENTS_V1",
    "EVENT_TYPES",
    "LOG_FIELDS",
    "EventTime",
    "RecordedEvent",
    "copy_event",
    "event_name",
    "events_v1_form",
    "events_v1_patch",
    "log_fields",
    "log_line",
    "make_event",
    "micro_time",
    "timestamp",
]

EVENTS_V1 = "events.k8s.io/v1"
EVENT_TYPES = frozenset({"Normal", "Warning"})

_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_MAX_LOGGED = 4096  # characters of an event in a log
_MAX_NAME = 253
# The API server's limits for an event of events.k8s.io, in bytes: its note; its reportingInstance, action and reason.
_MAX_NOTE = 1024
_MAX_WORD = 128
LOG_FIELDS = ("object", "fieldPath", "kind", "apiVersion", "type", "reason", "message")
"""The names of the fields that `log_fields` returns."""
# The order in which Go prints the fields of an ObjectReference.
_GO_FIELDS = {
    "Kind": "kind",
    "Namespace": "namespace",
    "Name": "name",
    "UID": "uid",
    "APIVersion": "apiVersion",
    "ResourceVersion": "resourceVersion",
    "FieldPath": "fieldPath",
}


@dataclass(frozen=True)
class RecordedEvent:
    """An event as the broadcaster passes it to its log functions, handlers and sinks. All of them share it.

    Args:
        event: the event in API form of the core group, whose times have a resolution of one second. It is read-only.
        nanoseconds: the time of recording, in nanoseconds since the epoch.
    """

    event: dict[str, Any]
    nanoseconds: int


def make_event(
    regarding: Mapping[str, str],
    type: str,
    reason: str,
    message: str,
    *,
    nanoseconds: int,
    component: str,
    host: str,
    annotations: Mapping[str, str] | None = None,
    action: str | None = None,
    related: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Returns a new event of the core group (v1) in API form.

    Args:
        regarding: a reference to the object that the event is about. Without a namespace the event goes to "default".
        type: "Normal" or "Warning".
        reason: the reason, one word in CamelCase.
        message: a message for people.
        nanoseconds: the time of the event, in nanoseconds since the epoch.
        component: the name of the component that reports the event.
        host: the host or instance of that component; "" if it has none.
        annotations: the event's annotations; None for none.
        action: the action that was taken; None for the same text as the reason.
        related: a reference to a second object; None for none.
    """
    now = timestamp(nanoseconds)
    metadata: dict[str, Any] = {
        "name": event_name(regarding.get("name", ""), nanoseconds),
        "namespace": regarding.get("namespace") or "default",
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    event: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": metadata,
        "involvedObject": dict(regarding),
        "type": type,
        "reason": reason,
        "message": message,
        "action": reason if action is None else action,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": component, "host": host} if host else {"component": component},
        "reportingComponent": component,
        "reportingInstance": host,
    }
    if related is not None:
        event["related"] = dict(related)
    return event


def events_v1_form(event: Mapping[str, Any], nanoseconds: int | None = None) -> dict[str, Any]:
    """Converts an event of the core group to events.k8s.io/v1.

    The API server requires an instance, an action and a note of at most 1024 bytes there. An event without a host gets an
    instance made of the component and this machine's name. A longer message is truncated, as are an instance, an action and a
    reason of more than 128 bytes.

    Args:
        event: an event from `make_event`. One with a count above 1 gets a series.
        nanoseconds: the time of recording, in nanoseconds since the epoch. None: the event's first timestamp.
    """
    component = event["reportingComponent"]
    made: dict[str, Any] = {
        "apiVersion": EVENTS_V1,
        "kind": "Event",
        "metadata": copy_event(event["metadata"]),
        "eventTime": _with_fraction(event["firstTimestamp"]) if nanoseconds is None else micro_time(nanoseconds),
        "reportingController": component,
        "reportingInstance": _cut(event["reportingInstance"] or f"{component}-{socket.gethostname()}", _MAX_WORD),
        "action": _cut(event["action"] or event["reason"], _MAX_WORD),
        "reason": _cut(event["reason"], _MAX_WORD),
        "regarding": dict(event["involvedObject"]),
        "note": _truncate(event["message"], _MAX_NOTE),
        "type": event["type"],
    }
    if "related" in event:
        made["related"] = dict(event["related"])
    return made | (events_v1_patch(event) if event["count"] > 1 else {})


def events_v1_patch(patch: Mapping[str, Any]) -> dict[str, Any]:
    """Converts a patch of the core group to events.k8s.io/v1: its count becomes a series."""
    return {"series": {"count": patch["count"], "lastObservedTime": _with_fraction(patch["lastTimestamp"])}}


def copy_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a deep copy of an event."""
    return {field: copy_event(value) if isinstance(value, dict) else value for field, value in event.items()}


def event_name(object_name: str, nanoseconds: int) -> str:
    """Returns a name for an event: the object's name and the time, or a UUID where that is not a valid name."""
    name = f"{object_name}.{nanoseconds:x}"
    if len(name) <= _MAX_NAME and _DNS_SUBDOMAIN.match(name):
        return name
    return str(uuid.uuid4())


def log_line(event: Mapping[str, Any]) -> str:
    """Returns an event as one line of text, as client-go logs it."""
    reference = event["involvedObject"]
    fields = ", ".join(
        f"{go_name}:{json.dumps(reference.get(field, ''), ensure_ascii=False)}" for go_name, field in _GO_FIELDS.items()
    )
    line = (
        f"Event(v1.ObjectReference{{{fields}}}): type: '{event['type']}' reason: '{event['reason']}' {event['message']}"
    )
    # A line break in a message must not start another entry of the log.
    return printable("\\n".join(line.splitlines()), _MAX_LOGGED)


def log_fields(event: Mapping[str, Any]) -> dict[str, str]:
    """Returns an event as the fields of a structured log entry."""
    reference = event["involvedObject"]
    namespace, name = reference.get("namespace", ""), reference.get("name", "")
    fields = {
        "object": namespaced_name(namespace, name),
        "fieldPath": reference.get("fieldPath", ""),
        "kind": reference.get("kind", ""),
        "apiVersion": reference.get("apiVersion", ""),
        **{field: event[field] for field in ("type", "reason", "message")},
    }
    return {field: printable(value, _MAX_LOGGED) for field, value in fields.items()}


def timestamp(nanoseconds: int) -> str:
    """Returns a time in API form, with a resolution of one second."""
    return _datetime(nanoseconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_time(nanoseconds: int) -> str:
    """Returns a time in API form, with a resolution of one microsecond."""
    # Never a fraction of zero: the official client leaves that out, and the server rejects a MicroTime without a fraction.
    return f"{_datetime(nanoseconds):%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9 // 1000 or 1:06}Z"


def _with_fraction(timestamp: str) -> str:
    return timestamp.replace("Z", ".000001Z")


def _datetime(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC)


def _truncate(text: str, size: int) -> str:
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= size else _cut(text, size - 3) + "..."


def _cut(text: str, size: int) -> str:
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")


class EventTime:
    """Gives each event a unique time, in nanoseconds since the epoch. The names of events contain it.

    Args:
        clock: the system's clock gives the time of day. Any other clock starts at the present time of day and then advances
            by its own seconds.

    Threads: `next` may be called from any thread.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at = time.time_ns() - int(clock.monotonic() * 1e9)
        self._lock = RLock()  # reentrant: a signal handler may record an event too
        self._last = 0  # guarded by _lock

    def next(self) -> int:
        """Returns the present time, or one nanosecond more than the last returned time if that is later."""
        # The system's monotonic time may stand still while the machine sleeps, so its wall clock is read instead.
        now = time.time_ns() if self._clock is SYSTEM_CLOCK else self._started_at + int(self._clock.monotonic() * 1e9)
        with self._lock:
            self._last = max(now, self._last + 1)
            return self._last
