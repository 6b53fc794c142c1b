"""The simplest informer: a store, and one handler that is called on the thread that keeps the store current."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from typing_extensions import TypeVar

from informer.cache.change import Change, unwrapped
from informer.cache.indexer import Indexer
from informer.controller.applier import Applier
from informer.controller.controller import Controller
from informer.controller.stored_source import stored_source
from informer.handlers.handler import Handler, HandlerFunctions
from informer.listwatch.lister_watcher import ListerWatcher
from informer.listwatch.source import as_source
from informer.objects.keys import meta_namespace_key
from informer.queues.delta import Delta
from informer.queues.in_order_fifo import InOrderFIFO
from informer.rate_limited_log import rate_limited
from watch.logs import get_logger

__all__ = ["new_informer"]

T = TypeVar("T", default=Any)

_log = get_logger(__name__)


def new_informer(
    lister_watcher: ListerWatcher[T],
    handler: Handler[T],
    *,
    resync_period: float = 0,
    indexers: Mapping[str, Callable[[T], Iterable[str]]] | None = None,
) -> tuple[Indexer[T], Controller]:
    """Creates a store and the controller that keeps it current and calls one handler.

    The handler is called with the changes of one event or one list before the next one is stored. `SharedInformer` has
    several handlers, each on its own thread.

    Args:
        lister_watcher: what to list and watch.
        handler: an object with some of `on_add`, `on_update` and `on_delete`, or with `on_batch`. If it raises, the
            controller's `run` ends with that exception.
        resync_period: seconds between two resyncs, which call the handler with an update for every object; 0 for none.
        indexers: index functions by index name. If one raises, the error is logged and the object is left out of that index.

    Returns:
        The store, to be read only, and the controller, whose `run` the caller calls.

    Raises:
        TypeError: the handler has no function to call.

    Threads: the handler is called on the thread of `Controller.run`, and on further ones if there are several namespaces.

    Source: client-go tools/cache NewIndexerInformer.
    """
    functions = HandlerFunctions(handler)
    source = as_source(lister_watcher)
    unwrap = source.unwrap
    limited = rate_limited(_log)

    def index_failed(name: str, key: str, error: Exception) -> None:
        limited.error("index %s failed for %s", name, key, exc_info=error)

    indexer: Indexer[T] = Indexer(indexers=indexers or {}, unwrap=unwrap, on_index_error=index_failed)
    listener = _OneHandler(functions, unwrap, shows_syncs=resync_period > 0)
    applier = Applier(indexer, listener, meta_namespace_key, limited)

    # Called with one delta at a time, so that the handler finds in the store the state that it is called with.
    def process(deltas: list[Delta], is_in_initial_list: bool) -> None:
        applier.process((deltas, is_in_initial_list))

    stored = stored_source(source, None, indexer.records.same_as)
    return indexer, Controller(
        InOrderFIFO(),
        stored,
        process,
        count=indexer.records.count,
        resync_period=resync_period,
        doubt_versions=indexer.records.doubt_versions,
    )


class _OneHandler:
    """The `Listeners` of a single handler, which is called at once."""

    def __init__(self, functions: HandlerFunctions, unwrap: Callable[[Any], Any] | None, *, shows_syncs: bool) -> None:
        # The lock would exclude handlers that are added meanwhile. Here there are none.
        self.lock = nullcontext()
        self._functions = functions
        self._unwrap = unwrap
        self._shows_syncs = shows_syncs

    def takes_syncs(self) -> bool:
        return self._shows_syncs

    def distribute(self, changes: Sequence[Change[Any]]) -> None:
        shown = [change for change in changes if self._shows_syncs or not change.is_sync]
        if self._unwrap is not None:
            shown = [unwrapped(change, self._unwrap) for change in shown]
        if self._functions.on_batch is not None:
            if shown:
                self._functions.on_batch(shown)
            return
        for change in shown:
            self._functions(change)
