"""`Lister`: reads a cache by name, by labels and by index."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, Generic

from typing_extensions import TypeVar

from informer.cache.indexer import NAMESPACE_INDEX, Indexer
from informer.errors import InformerForkedError, KeyFuncError, NotFoundError
from informer.objects.keys import labels_of, namespace_of
from informer.objects.label_selector import Selector, parse_selector
from informer.rate_limited_log import rate_limited
from watch.logs import get_logger

__all__ = ["Lister"]

_limited = rate_limited(get_logger(__name__))

T = TypeVar("T", default=Any)


class Lister(Generic[T]):
    """Reads objects from an informer's cache by name, labels or index. It never sends a request.

        informer.lister.get("web-1", "default")
        informer.lister.list("app=web", namespace="default")

    Args:
        indexer: the cache.
        resource: the resource's name, for messages.
        namespace: the only namespace to read; None for all.
        has_synced: returns whether the first list is in the cache, for messages; None where that is not known.

    Threads: any; never waits for the network or for a handler. Callers share the returned objects with the cache and must
    not change them.

    Source: client-go tools/cache GenericLister.
    """

    def __init__(
        self,
        indexer: Indexer[T],
        resource: str = "object",
        *,
        namespace: str | None = None,
        has_synced: Callable[[], bool] | None = None,
    ) -> None:
        self._indexer = indexer
        self._resource = resource
        self._namespace = namespace
        self._has_synced = has_synced

    def __repr__(self) -> str:
        where = "" if self._namespace is None else f" in namespace {self._namespace}"
        try:
            count = len(self._in(self._namespace)) if self._namespace else len(self._indexer)
            state = "" if self._has_synced is None or self._has_synced() else ", not synced"
        except InformerForkedError:
            return f"<Lister {self._resource}{where}: started before the fork>"
        return f"<Lister {self._resource}{where}: {count} objects{state}>"

    def namespaced(self, namespace: str) -> Lister[T]:
        """Returns a lister of one namespace."""
        return Lister(self._indexer, self._resource, namespace=namespace, has_synced=self._has_synced)

    def list(self, label_selector: Selector = None, namespace: str | None = None) -> builtins.list[T]:
        """Returns the objects that match a label selector, in no particular order.

        Args:
            label_selector: a label selector such as "app=web,tier in (a,b),!legacy", or a mapping of labels to values; None
                for all objects. A single word such as "default" selects the objects that have a label of this name. If there
                are none and a namespace has this name, a warning is logged: pass a namespace as `namespace`.
            namespace: the only namespace to read; None for the lister's own, or for all if it has none.

        Raises:
            ValueError: the selector is malformed.
        """
        parsed = parse_selector(label_selector)
        if parsed.nothing:
            return []
        objects = self._in(namespace or self._namespace)
        if parsed.everything:
            return objects
        found = [obj for obj in objects if parsed.matches(labels_of(obj))]
        if not found and isinstance(label_selector, str) and self._is_namespace(label_selector):
            _limited.warning(
                "no %s have a label %r, which is also the name of a namespace: did you mean list(namespace=%r)?",
                self._resource,
                label_selector,
                label_selector,
            )
        return found

    def get(self, name: str, namespace: str | None = None) -> T:
        """Returns the object of a name.

        Args:
            name: the object's name. Where no namespace is given it may be a key, "namespace/name".
            namespace: the object's namespace; None for the lister's own, or for an object that is not in a namespace.

        Raises:
            NotFoundError: the cache has no such object. The message says so if the cache has not synced, or if a namespace is
                missing.
        """
        where = namespace or self._namespace
        found = self._indexer.get_by_key(f"{where}/{name}" if where else name)
        if found is None:
            raise NotFoundError(self._describe_miss(name, where))
        return found

    def by_index(self, name: str, value: str) -> builtins.list[T]:
        """Returns the objects under a value of an index, in no particular order.

        Raises:
            IndexNotFoundError: the index does not exist.
        """
        if self._namespace is None:
            return self._indexer.by_index(name, value)
        return self._of_namespace(self._indexer.records.by_index(name, value), self._namespace)

    def _describe_miss(self, name: str, where: str | None) -> str:
        message = f'{self._resource} "{name}" not found' + (f' in namespace "{where}"' if where else "")
        if self._has_synced is not None and not self._has_synced():
            return f"{message}: the cache has not synced, so it may exist (start the informer and call wait_for_sync())"
        if where and "/" in name:
            return f'{message}: a name has no "/" (pass the name and namespace=, or the key alone)'
        if not where and "/" not in name and self._is_namespaced():
            return f"{message}: {self._resource} are namespaced: give namespace="
        return message

    def _is_namespaced(self) -> bool:
        """Whether the stored objects are in namespaces; False if there are none."""
        stored = self._indexer.records.objects()
        return bool(stored) and all(map(_namespace_of, stored))

    def _is_namespace(self, text: str) -> bool:
        return any(_namespace_of(stored) == text for stored in self._indexer.records.objects())

    def _in(self, namespace: str | None) -> builtins.list[T]:
        if not namespace:
            return self._indexer.list()
        if NAMESPACE_INDEX in self._indexer.indexers:
            return self._indexer.by_index(NAMESPACE_INDEX, namespace)
        return self._of_namespace(self._indexer.records.objects(), namespace)

    def _of_namespace(self, stored: builtins.list[Any], namespace: str) -> builtins.list[T]:
        # The stored object has the namespace; what users see of it may have no metadata.
        return self._indexer.records.show([item for item in stored if namespace_of(item) == namespace])


def _namespace_of(stored: Any) -> str:
    try:
        return namespace_of(stored)
    # A user's own objects need not have metadata.
    except KeyFuncError:
        return ""
