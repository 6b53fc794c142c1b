"""Events recorded, broadcast, logged and handled."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from types import FrameType
from typing import Any

import pytest
from kubernetes import client

from informer import Object
from informer.record import EventBroadcaster, EventRecorder, event_broadcaster
from watch import Channel, ChannelClosedError, FakeClock
from watch.concurrency import Latch, Worker

DEADLINE = 10.0
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "foo", "namespace": "baz", "uid": "bar"},
    "spec": {"secret": "hunter2"},
}


@pytest.fixture
def broadcaster() -> Iterator[EventBroadcaster]:
    """A broadcaster that the test need not shut down."""
    with EventBroadcaster() as made:
        yield made


def record(recorder: EventRecorder, *reasons: str) -> None:
    for reason in reasons:
        recorder.event(POD, "Normal", reason, "message")


@pytest.mark.parametrize(
    "obj", [POD, Object.from_dict(POD), client.V1Pod(metadata=client.V1ObjectMeta(name="foo", namespace="baz", uid="bar"))],
    ids=["dict", "object", "model"],
)  # fmt: skip
def test_an_event_reaches_every_watcher(broadcaster: EventBroadcaster, obj: Any) -> None:
    """Go: TestEventf. What is recorded is logged and handled, with its object, source, reason and message."""
    events: Channel[dict[str, Any]] = Channel(None)
    lines: Channel[str] = Channel(None)
    broadcaster.start_event_watcher(events.put)
    broadcaster.start_logging(lines.put)
    before = time.time_ns()
    broadcaster.new_recorder("eventTest", "host-1").event(obj, "Normal", "Started", "some verbose message: 1")
    event = events.get(timeout=DEADLINE)
    name, _, moment = event["metadata"]["name"].partition(".")
    assert (name, event["metadata"]["namespace"]) == ("foo", "baz")
    assert before <= int(moment, 16) <= time.time_ns()
    assert event["involvedObject"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": "baz",
        "name": "foo",
        "uid": "bar",
    }
    assert event["source"] == {"component": "eventTest", "host": "host-1"}
    assert (event["reportingComponent"], event["reportingInstance"]) == ("eventTest", "host-1")
    assert (event["type"], event["reason"], event["message"]) == ("Normal", "Started", "some verbose message: 1")
    line = lines.get(timeout=DEADLINE)
    assert line.startswith('Event(v1.ObjectReference{Kind:"Pod", Namespace:"baz", Name:"foo", UID:"bar", ')
    assert line.endswith("): type: 'Normal' reason: 'Started' some verbose message: 1")
    assert "hunter2" not in str(event) + line


@pytest.mark.parametrize(("namespace", "key"), [("baz", "baz/foo"), ("", "foo")], ids=["namespaced", "cluster"])
def test_a_structured_log(broadcaster: EventBroadcaster, namespace: str, key: str) -> None:
    """Go: TestEventf. A structured log has a constant message, and the event in its fields."""
    logged: Channel[tuple[str, dict[str, str]]] = Channel(None)
    broadcaster.start_structured_logging(lambda text, /, **fields: logged.put((text, fields)))
    pod = {"kind": "Pod", "apiVersion": "v1", "namespace": namespace, "name": "foo", "fieldPath": "spec.containers[2]"}
    broadcaster.new_recorder("eventTest").event(pod, "Normal", "Started", "some verbose message: 1")
    assert logged.get(timeout=DEADLINE) == (
        "Event occurred",
        {
            "object": key,
            "fieldPath": "spec.containers[2]",
            "kind": "Pod",
            "apiVersion": "v1",
            "type": "Normal",
            "reason": "Started",
            "message": "some verbose message: 1",
        },
    )


def test_a_reference_and_what_else_may_be_said(broadcaster: EventBroadcaster) -> None:
    """Go: TestEventf. An event may be about a reference, and have annotations, an action and a related object."""
    events: Channel[dict[str, Any]] = Channel(None)
    broadcaster.start_event_watcher(events.put)
    recorder = broadcaster.new_recorder("c")
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "foo", "fieldPath": "spec.containers[2]"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}
    recorder.annotated_event(reference, {"a": "b"}, "Warning", "R", "%d", action="Bind", related=node)
    event = events.get(timeout=DEADLINE)
    assert event["involvedObject"] == reference
    assert event["metadata"]["namespace"] == "default"
    assert event["metadata"]["annotations"] == {"a": "b"}
    assert (event["type"], event["message"], event["action"]) == ("Warning", "%d", "Bind")
    assert event["related"] == {"apiVersion": "v1", "kind": "Node", "name": "node-1"}


def test_events_keep_their_order_and_names_apart(broadcaster: EventBroadcaster) -> None:
    """Events come in the order in which they were recorded, and no two have the same name."""
    events: Channel[dict[str, Any]] = Channel(None)
    broadcaster.start_event_watcher(events.put)
    reasons = [f"R{number}" for number in range(500)]
    record(broadcaster.new_recorder("c"), *reasons)
    broadcaster.shutdown()
    got = events.get_batch()
    assert [event["reason"] for event in got] == reasons
    assert len({event["metadata"]["name"] for event in got}) == 500


def test_the_clock_gives_the_time() -> None:
    """Events have the time of the broadcaster's clock, and names of their own even while it stands still."""
    clock = FakeClock(1000.0)
    events: Channel[dict[str, Any]] = Channel(None)
    with EventBroadcaster(clock=clock) as broadcaster:
        broadcaster.start_event_watcher(events.put)
        recorder = broadcaster.new_recorder("c")
        record(recorder, "A", "B")
        clock.step(3600)
        record(recorder, "C")
    first, second, third = events.get_batch()
    assert first["metadata"]["name"] != second["metadata"]["name"]
    times = [datetime.fromisoformat(event["firstTimestamp"].replace("Z", "+00:00")) for event in (first, third)]
    assert (times[1] - times[0]).total_seconds() == 3600
    assert abs((times[0] - datetime.now(timezone.utc)).total_seconds()) < 30


