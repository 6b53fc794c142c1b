"""The public cache of an informer: a store with indices."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from typing_extensions import TypeVar

from informer.arguments import check_function
from informer.cache.index import NAMESPACE_INDEX, IndexErrorHandler, meta_namespace_index
from informer.cache.records import Records
from informer.cache.store import Store
from informer.objects.keys import meta_namespace_key
from informer.objects.paths import index_by

__all__ = ["NAMESPACE_INDEX", "Indexer", "Store", "index_by", "meta_namespace_index"]

T = TypeVar("T", default=Any)


class Indexer(Store[T]):
    """A store that also finds objects by index values, as an informer's cache does.

    An index function returns the values under which an object can be found:

        indexer = Indexer(indexers={"node": lambda pod: [pod["spec"]["nodeName"]]})
        indexer.add(pod)
        indexer.by_index("node", "node-1")

    `index_by("spec.nodeName")` makes such a function, and `meta_namespace_index` is one. If an index function raises, `add`,
    `update`, `replace` and `apply` raise `IndexFuncError` and change nothing, unless `on_index_error` is given.

    Args:
        key_func: returns an object's key; the default is "namespace/name", or "name" for an object without a namespace.
        indexers: index functions by index name; None for no index yet.
        unwrap: returns what readers and index functions see of a stored object; None if that is the stored object itself.
        on_index_error: called with (index name, key, exception) when an index function raises. The object is then left out
            of that index. None: the write raises `IndexFuncError` and changes nothing.

    Raises:
        TypeError: an index function is not callable.

    Threads: any. Key and index functions run without a lock. Readers wait at most for one batch to be applied. Readers share
    the returned objects with the indexer and must not change them.

    Source: client-go tools/cache Indexer.
    """

    def __init__(
        self,
        key_func: Callable[[Any], str] = meta_namespace_key,
        indexers: Mapping[str, Callable[[T], Iterable[str]]] | None = None,
        *,
        unwrap: Callable[[Any], Any] | None = None,
        on_index_error: IndexErrorHandler | None = None,
    ) -> None:
        super().__init__(key_func)
        self.records = Records(key_func, unwrap=unwrap, on_index_error=on_index_error)
        if indexers:
            self.add_indexers(indexers)

    @property
    def indexers(self) -> dict[str, Callable[[T], Iterable[str]]]:
        """The index functions by index name; a copy."""
        return {index.name: index.function for index in self.records.indices}

    def add_indexers(self, indexers: Mapping[str, Callable[[T], Iterable[str]]]) -> None:
        """Adds indices. When it returns, they contain every stored object.

        Args:
            indexers: index functions by index name.

        Raises:
            IndexConflictError: a name is taken; no index was added.
            IndexFuncError: an index function raised; no index was added.
            TypeError: an index function is not callable, is async, or does not take one argument.
        """
        given: Any = indexers
        if not isinstance(given, Mapping):
            kind = type(given).__name__
            raise TypeError(f"indexers are a mapping of names to index functions, not a {kind}: name the index")
        for name, function in indexers.items():
            check_function(f"the index function of {name!r}", function, 1, may_yield=True)
        self.records.add_indices(indexers)

    def index(self, name: str, obj: T) -> builtins.list[T]:
        """Returns the objects that share at least one value of an index with `obj`, each once.

        Raises:
            IndexNotFoundError: the index does not exist.
            IndexFuncError: the index function raised for `obj`.
        """
        records = self.records
        values = records.index(name).values_of(obj, "", None)

        def copy() -> dict[str, Any]:
            found: dict[str, Any] = {}
            buckets = records.index(name).buckets
            for value in values:
                found.update(buckets.get(value, {}))
            return found

        return records.show([*records.look(copy).values()])

    def index_keys(self, name: str, value: str) -> builtins.list[str]:
        """Returns the keys of the objects under a value of an index, sorted.

        Raises:
            IndexNotFoundError: the index does not exist.
        """
        records = self.records
        return sorted(records.look(lambda: [*records.index(name).buckets.get(value, ())]))

    def by_index(self, name: str, value: str) -> builtins.list[T]:
        """Returns the objects under a value of an index, in no particular order.

        Raises:
            IndexNotFoundError: the index does not exist.
        """
        return self.records.show(self.records.by_index(name, value))

    def list_index_func_values(self, name: str) -> builtins.list[str]:
        """Returns the values of an index under which there is at least one object.

        Raises:
            IndexNotFoundError: the index does not exist.
        """
        records = self.records
        return records.look(lambda: [*records.index(name).buckets])
