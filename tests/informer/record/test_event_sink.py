"""The requests that the sinks make, at a scripted HTTP server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client
from pytest_mock import MockerFixture

from informer.record import CoreV1EventSink, EventBroadcaster, EventsV1Sink
from informer.record.event import make_event
from informer.transport.transport import Transport
from watch import ApiError
from watch.concurrency import Latch

ROOTS = {CoreV1EventSink: "/api/v1", EventsV1Sink: "/apis/events.k8s.io/v1"}
REFERENCE = {"kind": "Pod", "apiVersion": "v1", "namespace": "shop", "name": "web"}
EVENT = make_event(REFERENCE, "Normal", "R", "m", nanoseconds=10**18, component="c", host="h")
SMALL = {"metadata": {"name": "web.1", "namespace": "shop"}}

sinks = pytest.mark.parametrize("sink", ROOTS, ids=lambda sink: sink.__name__)


@sinks
def test_create_posts_the_event_to_its_namespace(serve: Callable[..., Any], sink: Any) -> None:
    """The server's answer is returned in API form."""
    server = serve(lambda request, connection: connection.answer({**SMALL, "count": 1}, 201))
    assert sink(server.client()).create(SMALL) == {**SMALL, "count": 1}
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", f"{ROOTS[sink]}/namespaces/shop/events")
    assert json.loads(request.body) == SMALL
    assert request.headers["content-type"] == "application/json"


@sinks
def test_patch_sends_the_changed_fields(serve: Callable[..., Any], sink: Any) -> None:
    """The event's name and namespace say which event to change. It is a merge patch."""
    server = serve(lambda request, connection: connection.answer({"count": 2}))
    assert sink(server.client()).patch(SMALL, {"reason": "S"}) == {"count": 2}
    (request,) = server.requests
    assert (request.method, request.target) == ("PATCH", f"{ROOTS[sink]}/namespaces/shop/events/web.1")
    assert json.loads(request.body) == {"reason": "S"}
    assert request.headers["content-type"] == "application/merge-patch+json"


def test_the_sink_of_events_k8s_io_converts_events_of_the_core_group(serve: Callable[..., Any]) -> None:
    """Both the event and a patch of its count."""
    server = serve(lambda request, connection: connection.answer({}))
    sink = EventsV1Sink(server.client())
    sink.create(EVENT)
    sink.patch(EVENT, {"count": 2, "lastTimestamp": "2026-01-01T00:00:00Z"})
    created, body = (json.loads(request.body) for request in server.requests)
    assert (created["note"], created["regarding"]) == ("m", REFERENCE)
    assert body == {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000001Z"}}


@sinks
def test_the_clients_headers_and_credentials_are_sent(serve: Callable[..., Any], sink: Any) -> None:
    """Requests carry the headers and credentials that the user configured on the client."""
    server = serve(lambda request, connection: connection.answer({}))
    api_client = server.client(api_key={"authorization": "Bearer t"})
    api_client.set_default_header("X-Team", "shop")
    sink(api_client).create(SMALL)
    (request,) = server.requests
    assert (request.headers["authorization"], request.headers["x-team"]) == ("Bearer t", "shop")


@sinks
def test_a_sink_can_be_made_with_a_mocked_client(mocker: MockerFixture, sink: Any) -> None:
    """A program's tests may mock the client, and a method of the sink."""
    made = sink(mocker.create_autospec(client.ApiClient, instance=True))
    create = mocker.patch.object(made, "create", side_effect=lambda event: event)
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(made)
        broadcaster.new_recorder("c").event(REFERENCE, "Normal", "R", "m")
    create.assert_called_once()


@sinks
def test_each_request_has_a_time_out_and_a_bound(mocker: MockerFixture, sink: Any) -> None:
    """No hanging or endless answer holds up later events. A larger event may have a larger answer."""
    transport = mocker.create_autospec(Transport, instance=True)
    mocker.patch("informer.record.event_sink.transport_for", autospec=True, return_value=transport)
    transport.send_json.return_value = SMALL
    made = sink(None)
    made.create(SMALL)
    made.patch(SMALL, {"reason": "S"})
    made.create({**SMALL, "note": "x" * 10_000, "message": "x" * 10_000})
    options = [call.kwargs for call in transport.send_json.call_args_list]
    assert all(0 < each["timeout"] <= 60 for each in options)
    assert options[2]["max_bytes"] > options[0]["max_bytes"] + 10_000


@sinks
@pytest.mark.parametrize("data", [b"[]", b"", b'"hunter2"', b"{hunter2"])
def test_an_answer_that_is_not_an_object_is_a_connection_error(
    serve: Callable[..., Any], sink: Any, data: bytes
) -> None:
    """So that it is retried. The error does not quote the answer."""
    server = serve(lambda request, connection: connection.answer(data))
    with pytest.raises(ConnectionError) as caught:
        sink(server.client()).create(EVENT)
    assert "JSON" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@sinks
def test_a_refusal_is_an_api_error(serve: Callable[..., Any], sink: Any) -> None:
    """The ApiError has the server's reason."""
    status = {"kind": "Status", "code": 409, "reason": "AlreadyExists", "message": "m"}
    server = serve(lambda request, connection: connection.answer(status, 409))
    with pytest.raises(ApiError) as caught:
        sink(server.client()).create(EVENT)
    assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")


@sinks
def test_a_broadcaster_retries_what_the_server_cannot_do_now(serve: Callable[..., Any], sink: Any) -> None:
    """After a 503 the event is tried again."""
    written = Latch()

    def answer(request: Any, connection: Any) -> None:
        if len(server.requests) == 1:
            connection.answer({}, 503)
        else:
            connection.answer({})
            written.open()

    server = serve(answer)
    with EventBroadcaster(sleep=0) as broadcaster:
        broadcaster.start_recording_to_sink(sink(server.client()))
        broadcaster.new_recorder("c").event(REFERENCE, "Normal", "R", "m")
        assert written.wait(10)
    assert len(server.requests) == 2