def test_each_handler_has_a_copy(broadcaster: EventBroadcaster) -> None:
    """What a handler does to its event no other handler sees."""
    events: Channel[dict[str, Any]] = Channel(None)
    spoiled = Latch()

    def spoil(event: dict[str, Any]) -> None:
        event["involvedObject"].clear()
        spoiled.open()

    def look(event: dict[str, Any]) -> None:
        spoiled.wait(DEADLINE)
        events.put(event)

    broadcaster.start_event_watcher(spoil)
    broadcaster.start_event_watcher(look)
    record(broadcaster.new_recorder("c"), "R")
    assert events.get(timeout=DEADLINE)["involvedObject"]["name"] == "foo"


def test_stop_ends_one_watcher(broadcaster: EventBroadcaster) -> None:
    """Stopping a watcher ends its thread; the others go on."""
    stopped: Channel[dict[str, Any]] = Channel(None)
    others: Channel[dict[str, Any]] = Channel(None)
    watcher = broadcaster.start_event_watcher(stopped.put)
    broadcaster.start_event_watcher(others.put)
    recorder = broadcaster.new_recorder("c")
    record(recorder, "A")
    assert stopped.get(timeout=DEADLINE)["reason"] == "A"
    watcher.stop()
    watcher.stop()
    assert broadcaster._workers[0].join(DEADLINE)
    record(recorder, "B")
    assert [others.get(timeout=DEADLINE)["reason"] for _ in range(2)] == ["A", "B"]
    assert len(stopped) == 0
    broadcaster.start_logging(str)
    assert len(broadcaster._workers) == 2


def test_shutdown_ends_everything() -> None:
    """Go: TestBroadcasterShutdown. After shutdown no thread is left, and everything recorded before was given out."""
    before = set(threading.enumerate())
    broadcaster = EventBroadcaster()
    events: Channel[str] = Channel(None)
    for _ in range(3):
        broadcaster.start_logging(events.put)
    record(broadcaster.new_recorder("c"), *["R"] * 50)
    broadcaster.shutdown()
    broadcaster.shutdown()
    assert set(threading.enumerate()) == before
    assert len(events) == 150


