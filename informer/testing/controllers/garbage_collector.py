"""Deletes objects whose owners are gone, handles the finalizers of foreground and orphan deletions, empties namespaces.

Source: kubernetes pkg/controller/garbagecollector and pkg/controller/namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from informer.lru import LruMap
from informer.testing.storage.object_checks import Target
from informer.testing.storage.registry import Registry
from informer.testing.storage.storage import Storage, Stored, StoredChange
from informer.testing.storage.write import User, Write
from informer.workqueue.limiters import ItemExponentialFailureRateLimiter
from informer.workqueue.queue import ShutDownError
from informer.workqueue.rate_limiting import RateLimitingQueue
from watch.concurrency import Worker
from watch.errors import ApiError
from watch.logs import get_logger

__all__ = ["GarbageCollector"]

_log = get_logger(__name__)
_ACCOUNT = "system:serviceaccount:kube-system:"
_GROUPS = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
_COLLECTOR = Write(user=User(f"{_ACCOUNT}generic-garbage-collector", groups=_GROUPS))
_NAMESPACE_CONTROLLER = Write(user=User(f"{_ACCOUNT}namespace-controller", groups=_GROUPS))
_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
_FINALIZERS = (f'"{_FOREGROUND}"'.encode(), f'"{_ORPHAN}"'.encode())
_OWNED = b'"ownerReferences"'
_MIN_RETRY, _MAX_RETRY = 0.01, 5.0  # seconds
# As many deleted owners are remembered as in the real garbage collector.
_KNOWN_ABSENT = 500


class GarbageCollector:
    """The garbage collector and the namespace controller of a server.

    It sees every write and queues the objects that need work. One thread, which the first of them starts, works them off
    through the registry, as a client would: webhooks are asked, and watches see each step.

    Args:
        storage: tells what is written; its observer is set.
        registry: carries out the deletions.

    Threads: any. `close` ends the thread.
    """

    def __init__(self, storage: Storage, registry: Registry) -> None:
        self._storage = storage
        self._registry = registry
        limiter = ItemExponentialFailureRateLimiter[Item](_MIN_RETRY, _MAX_RETRY)
        self._queue = RateLimitingQueue[Item](limiter)
        # Guarded by the storage's lock, as are the next three.
        self._worker: Worker | None = None
        self._dependents: dict[str, dict[Item, bool]] = {}  # by the owner's uid; true for those that block its deletion
        self._foreground: dict[str, Item] = {}  # objects that wait for the deletion of their dependents, by uid
        self._absent = LruMap[str, bool](_KNOWN_ABSENT)  # the uids of deleted owners
        registry.empties_namespaces = False
        storage.observer = self._observe_locked

    def close(self) -> None:
        """Ends the thread, after the object that it works on. Idempotent."""
        with self._storage.lock:
            self._storage.observer = None
            worker, self._worker = self._worker, None
        self._queue.shut_down()
        if worker is not None:
            worker.join()

    def _observe_locked(self, bucket: str, change: StoredChange) -> None:
        state = change.new
        item = Item(bucket, state.key, state.uid)
        old, new = owner_references(change.old), [] if change.deleted else owner_references(state)
        for reference in old:
            self._dependents.get(reference["uid"], {}).pop(item, None)
        for reference in new:
            blocks = bool(reference.get("blockOwnerDeletion"))
            self._dependents.setdefault(reference["uid"], {})[item] = blocks
        # Owners whose deletion this object may have held up.
        work = [self._foreground[each["uid"]] for each in old if each not in new and each["uid"] in self._foreground]
        if change.deleted:
            self._foreground.pop(state.uid, None)
            dependents = self._dependents.pop(state.uid, {})
            if dependents:
                self._absent.put(state.uid, True)
            work += dependents
        else:
            work += self._work_of_locked(item, change.old, state, is_owned=new != old)
        if not work:
            return
        if self._worker is None:
            self._worker = Worker(self._run, "embedded-apiserver-controllers").start()
        self._queue.add_all(work)

    def _work_of_locked(self, item: Item, old: Stored | None, new: Stored, *, is_owned: bool) -> list[Item]:
        work = [item] if is_owned or (new.marked and item.bucket == "namespaces") else []
        if new.marked and any(each in new.body for each in _FINALIZERS):
            work.append(item)
            if _FINALIZERS[0] in new.body and item.uid not in self._foreground:
                self._foreground[item.uid] = item
                work += self._dependents.get(item.uid, {})
        return work

    def _run(self) -> None:
        while True:
            try:
                item = self._queue.get()
            except ShutDownError:
                return
            try:
                self._process(item)
                self._queue.forget(item)
            except Exception as error:
                if not isinstance(error, ApiError):
                    _log.exception("the embedded API server's controllers fail at %s %s", item.bucket, item.key)
                elif error.status not in (404, 409):
                    _log.warning("the embedded API server's controllers retry %s %s: %s", item.bucket, item.key, error)
                self._queue.add_rate_limited(item)
            finally:
                self._queue.done(item)

    def _process(self, item: Item) -> None:
        with self._storage.lock:
            stored, target = self._find_locked(item)
            dependents = dict(self._dependents.get(item.uid, {}))
        if stored is None or target is None:
            return
        if stored.marked and item.bucket == "namespaces":
            self._empty(stored.name)
        metadata = stored.to_dict()["metadata"]
        finalizers = metadata.get("finalizers") or ()
        if stored.marked and _ORPHAN in finalizers:
            for dependent in dependents:
                self._release(dependent, [item.uid])
            self._update(target, lambda found: _without_finalizer(found, _ORPHAN))
        elif stored.marked and _FOREGROUND in finalizers:
            if not any(dependents.values()):
                self._update(target, lambda found: _without_finalizer(found, _FOREGROUND))
        elif not stored.marked:
            self._collect(item, target, stored, metadata, dependents)

    def _collect(
        self, item: Item, target: Target, stored: Stored, metadata: Mapping[str, Any], dependents: Mapping[Item, bool]
    ) -> None:
        """Deletes an object without an owner; otherwise removes its references to owners that are gone or wait for it."""
        references = owner_references(stored)
        with self._storage.lock:
            owners = [(each["uid"], self._owner_state_locked(target, each)) for each in references]
        states = {state for _, state in owners}
        if not owners or "unknown" in states:
            return
        if "solid" in states:
            if states != {"solid"}:
                self._release(item, [uid for uid, state in owners if state != "solid"])
            return
        policy = {_ORPHAN: "Orphan", _FOREGROUND: "Foreground"}
        chosen = next((policy[each] for each in metadata.get("finalizers") or () if each in policy), "Background")
        preconditions = {"uid": stored.uid, "resourceVersion": str(stored.resource_version)}
        if "waiting" in states and dependents:
            chosen = "Foreground"
        self._registry.delete(target, {"preconditions": preconditions, "propagationPolicy": chosen}, _COLLECTOR)

    def _owner_state_locked(self, dependent: Target, reference: Mapping[str, Any]) -> str:
        """Returns what a reference points to: "absent", "solid", "waiting" for its dependents' deletion, or "unknown"."""
        if self._absent.get(reference["uid"]):
            return "absent"
        served = self._registry.resources.by_kind(reference["apiVersion"], reference["kind"])
        if served is None or (served.resource.namespaced and not dependent.namespace):
            return "unknown"  # as in the real garbage collector, the object is kept
        target = Target(served, dependent.namespace if served.resource.namespaced else "", reference["name"])
        owner = self._registry.bucket_locked(served).objects.get(target.key)
        if owner is None or owner.uid != reference["uid"]:
            return "absent"
        return "waiting" if owner.uid in self._foreground else "solid"

    def _empty(self, namespace: str) -> None:
        """Deletes the objects in a namespace that is being deleted; the last one takes the namespace with it."""
        with self._storage.lock:
            found = [
                Item(name, stored.key, stored.uid)
                for name, bucket in self._storage.buckets_locked()
                for stored in bucket.objects.values()
                if stored.namespace == namespace and not stored.marked
            ]
        failed = None
        for item in found:
            with self._storage.lock:
                _, target = self._find_locked(item)
            options = {"propagationPolicy": "Background", "preconditions": {"uid": item.uid}}
            try:
                if target is not None:
                    self._registry.delete(target, options, _NAMESPACE_CONTROLLER)
            except ApiError as error:
                failed = error if error.status != 404 else failed
        if failed is not None:
            raise failed
        self._registry.finish_namespace(namespace)

    def _release(self, item: Item, owners: Collection[str]) -> None:
        """Removes an object's references to owners."""
        with self._storage.lock:
            _, target = self._find_locked(item)
        if target is not None:
            self._update(target, lambda found: _without_owners(found, owners))

    def _update(self, target: Target, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Stored:
        return self._registry.update(target, change, _COLLECTOR)[0]

    def _find_locked(self, item: Item) -> tuple[Stored | None, Target | None]:
        served = self._registry.resources.by_bucket(item.bucket)
        if served is None:
            return None, None
        stored = self._registry.bucket_locked(served).objects.get(item.key)
        if stored is None or stored.uid != item.uid:
            return None, None
        return stored, Target(served, stored.namespace, stored.name)


def _without_finalizer(obj: dict[str, Any], finalizer: str) -> dict[str, Any]:
    metadata = obj["metadata"]
    metadata["finalizers"] = [each for each in metadata.get("finalizers") or () if each != finalizer]
    return obj


def _without_owners(obj: dict[str, Any], owners: Collection[str]) -> dict[str, Any]:
    metadata = obj["metadata"]
    metadata["ownerReferences"] = [
        each for each in metadata.get("ownerReferences") or () if each.get("uid") not in owners
    ]
    return obj


class Item(NamedTuple):
    """One object, as a key of the work queue."""

    bucket: str
    key: str
    uid: str


def owner_references(stored: Stored | None) -> list[Mapping[str, Any]]:
    """Returns an object's owner references."""
    if stored is None or _OWNED not in stored.body:
        return []
    return [each for each in stored.to_dict()["metadata"].get("ownerReferences") or () if _names_owner(each)]


def _names_owner(reference: Mapping[str, Any]) -> bool:
    """Whether a reference is complete; method calls can store others, which name no owner."""
    return all(isinstance(reference.get(name), str) for name in ("apiVersion", "kind", "name", "uid"))
