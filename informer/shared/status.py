"""How far an informer's cache is, what keeps it from getting further, and waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from informer.errors import InformerError
from informer.objects.resource_version import compare_resource_versions, is_comparable, written_version
from informer.shared.waiting import StartWarning, Waiters

__all__ = ["Status"]


class _Reflector(Protocol):
    @property
    def is_watching(self) -> bool: ...

    @property
    def last_event_age(self) -> float | None: ...

    @property
    def failing_since(self) -> float | None: ...

    def sync_error(self) -> Exception | None: ...


class _Controller(Protocol):
    """What the status reads; a `Controller` has it."""

    @property
    def reflectors(self) -> Sequence[_Reflector]: ...

    @property
    def has_listed(self) -> bool: ...

    @property
    def applied_resource_version(self) -> str: ...

    def applied_resource_version_of(self, namespace: str) -> str: ...

    def has_synced(self) -> bool: ...


class Status:
    """The readings of one informer, and the waits for them.

    Args:
        find_controller: returns the informer's controller, None before the start. It raises where the informer must not
            be used, and every reading and wait then raises the same.
        waiters: wakes a wait when the informer makes progress, and ends all waits when it stops.
        name: the informer's, for messages.

    Threads: any. No reading waits for a lock that the reader thread holds for long.
    """

    def __init__(
        self, find_controller: Callable[[], _Controller | None], waiters: Waiters, name: str = "informer"
    ) -> None:
        self._find_controller = find_controller
        self._waiters = waiters
        self._name = name

    def has_synced(self) -> bool:
        """Returns whether the first list is in the cache."""
        controller = self._find_controller()
        return controller is not None and controller.has_synced() and controller.has_listed

    def has_reached(self, written: Any, namespace: str | None = None) -> bool:
        """Returns whether the cache shows a write (see `SharedInformer.has_reached`).

        Raises:
            ValueError: it has no comparable resourceVersion (KEP-5504), or the informer does not follow the namespace.
        """
        resource_version, namespace = written_version(written, namespace)
        controller = self._find_controller()
        if controller is None:
            return False
        if namespace is None:
            reached = controller.applied_resource_version
        else:
            reached = controller.applied_resource_version_of(namespace)
        return is_comparable(reached) and compare_resource_versions(reached, resource_version) >= 0

    def wait_until(
        self, predicate: Callable[[], bool], timeout: float | None = None, warning: StartWarning | None = None
    ) -> bool:
        """Waits until `predicate`, which is called after each progress, returns True, or the informer stops.

        `warning` is logged when it is due.

        Returns:
            What the predicate returned last.
        """
        self._find_controller()
        return self._waiters.wait_until(predicate, timeout, warning)

    def on_progress(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called after each progress and at the stop; returns a function that withdraws it."""
        self._find_controller()
        return self._waiters.subscribe(callback)

    def sync_error(self) -> Exception | None:
        """Returns what keeps the cache from syncing or from following the server; None if nothing does."""
        if self._find_controller() is None:
            return InformerError(f"informer {self._name} is not started: call start(), or use it in a `with` block")
        errors = (reflector.sync_error() for reflector in self._reflectors())
        return next((error for error in errors if error is not None), None)

    @property
    def failing_since(self) -> float | None:
        """Since when listing or watching fails, as `time.time()`; None if it does not. With several namespaces the earliest."""
        times = [reflector.failing_since for reflector in self._reflectors()]
        return min((time for time in times if time is not None), default=None)

    @property
    def applied_resource_version(self) -> str:
        """The resourceVersion that the cache has reached, "" before any; with several namespaces the lowest."""
        controller = self._find_controller()
        return "" if controller is None else controller.applied_resource_version

    @property
    def is_watching(self) -> bool:
        """Whether a watch is open; with several namespaces, whether one is open in each."""
        reflectors = self._reflectors()
        return bool(reflectors) and all(reflector.is_watching for reflector in reflectors)

    @property
    def last_event_age(self) -> float | None:
        """Seconds since the server last sent anything; None before. With several namespaces the longest."""
        ages = [reflector.last_event_age for reflector in self._reflectors()]
        known = [age for age in ages if age is not None]
        return max(known) if known and len(known) == len(ages) else None

    def _reflectors(self) -> Sequence[_Reflector]:
        controller = self._find_controller()
        return () if controller is None else controller.reflectors
