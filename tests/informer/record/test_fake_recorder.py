"""The recorder for tests of whoever records events."""

from __future__ import annotations

import logging
import queue
from typing import Any

import pytest

from informer.record import EventRecorder, FakeRecorder


def test_an_event_is_a_line() -> None:
    """client-go source. Each event is a line of its type, reason and message, which is not formatted."""
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


def test_the_object_may_be_included() -> None:
    """client-go source. If asked for, the line has the object's kind and apiVersion, before any annotations."""
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


def test_it_is_a_recorder() -> None:
    """A fake stands wherever an EventRecorder is asked for."""
    assert isinstance(FakeRecorder(), EventRecorder)


@pytest.mark.parametrize("options", [{}, {"maxsize": 3}], ids=["default", "three"])
def test_a_full_recorder_blocks_nobody(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Beyond its size events are dropped, which is told in the log; what was kept is still there."""
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


def test_a_recorder_without_bound() -> None:
    """None keeps everything."""
    recorder = FakeRecorder(None)
    for _ in range(1000):
        recorder.event({}, "Normal", "R", "m")
    assert len(recorder.events) == 1000


def test_a_recorder_whose_events_were_closed(caplog: pytest.LogCaptureFixture) -> None:
    """Closing the channel ends its readers and harms no recorder."""
    recorder = FakeRecorder()
    recorder.events.close()
    recorder.event({}, "Normal", "R", "m")
    assert "closed" in caplog.text
    with pytest.raises(queue.Empty):
        FakeRecorder().events.get(timeout=0)
