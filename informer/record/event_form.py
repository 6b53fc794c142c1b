"""What a Kubernetes event looks like: its fields in either API group, its name, and its line in a log. Pure.

Source: client-go tools/record makeEvent and StartLogging, tools/events makeEvent, tools/internal/events GenerateEventName.
"""

from __future__ import annotations

import json
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "EVENTS_V1",
    "EVENT_TYPES",
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
_MAX_NAME = 253
# What the server takes of an event of events.k8s.io: bytes of its note, characters of its instance.
_MAX_NOTE = 1024
_MAX_INSTANCE = 128
# As a reference prints in Go, whose fields are in this order.
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
    """An event on its way to whoever logs, handles or writes it; all of them share it.

    Args:
        event: in API form of the core group, where times have seconds; read-only.
        nanoseconds: when it was recorded, since the epoch.
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
    """An event in API form, of the core group's version 1.

    Args:
        regarding: a reference to the object that it is about; one without a namespace has its events in "default".
        type: "Normal" or "Warning".
        reason: why, as one word in CamelCase.
        message: for people.
        nanoseconds: when, since the epoch.
        component: what reports it.
        host: where that runs, "" for nowhere in particular.
        annotations: of the event, None for none.
        action: what was done, None for the same as the reason.
        related: a reference to a second object, None for none.
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
    """An event of the core group in API form of events.k8s.io/v1.

    That group asks for an instance, which is made of the component and this machine's name where no host was told, for an
    action, and for a note of 1024 bytes at most, to which a longer message is cut.

    Args:
        event: as `make_event` makes it, and perhaps counted.
        nanoseconds: when it was recorded, since the epoch; None: its first timestamp says.
    """
    component = event["reportingComponent"]
    made: dict[str, Any] = {
        "apiVersion": EVENTS_V1,
        "kind": "Event",
        "metadata": copy_event(event["metadata"]),
        "eventTime": _micro(event["firstTimestamp"]) if nanoseconds is None else micro_time(nanoseconds),
        "reportingController": component,
        "reportingInstance": (event["reportingInstance"] or f"{component}-{socket.gethostname()}")[:_MAX_INSTANCE],
        "action": event["action"] or event["reason"],
        "reason": event["reason"],
        "regarding": dict(event["involvedObject"]),
        "note": _cut(event["message"], _MAX_NOTE),
        "type": event["type"],
    }
    if "related" in event:
        made["related"] = dict(event["related"])
    return made | (events_v1_patch(event) if event["count"] > 1 else {})


def events_v1_patch(patch: Mapping[str, Any]) -> dict[str, Any]:
    """What is new of an event of the core group, for one of events.k8s.io: its count, which makes a series."""
    return {"series": {"count": patch["count"], "lastObservedTime": _micro(patch["lastTimestamp"])}}


def copy_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event of which nothing is shared with the other."""
    return {field: copy_event(value) if isinstance(value, dict) else value for field, value in event.items()}


def event_name(object_name: str, nanoseconds: int) -> str:
    """The name of an event: its object's with the time, or an UUID where that would be no valid name."""
    name = f"{object_name}.{nanoseconds:x}"
    if len(name) <= _MAX_NAME and _DNS_SUBDOMAIN.match(name):
        return name
    return str(uuid.uuid4())


def log_line(event: Mapping[str, Any]) -> str:
    """An event as one line of text."""
    reference = event["involvedObject"]
    fields = ", ".join(
        f"{go_name}:{json.dumps(reference.get(field, ''), ensure_ascii=False)}" for go_name, field in _GO_FIELDS.items()
    )
    line = (
        f"Event(v1.ObjectReference{{{fields}}}): type: '{event['type']}' reason: '{event['reason']}' {event['message']}"
    )
    # What somebody wrote into an event must not look like another line of the log.
    return "\\n".join(line.splitlines())


def log_fields(event: Mapping[str, Any]) -> dict[str, str]:
    """An event as fields of a structured log."""
    reference = event["involvedObject"]
    namespace, name = reference.get("namespace", ""), reference.get("name", "")
    return {
        "object": f"{namespace}/{name}" if namespace else name,
        "fieldPath": reference.get("fieldPath", ""),
        "kind": reference.get("kind", ""),
        "apiVersion": reference.get("apiVersion", ""),
        **{field: event[field] for field in ("type", "reason", "message")},
    }


def timestamp(nanoseconds: int) -> str:
    """A moment in API form, to the second."""
    return _moment(nanoseconds).strftime("%Y-%m-%dT%H:%M:%SZ")


# The official client writes a time without its fraction where that is zero, which the server does not take: so it never is.
def micro_time(nanoseconds: int) -> str:
    """A moment in API form, to the microsecond."""
    return f"{_moment(nanoseconds):%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9 // 1000 or 1:06}Z"


def _micro(timestamp: str) -> str:
    return timestamp.replace("Z", ".000001Z")


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC)


def _cut(text: str, size: int) -> str:
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= size else encoded[: size - 3].decode("utf-8", "ignore") + "..."
