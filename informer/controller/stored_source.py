"""Converts what a list-watch returns to what an informer stores.

A user's transform is applied to every object. If it raises, an `Undecodable` takes the object's place, so that one bad object
does not stop the informer. An object of a list that is stored already is replaced by the stored one as soon as it is parsed,
so that a relist does not hold every object twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from informer.listwatch.source import Source, WrappedSource
from informer.objects.decode_errors import ModelError
from informer.objects.entry import Entry, Undecodable, unwrap
from informer.objects.form import Form, form_of
from informer.objects.keys import metadata_of
from informer.objects.object import Object
from informer.reflector.event_reader import is_initial_events_end
from watch.concurrency import Signal
from watch.event import Event, EventType
from watch.options import ListOptions
from watch.watcher import Watcher, WatcherBase, puller

__all__ = ["stored_source"]

_NOT_OBJECTS = frozenset({EventType.BOOKMARK, EventType.ERROR})

Function = Callable[[Any], Any]


def stored_source(source: Source[Any], transform: Function | None, reuse_stored: Function) -> Source[Any]:
    """Returns a source of objects in the form in which an informer stores them.

    Args:
        source: what to list and watch. A `ListWatch` gives entries, any other source its objects unchanged.
        transform: called once per object, with the object that users see; its result is stored. None for no transform.
        reuse_stored: returns the stored object if it has the same state as the argument, or else the argument. The cache may
            change before the list is applied. That is harmless: both objects have the state that the server listed.
    """
    transformed = None if transform is None else _transformer(transform, source.unwrap or unwrap)

    def listed(item: Any) -> Any:
        if transformed is not None:
            item = transformed(item)
        return item if type(item) is Undecodable else reuse_stored(item)

    return _StoredSource(source.entries(listed), transformed, reuse_stored)


def _transformer(transform: Callable[[Any], Any], unwrap_item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def transformed(item: Any) -> Any:
        if type(item) is Undecodable:
            return item
        if isinstance(item, Object):
            name, namespace, uid, version = item.name, item.namespace, item.uid, item.resource_version
        else:
            # Read before the transform, which may change the object in place.
            name, namespace, uid, version = _identity(item)
        form = _form_of(item)
        try:
            result = transform(unwrap_item(item))
            if result is None:
                raise ModelError("the transform returned None: it must return the object to store")
        # Not even a SystemExit raised by the transform may end the reader thread.
        except BaseException as error:
            return Undecodable(name, namespace, uid, version, _raw_of(item), _as_exception(error))
        same = isinstance(result, Object) and (result.uid, result.resource_version) == (uid, version)
        # An entry remembers a form that the transform has removed or changed.
        if same and (result is item or result.form == form):
            return result
        renamed = _identity(result)
        if renamed[0]:
            name, namespace = renamed[0], renamed[1]
        return Entry(name, namespace, uid, version, result, form)

    return transformed


def _identity(item: Any) -> tuple[str, str, str, str]:
    try:
        meta = metadata_of(item)
    except Exception:
        return "", "", "", ""
    return meta.name, meta.namespace, meta.uid, meta.resource_version


def _form_of(item: Any) -> Form:
    try:
        return form_of(item)
    except Exception:
        return "", ""


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    made = ModelError(f"the transform raised {type(error).__name__}")
    made.__cause__ = error
    return made


def _raw_of(item: Any) -> bytes:
    raw = getattr(unwrap(item), "raw", b"")
    return raw if isinstance(raw, bytes) else b""


class _StoredSource(WrappedSource):
    """A source whose watches give objects as they are stored.

    Args:
        inner: the wrapped source; its lists give objects as they are stored already.
        transformed: applied to each object of a watch; None for no transform.
        reuse_stored: applied afterwards to the objects of a watch list's initial events.
    """

    def __init__(self, inner: Source[Any], transformed: Function | None, reuse_stored: Function) -> None:
        super().__init__(inner)
        self._transformed = transformed
        self._reuse_stored = reuse_stored

    def for_namespace(self, namespace: str) -> Source[Any]:
        return _StoredSource(self.inner.for_namespace(namespace), self._transformed, self._reuse_stored)

    def watch(self, options: ListOptions) -> Watcher[Any] | None:
        watcher = self.inner.watch(options)
        if watcher is not None and self._transformed is not None:
            watcher = _TransformedWatcher(watcher, self._transformed)
        if watcher is not None and options.send_initial_events:
            watcher = _ReusingWatcher(watcher, self._reuse_stored)
        return watcher


class _WrappedWatcher(WatcherBase):
    """Base of a watcher that changes the batches of another."""

    def __init__(self, source: Watcher[Any], function: Function) -> None:
        self._source = source
        self._function = function
        self._stopped = Signal()
        self._pull = puller(source, stop=self._stopped)

    def stop(self) -> None:
        self._stopped.set()
        self._source.stop()


class _TransformedWatcher(_WrappedWatcher):
    """Applies a function to the object of each event."""

    def next_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        function = self._function
        events = self._pull(timeout)
        return [event if event[0] in _NOT_OBJECTS else Event(event[0], function(event[1])) for event in events]


class _ReusingWatcher(_WrappedWatcher):
    """Applies a function to the objects of the initial events of a watch list."""

    _initial = True

    def next_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        events = self._pull(timeout)
        if not self._initial:
            return events
        # Events after the end bookmark in its batch pass through the function, too. That is harmless.
        self._initial = not any(is_initial_events_end(event) for event in events)
        return [self._reused(event) if event[0] == EventType.ADDED else event for event in events]

    def _reused(self, event: Event[Any]) -> Event[Any]:
        obj = event[1]
        stored = obj if type(obj) is Undecodable else self._function(obj)
        return event if stored is obj else Event(EventType.ADDED, stored)
