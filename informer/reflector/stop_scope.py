"""What a stop interrupts: the request, or the watch, that a reflector is in.

Comes in: a stop event, requests and watchers. Goes out: the same, cut off at once when the event is set, from any thread.
"""

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


class StopScope:
    """Interrupts what its owner's thread does once `stop` is set, while its `with` block lasts.

    Args:
        stop: the stop event.
        max_line_bytes: see `RequestScope`.
        max_objects: see `RequestScope`.

    Threads: requests and watches on one thread; `is_watching` and the stop event from any.
    """

    def __init__(self, stop: threading.Event, max_line_bytes: int, max_objects: int | None) -> None:
        self.stop = stop
        self.scope = RequestScope(max_line_bytes=max_line_bytes, max_objects=max_objects)
        """To be entered around each request."""
        self._interrupted = Signal()
        self._lock = Lock()
        self._watcher: Watcher[Any] | None = None  # guarded by _lock
        self._withdraw: Callable[[], None] | None = None

    @property
    def is_watching(self) -> bool:
        """Whether a watch is open."""
        return self._watcher is not None

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
        """Makes a watcher the one that a stop interrupts, gives its `next_batch`, and stops it in the end."""
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

    def _interrupt(self) -> None:
        self._interrupted.set()
        self.scope.cancel()
        with self._lock:
            watcher = self._watcher
        if watcher is not None:
            watcher.stop()
