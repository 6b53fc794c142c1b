"""What a change contains, and how changes compare."""

from __future__ import annotations

import gc

import pytest

from informer import Change, DeltaType
from informer.cache.change import unwrapped


def test_a_change_is_a_value() -> None:
    """Changes are immutable, compare by everything except the key, and equal ones have equal hashes."""
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
def test_changes_differ_by_every_attribute_but_the_key(other: object) -> None:
    """A different type, object, old object or flag makes a different change."""
    assert Change(DeltaType.ADDED, {"a": 1}) != other


def test_the_collector_does_not_trace_changes() -> None:
    """A long backlog of changes gives the cycle collector nothing to traverse."""
    assert not gc.is_tracked(Change(DeltaType.ADDED, {"a": []}))


def test_unwrapping_keeps_everything_else() -> None:
    """Only the objects of an unwrapped change differ."""
    change = Change(DeltaType.UPDATED, [2], [1], is_sync=True, key="x")
    shown = unwrapped(change, lambda item: item[0])
    assert shown == Change(DeltaType.UPDATED, 2, 1, is_sync=True)
    assert shown.key == "x"
    added = Change(DeltaType.ADDED, [2], is_in_initial_list=True)
    assert unwrapped(added, lambda item: item[0]) == Change(DeltaType.ADDED, 2, is_in_initial_list=True)
    deleted = Change(DeltaType.DELETED, [2], final_state_unknown=True)
    assert unwrapped(deleted, lambda item: item[0]) == Change(DeltaType.DELETED, 2, final_state_unknown=True)


def test_an_unwrapped_resync_has_one_object_as_old_and_new() -> None:
    """Unwrapping makes a new object each time, but old and new of a resync stay the same one."""
    item = [{"a": 1}]
    shown = unwrapped(Change(DeltaType.UPDATED, item, item, is_sync=True), lambda item: dict(item[0]))
    assert shown.old is shown.object