def test_recording_and_shutdown_at_the_same_time() -> None:
    """Go: TestNonRacyShutdown. Recorders that go on while their broadcaster is shut down raise nothing and block nowhere."""
    broadcaster = EventBroadcaster()
    broadcaster.start_logging(str)
    recorder = broadcaster.new_recorder("c")
    with ThreadPoolExecutor(8) as pool:
        recorded = [pool.submit(record, recorder, "R") for _ in range(100)]
        broadcaster.shutdown()
    assert [each.result() for each in recorded] == [None] * 100


def test_shutdown_ends_an_idle_watcher() -> None:
    """Go: TestStartEventWatcherExitsOnDirectShutdown. A watcher that waits for events ends at a shutdown."""
    broadcaster = EventBroadcaster()
    watcher = broadcaster.start_event_watcher(lambda event: None)
    broadcaster.shutdown()
    assert broadcaster._workers[0].join(DEADLINE)
    with pytest.raises(ChannelClosedError):
        watcher.result_chan().get(timeout=DEADLINE)


def test_shutdown_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that does not return delays a shutdown by its patience at most, a second."""
    assert event_broadcaster.STOP_PATIENCE == 1.0
    monkeypatch.setattr(event_broadcaster, "STOP_PATIENCE", 0.2)
    broadcaster = EventBroadcaster()
    release = Latch()
    broadcaster.start_event_watcher(lambda event: release.wait(60))
    record(broadcaster.new_recorder("c"), "R")
    begun = time.monotonic()
    broadcaster.shutdown()
    assert time.monotonic() - begun < 5
    release.open()


def test_a_handler_may_shut_down() -> None:
    """A handler may shut its broadcaster down, record, and start others."""
    broadcaster = EventBroadcaster()
    done = Latch()
    recorder = broadcaster.new_recorder("c")

    def handler(event: dict[str, Any]) -> None:
        if event["reason"] == "first":
            broadcaster.start_logging(str)
            record(recorder, "second")
        else:
            broadcaster.shutdown()
            done.open()

    broadcaster.start_event_watcher(handler)
    record(recorder, "first")
    assert done.wait(DEADLINE)
    broadcaster.shutdown()


def test_after_shutdown_nothing_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    """client-go source. After shutdown recording is an error in the log, and a new watcher has ended already."""
    broadcaster = EventBroadcaster()
    recorder = broadcaster.new_recorder("my-component")
    broadcaster.shutdown()
    for start in (broadcaster.start_event_watcher, broadcaster.start_logging):
        watcher = start(lambda event: None)
        assert list(watcher) == []
        watcher.stop()
    caplog.clear()
    record(recorder, "Late")
    (entry,) = caplog.records
    assert entry.levelno == logging.ERROR
    assert "an event 'Late' of my-component is not recorded: broadcaster already stopped" in caplog.text


@pytest.mark.parametrize(
    ("obj", "type", "words"),
    [
        pytest.param(POD, "Other", "unsupported event type 'Other'", id="type"),
        pytest.param(POD, "normal", "unsupported event type 'normal'", id="lower-case"),
        pytest.param(POD, None, "unsupported event type", id="no-type"),
        pytest.param(POD, ["Normal"], "unhashable", id="odd-type"),
        pytest.param(None, "Normal", "can't reference a nil object", id="none"),
        pytest.param({"metadata": {"name": "x"}, "data": "hunter2"}, "Normal", "it has no kind", id="no-kind"),
        pytest.param("hunter2", "Normal", "can't reference a str", id="text"),
    ],
)
def test_what_cannot_be_recorded_is_logged(
    broadcaster: EventBroadcaster, caplog: pytest.LogCaptureFixture, obj: Any, type: Any, words: str
) -> None:
    """client-go source. An event of another type, or about what cannot be referenced, is logged and not recorded."""
    events: Channel[dict[str, Any]] = Channel(None)
    broadcaster.start_event_watcher(events.put)
    recorder = broadcaster.new_recorder("c")
    recorder.event(obj, type, "Bad", "m")
    record(recorder, "Good")
    broadcaster.shutdown()
    assert [event["reason"] for event in events.get_batch()] == ["Good"]
    assert words in caplog.text
    assert "'Bad' of c is not recorded" in caplog.text
    assert "hunter2" not in caplog.text


def test_an_object_that_raises_harms_nobody(broadcaster: EventBroadcaster, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an object raises when it is looked at stays in the log."""

    class Odd:
        @property
        def metadata(self) -> Any:
            raise RuntimeError("of the object")

    events: Channel[dict[str, Any]] = Channel(None)
    broadcaster.start_event_watcher(events.put)
    recorder = broadcaster.new_recorder("c")
    recorder.event(Odd(), "Normal", "Bad", "m")
    recorder.event(POD, "Normal", "Good", "m", related=Odd())
    event = events.get(timeout=DEADLINE)
    assert event["reason"] == "Good"
    assert "related" not in event
    assert caplog.text.count("of the object") == 2


