"""The recorder for tests."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from informer.record import EventRecorder, FakeRecorder


def test_an_event_is_kept_as_a_line() -> None:
    """client-go source. The line has the type, reason and message; the message is not formatted."""
    recorder = FakeRecorder()
    recorder.event({}, "Normal", "R", "m %d")
    recorder.event(None, "Warning", "R", "m 3", action="Act", related={})
    recorder.annotated_event(object(), {"c": "d", "a": "b"}, "Normal", "R", "m")
    recorder.annotated_event({}, {}, "Normal", "R", "m")
    recorder.annotated_event({}, None, "Normal", "R", "m")
    assert recorder.events.get_batch() == [
        "Normal R m %d",
        "Warning R m 3",
        "Normal R m map[a:b c:d]",
        "Normal R m",
        "Normal R m",
    ]
    assert recorder.events is recorder.events


def test_lines_may_include_the_object() -> None:
    """client-go source. With include_object the object's kind and apiVersion come before the annotations."""
    recorder = FakeRecorder(include_object=True)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
    recorder.event(pod, "Normal", "R", "m")
    recorder.annotated_event(pod, {"a": "b"}, "Normal", "R", "m")
    recorder.event(None, "Normal", "R", "m")
    assert recorder.events.get_batch() == [
        "Normal R m involvedObject{kind=Pod,apiVersion=v1}",
        "Normal R m involvedObject{kind=Pod,apiVersion=v1} map[a:b]",
        "Normal R m involvedObject{kind=,apiVersion=}",
    ]


def test_a_fake_recorder_is_an_event_recorder() -> None:
    """A component that needs an EventRecorder accepts it."""
    assert isinstance(FakeRecorder(), EventRecorder)


@pytest.mark.parametrize("options", [{}, {"maxsize": 3}], ids=["default", "three"])
def test_a_full_recorder_drops_and_logs_events(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Beyond its size events are dropped and logged; the kept lines stay."""
    size = options.get("maxsize", 100)
    recorder = FakeRecorder(**options)
    for number in range(size):
        recorder.event({}, "Normal", "R", str(number))
    assert not caplog.records
    recorder.event({}, "Normal", "R", "too much")
    (entry,) = caplog.records
    assert entry.levelno == logging.ERROR
    assert "larger maxsize" in caplog.text
    assert recorder.events.get_batch() == [f"Normal R {number}" for number in range(size)]


def test_maxsize_none_keeps_every_event() -> None:
    """The recorder is unbounded."""
    recorder = FakeRecorder(None)
    for _ in range(1000):
        recorder.event({}, "Normal", "R", "m")
    assert len(recorder.events) == 1000


def test_recording_after_the_channel_was_closed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It does not raise."""
    recorder = FakeRecorder()
    recorder.events.close()
    recorder.event({}, "Normal", "R", "m")
    assert "its channel is closed" in caplog.text
    assert len(recorder.events) == 0
