"""The store in memory: the newest state of every object, and the history of all changes since the last compaction.

It stands in for etcd and the watch cache. One counter gives every write its resourceVersion, as etcd's revision does.

Callers of a method whose name ends in `_locked` hold `Storage.lock`. `Stored` and `StoredChange` are immutable, so they
may be read without the lock.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from informer.objects.keys import namespaced_name
from informer.testing.storage.field_selector import fields_of
from informer.testing.storage.json_values import decode_object_json
from watch.concurrency import RLock

__all__ = ["Bucket", "Snapshot", "Storage", "Stored", "StoredChange"]

_encode = msgspec.json.encode
# The history of a resource is kept up to about this many bytes of objects, as the number of changes alone bounds nothing.
_HISTORY_BYTES = 32 << 20
# Snapshots of the past kept per resource, for lists whose pages are being read.
_KEPT_SNAPSHOTS = 8


class Form(NamedTuple):
    """How the objects of a resource are stored as JSON.

    Built-in kinds are stored without kind and apiVersion, since the real server leaves these out of list items. Custom
    resources are stored with both, and with sorted keys, as the real server writes them.
    """

    kind: str = ""
    api_version: str = ""
    schema: int = 0
    """The number of the schema by which they were pruned; 0 for none."""

    def encode(self, obj: Mapping[str, Any]) -> bytes:
        """Returns the JSON of an object that has neither kind nor apiVersion."""
        if not self.kind:
            return _encode(obj)
        return _encode({**obj, "kind": self.kind, "apiVersion": self.api_version}, order="sorted")


_PLAIN = Form()


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One state of one object. Immutable."""

    key: str  # "namespace/name", or "name"; lists are sorted by it
    namespace: str
    name: str
    uid: str
    resource_version: int
    labels: dict[str, str]
    fields: dict[str, str]
    marked: bool  # the object has a deletionTimestamp
    held: bool  # the object has finalizers
    form: Form
    body: bytes  # the object as JSON, in this form

    def to_dict(self) -> dict[str, Any]:
        """Returns the object without kind and apiVersion, as a dict that the caller may change."""
        obj: dict[str, Any] = decode_object_json(self.body)
        obj.pop("kind", None)
        obj.pop("apiVersion", None)
        return obj

    def at(self, resource_version: int) -> Stored:
        """Returns the same object with another resourceVersion, as a watch shows a deleted object."""
        obj = self.to_dict()
        obj["metadata"]["resourceVersion"] = str(resource_version)
        return msgspec.structs.replace(self, resource_version=resource_version, body=self.form.encode(obj))


class StoredChange(NamedTuple):
    """One write. `old` is None for a creation; for a deletion `new` is the last state at the deletion's version."""

    resource_version: int
    old: Stored | None
    new: Stored
    deleted: bool = False


class Snapshot(NamedTuple):
    """All objects of a resource as they were at one resourceVersion."""

    resource_version: int
    keys: list[str]
    objects: Mapping[str, Stored]


Subscriber = Callable[[StoredChange], object]


