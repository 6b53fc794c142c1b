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
from collections.abc import Callable, Iterator
from typing import Any, Literal

from informer.errors import InformerError, TooManyObjectsError
from informer.listwatch.lister_watcher import ListerWatcher
from informer.listwatch.source import as_page, as_source
from informer.objects.entry import Undecodable
from informer.objects.keys import meta_namespace_key
from informer.rate_limited_log import LimitedLog
from informer.reflector.backoff import Backoff, BackoffState
from informer.reflector.counts import ReflectorCounts, Verb, kind_of
from informer.reflector.event_reader import Batch, EventReader, expectation, growth
from informer.reflector.health import Health, answer_of, describe_failure
from informer.reflector.pacing import pace_of
from informer.reflector.resync import Resyncs
from informer.reflector.state import DEFAULT_PAGE_SIZE, Next, ReflectorState, Step, is_paced
from informer.reflector.stop_scope import Pull, StopScope
from informer.reflector.target import ReflectorTarget
from informer.reflector.watch_list import BookmarkDeadline, InitialEvents
from watch.clock import SYSTEM_CLOCK, Clock
from watch.errors import ApiError, WatchClosedError
from watch.event import Event
from watch.options import ListOptions
from watch.request_scope import DEFAULT_MAX_LINE_BYTES, DEFAULT_MAX_OBJECTS
from watch.watcher import Watcher

__all__ = ["Reflector"]

_log = logging.getLogger(__name__)

# So long the end bookmark of a watch list may be awaited without progress; see `BookmarkDeadline`.
_BOOKMARK_PATIENCE = 15.0


