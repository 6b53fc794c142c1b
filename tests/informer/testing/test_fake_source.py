"""FakeControllerSource lists and watches as a server does."""

from __future__ import annotations

from typing import Any

import pytest

from informer.testing import FakeControllerSource
from tests.support.objects import pod
from watch.errors import ApiError, WatchClosedError
from watch.event import Event, EventType
from watch.options import ListOptions
from watch.watcher import BatchWatcher


def since(version: str, **options: Any) -> ListOptions:
    return ListOptions(resource_version=version, **options)


def versions(events: list[Event[dict[str, Any]]]) -> list[str]:
    return [event.object["metadata"]["resourceVersion"] for event in events]


@pytest.fixture
def source() -> FakeControllerSource:
    """An empty source."""
    return FakeControllerSource()


@pytest.mark.parametrize(("version", "seen"), [("0", "123"), ("1", "23"), ("2", "3"), ("3", "")])
def test_a_watch_begins_after_its_resource_version(source: FakeControllerSource, version: str, seen: str) -> None:
    """Go: TestRCNumber. A watch shows the changes after its resourceVersion, and ends when the source is shut down."""
    source.add(pod("foo"))
    source.modify(pod("foo"))
    source.modify(pod("foo"))
    assert source.list().resource_version == "3"
    watcher = source.watch(since(version))
    source.shutdown()
    assert versions(list(watcher)) == list(seen)


def test_reset_watch_ends_watches_and_forgets_the_history(source: FakeControllerSource) -> None:
    """Go: TestResetWatch. After a reset only a watch from the present version is possible, and it sees the next change."""
    source.add(pod("foo"))
    source.modify(pod("foo"))
    source.modify(pod("foo"))
    before = source.watch(since("3"))
    source.reset_watch()
    assert list(before) == []
    for old in ("1", "2"):
        with pytest.raises(ApiError) as raised:
            source.watch(since(old))
        assert raised.value.is_expired
    watcher = source.watch(since("3"))
    source.modify(pod("foo"))
    source.shutdown()
    assert versions(list(watcher)) == ["4"]


def test_changes_reach_watches_and_lists(source: FakeControllerSource) -> None:
    """A watch sees adds, modifications and deletes in order; a list shows the resulting objects."""
    watcher = source.watch(since("0"))
    source.add(pod("a", labels={"v": "1"}))
    source.modify(pod("a", labels={"v": "2"}))
    source.add(pod("b"))
    source.delete(pod("b"))
    source.shutdown()
    assert [(e.type, e.object["metadata"]["name"]) for e in watcher] == [
        (EventType.ADDED, "a"),
        (EventType.MODIFIED, "a"),
        (EventType.ADDED, "b"),
        (EventType.DELETED, "b"),
    ]
    assert list(source.objects()) == ["default/a"]
    assert source.objects()["default/a"]["metadata"]["labels"] == {"v": "2"}


def test_drop_watch_changes_are_hidden_from_open_watches_only(source: FakeControllerSource) -> None:
    """The drop_watch methods send no event to open watches; lists and later watches show the change."""
    source.add(pod("a"))
    source.add(pod("b"))
    watcher = source.watch(since("2"))
    source.modify_drop_watch(pod("a"))
    source.add_drop_watch(pod("c"))
    source.delete_drop_watch(pod("b"))
    later = source.watch(since("2"))
    assert source.list().resource_version == "5"
    assert sorted(source.objects()) == ["default/a", "default/c"]
    source.shutdown()
    assert list(watcher) == []
    assert versions(list(later)) == ["3", "4", "5"]


def test_objects_are_copied_in_and_out(source: FakeControllerSource) -> None:
    """Changing an object that was passed in or returned does not change the source."""
    mine = pod("a", labels={"v": "1"})
    watcher = source.watch(since("0"))
    served = source.add(mine)
    mine["metadata"]["labels"]["v"] = "mine"
    served["metadata"]["labels"]["v"] = "served"
    source.list().items[0]["metadata"]["labels"]["v"] = "listed"
    source.objects()["default/a"]["metadata"]["labels"]["v"] = "read"
    next(iter(watcher)).object["metadata"]["labels"]["v"] = "watched"
    assert source.list().items[0]["metadata"]["labels"] == {"v": "1"}
    assert "resourceVersion" not in mine["metadata"]


def test_uids_are_assigned_and_kept(source: FakeControllerSource) -> None:
    """An object without a uid gets the uid of the object that it replaces, or a new one; a given uid is kept."""
    first = source.add(pod("a"))["metadata"]["uid"]
    assert first
    assert source.modify(pod("a"))["metadata"]["uid"] == first
    assert source.delete(pod("a"))["metadata"]["uid"] == first
    assert source.add(pod("a"))["metadata"]["uid"] not in ("", first)
    assert source.modify(pod("a", uid="mine"))["metadata"]["uid"] == "mine"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (since(""), 400),
        (since("abc"), 400),
        (since("-1"), 400),
        (since("7"), 504),
        (since("", send_initial_events=True, resource_version_match="NotOlderThan"), 422),
        (since("0", send_initial_events=True), 422),
    ],
    ids=["unset", "not a number", "negative", "too large", "watch list", "watch list at 0"],
)
def test_a_watch_with_invalid_options_is_refused(
    source: FakeControllerSource, options: ListOptions, status: int
) -> None:
    """A watch fails if its resourceVersion is not a number or too large, and if it asks for a watch list."""
    source.add(pod("a"))
    with pytest.raises(ApiError) as raised:
        source.watch(options)
    assert raised.value.status == status
    assert raised.value.is_too_large_resource_version == (status == 504)
    assert source.watch_calls == [options]
    assert source.open_watches == 0


