"""From what a user wants followed to the controller that follows it: source, queue and cache joined.

Comes in: a list-watch, the cache, and who is told of changes. Goes out: a `Controller` that is not yet running.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from informer.cache.indexer import Indexer
from informer.controller.applier import Applier, Listeners
from informer.controller.controller import Controller
from informer.listwatch.list_watch import ListerWatcher
from informer.queues.delta_fifo import DeltaFIFO
from informer.queues.in_order_fifo import InOrderFIFO
from informer.rate_limited_log import LimitedLog

__all__ = ["QueueKind", "make_controller"]

QueueKind = Literal["in_order", "delta"]


def make_controller(
    source: ListerWatcher[Any],
    indexer: Indexer[Any],
    listeners: Listeners,
    *,
    queue: QueueKind,
    key_of: Callable[[Any], str],
    log: LimitedLog,
    on_processed: Callable[[], object],
    name: str,
    resync_period: float,
    reflector_options: Mapping[str, Any],
) -> Controller:
    """A controller that keeps a cache current.

    Args:
        source: lists and watches objects in the form in which they are stored.
        indexer: the cache.
        listeners: are told of changes.
        queue: what stands between reading and applying.
        key_of: makes a stored object's key.
        log: for objects that cannot be stored.
        on_processed: called when a batch has been applied.
        name: for logs and thread names.
        resync_period: seconds between two looks whether somebody is due for a resync, 0 for none.
        reflector_options: passed on to each `Reflector`.
    """
    made: InOrderFIFO | DeltaFIFO
    if queue == "in_order":
        made = InOrderFIFO(key_of)
    else:
        made = DeltaFIFO(key_of, known_objects=_StoredObjects(indexer), emit_replaced=True, bookmark_replaces=True)
    return Controller(
        made,
        source,
        process_batch=Applier(indexer, listeners, key_of, log).process,
        on_processed=on_processed,
        name=name,
        resync_period=resync_period,
        **reflector_options,
    )


class _StoredObjects:
    """The cache as a `DeltaFIFO` looks at it: in stored form."""

    def __init__(self, indexer: Indexer[Any]) -> None:
        self.list_keys = indexer.list_keys
        self.get_by_key = indexer.stored_by_key
