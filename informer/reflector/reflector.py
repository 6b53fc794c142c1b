"""Lists and watches one resource, and keeps a queue or store equal to what the server has."""

from __future__ import annotations

import contextlib
import logging
import random as stdlib_random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from typing_extensions import Unpack

from informer.errors import InformerError, TooManyObjectsError
from informer.listwatch.lister_watcher import ListerWatcher
from informer.listwatch.source import as_source
from informer.rate_limited_log import LimitedLog
from informer.reflector.backoff import Backoff, BackoffState
from informer.reflector.config import ReflectorConfig, ReflectorOptions
from informer.reflector.counts import ReflectorCounts, Verb
from informer.reflector.event_reader import Batch, EventReader, expectation
from informer.reflector.health import Health, answer_of
from informer.reflector.pacing import pace_of
from informer.reflector.resync import Resyncs
from informer.reflector.state import Next, ReflectorState, Step, is_paced
from informer.reflector.stop_scope import Pull, StopScope
from informer.reflector.target import ReflectorTarget
from informer.reflector.watch_list import BookmarkDeadline, InitialEvents, read_initial_events
from watch.clock import SYSTEM_CLOCK
from watch.errors import WatchClosedError
from watch.event import Event
from watch.options import ListOptions
from watch.watcher import Watcher

__all__ = ["Reflector"]

_log = logging.getLogger(__name__)

# How long, in seconds, the end bookmark of a watch list may be awaited without progress; see `BookmarkDeadline`.
_BOOKMARK_PATIENCE = 15.0


