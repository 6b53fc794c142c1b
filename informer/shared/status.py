"""What an informer can be asked while it runs: how far its cache is, and what keeps it from getting further.

Threads: any. Nothing here takes a lock that the reader's thread holds for long.
"""

from __future__ import annotations

from collections.abc import Callable

from informer.controller.controller import Controller
from informer.errors import InformerForkedError
from informer.objects.resource_version import compare_resource_versions, is_comparable
from informer.reflector.reflector import Reflector
from informer.shared.waiting import Waiters
from watch.concurrency import Signal

__all__ = ["InformerState"]


class InformerState:
    """The part of a `SharedInformer` that is only looked at.

    Args:
        name: for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._waiters = Waiters()
        self._stop = Signal()
        self._controller: Controller | None = None  # from the start on
        self._forked = False

    def has_synced(self) -> bool:
        """Whether the first list is in the cache."""
        controller = self._running_controller()
        return controller is not None and controller.has_synced() and controller.has_listed

    def wait_for_sync(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for `has_synced`; False too when it stops."""
        return self.wait_until(self.has_synced, timeout)

    def wait_until(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Waits for something about this informer that changes with what it applies or its handlers finish."""
        self._check_forked()
        return self._waiters.wait_until(predicate, timeout)

    def on_progress(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called whenever a `wait_until` would look again, and when it stops; it must not block.

        Returns:
            A function that withdraws it.
        """
        self._check_forked()
        return self._waiters.subscribe(callback)

    def wait_for_resource_version(self, rv: str, timeout: float | None = None) -> bool:
        """Waits until the cache shows what a write made that returned this resourceVersion.

        Args:
            rv: from the server's answer, of the same resource.
            timeout: at most so many seconds; None waits without limit.

        Returns:
            Whether the cache has reached it; False too when the informer stops.

        Raises:
            ValueError: it is no comparable resourceVersion (KEP-5504).
        """
        return self.wait_until(lambda: self.has_reached(rv), timeout)

    def has_reached(self, resource_version: str) -> bool:
        """Whether the cache shows what a write made that returned this resourceVersion; raises ValueError as above."""
        compare_resource_versions(resource_version, resource_version)
        reached = self.last_sync_resource_version
        return is_comparable(reached) and compare_resource_versions(reached, resource_version) >= 0

    def sync_error(self) -> Exception | None:
        """What keeps the informer from syncing, or from following the server; None when nothing does."""
        for reflector in self._reflectors():
            error = reflector.sync_error()
            if error is not None:
                return error
        return None

    @property
    def last_sync_resource_version(self) -> str:
        """The resourceVersion that the cache has reached, "" before any; of several namespaces the lowest."""
        controller = self._running_controller()
        return "" if controller is None else controller.applied_resource_version

    @property
    def is_watching(self) -> bool:
        """Whether a watch is open (of several namespaces: all of them)."""
        reflectors = self._reflectors()
        return bool(reflectors) and all(reflector.is_watching for reflector in reflectors)

    @property
    def last_event_age(self) -> float | None:
        """Seconds since the server last sent anything, bookmarks included; None before. Of several the longest."""
        ages = [reflector.last_event_age for reflector in self._reflectors()]
        known = [age for age in ages if age is not None]
        return max(known) if known and len(known) == len(ages) else None

    @property
    def controller(self) -> Controller | None:
        """What runs its reflectors; None before the start."""
        return self._running_controller()

    def is_started(self) -> bool:
        """Whether it was started."""
        return self._controller is not None

    def is_stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stop.is_set()

    def _reflectors(self) -> list[Reflector]:
        controller = self._running_controller()
        return [] if controller is None else [*controller.reflectors]

    def _running_controller(self) -> Controller | None:
        self._check_forked()
        return self._controller

    def _check_forked(self) -> None:
        if self._forked:
            raise self._forked_error()

    def _forked_error(self) -> InformerForkedError:
        return InformerForkedError(
            f"informer {self.name} was started before this process was forked: start one in the child instead"
        )

    def _check_not_stopped(self, message: str) -> None:
        if self.is_stopped():
            raise RuntimeError(message)

    def _check_not_started(self) -> None:
        if self.is_started():
            raise RuntimeError(f"informer {self.name} has already started")
