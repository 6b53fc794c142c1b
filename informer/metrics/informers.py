"""What an informer's numbers are, read when somebody asks.

Comes in: an informer that runs. Goes out: readings. No lock is held for longer than an informer's other readers hold it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from informer.handlers.delivery import Registration
from informer.metrics import families
from informer.metrics.families import Reading
from informer.metrics.labels import short
from informer.objects.object import Object
from informer.reflector.counts import Tally
from informer.reflector.reflector import Reflector
from informer.shared.shared_informer import SharedInformer
from informer.transport.credentials import shown_address

__all__ = ["read_informer"]

# So many objects are looked at for the size of all: it is within a few percent where they are of one kind.
_SAMPLE = 128
# client-go shows so many digits: a float cannot hold many more.
_DIGITS = 15
_NAMESPACES_SHOWN = 5

_OBJECTS = frozenset({Object})
_raw = attrgetter("raw")


def read_informer(informer: SharedInformer[Any], name: str) -> Iterator[Reading]:
    """The readings of an informer; none of one that was stopped.

    Args:
        informer: started.
        name: what it is called in labels.
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
    """The resource, the namespaces and the server."""
    source: Any = informer.lister_watcher
    resource = getattr(source, "resource_name", None) or informer.name
    namespaces = getattr(source, "namespaces", None) or ()
    listed = ",".join(sorted(namespaces)[:_NAMESPACES_SHOWN])
    if len(namespaces) > _NAMESPACES_SHOWN:
        listed += f" and {len(namespaces) - _NAMESPACES_SHOWN} more"
    return short(resource), short(listed), short(shown_address(getattr(source, "server", "") or ""))


def _read_versions(of: Any, version: str, name: str) -> Iterator[Reading]:
    # Source: client-go tools/cache thread_safe_store.go.
    if version.isdecimal() and version.isascii():
        yield of(int(version[-_DIGITS:]), name)


def _read_reflectors(reflectors: list[Reflector], name: str) -> Iterator[Reading]:
    """The numbers of an informer's reflectors: with several namespaces, of all together."""
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
        # A copy at one go: the reader's thread goes on counting.
        for key, count in each.errors.copy().items():
            errors[key] = errors.get(key, 0) + count
    for (verb, kind), count in errors.items():
        yield families.ERRORS.of(count, name, verb, kind)


def _read_store(informer: SharedInformer[Any], name: str) -> Iterator[Reading]:
    count = len(informer.indexer)
    yield families.OBJECTS.of(count, name)
    sample = informer.indexer.sample(_SAMPLE)
    if _OBJECTS.issuperset(map(type, sample)):
        size = sum(map(len, map(_raw, sample)))
        yield families.BYTES.of(round(size / len(sample) * count) if sample else 0, name)


def _read_handlers(handlers: list[Registration], name: str) -> Iterator[Reading]:
    """The numbers of handlers; those of the same name together, since who adds many adds the same again."""
    by_name: dict[str, list[Registration]] = {}
    for handler in handlers:
        by_name.setdefault(short(handler.name), []).append(handler)
    now = time.monotonic()
    for called, same in by_name.items():
        handled = Tally()
        handled.count = sum(each.calls for each in same)
        handled.total = sum(each.busy_seconds for each in same)
        began = [since for each in same if (since := each.busy_since) is not None]
        yield families.BACKLOG.of(sum(each.backlog_size for each in same), name, called)
        yield families.LAG.of(max(each.lag_seconds for each in same), name, called)
        yield families.HANDLED.of(handled, name, called)
        yield families.HANDLER_BUSY.of(max(0.0, now - min(began)) if began else 0.0, name, called)
        yield families.HANDLER_ERRORS.of(sum(each.errors for each in same), name, called)


def _sum(tallies: list[Tally]) -> Tally:
    if len(tallies) == 1:
        return tallies[0]
    total = Tally()
    for tally in tallies:
        total.count += tally.count
        total.total += tally.total
    return total