class Bucket:
    """The objects of one resource, and their history.

    Args:
        name: the resource's name, such as "deployments.apps".
        paths: the fields that field selectors may use.
        form: how the objects are stored.
        oldest: initial value of the attribute.
        watchable: initial value of the attribute.
        history_limit: the number of changes kept.
    """

    def __init__(
        self, name: str, paths: tuple[str, ...], form: Form, oldest: int, watchable: int, history_limit: int
    ) -> None:
        self.name = name
        self.paths = paths
        self.form = form
        self.objects: dict[str, Stored] = {}
        self.keys: list[str] = []  # the keys of `objects`, sorted
        self.history: deque[StoredChange] = deque()
        self.oldest = oldest
        """`history` has every change after this resourceVersion; lists can go back to it."""
        self.watchable = watchable
        """A watch can begin at this resourceVersion or a later one."""
        self._limit = history_limit
        self._history_bytes = 0  # of the objects in `history`
        self._snapshots: OrderedDict[int, Snapshot] = OrderedDict()
        self._subscribers: dict[int, tuple[str, Subscriber, Callable[[], object]]] = {}
        self._next_subscriber = 0

    def record_locked(self, change: StoredChange) -> None:
        """Applies a change, appends it to the history and passes it to the subscribers."""
        state = change.new
        if change.deleted:
            del self.objects[state.key]
            del self.keys[bisect_left(self.keys, state.key)]
        else:
            if change.old is None:
                insort(self.keys, state.key)
            self.objects[state.key] = state
        self.history.append(change)
        self._history_bytes += len(state.body)
        while len(self.history) > self._limit or (self._history_bytes > _HISTORY_BYTES and len(self.history) > 1):
            dropped = self.history.popleft()
            self._history_bytes -= len(dropped.new.body)
            self.oldest = dropped.resource_version
            self.watchable = max(self.watchable, self.oldest)
        for namespace, subscriber, _ in list(self._subscribers.values()):
            if not namespace or namespace == state.namespace:
                subscriber(change)

    def since_locked(self, resource_version: int) -> list[StoredChange]:
        """Returns the changes after a resourceVersion, oldest first; it must not be older than `oldest`."""
        newer: list[StoredChange] = []
        for change in reversed(self.history):
            if change.resource_version <= resource_version:
                break
            newer.append(change)
        newer.reverse()
        return newer

    def snapshot_locked(self, resource_version: int, current: int) -> Snapshot:
        """Returns the objects as they were at a resourceVersion between `oldest` and `current`."""
        known = self._snapshots.get(resource_version)
        if known is not None:
            self._snapshots.move_to_end(resource_version)
            return known
        newer = self.since_locked(resource_version)
        objects = dict(self.objects)
        for change in reversed(newer):
            if change.old is None:
                objects.pop(change.new.key, None)
            else:
                objects[change.old.key] = change.old
        keys = list(self.keys) if not newer else sorted(objects)
        snapshot = Snapshot(resource_version, keys, objects)
        self._snapshots[resource_version] = snapshot
        while len(self._snapshots) > _KEPT_SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return snapshot

    def subscribe_locked(self, namespace: str, subscriber: Subscriber, ended: Callable[[], object]) -> int:
        """Subscribes to the changes that are written from now on.

        Args:
            namespace: only changes in this namespace; "" means all.
            subscriber: called with each change. It is called under the lock, so it must not block.
            ended: called when the server stops serving the resource.

        Returns:
            The subscription's number, for `unsubscribe_locked`.
        """
        self._next_subscriber += 1
        self._subscribers[self._next_subscriber] = (namespace, subscriber, ended)
        return self._next_subscriber

    def unsubscribe_locked(self, number: int) -> None:
        """Ends a subscription. Idempotent."""
        self._subscribers.pop(number, None)

    def end_subscriptions_locked(self) -> None:
        """Ends every subscription and calls the subscribers' `ended`."""
        subscribers, self._subscribers = self._subscribers, {}
        for _, _, ended in subscribers.values():
            ended()

    def forget_locked(self, current: int, *, for_watches_only: bool) -> None:
        """Drops the history up to `current`: for watches only, or for lists too."""
        self.watchable = current
        if not for_watches_only:
            self.oldest = current
            self.history.clear()
            self._history_bytes = 0
            self._snapshots.clear()


