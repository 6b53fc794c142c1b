"""Events recorded to sinks of the core group."""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
import threading
import time
from random import Random
from typing import Any

import pytest

from informer.record import (
    EventBroadcaster,
    EventCorrelator,
    event_broadcaster,
    get_partial_reference,
    sink_recording,
)
from tests.support.recorded import POD, record
from tests.support.waiting import DEADLINE, PROMPT, eventually
from watch import ApiError, Channel, FakeClock
from watch.concurrency import Latch

CUT = ConnectionError("cut")


def test_events_are_created_and_counted(make_sink: Any) -> None:
    """Go: TestEventf. New events are created and repeated ones patched, each with its object and its count."""
    clock = FakeClock(1000)
    sink = make_sink()
    ref = get_partial_reference(POD, "spec.containers[2]")
    ref2 = {**ref, "uid": "differentUid", "fieldPath": "spec.containers[3]"}
    steps: list[tuple[Any, str, str, str, int]] = [
        (ref, "Started", "some verbose message: 1", "create", 1),
        (POD, "Killed", "some other verbose message: 1", "create", 1),
        (ref, "Started", "some verbose message: 1", "patch", 2),
        (ref2, "Started", "some verbose message: 1", "create", 1),
        (ref, "Started", "some verbose message: 1", "patch", 3),
        (ref2, "Stopped", "some verbose message: 1", "create", 1),
        (ref2, "Stopped", "some verbose message: 1", "patch", 2),
    ]
    names = set()
    with EventBroadcaster(clock=clock) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        recorder = broadcaster.new_recorder("eventTest")
        for obj, reason, message, verb, count in steps:
            clock.step(1)
            recorder.event(obj, "Normal", reason, message)
            ((called, event, body),) = sink.taken(1)
            assert (called, event["count"]) == (verb, count)
            assert (event["metadata"]["namespace"], event["type"]) == ("baz", "Normal")
            assert event["metadata"]["name"].startswith("foo.")
            assert event["involvedObject"].get("fieldPath") == (None if obj is POD else obj["fieldPath"])
            assert (event["source"], event["reportingComponent"]) == ({"component": "eventTest"}, "eventTest")
            if verb == "patch":
                assert event["metadata"]["name"] in names
                assert body == {"count": count, "lastTimestamp": event["lastTimestamp"], "message": message}
                assert event["firstTimestamp"] < event["lastTimestamp"]
            names.add(event["metadata"]["name"])
    assert len(names) == 4


def test_events_of_an_object_without_a_namespace_go_to_default(make_sink: Any) -> None:
    """Go: TestEventfNoNamespace. The event is in the namespace "default"; its reference has no namespace."""
    sink = make_sink()
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        broadcaster.new_recorder("c").event({"kind": "Node", "apiVersion": "v1", "name": "n"}, "Normal", "R", "m")
        ((_, event, _),) = sink.taken(1)
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["involvedObject"]


def test_a_thousand_events_survive_four_failures_each(make_sink: Any) -> None:
    """Go: TestLotsOfEvents. All events reach a sink that fails four times for each of them, and a log function."""
    tries: dict[str, int] = {}
    sink = make_sink()
    lines: Channel[str] = Channel(None)

    def fail(verb: str, event: dict[str, Any]) -> Exception | None:
        tries[event["message"]] = tries.get(event["message"], 0) + 1
        return CUT if tries[event["message"]] < 5 else None

    sink.fail = fail
    with EventBroadcaster(sleep=0) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        broadcaster.start_logging(lines.put)
        recorder = broadcaster.new_recorder("eventTest")
        for number in range(1000):
            pod = {"kind": "Pod", "name": f"foo-{number}", "namespace": "baz", "uid": "bar", "apiVersion": "v"}
            recorder.event(pod, "Normal", f"Reason-{number}", str(number))
        sink.taken(5000)
        for _ in range(1000):
            lines.get(timeout=DEADLINE)
    assert len(sink.stored) == 1000
    assert set(tries.values()) == {5}
    assert broadcaster.dropped_events == 0


