"""Shards: several processes share the objects of a resource, and each holds and handles its own part of them."""

from __future__ import annotations

import informer.watch_check  # noqa: F401 - before any module that imports `watch`
from informer.sharding.ranges import shard_of, shard_ranges, shard_selector
from informer.sharding.shard_elector import ShardElector
from informer.sharding.sharded_list_watch import ShardedListWatch

__all__ = ["ShardElector", "ShardedListWatch", "shard_of", "shard_ranges", "shard_selector"]
