"""What a change tells, and how it compares."""

from __future__ import annotations

import gc

import pytest

from informer import Change, DeltaType
from informer.cache.change import unwrapped


def test_a_change_is_a_value() -> None:
    """Changes compare by what they tell, whatever the key, hash alike when equal, and cannot be changed."""
    change = Change(DeltaType.ADDED, {"a": 1}, is_in_initial_list=True, key="x")
    assert change == Change(DeltaType.ADDED, {"a": 1}, is_in_initial_list=True)
    assert hash(change) == hash(Change(DeltaType.ADDED, {"a": 1}, is_in_initial_list=True))
    with pytest.raises(AttributeError):
        change.object = None  # type: ignore[misc]


@pytest.mark.parametrize(
    "other",
    [
        Change(DeltaType.UPDATED, {"a": 1}),
        Change(DeltaType.ADDED, {"a": 2}),
        Change(DeltaType.ADDED, {"a": 1}, {"a": 0}),
        Change(DeltaType.ADDED, {"a": 1}, is_in_initial_list=True),
        Change(DeltaType.ADDED, {"a": 1}, final_state_unknown=True),
        Change(DeltaType.ADDED, {"a": 1}, is_sync=True),
        "a change",
    ],
    ids=["type", "object", "old", "initial", "unknown", "sync", "no change"],
)
def test_changes_differ_by_whatever_they_tell(other: object) -> None:
    """Every attribute but the key makes a difference."""
    assert Change(DeltaType.ADDED, {"a": 1}) != other


def test_the_collector_does_not_trace_changes() -> None:
    """A long backlog is nothing for the cycle collector to walk through."""
    assert not gc.is_tracked(Change(DeltaType.ADDED, {"a": []}))


def test_unwrapping_keeps_everything_else() -> None:
    """The unwrapped change differs in its objects only."""
    change = Change(DeltaType.UPDATED, [2], [1], is_sync=True, key="x")
    shown = unwrapped(change, lambda item: item[0])
    assert shown == Change(DeltaType.UPDATED, 2, 1, is_sync=True)
    assert shown.key == "x"
    added = Change(DeltaType.ADDED, [2], is_in_initial_list=True)
    assert unwrapped(added, lambda item: item[0]) == Change(DeltaType.ADDED, 2, is_in_initial_list=True)
    deleted = Change(DeltaType.DELETED, [2], final_state_unknown=True)
    assert unwrapped(deleted, lambda item: item[0]) == Change(DeltaType.DELETED, 2, final_state_unknown=True)


def test_a_resync_shows_one_object_twice_even_when_it_is_made_for_each_reader() -> None:
    """What is the same in the cache is the same for the handler, though each unwrapping makes a new object."""
    item = [{"a": 1}]
    shown = unwrapped(Change(DeltaType.UPDATED, item, item, is_sync=True), lambda item: dict(item[0]))
    assert shown.old is shown.object
