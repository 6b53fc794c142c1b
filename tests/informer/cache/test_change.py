"""What a change contains, and how changes compare."""

from __future__ import annotations

import gc
import pickle
from typing import Any

import pytest
from kubernetes.client import V1Secret

from informer import Change, DeltaType, Object
from informer.cache.change import unwrapped
from informer.objects.official import OfficialModel


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


def test_the_type_of_a_watch_event() -> None:
    """As a watch loop names it."""
    kinds = [Change(kind, 1).watch_type for kind in (DeltaType.ADDED, DeltaType.UPDATED, DeltaType.DELETED)]
    assert kinds == ["ADDED", "MODIFIED", "DELETED"]


def test_official_models_are_decoded_when_they_are_read() -> None:
    """Each once, and not at all if it is not read. The change is like any other, and its repr shows no data."""
    decoded: list[str] = []

    class Counting(OfficialModel):
        def __call__(self, item: Any) -> Any:
            decoded.append(item.resource_version)
            return super().__call__(item)

    def secret(version: str) -> Object:
        return Object.from_dict({"metadata": {"name": "s", "resourceVersion": version}, "data": {"key": "czNjcmV0"}})

    old, new = secret("1"), secret("2")
    stored = Change(DeltaType.UPDATED, new, old, is_sync=True, key="s")
    shown = unwrapped(stored, Counting(V1Secret))
    assert isinstance(shown, Change)
    assert (shown.type, shown.key, shown.is_sync, shown.watch_type, shown.reason) == (
        "Updated",
        "s",
        True,
        "MODIFIED",
        "",
    )
    assert "czNjcmV0" not in repr(shown)
    assert decoded == []
    assert shown.object is shown.object
    assert (type(shown.object), shown.object.metadata.resource_version) == (V1Secret, "2")
    assert decoded == ["2"]
    assert "czNjcmV0" not in repr(shown)
    assert shown.old is not None
    assert shown.old.metadata.resource_version == "1"
    assert decoded == ["2", "1"]
    assert shown.last_known is None
    assert not gc.is_tracked(shown)
    again = pickle.loads(pickle.dumps(shown))
    assert again == shown
    with pytest.raises(AttributeError):
        shown.object = None
    resynced = unwrapped(Change(DeltaType.UPDATED, new, new, is_sync=True), Counting(V1Secret))
    assert resynced.object is resynced.old
    deleted = unwrapped(Change(DeltaType.DELETED, new, last_known=old, reason="why"), Counting(V1Secret))
    assert (deleted.reason, deleted.old) == ("why", None)
    assert deleted.last_known.metadata.resource_version == "1"
