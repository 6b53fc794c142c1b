"""Lists and watches, and keeps a queue or store current with what it sees.

Comes in: pages and events from a list-watch. Goes out: `replace` for a list, and a batch of deltas for what a watch brings.
Runs on the thread that calls `run`; what to ask next is decided by `reflector_state`.
"""

from __future__ import annotations

import contextlib
import logging
import random as stdlib_random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from informer.backoff import Backoff, BackoffState
from informer.deltas import Delta, DeltaType
from informer.entries import Undecodable
from informer.errors import InformerError
from informer.event_deltas import EventReader, is_initial_events_end
from informer.keys import meta_namespace_key
from informer.list_watch import ListerWatcher
from informer.log_limit import LimitedLog
from informer.pulling import puller
from informer.reflector_state import DEFAULT_PAGE_SIZE, Next, ReflectorState, Step
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock, Worker, on_set
from watch.errors import ApiError, WatchClosedError, as_api_error
from watch.event import Event
from watch.request_scope import DEFAULT_MAX_LINE_BYTES, RequestScope
from watch.watcher import Watcher

__all__ = ["Reflector"]

_log = logging.getLogger(__name__)

# So long without any event a watch list may take before its end bookmark; the server has lost it, or does not know it.
_BOOKMARK_TIMEOUT = 15.0
_BOOKMARK_WARNING = 10.0
_UNSYNCED_WARNING = 10.0