class Storage:
    """The buckets of all resources, and the counter of resourceVersions.

    Args:
        history_limit: the number of changes kept per resource; older ones count as compacted.

    Threads: any; `lock` is held for a few lines, or for one write with its validation.
    """

    def __init__(self, history_limit: int) -> None:
        self.lock = RLock()
        self._buckets: dict[str, Bucket] = {}  # guarded by lock
        self._history_limit = history_limit
        self._resource_version = 1  # of the newest write; guarded by lock
        # The initial values of new buckets; guarded by lock.
        self._oldest = self._watchable = 1
        # The resourceVersion at which each dropped bucket was dropped; guarded by lock.
        self._dropped: dict[str, int] = {}
        # Called under the lock with the name of the bucket and each change; guarded by lock.
        self.observer: Callable[[str, StoredChange], object] | None = None

    @property
    def resource_version(self) -> int:
        """The resourceVersion of the newest write."""
        return self._resource_version

    def bucket_locked(self, name: str, paths: tuple[str, ...] = (), form: Form = _PLAIN) -> Bucket:
        """Returns a resource's bucket, and makes it on the first call."""
        bucket = self._buckets.get(name)
        if bucket is None:
            dropped = self._dropped.get(name, 0)
            oldest, watchable = max(dropped, self._oldest), max(dropped, self._watchable)
            bucket = self._buckets[name] = Bucket(name, paths, form, oldest, watchable, self._history_limit)
        return bucket

    def buckets_locked(self) -> Iterable[tuple[str, Bucket]]:
        """Returns all buckets with their names."""
        return list(self._buckets.items())

    def drop_bucket_locked(self, name: str) -> None:
        """Removes a resource's bucket, which must be empty, and ends its watches."""
        bucket = self._buckets.pop(name, None)
        if bucket is not None:
            self._dropped[name] = self._resource_version
            bucket.end_subscriptions_locked()

    def write_locked(self, bucket: Bucket, obj: dict[str, Any], old: Stored | None) -> Stored:
        """Stores an object under the next resourceVersion, which it sets; the rest of the metadata is complete."""
        version = self._resource_version = self._resource_version + 1
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(version)
        new = make_stored(obj, bucket, version)
        self._record_locked(bucket, StoredChange(version, old, new))
        return new

    def dry_run_locked(self, bucket: Bucket, obj: dict[str, Any]) -> Stored:
        """Returns the state that a write would store, without storing it."""
        if not obj["metadata"].get("resourceVersion"):
            obj["metadata"].pop("resourceVersion", None)
        return make_stored(obj, bucket, self._resource_version)

    def delete_locked(self, bucket: Bucket, old: Stored) -> Stored:
        """Deletes an object and returns its last state, at the resourceVersion of the deletion."""
        self._resource_version += 1
        last = old.at(self._resource_version)
        self._record_locked(bucket, StoredChange(self._resource_version, old, last, deleted=True))
        return last

    def is_empty_locked(self, namespace: str) -> bool:
        """Returns whether no object of any resource is in a namespace."""
        return all(each.namespace != namespace for bucket in self._buckets.values() for each in bucket.objects.values())

    def _record_locked(self, bucket: Bucket, change: StoredChange) -> None:
        bucket.record_locked(change)
        if self.observer is not None:
            self.observer(bucket.name, change)

    def forget(self, *, for_watches_only: bool) -> None:
        """Drops the history: watches from an older resourceVersion get 410, and lists unless it is for watches only."""
        with self.lock:
            self._watchable = self._resource_version
            if not for_watches_only:
                self._oldest = self._resource_version
            for bucket in self._buckets.values():
                bucket.forget_locked(self._resource_version, for_watches_only=for_watches_only)


def make_stored(obj: dict[str, Any], bucket: Bucket, version: int) -> Stored:
    """Returns the state to store for an object whose metadata is complete."""
    metadata = obj["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    body = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion", "metadata")}
    return Stored(
        key=namespaced_name(namespace, name),
        namespace=namespace,
        name=name,
        uid=metadata["uid"],
        resource_version=version,
        labels=metadata.get("labels") or {},
        fields={"metadata.name": name, "metadata.namespace": namespace, **fields_of(obj, bucket.paths)},
        marked="deletionTimestamp" in metadata,
        held=bool(metadata.get("finalizers")),
        form=bucket.form,
        body=bucket.form.encode({"metadata": metadata, **body}),
    )
