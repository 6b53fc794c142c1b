"""A watcher that resumes: when its watch ends or breaks, it opens another one from the last resourceVersion seen.

A round is one watch call with the events of that watch. A thread of the watcher runs rounds until one ends it for good:

- Another round follows when the watch ended, broke, could not be opened, or sent an error that may pass.
- The watcher ends when a watch reports that the history is lost (410), when the server refuses access (401, 403), and
  when an event has no resourceVersion or an unknown type. A watch call answered with 410 is tried again: another server
  may have the history.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from typing_extensions import TypeVar

from watch.channel import Channel
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock, Signal, Worker
from watch.errors import DEFAULT_MAX_RETRY_AFTER, ApiError, ChannelClosedError, WatchClosedError, as_api_error, error_in
from watch.event import Event, EventType
from watch.logs import get_logger
from watch.options import ListOptions
from watch.request_scope import RequestScope
from watch.versions import is_older, length_problem, shown_version
from watch.watcher import Watcher, WatcherBase, puller

__all__ = ["RetryWatcher", "WatchSource", "resource_version_of"]

T = TypeVar("T", default=Any)

_log = get_logger(__name__)

_OBJECT_EVENTS = frozenset({EventType.ADDED, EventType.MODIFIED, EventType.DELETED, EventType.BOOKMARK})
_REFUSALS = frozenset({401, 403, "Unauthorized", "Forbidden"})


class WatchSource(Protocol[T]):
    """Opens watches: a list-watch, or any other object with its `watch` method."""

    def watch(self, options: ListOptions) -> Watcher[T] | None:
        """Opens a watch. None counts as a broken connection.

        Raises:
            ApiError: the server answered with a failure. The official client's `ApiException` counts as one too.
            Exception: any other exception counts as a broken connection.
        """
        ...


class RetryWatcher(WatcherBase[T]):
    """A watcher that yields every event after a resourceVersion, in order and once, across broken connections.

        with RetryWatcher(pods.resource_version, list_watch) as watcher:
            for event in watcher:
                ...

    When its watch ends or breaks, it opens another one from the last event seen. It asks the server for bookmarks, which
    keep that version recent, and does not pass them on. One ERROR event with a `Status` ends it when the server has lost
    the history (410) or refuses access (401, 403); the caller then has to list again. An event without a resourceVersion or
    of an unknown type ends it in the same way.

    Args:
        resource_version: the version of a list or object; the events after it are yielded.
        list_watch: opens the watches.
        min_restart_delay: least time from one watch call to the next, in seconds. A watch that lasted longer is followed
            by the next one at once.
        max_retry_after: upper bound on the delay that a server asks for (Retry-After), in seconds.
        clock: measures these delays.

    Attributes:
        done: a `threading.Event`, set when the watcher's thread has ended.

    Raises:
        TypeError: resource_version is not a string.
        ValueError: resource_version is "" or "0", for which the server itself chooses where to begin; or
            min_restart_delay or max_retry_after is negative.

    Threads: starts a thread. `stop` may be called from any thread and does not wait for it; one thread at a time reads the
    events.

    Source: client-go tools/watch RetryWatcher.
    """

    def __init__(
        self,
        resource_version: str,
        list_watch: WatchSource[T],
        *,
        min_restart_delay: float = 1.0,
        max_retry_after: float = DEFAULT_MAX_RETRY_AFTER,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        _check(resource_version, min_restart_delay, max_retry_after)
        self.done = Signal()
        self._last_version = resource_version  # of the last event delivered; the thread alone uses it
        self._source = list_watch
        self._min_restart_delay = min_restart_delay
        self._max_retry_after = max_retry_after
        self._clock = clock
        self._channel: Channel[Event[T]] = Channel(0)
        self._stopped = Signal()
        self._scope = RequestScope()
        self._lock = Lock()
        self._watcher: Watcher[T] | None = None  # the open watch, which `stop` stops; guarded by _lock
        self._worker = Worker(self._run, "retry-watcher").start()

    def result_chan(self) -> Channel[Event[T]]:
        """Returns the channel of the events."""
        return self._channel

    def stop(self) -> None:
        """Ends the watch and drops the event that waits to be read. `done` is set when the thread has ended."""
        self._stopped.set()
        self._channel.close()
        self._scope.cancel()
        with self._lock:
            watcher = self._watcher
        if watcher is not None:
            watcher.stop()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                began = self._clock.monotonic()
                delay = self._round()
                if delay is None:
                    return
                since = self._clock.monotonic() - began
                delay = max(min(delay, self._max_retry_after), self._min_restart_delay - since)
                self._clock.wait(self._stopped, delay)
        finally:
            self._channel.close()
            self.done.set()

    def _round(self) -> float | None:
        """Watches once. Returns the seconds to wait before the next round, as the server asks; None at the end."""
        try:
            with self._scope:
                watcher = self._source.watch(
                    ListOptions(resource_version=self._last_version, allow_watch_bookmarks=True)
                )
        # Any exception of a user's watch function is a failed watch call.
        except Exception as error:
            return self._next_after_failed_call(error)
        if watcher is None:
            _log.warning("watching from %s failed: the watch function returned None: trying again", self._from)
            return 0.0
        try:
            with self._lock:
                self._watcher = watcher
            return self._follow(watcher)
        except (WatchClosedError, ChannelClosedError):
            return 0.0
        except Exception:
            _log.warning("reading a watch failed: trying again from %s", self._from, exc_info=True)
            return 0.0
        finally:
            with self._lock:
                self._watcher = None
            _stop(watcher)

    def _next_after_failed_call(self, error: Exception) -> float | None:
        if self._stopped.is_set():
            return None
        answer = as_api_error(error)
        if answer is None:
            _log.warning("watching from %s failed: %s: trying again", self._from, error)
            return 0.0
        if _is_refusal(answer):
            _log.error(
                "watching failed, and is not tried again: %s (check the credentials and the right to watch)", answer
            )
            self._end_with(answer)
            return None
        # A 410 is ordinary: another API server behind the same address may still have the history.
        level = logging.INFO if answer.is_expired else logging.WARNING
        _log.log(level, "watching from %s failed: %s: trying again", self._from, answer)
        return answer.retry_after or 0.0

    def _follow(self, watcher: Watcher[T]) -> float | None:
        """Delivers the events of a watch until it ends; returns as `_round` does.

        Raises:
            WatchClosedError: the watch has ended.
            ChannelClosedError: this watcher was stopped.
        """
        pull = puller(watcher, stop=self._stopped)
        while not self._stopped.is_set():
            for event in pull(None):
                if event.type in _OBJECT_EVENTS:
                    if not self._deliver(event):
                        return None
                elif event.type == EventType.ERROR:
                    return self._next_after_error(event)
                else:
                    self._end_with_message(f'retryWatcher failed to recognize Event type "{str(event.type)[:100]}"')
                    return None
        return None

    def _deliver(self, event: Event[T]) -> bool:
        """Delivers an event and remembers its version, unless that is older than the last one.

        If the event has no version, or one that is too long, sends an ERROR event and returns False: the next watch could not
        begin after this event, and would deliver it again.
        """
        version = resource_version_of(event.object)
        if not version:
            what = "" if version is None else f"object of type {type(event.object).__qualname__} "
            self._end_with_message(
                f"retryWatcher: {what}doesn't support resourceVersion, so the watch could not be resumed: use an informer, "
                "which lists again"
            )
            return False
        wrong = length_problem("an event's resourceVersion", version)
        if wrong:
            self._end_with_message(f"retryWatcher: {wrong}")
            return False
        if event.type != EventType.BOOKMARK:
            self._channel.put(event)
        if not is_older(version, self._last_version):
            self._last_version = version
        return True

    @property
    def _from(self) -> str:
        return shown_version(self._last_version)

    def _next_after_error(self, event: Event[Any]) -> float | None:
        answer = error_in(event.object)
        if answer is None:
            _log.warning(
                "a watch sent an ERROR event with an object of type %s instead of a Status: trying again",
                type(event.object).__qualname__,
            )
            return 0.0
        if answer.is_expired or _is_refusal(answer):
            self._channel.put(event)
            return None
        _log.info("a watch ended with an error: %s: trying again from %s", answer, self._from)
        return answer.retry_after or 0.0

    def _end_with_message(self, message: str) -> None:
        """Sends an ERROR event of this client's own."""
        _log.error("%s", message)
        self._end_with(ApiError(500, "InternalError", f"Internal error occurred: {message}"))

    def _end_with(self, answer: ApiError) -> None:
        try:
            self._channel.put(Event(EventType.ERROR, answer.to_status()))  # type: ignore[arg-type]
        # The watcher was stopped.
        except ChannelClosedError:
            return


