"""What an informer lists and watches, in the form in which it is stored.

Comes in: a user's or our own list-watch. Goes out: the same with every object transformed, and an object whose
transform raises set aside as `Undecodable`, so that one bad object stops nothing. Where a list brings what is stored already,
the stored object stands for it from the moment it is read: a relist of the same holds nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from informer.errors import InformerError
from informer.listwatch.source import Source, WrappedSource
from informer.objects.entry import Entry, Undecodable, unwrap
from informer.objects.keys import metadata_of
from informer.objects.object import Object
from informer.reflector.event_reader import is_initial_events_end
from watch.concurrency import Signal
from watch.event import Event, EventType
from watch.options import ListOptions
from watch.watcher import Watcher, WatcherBase, puller

__all__ = ["stored_items"]

_NOT_OBJECTS = frozenset({EventType.BOOKMARK, EventType.ERROR})

Function = Callable[[Any], Any]


def stored_items(source: Source[Any], transform: Function | None, known: Function) -> Source[Any]:
    """Returns a source of what an informer stores.

    Args:
        source: a `ListWatch` gives its entries, any other source its objects as they come.
        transform: the user's, called once per object with what the model gives; None for none.
        known: returns the stored object in the same state as its argument, or else its argument. The cache may have changed
            by the time the list is applied. That is harmless: either object is the state that the server listed.
    """
    transformed = None if transform is None else _transformer(transform, source.unwrap or unwrap)

    def listed(item: Any) -> Any:
        if transformed is not None:
            item = transformed(item)
        return item if type(item) is Undecodable else known(item)

    return _StoredItems(source.entries(listed), transformed, known)


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


class _StoredItems(WrappedSource):
    """A source behind functions on the objects of its watches.

    Args:
        inner: the source.
        transformed: applied to each object of a watch; None for none.
        known: applied after it to the initial events of a watch list.
    """

    def __init__(self, inner: Source[Any], transformed: Function | None, known: Function) -> None:
        super().__init__(inner)
        self._transformed = transformed
        self._known = known

    def for_namespace(self, namespace: str) -> Source[Any]:
        return _StoredItems(self.inner.for_namespace(namespace), self._transformed, self._known)

    def watch(self, options: ListOptions) -> Watcher[Any] | None:
        watcher = self.inner.watch(options)
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
