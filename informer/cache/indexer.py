"""The cache: a store with indices, and the index functions that are ready to use.

Comes in: index functions. Goes out: objects by what these say of them. What is in an index, and when, is the store's.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from typing_extensions import TypeVar

from informer.cache.index import NAMESPACE_INDEX, Index, IndexErrorHandler, meta_namespace_index
from informer.cache.store import Prepared, Store
from informer.errors import IndexConflictError, IndexNotFoundError
from informer.objects.keys import meta_namespace_key
from informer.objects.paths import index_by

__all__ = ["NAMESPACE_INDEX", "Indexer", "Prepared", "Store", "index_by", "meta_namespace_index"]

T = TypeVar("T", default=Any)


class Indexer(Store[T]):
    """A store with indices.

    Args:
        key_func: makes an object's key.
        indexers: index functions by index name; each gives the values under which an object is found.
        unwrap: gives what readers and index functions see of a stored object; None where it is that itself.
        on_index_error: called when an index function raises, and the object is left out of that index; None raises
            `IndexFuncError`.
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
        self._unwrap = unwrap
        self._on_index_error = on_index_error
        if indexers:
            self.add_indexers(indexers)

    @property
    def indexers(self) -> dict[str, Callable[[T], Iterable[str]]]:
        """The index functions by index name, a copy."""
        return {index.name: index.function for index in self._indices if index.ready}

    def add_indexers(self, indexers: Mapping[str, Callable[[T], Iterable[str]]]) -> None:
        """Adds indices; what is stored already is in them at once.

        Raises:
            IndexConflictError: one of the names is taken; none was added.
            IndexFuncError: an index function raised; none was added.
            TypeError: an index function is not callable.
        """
        for name, function in indexers.items():
            if not callable(function):
                raise TypeError(f"the index function of {name!r} must be callable, not {type(function).__name__}")
        new = tuple(Index(name, function, ready=False) for name, function in indexers.items())
        with self._writer:
            taken = sorted({index.name for index in self._indices} & indexers.keys())
            if taken:
                raise IndexConflictError(f"indexer conflict: {', '.join(taken)}")
            # From here on writers put into them what they write; what was there before is put in below.
            self._set_indices((*self._indices, *new))
        try:
            with self._lock:
                before = dict(self._items)
            values = {key: self._values(new, obj, key) for key, obj in before.items()}
        except BaseException:
            with self._writer:
                self._set_indices(tuple(index for index in self._indices if index.name not in indexers))
            raise
        with self._writer:
            # A relist meanwhile has copied them.
            added = [index for index in self._indices if index.name in indexers]
            for key, obj in before.items():
                if self._items.get(key) is obj:
                    for index, of_index in zip(added, values[key], strict=True):
                        index.set(key, obj, of_index)
            with self._lock:
                for index in added:
                    index.ready = True

    def index(self, name: str, obj: T) -> builtins.list[T]:
        """The objects that share a value of an index with `obj`, each once.

        Raises:
            IndexNotFoundError: there is no such index.
            IndexFuncError: its function raised for `obj`.
        """
        values = self._index(name).values_of(obj, "", None)

        def copy() -> dict[str, Any]:
            found: dict[str, Any] = {}
            buckets = self._index(name).buckets
            for value in values:
                found.update(buckets.get(value, {}))
            return found

        return self.shown([*self._look(copy).values()])

    def index_keys(self, name: str, value: str) -> builtins.list[str]:
        """The keys of the objects under a value of an index, sorted.

        Raises:
            IndexNotFoundError: there is no such index.
        """
        return sorted(self._look(lambda: [*self._index(name).buckets.get(value, ())]))

    def by_index(self, name: str, value: str) -> builtins.list[T]:
        """The objects under a value of an index.

        Raises:
            IndexNotFoundError: there is no such index.
        """
        return self.shown(self.stored_by_index(name, value))

    def stored_by_index(self, name: str, value: str) -> builtins.list[Any]:
        """As `by_index`, in the form in which the objects are stored."""

        def copy() -> builtins.list[Any]:
            bucket = self._index(name).buckets.get(value)
            return [] if bucket is None else [*bucket.values()]

        return self._look(copy)

    def list_index_func_values(self, name: str) -> builtins.list[str]:
        """The values of an index under which there is any object.

        Raises:
            IndexNotFoundError: there is no such index.
        """
        return self._look(lambda: [*self._index(name).buckets])

    def set_unwrap(self, unwrap: Callable[[Any], Any] | None) -> None:
        """Sets `unwrap` (see the class), before anything is stored."""
        self._unwrap = unwrap

    def die(self, error: Callable[[], Exception]) -> None:
        """From now on every use raises: this is a forked child, whose parent keeps the cache current."""
        self._items = _Dead(error)
        dead: Any = _Dead(error)
        self._lock = self._writer = dead
        self._steps = 1  # sends every reader to the lock

    def _index(self, name: str) -> Index:
        for index in self._indices:
            if index.name == name and index.ready:
                return index
        names = ", ".join(sorted(self.indexers)) or "none"
        raise IndexNotFoundError(f"Index with name {name} does not exist (there are: {names})")

    def _set_indices(self, indices: tuple[Index, ...]) -> None:
        with self._lock:
            self._indices = indices
        self._indexing = object()


class _Dead(dict[str, Any]):
    """Stands for a map or a lock that may not be used any more."""

    def __init__(self, error: Callable[[], Exception]) -> None:
        super().__init__()
        self._error = error

    def _raise(self, *args: Any, **kwargs: Any) -> Any:
        raise self._error()

    __enter__ = __exit__ = __getitem__ = __len__ = __iter__ = __contains__ = _raise
    get = keys = values = items = _raise
