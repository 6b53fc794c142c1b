"""Replicas that share the objects of a real API server, by Leases and shards of the server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from informer import SharedInformer
from informer.sharding import ShardedListWatch, ShardElector, shard_of
from tests.support.objects import config_map
from tests.support.waiting import DEADLINE, Task, eventually

pytestmark = pytest.mark.cluster

SHARDS, COUNT = 4, 40


class Replica:
    """Follows the ConfigMaps of the shards that it owns."""

    def __init__(self, namespace: Any, identity: str) -> None:
        self.informers: dict[int, SharedInformer[Any]] = {}
        self.handled: list[tuple[str, str]] = []
        self._namespace = namespace
        self.elector = ShardElector(
            namespace.cluster.api_client,
            namespace.name,
            "work",
            shards=SHARDS,
            identity=identity,
            on_shard_started=self._follow,
            on_shard_stopped=lambda _: None,
            lease_duration=8,
            renew_deadline=5,
            retry_period=0.2,
        )
        self.stop = threading.Event()
        self.task = Task(self.elector.run, (self.stop,))

    def _follow(self, shard: int, over: threading.Event) -> None:
        source = ShardedListWatch(self._namespace.list_watch("configmaps"), shard, SHARDS)
        informer: SharedInformer[Any] = SharedInformer(source)
        informer.add_event_handler(on_batch=self._handle)
        with informer:
            assert informer.wait_for_sync(DEADLINE)
            self.informers[shard] = informer
            over.wait()
            del self.informers[shard]

    def _handle(self, changes: list[Any]) -> None:
        self.handled += [
            (each.object.uid, each.object.resource_version) for each in changes if not each.is_in_initial_list
        ]

    def cached(self) -> dict[str, str]:
        """The version of each object in the caches, by uid."""
        informers = list(self.informers.values())
        return {obj.uid: obj.resource_version for each in informers for obj in each.store.list()}


@pytest.fixture
def replicas(namespace: Any) -> Iterator[list[Replica]]:
    """Replicas; the Leases are those of an earlier run, so that they need not wait."""
    for i in range(SHARDS):
        lease = {"metadata": {"name": f"work-{i}", "labels": {"informer.sharding/name": "work"}}, "spec": {}}
        namespace.cluster.create(namespace.path("leases", "coordination.k8s.io/v1"), lease)
    with ExitStack() as stack:
        made: list[Replica] = []
        yield made
        for each in made:
            each.stop.set()
        for each in made:
            stack.callback(each.task.result)


def versions(namespace: Any) -> dict[str, str]:
    found = namespace.cluster.items(namespace.configmaps).values()
    return {obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"] for obj in found}


def are_parts(namespace: Any, replicas: list[Replica]) -> bool:
    """Whether the replicas together have each object of the server once."""
    caches = [each.cached() for each in replicas]
    merged = {uid: version for each in caches for uid, version in each.items()}
    return merged == versions(namespace) and sum(map(len, caches)) == len(merged)


def test_replicas_share_the_objects_of_a_server(namespace: Any, replicas: list[Replica]) -> None:
    """Their caches are disjoint and complete, and each change is handled by the owner alone, while replicas come and go."""
    cluster, path = namespace.cluster, namespace.configmaps
    cluster.create_all(path, [config_map(f"c{i}") for i in range(COUNT)])
    for count in (1, 2, 3):
        replicas.append(Replica(namespace, f"r{count}"))
        fair = sorted(SHARDS // count + (i < SHARDS % count) for i in range(count))
        assert eventually(lambda fair=fair: sorted(len(each.informers) for each in replicas) == fair)
        assert eventually(lambda: are_parts(namespace, replicas))
        for each in replicas:
            each.handled.clear()
        changed = cluster.in_parallel(
            lambda i, count=count: cluster.patch(f"{path}/c{i}", {"data": {"value": f"{count}"}}), list(range(10))
        )
        assert eventually(lambda: sum(len(each.handled) for each in replicas) == 10)
        for obj in changed:
            uid, version = obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]
            (owner,) = [each for each in replicas if (uid, version) in each.handled]
            assert shard_of(uid, SHARDS) in owner.elector.owned
    gone = replicas.pop(0)
    gone.stop.set()
    gone.task.result()
    assert eventually(lambda: sum(len(each.informers) for each in replicas) == SHARDS)
    assert eventually(lambda: are_parts(namespace, replicas))