class Reflector:
    """Lists a resource once, then watches it, and stores everything in a queue or store.

    Whatever fails, the reflector backs off and resumes: from the last resourceVersion if the server still has it, else with
    a new list. What to ask next is decided by `informer.reflector.state.ReflectorState`.

    Args:
        lister_watcher: what to list and watch.
        store_or_queue: what to keep current. It needs `replace`, and `apply` or else `add`, `update` and `delete`.
        name: for logs; None takes the resource's name.
        namespace: passed on to `replace` if each list is of one namespace only.
        process: called after each change of the target, and returns whether the change has been processed; None if nothing
            has to be processed.
        on_processed: called when what `process` returned is reflected in `applied_resource_version`.
        config: the options; None makes a `ReflectorConfig` of the remaining arguments.
        options: the fields of `ReflectorConfig`, instead of a config.

    Raises:
        ValueError: an option has a value that is not allowed.
        TypeError: there is no such option, or a config and options are given.

    Threads: `run` and `list_and_watch` block; everything else may be called from any thread.
    """

    def __init__(
        self,
        lister_watcher: ListerWatcher[Any],
        store_or_queue: Any,
        *,
        name: str | None = None,
        namespace: str | None = None,
        process: Callable[[], bool] | None = None,
        on_processed: Callable[[], object] | None = None,
        config: ReflectorConfig | None = None,
        **options: Unpack[ReflectorOptions],
    ) -> None:
        if config is not None and options:
            raise TypeError(f"pass a config or options, not both: {', '.join(options)}")
        self._config = config = ReflectorConfig(**options) if config is None else config
        self._source = source = as_source(lister_watcher)
        self.name = name or source.resource_name or "reflector"
        self.lists = self.watches = self.watch_lists = self.events = self.failures = self.short_watches = 0
        """Counters: pages listed, watches and watch lists requested, events seen, rounds failed, watches too short."""
        self.counts = ReflectorCounts()
        """Further counters, for metrics."""
        self._limited = LimitedLog(_log)
        self.target = ReflectorTarget(
            store_or_queue,
            self.name,
            self._limited,
            namespace=namespace,
            on_undecodable=config.on_undecodable,
            process=process,
            on_processed=on_processed,
        )
        self._random = config.random or stdlib_random.Random()  # noqa: S311 - jitter is not a secret
        self._is_expected = expectation(config.expected_type)
        streams = source.supports_watch_list if config.watch_list == "auto" else bool(config.watch_list)
        self._state = ReflectorState(watch_list=streams, page_size=config.page_size)
        backoff = config.backoff or Backoff()
        self._round_backoff = BackoffState(backoff, self._random)
        self._watch_backoff = BackoffState(backoff, self._random)
        self._pace = pace_of(source.server)
        self._stop: threading.Event = threading.Event()
        self._stop_scope = StopScope(self._stop, config.max_line_bytes, config.max_objects)
        self._items: list[Any] = []  # of the pages that have come
        self._objects = 0  # in these; once they are stored, in the target, as far as the events tell
        self._list_version = ""  # of the first page
        self._list_began = 0.0  # by the config's clock
        self._error: Exception | None = None  # what ends the round
        on_failure = None if config.watch_error_handler is None else self._call_error_handler
        self._health = Health(self.name, config.clock, self._limited, self.counts, on_failure)

    @property
    def last_sync_resource_version(self) -> str:
        """The version up to which the target was given everything; "" before the first list."""
        return self._state.last_resource_version

    @property
    def is_watching(self) -> bool:
        """Whether a watch is open."""
        return self._stop_scope.is_watching

    @property
    def last_event_age(self) -> float | None:
        """Seconds since the server last sent anything, bookmarks and lists included; None before it did."""
        return self._health.last_event_age

    @property
    def undecodable(self) -> int:
        """The number of objects left out because they did not decode."""
        return self.target.undecodable

    def sync_error(self) -> Exception | None:
        """Returns what keeps the reflector from listing or watching; None when nothing does."""
        return self._health.error

    def run(self, stop: threading.Event) -> None:
        """Lists and watches until `stop` is set, whatever fails meanwhile."""
        with self._running(stop):
            while not stop.is_set():
                ended = self._round()
                if stop.is_set():
                    return
                if ended.step is Step.FAILED and self._error is not None:
                    self._health.report(self._error)
                # By the system's clock, not the configured one: this wait protects a server.
                wait = self._round_backoff.next(time.monotonic(), ended.at_least)
                self._health.wait(SYSTEM_CLOCK, stop, wait)

    def list_and_watch(self, stop: threading.Event) -> None:
        """Runs one round: lists, then watches until something ends the watch.

        Raises:
            Exception: what made the list or the watch call fail. An error within a watch ends the round quietly.
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
            if not self._wait_before(step, before):
                break
            before = step.step
            try:
                step = self._take(before)
            # A user's list-watch may return a page, watcher or event of any shape.
            except Exception as error:
                _log.debug("%s: unexpected", self.name, exc_info=True)
                step = self._failed(self._state.broke(), error, "follow")
        return Next(Step.ENDED)

    def _wait_before(self, step: Next, before: Step | None) -> bool:
        """Waits until a request may be sent; returns False if the reflector was stopped meanwhile."""
        if step.waits:
            clock, backoff = self._config.clock, self._watch_backoff
            wait = (
                backoff.next(clock.monotonic(), step.at_least)
                if step.wait
                else backoff.pause(step.pause, step.at_least)
            )
            self._health.wait(clock, self._stop, wait)
        if self._pace is not None and is_paced(before, step) and not self._stop.is_set():
            # By the system's clock, as between two rounds.
            self._health.wait(SYSTEM_CLOCK, self._stop, self._pace.turn(time.monotonic()))
        return not self._stop.is_set()

    def _take(self, step: Step) -> Next:
        if step is Step.LIST:
            return self._list()
        begun, events = self._config.clock.monotonic(), self.events
        try:
            return self._watch_list(begun) if step is Step.WATCH_LIST else self._watch(begun)
        finally:
            self.counts.watch_ended(self._config.clock.monotonic() - begun, self.events - events)

    def _list(self) -> Next:
        options = self._state.list_options()
        if not options.continue_:
            self._items = []
            self._list_began = self._config.clock.monotonic()
            self.counts.lists += 1
        self.lists += 1
        try:
            with self._stop_scope.scope:
                page = self._source.list(options)
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
            return self._too_many("list")
        self._items += self.target.decodable(page.items)
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
            initial = self._initial_events()
            if not read_initial_events(initial, pull, self._stop, self._saw, self.name):
                return self._state.watch_list_timed_out()
            if initial.error is not None:
                return self._watch_list_failed(initial.error)
            if initial.is_too_many:
                return self._too_many("list")
            self._objects = initial.count
            if not initial.version:
                return self._state.watch_list_ended(self._config.clock.monotonic() - begun)
            failed = self._replace(initial.take_objects(), initial.version, begun)
            if failed is not None:
                return failed
            self._state.watch_list_complete(initial.version)
            # The bookmark was an event.
            return self._follow(pull, initial.version, initial.take_rest(), self._config.clock.monotonic(), seen=1)

    def _initial_events(self) -> InitialEvents:
        now, config = time.monotonic(), self._config
        return InitialEvents(
            self._reader("1"),
            config.key_func,
            lambda error: self._limited.log(logging.ERROR, "%s: an object was left out: %s", self.name, error),
            BookmarkDeadline(now, patience=min(_BOOKMARK_PATIENCE, config.silence_timeout)),
            now,
            max_objects=config.max_objects,
        )

    def _watch_list_failed(self, error: Exception) -> Next:
        step = self._failed(self._state.watch_list_failed(answer_of(error)), error, "watch")
        if isinstance(error, ConnectionRefusedError) and self._health.error is not None and not self._stop.is_set():
            # No server is there to list from either: the round has failed, though it goes on.
            self._health.report(self._health.error)
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
        silence = self._config.silence_timeout * (1 + 0.1 * self._random.random())
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
                return self._ended(seen, self._config.clock.monotonic() - begun)
            self._saw(len(events))
        return Next(Step.ENDED)

    def _store(self, batch: Batch) -> Next | None:
        """Stores a batch of a watch; returns what to do next if the watch has to end, None to go on."""
        if batch.deltas:
            self.target.store(batch.deltas)
            self._objects += batch.growth
        self._state.saw(batch.resource_version)
        if batch.error is not None:
            self._health.watch_failed(batch.error)
            return self._state.watch_error(batch.error)
        if self._is_too_many():
            return self._too_many("follow")
        return None

    # Outcomes

    def _failed(self, step: Next, error: Exception, verb: Verb) -> Next:
        """Notes what keeps the reflector from syncing, and returns the step."""
        if self._stop.is_set():
            return Next(Step.ENDED)
        failure = self._health.failed(error, verb)
        if step.step is Step.FAILED:
            self.failures += 1
            self._error = failure
        else:
            self._limited.log(logging.INFO, "%s: %s: trying again", self.name, failure)
        return step

    def _replace(self, items: list[Any], version: str, begun: float) -> Next | None:
        seconds, count = self._config.clock.monotonic() - begun, len(items)
        try:
            self.target.replace(items, version)
        # A target that refuses a list must not end the reflector: it may accept the next one.
        except Exception as error:
            return self._failed(self._state.broke(), error, "store")
        self.counts.list_complete(seconds, count)
        self._health.synced()
        return None

    def _is_too_many(self) -> bool:
        return self._config.max_objects is not None and self._objects > self._config.max_objects

    def _too_many(self, verb: Verb) -> Next:
        self._items = []
        return self._failed(self._state.broke(), TooManyObjectsError(self._config.max_objects or 0), verb)

    def _ended(self, events: int, seconds: float) -> Next:
        if self._stop.is_set():
            return Next(Step.ENDED)
        step = self._state.watch_ended(events=events, seconds=seconds)
        if step.step is Step.ENDED:
            self.short_watches += 1
            self._health.watch_was_short()
        return step

    def _call_error_handler(self, error: Exception) -> None:
        if self._config.watch_error_handler is not None:
            self._config.watch_error_handler(self, error)

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
        return EventReader(begun_at, is_expected=self._is_expected, on_undecodable=self.target.report)

    def _timeout_seconds(self) -> int:
        return max(1, int(self._random.uniform(*self._config.watch_timeout)))

    @contextlib.contextmanager
    def _running(self, stop: threading.Event) -> Iterator[None]:
        self._stop = stop
        self._health.begin()
        resyncs = Resyncs(
            self.target.resync,
            self._config.resync_period,
            self._config.should_resync,
            clock=self._config.clock,
            stop=stop,
            name=self.name,
            limited=self._limited,
        )
        with StopScope(stop, self._config.max_line_bytes, self._config.max_objects) as self._stop_scope, resyncs:
            yield