def test_texts_of_other_types_become_texts(broadcaster: EventBroadcaster) -> None:
    """A reason, message or action that is no text is recorded as its text, so that no sink refuses it."""
    events: Channel[dict[str, Any]] = Channel(None)
    broadcaster.start_event_watcher(events.put)
    odd: Any = ValueError("what happened")
    broadcaster.new_recorder("c").event(POD, "Warning", odd, odd, action=odd)
    event = events.get(timeout=DEADLINE)
    assert [event[field] for field in ("reason", "message", "action")] == ["what happened"] * 3


def test_recording_never_waits() -> None:
    """client-go source. Where a handler does not return recording goes on, and so do the other handlers."""
    with EventBroadcaster() as broadcaster:
        release = Latch()
        events: Channel[dict[str, Any]] = Channel(None)
        blocked = Latch()

        def slow(event: dict[str, Any]) -> None:
            blocked.open()
            release.wait(60)

        broadcaster.start_event_watcher(slow)
        broadcaster.start_event_watcher(events.put)
        recorder = broadcaster.new_recorder("c")
        record(recorder, "first")
        assert blocked.wait(DEADLINE)
        assert events.get(timeout=DEADLINE)["reason"] == "first"
        # Twice what one queue holds, but never so much at once that the other handler would lose any.
        for _ in range(4):
            record(recorder, *["R"] * 500)
            for _ in range(500):
                events.get(timeout=DEADLINE)
        begun = time.monotonic()
        record(recorder, *["R"] * 3000)
        assert time.monotonic() - begun < 10
        release.open()


def test_too_many_events_are_dropped_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """client-go source. Where 1000 events wait to be given out the next is dropped, with an error in the log."""
    with EventBroadcaster() as broadcaster:
        inner = broadcaster._broadcaster
        with inner._monitor:
            inner._undelivered += 1001  # as if they waited
        record(broadcaster.new_recorder("c"), "TooMany")
        with inner._monitor:
            inner._undelivered -= 1001
        assert "an event 'TooMany' of c is not recorded: 1000 events wait already" in caplog.text
        assert broadcaster.dropped_events == 1
        record(broadcaster.new_recorder("c"), *["Again"] * 3)
        assert "Again" not in caplog.text


