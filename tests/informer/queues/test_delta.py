"""Deltas, and the count of what belongs to the first list."""

from __future__ import annotations

import gc

import pytest

from informer.queues.delta import Delta, DeltaType, InitialSync, ReplacedAll


@pytest.mark.parametrize(
    ("member", "text"),
    [
        (DeltaType.ADDED, "Added"),
        (DeltaType.UPDATED, "Updated"),
        (DeltaType.DELETED, "Deleted"),
        (DeltaType.REPLACED, "Replaced"),
        (DeltaType.SYNC, "Sync"),
        (DeltaType.REPLACED_ALL, "ReplacedAll"),
        (DeltaType.SYNC_ALL, "SyncAll"),
        (DeltaType.BOOKMARK, "Bookmark"),
    ],
)
def test_delta_types_read_as_client_gos(member: DeltaType, text: str) -> None:
    """client-go source. A delta type is its string, in str(), f-strings and comparisons."""
    assert str(member) == f"{member}" == member == text


def test_deltas_are_values() -> None:
    """Deltas compare by value and cannot be changed."""
    delta = Delta(DeltaType.ADDED, {"a": 1})
    assert delta == Delta(DeltaType.ADDED, {"a": 1})
    assert delta != Delta(DeltaType.UPDATED, {"a": 1})
    with pytest.raises(AttributeError):
        delta.type = DeltaType.SYNC  # type: ignore[misc]


def test_the_collector_does_not_trace_deltas() -> None:
    """A million deltas in a queue are nothing for the cycle collector to walk through."""
    assert not gc.is_tracked(Delta(DeltaType.ADDED, {"a": []}))
    assert not gc.is_tracked(ReplacedAll([{}], "1"))


class TestInitialSync:
    """When the first list is through."""

    def test_nothing_yet(self) -> None:
        """Before a list or an event it has not synced."""
        assert not InitialSync().done

    def test_an_event_stands_for_an_empty_list(self) -> None:
        """client-go source. What is added one by one needs no list first, and a list after it is no first one."""
        sync = InitialSync()
        sync.added()
        assert sync.done
        assert not sync.replaced(3, None)
        assert sync.done

    def test_a_list_counts_until_it_is_handled(self) -> None:
        """The items of the first list have to be handled, those of later ones not."""
        sync = InitialSync()
        assert sync.replaced(2, None)
        assert not sync.replaced(5, None)
        sync.handled(1)
        assert not sync.done
        sync.handled(1)
        assert sync.done

    def test_each_expected_namespace_needs_its_list(self) -> None:
        """With several namespaces the list of each has to come, and events stand for none of them."""
        sync = InitialSync()
        sync.expect(["a", "b"])
        sync.added()
        assert sync.replaced(0, "a")
        assert not sync.replaced(0, "a")
        assert not sync.done
        assert sync.replaced(1, "b")
        assert not sync.done
        sync.handled(1)
        assert sync.done
