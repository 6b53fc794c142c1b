"""What feeds an informer's cache: source, model, transform and key function joined to the cache and a controller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Generic

from typing_extensions import TypeVar

from informer.arguments import check_function
from informer.cache.indexer import Indexer
from informer.cache.snapshot_file import SavedState
from informer.controller.controller import Controller
from informer.controller.stored_source import stored_source
from informer.controller.wiring import QueueKind, make_controller
from informer.errors import KeyFuncError
from informer.handlers.processor import Processor
from informer.listwatch.source import Source
from informer.objects.entry import unwrap
from informer.objects.keys import meta_namespace_key
from informer.reflector.config import ReflectorConfig
from informer.shared.object_errors import ObjectErrors

__all__ = ["CacheFeed"]

T = TypeVar("T", default=Any)


class CacheFeed(Generic[T]):
    """Makes an informer's cache, and the controller that keeps it current.

    The cache stores what the source or the transform returns; `unwrap` returns the function that converts it to the user's.

    Args:
        source: what to list and watch.
        processor: gets every change, and says when resyncs are due.
        config: the user's options for the reflectors; the rest is filled in here.
        name: the informer's, for logs and thread names.
        queue: the kind of queue between reading and applying.
        key_func: the user's; called with the user's object.
        indexers: index functions by index name.
        on_decode_error: the user's; see `ObjectErrors`.

    Raises:
        ValueError: the kind of queue does not exist.
        TypeError: a function cannot be called, or is async.

    Attributes:
        source: as the argument.
        indexer: the cache.
        errors: counts and logs the errors of single objects.
        transform: the user's, called once with each object before it is stored; None stores objects as they come. Set
            with `set_transform`, before the controller is made.
        watch_error_handler: called with the error of each failed list or watch; None only logs. Set before the controller
            is made.
        saved_state: returns a state from which to continue instead of a first list; None for no such state. Set before the
            controller is made.
    """

    def __init__(
        self,
        source: Source[T],
        processor: Processor,
        config: ReflectorConfig,
        *,
        name: str,
        queue: QueueKind,
        key_func: Callable[[Any], str],
        indexers: Mapping[str, Callable[[T], Iterable[str]]],
        on_decode_error: Callable[[Any, bytes, Exception], object] | None,
    ) -> None:
        if queue not in ("in_order", "delta"):
            raise ValueError(f'queue must be "in_order" or "delta", not {queue!r}')
        check_function("on_decode_error", on_decode_error, 3, or_none=True)
        check_function("key_func", key_func, 1)
        self.source = source
        self.errors = ObjectErrors(name, on_decode_error)
        self.transform: Callable[[Any], Any] | None = None
        self.watch_error_handler: Callable[[Exception], object] | None = None
        self.saved_state: Callable[[], SavedState | None] | None = None
        self._processor = processor
        self._config = config
        self._name = name
        self._queue: QueueKind = queue
        self._key_func = key_func
        # The default key function reads the stored object; it is called for every event, so it is not wrapped.
        self._key_of = key_func if key_func is meta_namespace_key else self._key_of_user
        self.indexer: Indexer[T] = Indexer(
            self._key_of, indexers, unwrap=source.unwrap, on_index_error=self.errors.index_failed
        )

    def set_transform(self, transform: Callable[[Any], Any] | None) -> None:
        """Sets the transform."""
        self.transform = transform
        self.indexer.records.set_unwrap(self.unwrap())

    def unwrap(self) -> Callable[[Any], Any] | None:
        """Returns the function that converts a stored object to the user's; None where users see the stored object."""
        return self.source.unwrap if self.transform is None else unwrap

    def make_controller(self, on_processed: Callable[[], object], on_error_change: Callable[[], object]) -> Controller:
        """Returns a controller that keeps the cache current; it is not running yet.

        Args:
            on_processed: called when a batch has been applied, on the thread that has applied it.
            on_error_change: called when the error that keeps it from that has changed.
        """
        config = replace(
            self._config,
            resync_period=self._processor.resync_check_period,
            should_resync=self._processor.should_resync,
            watch_error_handler=None if self.watch_error_handler is None else self._watch_failed,
            on_undecodable=self.errors.undecodable,
            doubt_versions=self.indexer.records.doubt_versions,
            key_func=self._key_of,
            saved_state=self.saved_state,
        )
        return make_controller(
            stored_source(self.source, self.transform, self.indexer.records.same_as),
            self.indexer,
            self._processor,
            config,
            queue=self._queue,
            log=self.errors.limited,
            on_processed=on_processed,
            on_error_change=on_error_change,
            name=self._name,
        )

    def _key_of_user(self, item: Any) -> str:
        unwrap_item = self.unwrap()
        key = self._key_func(item if unwrap_item is None else unwrap_item(item))
        if not isinstance(key, str):
            raise KeyFuncError(f"key_func must return a str, not a {type(key).__qualname__}")
        return key

    def _watch_failed(self, reflector: Any, error: Exception) -> None:
        if self.watch_error_handler is None:
            return
        try:
            self.watch_error_handler(error)
        # SystemExit too: a user's function must not end the reader thread.
        except BaseException as second:
            self.errors.limited.error("watch_error_handler of informer %s failed", self._name, exc_info=second)
