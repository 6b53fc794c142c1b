"""Events recorded to sinks of events.k8s.io."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any

import pytest

from informer.rate_limited_log import rate_limited
from informer.record import EventBroadcaster, EventRecorder, RecordedEvent
from informer.record.delivery import Delivery, Shutdown
from informer.record.event import make_event
from informer.record.event_series import series_patch
from informer.record.sink_recording import SeriesRecording
from watch import FakeClock
from watch.clock import SYSTEM_CLOCK
from watch.concurrency import Latch, Signal

GROUP = "events.k8s.io/v1"
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod1", "namespace": "ns1"}}
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}}
EVENT = {"metadata": {"name": "test", "namespace": "default"}}
SERIES: dict[str, Any] = {**EVENT, "series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}}


def record(recorder: EventRecorder, *reasons: str) -> None:
    for reason in reasons:
        recorder.event(POD, "Normal", reason, "note")


@pytest.mark.parametrize(
    ("events", "stored"),
    [
        pytest.param([EVENT], EVENT, id="one"),
        pytest.param([EVENT, SERIES], SERIES, id="then-its-series"),
        pytest.param([SERIES, EVENT], SERIES, id="series-first"),
        pytest.param([SERIES], SERIES, id="series-alone"),
    ],
)
def test_an_event_and_its_series_become_one_event(
    make_sink: Any, events: list[dict[str, Any]], stored: dict[str, Any]
) -> None:
    """Go: TestRecordEventToSink. In either order of writing there is one event, with the series."""
    sink = make_sink(GROUP)
    delivery = Delivery(sink, lambda tries: 0.0, SYSTEM_CLOCK, Shutdown(), rate_limited(logging.getLogger("tests")))
    for event in events:
        delivery.deliver(event, series_patch(event))
    (found,) = sink.stored.values()
    assert found.get("series") == stored.get("series")


def test_a_series_whose_event_is_created_meanwhile_is_retried(make_sink: Any) -> None:
    """client-go source. Where the patch finds no event and the creation finds one, it is tried again."""
    sink = make_sink(GROUP)
    delivery = Delivery(sink, lambda tries: 0.0, SYSTEM_CLOCK, Shutdown(), rate_limited(logging.getLogger("tests")))

    def race(verb: str, event: dict[str, Any]) -> None:
        if verb == "create":
            sink.stored.setdefault("test", dict(EVENT))

    sink.fail = race
    delivery.deliver(SERIES, series_patch(SERIES))
    assert [call[0] for call in sink.taken(3)] == ["patch", "create", "patch"]
    assert sink.stored["test"]["series"]["count"] == 2


def test_repeats_make_a_series(make_sink: Any) -> None:
    """Go: TestEventSeriesf. A repeated event is patched to a series of two; one with another action is created."""
    sink = make_sink(GROUP)
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        recorder = broadcaster.new_recorder("c1", "i1")
        for action in ("Bind", "Bind", "Other"):
            recorder.event(POD, "Normal", "Scheduled", "note", action=action, related=NODE)
            ((verb, event, body),) = sink.taken(1)
            assert (verb, event["action"]) == ("patch" if body else "create", action)
            if body:
                assert body == {"series": event["series"]}
                assert event["series"]["count"] == 2
                assert event["eventTime"] < event["series"]["lastObservedTime"]
    assert [bool(event.get("series")) for event in sink.stored.values()] == [True, False]


def test_two_events_in_a_row_become_one_series(make_sink: Any) -> None:
    """Go: TestEventSeriesWithEventSinkImplRace. The second is not written while the first is in progress."""
    sink = make_sink(GROUP)
    first = Latch()
    sink.fail = lambda verb, event: first.wait(10) and None
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), "R", "R")
        sink.taken(1)
        with pytest.raises(queue.Empty):
            sink.calls.get(timeout=0.02)
        first.open()
        assert sink.taken(1)[0][0] == "patch"
    (event,) = sink.stored.values()
    assert event["series"]["count"] == 2


def test_at_most_eight_threads_write(make_sink: Any) -> None:
    """client-go source. Sender threads are started when events wait, eight at most."""
    before = threading.active_count()
    sink = make_sink(GROUP)
    release = Latch()
    sink.fail = lambda verb, event: release.wait(10) and None
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        assert threading.active_count() == before + 3  # the broadcaster's, the recording's and that of its timers
        record(broadcaster.new_recorder("c"), *[f"R{number}" for number in range(10)])
        sink.taken(8)
        with pytest.raises(queue.Empty):
            sink.calls.get(timeout=0.02)
        assert threading.active_count() == before + 11
        release.open()
        sink.taken(2)
    assert len(sink.stored) == 10


def test_a_series_is_refreshed_and_ends(make_sink: Any) -> None:
    """client-go source. A series that goes on is written every half hour, and one without events for six minutes ends."""
    clock = FakeClock(1000)
    sink = make_sink(GROUP)
    with EventBroadcaster(clock=clock) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        recorder = broadcaster.new_recorder("c")
        record(recorder, "R", "R")
        sink.taken(2)
        for number in range(5):
            clock.step(350)
            record(recorder, "R", f"other-{number}")  # the creation shows that R was counted
            assert sink.taken(1)[0][0] == "create"
        clock.step(50)
        ((verb, event, body),) = sink.taken(1)
        assert (verb, body["series"]["count"]) == ("patch", 7)
        clock.step(720)
        ((verb, event, body),) = sink.taken(1)
        assert (verb, body["series"]["count"]) == ("patch", 7)
        record(recorder, "R")
        ((verb, again, body),) = sink.taken(1)
        assert verb == "create"
        assert again["metadata"]["name"] != event["metadata"]["name"]


def test_a_failed_refresh_is_repeated_later(make_sink: Any) -> None:
    """Go: TestRefreshExistingEventSeries. A series whose refresh failed stays, and is written at the next refresh."""
    clock = FakeClock(1000)
    sink = make_sink(GROUP)
    with EventBroadcaster(clock=clock) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        recorder = broadcaster.new_recorder("c")
        record(recorder, "R", "R")
        sink.taken(2)
        failures = iter([ConnectionError("cut")])
        sink.fail = lambda verb, event: next(failures, None) if verb == "patch" else None
        for number in range(5):
            clock.step(350)
            record(recorder, "R", f"other-{number}")
            sink.taken(1)
        clock.step(50)
        assert sink.taken(1)[0][0] == "patch"
        for number, seconds in enumerate((0, 350)):
            clock.step(seconds)
            record(recorder, "R", f"then-{number}")
            assert sink.taken(1)[0][0] == "create"
        clock.step(10)
        ((verb, _, body),) = sink.taken(1)
        assert (verb, body["series"]["count"]) == ("patch", 9)


def test_shutdown_writes_the_true_count(make_sink: Any) -> None:
    """Events that were only counted are written at a shutdown."""
    sink = make_sink(GROUP)
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), *["R"] * 50)
    (event,) = sink.stored.values()
    assert event["series"]["count"] == 50
    assert len(sink.calls) == 3


def test_events_are_written_without_sender_threads(make_sink: Any) -> None:
    """Where no thread can be started, as at interpreter shutdown, the recording's own thread writes the events."""
    sink = make_sink(GROUP)

    def start(target: Any, name: str) -> None:
        if name == "event-sender":
            raise RuntimeError("can't create new thread at interpreter shutdown")

    delivery = Delivery(sink, lambda tries: 0.0, SYSTEM_CLOCK, Shutdown(), rate_limited(logging.getLogger("tests")))
    recording = SeriesRecording(delivery, SYSTEM_CLOCK, Signal(), start, lambda: None)
    reference = {"kind": "Pod", "name": "p"}
    event = make_event(reference, "Normal", "R", "m", nanoseconds=1, component="c", host="")
    for _ in range(3):
        recording.record(RecordedEvent(event, 1))
    recording.close()
    assert [(verb, body and body["series"]["count"]) for verb, _, body in sink.taken(3)] == [
        ("create", None),
        ("patch", 2),
        ("patch", 3),
    ]