class Reflector:
    """See the module.

    Args:
        lister_watcher: what to list and watch.
        store_or_queue: a queue or a store, which is given `replace`, and `apply` or else `add`, `update`, `delete`.
        name: for logs; None takes the resource's.
        resync_period: seconds between two calls of its `resync`, 0 for none.
        watch_list: True streams the first list, False never does, "auto" does if the server and the list-watch can.
        backoff: the waits between failed tries.
        page_size: objects a page of a list.
        watch_timeout: (least, most) seconds after which the server is asked to end a watch.
        silence_timeout: seconds without a byte after which a watch is given up and resumed.
        max_line_bytes: the longest event or object, in bytes, that a server may make us hold.
        max_objects: so many objects a server may make us hold; None for any number. A page of a list counts as one at least.
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
        store_or_queue: Any,
        *,
        name: str | None = None,
        resync_period: float = 0,
        watch_list: bool | Literal["auto"] = "auto",
        backoff: Backoff | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        watch_timeout: tuple[float, float] = (300, 600),
        silence_timeout: float = 150,
        max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
        max_objects: int | None = DEFAULT_MAX_OBJECTS,
        watch_error_handler: Callable[[Reflector, Exception], object] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        random: stdlib_random.Random | None = None,
        should_resync: Callable[[], bool] | None = None,
        on_undecodable: Callable[[Undecodable], object] | None = None,
        namespace: str | None = None,
        key_func: Callable[[Any], str] = meta_namespace_key,
        expected_type: type | tuple[str, str] | None = None,
    ) -> None:
        _check(watch_list, page_size, watch_timeout, silence_timeout, resync_period, max_objects)
        source = as_source(lister_watcher)
        self.name = name or source.resource_name or "reflector"
        self.lists = self.watches = self.watch_lists = self.events = self.failures = self.short_watches = 0
        """Counters: pages listed, watches and watch lists asked for, events seen, rounds failed, watches too short."""
        self.counts = ReflectorCounts()
        """What else is counted."""
        self._source = source
        self._limited = LimitedLog(_log)
        self._target = ReflectorTarget(
            store_or_queue, self.name, self._limited, namespace=namespace, on_undecodable=on_undecodable
        )
        self._resync_period = resync_period
        self._should_resync = should_resync
        self._watch_timeout = watch_timeout
        self._silence_timeout = silence_timeout
        self._max_line_bytes = max_line_bytes
        self._max_objects = max_objects
        self._watch_error_handler = watch_error_handler
        self._clock = clock
        self._random = random or stdlib_random.Random()  # noqa: S311 - jitter is no secret
        self._key_func = key_func
        self._is_expected = expectation(expected_type)
        can_stream = source.supports_watch_list
        self._state = ReflectorState(
            watch_list=can_stream if watch_list == "auto" else bool(watch_list), page_size=page_size
        )
        self._round_backoff = BackoffState(backoff or Backoff(), self._random)
        self._watch_backoff = BackoffState(backoff or Backoff(), self._random)
        self._pace = pace_of(source.server)
        self._stop: threading.Event = threading.Event()
        self._stop_scope = StopScope(self._stop, max_line_bytes, max_objects)
        self._items: list[Any] = []  # of the pages that have come
        self._objects = 0  # in these, and once they are stored, by the events' account, in the target
        self._list_version = ""  # of the first of them
        self._list_began = 0.0  # by _clock
        self._error: Exception | None = None  # what ends the round
        self._health = Health(self.name, clock)

    @property
    def last_sync_resource_version(self) -> str:
        """The version up to which the target has everything; "" before the first list."""
        return self._state.last_resource_version

    @property
    def is_watching(self) -> bool:
        """Whether a watch is open."""
        return self._stop_scope.is_watching

    @property
    def last_event_age(self) -> float | None:
        """Seconds since anything came, bookmarks and lists included; None before."""
        return self._health.last_event_age

    @property
    def undecodable(self) -> int:
        """Objects left out because they did not decode."""
        return self._target.undecodable

    def sync_error(self) -> Exception | None:
        """What keeps it from listing or watching; None when nothing does."""
        return self._health.error

    def run(self, stop: threading.Event) -> None:
        """Lists and watches until `stop` is set, whatever fails meanwhile."""
        with self._running(stop):
            while not stop.is_set():
                ended = self._round()
                if stop.is_set():
                    return
                if ended.step is Step.FAILED and self._error is not None:
                    self._tell(self._error)
                # Not on the injected clock: this wait is what protects a server.
                wait = self._round_backoff.next(time.monotonic(), ended.at_least)
                self._health.wait(SYSTEM_CLOCK, stop, wait)

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
        step, before = self._state.begin(), None
        self._error = None
        self._items = []
        while not self._stop.is_set():
            if step.step in (Step.FAILED, Step.ENDED):
                return step
            if step.waits:
                backoff = self._watch_backoff
                now = self._clock.monotonic()
                wait = backoff.next(now, step.at_least) if step.wait else backoff.pause(step.pause, step.at_least)
                self._health.wait(self._clock, self._stop, wait)
                if self._stop.is_set():
                    break
            if self._pace is not None and is_paced(before, step):
                # As between two rounds, not on the injected clock.
                self._health.wait(SYSTEM_CLOCK, self._stop, self._pace.turn(time.monotonic()))
                if self._stop.is_set():
                    break
            before = step.step
            try:
                step = self._take(before)
            # A page, a watcher or an event of a user's list-watch that is none.
            except Exception as error:
                _log.debug("%s: unexpected", self.name, exc_info=True)
                step = self._failed(self._state.broke(), error, "follow")
        return Next(Step.ENDED)

    def _take(self, step: Step) -> Next:
        if step is Step.LIST:
            return self._list()
        begun, events = self._clock.monotonic(), self.events
        try:
            return self._watch_list(begun) if step is Step.WATCH_LIST else self._watch(begun)
        finally:
            self.counts.watch_ended(self._clock.monotonic() - begun, self.events - events)

    def _list(self) -> Next:
        options = self._state.list_options()
        if not options.continue_:
            self._items = []
            self._list_began = self._clock.monotonic()
            self.counts.lists += 1
        self.lists += 1
        try:
            with self._stop_scope.scope:
                page = as_page(self._source.list(options))
        # Whatever a user's list function raises is a failed list.
        except Exception as error:
            self._items = []
            return self._failed(self._state.list_failed(answer_of(error)), error, "list")
        self._saw(0)
        if not options.continue_:
            self._list_version = str(page.resource_version or "")
            self._objects = 0
        self._objects += max(1, len(page.items))
        if self._is_too_many():
            return self._failed(self._state.broke(), self._too_many(), "list")
        self._items += self._target.decodable(page.items)
        step = self._state.page_came(page.continue_)
        if step is None:
            items, self._items = self._items, []
            self._objects = len(items)
            failed = self._replace(items, self._list_version, self._list_began)
            return failed or self._state.list_complete(self._list_version)
        if step.step is Step.FAILED:
            self._items = []
            endless = InformerError("the server gave the same continue token twice: its list would never end")
            return self._failed(step, endless, "list")
        return step

    def _watch_list(self, begun: float) -> Next:
        self.watch_lists += 1
        watcher = self._open(self._state.watch_list_options(self._timeout_seconds()), with_list=True)
        if isinstance(watcher, Exception):
            return self._watch_list_failed(watcher)
        with self._stop_scope.watching(watcher) as pull:
            initial = self._collect(pull)
            if initial is None:
                return self._state.watch_list_timed_out()
            if initial.error is not None:
                return self._watch_list_failed(initial.error)
            if initial.is_too_many:
                return self._failed(self._state.broke(), self._too_many(), "list")
            self._objects = initial.count
            if not initial.version:
                return self._state.watch_list_ended(self._clock.monotonic() - begun)
            failed = self._replace(initial.take_objects(), initial.version, begun)
            if failed is not None:
                return failed
            self._state.watch_list_complete(initial.version)
            # The bookmark was an event.
            return self._follow(pull, initial.version, initial.take_rest(), self._clock.monotonic(), seen=1)

    def _collect(self, pull: Pull) -> InitialEvents | None:
        """Reads initial events up to their end bookmark, or to the end of the watch; None when the time is up."""
        now = time.monotonic()
        initial = InitialEvents(
            self._reader("1"),
            self._key_func,
            lambda error: self._limited.log(logging.ERROR, "%s: an object was left out: %s", self.name, error),
            BookmarkDeadline(now, patience=min(_BOOKMARK_PATIENCE, self._silence_timeout)),
            now,
            max_objects=self._max_objects,
        )
        while not self._stop.is_set() and not initial.is_over():
            if initial.expired(now):
                _log.warning("%s: no bookmark has ended the initial events: listing instead", self.name)
                return None
            try:
                events = pull(initial.left(now))
            except TimeoutError:
                now = time.monotonic()
            except WatchClosedError:
                break
            else:
                now = self._saw(len(events))
                initial.feed(events, now)
            warning = initial.warning(now)
            if warning is not None:
                _log.warning("%s: %s", self.name, warning)
        return initial

    def _watch_list_failed(self, error: Exception) -> Next:
        step = self._failed(self._state.watch_list_failed(answer_of(error)), error, "watch")
        if isinstance(error, ConnectionRefusedError) and self._health.error is not None and not self._stop.is_set():
            # Nobody is there to list from either: the round has failed, though it goes on.
            self._tell(self._health.error)
        return step

    def _watch(self, begun: float) -> Next:
        # `begun` is before the call: a proxy that holds back the answer's head must not make a long watch a short one.
        self.watches += 1
        options = self._state.watch_options(self._timeout_seconds())
        watcher = self._open(options, with_list=False)
        if isinstance(watcher, Exception):
            return self._failed(self._state.watch_call_failed(answer_of(watcher)), watcher, "watch")
        with self._stop_scope.watching(watcher) as pull:
            return self._follow(pull, options.resource_version, [], begun)

    def _follow(self, pull: Pull, begun_at: str, events: list[Event[Any]], begun: float, seen: int = 0) -> Next:
        """Stores what a watch brings until it ends."""
        reader = self._reader(begun_at)
        silence = self._silence_timeout * (1 + 0.1 * self._random.random())
        self._health.error = None
        while not self._stop.is_set():
            if events:
                seen += len(events)
                ended = self._store(reader.read(events))
                if ended is not None:
                    return ended
                # While the next is waited for, old states must not be held here.
                events = []
            try:
                events = pull(silence)
            except TimeoutError as error:
                if getattr(error, "progress", False):
                    # Bytes of a large event came, or a line that keeps the connection alive.
                    continue
                self.counts.failed("follow", "silence")
                _log.info("%s: the watch was silent for %.0f s: asking again", self.name, silence)
                return self._state.watch_was_silent()
            except WatchClosedError:
                return self._ended(seen, self._clock.monotonic() - begun)
            self._saw(len(events))
        return Next(Step.ENDED)

    def _store(self, batch: Batch) -> Next | None:
        """Stores a batch of a watch; returns what to do next if that has to end, None to go on."""
        if batch.deltas:
            self._target.store(batch.deltas)
            self._objects += growth(batch.deltas)
        self._state.saw(batch.resource_version)
        if batch.error is not None:
            return self._watch_failed(batch.error)
        if self._is_too_many():
            return self._failed(self._state.broke(), self._too_many(), "follow")
        return None

    # What happens with outcomes

    def _failed(self, step: Next, error: Exception, verb: Verb) -> Next:
        """Remembers an error that keeps the informer from syncing, and what ends the round."""
        if self._stop.is_set():
            return Next(Step.ENDED)
        self.counts.failed(verb, kind_of(error))
        failure = describe_failure(error, verb, self.name)
        self._health.failed(failure)
        if step.step is Step.FAILED:
            self.failures += 1
            self._error = failure
        else:
            self._limited.log(logging.INFO, "%s: %s: trying again", self.name, failure)
        return step

    def _replace(self, items: list[Any], version: str, begun: float) -> Next | None:
        seconds, count = self._clock.monotonic() - begun, len(items)
        try:
            self._target.replace(items, version)
        # A target that refuses a list must not end the reflector: it may take the next one.
        except Exception as error:
            return self._failed(self._state.broke(), error, "store")
        self.counts.list_complete(seconds, count)
        self._health.synced()
        return None

    def _is_too_many(self) -> bool:
        return self._max_objects is not None and self._objects > self._max_objects

    def _too_many(self) -> TooManyObjectsError:
        self._items = []
        return TooManyObjectsError(self._max_objects or 0)

    def _watch_failed(self, error: ApiError) -> Next:
        self.counts.failed("follow", kind_of(error))
        step = self._state.watch_error(error)
        level = logging.DEBUG if error.is_expired or error.is_too_many_requests else logging.WARNING
        self._limited.log(level, "%s: the watch ended: %s", self.name, error)
        if not error.is_expired:
            self._health.error = error
        return step

    def _ended(self, events: int, seconds: float) -> Next:
        if self._stop.is_set():
            return Next(Step.ENDED)
        step = self._state.watch_ended(events=events, seconds=seconds)
        if step.step is Step.ENDED:
            self.short_watches += 1
            self._health.error = InformerError(
                f"very short watch: {self.name}: Unexpected watch close - watch lasted less than a second and no items "
                "received"
            )
            self._limited.log(logging.WARNING, "%s", self._health.error)
        return step

    def _tell(self, error: Exception) -> None:
        if self._watch_error_handler is None:
            # A version that has expired is part of every long life.
            expired = isinstance(error, ApiError) and error.is_expired
            self._limited.log(logging.DEBUG if expired else logging.WARNING, "%s: %s", self.name, error)
            return
        try:
            self._watch_error_handler(self, error)
        except Exception as second:
            self._limited.log(logging.ERROR, "%s: the watch error handler failed", self.name, exc_info=second)

    def _saw(self, events: int) -> float:
        self.events += events
        return self._health.saw()

    # Requests and their interruption

    def _open(self, options: ListOptions, *, with_list: bool) -> Watcher[Any] | Exception:
        try:
            with self._stop_scope.scope:
                watcher = self._source.watch(options)
        # Whatever a user's watch function raises is a failed watch call.
        except Exception as error:
            return error
        if watcher is None:
            return ConnectionError("the watch function returned None")
        self.counts.watch_opened(with_list=with_list)
        return watcher

    def _reader(self, begun_at: str) -> EventReader:
        return EventReader(begun_at, is_expected=self._is_expected, on_undecodable=self._target.report)

    def _timeout_seconds(self) -> int:
        return max(1, int(self._random.uniform(*self._watch_timeout)))

    @contextlib.contextmanager
    def _running(self, stop: threading.Event) -> Iterator[None]:
        self._stop = stop
        self._health.begin()
        resyncs = Resyncs(
            self._target.resync,
            self._resync_period,
            self._should_resync,
            clock=self._clock,
            stop=stop,
            name=self.name,
            limited=self._limited,
        )
        with StopScope(stop, self._max_line_bytes, self._max_objects) as self._stop_scope, resyncs:
            yield


def _check(
    watch_list: Any,
    page_size: int,
    watch_timeout: Any,
    silence_timeout: float,
    resync_period: float,
    max_objects: int | None,
) -> None:
    if watch_list not in (True, False, "auto"):
        raise ValueError(f'watch_list must be True, False or "auto", not {watch_list!r}')
    if page_size < 0:
        raise ValueError(f"page_size must be 0 or more, not {page_size}")
    if len(watch_timeout) != 2 or not 0 < watch_timeout[0] <= watch_timeout[1]:
        raise ValueError(f"watch_timeout must be (least, most) seconds, not {watch_timeout!r}")
    if silence_timeout <= 0:
        raise ValueError(f"silence_timeout must be more than 0 seconds, not {silence_timeout}")
    if resync_period < 0:
        raise ValueError(f"resync_period must be 0 or more seconds, not {resync_period}")
    if max_objects is not None and max_objects < 1:
        raise ValueError(f"max_objects must be 1 or more, or None for any number, not {max_objects}")
