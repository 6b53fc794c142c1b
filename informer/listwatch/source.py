"""A lister-watcher together with what an informer may know of it beyond `list` and `watch`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic

from typing_extensions import TypeVar

from informer.listwatch.lister_watcher import ListerWatcher, ObjectList
from watch.options import ListOptions
from watch.watcher import Watcher

__all__ = ["Source", "WrappedSource", "as_page", "as_source"]

T = TypeVar("T", default=Any)


class Source(Generic[T]):
    """A `ListerWatcher` that can describe itself. The attributes here are the defaults: nothing is known.

    A user's lister-watcher needs `list` and `watch` only; `as_source` adds the rest.
    """

    @property
    def resource_name(self) -> str | None:
        """The resource for messages and metrics, such as "deployments.apps"."""
        return None

    @property
    def server(self) -> str | None:
        """Identifies the API server: the informers of one server take turns with their requests. None: unknown."""
        return None

    @property
    def unwrap(self) -> Callable[[Any], Any] | None:
        """Returns the object that users see of a stored item; None if they are the same."""
        return None

    namespaces: tuple[str, ...] | None = None
    """The namespaces, if there are two or more; `for_namespace` gives the source of each."""
    supports_watch_list: bool = True
    """Whether a watch may begin with the present state (KEP-3157)."""

    def list(self, options: ListOptions) -> ObjectList[T]:
        """See `ListerWatcher.list`."""
        raise NotImplementedError

    def watch(self, options: ListOptions) -> Watcher[T] | None:
        """See `ListerWatcher.watch`."""
        raise NotImplementedError

    def for_namespace(self, namespace: str) -> Source[T]:
        """Returns the source of one of `namespaces`."""
        raise NotImplementedError

    def entries(self, listed: Callable[[Any], Any] | None = None) -> Source[Any]:
        """Returns a source of items in the form in which an informer stores them.

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


class WrappedSource(Source[Any]):
    """Base of a source around another: describes itself as that does."""

    def __init__(self, inner: Source[Any]) -> None:
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

    def list(self, options: ListOptions) -> ObjectList[Any]:
        """See `Source.list`."""
        return self.inner.list(options)

    def watch(self, options: ListOptions) -> Watcher[Any] | None:
        """See `Source.watch`."""
        return self.inner.watch(options)


class _Listed(WrappedSource):
    """A source behind a function on the items of its lists."""

    def __init__(self, inner: Source[Any], listed: Callable[[Any], Any]) -> None:
        super().__init__(inner)
        self._listed = listed

    def list(self, options: ListOptions) -> ObjectList[Any]:
        page = as_page(self.inner.list(options))
        items = [self._listed(item) for item in page.items]
        return ObjectList(items, page.resource_version, page.continue_, page.remaining_item_count, page.shard_selector)

    def for_namespace(self, namespace: str) -> Source[Any]:
        return _Listed(self.inner.for_namespace(namespace), self._listed)


class _Adapted(Source[Any]):
    """A user's lister-watcher as a `Source`: what it does not say of itself has the default."""

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
        page: ObjectList[Any] = self._given.list(options)
        return page

    def watch(self, options: ListOptions) -> Watcher[Any] | None:
        watcher: Watcher[Any] | None = self._given.watch(options)
        return watcher

    def for_namespace(self, namespace: str) -> Source[Any]:
        return as_source(self._given.for_namespace(namespace))


def as_page(page: Any) -> ObjectList[Any]:
    """Returns a user's page with all attributes of an `ObjectList`; `items` and `resource_version` are required.

    Raises:
        AttributeError: one of the two is missing.
    """
    if isinstance(page, ObjectList):
        return page
    return ObjectList(
        page.items or (),
        page.resource_version,
        getattr(page, "continue_", None),
        getattr(page, "remaining_item_count", None),
        getattr(page, "shard_selector", None),
    )


def as_source(lister_watcher: ListerWatcher[T]) -> Source[T]:
    """Returns a lister-watcher as a `Source`; one that is a `Source` already, unchanged."""
    return lister_watcher if isinstance(lister_watcher, Source) else _Adapted(lister_watcher)
