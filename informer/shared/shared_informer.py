"""One cache and any number of handlers, fed by one list and watch: wiring and lifetime.

Comes in: a list-watch and handlers. Goes out: an `Indexer` that follows the server, and calls on each handler's thread.
Threads: one that reads, decodes, applies and gives out (one for each namespace, if there are several), one a handler.
"""

from __future__ import annotations

import inspect
import logging
import random as stdlib_random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Generic, Literal

from typing_extensions import TypeVar

from informer.arguments import check_callable
from informer.cache.change import Change
from informer.cache.indexer import Indexer
from informer.cache.lister import Lister
from informer.controller.controller import Controller
from informer.controller.stored_source import stored_source
from informer.controller.wiring import QueueKind, make_controller
from informer.errors import KeyFuncError
from informer.handlers.event_stream import EventStream
from informer.handlers.handler import Handler, HandlerFunctions, OnAdd, OnDelete
from informer.handlers.processor import Processor
from informer.handlers.registration import HandlerRegistration
from informer.handlers.subscription import BacklogPolicy, Subscription, make_backlog
from informer.listwatch.lister_watcher import ListerWatcher
from informer.listwatch.source import as_source
from informer.objects.entry import unwrap
from informer.objects.keys import meta_namespace_key
from informer.reflector.backoff import Backoff
from informer.reflector.config import ReflectorConfig
from informer.shared.aio import AsyncInformer
from informer.shared.lifecycle import InformerLife
from informer.shared.object_errors import ObjectErrors
from watch.clock import SYSTEM_CLOCK, Clock
from watch.request_scope import DEFAULT_MAX_LINE_BYTES, DEFAULT_MAX_OBJECTS

__all__ = ["SharedInformer"]

T = TypeVar("T", default=Any)


