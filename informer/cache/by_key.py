"""A store's objects as a read-only mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic

from typing_extensions import TypeVar

from informer.cache.store import Store

__all__ = ["ByKey"]

T = TypeVar("T")


class ByKey(Mapping[str, T], Generic[T]):
    """A store's objects by key, as a read-only mapping; `informer.by_key` returns it.

        pod = informer.by_key["default/web-1"]

    It is a view: it shows what the store has at the time of each call. Iterating over it, or over `values()` and `items()`
    as they are made, goes over the keys of one moment; a key that is deleted meanwhile is left out.

    Args:
        store: the store.

    Threads: any.
    """

    def __init__(self, store: Store[T]) -> None:
        self._store = store

    def __getitem__(self, key: str) -> T:
        found = self._store.get_by_key(key)
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._store)

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, key: object) -> bool:
        return key in self._store

    def __repr__(self) -> str:
        return f"<ByKey of {len(self)} objects>"
