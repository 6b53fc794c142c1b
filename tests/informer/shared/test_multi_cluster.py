"""One resource in three clusters: merged reads, handlers that see the cluster, clusters that come, go and fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from informer import Backoff, ClusterKey, ClusterObject, IndexNotFoundError, MultiClusterInformer, Snapshot, index_by
from informer.testing import EmbeddedAPIServer
from tests.support.waiting import DEADLINE, eventually
from watch import Channel

NAMES = ("eu", "us", "asia")


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, EmbeddedAPIServer]]:
    """Three servers; each has a config map that all have, and one of its own."""
    made = {name: EmbeddedAPIServer().start() for name in NAMES}
    for name, server in made.items():
        for each in ("shared", name):
            server.create(config_map(each, name))
    yield made
    for server in made.values():
        server.stop()


def config_map(name: str, cluster: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": {"in": cluster}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


@pytest.fixture
def make(servers: dict[str, EmbeddedAPIServer]) -> Iterator[Callable[..., MultiClusterInformer[Any]]]:
    """Makes an informer of config maps in some of the clusters."""
    all_made: list[MultiClusterInformer[Any]] = []

    def made(*clusters: str, **options: Any) -> MultiClusterInformer[Any]:
        informer: MultiClusterInformer[Any] = MultiClusterInformer(
            "configmaps", namespace="default", backoff=Backoff(0.005, 0.02), **options
        )
        for cluster in clusters:
            informer.add(cluster, servers[cluster].api_client())
        all_made.append(informer)
        return informer

    yield made
    for informer in all_made:
        informer.stop()
    # Those that a client keeps open have a thread of the server.
    for server in servers.values():
        server.faults.cut_connections()


class Recorder:
    """Keeps the calls of a handler."""

    def __init__(self, informer: MultiClusterInformer[Any]) -> None:
        self.calls: Channel[tuple[str, ...]] = Channel(None)
        self.handle = informer.add_event_handler(
            on_add=lambda cluster, obj: self.calls.put(("add", cluster, obj.name)),
            on_update=lambda cluster, old, new: self.calls.put(("update", cluster, new.name)),
            on_delete=lambda cluster, obj: self.calls.put(("delete", cluster, obj.name)),
        )

    def take(self, count: int) -> list[tuple[str, ...]]:
        return sorted(self.calls.get(DEADLINE) for _ in range(count))


def names(found: list[ClusterObject[Any]]) -> list[tuple[str, str]]:
    return sorted((each.cluster, each.object.name) for each in found)


def test_reads_are_merged(make: Callable[..., MultiClusterInformer[Any]]) -> None:
    maps = make(*NAMES, indexers={"name": index_by("metadata.name")})
    with maps:
        assert maps.wait_for_sync(DEADLINE) == dict.fromkeys(NAMES, True)
        assert names(maps.list()) == sorted((name, each) for name in NAMES for each in ("shared", name))
        assert names(maps.list("in=us", namespace="default")) == [("us", "shared"), ("us", "us")]
        assert names(maps.by_index("name", "shared")) == sorted((name, "shared") for name in NAMES)
        with pytest.raises(IndexNotFoundError):
            maps.by_index("missing", "")
        assert maps.sync_errors() == {}


def test_keys_have_the_cluster(make: Callable[..., MultiClusterInformer[Any]]) -> None:
    maps = make("eu", "us")
    with maps:
        maps.wait_for_sync(DEADLINE)
        found = [maps.get(ClusterKey(name, "default/shared")) for name in ("eu", "us")]
        assert [each.labels["in"] for each in found] == ["eu", "us"]
        key = maps.key_of("us", found[1])
        assert key == ("us", "default/shared")
        assert str(key) == "us/default/shared"
        assert maps.get(ClusterKey("eu", "default/us")) is None
        assert maps.get(ClusterKey("asia", "default/shared")) is None


def test_handlers_are_told_the_cluster(
    make: Callable[..., MultiClusterInformer[Any]], servers: dict[str, EmbeddedAPIServer]
) -> None:
    maps = make("eu", "us")
    recorder = Recorder(maps)
    with maps:
        assert recorder.take(4) == [("add", name, each) for name in ("eu", "us") for each in sorted(["shared", name])]
        assert eventually(recorder.handle.has_synced)
        servers["us"].create(config_map("new", "us"))
        servers["us"].patch("configmaps", "new", {"data": {"a": "b"}}, namespace="default")
        servers["us"].delete("configmaps", "new", namespace="default")
        assert [recorder.calls.get(DEADLINE) for _ in range(3)] == [
            (what, "us", "new") for what in ("add", "update", "delete")
        ]
        late = Recorder(maps)
        assert len(late.take(4)) == 4
        recorder.handle.remove()
        servers["eu"].create(config_map("new", "eu"))
        servers["eu"].delete("configmaps", "new", namespace="default")
        assert late.take(2) == [("add", "eu", "new"), ("delete", "eu", "new")]
        maps.add("asia", servers["asia"].api_client())
        assert len(late.take(2)) == 2
        assert len(recorder.calls) == 0
        assert recorder.handle.registrations.keys() == {"eu", "us"}


def test_clusters_come_and_go(
    make: Callable[..., MultiClusterInformer[Any]], servers: dict[str, EmbeddedAPIServer]
) -> None:
    maps = make("eu")
    recorder = Recorder(maps)
    with maps:
        recorder.take(2)
        maps.add("asia", servers["asia"].api_client())
        assert recorder.take(2) == [("add", "asia", "asia"), ("add", "asia", "shared")]
        assert maps.informers.keys() == {"eu", "asia"}
        assert maps.remove("eu", timeout=DEADLINE)
        assert {each.cluster for each in maps.list()} == {"asia"}
        assert recorder.handle.registrations.keys() == {"asia"}
        # It may come back, under the same name.
        maps.add("eu", servers["us"].api_client())
        assert recorder.take(2) == [("add", "eu", "shared"), ("add", "eu", "us")]


def test_a_cluster_that_is_down_affects_no_other(
    make: Callable[..., MultiClusterInformer[Any]], servers: dict[str, EmbeddedAPIServer]
) -> None:
    down = servers["asia"]
    down.faults.refuse_connections()
    try:
        maps = make(*NAMES)
        with maps:
            assert eventually(lambda: len(maps.list()) == 4)
            assert maps.wait_for_sync(0.05) == {"eu": True, "us": True, "asia": False}
            assert eventually(lambda: maps.sync_errors().keys() == {"asia"})
            down.faults.accept_connections()
            assert all(maps.wait_for_sync(DEADLINE).values())
            # And while it runs.
            down.faults.refuse_connections()
            down.faults.cut_connections()
            assert eventually(lambda: maps.sync_errors().keys() == {"asia"})
            servers["eu"].create(config_map("new", "eu"))
            assert eventually(lambda: maps.get(ClusterKey("eu", "default/new")))
            servers["eu"].delete("configmaps", "new", namespace="default")
            assert len(maps.list("in=asia")) == 2
    finally:
        down.faults.accept_connections()


def test_a_handler_that_blocks_for_a_cluster_does_not_block_another(
    make: Callable[..., MultiClusterInformer[Any]],
) -> None:
    maps = make("eu", "us")
    seen: Channel[str] = Channel(None)
    go = Channel[None](None)

    def on_add(cluster: str, obj: Any, *, is_in_initial_list: bool) -> None:
        if cluster == "eu":
            go.get(DEADLINE)
        seen.put(f"{cluster} {is_in_initial_list}")

    maps.add_event_handler(on_add=on_add)
    with maps:
        assert [seen.get(DEADLINE) for _ in range(2)] == ["us True", "us True"]
        go.put(None)
        go.put(None)
        assert [seen.get(DEADLINE) for _ in range(2)] == ["eu True", "eu True"]


def test_each_cluster_may_have_a_snapshot(
    make: Callable[..., MultiClusterInformer[Any]], servers: dict[str, EmbeddedAPIServer], tmp_path: Path
) -> None:
    for _ in range(2):
        maps = make()
        for name in ("eu", "us"):
            maps.add(name, servers[name].api_client(), snapshot=Snapshot(tmp_path / name, every=0))
        with maps:
            assert all(maps.wait_for_sync(DEADLINE).values())
            assert len(maps.list()) == 4
            lists = [each.controller.reflectors[0].lists for each in maps.informers.values() if each.controller]
        assert maps.stop(DEADLINE)
    assert lists == [0, 0]


def test_wrong_calls_are_refused(
    make: Callable[..., MultiClusterInformer[Any]], servers: dict[str, EmbeddedAPIServer]
) -> None:
    maps, client = make("eu"), servers["eu"].api_client()
    with pytest.raises(ValueError, match=r"^cluster 'eu' exists already: remove it first, or use another name$"):
        maps.add("eu", client)
    with pytest.raises(ValueError, match=r"^a cluster needs a name, not ''$"):
        maps.add("", client)
    for call in (maps.remove, lambda name: maps.key_of(name, None)):
        with pytest.raises(ValueError, match=r"^cluster 'mars' does not exist \(there are: eu\)$"):
            call("mars")
    with pytest.raises(TypeError, match=r"^nothing to call: pass some of on_add, on_update, on_delete$"):
        maps.add_event_handler()
    with pytest.raises(
        TypeError, match=r"^on_add is called with 2 arguments, and is_in_initial_list where it is named"
    ):
        maps.add_event_handler(on_add=lambda obj: None)
    with pytest.raises(
        TypeError, match=r"^a resource of several clusters is a name such as 'pods' or an official model class"
    ):
        MultiClusterInformer(print)  # type: ignore[arg-type]
    maps.start()
    with pytest.raises(RuntimeError, match=r"^the informer of several clusters has started or stopped already$"):
        maps.start()
    assert maps.stop(DEADLINE)
    for late in (lambda: maps.add("us", client), lambda: maps.add_event_handler(on_add=lambda cluster, obj: None)):
        with pytest.raises(RuntimeError, match=r"^the informer of several clusters has stopped: make a new one$"):
            late()
