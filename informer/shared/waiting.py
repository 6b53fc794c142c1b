"""Waiting for several caches at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from watch.concurrency import Monitor, on_set

__all__ = ["Waiters", "wait_for_cache_sync"]

# A plain function can only be asked again and again. Source: client-go tools/cache syncedPollPeriod.
_POLL = 0.1


def wait_for_cache_sync(
    *informers_or_has_synced: Any, timeout: float | None = None, stop: threading.Event | None = None
) -> bool:
    """Waits until every cache has its first list.

    Args:
        informers_or_has_synced: informers and registrations (anything with `has_synced()`), or functions that say it;
            plain functions are asked ten times a second.
        timeout: at most so many seconds; None waits without limit, 0 does not wait.
        stop: ends the wait when it is set.

    Returns:
        Whether all have synced; False when the time was up, `stop` was set, or one of the informers stopped.

    Raises:
        TypeError: one of them is neither.

    Source: client-go tools/cache WaitForCacheSync.
    """
    checks = [getattr(each, "has_synced", each) for each in informers_or_has_synced]
    for check in checks:
        if not callable(check):
            raise TypeError(f"an informer or a function is needed, not {type(check).__name__}")
    wake = _Wake()
    withdraw: list[Callable[[], None]] = []
    informers = [each for each in informers_or_has_synced if hasattr(each, "on_progress")]
    poll = None if len(informers) == len(checks) else _POLL
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        withdraw += [informer.on_progress(wake.set) for informer in informers]
        if stop is not None:
            withdraw.append(on_set(stop, wake.set))
        while True:
            wake.clear()
            if stop is not None and stop.is_set():
                return False
            if all(check() for check in checks):
                return True
            if any(informer.is_stopped() for informer in informers):
                return False
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            wake.wait(poll if left is None else left if poll is None else min(left, poll))
    finally:
        for each in withdraw:
            each()


class _Wake:
    """Set by whatever makes progress, cleared by the one who looks."""

    def __init__(self) -> None:
        self._monitor = Monitor()
        self._set = False

    def set(self) -> None:
        with self._monitor:
            self._set = True
            self._monitor.notify_all()

    def clear(self) -> None:
        with self._monitor:
            self._set = False

    def wait(self, timeout: float | None) -> None:
        with self._monitor:
            self._monitor.wait_for(lambda: self._set, timeout)


class Waiters:
    """The threads that wait.

    Threads: any. `notify` takes no lock unless somebody waits: a waiter counts itself before it looks at what it waits
    for, so that whoever changes that before the look is seen by it, and whoever changes it later sees the count.
    Predicates and callbacks are users' functions, which may do anything with the informer: no lock is held around them.
    """

    def __init__(self) -> None:
        self._monitor = Monitor()
        self._count = 0  # guarded by _monitor; read without it
        self._news = 0  # how often there was a reason to look again; guarded by _monitor
        self._closed = False  # guarded by _monitor
        # By a token of each, since two may have the same function; each counts as a waiter; guarded by _monitor.
        self._callbacks: dict[object, Callable[[], object]] = {}

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called on each progress and at the end; returns a function that withdraws it."""
        token = object()
        with self._monitor:
            self._callbacks[token] = callback
            self._count += 1
        return lambda: self._unsubscribe(token)

    def wait_until(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) and returns the predicate; ends early when closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._monitor:
            self._count += 1
        try:
            while True:
                with self._monitor:
                    seen = self._news
                    is_last = self._closed
                left = None if deadline is None else deadline - time.monotonic()
                if (result := predicate()) or is_last or (left is not None and left <= 0):
                    return result
                self._wait_for_news(seen, left)
        finally:
            with self._monitor:
                self._count -= 1

    def notify(self) -> None:
        """Has every waiter look again."""
        if self._count:
            self._wake_all()

    def close(self) -> None:
        """Ends every wait, present and future."""
        with self._monitor:
            if self._closed:
                # Not again: a callback that stops the informer comes back here.
                return
            self._closed = True
        self._wake_all()

    def _wait_for_news(self, seen: int, timeout: float | None) -> None:
        with self._monitor:
            self._monitor.wait_for(lambda: self._news != seen, timeout)

    def _wake_all(self) -> None:
        with self._monitor:
            self._news += 1
            self._monitor.notify_all()
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            callback()

    def _unsubscribe(self, token: object) -> None:
        with self._monitor:
            if self._callbacks.pop(token, None) is not None:
                self._count -= 1
