"""Waiting for caches: `wait_for_cache_sync` for several of them, `Waiters` inside one informer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from watch.concurrency import Monitor, Signal, on_set
from watch.logs import get_logger

__all__ = ["StartWarning", "Waiters", "seconds_left", "wait_for_cache_sync"]

_log = get_logger(__name__)

# Seconds between two calls of a plain function. Source: client-go tools/cache syncedPollPeriod.
_POLL = 0.1
# Seconds that another thread has to call start() before a wait logs that the informer is not started.
_GRACE = 1.0


def wait_for_cache_sync(
    *informers_or_has_synced: Any, timeout: float | None = None, stop: threading.Event | None = None
) -> bool:
    """Waits until every informer and handler has synced.

    Reconciling before this point would take objects that are not listed yet for deleted ones:

        if not wait_for_cache_sync(pods, nodes, handler_registration, timeout=60):
            raise SystemExit(f"no sync: {pods.sync_error() or nodes.sync_error()}")

    Args:
        informers_or_has_synced: informers, registrations, and functions that return whether something has synced.
            Functions are called ten times per second.
        timeout: seconds to wait at most; None waits without limit, 0 does not wait.
        stop: ends the wait when it is set.

    Returns:
        Whether all have synced. False when the time is up, `stop` is set or one of the informers stops.

    Raises:
        TypeError: an argument is neither callable nor has `has_synced`.

    Source: client-go tools/cache WaitForCacheSync.
    """
    checks = [getattr(each, "has_synced", each) for each in informers_or_has_synced]
    for check in checks:
        if not callable(check):
            raise TypeError(f"an informer or a function is needed, not a {type(check).__name__}")
    wake = Signal()
    withdraw: list[Callable[[], None]] = []
    informers = [each for each in informers_or_has_synced if hasattr(each, "on_progress")]
    warning = StartWarning(informers, timeout)
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
            pause = warning.pause(left)
            if left is not None and left <= 0:
                return False
            wake.wait(poll if pause is None else pause if poll is None else min(pause, poll))
    finally:
        for each in withdraw:
            each()


class StartWarning:
    """Logs a warning for each informer that is still not started after a second of a wait for it, or at the wait's end.

    Args:
        informers: the informers that the wait is for.
        timeout: seconds that the wait may take; None for no limit. A wait of 0 seconds logs nothing.
    """

    def __init__(self, informers: Iterable[Any], timeout: float | None) -> None:
        self._informers = [each for each in informers if timeout != 0 and _is_fresh(each)]
        self._due = time.monotonic() + (_GRACE if timeout is None else min(_GRACE, timeout))

    def pause(self, left: float | None) -> float | None:
        """Logs the warnings once they are due.

        Args:
            left: seconds left of the wait; None for no limit.

        Returns:
            How long to wait before the next call, in seconds; None without limit.
        """
        if not self._informers:
            return left
        grace = self._due - time.monotonic()
        if grace > 0:
            return grace if left is None else min(left, grace)
        for informer in filter(_is_fresh, self._informers):
            _log.warning("waiting for %r, which is not started: call start(), or use it in a `with` block", informer)
        self._informers = []
        return left


def _is_fresh(informer: Any) -> bool:
    return hasattr(informer, "is_started") and not (informer.is_started() or informer.is_stopped())


class Waiters:
    """Lets threads wait for an informer's progress, and calls back at each progress.

    No lock is held around predicates and callbacks: they are users' functions, which may call any method of the informer.

    Threads: any. `notify` takes no lock while no thread waits. That is safe because a waiting thread counts itself before
        it calls its predicate: it sees a change made before the call, and a change made later sees the count.
    """

    def __init__(self) -> None:
        self._monitor = Monitor()
        self._count = 0  # waiting threads and callbacks; guarded by _monitor, but read without it
        self._news = 0  # how often the waiting threads were woken; guarded by _monitor
        self._closed = False  # guarded by _monitor
        # One token per subscription, since two may have the same function; guarded by _monitor.
        self._callbacks: dict[object, Callable[[], object]] = {}

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called after each progress and at the end; returns a function that withdraws it."""
        token = object()
        with self._monitor:
            self._callbacks[token] = callback
            self._count += 1
        return lambda: self._unsubscribe(token)

    def wait_until(
        self, predicate: Callable[[], bool], timeout: float | None = None, warning: StartWarning | None = None
    ) -> bool:
        """Waits until `predicate` returns true, the time is up or `close` is called.

        Args:
            predicate: called now and after each `notify`.
            timeout: seconds to wait at most; None waits without limit.
            warning: logged when it is due during the wait.

        Returns:
            What the predicate returned last.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._monitor:
            self._count += 1
        try:
            while True:
                with self._monitor:
                    seen = self._news
                    is_last = self._closed
                left = None if deadline is None else deadline - time.monotonic()
                pause = left if warning is None else warning.pause(left)
                if (result := predicate()) or is_last or (left is not None and left <= 0):
                    return result
                self._wait_for_news(seen, pause)
        finally:
            with self._monitor:
                self._count -= 1

    def notify(self) -> None:
        """Has every waiting thread call its predicate again, and calls every callback."""
        if self._count:
            self._wake_all()

    def close(self) -> None:
        """Ends every wait, present and future."""
        with self._monitor:
            if self._closed:
                # A callback that stops the informer calls this again.
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


def seconds_left(deadline: float | None) -> float | None:
    """Returns the seconds until a moment of `time.monotonic()`, at least 0; None without a deadline."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())
