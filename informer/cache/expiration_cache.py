"""A store whose objects grow old: one that has expired is gone once somebody reads it.

Comes in: objects. Goes out: those that have not expired. There is no thread: who reads takes away what is too old.
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
    """An object, and when it was stored, in seconds of the cache's clock."""

    obj: Any
    timestamp: float


class ExpirationPolicy(Protocol):
    """Decides when an object is too old."""

    def is_expired(self, entry: TimestampedEntry) -> bool:
        """Whether an object may not be given to readers any more."""
        ...


class TTLPolicy:
    """Objects live for a time.

    Args:
        ttl: seconds after which an object has expired; 0 or less: never.
        clock: the cache's.
    """

    def __init__(self, ttl: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self.ttl = ttl
        self._clock = clock

    def is_expired(self, entry: TimestampedEntry) -> bool:
        """Whether an object is older than the time; at that very age it is not."""
        return self.ttl > 0 and self._clock.monotonic() - entry.timestamp > self.ttl


class ExpirationCache(Generic[T]):
    """A store of objects that expire.

    Reading an object that has expired (`get`, `get_by_key`, `list`) deletes it. Nothing else does: `list_keys`, `len`,
    `in` and iteration show its key until then. A write begins an object's time anew.

    Args:
        key_func: makes an object's key.
        policy: has `is_expired(entry)`, or is such a function; an entry has `obj` and `timestamp`.
        clock: makes timestamps.

    Raises:
        TypeError: the policy is neither.

    Threads: any; neither the policy nor the key function is called under a lock. Objects are shared: read-only.

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
            raise TypeError(f"a policy has is_expired(entry), or is a function; a {type(policy).__name__} is neither")
        self._key = partial(key_by, key_func)
        self._is_expired: Callable[[TimestampedEntry], bool] = is_expired
        self._clock = clock
        self._lock = Lock()
        self._entries: dict[str, TimestampedEntry] = {}  # by key; guarded by _lock, as is the next
        self._resource_version = ""

    def add(self, obj: T) -> None:
        """Adds an object, or replaces the one of the same key.

        Raises:
            KeyFuncError: it has no key.
        """
        key, version = self._key(obj), version_of(obj)
        entry = TimestampedEntry(obj, self._clock.monotonic())
        with self._lock:
            self._entries[key] = entry
            self._resource_version = version or self._resource_version

    def update(self, obj: T) -> None:
        """The same as `add`."""
        self.add(obj)

    def delete(self, obj: T | DeletedFinalStateUnknown) -> None:
        """Takes an object out; one that is not there is no error.

        Raises:
            KeyFuncError: it has no key.
        """
        unknown = isinstance(obj, DeletedFinalStateUnknown)
        key = obj.key if isinstance(obj, DeletedFinalStateUnknown) else self._key(obj)
        version = "" if unknown else version_of(obj)
        with self._lock:
            self._entries.pop(key, None)
            self._resource_version = version or self._resource_version

    def replace(self, items: Iterable[T], resource_version: str) -> None:
        """Makes these all objects there are, all of the same age.

        Raises:
            KeyFuncError: one of them has no key; nothing was changed.
        """
        now = self._clock.monotonic()
        entries = {self._key(obj): TimestampedEntry(obj, now) for obj in items}
        with self._lock:
            self._entries = entries
            self._resource_version = resource_version

    def resync(self) -> None:
        """Does nothing; a store may stand where a queue does."""

    def bookmark(self, resource_version: str) -> None:
        """Sets the resourceVersion."""
        with self._lock:
            self._resource_version = resource_version or self._resource_version

    @property
    def resource_version(self) -> str:
        """That of the last write or bookmark, "" before any."""
        return self._resource_version

    def get(self, obj: T) -> T | None:
        """The stored object of the same key, or None when there is none or it has expired."""
        return self.get_by_key(self._key(obj))

    def get_by_key(self, key: str) -> T | None:
        """The object of a key, or None when there is none or it has expired."""
        with self._lock:
            entry = self._entries.get(key)
        return None if entry is None or self._expire(key, entry) else entry.obj

    def list(self) -> builtins.list[T]:
        """All objects that have not expired, in no particular order."""
        with self._lock:
            entries = dict(self._entries)
        return [entry.obj for key, entry in entries.items() if not self._expire(key, entry)]

    def list_keys(self) -> builtins.list[str]:
        """All keys, also of what has expired and was not read since."""
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
        """Whether an entry has expired, which is then no longer there."""
        if not self._is_expired(entry):
            return False
        with self._lock:
            # What was written under that key meanwhile is as new as can be.
            if self._entries.get(key) is entry:
                del self._entries[key]
        return True


class TTLStore(ExpirationCache[T]):
    """A store whose objects expire some time after they were last written.

    Args:
        key_func: makes an object's key.
        ttl: seconds after which an object has expired; 0 or less: never.
        clock: tells the time.

    Source: client-go tools/cache NewTTLStore.
    """

    def __init__(self, key_func: Callable[[Any], str], ttl: float, *, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(key_func, TTLPolicy(ttl, clock), clock=clock)