class SharedInformer(InformerLife, Generic[T]):
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
        max_objects: so many objects a server may make us hold (in each namespace, if there are several); None for any number.
            Beyond it the cache stays as it was, and `sync_error()` tells.
        clock: for waits and resyncs.
        random: for jitter.

    Raises:
        ValueError: an argument has a value that is not allowed.
        TypeError: an argument is of a type that is not allowed.

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
        queue: QueueKind = "in_order",
        key_func: Callable[[Any], str] = meta_namespace_key,
        watch_list: bool | Literal["auto"] = "auto",
        page_size: int = 500,
        backoff: Backoff | None = None,
        watch_timeout: tuple[float, float] = (300, 600),
        silence_timeout: float = 150,
        max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
        max_objects: int | None = DEFAULT_MAX_OBJECTS,
        clock: Clock = SYSTEM_CLOCK,
        random: stdlib_random.Random | None = None,
    ) -> None:
        _check(
            lister_watcher,
            queue,
            resync_period,
            transform=transform,
            watch_error_handler=watch_error_handler,
            on_decode_error=on_decode_error,
            key_func=key_func,
        )
        self._source = as_source(lister_watcher)
        super().__init__(name or self._source.resource_name or "informer", Processor(clock))
        self._lister_watcher = lister_watcher
        self._queue: QueueKind = queue
        self._resync_period = resync_period
        self._transform = transform
        self._watch_error_handler = watch_error_handler
        self._key_func = key_func
        # Ours reads what is stored; it is called for every event, so it is not wrapped.
        self._key_of = key_func if key_func is meta_namespace_key else self._key_of_user
        self._object_errors = ObjectErrors(self.name, on_decode_error)
        self._processor.resync_check_period = resync_period
        self._config = ReflectorConfig(
            watch_list=watch_list,
            page_size=page_size,
            backoff=backoff,
            watch_timeout=watch_timeout,
            silence_timeout=silence_timeout,
            max_line_bytes=max_line_bytes,
            max_objects=max_objects,
            clock=clock,
            random=random,
            should_resync=self._processor.should_resync,
            key_func=self._key_of,
            on_undecodable=self._object_errors.undecodable,
        )
        self._indexer: Indexer[T] = Indexer(
            self._key_of, indexers or {}, unwrap=self._unwrap(), on_index_error=self._object_errors.index_failed
        )
        self._aio: AsyncInformer[T] = AsyncInformer(self)

    def __repr__(self) -> str:
        return f"<SharedInformer {self.name}>"

    # Handlers

    def add_event_handler(
        self,
        handler: Handler[T] | None = None,
        *,
        on_add: OnAdd[T] | None = None,
        on_update: Callable[[T, T], object] | None = None,
        on_delete: OnDelete[T] | None = None,
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
            on_error: called with (change, exception) when the handler raises; of a batch, with each of its changes.

        Returns:
            The registration, with which the handler can be watched and removed.

        Raises:
            RuntimeError: the informer has stopped.
            TypeError, ValueError: the arguments do not fit together; the message says how.
        """
        functions = HandlerFunctions(
            handler, on_add=on_add, on_update=on_update, on_delete=on_delete, on_batch=on_batch
        )
        _check_plain("on_error", on_error)
        subscription = self._subscribe(filter, resync_period, backlog)
        if subscription is not None:
            registration = HandlerRegistration(self, functions, subscription, name=self.name, on_error=on_error)
            enrolled = False
            try:
                enrolled = self._enroll(registration)
            finally:
                if not enrolled:
                    self.unsubscribe(subscription)
            if enrolled:
                return registration
        raise RuntimeError(f"handler {functions.name} was not added to shared informer because it has stopped already")

    def remove_event_handler(self, registration: HandlerRegistration) -> None:
        """Removes a handler without waiting for its call under way; one of another informer is left alone.

        Raises:
            TypeError: it is not what `add_event_handler` gave back.
        """
        if not isinstance(registration, HandlerRegistration):
            raise TypeError(f"a handler's registration is needed, not a {type(registration).__name__}")
        if self._forked:
            return
        if self._dismiss(registration):
            self._processor.remove(registration.subscription)
            registration.discard()
            self._waiters.notify()

    @property
    def handlers(self) -> list[HandlerRegistration]:
        """The registrations of the handlers that there are now."""
        self._check_forked()
        return [member for member in self._all_members() if isinstance(member, HandlerRegistration)]

    def subscribe(
        self,
        *,
        keep: Callable[[T], object] | None = None,
        resync_period: float | None = None,
        backlog: BacklogPolicy = "all",
        initial: bool = True,
    ) -> Subscription:
        """Adds a listener that its owner pulls: what handlers and event streams stand on.

        Raises:
            RuntimeError: the informer has stopped.
        """
        subscription = self._subscribe(keep, resync_period, backlog, initial=initial)
        if subscription is None:
            raise RuntimeError(f"informer {self.name} has stopped: it has no more events")
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Removes a listener that `subscribe` gave. Again is harmless."""
        if not self._forked:
            self._processor.remove(subscription)
            subscription.close()
            self._waiters.notify()

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
            initial: begin with an add for each object that is there; otherwise what the first list brings is left out too.
            backlog: "coalesce" keeps at most the newest state of each key for a slow reader, "all" every change.

        Raises:
            RuntimeError: the informer has stopped.
        """
        return EventStream(self, self.subscribe(keep=filter, backlog=backlog, initial=initial))

    # What it is made of

    @property
    def lister_watcher(self) -> ListerWatcher[T]:
        """What it lists and watches."""
        return self._lister_watcher

    @property
    def lister(self) -> Lister[T]:
        """A reader of the cache by name, label and index."""
        return Lister(self._indexer, self.name)

    @property
    def aio(self) -> AsyncInformer[T]:
        """The informer for use from asyncio."""
        return self._aio

    @property
    def indexer(self) -> Indexer[T]:
        """The cache; its objects are read-only."""
        return self._indexer

    @property
    def store(self) -> Indexer[T]:
        """The cache, by its other name."""
        return self._indexer

    @property
    def decode_errors(self) -> int:
        """How many objects were left out because they, or their transform, failed."""
        return self._object_errors.decode_errors

    @property
    def index_errors(self) -> int:
        """How many times an index function raised."""
        return self._object_errors.index_errors

    def add_indexers(self, indexers: Mapping[str, Callable[[T], Iterable[str]]]) -> None:
        """Adds index functions by name, before or after the start.

        Raises:
            RuntimeError: the informer has stopped.
            IndexConflictError: one of the names is taken; none was added.
        """
        self._check_forked()
        self._check_not_stopped("indexer was not added because it has stopped already")
        self._indexer.add_indexers(indexers)

    def set_transform(self, transform: Callable[[Any], Any] | None) -> None:
        """Sets the transform (see the class).

        Raises:
            RuntimeError: the informer has started or stopped.
        """
        self._check_forked()
        _check_plain("transform", transform)
        with self._lock:
            self._check_fresh()
            self._transform = transform
            self._indexer.set_unwrap(self._unwrap())

    def set_watch_error_handler(self, handler: Callable[[SharedInformer[T], Exception], object] | None) -> None:
        """Sets what is called with (informer, error) for each failed list or watch.

        Raises:
            RuntimeError: the informer has started or stopped.
        """
        self._check_forked()
        _check_plain("watch_error_handler", handler)
        with self._lock:
            self._check_fresh()
            self._watch_error_handler = handler

    def die_in_child(self) -> None:
        """See `InformerLife.die_in_child`."""
        super().die_in_child()
        self._indexer.die(self._forked_error)

    # Inside

    def _unwrap(self) -> Callable[[Any], Any] | None:
        """What makes the user's form of a stored object, None where it is that itself."""
        return self._source.unwrap if self._transform is None else unwrap

    def _key_of_user(self, item: Any) -> str:
        unwrap_item = self._unwrap()
        key = self._key_func(item if unwrap_item is None else unwrap_item(item))
        if not isinstance(key, str):
            raise KeyFuncError(f"the key function gave a {type(key).__qualname__} for a key: a str is needed")
        return key

    def _subscribe(
        self,
        keep: Callable[[T], object] | None,
        resync_period: float | None,
        backlog: BacklogPolicy,
        *,
        initial: bool = True,
    ) -> Subscription | None:
        """A new listener; None when the informer has stopped."""
        self._check_forked()
        _check_plain("filter", keep)
        requested = self._resync_period if resync_period is None else resync_period
        if requested < 0:
            raise ValueError(f"resync_period must be 0 or more seconds, not {requested}")
        subscription = Subscription(
            make_backlog(backlog),
            self._processor.schedule(requested),
            unwrap=self._unwrap,
            keep=keep,
            skip_initial=not initial,
            on_initial_done=self._waiters.notify,
        )
        if self._stopping or not self._processor.add(subscription, self._indexer.stored_by_keys if initial else dict):
            return None
        return subscription

    def _make_controller(self) -> Controller:
        config = replace(
            self._config,
            resync_period=self._processor.resync_check_period,
            watch_error_handler=None if self._watch_error_handler is None else self._watch_failed,
        )
        return make_controller(
            stored_source(self._source, self._transform, self._indexer.stored_if_same),
            self._indexer,
            self._processor,
            config,
            queue=self._queue,
            log=self._object_errors.limited,
            on_processed=self._waiters.notify,
            name=self.name,
        )

    def _watch_failed(self, reflector: Any, error: Exception) -> None:
        if self._watch_error_handler is None:
            return
        try:
            self._watch_error_handler(self, error)
        # Not even SystemExit of a user's function may end the thread that reads.
        except BaseException as second:
            self._object_errors.limited.log(
                logging.ERROR, "the watch error handler of informer %s failed", self.name, exc_info=second
            )


def _check(lister_watcher: Any, queue: Any, resync_period: float, **functions: Any) -> None:
    able = [getattr(lister_watcher, name, None) for name in ("list", "watch")]
    if isinstance(lister_watcher, type) or not all(callable(each) for each in able):
        raise TypeError(
            f"a {type(lister_watcher).__name__} does not list and watch: ListWatch.for_resource(api_client, 'pods') does, "
            "or ListWatch.from_api(list_method)"
        )
    if queue not in ("in_order", "delta"):
        raise ValueError(f'queue must be "in_order" or "delta", not {queue!r}')
    if resync_period < 0:
        raise ValueError(f"resync_period must be 0 or more seconds, not {resync_period}")
    for name, function in functions.items():
        _check_plain(name, function, or_none=name != "key_func")


def _check_plain(what: str, function: Any, *, or_none: bool = True) -> None:
    check_callable(what, function, or_none=or_none)
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{what} is an async function, which nobody here awaits: a plain one is needed")
