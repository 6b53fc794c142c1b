"""What an informer lists and watches, in the form in which it is stored.

Comes in: a user's or our own list-watch. Goes out: the same with every object transformed, and an object whose
transform raises set aside as `Undecodable`, so that one bad object stops nothing. Where a list brings what is stored already,
the stored object stands for it from the moment it is read: a relist of the same holds nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from informer.entries import Entry, Undecodable, unwrap
from informer.errors import InformerError
from informer.event_deltas import is_initial_events_end
from informer.keys import metadata_of
from informer.list_watch import ListerWatcher, ObjectList
from informer.objects import Object
from watch.concurrency import Signal
from watch.event import Event, EventType
from watch.options import ListOptions
from watch.watcher import Watcher, WatcherBase, puller

__all__ = ["stored_items"]

_NOT_OBJECTS = frozenset({EventType.BOOKMARK, EventType.ERROR})

Function = Callable[[Any], Any]


def stored_items(
    lister_watcher: ListerWatcher[Any],
    transform: Function | None,
    model_unwrap: Function | None,
    known: Function,
) -> ListerWatcher[Any]:
    """A list-watch that gives what an informer stores.

    Args:
        lister_watcher: a `ListWatch` gives its entries, any other its objects as they come.
        transform: the user's, called once an object with what the model gives; None for none.
        model_unwrap: gives the user's form of an entry, None where an entry is that itself.
        known: gives for what would be stored the stored object in the same state, or else what it was given. What the cache
            shows by the time the list is applied does not matter: either is the state that the server listed.
    """
    transformed = None if transform is None else _transformer(transform, model_unwrap or unwrap)

    def listed(item: Any) -> Any:
        if transformed is not None:
            item = transformed(item)
        return item if type(item) is Undecodable else known(item)

    entries = getattr(lister_watcher, "entries", None)
    if entries is None:
        return _StoredListWatch(lister_watcher, transformed, known, listed)
    return _StoredListWatch(entries(listed), transformed, known, None)


def _transformer(transform: Callable[[Any], Any], unwrap_item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def transformed(item: Any) -> Any:
        if type(item) is Undecodable:
            return item
        if type(item) is Object:
            name, namespace, uid, version = item.name, item.namespace, item.uid, item.resource_version
        else:
            # Before the transform, which may change a user's object in place.
            name, namespace, uid, version = _identity(item)
        try:
            result = transform(unwrap_item(item))
            if result is None:
                raise TypeError("the transform returned None: what is to be stored is needed")
        # Not even SystemExit of a user's function may end the thread that reads.
        except BaseException as error:
            return Undecodable(name, namespace, uid, version, _raw_of(item), _as_exception(error))
        if type(result) is Object and (result.uid, result.resource_version) == (uid, version):
            return result
        renamed = _identity(result)
        if renamed[0]:
            name, namespace = renamed[0], renamed[1]
        return Entry(name, namespace, uid, version, result)

    return transformed


def _identity(item: Any) -> tuple[str, str, str, str]:
    try:
        meta = metadata_of(item)
    except Exception:
        return "", "", "", ""
    return meta.name, meta.namespace, meta.uid, meta.resource_version


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    made = InformerError(f"the transform raised {type(error).__name__}")
    made.__cause__ = error
    return made


def _raw_of(item: Any) -> bytes:
    raw = getattr(unwrap(item), "raw", b"")
    return raw if isinstance(raw, bytes) else b""


class _StoredListWatch:
    """A list-watch behind functions on its objects.

    Args:
        source: the list-watch.
        transformed: is applied to each object of a watch; None where nothing is.
        known: is applied after it to what a watch list begins with.
        listed: is applied to each item of a list; None where the source does that.
    """

    def __init__(
        self, source: ListerWatcher[Any], transformed: Function | None, known: Function, listed: Function | None
    ) -> None:
        self._source = source
        self._transformed = transformed
        self._known = known
        self._listed = listed
        self.supports_watch_list = getattr(source, "supports_watch_list", True)
        self.namespaces: tuple[str, ...] | None = getattr(source, "namespaces", None)

    def for_namespace(self, namespace: str) -> _StoredListWatch:
        part = self._source.for_namespace(namespace)  # type: ignore[attr-defined]
        return _StoredListWatch(part, self._transformed, self._known, self._listed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def list(self, options: ListOptions) -> ObjectList[Any]:
        page = self._source.list(options)
        if self._listed is None:
            return page
        return ObjectList(
            [self._listed(item) for item in page.items or ()],
            page.resource_version,
            getattr(page, "continue_", None),
            getattr(page, "remaining_item_count", None),
            getattr(page, "shard_selector", None),
        )

    def watch(self, options: ListOptions) -> Watcher[Any] | None:
        watcher = self._source.watch(options)
        if watcher is not None and self._transformed is not None:
            watcher = _TransformedWatcher(watcher, self._transformed)
        if watcher is not None and options.send_initial_events:
            watcher = _KnownAtFirst(watcher, self._known)
        return watcher


class _PulledWatcher(WatcherBase):
    """A watcher behind something that happens to its batches."""

    def __init__(self, source: Watcher[Any], function: Function) -> None:
        self._source = source
        self._function = function
        self._stopped = Signal()
        self._pull = puller(source, stop=self._stopped)

    def stop(self) -> None:
        self._stopped.set()
        self._source.stop()


class _TransformedWatcher(_PulledWatcher):
    """A pulled watcher behind a function on its objects."""

    def next_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        function = self._function
        events = self._pull(timeout)
        return [event if event[0] in _NOT_OBJECTS else Event(event[0], function(event[1])) for event in events]


class _KnownAtFirst(_PulledWatcher):
    """A pulled watcher whose initial events are behind a function on their objects."""

    _initial = True

    def next_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        events = self._pull(timeout)
        if not self._initial:
            return events
        # What follows the end within its batch may go through the function too: it tells the same.
        self._initial = not any(is_initial_events_end(event) for event in events)
        return [self._known(event) if event[0] == EventType.ADDED else event for event in events]

    def _known(self, event: Event[Any]) -> Event[Any]:
        obj = event[1]
        known = obj if type(obj) is Undecodable else self._function(obj)
        return event if known is obj else Event(EventType.ADDED, known)
