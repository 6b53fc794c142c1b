"""What an informer lists and watches, in the form in which it is stored.

Comes in: a user's or our own list-watch. Goes out: the same with every object transformed, and an object whose
transform raises set aside as `Undecodable`, so that one bad object stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from informer.entries import Entry, Undecodable, unwrap
from informer.errors import InformerError
from informer.keys import metadata_of
from informer.list_watch import ListerWatcher, ObjectList
from informer.objects import Object
from watch.concurrency import Signal
from watch.event import Event, EventType
from watch.options import ListOptions
from watch.pulling import puller
from watch.watcher import Watcher, WatcherBase

__all__ = ["stored_items"]

_NOT_OBJECTS = frozenset({EventType.BOOKMARK, EventType.ERROR})


def stored_items(
    lister_watcher: ListerWatcher[Any],
    transform: Callable[[Any], Any] | None,
    model_unwrap: Callable[[Any], Any] | None,
) -> ListerWatcher[Any]:
    """A list-watch that gives what an informer stores.

    Args:
        lister_watcher: a `ListWatch` gives its entries, any other its objects as they come.
        transform: the user's, called once an object with what the model gives; None for none.
        model_unwrap: gives the user's form of an entry, None where an entry is that itself.
    """
    entries = getattr(lister_watcher, "entries", None)
    source = lister_watcher if entries is None else entries()
    if transform is None:
        return source
    return _TransformedListWatch(source, _transformer(transform, model_unwrap or unwrap))


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


class _TransformedListWatch:
    """A list-watch behind a function on its objects."""

    def __init__(self, source: ListerWatcher[Any], function: Callable[[Any], Any]) -> None:
        self._source = source
        self._function = function
        self.supports_watch_list = getattr(source, "supports_watch_list", True)
        self.namespaces: tuple[str, ...] | None = getattr(source, "namespaces", None)

    def for_namespace(self, namespace: str) -> _TransformedListWatch:
        return _TransformedListWatch(self._source.for_namespace(namespace), self._function)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def list(self, options: ListOptions) -> ObjectList[Any]:
        page = self._source.list(options)
        return ObjectList(
            [self._function(item) for item in page.items],
            page.resource_version,
            getattr(page, "continue_", None),
            getattr(page, "remaining_item_count", None),
            getattr(page, "shard_selector", None),
        )

    def watch(self, options: ListOptions) -> Watcher[Any] | None:
        watcher = self._source.watch(options)
        return None if watcher is None else _TransformedWatcher(watcher, self._function)


class _TransformedWatcher(WatcherBase):
    """A pulled watcher behind a function on its objects."""

    def __init__(self, source: Watcher[Any], function: Callable[[Any], Any]) -> None:
        self._source = source
        self._function = function
        self._stopped = Signal()
        self._pull = puller(source, stop=self._stopped)

    def next_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        return self._apply(self._pull(timeout))

    def stop(self) -> None:
        self._stopped.set()
        self._source.stop()

    def _apply(self, events: Iterable[Event[Any]]) -> list[Event[Any]]:
        function = self._function
        return [event if event[0] in _NOT_OBJECTS else Event(event[0], function(event[1])) for event in events]
