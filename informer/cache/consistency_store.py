"""`ConsistencyStore`: lets a controller wait until the caches show its own writes.

Source: KEP-5647, client-go tools/cache ConsistencyStore.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

from informer.objects.resource_version import compare_resource_versions, is_comparable, written_version
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
            consistency.wrote_at(key, "pods", created)

    Args:
        stores: what shows the writes, by resource name. It is an informer, a store (its `resource_version`), or a function that
            returns the reached resourceVersion.

    Raises:
        TypeError: one of `stores` is none of these.

    Threads: any.
    """

    def __init__(self, stores: Mapping[str, Any]) -> None:
        self._has_reached = {resource: _reading(store, resource) for resource, store in stores.items()}
        self._lock = Lock()
        # By owner, and by resource and namespace (None if that is not known); guarded by _lock.
        self._written: dict[Hashable, dict[tuple[str, str | None], str]] = {}

    def wrote_at(self, owner: Hashable, resource: str, rv: Any, *, namespace: str | None = None) -> None:
        """Remembers a write.

        Args:
            owner: the object that the write was made for, such as the key that is being reconciled.
            resource: the name of a resource in `stores`.
            rv: the object that the server returned, or its resourceVersion.
            namespace: the namespace of the write. With an informer of several namespaces, only this one has to reach it.
                None takes the object's; with a resourceVersion, every namespace has to reach it.

        Raises:
            KeyError: `stores` has no such resource.
            ValueError: `rv` has no comparable resourceVersion, or the informer does not follow the namespace.
        """
        has_reached = self._has_reached.get(resource)
        if has_reached is None:
            raise KeyError(f"unknown resource {resource!r} (known are: {', '.join(sorted(self._has_reached))})")
        version, namespace = written_version(rv, namespace)
        if namespace is not None:
            has_reached(version, namespace)  # raises for a namespace that is not followed
        with self._lock:
            written = self._written.setdefault(owner, {})
            before = written.get((resource, namespace))
            if before is None or compare_resource_versions(before, version) < 0:
                written[resource, namespace] = version

    def ensure_ready(self, owner: Hashable) -> bool:
        """Whether every cache has reached the last writes of an owner. If not, try again later."""
        with self._lock:
            written = dict(self._written.get(owner, {}))
        reached = {where for where, version in written.items() if self._has_reached[where[0]](version, where[1])}
        with self._lock:
            mine = self._written.get(owner)
            for where in reached:
                # A newer write that was recorded meanwhile stays.
                if mine is not None and mine.get(where) == written[where]:
                    del mine[where]
            if mine is not None and not mine:
                del self._written[owner]
        return reached == written.keys()

    def clear(self, owner: Hashable) -> None:
        """Forgets the writes of an owner, for example after it was deleted."""
        with self._lock:
            self._written.pop(owner, None)


def _reading(store: Any, resource: str) -> Callable[[str, str | None], bool]:
    """Returns a function that tells whether a store shows a write, by resourceVersion and namespace."""
    if hasattr(store, "has_reached"):
        return store.has_reached  # type: ignore[no-any-return]
    read = _reader(store, resource)

    def has_reached(version: str, namespace: str | None) -> bool:
        reached = read()
        return is_comparable(reached) and compare_resource_versions(reached, version) >= 0

    return has_reached


def _reader(store: Any, resource: str) -> Callable[[], str]:
    for attribute in ("last_sync_resource_version", "resource_version"):
        if hasattr(store, attribute):
            return partial(getattr, store, attribute)
    if callable(store):
        return store  # type: ignore[no-any-return]
    raise TypeError(
        f"the store for {resource!r} must be an informer, a store or a function, not {type(store).__name__}"
    )
