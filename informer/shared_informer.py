"""One cache and any number of handlers, fed by one list and watch: wiring and lifetime.

Comes in: a list-watch and handlers. Goes out: an `Indexer` that follows the server, and calls on each handler's thread.
Threads: one that reads, decodes, applies and gives out (one for each namespace, if there are several), one a handler.
"""

from __future__ import annotations

import logging
import random as stdlib_random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Generic, Literal

from typing_extensions import Self, TypeVar

from informer.aio import AsyncInformer
from informer.applier import Applier
from informer.backoff import Backoff
from informer.changes import Change
from informer.controller import Controller
from informer.delta_fifo import DeltaFIFO
from informer.entries import Undecodable, unwrap
from informer.errors import InformerForkedError, KeyFuncError
from informer.event_stream import EventStream
from informer.handlers import HandlerFunctions
from informer.in_order_fifo import InOrderFIFO
from informer.item_source import stored_items
from informer.keys import meta_namespace_key
from informer.lifetime import register
from informer.list_watch import ListerWatcher
from informer.listers import Lister
from informer.log_limit import LimitedLog
from informer.processor import Processor
from informer.reflector import Reflector
from informer.registration import HandlerRegistration
from informer.resource_version import compare_resource_versions, is_comparable
from informer.store import Indexer
from informer.subscription import BacklogPolicy, Subscription, make_backlog
from informer.waiters import Waiters
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock, Signal, Worker, on_set
from watch.request_scope import DEFAULT_MAX_LINE_BYTES

__all__ = ["SharedInformer"]

T = TypeVar("T", default=Any)

_log = logging.getLogger(__name__)


