"""Reads the metrics of an informer: its reflectors, its cache and its handlers.

No lock is held for longer than the informer's other readers hold it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from informer.handlers.delivery import Registration
from informer.listwatch.source import as_source
from informer.metrics import families
from informer.metrics.families import Reading, label_value
from informer.objects.object import Object
from informer.reflector.counts import Summary
from informer.reflector.reflector import Reflector
from informer.shared.shared_informer import SharedInformer
from informer.transport.answers import shown_address

__all__ = ["read_informer"]

# The cache's size is estimated from this many objects. For objects of one kind the error is a few percent.
_SAMPLE = 128
# As in client-go: a float cannot hold many more digits.
_DIGITS = 15
_NAMESPACES_SHOWN = 5

_OBJECT_TYPES = frozenset({Object})
_raw = attrgetter("raw")


def read_informer(informer: SharedInformer[Any], name: str) -> Iterator[Reading]:
    """Reads the metrics of an informer.

    If its reader thread has died, the only reading is `informer_up` 0. A stopped informer has no readings.

    Args:
        informer: an informer that was started.
        name: its unique name, the value of the label `name`.
    """
    controller = informer.controller
    if informer.has_died:
        yield families.UP.of(0, name)
    if controller is None or informer.is_stopped():
        return
    yield families.UP.of(1, name)
    yield families.INFO.of(1, name, *_followed(informer))
    yield families.SYNCED.of(informer.has_synced(), name)
    yield families.FAILING.of(informer.sync_error() is not None, name)
    yield families.QUEUED.of(controller.queued, name)
    yield families.PROCESSING.of(controller.processing, name)
    yield families.DECODE_ERRORS.of(informer.decode_errors, name)
    yield families.INDEX_ERRORS.of(informer.index_errors, name)
    age = informer.last_event_age
    if age is not None:
        yield families.EVENT_AGE.of(age, name)
    yield from _read_versions(families.STORE_VERSION.of, informer.last_sync_resource_version, name)
    yield from _read_versions(families.LAST_VERSION.of, controller.last_sync_resource_version, name)
    yield from _read_reflectors(controller.reflectors, name)
    yield from _read_store(informer, name)
    yield from _read_handlers([*informer.handlers, *informer.aio.handlers], name)


def _followed(informer: SharedInformer[Any]) -> tuple[str, str, str]:
    """The labels of INFO: the resource, the namespaces and the server."""
    source = as_source(informer.lister_watcher)
    namespaces = source.namespaces or ()
    listed = ",".join(sorted(namespaces)[:_NAMESPACES_SHOWN])
    if len(namespaces) > _NAMESPACES_SHOWN:
        listed += f" and {len(namespaces) - _NAMESPACES_SHOWN} more"
    server = shown_address(source.server or "")
    return label_value(source.resource_name or informer.name), label_value(listed), label_value(server)


def _read_versions(of: Any, version: str, name: str) -> Iterator[Reading]:
    # Source: client-go tools/cache thread_safe_store.go.
    if version.isdecimal() and version.isascii():
        yield of(int(version[-_DIGITS:]), name)


def _read_reflectors(reflectors: list[Reflector], name: str) -> Iterator[Reading]:
    """Reads an informer's reflectors, one per namespace, and sums up their numbers."""
    counts = [reflector.counts for reflector in reflectors]
    yield families.WATCHES_OPEN.of(sum(reflector.is_watching for reflector in reflectors), name)
    yield families.EVENTS.of(sum(reflector.events for reflector in reflectors), name)
    yield families.WATCHES.of(sum(reflector.watches + reflector.watch_lists for reflector in reflectors), name)
    yield families.SHORT_WATCHES.of(sum(reflector.short_watches for reflector in reflectors), name)
    yield families.LISTS.of(sum(each.lists for each in counts), name)
    yield families.RELISTS.of(sum(each.relists for each in counts), name)
    yield families.RECONNECTS.of(sum(each.reconnects for each in counts), name)
    yield families.LIST_SECONDS.of(_sum([each.list_seconds for each in counts]), name)
    yield families.LIST_ITEMS.of(_sum([each.list_items for each in counts]), name)
    yield families.WATCH_SECONDS.of(_sum([each.watch_seconds for each in counts]), name)
    yield families.WATCH_EVENTS.of(_sum([each.watch_events for each in counts]), name)
    errors: dict[tuple[str, str], int] = {}
    for each in counts:
        # `copy` is atomic; the reader thread may add a key at any time.
        for key, count in each.errors.copy().items():
            errors[key] = errors.get(key, 0) + count
    for (verb, kind), count in errors.items():
        yield families.ERRORS.of(count, name, verb, kind)


def _read_store(informer: SharedInformer[Any], name: str) -> Iterator[Reading]:
    count = len(informer.indexer)
    yield families.OBJECTS.of(count, name)
    sample = informer.indexer.records.sample(_SAMPLE)
    if _OBJECT_TYPES.issuperset(map(type, sample)):
        size = sum(map(len, map(_raw, sample)))
        yield families.BYTES.of(round(size / len(sample) * count) if sample else 0, name)


def _read_handlers(handlers: list[Registration], name: str) -> Iterator[Reading]:
    """Reads handlers, and sums up those of one name: a caller that adds many adds the same function again and again."""
    by_name: dict[str, list[Registration]] = {}
    for handler in handlers:
        by_name.setdefault(label_value(handler.name), []).append(handler)
    now = time.monotonic()
    for handler_name, same in by_name.items():
        handled = Summary()
        handled.count = sum(each.calls for each in same)
        handled.total = sum(each.busy_seconds for each in same)
        busy_since = [since for each in same if (since := each.busy_since) is not None]
        yield families.BACKLOG.of(sum(each.backlog_size for each in same), name, handler_name)
        yield families.LAG.of(max(each.lag_seconds for each in same), name, handler_name)
        yield families.HANDLED.of(handled, name, handler_name)
        yield families.HANDLER_BUSY.of(max(0.0, now - min(busy_since)) if busy_since else 0.0, name, handler_name)
        yield families.HANDLER_ERRORS.of(sum(each.errors for each in same), name, handler_name)


def _sum(summaries: list[Summary]) -> Summary:
    if len(summaries) == 1:
        return summaries[0]
    total = Summary()
    for summary in summaries:
        total.count += summary.count
        total.total += summary.total
    return total
