"""Functions that wait until conditions on a watch's events have come true, one after another, on the caller's thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from watch.concurrency import Latch, Worker
from watch.errors import ConditionError, WatchClosedError, WatchError, WatchTimeoutError
from watch.event import Event, EventType
from watch.options import ListOptions
from watch.request_scope import RequestScope
from watch.retry_watcher import RetryWatcher, WatchSource
from watch.watcher import Watcher, puller

__all__ = ["list_watch_until", "until", "until_with_retry"]

T = TypeVar("T", default=Any)
T_co = TypeVar("T_co", covariant=True, default=Any)

_log = logging.getLogger(__name__)


class _Page(Protocol[T_co]):
    @property
    def items(self) -> Iterable[T_co]: ...

    @property
    def resource_version(self) -> str: ...

    @property
    def continue_(self) -> str | None: ...


class _ListWatch(WatchSource[T], Protocol[T]):
    def list(self, options: ListOptions) -> _Page[T]: ...


def until(
    watcher: Watcher[T], *conditions: Callable[[Event[T]], bool], timeout: float | None = None
) -> Event[T] | None:
    """Reads a watch until conditions have come true, one after another, and then stops the watch.

        ready = until(watcher, lambda event: event.object["status"]["phase"] == "Running", timeout=60)

    Args:
        watcher: the source of the events. It is stopped in any case, also when this raises.
        conditions: each is called with the events that follow until it returns True. The next condition then begins with
            the same event.
        timeout: seconds to wait at most; None waits without limit, 0 looks only at events that are ready.

    Returns:
        The event on which the last condition came true; None when there are no conditions.

    Raises:
        WatchTimeoutError: the conditions did not come true in time.
        WatchClosedError: the watch ended first.
        ConditionError: a condition raised an exception, which is the cause.
        All three have `last_event`: the last event seen, None where there was none.

    Threads: blocks; the conditions run on the caller's thread.

    Source: client-go tools/watch UntilWithoutRetry.
    """
    return _Progress(conditions, timeout).follow(watcher)


def until_with_retry(
    resource_version: str,
    list_watch: WatchSource[T],
    *conditions: Callable[[Event[T]], bool],
    timeout: float | None = None,
) -> Event[T] | None:
    """Waits as `until` does, on every event after a resourceVersion: the watch resumes when it breaks.

    Where the server has lost the history, the conditions see an ERROR event, and then the watch ends.

    Args:
        resource_version: the version to begin after, as for `RetryWatcher`.
        list_watch: opens the watches.
        conditions: as for `until`.
        timeout: as for `until`.

    Raises:
        ValueError: resource_version is "" or "0".
        WatchTimeoutError, WatchClosedError, ConditionError: as for `until`.

    Source: client-go tools/watch Until.
    """
    return until(RetryWatcher(resource_version, list_watch), *conditions, timeout=timeout)


def list_watch_until(
    list_watch: _ListWatch[T], *conditions: Callable[[Event[T]], bool], timeout: float | None = None
) -> Event[T] | None:
    """Waits as `until` does, on the present objects and on what follows.

    It lists, shows every object to the conditions as an ADDED event, and then watches from the list's version.

    Args:
        list_watch: lists, page by page, and opens the watches.
        conditions: as for `until`.
        timeout: as for `until`. A list that takes longer is abandoned. With 0 it waits for the list, but not for events.

    Raises:
        Exception: an exception of the list function.
        WatchTimeoutError, WatchClosedError, ConditionError: as for `until`.

    Source: client-go tools/watch ListWatchUntil.
    """
    progress: _Progress[T] = _Progress(conditions, timeout)
    if progress.is_complete():
        return None
    version = _list(list_watch, progress)
    if progress.is_complete():
        return progress.last_event
    if progress.left() == 0:
        raise progress.timed_out()
    return progress.follow(RetryWatcher(version, list_watch))


class _Progress(Generic[T]):
    """Which conditions have come true, and how much time is left.

    Args:
        conditions: as for `until`.
        timeout: as for `until`; the time runs from now on.
    """

    def __init__(self, conditions: tuple[Callable[[Event[T]], bool], ...], timeout: float | None) -> None:
        if timeout is not None and timeout < 0:
            _log.error("the time-out is negative: %s s is treated as 0", timeout)
        self.last_event: Event[T] | None = None
        self._conditions = conditions
        self._met = 0  # how many of them have come true
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def is_complete(self) -> bool:
        """Whether all conditions have come true."""
        return self._met == len(self._conditions)

    def left(self) -> float | None:
        """Seconds until the time is up, then 0; None without a limit."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def follow(self, watcher: Watcher[T]) -> Event[T] | None:
        """Reads a watch until all conditions have come true, and stops it; raises as `until` does."""
        try:
            pull = puller(watcher)
            while not self.is_complete():
                left = self.left()
                try:
                    batch = pull(left)
                except TimeoutError:
                    raise self.timed_out() from None
                except WatchClosedError as error:
                    message = "watch closed before UntilWithoutRetry timeout"
                    raise WatchClosedError(message, last_event=self.last_event) from error
                self.see(batch)
                # Events that were ready when the time was up still count; later ones do not.
                if left == 0 and not self.is_complete():
                    raise self.timed_out()
        finally:
            watcher.stop()
        return self.last_event

    def see(self, events: Iterable[Event[T]]) -> None:
        """Calls the conditions with events until all have come true."""
        for event in events:
            if self.is_complete():
                return
            self.last_event = event
            # The next condition begins with the same event.
            while not self.is_complete() and self._holds(event):
                self._met += 1

    def timed_out(self) -> WatchTimeoutError:
        """Returns the error for a time-out."""
        return WatchTimeoutError("timed out waiting for the condition", last_event=self.last_event)

    def _holds(self, event: Event[T]) -> bool:
        try:
            return self._conditions[self._met](event)
        except Exception as error:
            raise ConditionError(str(error) or type(error).__name__, last_event=event) from error


def _list(list_watch: _ListWatch[T], progress: _Progress[T]) -> str:
    """Shows the present objects to the conditions; returns the version of the list."""
    options = ListOptions()
    version = None
    tokens: set[int] = set()
    while True:
        page = _page(list_watch, options, progress)
        # All pages are of the version of the first one.
        version = page.resource_version if version is None else version
        progress.see(Event(EventType.ADDED, item) for item in page.items)
        following = getattr(page, "continue_", None)
        if progress.is_complete() or not following:
            return version
        if hash(following) in tokens:
            raise WatchError("the server sent the same continue token twice: its list would never end")
        tokens.add(hash(following))
        options = ListOptions(continue_=following)


def _page(list_watch: _ListWatch[T], options: ListOptions, progress: _Progress[T]) -> _Page[T]:
    """Returns one page of a list. With a time-out it is read on a thread, which is abandoned when the time is up."""
    if not progress.left():
        return list_watch.list(options)
    scope = RequestScope()
    pages: list[_Page[T]] = []
    failures: list[BaseException] = []
    ended = Latch()

    def call() -> None:
        try:
            with scope:
                pages.append(list_watch.list(options))
        # SystemExit too: it is raised on the caller's thread.
        except BaseException as error:
            failures.append(error)
        finally:
            ended.open()

    Worker(call, "list-watch-until").start()
    try:
        if not ended.wait(progress.left()):
            raise progress.timed_out()
    finally:
        scope.cancel()
    if failures:
        raise failures[0]
    return pages[0]
