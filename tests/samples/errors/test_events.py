"""Messages of docs/errors.md about recording events, each in full."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer.record import (
    CoreV1EventSink,
    EventBroadcaster,
    EventCorrelator,
    EventsV1Sink,
    FakeRecorder,
    get_reference,
)
from tests.support.messages import check_logged, check_raised, ids
from watch.concurrency import Latch

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "ns"}}


class Sink:
    """A sink whose `create` does the given things one after the other, and then accepts everything."""

    def __init__(self, *steps: Callable[[], Any], api_version: str = "v1") -> None:
        self._steps = [*steps]
        self.api_version = api_version

    def create(self, event: dict[str, Any]) -> dict[str, Any]:
        if self._steps:
            self._steps.pop(0)()
        return event


def raising(error: BaseException) -> Callable[[], Any]:
    def step() -> Any:
        raise error

    return step


@pytest.fixture
def broadcaster() -> Iterator[EventBroadcaster]:
    """A broadcaster without waits between its tries."""
    with EventBroadcaster(sleep=0) as made:
        yield made


def recorded_twice() -> None:
    with EventBroadcaster() as broadcaster:
        sink = Sink()
        broadcaster.start_recording_to_sink(sink)
        broadcaster.start_recording_to_sink(sink)


CALLS: list[tuple[Callable[[], Any], str]] = [
    (lambda: EventBroadcaster(sleep=-1), "sleep must be 0 or more, not -1"),
    (recorded_twice, "recording to this sink is already started"),
    (
        lambda: EventCorrelator(max_events=0),
        "max_events must be 1 or more and interval 0 or more, not 0 and 600.0",
    ),
    (lambda: EventCorrelator(qps=-1), "burst must be 1 or more and qps 0 or more, not 25 and -1"),
    (lambda: EventCorrelator().correlate(None), "event is nil: pass an event in API form, not None"),
    (
        lambda: CoreV1EventSink().create({"metadata": {"namespace": ""}}),
        "can't write an event with empty namespace",
    ),
    (
        lambda: EventsV1Sink().patch({"metadata": {"namespace": "ns"}}, {}),
        "can't write an event with empty name",
    ),
    (
        lambda: get_reference(None),
        "can't reference a nil object: pass an object or a reference, not None",
    ),
    (
        lambda: get_reference({"metadata": {"name": "a"}}),
        "can't reference an object of type dict: it has no kind; set it, or pass a reference such as "
        '{"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web"}',
    ),
    (
        lambda: get_reference({"name": "a"}),
        "a dict without metadata is neither an object nor a reference: a reference needs a kind, and may have no other fields "
        "than <...>",
    ),
    (lambda: get_reference({"kind": "Pod", "name": 7}), "the fields of a reference must be strings"),
    (
        lambda: get_reference(7),
        "can't reference a int: pass a dict in API form, an informer.Object, an official model, an object with .metadata, or "
        "a reference",
    ),
]


@pytest.mark.parametrize(("call", "message"), CALLS, ids=ids(CALLS))
def test_a_wrong_call_raises(call: Callable[[], Any], message: str) -> None:
    """The message says what is wrong, and what to pass instead."""
    check_raised(call, message)


def test_an_event_that_cannot_be_recorded(broadcaster: EventBroadcaster, caplog: pytest.LogCaptureFixture) -> None:
    """The failure is logged: a recorder never raises."""
    recorder = broadcaster.new_recorder("component")
    recorder.event(POD, "Normal", "", "message")
    check_logged(
        caplog,
        "failed to record event '' of component: its reason is empty: give one word in CamelCase, such as 'Started'",
    )
    recorder.event(POD, "Normal", "Started", "message", related=7)
    check_logged(
        caplog,
        "event 'Started' of component is recorded without its related object: can't reference a int: pass a dict in API form, "
        "an informer.Object, an official model, an object with .metadata, or a reference",
    )


def test_a_write_that_is_tried_again(broadcaster: EventBroadcaster, caplog: pytest.LogCaptureFixture) -> None:
    """A write that a busy server refuses is logged and tried again."""
    broadcaster.start_recording_to_sink(Sink(raising(ConnectionError("refused"))))
    broadcaster.new_recorder("component").event(POD, "Normal", "Started", "message")
    check_logged(caplog, "failed to write event 'Started', retrying: ConnectionError: refused")


@pytest.mark.parametrize(
    ("api_version", "message"),
    [
        ("v1", "a log function, handler or sink of events failed"),
        ("events.k8s.io/v1", "a sink failed to write an event"),
    ],
)
def test_a_sink_that_exits(
    api_version: str, message: str, broadcaster: EventBroadcaster, caplog: pytest.LogCaptureFixture
) -> None:
    """SystemExit in a sink is logged, and the writing thread continues."""
    broadcaster.start_recording_to_sink(Sink(raising(SystemExit()), api_version=api_version))
    broadcaster.new_recorder("component").event(POD, "Normal", "Started", "message")
    check_logged(caplog, message)


def test_a_receiver_that_blocks(broadcaster: EventBroadcaster, caplog: pytest.LogCaptureFixture) -> None:
    """The events that come meanwhile are kept up to a limit."""
    go_on = Latch()
    broadcaster.start_event_watcher(lambda event: go_on.wait())
    recorder = broadcaster.new_recorder("component")
    for _ in range(3000):
        recorder.event(POD, "Normal", "Started", "message")
    try:
        check_logged(caplog, "dropped an event, because a log function, handler or sink is <...> events behind")
    finally:
        go_on.open()


def test_a_broadcaster_that_was_shut_down(caplog: pytest.LogCaptureFixture) -> None:
    """Starting an event watcher is logged as a failure."""
    broadcaster = EventBroadcaster()
    broadcaster.shutdown()
    broadcaster.start_event_watcher(print)
    check_logged(caplog, "failed to start an event watcher: broadcaster already stopped")


def test_a_full_fake_recorder(caplog: pytest.LogCaptureFixture) -> None:
    """The log says that the test has to read the recorder's events."""
    recorder = FakeRecorder(1)
    for _ in range(2):
        recorder.event(POD, "Normal", "Started", "message")
    check_logged(caplog, "FakeRecorder dropped an event, because it is full: use a larger maxsize, or read its events")


def test_an_answer_to_an_event_that_is_not_the_servers(serve: Any) -> None:
    """The page of a proxy in place of the event that was written."""
    server = serve(lambda _, connection: connection.answer(b"<html>Sign in</html>", Content_Type="text/html"))
    check_raised(
        lambda: CoreV1EventSink(server.client()).create({"metadata": {"namespace": "ns", "name": "a"}}),
        "failed to write an event: <...>text/html, not JSON (is a proxy or login page in front?)<...>",
    )
