"""Waiting for several caches at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from watch.concurrency import Monitor, on_set

__all__ = ["wait_for_cache_sync"]

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
