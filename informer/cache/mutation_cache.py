"""A cache's objects, or what the server returned for one's own writes where that is newer.

Comes in: the objects that writes returned, and what handlers are told. Goes out: for each key the newer of the two. It is a
help to the eye only: a write may be forgotten (there are too many, or it grew old), and then the cache's object is shown.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, Protocol

from typing_extensions import TypeVar

from informer.errors import IndexNotFoundError
from informer.objects.keys import DeletedFinalStateUnknown, Meta, meta_namespace_key, metadata_of
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock

__all__ = ["MutationCache"]

T = TypeVar("T", default=Any)

_log = logging.getLogger(__name__)


class _Store(Protocol):
    def get_by_key(self, key: str) -> Any: ...


class _Indexer(_Store, Protocol):
    @property
    def indexers(self) -> Mapping[str, Callable[[Any], Iterable[str]]]: ...

    def by_index(self, name: str, value: str) -> list[Any]: ...


class _Mutation(NamedTuple):
    """What a write returned; or, with None as its object, the mark of one that is known to be deleted."""

    obj: Any
    uid: str
    version: int
    expires_at: float


class MutationCache(Generic[T]):
    """Shows one's own writes before the cache has them.

    Tell it what each write returned (`mutation`). To forget a write as soon as the cache has it, and not to show what was
    deleted since, it should also be told what handlers are:

        informer.add_event_handler(
            on_add=cache.on_add_or_update, on_update=lambda old, new: cache.on_add_or_update(new), on_delete=cache.on_delete
        )

    Args:
        backing_store: what `get_by_key` reads.
        indexer: what `by_index` reads; None where that is not needed.
        ttl: seconds for which a write is remembered.
        include_adds: show also an object that the store does not have. An object that was created and deleted again, and
            never seen by the informer, is then shown until its time is up.
        size: writes that are remembered; the one that was not asked for longest is forgotten first.
        clock: tells the time.

    resourceVersions have to be integers, as those of every Kubernetes API server are.

    Threads: any; index functions are called without a lock. Objects are shared: read-only.

    Source: client-go tools/cache MutationCache.
    """

    def __init__(
        self,
        backing_store: _Store,
        indexer: _Indexer | None = None,
        ttl: float = 300.0,
        include_adds: bool = False,  # noqa: FBT002 - client-go's order of arguments
        *,
        size: int = 100,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._store = backing_store
        self._indexer = indexer
        self._ttl = ttl
        self._include_adds = include_adds
        self._size = size
        self._clock = clock
        self._lock = Lock()
        self._mutations: OrderedDict[str, _Mutation] = OrderedDict()  # by key, last used last; guarded by _lock

    def mutation(self, obj: T) -> None:
        """Remembers what a write returned, unless something newer is known.

        Raises:
            KeyFuncError: it has no key.
            ValueError: its resourceVersion is no integer.
        """
        key, meta, version = _identity(obj)
        with self._lock:
            known = self._known_locked(key)
            if known is not None:
                deleted = known.obj is None and (known.version == version or known.uid == meta.uid)
                if deleted or version < known.version:
                    return
            self._put_locked(key, obj, meta.uid, version)

    def on_add_or_update(self, obj: T) -> None:
        """Tells that the store has an object; a write that is not newer is forgotten.

        Raises:
            KeyFuncError, ValueError: see `mutation`.
        """
        key, _, version = _identity(obj)
        with self._lock:
            known = self._known_locked(key)
            if known is not None and version >= known.version:
                del self._mutations[key]

    def on_delete(self, obj: T | DeletedFinalStateUnknown) -> None:
        """Tells that an object was deleted; a write of it, or one before, is not shown any more.

        Args:
            obj: its last known state, which may be older than the write.

        Raises:
            KeyFuncError, ValueError: see `mutation`.
        """
        gone = obj.obj if isinstance(obj, DeletedFinalStateUnknown) else obj
        if gone is None:
            return
        key, meta, version = _identity(gone)
        with self._lock:
            known = self._known_locked(key)
            # An older delete of another object of that name says nothing of this one.
            if known is None or version >= known.version or known.uid == meta.uid:
                self._put_locked(key, None, meta.uid, version)

    def get_by_key(self, key: str) -> T | None:
        """The newer of the store's object and the last write, or None.

        Raises:
            ValueError: the store's object has a resourceVersion that is no integer.
        """
        newest: T | None = self._newest(key, self._store.get_by_key(key))
        return newest

    def by_index(self, name: str, value: str) -> list[T]:
        """The newest objects under a value of an index.

        Raises:
            IndexNotFoundError: there is no such index, or no indexer at all.
            KeyFuncError, ValueError: an object of the indexer has no key, or a resourceVersion that is no integer.
        """
        if self._indexer is None:
            raise IndexNotFoundError(f"no indexer has been provided to the mutation cache: {name} is not known")
        found: list[T] = []
        seen: set[str] = set()
        for stored in self._indexer.by_index(name, value):
            key = meta_namespace_key(stored)
            seen.add(key)
            newest = self._newest(key, stored)
            # A write may have taken it elsewhere in the index.
            if newest is stored or (newest is not None and self._has_value(key, newest, name, value)):
                found.append(newest)
        if self._include_adds:
            with self._lock:
                others = [key for key in self._mutations if key not in seen]
            for key in others:
                newest = self._newest(key, self._indexer.get_by_key(key))
                if newest is not None and self._has_value(key, newest, name, value):
                    found.append(newest)
        return found

    def _newest(self, key: str, stored: Any) -> Any:
        if stored is None and not self._include_adds:
            # It may not have been seen yet, or be gone already: who knows.
            return None
        version = -1 if stored is None else _version(metadata_of(stored))
        with self._lock:
            known = self._known_locked(key)
            if known is None:
                return stored
            if version >= known.version:
                del self._mutations[key]
                return stored
            self._mutations.move_to_end(key)
            return known.obj

    def _has_value(self, key: str, obj: Any, name: str, value: str) -> bool:
        assert self._indexer is not None
        function = self._indexer.indexers.get(name)
        if function is None:
            return False
        try:
            return value in function(obj)
        except Exception as error:
            _log.warning("mutation cache: index %s failed for %s: %s", name, key, type(error).__name__)
            return False

    def _known_locked(self, key: str) -> _Mutation | None:
        known = self._mutations.get(key)
        if known is not None and self._clock.monotonic() > known.expires_at:
            del self._mutations[key]
            return None
        return known

    def _put_locked(self, key: str, obj: Any, uid: str, version: int) -> None:
        self._mutations[key] = _Mutation(obj, uid, version, self._clock.monotonic() + self._ttl)
        self._mutations.move_to_end(key)
        while len(self._mutations) > self._size:
            self._mutations.popitem(last=False)


def _identity(obj: Any) -> tuple[str, Meta, int]:
    meta = metadata_of(obj)
    return meta_namespace_key(obj), meta, _version(meta)


def _version(meta: Meta) -> int:
    version = meta.resource_version
    if not version:
        return 0
    if version.isascii() and version.isdecimal():
        return int(version)
    raise ValueError(f"the resourceVersion of {meta.namespace}/{meta.name} is no integer: {version!r}")
