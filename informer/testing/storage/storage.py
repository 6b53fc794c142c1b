"""What the server keeps: every object's newest state, and the history of all changes since the last compaction.

Comes in: objects to write, under one lock. Goes out: states, snapshots of the past, and changes to whoever subscribed.
One counter gives every write its resourceVersion, as etcd's revision does.

The caller of a method whose name ends in `_locked` holds `Storage.lock`. A `Stored` and a `StoredChange` never change, so
that they can be read without it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from informer.testing.storage.field_selector import fields_of
from watch.concurrency import RLock

__all__ = ["Bucket", "Snapshot", "Storage", "Stored", "StoredChange"]

_encode = msgspec.json.encode
_decode = msgspec.json.decode
# So many snapshots of the past are kept a resource: those of the lists that are being paged through.
_KEPT_SNAPSHOTS = 8


class Form(NamedTuple):
    """How the objects of a resource are stored, as JSON.

    Built-in kinds are stored without kind and apiVersion, since they are written without them into lists; custom ones with
    them, and with all keys sorted, as the real server writes them.
    """

    kind: str = ""
    api_version: str = ""

    def encode(self, obj: Mapping[str, Any]) -> bytes:
        """The JSON of an object that does not say its kind."""
        if not self.kind:
            return _encode(obj)
        return _encode({**obj, "kind": self.kind, "apiVersion": self.api_version}, order="sorted")


_PLAIN = Form()


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One state of one object."""

    key: str  # "namespace/name", or "name"; in its order lists are given
    namespace: str
    name: str
    uid: str
    resource_version: int
    labels: dict[str, str]
    fields: dict[str, str]
    marked: bool  # it has a deletionTimestamp
    held: bool  # it has finalizers
    form: Form
    body: bytes  # the object's JSON, in that form

    def to_dict(self) -> dict[str, Any]:
        """The object without kind and apiVersion; the caller may change it."""
        obj: dict[str, Any] = _decode(self.body)
        obj.pop("kind", None)
        obj.pop("apiVersion", None)
        return obj

    def at(self, resource_version: int) -> Stored:
        """The same object with another resourceVersion: what a deletion shows."""
        obj = self.to_dict()
        obj["metadata"]["resourceVersion"] = str(resource_version)
        return msgspec.structs.replace(self, resource_version=resource_version, body=self.form.encode(obj))


class StoredChange(NamedTuple):
    """A write: the object before (None for a creation) and after it.

    After a deletion it is the state before, with the deletion's resourceVersion, as a watch shows it.
    """

    resource_version: int
    old: Stored | None
    new: Stored
    deleted: bool = False


class Snapshot(NamedTuple):
    """All objects of a resource as they were at a resourceVersion."""

    resource_version: int
    keys: list[str]
    objects: Mapping[str, Stored]


Subscriber = Callable[[StoredChange], object]


class Bucket:
    """The objects of one resource."""

    def __init__(self, paths: tuple[str, ...], form: Form, oldest: int, watchable: int, history_limit: int) -> None:
        self.paths = paths
        self.form = form
        self.objects: dict[str, Stored] = {}
        self.keys: list[str] = []  # of `objects`, sorted
        self.history: deque[StoredChange] = deque()
        self.oldest = oldest
        """Changes after this resourceVersion are all in `history`."""
        self.watchable = watchable
        """A watch can begin at this resourceVersion or a later one."""
        self._limit = history_limit
        self._snapshots: OrderedDict[int, Snapshot] = OrderedDict()
        self._subscribers: dict[int, tuple[str, Subscriber, Callable[[], object]]] = {}
        self._next_subscriber = 0

    def record_locked(self, change: StoredChange) -> None:
        """Makes a change the newest and tells the subscribers."""
        state = change.new
        if change.deleted:
            del self.objects[state.key]
            del self.keys[bisect_left(self.keys, state.key)]
        else:
            if change.old is None:
                insort(self.keys, state.key)
            self.objects[state.key] = state
        self.history.append(change)
        if len(self.history) > self._limit:
            self.oldest = self.history.popleft().resource_version
            self.watchable = max(self.watchable, self.oldest)
        for namespace, subscriber, _ in list(self._subscribers.values()):
            if not namespace or namespace == state.namespace:
                subscriber(change)

    def since_locked(self, resource_version: int) -> list[StoredChange]:
        """The changes after a resourceVersion that is not older than `oldest`, oldest first."""
        newer: list[StoredChange] = []
        for change in reversed(self.history):
            if change.resource_version <= resource_version:
                break
            newer.append(change)
        newer.reverse()
        return newer

    def snapshot_locked(self, resource_version: int, current: int) -> Snapshot:
        """The objects as they were at a resourceVersion from `oldest` to `current`."""
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
        """Calls `subscriber` with every later change in a namespace ("": in all), under the lock: it must be short.

        `ended` is called when the resource is gone. Returns a number to unsubscribe with.
        """
        self._next_subscriber += 1
        self._subscribers[self._next_subscriber] = (namespace, subscriber, ended)
        return self._next_subscriber

    def unsubscribe_locked(self, number: int) -> None:
        """Ends a subscription; again is harmless."""
        self._subscribers.pop(number, None)

    def end_subscriptions_locked(self) -> None:
        """Tells every subscriber that no change will come any more."""
        subscribers, self._subscribers = self._subscribers, {}
        for _, _, ended in subscribers.values():
            ended()

    def forget_locked(self, current: int, *, for_watches_only: bool) -> None:
        """Drops the history up to now."""
        self.watchable = current
        if not for_watches_only:
            self.oldest = current
            self.history.clear()
            self._snapshots.clear()


