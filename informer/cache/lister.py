"""Reading the cache by name, by label and by index.

Comes in: what to look for. Goes out: objects of the cache, read-only, without any request to the server.
"""

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
    """A typed reader of an informer's cache.

    Args:
        indexer: the cache.
        resource: names the objects in messages.
        namespace: reads one namespace only; None reads all.

    Threads: any; never waits for the network or a handler. Objects are shared with the cache: read-only.
    """

    def __init__(self, indexer: Indexer[T], resource: str = "object", *, namespace: str | None = None) -> None:
        self._indexer = indexer
        self._resource = resource
        self._namespace = namespace

    def namespaced(self, namespace: str) -> Lister[T]:
        """A lister of one namespace."""
        return Lister(self._indexer, self._resource, namespace=namespace)

    def list(
        self, selector: str | Mapping[str, str] | LabelSelector | None = None, namespace: str | None = None
    ) -> builtins.list[T]:
        """The objects with some labels.

        Args:
            selector: a label selector such as "app=web,tier in (a,b),!legacy", or a mapping of labels; None for all.
            namespace: only of this namespace; None for all, or for the lister's own.

        Raises:
            ValueError: the selector cannot be read.
        """
        parsed = parse_selector(selector)
        if parsed.nothing:
            return []
        objects = self._in(namespace or self._namespace)
        if parsed.everything:
            return objects
        return [obj for obj in objects if parsed.matches(labels_of(obj))]

    def get(self, name: str, namespace: str | None = None) -> T:
        """The object of a name.

        Args:
            name: its name.
            namespace: its namespace; None for an object without one, or for the lister's own.

        Raises:
            NotFoundError: the cache has no such object.
        """
        where = namespace or self._namespace
        found = self._indexer.get_by_key(f"{where}/{name}" if where else name)
        if found is None:
            raise NotFoundError(f'{self._resource} "{name}" not found' + (f' in namespace "{where}"' if where else ""))
        return found

    def by_index(self, name: str, value: str) -> builtins.list[T]:
        """The objects under a value of an index.

        Raises:
            IndexNotFoundError: there is no such index.
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
        # What is stored knows its namespace, also where the user's form of it has no metadata.
        return self._indexer.records.show([item for item in stored if namespace_of(item) == namespace])
