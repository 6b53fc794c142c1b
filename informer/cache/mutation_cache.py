"""`MutationCache`: shows a controller its own writes before the informer's cache has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, Protocol

from typing_extensions import TypeVar

from informer.errors import IndexNotFoundError
from informer.lru import LruMap
from informer.objects.keys import DeletedFinalStateUnknown, Meta, last_state_of, meta_namespace_key, metadata_of
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock
from watch.logs import get_logger
from watch.printable import printable

__all__ = ["MutationCache"]

T = TypeVar("T", default=Any)

_log = get_logger(__name__)


class _Store(Protocol):
    def get_by_key(self, key: str) -> Any: ...


class _Indexer(_Store, Protocol):
    @property
    def indexers(self) -> Mapping[str, Callable[[Any], Iterable[str]]]: ...

    def by_index(self, name: str, value: str) -> list[Any]: ...


class _Mutation(NamedTuple):
    """An object that a write returned; with None as the object, a tombstone for a deleted one."""

    obj: Any
    uid: str
    version: int
    expires_at: float


class MutationCache(Generic[T]):
    """A view of a cache that also shows the results of the caller's own writes, as long as they are newer.

    Pass the result of every create, update and patch to `mutation`, and read through `get_by_key` and `by_index`. It is a
    best-effort view: a write is forgotten after `ttl` seconds or when there are more than `size`, and readers then get the
    cache's object. resourceVersions must be integers, as those of every Kubernetes API server are.

    No order of events hides a write. A write is forgotten only after the cache has shown it or a newer state: to the
    handler, or to a reader. Every read looks for a write first, and at the cache second. If it finds the write, it returns
    the newer of the two, whatever happens in between. If it does not, because the write has been forgotten, the cache had
    that state before the read began, and the read that follows shows it, a newer one, or the deletion.

    Register it as a handler too. It then forgets a write once the cache has it, and does not show objects deleted since:

        informer.add_event_handler(
            on_add=cache.on_add_or_update, on_update=lambda old, new: cache.on_add_or_update(new), on_delete=cache.on_delete
        )

    Args:
        backing_store: the cache that `get_by_key` reads.
        indexer: the cache that `by_index` reads; None if `by_index` is not used.
        ttl: how long a write is remembered, in seconds.
        include_adds: whether to show an object that the cache does not have. An object that was created and deleted before
            the informer saw it is then shown until `ttl` is over.
        size: the most writes that are remembered; the least recently used one is evicted first.
        clock: measures the time.

    Raises:
        ValueError: `size` is below 1.

    Threads: any. Index functions run without a lock. Readers share the returned objects and must not change them.

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
        self._clock = clock
        self._lock = Lock()
        self._mutations: LruMap[str, _Mutation] = LruMap(size)  # by key; guarded by _lock

    def mutation(self, obj: T) -> None:
        """Remembers the object that a write returned, unless a newer one is known.

        Raises:
            KeyFuncError: the object has no key.
            ValueError: its resourceVersion is not an integer.
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
        """Forgets the write of this object unless it is newer; the cache now has this state. To be called by a handler.

        Raises:
            KeyFuncError: the object has no key.
            ValueError: its resourceVersion is not an integer.
        """
        key, _, version = _identity(obj)
        with self._lock:
            known = self._known_locked(key)
            if known is not None and version >= known.version:
                self._mutations.pop(key)

    def on_delete(self, obj: T | DeletedFinalStateUnknown) -> None:
        """Stops showing the writes of a deleted object. To be called by a handler.

        Args:
            obj: the object's last known state, which may be older than the write.

        Raises:
            KeyFuncError: the object has no key.
            ValueError: its resourceVersion is not an integer.
        """
        gone = last_state_of(obj)
        if gone is None:
            return
        key, meta, version = _identity(gone)
        with self._lock:
            known = self._known_locked(key)
            # An older delete of another object of the same name does not concern this one.
            if known is None or version >= known.version or known.uid == meta.uid:
                self._put_locked(key, None, meta.uid, version)

    def get_by_key(self, key: str) -> T | None:
        """Returns the newer of the cache's object and the last write, or None.

        Raises:
            ValueError: the resourceVersion of the cache's object is not an integer.
        """
        known = self._known(key)
        newest: T | None = self._newest(key, known, self._store.get_by_key(key))
        return newest

    def by_index(self, name: str, value: str) -> list[T]:
        """Returns the objects under a value of an index, each in its newest state.

        Raises:
            IndexNotFoundError: the index does not exist, or the cache was made without an indexer.
            KeyFuncError: an object of the indexer has no key.
            ValueError: the resourceVersion of an object of the indexer is not an integer.
        """
        if self._indexer is None:
            raise IndexNotFoundError(f"no indexer has been provided to the mutation cache: index {name} is not known")
        found: list[T] = []
        # Before the cache is read: see the class.
        with self._lock:
            writes = {key: self._known_locked(key) for key in self._mutations.keys()}  # noqa: SIM118 - an LruMap is not a dict
        for stored in self._indexer.by_index(name, value):
            key = meta_namespace_key(stored)
            newest = self._newest(key, writes.pop(key, None), stored)
            # The write may have moved it to another value of the index.
            if newest is stored or (newest is not None and self._has_value(key, newest, name, value)):
                found.append(newest)
        for key, known in writes.items() if self._include_adds else ():
            newest = self._newest(key, known, self._indexer.get_by_key(key))
            if newest is not None and self._has_value(key, newest, name, value):
                found.append(newest)
        return found

    def _known(self, key: str) -> _Mutation | None:
        with self._lock:
            return self._known_locked(key)

    def _newest(self, key: str, known: _Mutation | None, stored: Any) -> Any:
        """Returns the newest state of an object.

        Args:
            key: the object's key.
            known: its write, looked up before the cache was read; it may have been forgotten or replaced since.
            stored: what the cache had.
        """
        if stored is None and not self._include_adds:
            # The informer has not seen it yet, or it is deleted: these cannot be told apart.
            return None
        version = -1 if stored is None else _version(metadata_of(stored))
        with self._lock:
            latest = self._known_locked(key) or known
            if latest is None:
                return stored
            if version >= latest.version:
                self._mutations.pop(key)
                return stored
            self._mutations.get(key)  # marks it as used
            return latest.obj

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
        known = self._mutations.peek(key)
        if known is not None and self._clock.monotonic() > known.expires_at:
            self._mutations.pop(key)
            return None
        return known

    def _put_locked(self, key: str, obj: Any, uid: str, version: int) -> None:
        self._mutations.put(key, _Mutation(obj, uid, version, self._clock.monotonic() + self._ttl))


def _identity(obj: Any) -> tuple[str, Meta, int]:
    meta = metadata_of(obj)
    return meta_namespace_key(obj), meta, _version(meta)


def _version(meta: Meta) -> int:
    version = meta.resource_version
    if not version:
        return 0
    if version.isascii() and version.isdecimal():
        return int(version)
    where = printable(meta.namespace + "/" + meta.name, 400)
    raise ValueError(f"the resourceVersion of {where} is not an integer: {version!r:.100}")