def test_each_recording_counts_for_itself(make_sink: Any) -> None:
    """Go: TestMultiSinkCache. A sink that is started later counts from 1, and a stopped one receives nothing more."""
    first, second = make_sink(), make_sink()
    with EventBroadcaster() as broadcaster:
        recorder = broadcaster.new_recorder("c")
        watcher = broadcaster.start_recording_to_sink(first)
        record(recorder, "R", "R")
        assert [call[0] for call in first.taken(2)] == ["create", "patch"]
        watcher.stop()
        broadcaster.start_recording_to_sink(second)
        record(recorder, "R", "R")
        assert [(call[0], call[1]["count"]) for call in second.taken(2)] == [("create", 1), ("patch", 2)]
    assert len(first.calls) == 0


def test_a_given_correlator_decides_what_is_written(make_sink: Any) -> None:
    """The broadcaster uses the correlator that it was given."""
    sink = make_sink()
    with EventBroadcaster(correlator=EventCorrelator(burst=2, qps=0)) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), "A", "B", "C")
    assert [event["reason"] for event in sink.stored.values()] == ["A", "B"]


def test_starting_a_sink_twice_is_an_error(make_sink: Any) -> None:
    """client-go source. Recording to a sink that is already recorded to raises, until that recording is stopped."""
    sink = make_sink()
    with EventBroadcaster() as broadcaster:
        watcher = broadcaster.start_recording_to_sink(sink)
        with pytest.raises(RuntimeError, match="already started"):
            broadcaster.start_recording_to_sink(sink)
        watcher.stop()
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), "R")
        assert sink.taken(1)[0][0] == "create"


