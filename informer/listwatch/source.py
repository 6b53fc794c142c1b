"""`Source`: a lister-watcher that also describes itself, with defaults for all that a user's lister-watcher lacks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Self

from typing_extensions import TypeVar

from informer.listwatch.lister_watcher import ListerWatcher, ObjectList, as_object_list
from informer.listwatch.watch_decoding import mapped_watch
from informer.objects.entry import Skipped
from watch.event import Event, EventType
from watch.options import ListOptions
from watch.watcher import Watcher

__all__ = ["Source", "WrappedSource", "as_source"]

T = TypeVar("T", default=Any)


class Source(Generic[T]):
    """A `ListerWatcher` that describes itself to the informer: its resource, server, namespaces and stored form.

    The attributes of this class are the defaults. A user's lister-watcher has `list` and `watch` only; `as_source` adds the
    defaults to it.
    """

    @property
    def resource_name(self) -> str | None:
        """The resource for messages and metrics, such as "deployments.apps"."""
        return None

    @property
    def server(self) -> str | None:
        """Identifies the API server: all informers of a server share its request pacing. None if it is not known."""
        return None

    @property
    def unwrap(self) -> Callable[[Any], Any] | None:
        """A function that returns what users see of a stored item; None if they see the item itself."""
        return None

    can_be_bound: bool = False
    """Whether `binding` says all of what is listed."""

    def binding(self) -> Mapping[str, str]:
        """Returns what is listed and in which form, by names such as "server".

        A snapshot of a cache is used only with the binding with which it was made.

        Raises:
            KubeconfigError: the default configuration is used, and there is none.
        """
        raise NotImplementedError

    @property
    def model(self) -> Any:
        """The type of the objects that users see; None if it is not known."""
        return None

    namespaces: tuple[str, ...] | None = None
    """The namespaces, if there are two or more; `for_namespace` gives the source of each."""
    supports_watch_list: bool = True
    """Whether a watch may begin with the present state (KEP-3157)."""

    @property
    def prefers_watch_list(self) -> bool:
        """Whether a watch list costs the server less than a list; it decides what `watch_list="auto"` does."""
        return self.supports_watch_list

    def list(self, options: ListOptions) -> ObjectList[T]:
        """Fetches one page; see `ListerWatcher.list`."""
        raise NotImplementedError

    def watch(self, options: ListOptions) -> Watcher[T] | None:
        """Opens a watch; see `ListerWatcher.watch`."""
        raise NotImplementedError

    def close_idle(self) -> None:
        """Closes idle connections to the server: called when a watch was silent, since they may be as dead as its own."""

    def for_namespace(self, namespace: str) -> Source[T]:
        """Returns the source of one of `namespaces`."""
        raise NotImplementedError

    def bounded(self, *, max_line_bytes: int, max_objects: int | None) -> Source[T]:
        """Returns this source with bounds on what it accepts from the server.

        A source that does not support bounds returns itself.

        Args:
            max_line_bytes: the longest event or list item, in bytes. A longer one raises `LineTooLongError`.
            max_objects: the most items in one page; None for no limit. More raise `TooManyObjectsError`.
        """
        return self

    def kept(self, keep: Callable[[Any], bool]) -> Source[Any]:
        """Returns a source of a part of the objects.

        Lists leave the other objects out. Events of other objects have a `Skipped` in place of the object, so that the
        reader learns their resourceVersion.

        Args:
            keep: called with each object; returns whether it belongs to the part.
        """
        return _Kept(self, keep)

    def entries(self, listed: Callable[[Any], Any] | None = None) -> Source[Any]:
        """Returns a source of items as an informer stores them.

        Args:
            listed: called with each item of a list as soon as it is parsed; its result takes the item's place. None keeps
                the items.
        """
        return self if listed is None else _Listed(self, listed)

    def by_namespace(self) -> Sequence[tuple[str | None, Source[T]]]:
        """Returns (namespace, source) for each of `namespaces`, or (None, this source) if there are none."""
        if not self.namespaces or len(self.namespaces) < 2:
            return [(None, self)]
        return [(namespace, self.for_namespace(namespace)) for namespace in self.namespaces]


class WrappedSource(Source[T]):
    """Base of a source around another one; it describes itself as the inner one does.

    A subclass overrides `list`, `watch` or both. `for_namespace` and `bounded` give the same wrapper around another source.

    Args:
        inner: the wrapped source.
    """

    def __init__(self, inner: Source[T]) -> None:
        self.inner = inner
        self.namespaces = inner.namespaces
        self.supports_watch_list = inner.supports_watch_list

    @property
    def resource_name(self) -> str | None:
        """See `Source.resource_name`."""
        return self.inner.resource_name

    @property
    def server(self) -> str | None:
        """See `Source.server`."""
        return self.inner.server

    @property
    def unwrap(self) -> Callable[[Any], Any] | None:
        """See `Source.unwrap`."""
        return self.inner.unwrap

    @property
    def prefers_watch_list(self) -> bool:
        """See `Source.prefers_watch_list`."""
        return self.inner.prefers_watch_list

    def close_idle(self) -> None:
        """See `Source.close_idle`."""
        self.inner.close_idle()

    def list(self, options: ListOptions) -> ObjectList[T]:
        """See `Source.list`."""
        return self.inner.list(options)

    def watch(self, options: ListOptions) -> Watcher[T] | None:
        """See `Source.watch`."""
        return self.inner.watch(options)

    def for_namespace(self, namespace: str) -> Source[T]:
        """See `Source.for_namespace`."""
        return self._around(self.inner.for_namespace(namespace))

    def bounded(self, *, max_line_bytes: int, max_objects: int | None) -> Source[T]:
        """See `Source.bounded`."""
        return self._around(self.inner.bounded(max_line_bytes=max_line_bytes, max_objects=max_objects))

    def _around(self, inner: Source[T]) -> Self:
        """The same wrapper around another source."""
        made = copy.copy(self)
        WrappedSource.__init__(made, inner)
        return made


class _Listed(WrappedSource):
    """A source that calls a function on each item of its lists."""

    def __init__(self, inner: Source[Any], listed: Callable[[Any], Any]) -> None:
        super().__init__(inner)
        self._listed = listed

    def list(self, options: ListOptions) -> ObjectList[Any]:
        page = self.inner.list(options)
        items = [self._listed(item) for item in page.items]
        return ObjectList(items, page.resource_version, page.continue_, page.remaining_item_count, page.shard_selector)


class _Kept(WrappedSource):
    """A source of a part of the objects; see `Source.kept`."""

    def __init__(self, inner: Source[Any], keep: Callable[[Any], bool]) -> None:
        super().__init__(inner)
        self._keep = keep

    def list(self, options: ListOptions) -> ObjectList[Any]:
        page = self.inner.list(options)
        items = [item for item in page.items if self._keep(item)]
        return ObjectList(items, page.resource_version, page.continue_, page.remaining_item_count, page.shard_selector)

    def watch(self, options: ListOptions) -> Watcher[Any] | None:
        watcher = self.inner.watch(options)
        return None if watcher is None else mapped_watch(watcher, _skipping(self._keep))


def _skipping(keep: Callable[[Any], bool]) -> Callable[[list[Event[Any]]], list[Event[Any]]]:
    def skipping(events: list[Event[Any]]) -> list[Event[Any]]:
        return [
            event
            if event.type in (EventType.BOOKMARK, EventType.ERROR) or keep(event.object)
            else Event(event.type, Skipped(event.object))
            for event in events
        ]

    return skipping


class _Adapted(Source[Any]):
    """A user's lister-watcher as a `Source`: it may have any of a source's attributes, and gets the default of the others."""

    def __init__(self, given: Any) -> None:
        self._given = given
        self.namespaces = getattr(given, "namespaces", None)
        self.supports_watch_list = bool(getattr(given, "supports_watch_list", True))

    @property
    def resource_name(self) -> str | None:
        return getattr(self._given, "resource_name", None)

    @property
    def server(self) -> str | None:
        return getattr(self._given, "server", None)

    @property
    def unwrap(self) -> Callable[[Any], Any] | None:
        return getattr(self._given, "unwrap", None)

    def list(self, options: ListOptions) -> ObjectList[Any]:
        return as_object_list(self._given.list(options))

    def watch(self, options: ListOptions) -> Watcher[Any] | None:
        watcher: Watcher[Any] | None = self._given.watch(options)
        return watcher

    def for_namespace(self, namespace: str) -> Source[Any]:
        return as_source(self._given.for_namespace(namespace))


def as_source(lister_watcher: ListerWatcher[T]) -> Source[T]:
    """Returns a lister-watcher as a `Source`; one that already is a `Source` is returned as it is."""
    return lister_watcher if isinstance(lister_watcher, Source) else _Adapted(lister_watcher)
