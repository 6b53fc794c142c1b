"""An object, and events about it, for the tests of the event recorder."""

from __future__ import annotations

from informer.record import EventRecorder

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "foo", "namespace": "baz", "uid": "bar"},
    "spec": {"secret": "hunter2"},
}


def record(recorder: EventRecorder, *reasons: str) -> None:
    """Records an event about `POD` for each reason."""
    for reason in reasons:
        recorder.event(POD, "Normal", reason, "message")
