"""Event sinks at the embedded API server."""

from __future__ import annotations

import pytest

from informer import ListWatch, SharedInformer
from informer.record import CoreV1EventSink, EventBroadcaster, EventsV1Sink
from watch.errors import ApiError

SINKS = {"v1": CoreV1EventSink, "events.k8s.io/v1": EventsV1Sink}
TIME = "2026-01-01T00:00:00.000001Z"
REFERENCE = {"kind": "Pod", "apiVersion": "v1", "namespace": "default", "name": "web"}


def make(api_version, **metadata):
    """Returns the smallest event of a group that the server accepts."""
    common = {"metadata": {"name": "web.1", "namespace": "default"} | metadata, "type": "Normal", "reason": "R"}
    if api_version == "v1":
        return common | {"involvedObject": REFERENCE, "message": "m", "count": 1}
    return common | {
        "regarding": REFERENCE,
        "note": "m",
        "eventTime": TIME,
        "action": "A",
        "reportingController": "c",
        "reportingInstance": "i",
    }


@pytest.fixture(params=SINKS)
def api_version(request):
    return request.param


@pytest.fixture
def sink(embedded_apiserver, api_version):
    return SINKS[api_version](embedded_apiserver.api_client())


def test_an_event_is_created_and_patched(sink, api_version):
    """Each answer is the event as the server has stored it, in API form."""
    created = sink.create(make(api_version))
    assert created["metadata"]["uid"]
    assert created["metadata"]["creationTimestamp"].endswith("Z")
    patch = {"count": 2} if api_version == "v1" else {"series": {"count": 2, "lastObservedTime": TIME}}
    changed = sink.patch(make(api_version), patch)
    assert changed["metadata"]["uid"] == created["metadata"]["uid"]
    assert changed.items() >= patch.items()


def test_the_sink_of_events_k8s_io_writes_events_of_the_core_group(embedded_apiserver):
    """It converts them, and their patches."""
    sink = EventsV1Sink(embedded_apiserver.api_client())
    event = make("v1") | {"firstTimestamp": "2026-01-01T00:00:00Z", "action": "A"}
    event |= {"reportingComponent": "c", "reportingInstance": "i"}
    created = sink.create(event)
    assert (created["note"], created["regarding"]) == ("m", REFERENCE)
    # Newer official clients write the time zone as +00:00.
    assert created["eventTime"].startswith(TIME.removesuffix("Z"))
    changed = sink.patch(event, {"count": 2, "lastTimestamp": "2026-01-01T00:00:00Z", "message": "m"})
    assert changed["series"]["count"] == 2
    assert changed["series"]["lastObservedTime"].startswith(TIME.removesuffix("Z"))


def test_a_refusal_is_raised_as_api_error(sink, api_version):
    """The error has the server's status and reason."""
    with pytest.raises(ApiError) as caught:
        sink.patch(make(api_version), {"reason": "S"})
    assert caught.value.status == 404
    sink.create(make(api_version))
    with pytest.raises(ApiError) as caught:
        sink.create(make(api_version))
    assert caught.value.reason == "AlreadyExists"


@pytest.mark.parametrize("field", ["name", "namespace"])
def test_an_event_without_a_name_or_namespace_is_refused(sink, api_version, field):
    """client-go source. No request is made."""
    event = make(api_version, **{field: ""})
    with pytest.raises(ValueError, match=f"empty {field}"):
        sink.patch(event, {})
    if field == "namespace":
        with pytest.raises(ValueError, match="empty namespace"):
            sink.create(event)


@pytest.mark.parametrize("body", ['{"hunter2', "[]", ""])
def test_an_answer_that_is_not_an_object_is_a_connection_error(embedded_apiserver, sink, api_version, body):
    """A proxy may have answered with 200. The error quotes no JSON."""
    embedded_apiserver.faults.answer(200, body=body)
    with pytest.raises(ConnectionError) as caught:
        sink.create(make(api_version))
    assert "hunter2" not in str(caught.value)


def test_events_survive_a_server_in_trouble(embedded_apiserver, sink, api_version):
    """429, 503, lost answers and cut connections: each event is stored once."""
    faults = embedded_apiserver.faults
    faults.too_many_requests(retry_after=0, on="create")
    faults.service_unavailable(on="create")
    faults.answer(502, body="<html>bad gateway</html>", on="create")
    faults.drop(times=2, on="create")
    informer = SharedInformer(ListWatch.for_resource(embedded_apiserver.api_client(), "events"))
    with informer, EventBroadcaster(sleep=0) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        for number in range(5):
            broadcaster.new_recorder("c").event(REFERENCE, "Normal", f"R{number}", "m")
        assert informer.wait_until(lambda: len(informer.store) == 5, 10)
    assert sorted(event["reason"] for event in informer.store.list()) == [f"R{number}" for number in range(5)]
