"""Stores whose objects expire: `ExpirationCache` with any policy, `TTLStore` after a fixed time.

No thread removes expired objects: the caller that reads one removes it.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol

from typing_extensions import TypeVar

from informer.objects.keys import DeletedFinalStateUnknown, key_by, version_of
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock

__all__ = ["ExpirationCache", "ExpirationPolicy", "TTLPolicy", "TTLStore", "TimestampedEntry"]

T = TypeVar("T", default=Any)


class TimestampedEntry(NamedTuple):
    """A stored object.

    Attributes:
        obj: the object.
        timestamp: when it was stored, in seconds of the cache's clock.
    """

    obj: Any
    timestamp: float


class ExpirationPolicy(Protocol):
    """Decides whether a stored object has expired."""

    def is_expired(self, entry: TimestampedEntry) -> bool:
        """Whether an object has expired, so that readers must not get it any more."""
        ...


class TTLPolicy:
    """A policy under which objects expire a fixed time after they were stored.

    Args:
        ttl: the time to live, in seconds; 0 or less: objects never expire.
        clock: the clock of the cache.
    """

    def __init__(self, ttl: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self.ttl = ttl
        self._clock = clock

    def is_expired(self, entry: TimestampedEntry) -> bool:
        """Whether an object is older than `ttl`. An object of exactly that age has not expired."""
        return self.ttl > 0 and self._clock.monotonic() - entry.timestamp > self.ttl


class ExpirationCache(Generic[T]):
    """A store whose objects expire as a policy says.

        cache = ExpirationCache(meta_namespace_key, lambda entry: entry.obj["status"]["phase"] == "Succeeded")

    Reading an expired object with `get`, `get_by_key` or `list` deletes it and returns nothing. Until then `list_keys`, `len`,
    `in` and iteration still count its key. Storing an object again renews its timestamp.

    Args:
        key_func: returns an object's key.
        policy: has a method `is_expired(entry)`, or is such a function; an entry has `obj` and `timestamp`.
        clock: the clock of the timestamps.

    Raises:
        TypeError: `policy` has no `is_expired` and is not a function.

    Threads: any. The policy and the key function run without a lock. Readers share the returned objects with the cache and
    must not change them.

    Source: client-go tools/cache ExpirationCache.
    """

    def __init__(
        self,
        key_func: Callable[[Any], str],
        policy: ExpirationPolicy | Callable[[TimestampedEntry], bool],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        is_expired = getattr(policy, "is_expired", policy)
        if not callable(is_expired):
            raise TypeError(f"policy must be a function or have is_expired(entry), not {type(policy).__name__}")
        self._key = partial(key_by, key_func)
        self._is_expired: Callable[[TimestampedEntry], bool] = is_expired
        self._clock = clock
        self._lock = Lock()
        self._entries: dict[str, TimestampedEntry] = {}  # by key; guarded by _lock, as is the next
        self._resource_version = ""

    def add(self, obj: T) -> None:
        """Stores an object; it replaces the stored object of the same key.

        Raises:
            KeyFuncError: the object has no key.
        """
        key, version = self._key(obj), version_of(obj)
        entry = TimestampedEntry(obj, self._clock.monotonic())
        with self._lock:
            self._entries[key] = entry
            self._resource_version = version or self._resource_version

    def update(self, obj: T) -> None:
        """Stores an object, exactly as `add` does."""
        self.add(obj)

    def delete(self, obj: T | DeletedFinalStateUnknown) -> None:
        """Deletes the object of the same key, if there is one.

        Raises:
            KeyFuncError: the object has no key.
        """
        unknown = isinstance(obj, DeletedFinalStateUnknown)
        key = obj.key if isinstance(obj, DeletedFinalStateUnknown) else self._key(obj)
        version = "" if unknown else version_of(obj)
        with self._lock:
            self._entries.pop(key, None)
            self._resource_version = version or self._resource_version

    def replace(self, items: Iterable[T], resource_version: str) -> None:
        """Replaces the whole content; all objects get the same timestamp.

        Args:
            items: the new content.
            resource_version: the resourceVersion of the list that `items` come from.

        Raises:
            KeyFuncError: an object has no key; nothing was changed.
        """
        now = self._clock.monotonic()
        entries = {self._key(obj): TimestampedEntry(obj, now) for obj in items}
        with self._lock:
            self._entries = entries
            self._resource_version = resource_version

    def resync(self) -> None:
        """Does nothing. It lets a `Reflector` write to a store as it writes to a queue."""

    def bookmark(self, resource_version: str) -> None:
        """Sets the store's resourceVersion; "" changes nothing."""
        with self._lock:
            self._resource_version = resource_version or self._resource_version

    @property
    def resource_version(self) -> str:
        """The resourceVersion of the last write or bookmark, "" before the first."""
        return self._resource_version

    def get(self, obj: T) -> T | None:
        """Returns the stored object of the same key; None if there is none or it has expired."""
        return self.get_by_key(self._key(obj))

    def get_by_key(self, key: str) -> T | None:
        """Returns the object of a key; None if there is none or it has expired."""
        with self._lock:
            entry = self._entries.get(key)
        return None if entry is None or self._expire(key, entry) else entry.obj

    def list(self) -> builtins.list[T]:
        """Returns all objects that have not expired, in no particular order."""
        with self._lock:
            entries = dict(self._entries)
        return [entry.obj for key, entry in entries.items() if not self._expire(key, entry)]

    def list_keys(self) -> builtins.list[str]:
        """Returns all keys, including those of expired objects that no caller has read since."""
        with self._lock:
            return [*self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.list_keys())

    def _expire(self, key: str, entry: TimestampedEntry) -> bool:
        """Whether an entry has expired; if so, it is removed."""
        if not self._is_expired(entry):
            return False
        with self._lock:
            # A newer entry of the same key stays.
            if self._entries.get(key) is entry:
                del self._entries[key]
        return True


class TTLStore(ExpirationCache[T]):
    """A store whose objects expire a fixed time after they were last stored.

        recent = TTLStore(meta_namespace_key, ttl=60)

    It is an `ExpirationCache`: reading an expired object deletes it.

    Args:
        key_func: returns an object's key.
        ttl: the time to live, in seconds; 0 or less: objects never expire.
        clock: measures the time.

    Threads: any. Readers share the returned objects with the store and must not change them.

    Source: client-go tools/cache NewTTLStore.
    """

    def __init__(self, key_func: Callable[[Any], str], ttl: float, *, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(key_func, TTLPolicy(ttl, clock), clock=clock)
