"""`Lister`: reads a cache by name, by labels and by index."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Generic

from typing_extensions import TypeVar

from informer.cache.indexer import NAMESPACE_INDEX, Indexer
from informer.errors import NotFoundError
from informer.objects.keys import labels_of, namespace_of
from informer.objects.label_selector import LabelSelector, parse_selector

__all__ = ["Lister"]

T = TypeVar("T", default=Any)


class Lister(Generic[T]):
    """Reads objects from an informer's cache by name, labels or index. It never sends a request.

        informer.lister.get("web-1", "default")
        informer.lister.list("app=web", namespace="default")

    Args:
        indexer: the cache.
        resource: the resource's name, for messages.
        namespace: the only namespace to read; None for all.

    Threads: any; never waits for the network or for a handler. Callers share the returned objects with the cache and must
    not change them.

    Source: client-go tools/cache GenericLister.
    """

    def __init__(self, indexer: Indexer[T], resource: str = "object", *, namespace: str | None = None) -> None:
        self._indexer = indexer
        self._resource = resource
        self._namespace = namespace

    def namespaced(self, namespace: str) -> Lister[T]:
        """Returns a lister of one namespace."""
        return Lister(self._indexer, self._resource, namespace=namespace)

    def list(
        self, selector: str | Mapping[str, str] | LabelSelector | None = None, namespace: str | None = None
    ) -> builtins.list[T]:
        """Returns the objects that match a label selector, in no particular order.

        Args:
            selector: a label selector such as "app=web,tier in (a,b),!legacy", or a mapping of labels to values; None for
                all objects.
            namespace: the only namespace to read; None for the lister's own, or for all if it has none.

        Raises:
            ValueError: the selector is malformed.
        """
        parsed = parse_selector(selector)
        if parsed.nothing:
            return []
        objects = self._in(namespace or self._namespace)
        if parsed.everything:
            return objects
        return [obj for obj in objects if parsed.matches(labels_of(obj))]

    def get(self, name: str, namespace: str | None = None) -> T:
        """Returns the object of a name.

        Args:
            name: the object's name.
            namespace: the object's namespace; None for the lister's own, or for an object that is not in a namespace.

        Raises:
            NotFoundError: the cache has no such object.
        """
        where = namespace or self._namespace
        found = self._indexer.get_by_key(f"{where}/{name}" if where else name)
        if found is None:
            raise NotFoundError(f'{self._resource} "{name}" not found' + (f' in namespace "{where}"' if where else ""))
        return found

    def by_index(self, name: str, value: str) -> builtins.list[T]:
        """Returns the objects under a value of an index, in no particular order.

        Raises:
            IndexNotFoundError: the index does not exist.
        """
        if self._namespace is None:
            return self._indexer.by_index(name, value)
        return self._of_namespace(self._indexer.records.by_index(name, value), self._namespace)

    def _in(self, namespace: str | None) -> builtins.list[T]:
        if not namespace:
            return self._indexer.list()
        if NAMESPACE_INDEX in self._indexer.indexers:
            return self._indexer.by_index(NAMESPACE_INDEX, namespace)
        return self._of_namespace(self._indexer.records.objects(), namespace)

    def _of_namespace(self, stored: builtins.list[Any], namespace: str) -> builtins.list[T]:
        # The stored object has the namespace; what users see of it may have no metadata.
        return self._indexer.records.show([item for item in stored if namespace_of(item) == namespace])
