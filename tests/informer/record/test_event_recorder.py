"""Recording events: what recorders accept, and what they log instead."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from informer.record import EventBroadcaster, EventRecorder
from tests.support.recorded import POD, record
from tests.support.waiting import DEADLINE
from watch import Channel
from watch.concurrency import Worker


def test_an_event_about_a_reference_with_all_options(broadcaster: EventBroadcaster) -> None:
    """Go: TestEventf. It has annotations, an action and a related object."""
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


@pytest.mark.parametrize(
    ("obj", "type", "message"),
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
def test_an_invalid_event_is_logged_and_dropped(
    broadcaster: EventBroadcaster, caplog: pytest.LogCaptureFixture, obj: Any, type: Any, message: str
) -> None:
    """client-go source. The type may be wrong, or the object may not be one."""
    events: Channel[dict[str, Any]] = Channel(None)
    broadcaster.start_event_watcher(events.put)
    recorder = broadcaster.new_recorder("c")
    recorder.event(obj, type, "Bad", "m")
    record(recorder, "Good")
    broadcaster.shutdown()
    assert [event["reason"] for event in events.get_batch()] == ["Good"]
    assert message in caplog.text
    assert "failed to record event 'Bad' of c" in caplog.text
    assert "hunter2" not in caplog.text


def test_an_object_that_raises_is_logged(broadcaster: EventBroadcaster, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of the object does not reach the caller."""

    class Odd:
        @property
        def metadata(self) -> Any:
            raise RuntimeError("metadata failed")

    events: Channel[dict[str, Any]] = Channel(None)
    broadcaster.start_event_watcher(events.put)
    recorder = broadcaster.new_recorder("c")
    recorder.event(Odd(), "Normal", "Bad", "m")
    recorder.event(POD, "Normal", "Good", "m", related=Odd())
    event = events.get(timeout=DEADLINE)
    assert event["reason"] == "Good"
    assert "related" not in event
    assert caplog.text.count("metadata failed") == 2


def test_arguments_that_are_not_strings_are_converted(broadcaster: EventBroadcaster) -> None:
    """A reason, message or action of another type is recorded as its text, so that no sink refuses the event."""
    events: Channel[dict[str, Any]] = Channel(None)
    broadcaster.start_event_watcher(events.put)
    odd: Any = ValueError("what happened")
    broadcaster.new_recorder("c").event(POD, "Warning", odd, odd, action=odd)
    event = events.get(timeout=DEADLINE)
    assert [event[field] for field in ("reason", "message", "action")] == ["what happened"] * 3


def test_the_log_of_lost_events_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand events that cannot be recorded do not make a thousand lines."""
    with EventBroadcaster() as broadcaster:
        recorder = broadcaster.new_recorder("c")
        for _ in range(1000):
            recorder.event(None, "Normal", "R", "m")
    assert 1 <= len(caplog.records) < 20


def test_new_recorder_returns_an_event_recorder() -> None:
    """The result is an instance of the public class."""
    with EventBroadcaster() as broadcaster:
        assert isinstance(broadcaster.new_recorder("c"), EventRecorder)


def test_a_signal_handler_may_record() -> None:
    """A signal may interrupt a recorder at any line, and its handler may use the same recorder without a deadlock."""
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
            # An invalid type, which is only logged.
            recorder.event(POD, "Odd", "Started", "note")
        finally:
            sys.settrace(None)

    assert Worker(record, "records").start().join(10)
    assert len(recorded) > 50
    broadcaster.shutdown()


BAD_COMPONENTS = ["", "a/b c", "my controller", "-a", "a-", "a" * 64, "Example.com/a", "a/b/c", "/a", "a/", "ä"]


@pytest.mark.parametrize("component", BAD_COMPONENTS)
def test_a_component_that_the_server_refuses_is_refused_at_once(component: str) -> None:
    """Otherwise every event of it would be lost, with a line each (controller-runtime#3511)."""
    with EventBroadcaster() as broadcaster, pytest.raises(ValueError, match="is not a qualified name"):
        broadcaster.new_recorder(component)


@pytest.mark.parametrize("component", ["my-scheduler", "example.com/My_Controller.v2", "c", "a" * 63])
def test_a_qualified_name_is_a_component(component: str) -> None:
    """With or without a domain."""
    with EventBroadcaster() as broadcaster:
        broadcaster.new_recorder(component)
        with pytest.raises(TypeError, match="must be a string"):
            broadcaster.new_recorder(None)  # type: ignore[arg-type]


REFUSED: list[tuple[str, Any, str]] = [
    ("", None, "its reason is empty"),
    ("R", {"a b": "c"}, "'a b' is not the key of an annotation"),
    ("R", {"a": 1}, "the value of annotation 'a' is a int, not a string"),
    ("R", {"a": "secret" * 50_000}, "its annotations have 300001 bytes, of which 262144 are allowed"),
]


@pytest.mark.parametrize(("reason", "annotations", "message"), REFUSED, ids=["reason", "key", "value", "size"])
def test_what_the_server_refuses_is_refused_when_it_is_recorded(
    reason: str, annotations: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The line says what is wrong, and quotes no value; nothing is sent."""
    lines: Channel[str] = Channel(None)
    with EventBroadcaster() as broadcaster:
        broadcaster.start_logging(lines.put)
        recorder = broadcaster.new_recorder("my-controller")
        recorder.annotated_event(POD, annotations, "Normal", reason, "m")
    assert len(lines) == 0
    assert message in caplog.text
    assert "secretsecret" not in caplog.text


async def async_log(line: str) -> None: ...


class AsyncSink:
    async def create(self, event: dict[str, Any]) -> None: ...


class ShortSink:
    def create(self, event: dict[str, Any]) -> None: ...

    def patch(self, event: dict[str, Any]) -> None: ...


REFUSED_RECEIVERS: list[tuple[str, Any, str]] = [
    ("start_logging", async_log, "log_function is an async function"),
    ("start_logging", lambda: None, "log_function is called with 1 argument"),
    ("start_logging", "info", "log_function must be callable"),
    ("start_structured_logging", async_log, "log_function is an async function"),
    ("start_structured_logging", lambda text: None, "log_function is called with 1 argument and the keywords object"),
    ("start_event_watcher", async_log, "handler is an async function"),
    ("start_event_watcher", lambda event, more: None, "handler is called with 1 argument"),
    ("start_recording_to_sink", object(), "a sink is an object with the methods create"),
    ("start_recording_to_sink", ShortSink, "not the class ShortSink"),
    ("start_recording_to_sink", AsyncSink(), "the sink's create is an async function"),
    ("start_recording_to_sink", ShortSink(), "the sink's patch is called with 2 arguments"),
]


@pytest.mark.parametrize(("method", "receiver", "message"), REFUSED_RECEIVERS)
def test_receivers_that_could_not_be_called_are_refused(method: str, receiver: Any, message: str) -> None:
    """When they are given, instead of one log line per event."""
    with EventBroadcaster() as broadcaster:
        with pytest.raises(TypeError, match=message):
            getattr(broadcaster, method)(receiver)
        assert broadcaster.start_structured_logging(lambda text, **fields: None) is not None
