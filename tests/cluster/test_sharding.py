"""Informers of shards against a real kube-apiserver with the feature gate ShardedListAndWatch."""

from __future__ import annotations

from typing import Any

import pytest

from informer.sharding import ShardedListWatch, shard_of
from tests.support.objects import config_map
from tests.support.waiting import DEADLINE, eventually

pytestmark = pytest.mark.cluster

WAYS: dict[str, dict[str, Any]] = {
    "json": {},
    "watch list": {"watch_list": True},
    "pages": {"page_size": 7},
    "protobuf": {"wire": "protobuf"},
    "protobuf watch list": {"wire": "protobuf", "watch_list": True},
    "metadata": {"metadata_only": True},
    "gzip watch list": {"gzip": True, "watch_list": True},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_server_sends_each_shard_to_its_informer(namespace: Any, informers: Any, way: str) -> None:
    """The shards are disjoint and complete, also after changes; the server has filtered its lists."""
    cluster, path = namespace.cluster, namespace.configmaps
    cluster.create_all(path, [config_map(f"c{i}") for i in range(30)])
    options = dict(WAYS[way])
    reading = {name: options.pop(name) for name in ("watch_list", "page_size") if name in options}
    shards = [ShardedListWatch(namespace.list_watch("configmaps", **options), i, 3) for i in range(3)]
    started = [informers.start(shard, **reading) for shard in shards]
    # A watch list names no shard, nor does a list of metadata only.
    named = None if "watch_list" in reading else "metadata_only" not in options
    assert {each.is_sharded_by_server for each in shards} == {named}
    assert sum(len(each.store) for each in started) == 30
    changed = cluster.in_parallel(lambda i: cluster.patch(f"{path}/c{i}", {"data": {"value": way}}), list(range(10)))
    changed.append(cluster.create(path, config_map("new")))
    cluster.delete(f"{path}/c29")
    for obj in changed:
        owner = started[shard_of(obj["metadata"]["uid"], 3)]
        assert owner.wait_for_resource_version(obj["metadata"]["resourceVersion"], DEADLINE)
    assert eventually(lambda: sum(len(each.store) for each in started) == 30)
    listed = {name: obj["metadata"]["uid"] for name, obj in cluster.items(path).items()}
    for i, each in enumerate(started):
        assert {key: obj.uid for key, obj in each.by_key.items()} == {
            key: uid for key, uid in listed.items() if shard_of(uid, 3) == i
        }
