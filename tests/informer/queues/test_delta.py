"""Deltas, and the progress of the first list."""

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
def test_delta_types_have_the_strings_of_client_go(member: DeltaType, text: str) -> None:
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
    """A million queued deltas do not slow the cycle collector down."""
    assert not gc.is_tracked(Delta(DeltaType.ADDED, {"a": []}))
    assert not gc.is_tracked(ReplacedAll([{}], "1"))


class TestInitialSync:
    """When the first list was processed."""

    def test_at_first_it_is_not_done(self) -> None:
        """A list or an event has to come."""
        assert not InitialSync().done

    def test_an_event_counts_as_an_empty_first_list(self) -> None:
        """client-go source. A list after it is not a first one."""
        sync = InitialSync()
        sync.added()
        assert sync.done
        assert not sync.replaced(3, None)
        assert sync.done

    def test_the_first_list_has_to_be_processed(self) -> None:
        """Later lists do not matter."""
        sync = InitialSync()
        assert sync.replaced(2, None)
        assert not sync.replaced(5, None)
        sync.handled(1)
        assert not sync.done
        sync.handled(1)
        assert sync.done

    def test_every_expected_namespace_needs_its_list(self) -> None:
        """An event does not count as the list of a namespace."""
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
