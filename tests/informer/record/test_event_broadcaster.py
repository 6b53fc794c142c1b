"""Broadcasting events to logs and handlers."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client

from informer import Object
from informer.record import EventBroadcaster, event_broadcaster
from tests.support.recorded import POD, record
from tests.support.waiting import DEADLINE
from watch import Channel, ChannelClosedError, FakeClock
from watch.concurrency import Latch


@pytest.mark.parametrize(
    "obj", [POD, Object.from_dict(POD), client.V1Pod(metadata=client.V1ObjectMeta(name="foo", namespace="baz", uid="bar"))],
    ids=["dict", "object", "model"],
)  # fmt: skip
def test_an_event_reaches_logs_and_handlers(broadcaster: EventBroadcaster, obj: Any) -> None:
    """Go: TestEventf. Both receive its object, source, reason and message."""
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
def test_structured_logging_passes_the_fields_as_keywords(
    broadcaster: EventBroadcaster, namespace: str, key: str
) -> None:
    """Go: TestEventf. The message is constant, and the event is in the fields."""
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


def test_events_keep_their_order_and_have_unique_names(broadcaster: EventBroadcaster) -> None:
    """Events are delivered in the order of recording, and no two have the same name."""
    events: Channel[dict[str, Any]] = Channel(None)
    broadcaster.start_event_watcher(events.put)
    reasons = [f"R{number}" for number in range(500)]
    record(broadcaster.new_recorder("c"), *reasons)
    broadcaster.shutdown()
    got = events.get_batch()
    assert [event["reason"] for event in got] == reasons
    assert len({event["metadata"]["name"] for event in got}) == 500


def test_events_have_the_time_of_the_clock() -> None:
    """Their names are unique even while the clock stands still."""
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
    times = [datetime.fromisoformat(event["firstTimestamp"]) for event in (first, third)]
    assert (times[1] - times[0]).total_seconds() == 3600
    assert abs((times[0] - datetime.now(UTC)).total_seconds()) < 30


def test_each_handler_gets_its_own_copy(broadcaster: EventBroadcaster) -> None:
    """A change that one handler makes to its event is not seen by another."""
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


def test_stop_ends_one_receiver(broadcaster: EventBroadcaster) -> None:
    """Its thread ends; the others go on."""
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


def test_shutdown_delivers_everything_and_ends_all_threads() -> None:
    """Go: TestBroadcasterShutdown. A second shutdown has no effect."""
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


def test_recording_during_a_shutdown_does_not_raise_or_block() -> None:
    """Go: TestNonRacyShutdown. Recorders may be used while their broadcaster shuts down."""
    broadcaster = EventBroadcaster()
    broadcaster.start_logging(str)
    recorder = broadcaster.new_recorder("c")
    with ThreadPoolExecutor(8) as pool:
        recorded = [pool.submit(record, recorder, "R") for _ in range(100)]
        broadcaster.shutdown()
    assert [each.result() for each in recorded] == [None] * 100


def test_shutdown_ends_an_idle_receiver() -> None:
    """Go: TestStartEventWatcherExitsOnDirectShutdown. A receiver that waits for events ends."""
    broadcaster = EventBroadcaster()
    watcher = broadcaster.start_event_watcher(lambda event: None)
    broadcaster.shutdown()
    assert broadcaster._workers[0].join(DEADLINE)
    with pytest.raises(ChannelClosedError):
        watcher.result_chan().get(timeout=DEADLINE)


def test_shutdown_waits_one_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that does not return delays a shutdown by STOP_PATIENCE."""
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


def test_a_handler_may_record_and_shut_down() -> None:
    """A handler may shut its broadcaster down, record events, and start receivers."""
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
    """client-go source. Recording logs an error, and a new watcher is closed already."""
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
    assert "failed to record event 'Late' of my-component: broadcaster already stopped" in caplog.text


def test_recording_does_not_wait_for_a_blocked_handler() -> None:
    """client-go source. Recording goes on, and so do the other handlers."""
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
        # Twice the size of a queue, in portions that the other handler can take without losing an event.
        for _ in range(4):
            record(recorder, *["R"] * 500)
            for _ in range(500):
                events.get(timeout=DEADLINE)
        begun = time.monotonic()
        record(recorder, *["R"] * 3000)
        assert time.monotonic() - begun < 10
        release.open()


def test_events_beyond_the_queue_are_dropped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """client-go source. Where 1000 events wait the next one is dropped, with an error in the log."""
    with EventBroadcaster() as broadcaster:
        inner = broadcaster._broadcaster
        with inner._monitor:
            inner._undelivered += 1001  # as if 1001 events waited
        record(broadcaster.new_recorder("c"), "TooMany")
        with inner._monitor:
            inner._undelivered -= 1001
        assert "failed to record event 'TooMany' of c: the broadcaster's queue is full (1000 events)" in caplog.text
        assert broadcaster.dropped_events == 1
        record(broadcaster.new_recorder("c"), *["Again"] * 3)
        assert "Again" not in caplog.text


def test_a_function_that_raises_is_called_again(
    broadcaster: EventBroadcaster, caplog: pytest.LogCaptureFixture
) -> None:
    """Its exception is logged, and it is called with the next event."""
    lines: Channel[str] = Channel(None)

    def log(line: str) -> None:
        if "first" in line:
            raise ValueError("log failed")
        lines.put(line)

    broadcaster.start_logging(log)
    record(broadcaster.new_recorder("c"), "first", "second")
    assert "second" in lines.get(timeout=DEADLINE)
    assert "log failed" in caplog.text


def test_a_slow_handler_does_not_delay_others(broadcaster: EventBroadcaster) -> None:
    """While one handler does not return the others are called."""
    release = Latch()
    lines: Channel[str] = Channel(None)
    broadcaster.start_event_watcher(lambda event: release.wait(60))
    broadcaster.start_logging(lines.put)
    record(broadcaster.new_recorder("c"), "A", "B")
    assert "'A'" in lines.get(timeout=DEADLINE)
    assert "'B'" in lines.get(timeout=DEADLINE)
    release.open()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_recording_in_a_forked_child_is_logged() -> None:
    """It neither blocks nor records anything."""
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


def test_events_are_delivered_when_the_program_exits() -> None:
    """A program that ends right after recording has logged its events, even if another broadcaster hangs."""
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_recording_in_a_forked_child_does_not_hang() -> None:
    """This holds if another thread of the parent held the locks of recorder and log at the fork."""
    program = """
        import os, signal, threading
        from informer.record import EventBroadcaster
        broadcaster = EventBroadcaster()
        recorder = broadcaster.new_recorder("c")
        held, go_on = threading.Event(), threading.Event()

        def hold():
            log_lock = broadcaster._limited.filters[0]._lock
            with broadcaster._time._lock, log_lock, broadcaster._lock, broadcaster._broadcaster._monitor:
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