def test_an_injected_error_is_raised_once(source: FakeControllerSource) -> None:
    """`list_error` and `watch_error` make only the next call fail."""
    source.list_error = ApiError(500)
    source.watch_error = ConnectionResetError("cut")
    with pytest.raises(ApiError):
        source.list(ListOptions(limit=5))
    with pytest.raises(ConnectionResetError, match="cut"):
        source.watch(since("0"))
    assert source.list().items == []
    with source.watch(since("0")):
        assert source.open_watches == 1
    assert source.list_calls == [ListOptions(limit=5), ListOptions()]
    assert source.watch_calls == [since("0"), since("0")]


def test_a_stopped_watch_is_closed(source: FakeControllerSource) -> None:
    """A watch that its reader stops ends, gets no more events and no longer counts as open."""
    watcher = source.watch(since("0"))
    assert source.wait_for_watches(1, timeout=0)
    watcher.stop()
    watcher.stop()
    assert source.open_watches == 0
    assert not source.wait_for_watches(1, timeout=0)
    source.add(pod("a"))
    assert list(watcher) == []


def test_waiting_for_calls_counts_failed_ones(source: FakeControllerSource) -> None:
    """`wait_for_list_calls` and `wait_for_watch_calls` count failed calls too."""
    source.list_error = source.watch_error = ConnectionError()
    for call in (lambda: source.list(), lambda: source.watch(since("0"))):
        with pytest.raises(ConnectionError):
            call()
    assert source.wait_for_list_calls(1, timeout=0)
    assert source.wait_for_watch_calls(1, timeout=0)
    assert not source.wait_for_list_calls(2, timeout=0)
    assert not source.wait_for_watch_calls(2, timeout=0)


def test_a_bookmark_goes_to_watches_that_allow_it(source: FakeControllerSource) -> None:
    """A bookmark carries the present version; only watches that allow bookmarks get it."""
    source.add(pod("a"))
    asked, other = source.watch(since("1", allow_watch_bookmarks=True)), source.watch(since("1"))
    assert source.bookmark() == "1"
    source.shutdown()
    assert [(e.type, e.object["metadata"]) for e in asked] == [(EventType.BOOKMARK, {"resourceVersion": "1"})]
    assert list(other) == []


def test_calls_after_shutdown_fail(source: FakeControllerSource) -> None:
    """After `shutdown` lists and watches raise ConnectionError; a second `shutdown` is harmless."""
    source.shutdown()
    source.shutdown()
    with pytest.raises(ConnectionError):
        source.list()
    with pytest.raises(ConnectionError):
        source.watch(since("0"))


def test_for_namespace_shows_one_namespace(source: FakeControllerSource) -> None:
    """The list-watch of one namespace shows only its objects, at the resourceVersions of the whole source."""
    source.add(pod("a", "one"))
    source.add(pod("b", "two"))
    part = source.for_namespace("two")
    assert [item["metadata"]["name"] for item in part.list(ListOptions()).items] == ["b"]
    assert part.list(ListOptions()).resource_version == "2"
    watcher = part.watch(since("0", allow_watch_bookmarks=True))
    source.add(pod("c", "two"))
    source.bookmark()
    source.shutdown()
    assert versions(list(watcher)) == ["2", "3", "3"]


def test_a_source_of_namespaces_shows_only_these() -> None:
    """A source with `namespaces` neither lists nor watches objects in other namespaces."""
    source = FakeControllerSource(namespaces=["one", "two"])
    watcher = source.watch(since("0"))
    for namespace in ("one", "two", "three"):
        source.add(pod("a", namespace))
    source.shutdown()
    assert [event.object["metadata"]["namespace"] for event in watcher] == ["one", "two"]
    assert list(source.objects()) == ["one/a", "two/a", "three/a"]
    assert [item["metadata"]["namespace"] for item in FakeControllerSource(namespaces=["x"]).list().items] == []


def test_an_object_without_a_name_is_an_error(source: FakeControllerSource) -> None:
    """An object without a name is a ValueError, and the source does not change."""
    with pytest.raises(ValueError, match="has no metadata"):
        source.add({"metadata": {"namespace": "x"}})
    with pytest.raises(ValueError, match="has no metadata"):
        source.add({})
    assert source.resource_version == "0"


def test_watchers_return_batches() -> None:
    """`next_batch` returns all waiting events, raises TimeoutError without any, and WatchClosedError after the end."""
    source = FakeControllerSource()
    watcher = source.watch(since("0"))
    assert isinstance(watcher, BatchWatcher)
    with pytest.raises(TimeoutError):
        watcher.next_batch(0)
    source.add(pod("a"))
    source.add(pod("b"))
    assert versions(watcher.next_batch(0)) == ["1", "2"]
    source.add(pod("c"))
    source.reset_watch()
    assert versions(watcher.next_batch()) == ["3"]
    with pytest.raises(WatchClosedError):
        watcher.next_batch()
