"""Events recorded at a real kube-apiserver, in both API groups."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from informer.record import CoreV1EventSink, EventBroadcaster, EventsV1Sink, event_broadcaster
from tests.support.waiting import DEADLINE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

GROUPS = {"v1": CoreV1EventSink, "events.k8s.io/v1": EventsV1Sink}


class Recording:
    """A broadcaster that records events about one pod to a server."""

    def __init__(self, namespace, informers, group="v1", **options):
        self.namespace = namespace
        self.informers = informers
        self.path = namespace.path("events", group)
        (self.pod,) = namespace.create_pods("web-" + group.replace("/", "-"))
        self.pod |= {"apiVersion": "v1", "kind": "Pod"}
        self.broadcaster = EventBroadcaster(**options)
        self.sink = GROUPS[group](namespace.cluster.api_client)
        self.watcher = self.broadcaster.start_recording_to_sink(self.sink)
        self.recorder = self.broadcaster.new_recorder("my-scheduler", "host-1")

    def events(self):
        """Returns the events of the server, the oldest first."""
        items = self.namespace.cluster.get(self.path)["items"]
        return sorted(items, key=lambda item: item["metadata"]["name"])

    def wait_for(self, condition):
        self.informers.wait_until(lambda: condition(self.events()))
        return self.events()


@pytest.fixture
def patient_shutdown(monkeypatch):
    """A shutdown waits for the server's answers, however busy the machine is."""
    monkeypatch.setattr(event_broadcaster, "STOP_PATIENCE", DEADLINE)


@pytest.fixture
def recordings():
    """Makes recordings, which are shut down when the test ends."""
    made = []

    def make(*args, **options):
        made.append(Recording(*args, **options))
        return made[-1]

    yield make
    for recording in made:
        recording.broadcaster.shutdown()


def test_a_repeated_event_has_a_count(namespace, informers, recordings):
    """An event of the core group is created once, and then counted, as kubectl shows it."""
    recording = recordings(namespace, informers)
    for _ in range(5):
        recording.recorder.event(recording.pod, "Warning", "Failed", "no nodes", action="Bind")
    recording.recorder.annotated_event(recording.pod, {"a": "b"}, "Normal", "Scheduled", "assigned to node-1")
    failed, scheduled = recording.wait_for(lambda events: len(events) == 2)
    assert (failed["reason"], failed["message"], failed["type"]) == ("Failed", "no nodes", "Warning")
    assert (failed["count"], failed["action"]) == (5, "Bind")
    assert failed["involvedObject"]["uid"] == recording.pod["metadata"]["uid"]
    assert failed["source"] == {"component": "my-scheduler", "host": "host-1"}
    assert (scheduled["count"], scheduled["metadata"]["annotations"]) == (1, {"a": "b"})


@pytest.mark.usefixtures("patient_shutdown")
def test_a_repeated_event_has_a_series(namespace, informers, recordings):
    """An event of events.k8s.io becomes a series, which has the true count after a shutdown."""
    recording = recordings(namespace, informers, "events.k8s.io/v1")
    node = {"kind": "Node", "apiVersion": "v1", "name": "node-1"}
    for _ in range(5):
        recording.recorder.event(recording.pod, "Normal", "Scheduled", "to node-1", action="Bind", related=node)
    (event,) = recording.wait_for(lambda events: [e for e in events if e.get("series")])
    assert (event["reason"], event["note"], event["type"]) == ("Scheduled", "to node-1", "Normal")
    assert (event["action"], event["related"]) == ("Bind", node)
    assert (event["reportingController"], event["reportingInstance"]) == ("my-scheduler", "host-1")
    assert event["regarding"]["uid"] == recording.pod["metadata"]["uid"]
    assert event["series"]["count"] == 2
    recording.broadcaster.shutdown()
    (event,) = recording.events()
    assert event["series"]["count"] == 5
    assert event["eventTime"] < event["series"]["lastObservedTime"]


@pytest.mark.usefixtures("patient_shutdown")
def test_a_minimal_event_is_accepted(namespace):
    """An event recorded with the fewest arguments has all that the server requires, in both groups."""
    for group, field in (("v1", "message"), ("events.k8s.io/v1", "note")):
        broadcaster = EventBroadcaster()
        broadcaster.start_recording_to_sink(GROUPS[group](namespace.cluster.api_client))
        reference = {"kind": "Pod", "apiVersion": "v1", "namespace": namespace.name, "name": "Not A Name"}
        broadcaster.new_recorder("c").event(reference, "Normal", "Reason", "ä" * 2000)
        broadcaster.shutdown()
        events = namespace.cluster.get(namespace.path("events", group))["items"]
        assert any(event[field].startswith("ää") for event in events)
    assert len(events) == 2


@pytest.mark.usefixtures("patient_shutdown")
def test_a_sink_may_wrap_a_sink_of_either_group(namespace):
    """A wrapper without an `api_version` receives events of the core group."""

    class Around:
        def __init__(self, inner):
            self.create, self.patch = inner.create, inner.patch

    reference = {"kind": "Pod", "apiVersion": "v1", "namespace": namespace.name, "name": "web"}
    for group, sink in GROUPS.items():
        with EventBroadcaster() as broadcaster:
            broadcaster.start_recording_to_sink(Around(sink(namespace.cluster.api_client)))
            for _ in range(3):
                broadcaster.new_recorder(group.replace("/", "-")).event(reference, "Normal", "R", "m")
    core, series = namespace.cluster.get(namespace.path("events"))["items"]
    assert core["count"] == series["series"]["count"] == 3


