"""`ConsistencyStore`: lets a controller wait until the caches show its own writes.

Source: KEP-5647, client-go tools/cache ConsistencyStore.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

from informer.objects.resource_version import compare_resource_versions, is_comparable
from watch.concurrency import Lock

__all__ = ["ConsistencyStore"]


class ConsistencyStore:
    """Remembers the newest write to each resource per owner, so that a controller reads its own writes.

    A controller records each of its writes. It skips a key until the caches have reached those writes:

        consistency = ConsistencyStore({"pods": pod_informer})

        def reconcile(key):
            if not consistency.ensure_ready(key):
                return 0.1  # seconds until the next attempt
            created = create_pod(...)
            consistency.wrote_at(key, "pods", created.metadata.resource_version)

    Args:
        stores: a source of the reached resourceVersion by resource name. It is an informer (its
            `last_sync_resource_version`), a store (its `resource_version`), or a function that returns a resourceVersion.

    Raises:
        TypeError: one of `stores` is none of these.

    Threads: any.
    """

    def __init__(self, stores: Mapping[str, Any]) -> None:
        self._read = {resource: _reader(store, resource) for resource, store in stores.items()}
        self._lock = Lock()
        self._written: dict[Hashable, dict[str, str]] = {}  # by owner and resource; guarded by _lock

    def wrote_at(self, owner: Hashable, resource: str, rv: str) -> None:
        """Remembers a write.

        Args:
            owner: the object that the write was made for, such as the key that is being reconciled.
            resource: the name of a resource in `stores`.
            rv: the resourceVersion of the object that the server returned.

        Raises:
            KeyError: `stores` has no such resource.
            ValueError: `rv` is not a comparable resourceVersion.
        """
        if resource not in self._read:
            raise KeyError(f"unknown resource {resource!r} (known are: {', '.join(sorted(self._read))})")
        compare_resource_versions(rv, rv)
        with self._lock:
            written = self._written.setdefault(owner, {})
            before = written.get(resource)
            if before is None or compare_resource_versions(before, rv) < 0:
                written[resource] = rv

    def ensure_ready(self, owner: Hashable) -> bool:
        """Whether every cache has reached the last writes of an owner. If not, try again later."""
        with self._lock:
            written = dict(self._written.get(owner, {}))
        reached = {resource for resource, version in written.items() if self._has_reached(resource, version)}
        with self._lock:
            mine = self._written.get(owner)
            for resource in reached:
                # A newer write that was recorded meanwhile stays.
                if mine is not None and mine.get(resource) == written[resource]:
                    del mine[resource]
            if mine is not None and not mine:
                del self._written[owner]
        return reached == written.keys()

    def clear(self, owner: Hashable) -> None:
        """Forgets the writes of an owner, for example after it was deleted."""
        with self._lock:
            self._written.pop(owner, None)

    def _has_reached(self, resource: str, version: str) -> bool:
        reached = self._read[resource]()
        return is_comparable(reached) and compare_resource_versions(reached, version) >= 0


def _reader(store: Any, resource: str) -> Callable[[], str]:
    for attribute in ("last_sync_resource_version", "resource_version"):
        if hasattr(store, attribute):
            return partial(getattr, store, attribute)
    if callable(store):
        return store  # type: ignore[no-any-return]
    raise TypeError(
        f"the store for {resource!r} must be an informer, a store or a function, not {type(store).__name__}"
    )