class Storage:
    """All buckets and the counter.

    Args:
        history_limit: changes kept a resource; older ones are as if compacted.

    Threads: any; `lock` is held for a few lines, or for one write with its checks.
    """

    def __init__(self, history_limit: int) -> None:
        self.lock = RLock()
        self._buckets: dict[str, Bucket] = {}  # guarded by lock
        self._history_limit = history_limit
        self._resource_version = 1  # of the newest write; guarded by lock
        # What buckets made later begin with; guarded by lock.
        self._oldest = self._watchable = 1
        # When buckets that are no more were dropped, with their history; guarded by lock.
        self._dropped: dict[str, int] = {}

    @property
    def resource_version(self) -> int:
        """The newest."""
        return self._resource_version

    def bucket_locked(self, name: str, paths: tuple[str, ...] = (), form: Form = _PLAIN) -> Bucket:
        """The objects of a resource, made when it is first asked for."""
        bucket = self._buckets.get(name)
        if bucket is None:
            dropped = self._dropped.get(name, 0)
            oldest, watchable = max(dropped, self._oldest), max(dropped, self._watchable)
            bucket = self._buckets[name] = Bucket(paths, form, oldest, watchable, self._history_limit)
        return bucket

    def buckets_locked(self) -> Iterable[tuple[str, Bucket]]:
        """All that there are."""
        return list(self._buckets.items())

    def drop_bucket_locked(self, name: str) -> None:
        """Forgets a resource, which must be empty, and ends its watches."""
        bucket = self._buckets.pop(name, None)
        if bucket is not None:
            self._dropped[name] = self._resource_version
            bucket.end_subscriptions_locked()

    def write_locked(self, bucket: Bucket, obj: dict[str, Any], old: Stored | None) -> Stored:
        """Stores an object, whose metadata is complete but for the resourceVersion, and counts one up."""
        version = self._resource_version = self._resource_version + 1
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(version)
        new = make_stored(obj, bucket, version)
        bucket.record_locked(StoredChange(version, old, new))
        return new

    def dry_run_locked(self, bucket: Bucket, obj: dict[str, Any]) -> Stored:
        """The state that an object would make, without storing it."""
        if not obj["metadata"].get("resourceVersion"):
            obj["metadata"].pop("resourceVersion", None)
        return make_stored(obj, bucket, self._resource_version)

    def delete_locked(self, bucket: Bucket, old: Stored) -> Stored:
        """Takes an object out and returns its last state, with the resourceVersion of the deletion."""
        self._resource_version += 1
        last = old.at(self._resource_version)
        bucket.record_locked(StoredChange(self._resource_version, old, last, deleted=True))
        return last

    def compact(self) -> None:
        """Drops all history: what is older than now can be neither listed nor watched any more."""
        with self.lock:
            self._oldest = self._watchable = self._resource_version
            for bucket in self._buckets.values():
                bucket.forget_locked(self._resource_version, for_watches_only=False)

    def forget_watchable(self) -> None:
        """Drops what watches are served from, as a restart does; lists of the past are still there."""
        with self.lock:
            self._watchable = self._resource_version
            for bucket in self._buckets.values():
                bucket.forget_locked(self._resource_version, for_watches_only=True)


def make_stored(obj: dict[str, Any], bucket: Bucket, version: int) -> Stored:
    """The state that an object, complete with metadata, makes."""
    metadata = obj["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    body = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion", "metadata")}
    return Stored(
        key=f"{namespace}/{name}" if namespace else name,
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
