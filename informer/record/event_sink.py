"""Where events are written: an API server, in one API group or the other, through the official client.

Comes in: an event in API form. Goes out: a request, and the server's answer, on the thread of whoever records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from informer.record.event_form import EVENTS_V1, events_v1_form, events_v1_patch

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
            ApiError, kubernetes.client.ApiException: the server's refusal. One that asks to come back later (429 and 5xx
                with a Retry-After) is tried again, any other is not.
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
    """Calls one of the official client's API classes, which are alike; that client is imported when it is first used."""

    api_version: str
    _api_class: str

    def __init__(self, api_client: Any = None) -> None:
        self._api_client = api_client
        self._api: Any = None

    def create(self, event: dict[str, Any]) -> dict[str, Any]:
        """See `EventSink.create`."""
        namespace = _of(event, "namespace")
        return _decoded(self._made().create_namespaced_event(namespace, event, **_options()))

    def patch(self, event: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """See `EventSink.patch`."""
        name, namespace = _of(event, "name"), _of(event, "namespace")
        return _decoded(self._made().patch_namespaced_event(name, namespace, body, **_options()))

    def _made(self) -> Any:
        # Two threads that both make it make the same.
        if self._api is None:
            from kubernetes import client

            self._api = getattr(client, self._api_class)(self._api_client)
        return self._api


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
