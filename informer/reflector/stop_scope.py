"""Interrupts a reflector's current request or watch when it is stopped."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from watch.concurrency import Lock, Signal, on_set
from watch.event import Event
from watch.request_scope import RequestScope
from watch.watcher import Watcher, puller

__all__ = ["StopScope", "Pull"]

Pull = Callable[[float | None], list[Event[Any]]]
"""Returns the next batch of events of a watch; takes a time-out in seconds (see `BatchWatcher.next_batch`)."""


class StopScope:
    """Aborts the owner's current request and watch as soon as `stop` is set, while its `with` block lasts.

    Args:
        stop: the stop event; may be set on any thread.

    Threads: requests and watches are made on one thread; `is_watching` may be read on any.
    """

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self.scope = RequestScope()
        """Entered around each request, so that a stop aborts it."""
        self._interrupted = Signal()
        self._lock = Lock()
        self._watcher: Watcher[Any] | None = None  # guarded by _lock
        self._withdraw: Callable[[], None] | None = None
        self._is_initial = False

    @property
    def is_watching(self) -> bool:
        """Whether a watch is open; one that still brings initial events does not count."""
        return self._watcher is not None and not self._is_initial

    def __enter__(self) -> Self:
        self._withdraw = on_set(self.stop, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._withdraw is not None:
            self._withdraw()

    @contextlib.contextmanager
    def watching(self, watcher: Watcher[Any]) -> Iterator[Pull]:
        """Yields the watcher's `next_batch`. A stop ends the watch; leaving the `with` block stops the watcher, too."""
        with self._lock:
            self._watcher = watcher
        try:
            if self.stop.is_set():
                watcher.stop()
            yield puller(watcher, stop=self._interrupted)
        finally:
            with self._lock:
                self._watcher = None
            watcher.stop()

    @contextlib.contextmanager
    def initial_events(self) -> Iterator[None]:
        """Marks the open watch as one that still brings the initial events of a watch list, for the `with` block."""
        self._is_initial = True
        try:
            yield
        finally:
            self._is_initial = False

    def _interrupt(self) -> None:
        self._interrupted.set()
        self.scope.cancel()
        with self._lock:
            watcher = self._watcher
        if watcher is not None:
            watcher.stop()
