"""Reading one's own writes: waiting with the next step of a controller until the cache shows the last one.

Comes in: the resourceVersions that the server returned for writes. Goes out: whether the caches have reached them.

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
    """Remembers, for each owner, the newest write to each resource.

    Args:
        stores: by resource name, what tells how far its cache is: an informer (its `last_sync_resource_version`), a store
            (its `resource_version`), or a function that returns a resourceVersion.

    Threads: any.
    """

    def __init__(self, stores: Mapping[str, Any]) -> None:
        self._read = {resource: _reader(store, resource) for resource, store in stores.items()}
        self._lock = Lock()
        self._written: dict[Hashable, dict[str, str]] = {}  # by owner and resource; guarded by _lock

    def wrote_at(self, owner: Hashable, resource: str, rv: str) -> None:
        """Remembers a write.

        Args:
            owner: on whose behalf, such as the key that is being reconciled.
            resource: one of the resources this was made with.
            rv: of the object that the server returned.

        Raises:
            KeyError: there is no such resource.
            ValueError: it is no comparable resourceVersion.
        """
        if resource not in self._read:
            raise KeyError(f"no store of {resource!r} was given (there are: {', '.join(sorted(self._read))})")
        compare_resource_versions(rv, rv)
        with self._lock:
            written = self._written.setdefault(owner, {})
            before = written.get(resource)
            if before is None or compare_resource_versions(before, rv) < 0:
                written[resource] = rv

    def ensure_ready(self, owner: Hashable) -> bool:
        """Whether every cache has reached what was written for an owner; if not, come back later."""
        with self._lock:
            written = dict(self._written.get(owner, {}))
        reached = {resource for resource, version in written.items() if self._has_reached(resource, version)}
        with self._lock:
            mine = self._written.get(owner)
            for resource in reached:
                # A newer write meanwhile is still to be waited for.
                if mine is not None and mine.get(resource) == written[resource]:
                    del mine[resource]
            if mine is not None and not mine:
                del self._written[owner]
        return reached == written.keys()

    def clear(self, owner: Hashable) -> None:
        """Forgets an owner, for example because it is gone."""
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
    raise TypeError(f"the store of {resource!r} has no resourceVersion: an informer, a store or a function is needed")