def test_an_event_that_an_idle_sender_cannot_take_gets_a_new_sender(make_sink: Any) -> None:
    """Of two events at once an idle sender takes one; the other gets a sender of its own."""
    started: list[str] = []
    delivery = Delivery(
        make_sink(GROUP), lambda tries: 0.0, SYSTEM_CLOCK, Shutdown(), rate_limited(logging.getLogger("tests"))
    )
    recording = SeriesRecording(
        delivery, SYSTEM_CLOCK, Signal(), lambda target, name: started.append(name), lambda: None
    )
    recording._idle = 1  # as if one sender were idle
    for number in range(3):
        event = make_event({"name": f"p{number}"}, "Normal", "R", "m", nanoseconds=1, component="c", host="")
        recording.record(RecordedEvent(event, 1))
    assert started == ["event-series", "event-sender", "event-sender"]


@pytest.mark.parametrize("seconds", [pytest.param(361, id="finished"), pytest.param(1801, id="refreshed")])
def test_a_series_is_written_in_order(make_sink: Any, seconds: float) -> None:
    """Where a sink hangs for longer than a series lasts, the last count is written last."""
    sink = make_sink(GROUP)
    clock = FakeClock()
    first = Latch()
    sink.fail = lambda verb, event: first.wait(10) and None
    with EventBroadcaster(clock=clock) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), "R", "R", "R", "R", "R", "last")
        # The recording takes events in order: once "last" is written, all five before it are counted.
        assert {event["reason"] for _, event, _ in sink.taken(2)} == {"R", "last"}
        assert clock.wait_for_waiters(1, 10)
        clock.step(seconds)
        with pytest.raises(queue.Empty):
            sink.calls.get(timeout=0.05)
        first.open()
        counts = [body["series"]["count"] for _, _, body in sink.taken(2)]
    assert counts == [2, 5]
    assert sorted(event.get("series", {}).get("count", 1) for event in sink.stored.values()) == [1, 5]
