"""The initial events of a watch list: what is collected, and how long the end bookmark is awaited."""

from __future__ import annotations

from typing import Any

import pytest

from informer.objects.keys import meta_namespace_key
from informer.reflector.event_reader import EventReader
from informer.reflector.watch_list import BookmarkDeadline, InitialEvents
from watch import Event


def initial(now: float = 0.0) -> InitialEvents:
    reader = EventReader("1", on_undecodable=lambda item: None)
    return InitialEvents(reader, meta_namespace_key, lambda error: None, now)


def added(name: str) -> Event[Any]:
    return Event("ADDED", {"metadata": {"name": name, "resourceVersion": "1"}})


def bookmark(version: str, *, end: bool = False) -> Event[Any]:
    annotations = {"k8s.io/initial-events-end": "true"} if end else {}
    return Event("BOOKMARK", {"metadata": {"resourceVersion": version, "annotations": annotations}})


# Each step: the time, how many objects there are by then, and whether a bookmark came that was not the end.
@pytest.mark.parametrize(
    ("steps", "until"),
    [
        pytest.param([], 15, id="nothing-comes"),
        pytest.param([(10, 99, False)], 15, id="too-few"),
        pytest.param([(10, 100, False)], 25, id="a-hundred"),
        pytest.param([(1, 50, False), (10, 100, False)], 25, id="a-hundred-together"),
        pytest.param([(10, 100, False), (20, 150, False)], 25, id="then-too-few"),
        pytest.param([(10, 100, False), (20, 200, False), (30, 300, False)], 45, id="a-hundred-each-time"),
        pytest.param([(10, 0, True)], 25, id="another-bookmark-begins-the-last-wait"),
        pytest.param([(10, 0, True), (20, 1000, False)], 25, id="which-nothing-puts-off"),
        pytest.param([(10, 0, True), (20, 1000, True)], 25, id="not-even-another"),
    ],
)
def test_the_deadline_is_put_off_by_progress_only(steps: Any, until: float) -> None:
    """Initial events come fast. Events that trickle in, or that follow another bookmark, are live events."""
    deadline = BookmarkDeadline(0.0)
    for now, objects, other_bookmark in steps:
        deadline.update(objects, now, other_bookmark=other_bookmark)
    assert deadline.remaining(0) == until


def test_objects_and_later_events_are_released_when_they_are_taken() -> None:
    """They are not kept a second time."""
    made = initial()
    made.feed([added("a"), added("b")], 1)
    assert not made.is_over()
    made.feed([added("c"), bookmark("7", end=True), added("d")], 2)
    assert made.is_over()
    assert made.version == "7"
    assert len(made.take_objects()) == 3
    assert [event.object["metadata"]["name"] for event in made.take_rest()] == ["d"]
    assert (made.take_objects(), made.take_rest()) == ([], [])


def test_an_error_event_ends_the_initial_events() -> None:
    """The bookmark after it is ignored."""
    made = initial()
    made.feed([added("a"), Event("ERROR", {"code": 410}), bookmark("7")], 1)
    assert made.is_over()
    assert made.version == ""
    assert made.error is not None
    assert made.error.is_expired


def test_a_warning_is_due_every_ten_seconds_until_the_end() -> None:
    """Go: TestInitialEventsEndBookmarkTicker. It says that nothing came, or how long ago the last event was."""
    made = initial()
    assert made.warning(9.9) is None
    assert made.warning(10) == (
        "awaiting required bookmark event for initial events stream, no events received for 10s"
    )
    assert made.warning(15) is None
    made.feed([added("a")], 18)
    assert made.warning(20) == (
        "hasn't received required bookmark event marking the end of initial events stream, received last event 2s ago"
    )
    made.feed([bookmark("7", end=True)], 21)
    assert made.warning(30) is None


def test_waits_end_at_the_next_warning_or_the_deadline() -> None:
    """Or at the notice, whichever is sooner."""
    made = initial()
    assert made.wait_seconds(0) == 5
    assert made.notice(4.9) is None
    assert "waiting for the bookmark" in made.notice(5)
    assert made.wait_seconds(5) == 5
    assert made.warning(10)
    assert made.wait_seconds(10) == 5
    assert not made.expired(14.9)
    assert made.expired(15)


def test_more_objects_than_allowed_end_the_initial_events() -> None:
    """Objects are counted, not events: a repeated object counts once, and a deleted one does not count."""
    reader = EventReader("1", on_undecodable=lambda item: None)
    made = InitialEvents(reader, meta_namespace_key, lambda error: None, 0.0, max_objects=2)
    made.feed([added("a"), added("b"), added("b"), Event("DELETED", added("a").object), added("c")], 1)
    assert (made.count, made.is_too_many, made.is_over()) == (2, False, False)
    made.feed([added("d")], 2)
    assert (made.count, made.is_too_many, made.is_over()) == (3, True, True)
    assert made.version == ""
