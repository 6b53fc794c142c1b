"""The shared informer: one cache that follows the server, and any number of handlers."""

from __future__ import annotations

import os
import random as stdlib_random
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Generic, Literal, Self

from typing_extensions import TypeVar

from informer.arguments import check_function
from informer.cache.by_key import ByKey
from informer.cache.change import Change
from informer.cache.indexer import Indexer
from informer.cache.lister import Lister
from informer.controller.controller import Controller
from informer.controller.wiring import QueueKind
from informer.errors import InformerError
from informer.handlers.event_stream import EventStream
from informer.handlers.handler import Handler, HandlerFunctions, Ignored, SyncOnAdd, SyncOnDelete
from informer.handlers.inline import InlineRegistration
from informer.handlers.processor import Processor
from informer.handlers.registration import HandlerRegistration
from informer.handlers.subscription import BacklogPolicy, Subscription
from informer.listwatch.lister_watcher import ListerWatcher
from informer.listwatch.source import Source, as_source
from informer.objects.keys import meta_namespace_key
from informer.process import register
from informer.reflector.backoff import Backoff
from informer.reflector.config import DEFAULT_MAX_OBJECTS, ReflectorConfig
from informer.shared.aio import AsyncInformer
from informer.shared.cache_feed import CacheFeed
from informer.shared.checks import check_lister_watcher, check_period
from informer.shared.handler_set import HandlerSet
from informer.shared.lifecycle import Lifecycle
from informer.shared.snapshot import Snapshot, SnapshotKeeper
from informer.shared.status import Status
from informer.shared.waiting import StartWarning, Waiters
from watch.clock import SYSTEM_CLOCK, Clock
from watch.framing import DEFAULT_MAX_LINE_BYTES
from watch.watcher import StopsOnExit

__all__ = ["SharedInformer"]

T = TypeVar("T", default=Any)


