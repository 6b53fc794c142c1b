"""Sinks: they write events to an API server, over the informers' connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from informer.api_paths import resource_path
from informer.arguments import check_function
from informer.record.event import EVENTS_V1, events_v1_form, events_v1_patch
from informer.transport.transport import MAX_SMALL_BODY, transport_for
from watch.errors import ApiError
from watch.printable import printable

__all__ = ["CoreV1EventSink", "EventSink", "EventsV1Sink", "check_sink", "sink_api_version"]

# Seconds until an answer begins, and again until it ends: all later events wait while a server is silent.
_TIMEOUT = 30.0
# The server answers with the event as it has stored it: with managed fields, and with up to six bytes for each "<".
_ANSWER_FACTOR = 8


class EventSink(Protocol):
    """Writes events for an `EventBroadcaster`. `CoreV1EventSink` and `EventsV1Sink` write them to an API server.

    A sink receives events of the core group (v1), which have a count. A sink with an attribute `api_version` of
    "events.k8s.io/v1" receives events of that group, which have a series.

    Threads: `create` and `patch` may block. One thread calls a sink of the core group; several threads call a sink of
    events.k8s.io at once. Each call is made within a `RequestScope`, which is cancelled when the recording has to end.

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
            TypeError, ValueError, NotLeadingError: the event cannot be written. It is not retried.
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
    """Sends events to the path of one API group."""

    api_version: str

    def __init__(self, api_client: Any = None) -> None:
        self._api_client = api_client

    def create(self, event: dict[str, Any]) -> dict[str, Any]:
        """Creates an event, as `EventSink.create` describes."""
        return self._send("POST", self._path(event), event, event)

    def patch(self, event: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """Patches an event, as `EventSink.patch` describes."""
        path = self._path(event, _field(event, "name"))
        return self._send("PATCH", path, body, event, content_type="application/merge-patch+json")

    def _path(self, event: Mapping[str, Any], name: str = "") -> str:
        group, _, version = self.api_version.rpartition("/")
        return resource_path(group, version, "events", _field(event, "namespace"), name)

    def _send(self, method: str, path: str, body: Any, event: Any, **options: Any) -> dict[str, Any]:
        max_bytes = MAX_SMALL_BODY + _ANSWER_FACTOR * len(msgspec.json.encode(event))
        # Looked up for each request: a forked child has another transport.
        transport = transport_for(self._api_client)
        try:
            answer = transport.send_json(method, path, body, timeout=_TIMEOUT, max_bytes=max_bytes, **options)
        except ApiError as error:
            if not 200 <= error.status < 300:
                raise
            # A proxy answered, not the API server.
            raise ConnectionError(f"failed to write an event: {printable(error.message, 1024)}") from None
        if not isinstance(answer, dict):
            raise ConnectionError(
                "failed to write an event: the server's answer is not a JSON object (is a proxy or login page in front?)"
            )
        return answer


class CoreV1EventSink(_ClientSink):
    """Writes events of the core group (v1) to an API server. `kubectl get events` shows them with their counts.

    Args:
        api_client: an `ApiClient` of the official client, whose configuration and credentials are used. Requests use the
            informers' own connections, and their bounds: redirects are not followed, and an answer that is much longer than
            the event is not read. None connects as kubectl does (see `load_client`).

    Threads: both methods may be called from any thread. They block until the server has answered, for at most 30 s until its
    answer begins and 30 s until it ends. Cancelling the `RequestScope` of the thread ends them.

    Source: client-go kubernetes/typed/core/v1 EventSinkImpl.
    """

    api_version = "v1"


class EventsV1Sink(_ClientSink):
    """Writes events of events.k8s.io/v1 to an API server.

    It also accepts events of the core group, and converts them. A broadcaster sends those if another sink without an
    `api_version` wraps this one.

    Args:
        api_client: as of `CoreV1EventSink`, as are the time-outs and bounds.

    Threads: both methods may be called from any thread. They block until the server has answered.

    Source: client-go tools/events EventSinkImpl.
    """

    api_version = EVENTS_V1

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


def _field(event: Mapping[str, Any], field: str) -> str:
    value = event.get("metadata", {}).get(field)
    if not isinstance(value, str) or not value:
        raise ValueError(f"can't write an event with empty {field}")
    return value
