"""Informers of the shards of one resource, on servers that shard and servers that do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest

from informer import Backoff, ListWatch, SharedInformer
from informer.sharding import ShardedListWatch, shard_of
from informer.testing import EmbeddedAPIServer
from informer.testing.server.versions import ServerVersion
from tests.support.objects import config_map
from tests.support.waiting import DEADLINE, eventually

SERVERS: dict[str, dict[str, Any]] = {
    "gate on": {"sharded_list_and_watch": True},
    "gate off": {},
    "1.35": {"version": "1.35", "sharded_list_and_watch": True},
}
COUNT = 40


class Data(msgspec.Struct):
    """A model that must decode objects of its shard only."""

    data: dict[str, str]
    decoded = 0

    def __post_init__(self) -> None:
        Data.decoded += 1


WAYS: dict[str, dict[str, Any]] = {
    "json": {},
    "watch list": {"watch_list": True},
    "pages": {"page_size": 7},
    "protobuf": {"wire": "protobuf"},
    "metadata": {"metadata_only": True},
    "gzip": {"gzip": True, "watch_list": True},
    "model": {"model": Data},
    "namespaces": {"namespace": ["default", "kube-system"]},
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedAPIServer]:
    """A server with some ConfigMaps."""
    with EmbeddedAPIServer(**SERVERS[request.param]) as made:
        for i in range(COUNT):
            made.create(config_map(f"c{i}", namespace="default"))
        yield made


def keys(informer: SharedInformer[Any]) -> set[str]:
    return set(informer.store.list_keys())


@pytest.mark.parametrize("way", WAYS)
def test_the_shards_of_a_resource_are_disjoint_and_complete(server: EmbeddedAPIServer, way: str) -> None:
    """After the list, and after changes of all objects, deletes and new objects."""
    options = dict(WAYS[way])
    reading = {name: options.pop(name) for name in ("watch_list", "page_size") if name in options}
    client = server.api_client()
    before = Data.decoded
    informers = [
        SharedInformer(ShardedListWatch(ListWatch.for_resource(client, "configmaps", **options), i, 3), **reading)
        for i in range(3)
    ]
    seen: list[list[str]] = [[], [], []]
    for informer, names in zip(informers, seen, strict=True):
        informer.add_event_handler(on_update=lambda old, new, names=names: names.append("update"))
        informer.start()
    try:
        assert all(each.wait_for_sync(DEADLINE) for each in informers)
        assert sum(len(keys(each)) for each in informers) == COUNT
        assert set.union(*map(keys, informers)) == {f"default/c{i}" for i in range(COUNT)}
        if way == "model":
            assert Data.decoded - before == COUNT
        changed = [server.update(config_map(f"c{i}", way, namespace="default")) for i in range(10)]
        made = server.create(config_map("new", namespace="default"))
        owner = informers[shard_of(made["metadata"]["uid"], 3)]
        assert owner.wait_for_resource_version(
            made["metadata"]["resourceVersion"], DEADLINE, namespace="default" if way == "namespaces" else None
        )
        assert "default/new" in keys(owner)
        server.delete(made)
        assert eventually(lambda: sum(len(keys(each)) for each in informers) == COUNT)
        assert eventually(lambda: sum(map(len, seen)) == len(changed))
        for obj in changed:
            assert f"default/{obj['metadata']['name']}" in keys(informers[shard_of(obj["metadata"]["uid"], 3)])
    finally:
        for informer in informers:
            informer.stop()


def test_the_gate_may_be_switched_while_informers_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each informer goes on with its shard, whether the server filters or not."""
    with EmbeddedAPIServer(sharded_list_and_watch=True) as server:
        for i in range(COUNT):
            server.create(config_map(f"c{i}", namespace="default"))
        shards = [ShardedListWatch(ListWatch.for_resource(server.api_client(), "configmaps"), i, 2) for i in range(2)]
        informers = [SharedInformer(shard, backoff=Backoff(initial=0.05, maximum=0.2)) for shard in shards]
        with ExitStack() as stack:
            for informer in informers:
                stack.enter_context(informer)
            assert all(each.wait_for_sync(DEADLINE) for each in informers)
            for i, gate in enumerate((True, False, True)):
                monkeypatch.setattr(ServerVersion, "has_sharding", gate)
                server.restart()
                made = server.create(config_map(f"new{i}", namespace="default"))
                owner = informers[shard_of(made["metadata"]["uid"], 2)]
                assert owner.wait_for_resource_version(made["metadata"]["resourceVersion"], DEADLINE)
                assert sum(len(keys(each)) for each in informers) == COUNT + i + 1
