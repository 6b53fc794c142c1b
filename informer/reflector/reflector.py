"""Lists and watches one resource, and keeps a queue or store equal to the server's state."""

from __future__ import annotations

import contextlib
import random as stdlib_random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from typing_extensions import Unpack

from informer.errors import InformerError, TooManyObjectsError
from informer.listwatch.lister_watcher import ListerWatcher
from informer.listwatch.source import as_source
from informer.rate_limited_log import rate_limited
from informer.reflector.config import ReflectorConfig, ReflectorOptions, config_from
from informer.reflector.counts import ReflectorCounts, Verb
from informer.reflector.event_reader import Batch, EventReader, checked_version, type_check
from informer.reflector.health import Health, answer_of
from informer.reflector.held_objects import Count, HeldObjects, count_of
from informer.reflector.paged_list import PagedList
from informer.reflector.requests import Requests
from informer.reflector.resumption import Resumption
from informer.reflector.resync import ResyncTimer
from informer.reflector.state import Next, ReflectorState, Step
from informer.reflector.stop_scope import Pull, StopScope
from informer.reflector.target import ReflectorTarget
from informer.reflector.waits import Waits
from informer.reflector.watch_list import InitialEvents, read_initial_events
from watch.errors import WatchClosedError
from watch.event import Event
from watch.logs import get_logger

__all__ = ["Reflector"]

_log = get_logger(__name__)


