"""Creates the controller that keeps a cache current, from a source, a queue, the cache and its listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal

from informer.cache.indexer import Indexer
from informer.controller.applier import Applier, Listeners
from informer.controller.controller import Controller
from informer.listwatch.source import Source
from informer.queues.delta_fifo import DeltaFIFO
from informer.queues.in_order_fifo import InOrderFIFO
from informer.reflector.config import ReflectorConfig

__all__ = ["QueueKind", "make_controller"]

QueueKind = Literal["in_order", "delta"]
"""Which queue a controller uses: an `InOrderFIFO` or a `DeltaFIFO`."""


def make_controller(
    source: Source[Any],
    indexer: Indexer[Any],
    listeners: Listeners,
    config: ReflectorConfig,
    *,
    queue: QueueKind,
    log: logging.Logger,
    on_processed: Callable[[], object],
    on_error_change: Callable[[], object] | None = None,
    name: str,
) -> Controller:
    """Returns a controller that keeps a cache current and has not been started.

    Args:
        source: lists and watches objects in the form in which they are stored.
        indexer: the cache.
        listeners: receives the changes.
        config: the options of the reflectors; its `key_func` returns a stored object's key.
        queue: the kind of queue between the reflectors and the cache.
        log: reports objects that cannot be stored.
        on_processed: called when a batch has been applied.
        on_error_change: called when the `sync_error()` of a reflector has changed.
        name: for logs and thread names.
    """
    made: InOrderFIFO | DeltaFIFO
    if queue == "in_order":
        made = InOrderFIFO(config.key_func)
    else:
        known = _StoredObjects(indexer)
        made = DeltaFIFO(config.key_func, known_objects=known, emit_replaced=True, bookmark_replaces=True)
    applier = Applier(indexer, listeners, config.key_func, log)
    return Controller(
        made,
        source,
        process_run=applier.process,
        count=indexer.records.count,
        on_processed=on_processed,
        on_error_change=on_error_change,
        name=name,
        config=config,
    )


class _StoredObjects:
    """The cache as the `KnownObjects` of a `DeltaFIFO`: objects in the form in which they are stored."""

    def __init__(self, indexer: Indexer[Any]) -> None:
        self.list_keys = indexer.list_keys
        self.get_by_key = indexer.records.get