def _check(resource_version: str, min_restart_delay: float, max_retry_after: float) -> None:
    if not isinstance(resource_version, str):
        raise TypeError(f"resource_version must be a string, not {type(resource_version).__name__}")
    if resource_version in ("", "0"):
        raise ValueError(
            f'initial RV "{resource_version}" is not supported due to issues with underlying WATCH: '
            "give the resourceVersion of a list"
        )
    if min_restart_delay < 0:
        raise ValueError(f"min_restart_delay must be 0 or more seconds, not {min_restart_delay}")
    if max_retry_after < 0:
        raise ValueError(f"max_retry_after must be 0 or more seconds, not {max_retry_after}")


def _is_refusal(answer: ApiError) -> bool:
    return answer.status in _REFUSALS or answer.reason in _REFUSALS


def _stop(watcher: Watcher[Any]) -> None:
    try:
        watcher.stop()
    except Exception:
        _log.warning("stopping a watch failed", exc_info=True)


def resource_version_of(obj: Any) -> str | None:
    """Returns an object's resourceVersion: "" where it is not set, None where the object has no place for one.

    Args:
        obj: a mapping in API form; or an object with an attribute `resource_version`; or an object whose `metadata` is a
            mapping or has an attribute `resource_version` (as in the official models) or `resourceVersion`.
    """
    if isinstance(obj, Mapping):
        return _in_metadata(obj.get("metadata"))
    version = getattr(obj, "resource_version", None)
    return version if isinstance(version, str) else _in_metadata(getattr(obj, "metadata", None))


def _in_metadata(metadata: Any) -> str | None:
    if isinstance(metadata, Mapping):
        return _string_or_empty(metadata.get("resourceVersion"))
    for name in ("resource_version", "resourceVersion"):
        if hasattr(metadata, name):
            return _string_or_empty(getattr(metadata, name))
    return None


def _string_or_empty(version: Any) -> str:
    return version if isinstance(version, str) else ""
