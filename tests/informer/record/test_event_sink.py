"""The requests that the sinks make through the official client, whose API methods are mocked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client
from pytest_mock import MockerFixture

from informer.record import CoreV1EventSink, EventBroadcaster, EventsV1Sink
from informer.record.event import make_event
from watch.concurrency import Latch

SINKS = {"CoreV1Api": CoreV1EventSink, "EventsV1Api": EventsV1Sink}
REFERENCE = {"kind": "Pod", "apiVersion": "v1", "namespace": "shop", "name": "web"}
EVENT = make_event(REFERENCE, "Normal", "R", "m", nanoseconds=10**18, component="c", host="h")
OPTIONS = {"_preload_content": False, "_request_timeout": (10, 30)}


class Response:
    """An answer of the official client that is not decoded yet."""

    def __init__(self, body: Any) -> None:
        self.data = json.dumps(body).encode()


class MockedApi:
    """The two methods of an API class of the official client that a sink calls, with their real signatures."""

    def __init__(self, mocker: MockerFixture, name: str) -> None:
        # Only these methods: an autospec of all of CoreV1Api takes a second.
        self.create = mocker.patch.object(getattr(client, name), "create_namespaced_event", autospec=True)
        self.patch = mocker.patch.object(getattr(client, name), "patch_namespaced_event", autospec=True)
        self.create.side_effect = lambda api, namespace, body, **options: Response(body)
        self.sink = SINKS[name](mocker.create_autospec(client.ApiClient, instance=True))


@pytest.fixture(params=SINKS)
def api(request: pytest.FixtureRequest, mocker: MockerFixture) -> MockedApi:
    """A mocked API of each group, and the sink that calls it."""
    return MockedApi(mocker, request.param)


def test_create_posts_the_event_to_its_namespace(api: MockedApi, mocker: MockerFixture) -> None:
    """The server's answer is returned in API form."""
    event = {"metadata": {"name": "web.1", "namespace": "shop"}}
    assert api.sink.create(event) == event
    api.create.assert_called_once_with(mocker.ANY, "shop", event, **OPTIONS)


def test_patch_sends_the_changed_fields(api: MockedApi, mocker: MockerFixture) -> None:
    """The event's name and namespace say which event to change."""
    api.patch.return_value = Response({"count": 2})
    assert api.sink.patch({"metadata": {"name": "web.1", "namespace": "shop"}}, {"reason": "S"}) == {"count": 2}
    api.patch.assert_called_once_with(mocker.ANY, "web.1", "shop", {"reason": "S"}, **OPTIONS)


def test_the_sink_of_events_k8s_io_converts_events_of_the_core_group(mocker: MockerFixture) -> None:
    """Both the event and a patch of its count."""
    api = MockedApi(mocker, "EventsV1Api")
    api.patch.return_value = Response({})
    created = api.sink.create(EVENT)
    assert (created["note"], created["regarding"]) == ("m", REFERENCE)
    api.sink.patch(EVENT, {"count": 2, "lastTimestamp": "2026-01-01T00:00:00Z"})
    (body,) = api.patch.call_args.args[3:]
    assert body == {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000001Z"}}


@pytest.mark.parametrize("data", [b"<html>hunter2</html>", b"[]", b""])
def test_an_answer_that_is_not_an_object_is_a_connection_error(api: MockedApi, data: bytes) -> None:
    """So that it is retried. The error does not quote the answer."""
    response = Response(None)
    response.data = data
    api.create.side_effect = [response]
    with pytest.raises(ConnectionError, match="not a JSON object") as caught:
        api.sink.create(EVENT)
    assert "hunter2" not in str(caught.value)


def test_a_broadcaster_retries_what_the_official_client_raises(api: MockedApi) -> None:
    """A 503, raised as ApiException, is tried again."""
    written = Latch()

    def create(*args: Any, **options: Any) -> Response:
        if api.create.call_count == 1:
            raise client.ApiException(status=503)
        written.open()
        return Response({})

    api.create.side_effect = create
    with EventBroadcaster(sleep=0) as broadcaster:
        broadcaster.start_recording_to_sink(api.sink)
        broadcaster.new_recorder("c").event(REFERENCE, "Normal", "R", "m")
        assert written.wait(10)
    assert api.create.call_count == 2
