"""A list-watch of one shard: its requests, the echo of the server, and what it leaves out."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from informer import ApiError, ListWatch, ObjectList, SharedInformer
from informer.listwatch.source import as_source
from informer.sharding import ShardedListWatch, shard_of, shard_selector
from tests.support.objects import stored_pod
from watch import Event, EventType, FakeWatcher, ListOptions, RaceFreeFakeWatcher
from watch.errors import WatchClosedError

PODS = [stored_pod(f"p{i}", i + 1, str(uuid.uuid5(uuid.NAMESPACE_DNS, f"p{i}"))) for i in range(20)]
OWN = [pod for pod in PODS if shard_of(pod["metadata"]["uid"], 2) == 0]
FOREIGN = [pod for pod in PODS if pod not in OWN]
WATCH = ListOptions(resource_version="5", allow_watch_bookmarks=True)


class Server:
    """Lists all pods, and watches with given events; records the options of each request."""

    def __init__(self) -> None:
        self.asked: list[ListOptions] = []
        self.echo: str | None = None
        self.watcher: Any = RaceFreeFakeWatcher()
        self.list_watch = ListWatch(self.list, self.watch, supports_watch_list=False)

    def list(self, options: ListOptions) -> ObjectList[Any]:
        self.asked.append(options)
        return ObjectList(PODS, "100", shard_selector=self.echo)

    def watch(self, options: ListOptions) -> Any:
        self.asked.append(options)
        return self.watcher


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def sharded(server: Server) -> ShardedListWatch:
    return ShardedListWatch(server.list_watch, 0, 2)


def version_of(event: Event[Any]) -> Any:
    obj = event.object
    return obj["metadata"]["resourceVersion"]


def test_every_request_has_the_selector(server: Server, sharded: ShardedListWatch) -> None:
    """First pages, later pages, watches and watch lists; other options stay."""
    sharded.list(ListOptions(limit=5))
    sharded.list(ListOptions(limit=5, continue_="token"))
    sharded.watch(WATCH)
    assert {options.shard_selector for options in server.asked} == {shard_selector(0, 2)}
    assert [server.asked[1].continue_, server.asked[2].resource_version] == ["token", "5"]


def test_a_list_has_the_objects_of_the_shard(sharded: ShardedListWatch) -> None:
    """Whatever the server sends; version and token stay."""
    page = sharded.list(ListOptions())
    assert page.items == OWN
    assert page.resource_version == "100"


def test_objects_are_sharded_by_namespace(server: Server) -> None:
    """All pods here have one namespace."""
    shard = shard_of("ns", 3)
    sizes = [
        len(ShardedListWatch(server.list_watch, i, 3, field="metadata.namespace").list(WATCH).items) for i in range(3)
    ]
    assert sizes == [len(PODS) if i == shard else 0 for i in range(3)]


def test_a_watch_has_the_events_of_the_shard(server: Server, sharded: ShardedListWatch) -> None:
    """A batch that ends with foreign events has a bookmark with the last version in their place."""
    watcher = sharded.watch(WATCH)
    assert watcher is not None
    for obj in (OWN[0], FOREIGN[0], OWN[1], FOREIGN[1], FOREIGN[2]):
        server.watcher.modify(obj)
    events = watcher.next_batch(5)  # type: ignore[attr-defined]
    assert [event.type for event in events] == [EventType.MODIFIED, EventType.MODIFIED, EventType.BOOKMARK]
    assert [event.object for event in events[:2]] == OWN[:2]
    assert version_of(events[2]) == version_of(Event(EventType.ADDED, FOREIGN[2]))


@pytest.mark.parametrize(
    "options",
    [
        ListOptions(resource_version="5"),
        ListOptions(resource_version="0", allow_watch_bookmarks=True),
        ListOptions(send_initial_events=True, allow_watch_bookmarks=True, resource_version="5"),
    ],
    ids=["no bookmarks", "any order", "initial events"],
)
def test_no_bookmark_is_added_where_it_would_mislead(
    server: Server, sharded: ShardedListWatch, options: ListOptions
) -> None:
    """It was not asked for, or earlier versions may still come."""
    watcher = sharded.watch(options)
    assert watcher is not None
    server.watcher.add(FOREIGN[0])
    server.watcher.add(OWN[0])
    server.watcher.add(FOREIGN[1])
    server.watcher.stop()
    assert [event.object for event in watcher] == [OWN[0]]


def test_bookmarks_are_added_once_the_initial_events_have_ended(server: Server, sharded: ShardedListWatch) -> None:
    watcher = sharded.watch(ListOptions(send_initial_events=True, allow_watch_bookmarks=True))
    assert watcher is not None
    end = {"metadata": {"resourceVersion": "50", "annotations": {"k8s.io/initial-events-end": "true"}}}
    server.watcher.add(FOREIGN[0])
    server.watcher.action(EventType.BOOKMARK, end)
    server.watcher.modify(FOREIGN[1])
    server.watcher.stop()
    assert [version_of(event) for event in watcher] == ["50", version_of(Event(EventType.ADDED, FOREIGN[1]))]


def test_a_wait_for_events_ends_in_time_although_foreign_ones_come(server: Server, sharded: ShardedListWatch) -> None:
    """The time-out says that the connection is alive."""
    watcher = sharded.watch(ListOptions(resource_version="5"))
    assert watcher is not None
    server.watcher.modify(FOREIGN[0])
    with pytest.raises(TimeoutError) as caught:
        watcher.next_batch(0.05)  # type: ignore[attr-defined]
    assert caught.value.progress  # type: ignore[attr-defined]
    server.watcher.modify(OWN[0])
    assert [event.object for event in watcher.next_batch(5)] == [OWN[0]]  # type: ignore[attr-defined]


def test_stopping_the_watch_stops_the_servers(sharded: ShardedListWatch, server: Server) -> None:
    watcher = sharded.watch(WATCH)
    assert watcher is not None
    watcher.stop()
    assert server.watcher.is_stopped()
    with pytest.raises(WatchClosedError):
        watcher.next_batch(5)  # type: ignore[attr-defined]


def test_a_watch_function_without_a_watcher_stays_a_broken_connection(
    server: Server, sharded: ShardedListWatch
) -> None:
    server.watcher = None
    assert sharded.watch(WATCH) is None


def test_the_echo_of_the_shard_is_accepted(server: Server, sharded: ShardedListWatch) -> None:
    """With or without spaces; the list is filtered all the same."""
    assert sharded.is_sharded_by_server is None
    server.echo = sharded.selector.replace(" ", "")
    assert sharded.list(ListOptions()).items == OWN
    assert sharded.is_sharded_by_server is True


def test_the_echo_of_another_shard_is_refused(server: Server, sharded: ShardedListWatch) -> None:
    """The objects of this one would be missing."""
    server.echo = shard_selector(1, 2)
    with pytest.raises(ValueError, match="instead of") as caught:
        sharded.list(ListOptions())
    listed, wanted = (shard_selector(i, 2) for i in (1, 0))
    assert str(caught.value) == f'the server listed the shard "{listed}" instead of "{wanted}"'


def test_a_list_begins_anew_once_the_echo_is_gone(server: Server, sharded: ShardedListWatch) -> None:
    """The next list is accepted."""
    server.echo = sharded.selector
    sharded.list(ListOptions(limit=5))
    server.echo = None
    with pytest.raises(ApiError) as caught:
        sharded.list(ListOptions(limit=5, continue_="token"))
    assert caught.value.is_expired
    assert caught.value.message == "the server no longer shards its lists: the list must begin anew"
    assert sharded.list(ListOptions()).items == OWN
    assert sharded.is_sharded_by_server is False


def test_it_describes_itself_as_the_given_one_does() -> None:
    """Resource, server, namespaces: informers and factories rely on them."""
    inner = ListWatch.for_resource(None, "pods", namespace=["a", "b"])
    sharded = ShardedListWatch(inner, 0, 2)
    assert sharded.resource_name == "pods"
    assert sharded.namespaces == ("a", "b")
    assert not sharded.prefers_watch_list
    assert [namespace for namespace, _ in sharded.by_namespace()] == ["a", "b"]
    assert all(isinstance(each, ShardedListWatch) for _, each in sharded.by_namespace())
    assert as_source(sharded) is sharded


@pytest.mark.parametrize("stop", [RaceFreeFakeWatcher, FakeWatcher], ids=["buffered", "hand-off"])
def test_an_informer_holds_its_shard(server: Server, stop: Callable[[], Any]) -> None:
    """Foreign events advance its version, so that it can wait for a write to an object of another shard."""
    server.watcher = stop()
    informer = SharedInformer(ShardedListWatch(server.list_watch, 0, 2))
    with informer:
        assert informer.wait_for_sync(10)
        changed = {**FOREIGN[0], "metadata": {**FOREIGN[0]["metadata"], "resourceVersion": "101"}}
        server.watcher.modify(changed)
        assert informer.wait_for_resource_version("101", 10)
        server.watcher.delete({**OWN[0], "metadata": {**OWN[0]["metadata"], "resourceVersion": "102"}})
        assert informer.wait_for_resource_version("102", 10)
        assert {obj["metadata"]["name"] for obj in informer.store.list()} == {
            pod["metadata"]["name"] for pod in OWN[1:]
        }