class SharedInformer(Generic[T]):
    """A local, indexed, always-current copy of one kind of object, shared by any number of handlers.

    Args:
        lister_watcher: what to list and watch, normally `ListWatch.for_resource(api_client, "pods")`.
        resync_period: seconds between two updates without news for handlers that do not say otherwise; 0 for none, and
            then handlers' own periods have no effect.
        indexers: index functions by index name.
        name: for logs and thread names; None takes the resource's.
        transform: called once with each object before it is stored; what it returns is stored. One that raises counts
            as an object that does not decode.
        watch_error_handler: called with (informer, error) for each failed list or watch.
        on_decode_error: called with (metadata, raw_bytes, error) for an object that is left out because it does not
            decode; metadata has `name`, `namespace`, `uid` and `resource_version`.
        queue: "in_order" keeps the order of the server's events; "delta" groups them by key.
        key_func: makes an object's key; it gets what the model or the transform gave.
        watch_list: True streams the first list (WatchList, KEP-3157), False never does, "auto" does if the server can.
        page_size: objects a page of a list.
        backoff: the waits between failed tries.
        watch_timeout: (least, most) seconds after which the server is asked to end a watch.
        silence_timeout: seconds without a byte after which a watch is given up and resumed.
        max_line_bytes: the longest event or object, in bytes, that a server may make us hold.
        clock: for waits and resyncs.
        random: for jitter.

    Raises:
        ValueError: an argument has a value that is not allowed.

    Threads: every method may be called from any thread. Objects are shared by all readers: read-only.
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
        queue: Literal["in_order", "delta"] = "in_order",
        key_func: Callable[[Any], str] = meta_namespace_key,
        watch_list: bool | Literal["auto"] = "auto",
        page_size: int = 500,
        backoff: Backoff | None = None,
        watch_timeout: tuple[float, float] = (300, 600),
        silence_timeout: float = 150,
        max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
        clock: Clock = SYSTEM_CLOCK,
        random: stdlib_random.Random | None = None,
    ) -> None:
        if queue not in ("in_order", "delta"):
            raise ValueError(f'queue must be "in_order" or "delta", not {queue!r}')
        if resync_period < 0:
            raise ValueError(f"resync_period must be 0 or more seconds, not {resync_period}")
        self.name = name or getattr(lister_watcher, "resource_name", None) or "informer"
        self.decode_errors = 0
        """How many objects were left out because they, or their transform, failed."""
        self.index_errors = 0
        """How many times an index function raised."""
        self._lister_watcher = lister_watcher
        self._queue_kind = queue
        self._resync_period = resync_period
        self._transform = transform
        self._watch_error_handler = watch_error_handler
        self._on_decode_error = on_decode_error
        self._key_func = key_func
        codec = getattr(lister_watcher, "codec", None)
        self._model_unwrap: Callable[[Any], Any] | None = None if codec is None or codec.identity else codec.unwrap
        self._processor = Processor(clock)
        self._processor.resync_check_period = resync_period
        self._reflector_options: dict[str, Any] = {
            "watch_list": watch_list,
            "page_size": page_size,
            "backoff": backoff or Backoff(),
            "watch_timeout": watch_timeout,
            "silence_timeout": silence_timeout,
            "max_line_bytes": max_line_bytes,
            "clock": clock,
            "watch_error_handler": self._watch_failed,
            "should_resync": self._processor.should_resync,
            "key_func": self._key_of,
            "on_undecodable": self._undecodable,
        }
        if random is not None:
            self._reflector_options["random"] = random
        self._limited = LimitedLog(_log)
        self._indexer: Indexer[T] = Indexer(
            self._key_of, indexers or {}, unwrap=self._unwrap, on_index_error=self._index_failed
        )
        self._waiters = Waiters()
        self._lock = Lock()
        self._registrations: list[HandlerRegistration] = []  # guarded by _lock, as are the next two
        self._worker: Worker | None = None
        self._controller: Controller | None = None
        self._stop = Signal()
        self._forked = False

    # Handlers

    def add_event_handler(
        self,
        handler: Any = None,
        *,
        on_add: Callable[..., object] | None = None,
        on_update: Callable[..., object] | None = None,
        on_delete: Callable[..., object] | None = None,
        on_batch: Callable[[list[Change[T]]], object] | None = None,
        filter: Callable[[T], object] | None = None,
        resync_period: float | None = None,
        backlog: BacklogPolicy = "all",
        on_error: Callable[[Change[T], BaseException], object] | None = None,
    ) -> HandlerRegistration:
        """Adds a handler, before or after the start; a late one is first shown every object that is there.

        Args:
            handler: an object with some of `on_add`, `on_update`, `on_delete`; see `ResourceEventHandler`.
            on_add: instead of a handler: takes (obj), or (obj, *, is_in_initial_list).
            on_update: takes (old, new).
            on_delete: takes (obj), or (obj, *, final_state_unknown).
            on_batch: instead of the three: takes a list of `Change`.
            filter: lets pass objects of interest; it must depend on nothing but the object.
            resync_period: seconds between two updates without news, 0 for none, None for the informer's.
            backlog: "all" keeps every change for a slow handler, "coalesce" at most the newest state of each key.
            on_error: called with (change, exception) when the handler raises.

        Returns:
            The registration, with which the handler can be watched and removed.

        Raises:
            RuntimeError: the informer has stopped.
            TypeError, ValueError: the arguments do not fit together; the message says how.
        """
        functions = HandlerFunctions(
            handler, on_add=on_add, on_update=on_update, on_delete=on_delete, on_batch=on_batch
        )
        if filter is not None and not callable(filter):
            raise TypeError(f"filter must be callable, not {type(filter).__name__}")
        self._check_not_stopped(
            f"handler {functions.name} was not added to shared informer because it has stopped already"
        )
        subscription = self.subscribe(keep=filter, resync_period=resync_period, backlog=backlog)
        registration = HandlerRegistration(self, functions, subscription, name=self.name, on_error=on_error)
        with self._lock:
            if not self._stop.is_set():
                self._registrations.append(registration)
                if self._worker is not None:
                    registration.start()
                return registration
        self._processor.remove(subscription)
        raise RuntimeError(f"handler {functions.name} was not added to shared informer because it has stopped already")

    def remove_event_handler(self, registration: HandlerRegistration) -> None:
        """Removes a handler without waiting for its call under way; one of another informer is left alone."""
        with self._lock:
            if registration not in self._registrations:
                return
            self._registrations.remove(registration)
        self._processor.remove(registration.subscription)
        registration.discard()

    def subscribe(
        self,
        *,
        keep: Callable[[T], object] | None = None,
        resync_period: float | None = None,
        backlog: BacklogPolicy = "all",
        initial: bool = True,
    ) -> Subscription:
        """Adds a listener that its owner pulls: what `add_event_handler` and `events` stand on."""
        self._check_forked()
        requested = self._resync_period if resync_period is None else resync_period
        if requested < 0:
            raise ValueError(f"resync_period must be 0 or more seconds, not {requested}")
        subscription = Subscription(
            make_backlog(backlog, self._key_of),
            self._processor.schedule(requested),
            unwrap=self._unwrap,
            keep=keep,
            on_initial_done=self._waiters.notify,
        )
        self._processor.add(subscription, self._indexer.stored_items if initial else tuple)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Removes a listener that `subscribe` gave."""
        self._processor.remove(subscription)
        subscription.close()

    def events(
        self,
        *,
        filter: Callable[[T], object] | None = None,
        initial: bool = True,
        backlog: BacklogPolicy = "coalesce",
    ) -> EventStream[T]:
        """The changes as an iterator, which ends when it is closed or the informer stops.

        Args:
            filter: lets pass objects of interest.
            initial: begin with an add for each object that is there.
            backlog: "coalesce" keeps at most the newest state of each key for a slow reader, "all" every change.

        Raises:
            RuntimeError: the informer has stopped.
        """
        self._check_not_stopped(f"informer {self.name} has stopped: it has no more events")
        return EventStream(self, self.subscribe(keep=filter, backlog=backlog, initial=initial))

    # What it is made of

    @property
    def lister(self) -> Lister[T]:
        """A reader of the cache by name, label and index."""
        return Lister(self._indexer, self.name)

    @property
    def aio(self) -> AsyncInformer[T]:
        """The informer for use from asyncio."""
        return AsyncInformer(self)

    @property
    def indexer(self) -> Indexer[T]:
        """The cache; its objects are read-only."""
        return self._indexer

    @property
    def store(self) -> Indexer[T]:
        """The cache, by its other name."""
        return self._indexer

    def add_indexers(self, indexers: Mapping[str, Callable[[T], Iterable[str]]]) -> None:
        """Adds index functions by name, before or after the start.

        Raises:
            RuntimeError: the informer has stopped.
            IndexConflictError: one of the names is taken; none was added.
        """
        self._check_not_stopped("indexer was not added because it has stopped already")
        self._indexer.add_indexers(indexers)

    def set_transform(self, transform: Callable[[Any], Any] | None) -> None:
        """Sets the transform (see the class).

        Raises:
            RuntimeError: the informer has started.
        """
        with self._lock:
            self._check_not_started()
            self._transform = transform
            self._indexer.set_unwrap(self._unwrap)
        for registration in self._registrations:
            registration.subscription.set_unwrap(self._unwrap)

    def set_watch_error_handler(self, handler: Callable[[SharedInformer[T], Exception], object] | None) -> None:
        """Sets what is called with (informer, error) for each failed list or watch.

        Raises:
            RuntimeError: the informer has started.
        """
        with self._lock:
            self._check_not_started()
            self._watch_error_handler = handler

    # State

    def has_synced(self) -> bool:
        """Whether the first list is in the cache."""
        self._check_forked()
        controller = self._controller
        return controller is not None and controller.has_synced()

    def wait_for_sync(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for `has_synced`; False too when it stops."""
        return self.wait_until(self.has_synced, timeout)

    def wait_until(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Waits for something about this informer that changes with what it applies or its handlers finish."""
        self._check_forked()
        return self._waiters.wait_until(predicate, timeout)

    def on_progress(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called whenever a `wait_until` would look again, and when it stops; it must not block.

        Returns:
            A function that withdraws it.
        """
        self._check_forked()
        return self._waiters.subscribe(callback)

    def wait_for_resource_version(self, resource_version: str, timeout: float | None = None) -> bool:
        """Waits until the cache shows what a write made that returned this resourceVersion.

        Args:
            resource_version: from the server's answer, of the same resource.
            timeout: at most so many seconds; None waits without limit.

        Returns:
            Whether the cache has reached it; False too when the informer stops.

        Raises:
            ValueError: it is no comparable resourceVersion (KEP-5504).
        """
        compare_resource_versions(resource_version, resource_version)
        return self.wait_until(lambda: self.has_reached(resource_version), timeout)

    def has_reached(self, resource_version: str) -> bool:
        """Whether the cache shows what a write made that returned this resourceVersion; raises ValueError as above."""
        reached = self.last_sync_resource_version
        return is_comparable(reached) and compare_resource_versions(reached, resource_version) >= 0

    def sync_error(self) -> Exception | None:
        """What keeps the informer from syncing, or from following the server; None when nothing does."""
        for reflector in self._reflectors():
            error = reflector.sync_error()
            if error is not None:
                return error
        return None

    @property
    def last_sync_resource_version(self) -> str:
        """The resourceVersion that the cache has reached, "" before any; of several namespaces the lowest."""
        return "" if self._controller is None else self._controller.applied_resource_version

    @property
    def is_watching(self) -> bool:
        """Whether a watch is open (of several namespaces: all of them)."""
        reflectors = self._reflectors()
        return bool(reflectors) and all(reflector.is_watching for reflector in reflectors)

    @property
    def last_event_age(self) -> float | None:
        """Seconds since the server last sent anything, bookmarks included; None before. Of several the longest."""
        ages = [reflector.last_event_age for reflector in self._reflectors()]
        known = [age for age in ages if age is not None]
        return max(known) if known and len(known) == len(ages) else None

    def is_started(self) -> bool:
        """Whether it was started."""
        return self._worker is not None

    def is_stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stop.is_set()

    # Life

    def start(self) -> None:
        """Starts listing and watching on a thread of its own.

        Raises:
            RuntimeError: it has started or stopped before.
        """
        self._check_forked()
        with self._lock:
            self._check_not_stopped(f"informer {self.name} has stopped: make a new one")
            self._check_not_started()
            self._controller = self._make_controller()
            self._worker = Worker(self._run_controller, f"informer-{self.name}")
            self._processor.start()
            register(self)
            for registration in self._registrations:
                registration.start()
            self._worker.start()

    def run(self, stop: threading.Event) -> None:
        """Starts, waits until `stop` is set or `stop()` is called, and returns when its threads have ended.

        Raises:
            RuntimeError: it has started or stopped before.
        """
        self.start()
        withdraw = on_set(stop, self.begin_stop)
        try:
            self._stop.wait()
        finally:
            withdraw()
            self._join(None)

    def stop(self, timeout: float = 1.0, *, drain: bool = False) -> bool:
        """Ends everything: connections at once, handlers after the call they are in. Idempotent, from any thread.

        Args:
            timeout: wait at most so many seconds for the threads to end.
            drain: let the handlers have what waits for them, instead of dropping it.

        Returns:
            Whether every thread has ended; False too on a thread of this informer's, which it cannot wait for.
        """
        if self._forked:
            return True
        self.begin_stop(drain=drain)
        return self._join(timeout)

    def begin_stop(self, *, drain: bool = False) -> None:
        """`stop` without waiting."""
        with self._lock:
            self._stop.set()
            controller, worker = self._controller, self._worker
        if controller is not None:
            controller.stop()
        if not drain or worker is None or not worker.is_alive:
            # Otherwise the reader's thread closes them when it has given out its last batch.
            self._processor.close(drain=drain)
        self._waiters.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def die_in_child(self) -> None:
        """Called in a forked child: its threads and locks are the parent's."""
        self._forked = True
        self._indexer.die(self._forked_error)

    # Inside

    @property
    def _unwrap(self) -> Callable[[Any], Any] | None:
        """What makes the user's form of a stored object, None where it is that itself."""
        return self._model_unwrap if self._transform is None else unwrap

    def _key_of(self, item: Any) -> str:
        if self._key_func is meta_namespace_key:
            return meta_namespace_key(item)
        unwrap_item = self._unwrap
        key = self._key_func(item if unwrap_item is None else unwrap_item(item))
        if not isinstance(key, str):
            raise KeyFuncError(f"the key function gave a {type(key).__qualname__} for a key: a str is needed")
        return key

    def _make_controller(self) -> Controller:
        source = stored_items(self._lister_watcher, self._transform, self._model_unwrap)
        queue: InOrderFIFO | DeltaFIFO
        if self._queue_kind == "in_order":
            queue = InOrderFIFO(self._key_of)
        else:
            queue = DeltaFIFO(
                self._key_of,
                known_objects=_StoredObjects(self._indexer),
                emit_replaced=True,
                bookmark_replaces=True,
            )
        applier = Applier(self._indexer, self._processor, self._key_of, self._limited)
        return Controller(
            queue,
            source,
            process_batch=applier.process,
            on_processed=self._waiters.notify,
            name=self.name,
            resync_period=self._processor.resync_check_period,
            **self._reflector_options,
        )

    def _run_controller(self) -> None:
        assert self._controller is not None
        try:
            self._controller.run(self._stop)
        except BaseException:
            _log.exception("informer %s ended with an error", self.name)
        finally:
            self.begin_stop(drain=True)
            self._processor.close(drain=True)

    def _join(self, timeout: float | None) -> bool:
        with self._lock:
            worker, registrations = self._worker, list(self._registrations)
        if worker is None:
            return True
        mine = worker.is_current or any(registration.is_current for registration in registrations)
        if mine:
            return False
        deadline = None if timeout is None else time.monotonic() + timeout
        ended = True
        for join in (worker.join, *(registration.join for registration in registrations)):
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ended = join(left) and ended
        return ended

    def _reflectors(self) -> list[Reflector]:
        return [] if self._controller is None else self._controller.reflectors

    def _watch_failed(self, reflector: Any, error: Exception) -> None:
        if self._watch_error_handler is not None:
            self._watch_error_handler(self, error)

    def _undecodable(self, item: Undecodable) -> None:
        self.decode_errors += 1
        where = f"{item.namespace}/{item.name}" if item.namespace else item.name
        # The error's text may quote the object; its type says enough for a log.
        self._limited.log(
            logging.ERROR,
            "informer %s left out %s: it does not decode (%s)",
            self.name,
            where or "an object",
            type(item.error).__name__,
        )
        if self._on_decode_error is None:
            return
        try:
            self._on_decode_error(item, item.raw, item.error)
        except Exception as error:
            self._limited.log(logging.ERROR, "on_decode_error of informer %s failed", self.name, exc_info=error)

    def _index_failed(self, index_name: str, key: str, error: Exception) -> None:
        self.index_errors += 1
        self._limited.log(
            logging.ERROR, "informer %s: index %s failed for %s", self.name, index_name, key, exc_info=error
        )

    def _check_forked(self) -> None:
        if self._forked:
            raise self._forked_error()

    def _forked_error(self) -> InformerForkedError:
        return InformerForkedError(
            f"informer {self.name} was started before this process was forked: start one in the child instead"
        )

    def _check_not_stopped(self, message: str) -> None:
        if self._stop.is_set():
            raise RuntimeError(message)

    def _check_not_started(self) -> None:
        if self._worker is not None:
            raise RuntimeError(f"informer {self.name} has already started")


class _StoredObjects:
    """The cache as a `DeltaFIFO` looks at it: in stored form."""

    def __init__(self, indexer: Indexer[Any]) -> None:
        self.list_keys = indexer.list_keys
        self.get_by_key = indexer.stored_by_key
