"""Building events."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest

from informer.record.event import (
    copy_event,
    event_name,
    events_v1_form,
    events_v1_patch,
    log_line,
    make_event,
    micro_time,
)

REFERENCE = {
    "kind": "Pod",
    "apiVersion": "v1",
    "namespace": "baz",
    "name": "foo",
    "uid": "bar",
    "fieldPath": "spec.containers[2]",
}
NOW = 1_700_000_000_123_456_789
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def test_a_new_event_in_api_form() -> None:
    """Go: TestEventf. It has its object, its source and its time, and a count of 1."""
    event = make_event(
        REFERENCE, "Normal", "Started", "some verbose message: 1", nanoseconds=NOW, component="eventTest", host="node-1"
    )
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"foo.{NOW:x}", "namespace": "baz"},
        "involvedObject": REFERENCE,
        "type": "Normal",
        "reason": "Started",
        "message": "some verbose message: 1",
        "action": "Started",
        "count": 1,
        "firstTimestamp": "2023-11-14T22:13:20Z",
        "lastTimestamp": "2023-11-14T22:13:20Z",
        "source": {"component": "eventTest", "host": "node-1"},
        "reportingComponent": "eventTest",
        "reportingInstance": "node-1",
    }
    assert event["involvedObject"] is not REFERENCE


def test_an_event_may_have_annotations_an_action_and_a_related_object() -> None:
    """They are copied from the arguments."""
    related = {"kind": "Node", "name": "node-1"}
    annotations = {"a": "b"}
    event = make_event(
        REFERENCE,
        "Warning",
        "Killed",
        "",
        nanoseconds=NOW,
        component="c",
        host="",
        annotations=annotations,
        action="Kill",
        related=related,
    )
    assert event["metadata"]["annotations"] == annotations
    assert (event["action"], event["related"], event["source"]) == ("Kill", related, {"component": "c"})
    annotations["c"] = related["name"] = "changed"
    assert (event["metadata"]["annotations"], event["related"]["name"]) == ({"a": "b"}, "node-1")


def test_copy_event_is_deep() -> None:
    """Changing the copy does not change the event."""
    event = make_event(
        REFERENCE,
        "Normal",
        "R",
        "m",
        nanoseconds=NOW,
        component="c",
        host="",
        annotations={"a": "b"},
        related=REFERENCE,
    )
    copied = copy_event(event)
    assert copied == event
    copied["metadata"]["annotations"]["a"] = copied["related"]["name"] = "changed"
    assert event["metadata"]["annotations"] == {"a": "b"}
    assert event["related"]["name"] == "foo"


def test_the_event_of_an_object_without_a_namespace_is_in_default() -> None:
    """Go: TestEventfNoNamespace. Its reference has no namespace."""
    reference = {"kind": "Node", "apiVersion": "v1", "name": "foo"}
    event = make_event(reference, "Normal", "Started", "m", nanoseconds=NOW, component="c", host="")
    assert event["metadata"]["namespace"] == "default"
    assert not event["involvedObject"].get("namespace")


def test_the_name_is_the_objects_name_and_the_time() -> None:
    """Go: TestGenerateEventName. The time is in hexadecimal."""
    assert event_name("test-pod", 105999103295324396) == "test-pod.178959f726d80ec"


@pytest.mark.parametrize(
    "name",
    ["x" * 300, "test.POD", "test.pod/invalid!chars?", "--test.pod/invalid!chars?", "2001:db8::123", "", "a\n", "é"],
    ids=lambda name: repr(name)[:20],
)
def test_an_object_name_that_is_not_a_valid_event_name_is_replaced(name: str) -> None:
    """Go: TestGenerateEventName. The event gets a valid and unique name."""
    made = event_name(name, 105999103295324396)
    assert SUBDOMAIN.fullmatch(made)
    assert len(made) <= 253
    assert made != event_name(name, 105999103295324396)


def test_the_log_line_of_an_event() -> None:
    """Go: TestEventf. The line has the object, the type, the reason and the message."""
    event = make_event(
        REFERENCE, "Normal", "Started", "some verbose message: 1", nanoseconds=NOW, component="c", host=""
    )
    assert log_line(event) == (
        'Event(v1.ObjectReference{Kind:"Pod", Namespace:"baz", Name:"foo", UID:"bar", APIVersion:"v1", '
        'ResourceVersion:"", FieldPath:"spec.containers[2]"}): '
        "type: 'Normal' reason: 'Started' some verbose message: 1"
    )


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\r", "\u2028"], ids=repr)
def test_a_log_line_has_no_line_breaks(separator: str) -> None:
    """A message of several lines cannot look like several log entries."""
    reference = {**REFERENCE, "name": f'a"{separator}b'}
    event = make_event(reference, "Normal", f"R{separator}r", f"m{separator}n", nanoseconds=NOW, component="c", host="")
    line = log_line(event)
    assert len(line.splitlines()) == 1
    assert line.endswith("reason: 'R\\nr' m\\nn")


def in_events_v1(regarding: dict[str, str], message: str = "note", **options: Any) -> dict[str, Any]:
    options = {"component": "c1", "host": "i1", "action": "Act", **options}
    event = make_event(regarding, "Normal", "R", message, nanoseconds=NOW, **options)
    before = copy_event(event)
    made = events_v1_form(event, NOW)
    assert event == before
    return made


@pytest.mark.parametrize(
    "related", [None, {"kind": "Node", "apiVersion": "v1", "name": "node1"}], ids=["alone", "related"]
)
def test_an_event_in_the_form_of_events_k8s_io(related: dict[str, str] | None) -> None:
    """Go: TestEventf in tools/events. It has its object, its reporter and its time."""
    regarding = {"kind": "Pod", "apiVersion": "v1", "namespace": "ns1", "name": "pod1"}
    event = in_events_v1(regarding, related=related, annotations={"a": "b"})
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"pod1.{NOW:x}", "namespace": "ns1", "annotations": {"a": "b"}},
        "eventTime": "2023-11-14T22:13:20.123456Z",
        "reportingController": "c1",
        "reportingInstance": "i1",
        "action": "Act",
        "reason": "R",
        "regarding": regarding,
        "note": "note",
        "type": "Normal",
    } | ({} if related is None else {"related": related})


@pytest.mark.parametrize("name", ["2001:db8::123", "x" * 1012], ids=["address", "long"])
def test_names_in_events_k8s_io_are_valid(name: str) -> None:
    """Go: TestEventf in tools/events. An object without a namespace has its event in "default", under a valid name."""
    event = in_events_v1({"kind": "IPAddress", "apiVersion": "networking.k8s.io/v1", "name": name})
    assert event["metadata"]["namespace"] == "default"
    assert SUBDOMAIN.fullmatch(event["metadata"]["name"])
    assert len(event["metadata"]["name"]) <= 253


@pytest.mark.parametrize(
    ("nanoseconds", "fraction"), [(0, "000001"), (999, "000001"), (1000, "000001"), (999_999_999, "999999")]
)
def test_micro_times_have_a_fraction_above_zero(nanoseconds: int, fraction: str) -> None:
    """The official client leaves out a fraction of zero, and the server then refuses the time."""
    assert micro_time(10**18 + nanoseconds) == f"2001-09-09T01:46:40.{fraction}Z"


def test_required_fields_of_events_k8s_io_are_filled_in() -> None:
    """Instance and action have defaults, and the note is truncated to 1024 bytes."""
    regarding = {"kind": "Pod", "name": "p"}
    event = in_events_v1(regarding, "ä" * 1000, host="", action="")
    assert event["reportingInstance"] == f"c1-{socket.gethostname()}"[:128]
    assert event["action"] == "R"
    assert event["note"] == "ä" * 510 + "..."
    assert in_events_v1(regarding, "ä" * 512)["note"] == "ä" * 512


def test_a_counted_event_becomes_a_series() -> None:
    """An event with a count above 1 has a series in events.k8s.io, with the same times."""
    event = make_event({"kind": "Pod", "name": "p"}, "Normal", "R", "m", nanoseconds=NOW, component="c", host="i")
    assert "series" not in events_v1_form(event)
    event |= {"count": 3, "lastTimestamp": "2023-11-14T23:00:00Z"}
    series = {"series": {"count": 3, "lastObservedTime": "2023-11-14T23:00:00.000001Z"}}
    made = events_v1_form(event)
    assert made["eventTime"] == "2023-11-14T22:13:20.000001Z"
    assert {"series": made["series"]} == series
    assert events_v1_patch({"count": 3, "lastTimestamp": "2023-11-14T23:00:00Z", "message": "m"}) == series


def test_long_words_are_cut_to_what_the_server_takes() -> None:
    """events.k8s.io limits reason, action and instance to 128 bytes, of which an umlaut has two (k/k#136061)."""
    event = make_event(
        {"kind": "Pod", "name": "web", "namespace": "shop"},
        "Normal",
        "R" * 200,
        "m",
        nanoseconds=10**18,
        component="c",
        host="ä" * 128,
        action="ä" * 128,
    )
    assert event["reason"] == "R" * 200  # the core group has no such limit
    converted = events_v1_form(event)
    assert converted["reason"] == "R" * 128
    assert converted["action"] == converted["reportingInstance"] == "ä" * 64