class Reflector:
    """Lists a resource once, then watches it, and keeps a queue or store current.

    After any failure the reflector backs off and resumes: from the last resourceVersion if the server still has it, else
    with a new list. `informer.reflector.state.ReflectorState` decides what to request next.

    Args:
        lister_watcher: what to list and watch.
        store_or_queue: the target to keep current. It needs `replace`, and `apply` or else `add`, `update` and `delete`.
        name: for logs; None takes the resource's name.
        namespace: the namespace of the objects, passed on to the target's `replace`; None, for all objects, is not passed on.
        process: called after each list, batch and resync, to process what is queued. If it returns False, no list or version
            counts as applied, and `on_processed` is not called. None if the target queues nothing.
        count: returns the number of objects in the cache that the target fills, for `max_objects`; None asks the target.
        on_processed: called when `target.applied_resource_version` or `target.has_listed` may have changed.
        on_error_change: called when `sync_error()` has changed.
        config: the options; None makes a `ReflectorConfig` of the remaining arguments.
        options: the fields of `ReflectorConfig`, instead of a config.

    Raises:
        ValueError: an option has a value that is not allowed.
        TypeError: an option does not exist, or a config and options are given.

    Threads: `run` and `list_and_watch` block, and only one of them may run at a time. Everything else: any, without blocking.
    """

    def __init__(
        self,
        lister_watcher: ListerWatcher[Any],
        store_or_queue: Any,
        *,
        name: str | None = None,
        namespace: str | None = None,
        process: Callable[[], bool] | None = None,
        count: Count | None = None,
        on_processed: Callable[[], object] | None = None,
        on_error_change: Callable[[], object] | None = None,
        config: ReflectorConfig | None = None,
        **options: Unpack[ReflectorOptions],
    ) -> None:
        # Over 40 lines: it only joins the parts. Divided, it would hide which part knows which.
        self._config = config = config_from(config, options)
        source = as_source(lister_watcher)
        self.name = name or source.resource_name or "reflector"
        self.lists = self.watches = self.watch_lists = self.events = self.failures = self.short_watches = 0
        """Counters: pages requested (lists: `counts.lists`), watches, watch lists; events; failed rounds; short watches."""
        self.counts = ReflectorCounts()  # more counters, for metrics
        self._limited = rate_limited(_log)
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
        streams = source.prefers_watch_list if config.watch_list == "auto" else bool(config.watch_list)
        self._state = ReflectorState(watch_list=streams, page_size=config.page_size)
        self._stop: threading.Event = threading.Event()
        self._stop_scope = StopScope(self._stop)
        self._list = PagedList()
        self._held = HeldObjects(config.max_objects, namespace, count or count_of(store_or_queue), config.key_func)
        self._error: Exception | None = None  # the error that ends the round
        on_failure = config.watch_error_handler and partial(config.watch_error_handler, self)
        self._health = Health(self.name, config.clock, self._limited, self.counts, on_failure, on_error_change)
        self._waits = Waits(config, self._random, source.server, self._health)
        self._resumption = Resumption(config.saved_state, self.name, self._state, self.target, self._held, self._health)
        self._requests = Requests(
            self.name,
            source,
            self._state,
            config,
            self._random,
            self._health,
            self._waits,
            self.counts,
            self._resumption,
        )

    @property
    def last_sync_resource_version(self) -> str:
        """The version up to which everything was stored in the target; "" before the first list."""
        return self._state.last_resource_version

    @property
    def is_watching(self) -> bool:
        """Whether a watch is open, and its initial events have come."""
        return self._stop_scope.is_watching

    @property
    def last_event_age(self) -> float | None:
        """Seconds since the server last sent anything: events, bookmarks, lists, or that it accepts a watch; None before."""
        return self._health.last_event_age

    @property
    def failing_since(self) -> float | None:
        """Since when there is a `sync_error`, as `time.time()`; None if there is none."""
        return self._health.failing_since

    @property
    def undecodable(self) -> int:
        """The number of objects left out because they did not decode."""
        return self.target.undecodable

    def sync_error(self) -> Exception | None:
        """Returns the error that keeps the reflector from listing or watching; None if there is none."""
        return self._health.error

    def run(self, stop: threading.Event) -> None:
        """Lists and watches until `stop` is set; failed rounds are reported and retried with backoff."""
        with self._running(stop):
            self._resumption.begin()
            while not stop.is_set():
                ended = self._round()
                if stop.is_set():
                    return
                if ended.step is Step.FAILED and self._error is not None:
                    self._health.report(self._error)
                self._waits.before_round(ended, stop)

    def list_and_watch(self, stop: threading.Event) -> None:
        """Runs one round: lists, then watches until something ends the round or `stop` is set.

        Raises:
            Exception: a list or the call of a watch failed. An error within an open watch ends the round without an exception.
        """
        with self._running(stop):
            if self._round().step is Step.FAILED and self._error is not None and not stop.is_set():
                raise self._error

    def _round(self) -> Next:
        if self._waits.lacks_bookmarks:
            self._state.use_lists()
        step, before = self._state.begin(), None
        self._error, self._list = None, PagedList()
        while not self._stop.is_set():
            if step.step in (Step.FAILED, Step.ENDED):
                return step
            if not self._waits.before_request(step, before, self._stop):
                break
            before = step.step
            try:
                step = self._request(before)
            # A user's list-watch may return a page, watcher or event of any shape.
            except Exception as error:
                _log.debug("%s: a response could not be used", self.name, exc_info=True)
                step = self._failed(self._state.round_failed(), error, "follow")
        return Next(Step.ENDED)

    def _request(self, step: Step) -> Next:
        if step is Step.LIST:
            return self._request_page()
        if step is Step.CONFIRM:
            error = self._requests.confirm(self._stop_scope)
            if error is None:
                return self._state.confirmed()
            return self._failed(self._state.confirm_failed(answer_of(error)), error, "list")
        begun, events = self._config.clock.monotonic(), self.events
        try:
            return self._watch_list(begun) if step is Step.WATCH_LIST else self._watch(begun)
        finally:
            self.counts.watch_ended(self._config.clock.monotonic() - begun, self.events - events)

    def _request_page(self) -> Next:
        options = self._state.list_options()
        is_first = not options.continue_
        if is_first:
            self._list = PagedList(self._config.clock.monotonic())
            self.counts.lists += 1
        self.lists += 1
        try:
            page = self._requests.page(options, self._stop_scope)
        # The list function of a user may raise anything.
        except Exception as error:
            self._list = PagedList()
            return self._failed(self._state.list_failed(answer_of(error)), error, "list")
        if is_first:
            self._list.version = str(page.resource_version or "")
        self._list.size += max(1, len(page.items))
        if self._config.max_objects is not None and self._list.size > self._config.max_objects:
            return self._too_many("list")
        self._list.items += self.target.decodable(page.items, self._list.undecodable)
        step = self._state.page_received(page.continue_)
        if step is None:
            return self._store_list()
        if step.step is Step.FAILED:
            self._list = PagedList()
            endless = InformerError("the server sent the same continue token twice: its list would never end")
            return self._failed(step, endless, "list")
        return step

    def _store_list(self) -> Next:
        complete, self._list = self._list, PagedList()
        failed = self._replace(complete.items, complete.version, complete.begun, complete.undecodable)
        return failed or self._state.list_complete(complete.version)

    def _watch_list(self, begun: float) -> Next:
        self.watch_lists += 1
        watcher = self._requests.watch(self._stop_scope, with_list=True)
        if isinstance(watcher, Exception):
            return self._failed(self._state.watch_list_failed(answer_of(watcher)), watcher, "watch")
        with self._stop_scope.watching(watcher) as pull:
            initial = self._read_initial_events(pull)
            if initial is None:
                self._waits.record_missing_bookmark()
                return self._state.watch_list_timed_out()
            if initial.error is not None:
                return self._failed(self._state.watch_list_failed(initial.error), initial.error, "watch")
            if initial.is_too_many:
                return self._too_many("list")
            if not initial.version:
                self._health.record_waiting("the server ended the watch list before the bookmark that completes it")
                return self._state.watch_list_ended(self._config.clock.monotonic() - begun)
            failed = self._replace(initial.take_objects(), initial.version, begun, initial.undecodable)
            if failed is not None:
                return failed
            self._state.watch_list_complete(initial.version)
            # The end bookmark is the first event of the watch that follows.
            return self._follow(pull, initial.version, initial.take_rest(), self._config.clock.monotonic(), seen=1)

    def _read_initial_events(self, pull: Pull) -> InitialEvents | None:
        """Returns the initial events of a watch list; None if the end bookmark did not come in time."""
        initial = InitialEvents(
            # Any version will do: the reader's version is ignored until the end bookmark.
            self._reader("1"),
            self._config.key_func,
            self.target.report_keyless,
            time.monotonic(),
            patience=self._config.silence_timeout,
            max_objects=self._config.max_objects,
        )
        with self._stop_scope.initial_events():
            in_time = read_initial_events(
                initial, pull, self._stop, self._received, self.name, self._health.record_waiting
            )
        initial.error = initial.error or self._state.is_behind(initial.version)
        return initial if in_time else None

    def _watch(self, begun: float) -> Next:
        # `begun` is before the call: a proxy that holds back the head must not make a long watch seem short.
        self.watches += 1
        begun_at = self._state.last_resource_version
        watcher = self._requests.watch(self._stop_scope)
        if isinstance(watcher, Exception):
            return self._failed(self._state.watch_call_failed(answer_of(watcher)), watcher, "watch")
        with self._stop_scope.watching(watcher) as pull:
            return self._follow(pull, begun_at, [], begun)

    def _follow(self, pull: Pull, begun_at: str, events: list[Event[Any]], begun: float, seen: int = 0) -> Next:
        """Stores the events of a watch until it ends, and returns the next step.

        Args:
            pull: returns the next batch of the watch.
            begun_at: the version from which the watch was requested.
            events: events that were read already.
            begun: when the watch was requested, by the config's clock.
            seen: the number of events before `events`.
        """
        reader = self._reader(begun_at)
        silence, later = self._config.silence_timeouts(self._random)
        self._health.record_watch()
        while not self._stop.is_set():
            if events:
                seen += len(events)
                ended = self._store(reader.read(events))
                if ended is not None:
                    return ended
                # While this thread waits for the next batch, it must not keep the last one alive.
                events = []
            try:
                events = pull(self._resumption.patience(silence))
            except TimeoutError as error:
                if getattr(error, "progress", False):
                    # A part of a large event came, or a line that keeps the connection alive.
                    continue
                if self._resumption.was_quiet():
                    continue
                self.counts.failed("follow", "silence")
                _log.info("%s: the watch was silent for %.0f s: requesting it again", self.name, silence)
                return self._requests.watch_went_silent()
            except WatchClosedError:
                return self._ended(seen, self._config.clock.monotonic() - begun)
            self._received(len(events))
            silence = later
        return Next(Step.ENDED)

    def _store(self, batch: Batch) -> Next | None:
        """Stores a batch of a watch; returns the next step if the watch has to end, or None to continue it."""
        version, last = batch.resource_version, self._state.last_resource_version
        # Usually the version is a larger number with the same number of digits, which needs no further check.
        if version and (len(version) != len(last) or version < last):
            batch = checked_version(batch, last, self._limited)
        if batch.deltas:
            self.target.store(batch.deltas, None if batch.resource_version == version else "")
        self._state.stored(batch.resource_version)
        self._resumption.stored("" if batch.error else batch.resource_version)
        if batch.error is not None:
            self._health.record_error_event(batch.error)
            return self._state.watch_error(batch.error)
        if self._config.max_objects is not None and self._held.are_too_many_with(batch.deltas):
            return self._too_many("follow")
        return None

    def _failed(self, step: Next, error: Exception, verb: Verb) -> Next:
        """Records an error and returns the step that follows it; after a stop, ends the round quietly."""
        if self._stop.is_set():
            return Next(Step.ENDED)
        self._requests.record_failure(error)
        failure = self._health.record_failure(error, verb)
        if step.step is Step.FAILED:
            self.failures += 1
            self._error = failure
        elif step.wait:
            self._health.report(failure, retried=True)
        else:
            self._health.log_retry(failure)
        return step

    def _replace(self, items: list[Any], version: str, begun: float, undecodable: set[str]) -> Next | None:
        seconds, count = self._config.clock.monotonic() - begun, len(items)
        try:
            self.target.replace(items, version, undecodable)
        # A target that refuses a list does not end the reflector: it may accept the next one.
        except Exception as error:
            return self._failed(self._state.round_failed(), error, "store")
        self._held.listed(items)
        self.counts.list_complete(seconds, count)
        self._health.record_sync()
        self._requests.list_stored()
        return None

    def _too_many(self, verb: Verb) -> Next:
        self._list = PagedList()
        return self._failed(self._state.round_failed(), TooManyObjectsError(self._config.max_objects or 0), verb)

    def _ended(self, events: int, seconds: float) -> Next:
        if self._stop.is_set():
            return Next(Step.ENDED)
        step = self._state.watch_ended(events=events, seconds=seconds)
        if step.step is Step.ENDED:
            self.short_watches += 1
            self._health.record_short_watch()
        return step

    def _received(self, events: int) -> float:
        self.events += events
        return self._health.record_activity()

    def _reader(self, begun_at: str) -> EventReader:
        return EventReader(
            begun_at, is_expected=type_check(self._config.expected_type), on_undecodable=self.target.report
        )

    @contextlib.contextmanager
    def _running(self, stop: threading.Event) -> Iterator[None]:
        self._stop = stop
        self._health.begin()
        resyncs = ResyncTimer(
            self.target.resync,
            self._config.resync_period,
            self._config.should_resync,
            clock=self._config.clock,
            stop=stop,
            name=self.name,
            limited=self._limited,
        )
        with StopScope(stop) as self._stop_scope, resyncs:
            yield
        self._health.end()