@pytest.mark.parametrize("api_version", ["v1", "events.k8s.io/v1"])
def test_a_recording_whose_thread_cannot_start_can_be_started_again(
    make_sink: Any, api_version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A RuntimeError of the system reaches the caller, who may start the recording again later."""
    sink = make_sink(api_version)
    with EventBroadcaster() as broadcaster:
        with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="no thread"):
            patched.setattr(
                broadcaster, "_start_worker", lambda target, name: (_ for _ in ()).throw(RuntimeError("no thread"))
            )
            broadcaster.start_recording_to_sink(sink)
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), "R")
    assert len(sink.stored) == 1


def test_events_wait_in_order_while_the_sink_fails(make_sink: Any) -> None:
    """Events wait while the sink fails, and are written in order once it recovers."""
    clock = FakeClock(1000)
    sink = make_sink()
    sink.fail = lambda verb, event: CUT
    with EventBroadcaster(sleep=10, clock=clock, random=Random(1)) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), "A", "B", "B")
        assert sink.taken(1)[0][1]["reason"] == "A"
        assert clock.wait_for_waiters(1, DEADLINE)
        clock.step(10)
        sink.taken(1)
        assert clock.wait_for_waiters(1, DEADLINE)
        with pytest.raises(queue.Empty):
            sink.calls.get(timeout=0.02)
        sink.fail = lambda verb, event: None
        clock.step(10)
        assert [(call[0], call[1]["reason"]) for call in sink.taken(3)] == [
            ("create", "A"),
            ("create", "B"),
            ("patch", "B"),
        ]


def test_the_next_event_is_written_after_twelve_failed_tries(make_sink: Any, caplog: pytest.LogCaptureFixture) -> None:
    """client-go source. An event is given up after twelve tries, and the next one is written."""
    sink = make_sink()
    sink.fail = lambda verb, event: CUT if event["reason"] == "A" else None
    with EventBroadcaster(sleep=0) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), "A", "B")
        assert [call[1]["reason"] for call in sink.taken(13)] == ["A"] * 12 + ["B"]
    assert "event 'A' of Pod baz/foo: retry limit exceeded" in caplog.text


@pytest.mark.parametrize("api_version", ["v1", "events.k8s.io/v1"])
@pytest.mark.parametrize("end", ["shutdown", "stop"])
def test_stop_and_shutdown_end_a_wait_between_tries(
    make_sink: Any, end: str, api_version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Go: TestCancelEvent. Both end a recording in the middle of a wait, and its threads."""
    for module in (event_broadcaster, sink_recording):
        monkeypatch.setattr(module, "STOP_PATIENCE", DEADLINE)
    before = set(threading.enumerate())
    sink = make_sink(api_version)
    sink.fail = lambda verb, event: CUT
    broadcaster = EventBroadcaster(sleep=1000)
    watcher = broadcaster.start_recording_to_sink(sink)
    record(broadcaster.new_recorder("c"), "A")
    sink.taken(1)
    begun = time.monotonic()
    if end == "stop":
        watcher.stop()
        for worker in broadcaster._workers:
            assert worker.join(DEADLINE)
    broadcaster.shutdown()
    assert time.monotonic() - begun < PROMPT
    assert set(threading.enumerate()) == before
    assert list(watcher) == []


@pytest.mark.parametrize("api_version", ["v1", "events.k8s.io/v1"])
def test_shutdown_writes_the_waiting_events(make_sink: Any, api_version: str) -> None:
    """Events recorded before a shutdown are written if the sink accepts them."""
    sink = make_sink(api_version)
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        recorder = broadcaster.new_recorder("c")
        for number in range(100):
            recorder.event({"kind": "Pod", "name": f"p{number}", "namespace": "n"}, "Normal", "R", "m")
    assert len(sink.stored) == 100


@pytest.mark.parametrize("api_version", ["v1", "events.k8s.io/v1"])
def test_shutdown_does_not_wait_for_a_hanging_sink(
    make_sink: Any, api_version: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shutdown returns after its patience, and the waiting events are given up once the sink returns."""
    monkeypatch.setattr(event_broadcaster, "STOP_PATIENCE", 0.2)
    sink = make_sink(api_version)
    release = Latch()

    def hang(verb: str, event: dict[str, Any]) -> None:
        release.wait(60)

    sink.fail = hang
    broadcaster = EventBroadcaster()
    broadcaster.start_recording_to_sink(sink)
    record(broadcaster.new_recorder("c"), *[f"R{number}" for number in range(20)])
    sink.taken(1)
    begun = time.monotonic()
    broadcaster.shutdown()
    assert time.monotonic() - begun < 5
    release.open()
    for worker in broadcaster._workers:
        assert worker.join(DEADLINE)
    assert len(sink.stored) <= 8
    assert "recording was stopped" in caplog.text


def test_a_recording_started_after_shutdown_is_closed(make_sink: Any) -> None:
    """client-go source. Its watcher has no events."""
    broadcaster = EventBroadcaster()
    broadcaster.shutdown()
    watcher = broadcaster.start_recording_to_sink(make_sink())
    assert list(watcher) == []
    watcher.stop()


@pytest.mark.parametrize("api_version", ["v1", "events.k8s.io/v1"])
def test_a_hanging_sink_does_not_slow_down_recording(
    make_sink: Any, api_version: str, caplog: pytest.LogCaptureFixture
) -> None:
    """client-go source. Events beyond the queue are dropped, counted, and logged at a bounded rate."""
    sink = make_sink(api_version)
    release = Latch()

    def hang(verb: str, event: dict[str, Any]) -> None:
        release.wait(60)

    sink.fail = hang
    lines: Channel[str] = Channel(None)
    with EventBroadcaster(correlator=EventCorrelator(burst=5000)) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        broadcaster.start_logging(lines.put)
        recorder = broadcaster.new_recorder("c")
        begun = time.monotonic()
        for number in range(30):
            record(recorder, *[f"R{number}-{each}" for each in range(100)])
            for _ in range(100):
                lines.get(timeout=DEADLINE)
        assert time.monotonic() - begun < DEADLINE
        release.open()
    # The events in the queues, and one in progress per thread.
    assert 3000 - 2100 <= broadcaster.dropped_events <= 3000 - 1000
    assert "events behind" in caplog.text
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) < 30


def test_an_exception_of_the_correlator_is_logged(make_sink: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a user's function costs one event and does not end the recording."""
    sink = make_sink()

    def message(event: Any) -> str:
        raise RuntimeError("message_func failed")

    with EventBroadcaster(correlator=EventCorrelator(max_events=1, message_func=message)) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), "A")
    assert "message_func failed" in caplog.text
    assert not sink.stored