def test_similar_events_are_combined(namespace, informers, recordings):
    """Of twelve similar events nine are single ones, and one stands for the other three."""
    recording = recordings(namespace, informers)
    for number in range(12):
        recording.recorder.event(recording.pod, "Warning", "Failed", f"node-{number} is full")
    recording.wait_for(lambda events: sum(event["count"] for event in events) == 12)
    events = recording.events()
    assert sorted(event["count"] for event in events) == [1] * 9 + [3]
    (combined,) = [event for event in events if event["count"] == 3]
    assert combined["message"] == "(combined from similar events): node-11 is full"


@pytest.mark.parametrize("group", GROUPS)
def test_events_in_a_terminating_namespace_are_given_up(namespace, informers, recordings, group, caplog):
    """At once and without an error in the log; events of other namespaces are written."""
    caplog.set_level(logging.DEBUG, "informer.record")
    recording = recordings(namespace, informers, group)
    namespace.cluster.delete(f"/api/v1/namespaces/{namespace.name}")
    recording.recorder.event(recording.pod, "Normal", "Late", "m")
    node = {"kind": "Node", "apiVersion": "v1", "name": namespace.name}
    recording.recorder.event(node, "Normal", "After", "m")
    elsewhere = namespace.path("events", group).replace(namespace.name, "default")
    field = "involvedObject.name" if group == "v1" else "regarding.name"
    path = f"{elsewhere}?fieldSelector={field}={namespace.name}"
    informers.wait_until(lambda: len(namespace.cluster.get(path)["items"]) == 1)
    # In events.k8s.io, another thread sends this event.
    informers.wait_until(lambda: "being terminated" in caplog.text)
    assert recording.events() == []
    assert not [each for each in caplog.records if each.levelno > logging.INFO]


@pytest.mark.parametrize("group", GROUPS)
def test_a_deleted_event_is_created_again(namespace, informers, recordings, group):
    """The next event like it creates it again, with its count. Servers delete events after an hour."""
    recording = recordings(namespace, informers, group)
    recording.recorder.event(recording.pod, "Normal", "R", "m")
    (event,) = recording.wait_for(len)
    namespace.cluster.delete(f"{recording.path}/{event['metadata']['name']}")
    recording.recorder.event(recording.pod, "Normal", "R", "m")
    (again,) = recording.wait_for(len)
    assert again["metadata"]["name"] == event["metadata"]["name"]
    assert again["metadata"]["uid"] != event["metadata"]["uid"]
    assert (again.get("count") or again["series"]["count"]) == 2


def test_events_recorded_during_an_outage_arrive_after_it(unsteady, informers, recordings, caplog):
    """Each is there once, with its count, in both groups."""
    made = [recordings(unsteady, informers, group, sleep=2) for group in GROUPS]
    unsteady.cluster.plane.kill()
    for recording in made:
        for number in range(20):
            recording.recorder.event(recording.pod, "Normal", f"Reason{number}", "m")
        recording.recorder.event(recording.pod, "Normal", "Reason0", "m")
    informers.wait_until(lambda: "retrying" in caplog.text)
    unsteady.cluster.plane.restart()
    core, series = made
    core.wait_for(lambda events: len(events) == 40)
    informers.wait_until(lambda: [e.get("series") for e in series.events()].count(None) == 39)
    assert sorted(event["count"] for event in core.events() if event.get("count")) == [1] * 19 + [2]
    assert "token" not in caplog.text.lower()


@pytest.mark.usefixtures("patient_shutdown")
def test_a_refused_event_is_logged_once(namespace, informers, caplog):
    """A 403 is logged with the server's message and is not retried."""
    plane = namespace.cluster.plane
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(CoreV1EventSink(plane.api_client(user="nobody")))
        reference = {"kind": "Pod", "apiVersion": "v1", "namespace": namespace.name, "name": "web"}
        broadcaster.new_recorder("c").event(reference, "Normal", "R", "m")
    (entry,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "cannot create resource" in entry.getMessage()
    assert plane.token("nobody") not in caplog.text


def test_shutdown_does_not_wait_for_a_frozen_server(unsteady, informers, recordings):
    """A hanging request delays a shutdown by 1 s, and is cancelled then: its thread ends while the server is frozen."""
    recording = recordings(unsteady, informers)
    with unsteady.cluster.plane.frozen():
        recording.recorder.event(recording.pod, "Normal", "R", "m")
        begun = time.monotonic()
        recording.broadcaster.shutdown()
        assert time.monotonic() - begun < 5
        informers.wait_until(lambda: not any(each.name.startswith("event-") for each in threading.enumerate()))


@pytest.mark.usefixtures("patient_shutdown")
def test_long_words_and_odd_hosts_are_accepted(namespace):
    """What the server limits is cut before it is sent, in both groups."""
    for group in GROUPS:
        with EventBroadcaster() as broadcaster:
            broadcaster.start_recording_to_sink(GROUPS[group](namespace.cluster.api_client))
            reference = {"kind": "Pod", "apiVersion": "v1", "namespace": namespace.name, "name": "web"}
            recorder = broadcaster.new_recorder("example.com/my-controller", "ä" * 128)
            recorder.event(reference, "Normal", "R" * 200, "m", action="ä" * 200)
        events = namespace.cluster.get(namespace.path("events", group))["items"]
        assert any(event["reason"].startswith("RRR") for event in events)
    assert len(events) == 2