class Reflector:
    """See the module.

    Args:
        lister_watcher: what to list and watch.
        target: a queue or a store, which is given `replace`, and `apply` or else `add`, `update`, `delete`.
        name: for logs; None takes the resource's.
        resync_period: seconds between two calls of the target's `resync`, 0 for none.
        watch_list: True streams the first list, False never does, "auto" does if the server and the list-watch can.
        backoff: the waits between failed tries.
        page_size: objects a page of a list.
        watch_timeout: (least, most) seconds after which the server is asked to end a watch.
        silence_timeout: seconds without a byte after which a watch is given up and resumed.
        max_line_bytes: the longest event or object, in bytes, that a server may make us hold.
        watch_error_handler: called with (reflector, error) when a round of listing and watching has failed.
        clock: for resyncs and for waits within a round.
        random: for jitter.
        should_resync: asked before each resync; None always wants one.
        on_undecodable: called with each `Undecodable`; None logs.
        namespace: passed on to `replace`, where the lists are of one namespace only.
        key_func: makes an object's key.
        expected_type: a class, or an (apiVersion, kind) pair, that events' objects must be of; None takes all.

    Threads: `run` and `list_and_watch` block; everything else may be called from any thread.
    """

    def __init__(
        self,
        lister_watcher: ListerWatcher[Any],
        target: Any,
        *,
        name: str | None = None,
        resync_period: float = 0,
        watch_list: bool | Literal["auto"] = "auto",
        backoff: Backoff | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        watch_timeout: tuple[float, float] = (300, 600),
        silence_timeout: float = 150,
        max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
        watch_error_handler: Callable[[Reflector, Exception], object] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        random: stdlib_random.Random | None = None,
        should_resync: Callable[[], bool] | None = None,
        on_undecodable: Callable[[Undecodable], object] | None = None,
        namespace: str | None = None,
        key_func: Callable[[Any], str] = meta_namespace_key,
        expected_type: type | tuple[str, str] | None = None,
    ) -> None:
        _check(watch_list, page_size, watch_timeout, silence_timeout)
        self.name = name or getattr(lister_watcher, "resource_name", None) or "reflector"
        self.lists = self.watches = self.watch_lists = self.events = self.failures = self.short_watches = 0
        """Counters: pages listed, watches and watch lists asked for, events seen, rounds failed, watches too short."""
        self.undecodable = 0
        """Objects left out because they did not decode."""
        self._lister_watcher = lister_watcher
        self._target = target
        self._apply_batch = getattr(target, "apply", None)
        self._update_version = getattr(target, "update_resource_version", None)
        self._resync_period = resync_period
        self._should_resync = should_resync
        self._watch_timeout = watch_timeout
        self._silence_timeout = silence_timeout
        self._max_line_bytes = max_line_bytes
        self._watch_error_handler = watch_error_handler
        self._clock = clock
        self._random = random or stdlib_random.Random()  # noqa: S311 - jitter is no secret
        self._on_undecodable = on_undecodable
        self._namespace = {} if namespace is None else {"namespace": namespace}
        self._key_func = key_func
        self._is_expected = _expectation(expected_type)
        can_stream = getattr(lister_watcher, "supports_watch_list", True)
        self._state = ReflectorState(watch_list=can_stream if watch_list == "auto" else watch_list, page_size=page_size)
        chosen = backoff or Backoff()
        self._round_backoff = BackoffState(chosen, self._random)
        self._watch_backoff = BackoffState(chosen, self._random)
        self._limited = LimitedLog(_log)
        self._lock = Lock()
        self._watcher: Watcher[Any] | None = None  # guarded by _lock
        self._stop: threading.Event = threading.Event()
        self._scope = RequestScope(max_line_bytes=max_line_bytes)
        self._items: list[Any] = []  # of the pages that have come
        self._list_version = ""  # of the first of them
        self._error: Exception | None = None  # what ends the round
        self._sync_error: Exception | None = None
        self._began = 0.0
        self._warned = False
        self._last_event: float | None = None

    @property
    def last_sync_resource_version(self) -> str:
        """The version up to which the target has everything; "" before the first list."""
        return self._state.last_resource_version

    @property
    def is_watching(self) -> bool:
        """Whether a watch is open."""
        return self._watcher is not None

    @property
    def last_event_age(self) -> float | None:
        """Seconds since anything came, bookmarks and lists included; None before."""
        return None if self._last_event is None else time.monotonic() - self._last_event

    def sync_error(self) -> Exception | None:
        """What keeps it from listing or watching; None when nothing does."""
        return self._sync_error

    def run(self, stop: threading.Event) -> None:
        """Lists and watches until `stop` is set, whatever fails meanwhile."""
        with self._running(stop):
            while not stop.is_set():
                ended = self._round()
                if stop.is_set():
                    return
                if ended.step is Step.FAILED and self._error is not None:
                    self._tell(self._error)
                wait = self._round_backoff.next(time.monotonic())
                SYSTEM_CLOCK.wait(stop, max(wait, ended.at_least))

    def list_and_watch(self, stop: threading.Event) -> None:
        """One round: lists, then watches until something ends that.

        Raises:
            Exception: what made the list or the watch call fail. An error within a watch ends the round without one.
        """
        with self._running(stop):
            if self._round().step is Step.FAILED and self._error is not None and not stop.is_set():
                raise self._error

    # A round

    def _round(self) -> Next:
        step = self._state.begin()
        self._error = None
        self._items = []
        while not self._stop.is_set():
            if step.step in (Step.FAILED, Step.ENDED):
                return step
            if step.wait or step.pause:
                wait = self._watch_backoff.next(self._clock.monotonic()) if step.wait else 0.0
                self._clock.wait(self._stop, max(wait, step.pause, step.at_least))
                if self._stop.is_set():
                    break
            if step.step is Step.LIST:
                step = self._list()
            elif step.step is Step.WATCH_LIST:
                step = self._watch_list()
            else:
                step = self._watch()
        return Next(Step.ENDED)

    def _list(self) -> Next:
        options = self._state.list_options()
        if not options.continue_:
            self._items = []
        self.lists += 1
        try:
            with self._scope:
                page = self._lister_watcher.list(options)
            items, version = page.items, page.resource_version
            following = getattr(page, "continue_", None)
        # Whatever a user's list function raises is a failed list.
        except Exception as error:
            self._items = []
            return self._failed(self._state.list_failed(_answer(error)), error, "list")
        if not options.continue_:
            self._list_version = version
        self._items += self._decodable(items)
        step = self._state.page_came(following)
        return self._list_complete() if step is None else step

    def _list_complete(self) -> Next:
        items, self._items = self._items, []
        if not self._replace(items, self._list_version):
            return Next(Step.FAILED, wait=True)
        return self._state.list_complete(self._list_version)

    def _watch_list(self) -> Next:
        self.watch_lists += 1
        options = self._state.watch_list_options(self._timeout_seconds())
        watcher = self._open(options)
        if isinstance(watcher, Exception):
            step = self._state.watch_list_ended(_answer(watcher))
            return self._failed(step, watcher, "watch")
        with self._watching(watcher) as pull:
            collected: dict[str, Any] = {}
            rest = self._collect(pull, collected)
            if isinstance(rest, Next):
                return rest
            version, events = rest
            if not self._replace([*collected.values()], version):
                return Next(Step.FAILED, wait=True)
            del collected
            self._state.watch_list_complete(version)
            return self._follow(pull, version, events)

    def _collect(
        self, pull: Callable[[float | None], list[Event[Any]]], collected: dict[str, Any]
    ) -> Next | tuple[str, list[Event[Any]]]:
        """Reads initial events up to their end bookmark; returns its version and what came behind it, or what next."""
        reader = EventReader("1", is_expected=self._is_expected, on_undecodable=self._report_undecodable)
        patience = min(_BOOKMARK_TIMEOUT, self._silence_timeout)
        quiet = 0.0
        while not self._stop.is_set():
            wait = min(_BOOKMARK_WARNING, patience - quiet)
            try:
                events = pull(wait)
            except TimeoutError:
                quiet += wait
                if quiet >= patience:
                    _log.warning("%s: no bookmark has ended the initial events: listing instead", self.name)
                    return self._state.watch_list_ended(None, timed_out=True)
                _log.warning(
                    "%s: awaiting required bookmark event for initial events stream, no events received for %.0fs",
                    self.name,
                    quiet,
                )
                continue
            except WatchClosedError:
                return self._state.watch_list_ended(None)
            quiet = 0.0
            self._saw(events)
            end = next((i for i, event in enumerate(events) if is_initial_events_end(event)), None)
            batch = reader.read(events if end is None else events[: end + 1])
            for delta in batch.deltas:
                self._collect_one(delta, collected)
            if batch.error is not None:
                return self._failed(self._state.watch_list_ended(batch.error), batch.error, "watch")
            if end is not None and batch.resource_version:
                return batch.resource_version, events[end + 1 :]
        return Next(Step.ENDED)

    def _collect_one(self, delta: Delta, collected: dict[str, Any]) -> None:
        if delta.type is DeltaType.BOOKMARK:
            return
        try:
            key = getattr(delta.object, "key", None) or self._key_func(delta.object)
        except Exception as error:
            self._limited.log(logging.ERROR, "%s: an object was left out: %s", self.name, error)
            return
        if delta.type is DeltaType.DELETED:
            collected.pop(key, None)
        else:
            collected[key] = delta.object

    def _watch(self) -> Next:
        self.watches += 1
        options = self._state.watch_options(self._timeout_seconds())
        begun = self._clock.monotonic()
        watcher = self._open(options)
        if isinstance(watcher, Exception):
            return self._failed(self._state.watch_call_failed(_answer(watcher)), watcher, "watch")
        with self._watching(watcher) as pull:
            return self._follow(pull, options.resource_version, [], begun)

    def _follow(
        self,
        pull: Callable[[float | None], list[Event[Any]]],
        begun_at: str,
        events: list[Event[Any]],
        begun: float | None = None,
    ) -> Next:
        """Stores what a watch brings until it ends."""
        reader = EventReader(begun_at, is_expected=self._is_expected, on_undecodable=self._report_undecodable)
        seen = 0 if begun is not None else 1
        begun = self._clock.monotonic() if begun is None else begun
        silence = self._silence_timeout * (1 + 0.1 * self._random.random())
        self._sync_error = None
        while not self._stop.is_set():
            if events:
                seen += len(events)
                self._saw(events)
                batch = reader.read(events)
                if batch.deltas:
                    self._store(batch.deltas)
                self._state.saw(batch.resource_version)
                if self._update_version is not None:
                    self._tell_versions(batch.deltas)
                if batch.error is not None:
                    return self._watch_failed(batch.error)
            try:
                events = pull(silence)
            except TimeoutError as error:
                # A large event on a slow line: it is not silent, and would not come any sooner on another one.
                if getattr(error, "progress", False):
                    events = []
                    continue
                _log.info("%s: the watch was silent for %.0f s: asking again", self.name, silence)
                return self._state.watch_ended(events=seen, seconds=silence, silent=True)
            except WatchClosedError:
                if self._stop.is_set():
                    break
                return self._ended(seen, self._clock.monotonic() - begun)
        return Next(Step.ENDED)

    # What happens with outcomes

    def _failed(self, step: Next, error: Exception, verb: str) -> Next:
        """Remembers an error that keeps the informer from syncing, and what ends the round."""
        if self._stop.is_set():
            return Next(Step.ENDED)
        told = _told(error, verb, self.name)
        self._sync_error = told
        self._warn_unsynced(told)
        if step.step is Step.FAILED:
            self.failures += 1
            self._error = told
        return step

    def _watch_failed(self, error: ApiError) -> Next:
        step = self._state.watch_error(error)
        level = logging.DEBUG if error.is_expired or error.is_too_many_requests else logging.WARNING
        self._limited.log(level, "%s: the watch ended: %s", self.name, error)
        if not error.is_expired:
            self._sync_error = error
        return step

    def _ended(self, events: int, seconds: float) -> Next:
        step = self._state.watch_ended(events=events, seconds=seconds)
        if step.step is Step.ENDED:
            self.short_watches += 1
            self._limited.log(
                logging.WARNING,
                "very short watch: %s: Unexpected watch close - watch lasted less than a second and no items received",
                self.name,
            )
        return step

    def _tell(self, error: Exception) -> None:
        if self._watch_error_handler is None:
            self._limited.log(logging.WARNING, "%s: %s", self.name, error)
            return
        try:
            self._watch_error_handler(self, error)
        except Exception as second:
            self._limited.log(logging.ERROR, "%s: the watch error handler failed", self.name, exc_info=second)

    def _warn_unsynced(self, error: Exception) -> None:
        waited = time.monotonic() - self._began
        if not self._warned and not self._state.last_resource_version and waited >= _UNSYNCED_WARNING:
            self._warned = True
            _log.warning("%s: not synced after %.0f s: %s", self.name, waited, error)

    def _saw(self, events: Sequence[Event[Any]]) -> None:
        self._last_event = time.monotonic()
        self.events += len(events)

    # The target

    def _replace(self, items: list[Any], version: str) -> bool:
        try:
            self._target.replace(items, version, **self._namespace)
        # A target that refuses a list must not end the reflector: it may take the next one.
        except Exception as error:
            self._error = self._sync_error = error
            return False
        self._last_event = time.monotonic()
        self._sync_error = None
        return True

    def _store(self, deltas: list[Delta]) -> None:
        if self._apply_batch is not None:
            try:
                self._apply_batch(deltas)
            except Exception:
                # One object that the target refuses must not take the others of its batch with it.
                for delta in deltas:
                    self._guarded(self._apply_batch, (delta,))
            return
        for delta in deltas:
            self._store_one(delta)

    def _store_one(self, delta: Delta) -> None:
        target = self._target
        if delta.type is DeltaType.ADDED:
            self._guarded(target.add, delta.object)
        elif delta.type is DeltaType.UPDATED:
            self._guarded(target.update, delta.object)
        elif delta.type is DeltaType.DELETED:
            self._guarded(target.delete, delta.object)
        elif hasattr(target, "bookmark"):
            self._guarded(target.bookmark, delta.object)

    def _guarded(self, function: Callable[[Any], object], argument: Any) -> None:
        try:
            function(argument)
        except Exception as error:
            self._limited.log(logging.ERROR, "%s: the store refused an object: %s", self.name, error)

    def _tell_versions(self, deltas: Sequence[Delta]) -> None:
        if self._update_version is not None:
            for delta in deltas:
                version = EventReader.version_of(delta)
                if version:
                    self._guarded(self._update_version, version)

    def _decodable(self, items: Sequence[Any]) -> Sequence[Any]:
        if not any(type(item) is Undecodable for item in items):
            return items
        kept = []
        for item in items:
            if type(item) is Undecodable:
                self._report_undecodable(item)
            else:
                kept.append(item)
        return kept

    def _report_undecodable(self, item: Undecodable) -> None:
        self.undecodable += 1
        if self._on_undecodable is None:
            self._limited.log(logging.ERROR, "%s left out %r", self.name, item)
            return
        try:
            self._on_undecodable(item)
        except Exception as error:
            self._limited.log(logging.ERROR, "%s: on_undecodable failed", self.name, exc_info=error)

    # Requests and their interruption

    def _open(self, options: Any) -> Watcher[Any] | Exception:
        try:
            with self._scope:
                watcher = self._lister_watcher.watch(options)
        # Whatever a user's watch function raises is a failed watch call.
        except Exception as error:
            return error
        return ConnectionError("the watch function returned None") if watcher is None else watcher

    def _timeout_seconds(self) -> int:
        least, most = self._watch_timeout
        return max(1, int(self._random.uniform(least, most)))

    @contextlib.contextmanager
    def _watching(self, watcher: Watcher[Any]) -> Iterator[Callable[[float | None], list[Event[Any]]]]:
        """Makes a watcher the one that a stop interrupts, and stops it in the end."""
        with self._lock:
            self._watcher = watcher
        try:
            if self._stop.is_set():
                watcher.stop()
            yield puller(watcher)
        finally:
            with self._lock:
                self._watcher = None
            watcher.stop()

    @contextlib.contextmanager
    def _running(self, stop: threading.Event) -> Iterator[None]:
        self._stop = stop
        self._scope = RequestScope(max_line_bytes=self._max_line_bytes)
        self._began = time.monotonic()
        withdraw = on_set(stop, self._interrupt)
        resyncs = None
        ended = threading.Event()
        if self._resync_period > 0:
            resyncs = Worker(lambda: self._resync(ended), f"{self.name}-resync").start()
        try:
            yield
        finally:
            withdraw()
            ended.set()
            if resyncs is not None:
                resyncs.join()

    def _interrupt(self) -> None:
        self._scope.cancel()
        with self._lock:
            watcher = self._watcher
        if watcher is not None:
            watcher.stop()

    def _resync(self, ended: threading.Event) -> None:
        withdraw = on_set(self._stop, ended.set)
        try:
            while not self._clock.wait(ended, self._resync_period):
                if self._should_resync is None or self._should_resync():
                    self._target.resync()
        except Exception as error:
            self._limited.log(logging.ERROR, "%s: the resync failed", self.name, exc_info=error)
        finally:
            withdraw()


