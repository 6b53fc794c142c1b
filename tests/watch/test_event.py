"""Events and their types."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from watch import Event, EventType


@pytest.mark.parametrize("kind", list(EventType))
def test_types_are_their_wire_strings(kind: EventType) -> None:
    """client-go source. An event type equals the string on the wire, in text, as a key and in JSON."""
    assert kind == kind.name
    assert str(kind) == f"{kind}" == f"{kind!s}" == "%s" % kind == "{}".format(kind) == kind.name  # noqa: UP031, UP032
    assert f"{kind:>10}" == kind.name.rjust(10)
    assert {kind.name: 1}[kind] == 1
    assert json.dumps(kind) == f'"{kind.name}"'
    assert EventType(kind.name) is kind
    assert pickle.loads(pickle.dumps(kind)) is kind


def test_there_are_five_types() -> None:
    """client-go source. A watch has these five types of events."""
    assert [str(kind) for kind in EventType] == ["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]


def test_an_event_unpacks() -> None:
    """An event unpacks into its type and its object."""
    obj = {"kind": "Pod"}
    event = Event(EventType.ADDED, obj)
    type, object = event
    assert type is event.type is EventType.ADDED
    assert object is event.object is obj
    assert len(event) == 2
    assert Event(object=obj, type=EventType.ADDED) == event


def test_an_event_is_immutable() -> None:
    """Neither its type nor its object can be assigned, and no attribute can be added."""
    event: Any = Event("ADDED", 1)
    for name in ("type", "object", "other"):
        with pytest.raises(AttributeError):
            setattr(event, name, 2)
    with pytest.raises(TypeError):
        event[0] = "MODIFIED"
    with pytest.raises(AttributeError):
        del event.type


def test_events_compare_by_value() -> None:
    """Events with equal types and objects are equal and have equal hashes; a type equals its string."""
    event = Event(EventType.ADDED, "x")
    assert event == Event("ADDED", "x")
    assert hash(event) == hash(Event("ADDED", "x"))
    assert event != Event(EventType.DELETED, "x")
    assert event != Event(EventType.ADDED, "y")
    assert Event("ADDED", {"a": [1]}) == Event("ADDED", {"a": [1]})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_event_pickles(protocol: int) -> None:
    """Pickling and copying give an equal event."""
    event = Event(EventType.BOOKMARK, {"metadata": {"resourceVersion": "5"}})
    for copied in (pickle.loads(pickle.dumps(event, protocol)), copy.copy(event), copy.deepcopy(event)):
        assert type(copied) is Event
        assert copied == event
        assert copied.type is EventType.BOOKMARK


def test_an_event_matches() -> None:
    """`match` takes an event apart by position and by name."""
    match Event(EventType.ADDED, "x"):
        case Event(EventType.DELETED, _):
            found = "deleted"
        case Event(EventType.ADDED, object):
            found = object
        case _:
            found = "none"
    assert found == "x"
    match Event("OTHER", "x"):
        case Event(type="OTHER"):
            found = "other"
    assert found == "other"


def test_an_event_shows_itself() -> None:
    """The repr has the event's type and object."""
    assert repr(Event(EventType.ADDED, {"a": 1})) == "Event(type='ADDED', object={'a': 1})"
    assert repr(Event("OTHER", None)) == "Event(type='OTHER', object=None)"
