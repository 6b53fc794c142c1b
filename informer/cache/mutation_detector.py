"""`MutationDetector`: a test aid that finds code which changes cached objects in place."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from informer.errors import InformerError
from informer.objects.keys import DeletedFinalStateUnknown, metadata_of, namespaced_name
from informer.objects.object import Object
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock
from watch.logs import get_logger

__all__ = ["CacheMutatedError", "MutationDetector"]

V = TypeVar("V")

_log = get_logger(__name__)

_VARIABLE = "KUBE_CACHE_MUTATION_DETECTOR"
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})


class CacheMutatedError(InformerError):
    """A cached object was changed in place."""


class _Watched(NamedTuple):
    cached: Any
    copied: Any


class MutationDetector:
    """Finds cached objects that were changed in place, by comparing them with copies.

    All readers and handlers share the objects of a cache, so none may change them. The detector copies every object, which
    is for tests only. It ignores an `Object`, which cannot be changed, and watches dicts and models.

    As an informer's transform it sees every object before all handlers; as a handler it sees them together with the others:

        detector = MutationDetector("pods", enabled=True)
        informer = SharedInformer(list_watch, transform=detector.transform)     # or informer.add_event_handler(detector)

    Args:
        name: the cache's name, for messages.
        failure: called with "cache NAME modified" when a comparison finds a changed object; None raises
            `CacheMutatedError`.
        period: the time between two comparisons of `run`, in seconds.
        retain: the least time for which an object is watched, in seconds. Afterwards its copy is released.
        enabled: False switches the detector off; None reads the environment variable KUBE_CACHE_MUTATION_DETECTOR.
        clock: measures the time, and waits.

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
        """Starts to watch an object. It ignores one that cannot be changed, or that does not equal its own copy."""
        if not self.enabled or obj is None or isinstance(obj, (Object, DeletedFinalStateUnknown)):
            return
        copied = copy.deepcopy(obj)
        if copied != obj:
            _log.debug("mutation detector %r cannot compare objects of type %s", self.name, type(obj).__qualname__)
            return
        with self._lock:
            self._added.append(_Watched(obj, copied))

    def transform(self, obj: V) -> V:
        """Starts to watch an object and returns it: an informer's transform."""
        self.add_object(obj)
        return obj

    def on_add(self, obj: Any) -> None:
        """Starts to watch a new object, as a handler."""
        self.add_object(obj)

    def on_update(self, old: Any, new: Any) -> None:
        """Starts to watch an object's new state, as a handler."""
        self.add_object(new)

    def compare_objects(self) -> None:
        """Compares every watched object with its copy, and reports the first difference of each changed one.

        Raises:
            CacheMutatedError: an object was changed, and `failure` is None.
        """
        with self._comparing:
            with self._lock:
                self._watched += self._added
                self._added = []
            changed = [watched for watched in (*self._retained, *self._watched) if watched.cached != watched.copied]
        for watched in changed:
            _log.error("cache %s: %s was changed in place", self.name, _describe(watched))
        if not changed:
            return
        message = f"cache {self.name} modified"
        if self._failure is None:
            raise CacheMutatedError(message)
        self._failure(message)

    def run(self, stop: threading.Event) -> None:
        """Compares once per period until `stop` is set.

        Raises:
            CacheMutatedError: an object was changed, and `failure` is None.

        Threads: blocks; run it on a thread of its own.
        """
        while self.enabled:
            self._rotate()
            self.compare_objects()
            if self._clock.wait(stop, self._period):
                return

    def _rotate(self) -> None:
        """Releases the objects that were watched for at least `retain` seconds."""
        now = self._clock.monotonic()
        with self._comparing:
            if self._rotated_at is None:
                self._rotated_at = now
            elif now - self._rotated_at > self._retain:
                self._retained, self._watched = self._watched, []
                self._rotated_at = now


def _describe(watched: _Watched) -> str:
    """Describes a changed object and the path of its first difference, without any of its values."""
    try:
        meta = metadata_of(watched.copied)
        name = namespaced_name(meta.namespace, meta.name)
    except Exception:
        name = ""
    kind = type(watched.copied).__qualname__
    where = _difference(watched.cached, watched.copied)
    return f"{kind} {name}".strip() + (f" at {where}" if where else "")


def _difference(one: Any, other: Any) -> str:
    """The path of the first difference of two dicts or lists, "" if there is none below."""
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