def _check(watch_list: Any, page_size: int, watch_timeout: tuple[float, float], silence_timeout: float) -> None:
    if watch_list not in (True, False, "auto"):
        raise ValueError(f'watch_list must be True, False or "auto", not {watch_list!r}')
    if page_size < 0:
        raise ValueError(f"page_size must be 0 or more, not {page_size}")
    if len(watch_timeout) != 2 or not 0 < watch_timeout[0] <= watch_timeout[1]:
        raise ValueError(f"watch_timeout must be (least, most) seconds, not {watch_timeout!r}")
    if silence_timeout <= 0:
        raise ValueError(f"silence_timeout must be more than 0 seconds, not {silence_timeout}")


def _answer(error: Exception) -> Exception:
    """The server's answer that an exception carries, or else the exception."""
    return as_api_error(error) or error


def _told(error: Exception, verb: str, what: str) -> Exception:
    """An error as users are told it: of the same family, and saying what failed."""
    answer = as_api_error(error)
    text = f"failed to {verb} {what}: "
    told: Exception
    if answer is not None:
        told = ApiError(answer.status, answer.reason, text + answer.message, answer.retry_after, details=answer.details)
    elif isinstance(error, ConnectionRefusedError):
        told = ConnectionRefusedError(text + str(error))
    elif isinstance(error, OSError):
        told = ConnectionError(text + str(error))
    else:
        told = InformerError(text + (str(error) or type(error).__name__))
    told.__cause__ = error
    return told


def _expectation(expected: type | tuple[str, str] | None) -> Callable[[Any], bool] | None:
    if expected is None:
        return None
    if isinstance(expected, type):
        return lambda obj: isinstance(obj, expected)
    api_version, kind = expected

    def is_expected(obj: Any) -> bool:
        if isinstance(obj, dict):
            return (obj.get("apiVersion"), obj.get("kind")) == (api_version, kind)
        return (getattr(obj, "api_version", None), getattr(obj, "kind", None)) == (api_version, kind)

    return is_expected
