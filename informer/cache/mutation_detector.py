"""Finds out that somebody changed an object of the cache, which everybody shares.

Comes in: objects as they are stored. Goes out: a report when one of them is no longer equal to the copy made of it. It costs
a copy of every object: it is for tests. An `Object` cannot be changed, so only dicts and models are looked at.
"""

from __future__ import annotations

import copy
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from informer.errors import InformerError
from informer.objects.keys import DeletedFinalStateUnknown, metadata_of
from informer.objects.object import Object
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock

__all__ = ["CacheMutatedError", "MutationDetector"]

V = TypeVar("V")

_log = logging.getLogger(__name__)

_VARIABLE = "KUBE_CACHE_MUTATION_DETECTOR"
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})


class CacheMutatedError(InformerError):
    """An object of a cache was changed in place."""


class _Watched(NamedTuple):
    cached: Any
    copied: Any


class MutationDetector:
    """Compares the objects of a cache with copies of them, again and again.

    As an informer's transform it sees every object before anybody else does; as a handler it sees them beside the others:

        detector = MutationDetector("pods", enabled=True)
        informer = SharedInformer(list_watch, transform=detector.transform)     # or informer.add_event_handler(detector)

    Args:
        name: the cache's, for messages.
        failure: called with "cache NAME modified" whenever one is found to be; None raises `CacheMutatedError`.
        period: seconds between two comparisons of `run`.
        retain: seconds after which objects are given up in two steps: one is looked at for at least so long.
        enabled: False does nothing at all; None asks the environment variable KUBE_CACHE_MUTATION_DETECTOR.
        clock: for the waits.

    Threads: any.

    Source: client-go tools/cache MutationDetector.
    """

    def __init__(
        self,
        name: str = "cache",
        *,
        failure: Callable[[str], object] | None = None,
        period: float = 1.0,
        retain: float = 120.0,
        enabled: bool | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.name = name
        self.enabled = os.environ.get(_VARIABLE, "") in _TRUE if enabled is None else enabled
        self._failure = failure
        self._period = period
        self._retain = retain
        self._clock = clock
        self._lock = Lock()
        self._added: list[_Watched] = []  # since the last comparison; guarded by _lock
        self._comparing = Lock()
        self._watched: list[_Watched] = []  # guarded by _comparing, as are the next two
        self._retained: list[_Watched] = []
        self._rotated_at: float | None = None
        if self.enabled:
            _log.warning("mutation detector %r is enabled: it keeps a copy of every object", name)

    def add_object(self, obj: Any) -> None:
        """Watches an object from now on. One that cannot be changed, or not be compared, is left alone."""
        if not self.enabled or obj is None or isinstance(obj, (Object, DeletedFinalStateUnknown)):
            return
        copied = copy.deepcopy(obj)
        if copied != obj:
            _log.debug("mutation detector %r cannot compare objects of type %s", self.name, type(obj).__qualname__)
            return
        with self._lock:
            self._added.append(_Watched(obj, copied))

    def transform(self, obj: V) -> V:
        """Watches an object and returns it: for an informer's transform."""
        self.add_object(obj)
        return obj

    def on_add(self, obj: Any) -> None:
        """Watches an object: as an informer's handler."""
        self.add_object(obj)

    def on_update(self, old: Any, new: Any) -> None:
        """Watches an object's new state: as an informer's handler."""
        self.add_object(new)

    def compare_objects(self) -> None:
        """Compares every object with its copy now, and reports if any differs.

        Raises:
            CacheMutatedError: one differs, and there is no failure function.
        """
        with self._comparing:
            with self._lock:
                self._watched += self._added
                self._added = []
            changed = [watched for watched in (*self._retained, *self._watched) if watched.cached != watched.copied]
        for watched in changed:
            _log.error("cache %s: %s was changed in place", self.name, _described(watched))
        if not changed:
            return
        message = f"cache {self.name} modified"
        if self._failure is None:
            raise CacheMutatedError(message)
        self._failure(message)

    def run(self, stop: threading.Event) -> None:
        """Compares every period until `stop` is set.

        Raises:
            CacheMutatedError: see `compare_objects`.

        Threads: blocks; run it on a thread of its own.
        """
        while self.enabled:
            self._rotate()
            self.compare_objects()
            if self._clock.wait(stop, self._period):
                return

    def _rotate(self) -> None:
        """Gives up objects that were watched for long enough."""
        now = self._clock.monotonic()
        with self._comparing:
            if self._rotated_at is None:
                self._rotated_at = now
            elif now - self._rotated_at > self._retain:
                self._retained, self._watched = self._watched, []
                self._rotated_at = now


def _described(watched: _Watched) -> str:
    """Which object it is and where it differs, without any of its values."""
    try:
        meta = metadata_of(watched.copied)
        name = f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name
    except Exception:
        name = ""
    kind = type(watched.copied).__qualname__
    where = _difference(watched.cached, watched.copied)
    return f"{kind} {name}".strip() + (f" at {where}" if where else "")


def _difference(one: Any, other: Any) -> str:
    """The path to the first difference of two dicts or lists."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        pairs = [(key, one.get(key), other.get(key)) for key in {**one, **other}]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = list(zip(range(len(one)), one, other, strict=True))
    else:
        return ""
    for key, mine, theirs in pairs:
        if mine != theirs:
            below = _difference(mine, theirs)
            return f"{key}.{below}" if below else str(key)
    return ""
