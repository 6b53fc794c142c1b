"""The least informer: a store, and one handler called on the thread that keeps it current.

Comes in: a list-watch and a handler. Goes out: an `Indexer` and the `Controller` that runs it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from typing_extensions import TypeVar

from informer.cache.change import Change, unwrapped
from informer.cache.indexer import Indexer
from informer.controller.applier import Applier
from informer.controller.controller import Controller
from informer.controller.stored_source import stored_items
from informer.handlers.handler import Handler, HandlerFunctions
from informer.listwatch.lister_watcher import ListerWatcher
from informer.listwatch.source import as_source
from informer.objects.keys import meta_namespace_key
from informer.queues.delta import Delta
from informer.queues.in_order_fifo import InOrderFIFO
from informer.rate_limited_log import LimitedLog

__all__ = ["new_informer"]

T = TypeVar("T", default=Any)

_log = logging.getLogger(__name__)


def new_informer(
    lister_watcher: ListerWatcher[T],
    handler: Handler[T],
    *,
    resync_period: float = 0,
    indexers: Mapping[str, Callable[[T], Iterable[str]]] | None = None,
) -> tuple[Indexer[T], Controller]:
    """A store and the controller that keeps it current, calling one handler on the controller's own thread.

    The store is ahead of the handler by no more than what came as one: an event, or a whole list. For several handlers,
    threads of their own and everything else see `SharedInformer`.

    Args:
        lister_watcher: what to list and watch.
        handler: an object with some of `on_add`, `on_update` and `on_delete`, or with `on_batch`. What it raises comes out
            of `Controller.run`.
        resync_period: seconds between two updates for every object without news, 0 for none.
        indexers: index functions by index name; one that raises is logged, and its object left out of that index.

    Returns:
        The store, which is read-only, and the controller, to be run.

    Raises:
        TypeError: the handler has nothing to call.

    Source: client-go tools/cache NewIndexerInformer.
    """
    functions = HandlerFunctions(handler)
    source = as_source(lister_watcher)
    unwrap = source.unwrap
    limited = LimitedLog(_log)

    def index_failed(name: str, key: str, error: Exception) -> None:
        limited.log(logging.ERROR, "index %s failed for %s", name, key, exc_info=error)

    indexer: Indexer[T] = Indexer(indexers=indexers or {}, unwrap=unwrap, on_index_error=index_failed)
    told = _OneHandler(functions, unwrap, is_shown_syncs=resync_period > 0)
    applier = Applier(indexer, told, meta_namespace_key, limited)

    # One delta at a time: the handler finds in the store the very state that it is called with.
    def process(deltas: list[Delta], is_in_initial_list: bool) -> None:
        applier.process((deltas, is_in_initial_list))

    stored = stored_items(source, None, indexer.stored_if_same)
    return indexer, Controller(InOrderFIFO(), stored, process, resync_period=resync_period)


class _OneHandler:
    """`Listeners` of one handler, which is called at once."""

    def __init__(
        self, functions: HandlerFunctions, unwrap: Callable[[Any], Any] | None, *, is_shown_syncs: bool
    ) -> None:
        # Nobody joins later, so there is nothing to keep out while the handler runs.
        self.lock = nullcontext()
        self._functions = functions
        self._unwrap = unwrap
        self._is_shown_syncs = is_shown_syncs

    def distribute(self, changes: Sequence[Change[Any]]) -> None:
        shown = [change for change in changes if self._is_shown_syncs or not change.is_sync]
        if self._unwrap is not None:
            shown = [unwrapped(change, self._unwrap) for change in shown]
        if self._functions.on_batch is not None:
            if shown:
                self._functions.on_batch(shown)
            return
        for change in shown:
            self._functions(change)