# Longer than other modules: nearly all of it is public signatures and docstrings that pass on to a part. In two classes, a
# reader would have to know in which half a method is.
class SharedInformer(StopsOnExit, Generic[T]):
    """A local cache of one resource that follows the server, with callbacks on every change.

    The informer lists the resource, watches it, and relists when the watch cannot be resumed. Any number of handlers and
    event streams share the one cache and the one connection:

        pods = SharedInformer(ListWatch.for_resource(api_client, "pods"))
        pods.add_event_handler(on_add=lambda pod: print(pod.name))
        with pods:
            pods.wait_for_sync(30)
            print(len(pods.lister.list(namespace="default")))

    A reader thread lists, watches, decodes and applies (one per namespace, if the source has several). Each handler is
    called on one further thread of its own, so a slow handler delays neither the cache nor other handlers; an inline handler
    is called on the reader thread. The cache shows a change before any handler is called with it. An informer cannot be
    restarted after `stop`.

    Args:
        lister_watcher: what to list and watch, normally `ListWatch.for_resource(api_client, "pods")`.
        resync_period: seconds between two resyncs (an update of every cached object, with old and new the same) for handlers
            that do not ask for a period; 0 for none, and then handlers' own periods have no effect. The minimum is 1 second.
        indexers: index functions by index name; each returns the values under which an object is found.
        name: for logs and thread names; None takes the resource's name.
        transform: called once with each object before it is stored; what it returns is stored. An exception counts as a
            decode error.
        watch_error_handler: called with (informer, error) after each failed request to list or watch that is followed by a
            wait. The end of an open watch is not a failure; an ERROR event in it is logged.
        on_decode_error: called with (metadata, raw_bytes, error) for an object that is left out because it does not
            decode; metadata has `name`, `namespace`, `uid` and `resource_version`.
        queue: "in_order" keeps the order of the server's events; "delta" groups them by key.
        key_func: returns an object's key; it is called with what the model or the transform returned.
        watch_list: True streams the first list (WatchList, KEP-3157), False never does, "auto" lists,
            which costs the server less (unless the list-watch is made of your own functions and supports watch lists).
        page_size: objects per page of a list; 0 asks for everything in one page.
        backoff: the waits between failed attempts; None is `Backoff()`.
        watch_timeout: (shortest, longest) duration of a watch in seconds; the server is asked to end each watch after a random
            time in this range.
        silence_timeout: seconds without a byte after which a watch is abandoned and resumed; a new watch has 130 seconds
            if this is more than a minute, since a server may omit its first bookmark.
        max_line_bytes: the longest event or object, in bytes, that is accepted from a server.
        max_objects: the most objects that are accepted from a server, per namespace; None for no limit. Beyond it the cache
            stays as it was, and `sync_error()` says so.
        clock: times waits and resyncs.
        random: the source of jitter; None makes one.
        snapshot: a file in which the cache is kept, so that the next process starts warm; see `Snapshot` for its options, and
            the how-to page on warm starts. None keeps none.

    Raises:
        ValueError: an argument has a value that is not allowed.
        TypeError: an argument has a type that is not allowed.

    Threads: every method may be called from any thread. Objects are shared by all readers: do not change them. In a forked
        child the methods of an informer that its parent started raise `InformerForkedError`.
    """

    def __init__(
        self,
        lister_watcher: ListerWatcher[T],
        *,
        resync_period: float = 0,
        indexers: Mapping[str, Callable[[T], Iterable[str]]] | None = None,
        name: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        watch_error_handler: Callable[[SharedInformer[T], Exception], object] | None = None,
        on_decode_error: Callable[[Any, bytes, Exception], object] | None = None,
        queue: QueueKind = "in_order",
        key_func: Callable[[Any], str] = meta_namespace_key,
        watch_list: bool | Literal["auto"] = "auto",
        page_size: int = 500,
        backoff: Backoff | None = None,
        watch_timeout: tuple[float, float] = (300, 600),
        silence_timeout: float = 75,
        max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
        max_objects: int | None = DEFAULT_MAX_OBJECTS,
        clock: Clock = SYSTEM_CLOCK,
        random: stdlib_random.Random | None = None,
        snapshot: str | os.PathLike[str] | Snapshot | None = None,
    ) -> None:
        # Longer than other functions: users see each option by its name here, instead of a bag of options.
        check_lister_watcher(lister_watcher)
        check_period(resync_period)
        config = ReflectorConfig(
            watch_list=watch_list,
            page_size=page_size,
            backoff=backoff,
            watch_timeout=watch_timeout,
            silence_timeout=silence_timeout,
            max_line_bytes=max_line_bytes,
            max_objects=max_objects,
            clock=clock,
            random=random,
        )
        source = as_source(lister_watcher)
        self._lister_watcher = lister_watcher
        self._name = name or source.resource_name or "informer"
        self._processor = Processor(clock, resync_period)
        self._feed: CacheFeed[T] = CacheFeed(
            source,
            self._processor,
            config,
            name=self._name,
            queue=queue,
            key_func=key_func,
            indexers=indexers or {},
            on_decode_error=on_decode_error,
        )
        self._waiters = Waiters()
        self._lifecycle = Lifecycle(
            self._name,
            self._processor,
            self._waiters,
            make_controller=lambda: self._feed.make_controller(self._handlers.batch_applied, self._waiters.notify),
            on_start=lambda: register(self),
            on_last_batch=lambda: self._handlers.batch_applied(),  # noqa: PLW0108 - it is made below
        )
        self._status = Status(lambda: self._lifecycle.controller, self._waiters, self._name)
        self._handlers = HandlerSet(
            self._lifecycle, self._processor, self._waiters, self._feed, resync_period=resync_period
        )
        self._aio: AsyncInformer[T] = AsyncInformer(self)
        if snapshot is not None:
            given = snapshot if isinstance(snapshot, Snapshot) else Snapshot(snapshot)
            self._keep_snapshot(given, source, queue, key_func)
        self.set_transform(transform)
        self.set_watch_error_handler(watch_error_handler)

    def __repr__(self) -> str:
        life = self._lifecycle
        if life.is_forked:
            return f"<SharedInformer {self._name}: started before the fork>"
        state = "synced" if self.has_synced() else "not synced" if life.is_started else "not started"
        counts = f"{len(self._feed.indexer)} objects, {len(self.handlers)} handlers"
        return f"<SharedInformer {self._name}: {'stopped, ' if life.is_stopped else ''}{state}, {counts}>"

    @property
    def name(self) -> str:
        """The informer's name in logs, thread names and metrics."""
        return self._name

    # Handlers and streams

    def add_event_handler(
        self,
        handler: Handler[T] | None = None,
        *,
        on_add: SyncOnAdd[T] | None = None,
        on_update: Callable[[T, T], Ignored] | None = None,
        on_delete: SyncOnDelete[T] | None = None,
        on_batch: Callable[[list[Change[T]]], Ignored] | None = None,
        filter: Callable[[T], object] | None = None,
        resync_period: float | None = None,
        backlog: BacklogPolicy = "all",
        on_error: Callable[[Change[T], BaseException], object] | None = None,
        inline: bool = False,
    ) -> HandlerRegistration:
        """Adds a handler, before or after the start.

        Pass a handler object or functions. A handler that is added late is first called with every cached object.

        Args:
            handler: an object with some of `on_add`, `on_update`, `on_delete`; see `ResourceEventHandler`.
            on_add: instead of a handler: takes (obj), or (obj, *, is_in_initial_list).
            on_update: takes (old, new).
            on_delete: takes (obj), or (obj, *, final_state_unknown), or (obj, *, final_state_unknown, reason).
            on_batch: instead of the three: takes a list of `Change`.
            filter: called with an object; the handler sees those for which it returns true. Its result must depend on
                nothing but the object.
            resync_period: seconds between two resyncs (an update of every cached object, with old and new the same); 0 for
                none, None for the informer's period. The minimum is 1 second. A handler that is added after the start cannot
                have a shorter period than the informer's, or than the shortest asked for before the start.
            backlog: "all" keeps every change for a slow handler, "coalesce" the net change per key.
            on_error: called with (change, exception) when the handler raises; after a failed batch, once per change.
            inline: call the handler on the reader's thread, right after a batch is applied, under no lock. It saves the switch
                to a thread, and is for functions that only take a note. One that is slow or blocks delays the cache, which is
                logged. A handler object with an attribute `inline` that is True, such as `enqueue_key`, is inline by itself.

        Returns:
            The registration, which shows the handler's progress and removes it.

        Raises:
            RuntimeError: the informer has stopped.
            TypeError, ValueError: the arguments do not fit together; the message says how.
        """
        functions = HandlerFunctions(
            handler, on_add=on_add, on_update=on_update, on_delete=on_delete, on_batch=on_batch
        )
        check_function("on_error", on_error, 2, or_none=True)
        subscription = self._handlers.subscribe(filter, resync_period, backlog)
        if subscription is not None:
            kind = InlineRegistration if inline or functions.inline else HandlerRegistration
            registration = kind(self, functions, subscription, name=self._name, on_error=on_error)
            if self._handlers.add(registration):
                return registration
        raise RuntimeError(f"handler {functions.name} was not added to shared informer because it has stopped already")

    def remove_event_handler(self, registration: HandlerRegistration) -> None:
        """Removes a handler without waiting for a call under way; a handler of another informer is left alone.

        Raises:
            TypeError: the argument is not what `add_event_handler` returned.
        """
        self._handlers.remove(registration)

    @property
    def handlers(self) -> list[HandlerRegistration]:
        """The registrations of the present handlers."""
        return self._handlers.registrations

    def events(
        self,
        *,
        filter: Callable[[T], object] | None = None,
        initial: bool = True,
        backlog: BacklogPolicy = "coalesce",
    ) -> EventStream[T]:
        """Returns the changes as an iterator, which ends when it is closed or the informer stops.

        Args:
            filter: called with an object; the stream shows those for which it returns true.
            initial: begin with an add for each cached object. False leaves out the adds of the first list too.
            backlog: "coalesce" keeps the net change per key for a slow reader, "all" every change.

        Raises:
            RuntimeError: the informer has stopped.
        """
        return EventStream(self, self.subscribe(keep=filter, backlog=backlog, initial=initial))

    def subscribe(
        self,
        *,
        keep: Callable[[T], object] | None = None,
        resync_period: float | None = None,
        backlog: BacklogPolicy = "all",
        initial: bool = True,
    ) -> Subscription:
        """Internal: adds a listener from which the caller takes changes; the base of event streams.

        Raises:
            RuntimeError: the informer has stopped.
        """
        subscription = self._handlers.subscribe(keep, resync_period, backlog, initial=initial)
        if subscription is None:
            raise RuntimeError(f"informer {self._name} has stopped: it has no more events")
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Internal: removes a listener that `subscribe` returned. Idempotent."""
        self._handlers.unsubscribe(subscription)

    @property
    def aio(self) -> AsyncInformer[T]:
        """The informer for use from asyncio."""
        return self._aio

    # The cache

    @property
    def lister_watcher(self) -> ListerWatcher[T]:
        """What the informer lists and watches."""
        return self._lister_watcher

    @property
    def lister(self) -> Lister[T]:
        """Reads the cache by name, label and index."""
        return Lister(self._feed.indexer, self._name, has_synced=self.has_synced)

    @property
    def indexer(self) -> Indexer[T]:
        """The cache; its objects are read-only."""
        return self._feed.indexer

    @property
    def store(self) -> Indexer[T]:
        """The cache: another name of `indexer`."""
        return self._feed.indexer

    @property
    def by_key(self) -> Mapping[str, T]:
        """The cache as a read-only mapping of keys, such as "default/web-1", to objects."""
        return ByKey(self._feed.indexer)

    @property
    def decode_errors(self) -> int:
        """How many objects were left out because they did not decode or their transform raised."""
        return self._feed.errors.decode_errors

    @property
    def index_errors(self) -> int:
        """How many times an index function raised."""
        return self._feed.errors.index_errors

    def add_indexers(self, indexers: Mapping[str, Callable[[T], Iterable[str]]]) -> None:
        """Adds index functions by index name, before or after the start.

        Raises:
            RuntimeError: the informer has stopped.
            IndexConflictError: one of the names is taken; none was added.
        """
        self._lifecycle.check_process()
        self._lifecycle.check_not_stopped("indexer was not added because it has stopped already")
        self._feed.indexer.add_indexers(indexers)

    def set_transform(self, transform: Callable[[Any], Any] | None) -> None:
        """Sets the transform (see the class); None stores objects as they come.

        Raises:
            RuntimeError: the informer has started or stopped.
        """
        check_function("transform", transform, 1, or_none=True)
        with self._lifecycle.before_start():
            self._feed.set_transform(transform)

    def set_watch_error_handler(self, handler: Callable[[SharedInformer[T], Exception], object] | None) -> None:
        """Sets what is called with (informer, error) after each failed list or watch; None only logs.

        Raises:
            RuntimeError: the informer has started or stopped.
        """
        check_function("watch_error_handler", handler, 2, or_none=True)
        with self._lifecycle.before_start():
            self._feed.watch_error_handler = None if handler is None else partial(handler, self)

    # Starting and stopping

    def start(self) -> None:
        """Starts listing and watching on the reader thread, and returns at once.

        Raises:
            RuntimeError: the informer has started or stopped before.
        """
        self._lifecycle.start()

    def run(self, stop: threading.Event) -> None:
        """Starts the informer, waits until `stop` is set or `stop()` is called, and returns when its threads have ended.

        Raises:
            RuntimeError: the informer has started or stopped before.
            TypeError: `stop` is not a `threading.Event`.
        """
        self._lifecycle.run(stop)

    def stop(self, timeout: float | None = 1.0, *, drain: bool = False) -> bool:
        """Stops the informer: connections end at once, handlers after the call that they are in. Idempotent.

        Args:
            timeout: seconds to wait at most for the threads to end; None waits without limit, 0 does not wait.
            drain: deliver the waiting changes to the handlers first, instead of dropping them.

        Returns:
            Whether every thread has ended. Always False on a thread that the informer started, where it does not wait.
        """
        return self._lifecycle.stop(timeout, drain=drain)

    def begin_stop(self, *, drain: bool = False) -> None:
        """Internal: stops the informer as `stop` does, without waiting."""
        self._lifecycle.begin_stop(drain=drain)

    def __enter__(self) -> Self:
        self.start()
        return self

    def on_end(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called once, when the informer has stopped and its last thread ends; it must not block.

        Returns:
            A function that withdraws the callback.
        """
        return self._lifecycle.on_end(callback)

    def is_started(self) -> bool:
        """Returns whether the informer was started."""
        return self._lifecycle.is_started

    def is_stopped(self) -> bool:
        """Returns whether the informer was stopped."""
        return self._lifecycle.is_stopped

    @property
    def has_died(self) -> bool:
        """Whether the reader thread ended with an exception before `stop` was called: the cache is stale."""
        return self._lifecycle.has_died

    @property
    def failure(self) -> BaseException | None:
        """The exception that ended the reader thread; None if there is none."""
        return self._lifecycle.failure

    @property
    def controller(self) -> Controller | None:
        """Runs the reflectors; None before the start."""
        return self._lifecycle.controller

    # Status

    def has_synced(self) -> bool:
        """Returns whether the first list is in the cache."""
        return self._status.has_synced()

    def wait_for_sync(self, timeout: float | None = None, *, raise_on_error: bool = False) -> bool:
        """Waits until the first list is in the cache.

        Args:
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.
            raise_on_error: also end the wait when there is a `sync_error`, and raise it. The informer goes on trying.

        Returns:
            Whether the cache has synced. False when the time is up or the informer stops.

        Raises:
            Exception: with `raise_on_error`, the `sync_error` of an informer that has not synced. It is an `InformerError`
                if the informer is not started, or if its reader thread has failed.
        """
        if not raise_on_error:
            return self._status.wait_until(self.has_synced, timeout, StartWarning([self], timeout))
        self.wait_until(lambda: self.has_synced() or self.sync_error() is not None, timeout)
        return self.synced_or_raise()

    def synced_or_raise(self) -> bool:
        """Returns whether the first list is in the cache; raises what has kept it out, if there is an error."""
        error = self.sync_error() or self.failure
        # In this order: the sync may come between the two readings, and ends the error.
        if self.has_synced() or error is None:
            return self.has_synced()
        if error is self.failure:
            raise InformerError(f"informer {self._name} stopped because its reader thread failed: {error}") from error
        raise error

    def wait_for_resource_version(self, rv: Any, timeout: float | None = None, *, namespace: str | None = None) -> bool:
        """Waits until the cache shows a write of this resource.

        Args:
            rv: the resourceVersion in the server's answer to the write, or the object that it returned.
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.
            namespace: the namespace of the write. An informer of several namespaces then need not wait for news of the others.
                None takes the object's, or waits for all.

        Returns:
            Whether the cache shows it. False when the time is up or the informer stops.

        Raises:
            ValueError: it has no comparable resourceVersion (KEP-5504), or the informer does not follow the namespace.
        """
        return self.wait_until(lambda: self.has_reached(rv, namespace), timeout)

    def has_reached(self, rv: Any, namespace: str | None = None) -> bool:
        """Returns whether the cache shows a write; see `wait_for_resource_version`.

        Raises:
            ValueError: it has no comparable resourceVersion (KEP-5504), or the informer does not follow the namespace.
        """
        return self._status.has_reached(rv, namespace)

    def wait_until(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Waits until a predicate about this informer is true.

        `predicate` is called at once, after each batch applied to the cache, when a handler has finished its initial adds
        or is removed, and when `sync_error()` has changed; not after each handler call.

        Args:
            predicate: returns whether the wait is over.
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.

        Returns:
            What the predicate returned last. The wait ends early when the informer stops.
        """
        return self._status.wait_until(predicate, timeout)

    def on_progress(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called whenever `wait_until` would call its predicate, and at the stop; it must not block.

        Returns:
            A function that withdraws the callback.
        """
        return self._status.on_progress(callback)

    def sync_error(self) -> Exception | None:
        """Returns what keeps the cache from syncing or from following the server; None if nothing does.

        Before the start it is an `InformerError` that says so.
        """
        return self._status.sync_error()

    @property
    def failing_since(self) -> float | None:
        """Since when listing or watching fails, in seconds since the epoch, as `time.time()`; None if it does not fail."""
        return self._status.failing_since

    @property
    def last_sync_resource_version(self) -> str:
        """The resourceVersion that the cache has reached, "" before any; with several namespaces the lowest."""
        return self._status.applied_resource_version

    @property
    def is_watching(self) -> bool:
        """Whether a watch is open and its initial events have come; with several namespaces, whether one is in each."""
        return self._status.is_watching

    @property
    def last_event_age(self) -> float | None:
        """Seconds since the server last sent anything, or accepted a watch; events, bookmarks and lists count.

        None before the first data. With several namespaces, the oldest of them. A healthy watch is silent for a minute or two.
        """
        return self._status.last_event_age

    # Internals

    def _keep_snapshot(
        self, snapshot: Snapshot, source: Source[T], queue: QueueKind, key_func: Callable[[Any], str]
    ) -> None:
        feed = self._feed
        keeper = SnapshotKeeper(
            snapshot,
            source,
            queue,
            self._name,
            feed.indexer.records,
            transform=lambda: feed.transform,
            key_func=key_func,
            is_whole=lambda: not feed.errors.decode_errors and self.failure is None,
            stop=self._lifecycle.stop_begun,
        )
        feed.saved_state = keeper.load
        self._lifecycle.add_member(keeper)

    def die_in_child(self) -> None:
        """Internal: called in a forked child. Disables the cache and ends streams: the parent's threads do not exist here."""
        for listener in self._processor.listeners():
            listener.end_in_child()
        self._feed.indexer.records.disable(self._lifecycle.forked_error)
