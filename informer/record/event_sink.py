"""Sinks: they write events to an API server, through the official client."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any, Protocol

from informer.api_paths import dns_label, path_segment
from informer.arguments import check_function
from informer.record.event import EVENTS_V1, events_v1_form, events_v1_patch

__all__ = ["CoreV1EventSink", "EventSink", "EventsV1Sink", "check_sink", "sink_api_version"]

# Seconds to connect, and to wait for the answer: all later events wait while a server is silent.
_TIMEOUT = (10, 30)


class EventSink(Protocol):
    """Writes events for an `EventBroadcaster`. `CoreV1EventSink` and `EventsV1Sink` write them to an API server.

    A sink receives events of the core group (v1), which have a count. A sink with an attribute `api_version` of
    "events.k8s.io/v1" receives events of that group, which have a series.

    Threads: `create` and `patch` may block. One thread calls a sink of the core group; several threads call a sink of
    events.k8s.io at once.

    Source: client-go tools/record EventSink, tools/events EventSink.
    """

    def create(self, event: dict[str, Any], /) -> Mapping[str, Any] | None:
        """Creates an event.

        Args:
            event: the event in API form. The sink may keep or change it.

        Returns:
            The event as the server has stored it; None if that is not known.

        Raises:
            ApiError, kubernetes.client.ApiException: the server refused. 429, 502, 503, 504, and any 5xx with a Retry-After
                are retried; other statuses are not.
            TypeError, ValueError: the event cannot be written. It is not retried.
            Exception: anything else is retried.
        """
        ...

    def patch(self, event: dict[str, Any], body: dict[str, Any], /) -> Mapping[str, Any] | None:
        """Changes an event that was created before.

        Args:
            event: the event in its new form. Its namespace and name say which one to change.
            body: a merge patch with the changed fields.

        Returns:
            The event as the server has stored it; None if that is not known.

        Raises:
            Exception: as of `create`. After a 404 the broadcaster calls `create`.
        """
        ...


class _ClientSink:
    """Calls `create_namespaced_event` and `patch_namespaced_event` of one of the official client's API classes."""

    api_version: str
    _api_class: str

    def __init__(self, api_client: Any = None) -> None:
        # Imported here, not with the first event: that may take longer than a program that ends waits for its events.
        from kubernetes import client

        if inspect.iscoroutinefunction(getattr(getattr(api_client, "configuration", None), "auth_settings", None)):
            raise TypeError(
                f"{type(self).__name__} needs an ApiClient of the package kubernetes: it does not await requests of "
                "kubernetes_asyncio"
            )
        self._api = getattr(client, self._api_class)(api_client)

    def create(self, event: dict[str, Any]) -> dict[str, Any]:
        """Creates an event, as `EventSink.create` describes."""
        namespace = _metadata_field(event, "namespace")
        return _decode(self._api.create_namespaced_event(namespace, event, **_options()))

    def patch(self, event: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """Patches an event, as `EventSink.patch` describes."""
        name, namespace = _metadata_field(event, "name"), _metadata_field(event, "namespace")
        return _decode(self._api.patch_namespaced_event(name, namespace, body, **_options()))


class CoreV1EventSink(_ClientSink):
    """Writes events of the core group (v1) to an API server. `kubectl get events` shows them with their counts.

    Args:
        api_client: an `ApiClient` of the official client; None for the official client's default.

    Threads: both methods may be called from any thread. They block until the server answers, or the request times out after
    10 s to connect or 30 s without an answer.

    Source: client-go kubernetes/typed/core/v1 EventSinkImpl.
    """

    api_version = "v1"
    _api_class = "CoreV1Api"


class EventsV1Sink(_ClientSink):
    """Writes events of events.k8s.io/v1 to an API server.

    It also accepts events of the core group, and converts them. A broadcaster sends those if another sink without an
    `api_version` wraps this one.

    Args:
        api_client: an `ApiClient` of the official client; None for the official client's default.

    Threads: both methods may be called from any thread. They block until the server answers, or the request times out after
    10 s to connect or 30 s without an answer.

    Source: client-go tools/events EventSinkImpl.
    """

    api_version = EVENTS_V1
    _api_class = "EventsV1Api"

    def create(self, event: dict[str, Any]) -> dict[str, Any]:
        """Creates an event of either group, as `EventSink.create` describes."""
        return super().create(events_v1_form(event) if "involvedObject" in event else event)

    def patch(self, event: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """Patches an event of either group, as `EventSink.patch` describes."""
        return super().patch(event, events_v1_patch(body) if "count" in body else body)


def check_sink(sink: Any) -> None:
    """Raises a TypeError if a sink lacks `create`, or if `create` or `patch` cannot be called as `EventSink` says."""
    for name, count in (("create", 1), ("patch", 2)):
        method = getattr(sink, name, None)
        # A sink that never patches may lack that method.
        if method is None and name == "patch":
            return
        if isinstance(sink, type) or not callable(method):
            raise TypeError(
                f"a sink is an object with the methods create(event) and patch(event, body), such as CoreV1EventSink(), not "
                f"{f'the class {sink.__name__}' if isinstance(sink, type) else f'a {type(sink).__name__}'}"
            )
        check_function(f"the sink's {name}", method, count)


def sink_api_version(sink: EventSink) -> str:
    """Returns the group and version of the events that a sink receives: "v1" or "events.k8s.io/v1"."""
    # Not part of the protocol: users' sinks need nothing but `create` and `patch`.
    return EVENTS_V1 if getattr(sink, "api_version", None) == EVENTS_V1 else "v1"


def _metadata_field(event: Mapping[str, Any], field: str) -> str:
    value = event.get("metadata", {}).get(field)
    if not isinstance(value, str) or not value:
        raise ValueError(f"can't write an event with empty {field}")
    # The name begins with that of the object, which a tenant chose.
    return dns_label(field, value) if field == "namespace" else path_segment(field, value)


def _options() -> dict[str, Any]:
    # Not decoded by the official client: its models reject answers that servers do give, such as an event without eventTime.
    return {"_preload_content": False, "_request_timeout": _TIMEOUT}


def _decode(response: Any) -> dict[str, Any]:
    try:
        answer = json.loads(response.data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        # A ConnectionError, so that it is retried: a proxy answered, not the API server.
        raise ConnectionError(
            "failed to write an event: the server's answer is not a JSON object (is a proxy or login page in front?)"
        )
    return answer