def test_sinks_of_both_groups_receive_the_same_event(make_sink: Any) -> None:
    """The event has the form of each sink's group, and the same name in both."""
    core, series = make_sink(), make_sink("events.k8s.io/v1")
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(core)
        broadcaster.start_recording_to_sink(series)
        broadcaster.new_recorder("c", "h").event(POD, "Normal", "R", "m", action="Act")
    ((name, old),), ((other_name, new),) = core.stored.items(), series.stored.items()
    assert name == other_name
    assert (old["involvedObject"], old["message"], old["count"]) == (new["regarding"], new["note"], 1)
    assert (old["action"], old["reportingComponent"]) == (new["action"], new["reportingController"]) == ("Act", "c")


def test_a_retry_that_finds_the_event_already_created_succeeds(make_sink: Any) -> None:
    """When the answer to a create was lost, the retry gets AlreadyExists, which is not an error."""
    sink = make_sink()
    answers = iter([CUT, None])

    def lose(verb: str, event: dict[str, Any]) -> Exception | None:
        if (error := next(answers, None)) is not None:
            sink.stored[event["metadata"]["name"]] = event
        return error

    sink.fail = lose
    with EventBroadcaster(sleep=0) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), "R", "R")
        assert [call[0] for call in sink.taken(3)] == ["create", "create", "patch"]
    ((_, event),) = sink.stored.items()
    assert event["count"] == 2


def test_a_repeat_of_a_refused_event_is_created(make_sink: Any) -> None:
    """The repeat's patch gets a 404, so that the event is created, with its count."""
    sink = make_sink()
    refusals = iter([ApiError(403, "Forbidden", "not yet")])
    sink.fail = lambda verb, event: next(refusals, None)
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), "R", "R")
        assert [call[0] for call in sink.taken(3)] == ["create", "patch", "create"]
    assert [event["count"] for event in sink.stored.values()] == [2]


@pytest.mark.parametrize("sleep", [-1, float("nan")])
def test_an_invalid_sleep_is_refused(sleep: float) -> None:
    """The constructor raises ValueError."""
    with pytest.raises(ValueError, match="sleep"):
        EventBroadcaster(sleep=sleep)


def test_events_are_written_when_the_program_exits() -> None:
    """A program that ends right after recording has written its events, to sinks of both groups."""
    script = f"""
import sys
from informer.record import EventBroadcaster
class Sink:
    def __init__(self, api_version):
        self.api_version = api_version
    def create(self, event):
        sys.stdout.write("created " + event["apiVersion"] + "\\n")
    patch = None
broadcaster = EventBroadcaster()
for each in ("v1", "events.k8s.io/v1"):
    broadcaster.start_recording_to_sink(Sink(each))
broadcaster.new_recorder("c").event({POD!r}, "Normal", "Last", "m")
assert not any(name.partition(".")[0] in ("kubernetes", "requests", "yaml") for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=50, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["created events.k8s.io/v1", "created v1"]


def test_events_beyond_the_rate_limit_are_counted_and_logged(make_sink: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Of forty reasons about one object 25 are written. The others are counted, and logged at a bounded rate (k/k#136061)."""
    sink = make_sink()
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        record(broadcaster.new_recorder("c"), *[f"R{number}" for number in range(40)])
    assert len(sink.stored) == 25
    assert broadcaster.dropped_events == 15
    lines = [each for each in caplog.messages if each.startswith("dropped event")]
    assert 1 <= len(lines) <= 5
    assert lines[0].startswith(
        "dropped event 'R25' of Pod baz/foo: its source exceeds the rate limit of events about one object"
    )


def test_skipped_repeats_of_an_event_are_counted_too(make_sink: Any) -> None:
    """Every event that is not written at once is counted; the next one that is written has the whole count."""
    sink = make_sink()
    clock = FakeClock(1000)
    with EventBroadcaster(clock=clock, correlator=EventCorrelator(burst=2, qps=1, clock=clock)) as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        recorder = broadcaster.new_recorder("c")
        record(recorder, *["Same"] * 5)
        sink.taken(2)
        assert eventually(lambda: broadcaster.dropped_events == 3)
        clock.step(1)
        record(recorder, "Same")
        sink.taken(1)
    assert [event["count"] for event in sink.stored.values()] == [6]
