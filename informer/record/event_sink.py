"""Where events are written: an API server, in one API group or the other, through the official client.

Comes in: an event in API form. Goes out: a request, and the server's answer, on the thread of whoever records. The official
client is imported by whoever makes a sink of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from informer.record.event import EVENTS_V1, events_v1_form, events_v1_patch

__all__ = ["CoreV1EventSink", "EventSink", "EventsV1Sink", "sink_api_version"]

# Seconds to connect and to wait for an answer: a server that is silent must not keep all later events waiting for ever.
_TIMEOUT = (10, 30)


class EventSink(Protocol):
    """What writes events.

    One with an attribute `api_version` that is "events.k8s.io/v1" is given events of that group, which have a series; any
    other those of the core group, which have a count.

    Threads: `create` and `patch` may block; a sink of events.k8s.io is called on several threads.

    Source: client-go tools/record EventSink, tools/events EventSink.
    """

    def create(self, event: dict[str, Any], /) -> Mapping[str, Any] | None:
        """Creates an event.

        Args:
            event: in API form, the sink's to keep.

        Returns:
            The event as the server has it now; None where that is not known.

        Raises:
            ApiError, kubernetes.client.ApiException: the server's answer. One that will pass (429, 502, 503, 504, and any
                5xx with a Retry-After) is tried again, any other is not.
            TypeError, ValueError: the event cannot be written; it is not tried again.
            Exception: anything else is tried again.
        """
        ...

    def patch(self, event: dict[str, Any], body: dict[str, Any], /) -> Mapping[str, Any] | None:
        """Changes an event that was created before.

        Args:
            event: as it shall be; its namespace and name say which.
            body: the fields that are new, as a merge patch.

        Returns:
            As `create`.

        Raises:
            Exception: as `create`; 404 has the event created.
        """
        ...


class _ClientSink:
    """Calls one of the official client's API classes, which are alike."""

    api_version: str
    _api_class: str

    def __init__(self, api_client: Any = None) -> None:
        # Not with the first event: to load such a class may take longer than a program that ends waits for its events.
        from kubernetes import client

        self._api = getattr(client, self._api_class)(api_client)

    def create(self, event: dict[str, Any]) -> dict[str, Any]:
        """See `EventSink.create`."""
        namespace = _of(event, "namespace")
        return _decoded(self._api.create_namespaced_event(namespace, event, **_options()))

    def patch(self, event: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """See `EventSink.patch`."""
        name, namespace = _of(event, "name"), _of(event, "namespace")
        return _decoded(self._api.patch_namespaced_event(name, namespace, body, **_options()))


class CoreV1EventSink(_ClientSink):
    """Writes events of the core group, which kubectl shows with their counts.

    Args:
        api_client: the official client's `ApiClient`; None for its default one.

    Source: client-go kubernetes/typed/core/v1 EventSinkImpl.
    """

    api_version = "v1"
    _api_class = "CoreV1Api"


class EventsV1Sink(_ClientSink):
    """Writes events of events.k8s.io/v1; those of the core group, which a sink around this one is given, in that form.

    Args:
        api_client: the official client's `ApiClient`; None for its default one.

    Source: client-go tools/events EventSinkImpl.
    """

    api_version = EVENTS_V1
    _api_class = "EventsV1Api"

    def create(self, event: dict[str, Any]) -> dict[str, Any]:
        """See `EventSink.create`."""
        return super().create(events_v1_form(event) if "involvedObject" in event else event)

    def patch(self, event: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """See `EventSink.patch`."""
        return super().patch(event, events_v1_patch(body) if "count" in body else body)


def sink_api_version(sink: EventSink) -> str:
    """The form in which a sink takes events: "v1" or "events.k8s.io/v1"."""
    return EVENTS_V1 if getattr(sink, "api_version", None) == EVENTS_V1 else "v1"


def _of(event: Mapping[str, Any], field: str) -> str:
    value = event.get("metadata", {}).get(field)
    if not isinstance(value, str) or not value:
        raise ValueError(f"can't write an event with empty {field}")
    return value


def _options() -> dict[str, Any]:
    # The client's models refuse answers that the server may well give, such as an event without eventTime.
    return {"_preload_content": False, "_request_timeout": _TIMEOUT}


def _decoded(response: Any) -> dict[str, Any]:
    try:
        answer = json.loads(response.data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        # Whatever stands in between says so: it is worth another try.
        raise ConnectionError("the answer to an event is no JSON object")
    return answer
