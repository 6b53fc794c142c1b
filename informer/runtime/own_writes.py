"""Holds a key back until the caches show what its last reconcile has written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from informer.cache.consistency_store import ConsistencyStore
from informer.objects.keys import uid_of
from informer.objects.paths import MISSING, get_path
from informer.rate_limited_log import rate_limited
from informer.shared.shared_informer import SharedInformer
from informer.workqueue.priority import PriorityQueue
from watch.concurrency import Lock
from watch.logs import get_logger

__all__ = ["TIMEOUT", "OwnWrites"]

TIMEOUT = 30.0
"""Seconds after which a key is reconciled although the caches do not show its writes. A watch that is cut is resumed sooner."""

_limited = rate_limited(get_logger(__name__))
_DELETION = ("metadata", "deletionTimestamp")


class OwnWrites:
    """Remembers the writes of one controller, by the key that was reconciled.

    Suppose that a reconcile ran before the caches show the writes of the one before. It would repeat these writes: create a
    second child, or undo a change. So `is_ready` holds a key back, and the informers' progress enqueues it again.

    Args:
        informers: the informers whose caches may show writes, by resource name. A write to another resource is not awaited,
            since it has no cache here.
        queue: the queue to which held keys are added again.
        timeout: seconds after which a key is not held back any longer.

    Attributes:
        timeouts: how many keys were reconciled although their writes did not show.

    Threads: any.
    """

    def __init__(
        self, informers: Mapping[str, SharedInformer[Any]], queue: PriorityQueue[str], timeout: float = TIMEOUT
    ) -> None:
        self.timeouts = 0
        self._informers = dict(informers)
        self._queue = queue
        self._timeout = timeout
        self._written = ConsistencyStore(informers)
        self._lock = Lock()
        # By key: the uid of each deleted object, by resource and object key. Guarded by _lock.
        self._deleted: dict[str, dict[tuple[str, str], str]] = {}
        # The held keys, and until when each is held, on the monotonic clock. Those that end first come first. Guarded by _lock.
        self._held: dict[str, float] = {}
        # The key that was added to the queue with a delay, and when that ends. Guarded by _lock.
        self._timer: tuple[str | None, float] = (None, 0.0)
        self._withdraw = [informer.on_progress(self._wake) for informer in self._informers.values()]

    def wrote(self, key: str, resource: str, obj: Any, namespace: str) -> None:
        """Remembers a write; `obj` is what the server returned."""
        if resource in self._informers:
            try:
                self._written.wrote_at(key, resource, obj, namespace=namespace or None)
            except ValueError:
                return  # the informer does not follow this namespace

    def deleted(self, key: str, resource: str, object_key: str, uid: str) -> None:
        """Remembers that an object was deleted."""
        if resource in self._informers:
            with self._lock:
                self._deleted.setdefault(key, {})[resource, object_key] = uid

    def is_ready(self, key: str) -> bool:
        """Whether a key may be reconciled. If not, it is enqueued again when it may."""
        # Held first: progress between the check and the holding would not be noticed.
        now = time.monotonic()
        with self._lock:
            until = self._held.setdefault(key, now + self._timeout)
        if not self._shows_all(key):
            if now < until:
                self._let_go_later(key, now)
                return False
            self.timeouts += 1
            _limited.warning(
                "%r is reconciled although the caches have not shown its last writes for %g s: is a watch cut?",
                key,
                self._timeout,
            )
            self.forget(key)
        with self._lock:
            self._held.pop(key, None)
            waiting = bool(self._held)
        if waiting:
            self._let_go_later(key, now)
        return True

    def forget(self, key: str) -> None:
        """Forgets the writes of a key, for example after its object was deleted."""
        self._written.clear(key)
        with self._lock:
            self._deleted.pop(key, None)
            self._held.pop(key, None)

    def close(self) -> None:
        """Ends the notifications of the informers."""
        for withdraw in self._withdraw:
            withdraw()

    def _let_go_later(self, key: str, now: float) -> None:
        """Sets a timer for the held key that is due next, and enqueues all held keys that are due.

        The timer is a delayed add of that key to the queue. There is one for all held keys. A delayed add of each key would
        cause a needless reconcile later, since most writes show long before.

        Args:
            key: the key that a worker has taken.
            now: the monotonic time.
        """
        with self._lock:
            if key != self._timer[0] and now < self._timer[1]:
                return
            due = [each for each, until in self._held.items() if until <= now and each != key]
            later = next(((each, until) for each, until in self._held.items() if until > now), None)
            self._timer = later or (None, 0.0)
        self._queue.add_all(due)
        if later is not None:
            # A little later, so that rounding does not bring the key before its time.
            self._queue.add_after(later[0], later[1] - now + 0.001)

    def _shows_all(self, key: str) -> bool:
        with self._lock:
            deleted = dict(self._deleted.get(key, {}))
        for (resource, object_key), uid in deleted.items():
            if self._is_gone(resource, object_key, uid):
                with self._lock:
                    mine = self._deleted.get(key, {})
                    mine.pop((resource, object_key), None)
                    if not mine:
                        self._deleted.pop(key, None)
            else:
                return False
        return self._written.ensure_ready(key)

    def _is_gone(self, resource: str, object_key: str, uid: str) -> bool:
        """Whether the cache shows a deletion: the object has gone, is another one, or has begun to be deleted."""
        found = self._informers[resource].store.get_by_key(object_key)
        return found is None or uid_of(found) != uid or get_path(found, _DELETION) is not MISSING

    def _wake(self) -> None:
        # Usually no key is held: this runs after every batch of an informer.
        if not self._held:
            return
        with self._lock:
            held = list(self._held)
        ready = [key for key in held if self._shows_all(key)]
        self._queue.add_all(ready)
