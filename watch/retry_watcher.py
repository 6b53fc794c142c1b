"""A watch that goes on: when it breaks it is opened again, from the last event seen.

Comes in: a way to open a watch, and the resourceVersion to begin at. Goes out: every event since then, in order and once;
or one ERROR event, and the end, where the server has lost the history or refuses. A thread of its own opens and reads.

A round is one watch call and what comes of it. After it, one of:
  - the watch ended, broke, could not be opened, or sent an error that may pass: another round, from the last version;
  - the history is gone (410), access is refused (401, 403), an event tells no version or is of no known type: the end.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from typing_extensions import TypeVar

from watch.channel import Channel
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock, Signal, Worker
from watch.errors import DEFAULT_MAX_RETRY_AFTER, ApiError, ChannelClosedError, WatchClosedError, as_api_error
from watch.event import Event, EventType
from watch.options import ListOptions
from watch.request_scope import RequestScope
from watch.watcher import Watcher, WatcherBase, puller

__all__ = ["RetryWatcher", "WatchSource", "resource_version_of"]

T = TypeVar("T", default=Any)

_log = logging.getLogger(__name__)

_OBJECT_EVENTS = frozenset({EventType.ADDED, EventType.MODIFIED, EventType.DELETED, EventType.BOOKMARK})
_REFUSALS = frozenset({401, 403, "Unauthorized", "Forbidden"})


class WatchSource(Protocol[T]):
    """What opens watches: a list-watch, or anything with its `watch`."""

    def watch(self, options: ListOptions) -> Watcher[T] | None:
        """Opens a watch; None counts as a broken connection.

        Raises:
            ApiError: the server refused; so does the official client's `ApiException`.
            Exception: anything else counts as a broken connection.
        """
        ...


class RetryWatcher(WatcherBase[T]):
    """See the module. Bookmarks are asked for, and kept to itself.

    Args:
        resource_version: where to begin: the version of a list or object that the caller has seen.
        list_watch: opens the watches.
        min_restart_delay: seconds from the beginning of one watch call to that of the next, at least. A watch that lasted
            longer is followed by the next one at once.
        max_retry_after: of a server's wish (Retry-After) so many seconds at most are kept to.
        clock: for that delay.

    Attributes:
        done: a `threading.Event`, set once the thread has let go of everything.

    Raises:
        TypeError: resource_version is no string.
        ValueError: resource_version is "" or "0", which ask the server for its own choice of a beginning; or
            min_restart_delay or max_retry_after is negative.

    Threads: `stop` from any, and it does not wait; events are read by one thread at a time.

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
        self._last_version = resource_version  # of what was delivered; the thread's own
        self._source = list_watch
        self._min_restart_delay = min_restart_delay
        self._max_retry_after = max_retry_after
        self._clock = clock
        self._channel: Channel[Event[T]] = Channel(0)
        self._stopped = Signal()
        self._scope = RequestScope()
        self._lock = Lock()
        self._watcher: Watcher[T] | None = None  # the one that `stop` has to stop; guarded by _lock
        self._worker = Worker(self._run, "retry-watcher").start()

    def result_chan(self) -> Channel[Event[T]]:
        """See `Watcher.result_chan`."""
        return self._channel

    def stop(self) -> None:
        """See `Watcher.stop`; an event that was not read is not delivered any more, and `done` tells of the thread's end."""
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
        """Watches once; returns the seconds that the server asks to wait before the next round, None at the end."""
        try:
            with self._scope:
                watcher = self._source.watch(
                    ListOptions(resource_version=self._last_version, allow_watch_bookmarks=True)
                )
        # Whatever a user's watch function raises is a failed watch call.
        except Exception as error:
            return self._call_failed(error)
        if watcher is None:
            _log.warning("the watch function returned None: trying again")
            return 0.0
        try:
            with self._lock:
                self._watcher = watcher
            return self._follow(watcher)
        except (WatchClosedError, ChannelClosedError):
            return 0.0
        except Exception:
            _log.warning("reading a watch failed: trying again from %s", self._last_version, exc_info=True)
            return 0.0
        finally:
            with self._lock:
                self._watcher = None
            _stop(watcher)

    def _call_failed(self, error: Exception) -> float | None:
        if self._stopped.is_set():
            return None
        answer = as_api_error(error)
        if answer is None:
            _log.warning("watching from %s failed: %s: trying again", self._last_version, error)
            return 0.0
        if _is_refusal(answer):
            _log.error("watching failed for good, check the credentials and the right to watch: %s", answer)
            self._end_with(answer)
            return None
        # A server that has lost its history may be one of several that has not got so far yet.
        level = logging.INFO if answer.is_expired else logging.WARNING
        _log.log(level, "watching from %s failed: %s: trying again", self._last_version, answer)
        return answer.retry_after or 0.0

    def _follow(self, watcher: Watcher[T]) -> float | None:
        """Delivers what a watch brings, until something ends it; returns as `_round` does.

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
                    return self._failed(event)
                else:
                    self._end(f'retryWatcher failed to recognize Event type "{event.type}"')
                    return None
        return None

    def _deliver(self, event: Event[T]) -> bool:
        """Passes an event on, then takes note of its version; False, after an ERROR event, when it has none.

        Another round could not begin behind such an event, and would begin before it: events would come twice.
        """
        version = resource_version_of(event.object)
        if not version:
            what = "" if version is None else f"object of type {type(event.object).__qualname__} "
            self._end(f"retryWatcher: {what}doesn't support resourceVersion")
            return False
        if event.type != EventType.BOOKMARK:
            self._channel.put(event)
        self._last_version = version
        return True

    def _failed(self, event: Event[Any]) -> float | None:
        answer = _status_in(event.object)
        if answer is None:
            _log.warning(
                "a watch sent an error that is no Status but %s: trying again", type(event.object).__qualname__
            )
            return 0.0
        if answer.is_expired or _is_refusal(answer):
            self._channel.put(event)
            return None
        _log.info("a watch ended with an error: %s: trying again from %s", answer, self._last_version)
        return answer.retry_after or 0.0

    def _end(self, message: str) -> None:
        """Ends with an ERROR event of our own."""
        _log.error("%s", message)
        self._end_with(ApiError(500, "InternalError", f"Internal error occurred: {message}"))

    def _end_with(self, answer: ApiError) -> None:
        try:
            self._channel.put(Event(EventType.ERROR, answer.to_status()))  # type: ignore[arg-type]
        # It was stopped, and nobody wants to know any more.
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


def _status_in(obj: Any) -> ApiError | None:
    """The Status in an ERROR event, as a mapping or as the official model; None for anything else."""
    if isinstance(obj, BaseException):
        return as_api_error(obj)
    if isinstance(obj, Mapping):
        return ApiError.from_status(obj)
    if not isinstance(getattr(obj, "code", None), int) and not isinstance(getattr(obj, "reason", None), str):
        return None
    details = getattr(obj, "details", None)
    if not isinstance(details, Mapping):
        details = {"retryAfterSeconds": getattr(details, "retry_after_seconds", None)}
    return ApiError.from_status({"code": obj.code, "reason": getattr(obj, "reason", None), "details": details})


def _is_refusal(answer: ApiError) -> bool:
    return answer.status in _REFUSALS or answer.reason in _REFUSALS


def _stop(watcher: Watcher[Any]) -> None:
    try:
        watcher.stop()
    except Exception:
        _log.warning("stopping a watch failed", exc_info=True)


def resource_version_of(obj: Any) -> str | None:
    """An object's resourceVersion; "" where it has none, None where there is no place for one.

    Args:
        obj: a mapping in API form; or anything with a `resource_version`, or with a `metadata` that is a mapping or has
            one (`resource_version`, as the official models spell it, or `resourceVersion`).
    """
    if isinstance(obj, Mapping):
        return _in_metadata(obj.get("metadata"))
    version = getattr(obj, "resource_version", None)
    return version if isinstance(version, str) else _in_metadata(getattr(obj, "metadata", None))


def _in_metadata(metadata: Any) -> str | None:
    if isinstance(metadata, Mapping):
        return _text(metadata.get("resourceVersion"))
    for name in ("resource_version", "resourceVersion"):
        if hasattr(metadata, name):
            return _text(getattr(metadata, name))
    return None


def _text(version: Any) -> str:
    return version if isinstance(version, str) else ""