def test_the_log_of_what_is_lost_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand events that cannot be recorded are not a thousand lines."""
    with EventBroadcaster() as broadcaster:
        recorder = broadcaster.new_recorder("c")
        for _ in range(1000):
            recorder.event(None, "Normal", "R", "m")
    assert 1 <= len(caplog.records) < 20


def test_a_function_that_raises_goes_on(broadcaster: EventBroadcaster, caplog: pytest.LogCaptureFixture) -> None:
    """What a log function or handler raises is logged, and it is called for the next event."""
    lines: Channel[str] = Channel(None)

    def log(line: str) -> None:
        if "first" in line:
            raise ValueError("of the function")
        lines.put(line)

    broadcaster.start_logging(log)
    record(broadcaster.new_recorder("c"), "first", "second")
    assert "second" in lines.get(timeout=DEADLINE)
    assert "of the function" in caplog.text


def test_a_slow_handler_delays_no_other(broadcaster: EventBroadcaster) -> None:
    """While one handler does not return the others are called."""
    release = Latch()
    lines: Channel[str] = Channel(None)
    broadcaster.start_event_watcher(lambda event: release.wait(60))
    broadcaster.start_logging(lines.put)
    record(broadcaster.new_recorder("c"), "A", "B")
    assert "'A'" in lines.get(timeout=DEADLINE)
    assert "'B'" in lines.get(timeout=DEADLINE)
    release.open()


def test_a_recorder_is_one() -> None:
    """What a broadcaster gives is an EventRecorder."""
    with EventBroadcaster() as broadcaster:
        assert isinstance(broadcaster.new_recorder("c"), EventRecorder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_records_nothing() -> None:
    """In a forked child recording is an error in the log and blocks nothing."""
    script = f"""
import logging, os
from informer.record import EventBroadcaster
broadcaster = EventBroadcaster()
recorder = broadcaster.new_recorder("c")
lines = []
class Lines(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())
logging.getLogger().addHandler(Lines())
child = os.fork()
if child == 0:
    recorder.event({POD!r}, "Normal", "R", "m")
    watcher = broadcaster.start_logging(print)
    broadcaster.shutdown()
    os._exit(0 if len([line for line in lines if "forked" in line]) == 2 and not list(watcher) else 1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=50, check=False)
    assert done.returncode == 0


def test_the_end_of_a_program_is_a_shutdown() -> None:
    """A program that ends right after recording has logged what it recorded, whatever else hangs."""
    script = f"""
import threading
from informer.record import EventBroadcaster
broadcaster, other = EventBroadcaster(), EventBroadcaster()
other.start_event_watcher(lambda event: threading.Event().wait())
broadcaster.start_logging(print)
for recorder in (broadcaster.new_recorder("c"), other.new_recorder("c")):
    recorder.event({POD!r}, "Normal", "Last", "m")
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=50, check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.count("reason: 'Last'") == 1


def test_the_handler_of_a_signal_may_record() -> None:
    """Wherever a thread is while it records, its signal's handler may record too: nothing waits for the thread itself."""
    broadcaster = EventBroadcaster()
    recorder = broadcaster.new_recorder("c")
    recorded = []

    def handler(frame: FrameType, event: str, arg: object) -> Any:
        if "/watch/" in frame.f_code.co_filename or "/informer/" in frame.f_code.co_filename:
            recorder.event(POD, "Normal", "Signalled", "in the middle of something")
            recorded.append(frame.f_lineno)
        return handler

    def record() -> None:
        sys.settrace(handler)
        try:
            recorder.event(POD, "Normal", "Started", "note")
            # This one is only logged.
            recorder.event(POD, "Odd", "Started", "note")
        finally:
            sys.settrace(None)

    assert Worker(record, "records").start().join(10)
    assert len(recorded) > 50
    broadcaster.shutdown()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_hang_where_another_thread_recorded() -> None:
    """Whatever locks the recorders and logs of the parent held at the fork, recording in the child returns."""
    program = """
        import os, signal, threading
        from informer.record import EventBroadcaster
        broadcaster = EventBroadcaster()
        recorder = broadcaster.new_recorder("c")
        held, go_on = threading.Event(), threading.Event()

        def hold():
            with broadcaster._time._lock, broadcaster._limited._lock, broadcaster._lock, broadcaster._broadcaster._monitor:
                held.set()
                go_on.wait()

        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            recorder.event({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}}, "Normal", "R", "m")
            broadcaster.start_logging(print)
            broadcaster.shutdown()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        go_on.set()
        raise SystemExit(status)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "forked from" in ended.stderr
