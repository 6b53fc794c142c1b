"""The public store: objects by key."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic

from typing_extensions import TypeVar

from informer.cache.change import Change
from informer.cache.records import Records
from informer.objects.keys import DeletedFinalStateUnknown, meta_namespace_key
from informer.queues.delta import Delta, DeltaType, ReplacedAll

__all__ = ["Store"]

T = TypeVar("T", default=Any)


class Store(Generic[T]):
    """A thread-safe collection of objects by key.

        store = Store()
        store.add(pod)
        store.get_by_key("default/web-1")

    A write is applied as a whole: a reader sees the store as it is before or after it, never in between. A store is true
    even when empty. Iterating over it gives its keys.

    Args:
        key_func: returns an object's key; the default is "namespace/name", or "name" for an object without a namespace.

    Threads: any. Key functions run without a lock. Readers wait at most for one batch to be applied. Readers share the
    returned objects with the store and must not change them.

    Source: client-go tools/cache Store.
    """

    def __init__(self, key_func: Callable[[Any], str] = meta_namespace_key) -> None:
        self.records = Records(key_func)
        """The engine, with further methods for the rest of the library; not part of the public API."""

    # Writing

    def add(self, obj: T) -> None:
        """Stores an object; it replaces the stored object of the same key.

        Raises:
            KeyFuncError: the object has no key.
        """
        self.apply((Delta(DeltaType.ADDED, obj),))

    def update(self, obj: T) -> None:
        """Stores an object, exactly as `add` does."""
        self.apply((Delta(DeltaType.UPDATED, obj),))

    def delete(self, obj: T | DeletedFinalStateUnknown) -> None:
        """Deletes the object of the same key, if there is one.

        Raises:
            KeyFuncError: the object has no key.
        """
        self.apply((Delta(DeltaType.DELETED, obj),))

    def replace(self, items: Iterable[T], resource_version: str) -> None:
        """Replaces the whole content in one step.

        Args:
            items: the new content.
            resource_version: the resourceVersion of the list that `items` come from.

        Raises:
            KeyFuncError: an object has no key; nothing was changed.
        """
        self.apply((Delta(DeltaType.REPLACED_ALL, ReplacedAll(list(items), resource_version)),))

    def resync(self) -> None:
        """Does nothing. It lets a `Reflector` write to a store as it writes to a queue."""

    def bookmark(self, resource_version: str) -> None:
        """Sets the store's resourceVersion; "" or an older one changes nothing."""
        self.apply((Delta(DeltaType.BOOKMARK, resource_version),))

    def apply(self, deltas: Iterable[Delta], *, is_in_initial_list: bool = False) -> builtins.list[Change[Any]]:
        """Applies a batch of deltas, in order and in one step for readers.

        A REPLACED_ALL or SYNC_ALL delta is a step of its own.

        Args:
            deltas: deltas of any type; see `Delta`.
            is_in_initial_list: whether the adds in the batch belong to the informer's first list.

        Returns:
            The changes, in order.

        Raises:
            KeyFuncError: an object has no key; nothing was changed.
        """
        return self.records.apply(deltas, is_in_initial_list=is_in_initial_list)

    # Reading

    @property
    def resource_version(self) -> str:
        """The newest resourceVersion of the writes and bookmarks since the last `replace`, "" before the first.

        Versions that are not numbers cannot be compared; of those it is the last one.
        """
        return self.records.resource_version

    def get(self, obj: T) -> T | None:
        """Returns the stored object of the same key, or None.

        Raises:
            KeyFuncError: the object has no key.
        """
        return self.get_by_key(self.records.key_of(obj))

    def get_by_key(self, key: str) -> T | None:
        """Returns the object of a key, or None."""
        # Written out, since every further call would add a third to the cost of a lookup.
        records = self.records
        item = records.items.get(key)
        if item is None:
            records.check_usable()
            return None
        unwrap = records.unwrap
        return item if unwrap is None else unwrap(item)  # type: ignore[no-any-return]

    def list(self) -> builtins.list[T]:
        """Returns all objects, in no particular order. The list itself belongs to the caller."""
        return self.records.show(self.records.objects())

    def list_keys(self) -> builtins.list[str]:
        """Returns all keys, in no particular order."""
        return self.records.keys()

    def __len__(self) -> int:
        self.records.check_usable()
        return len(self.records.items)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, key: object) -> bool:
        if key in self.records.items:
            return True
        self.records.check_usable()
        return False

    def __iter__(self) -> Iterator[str]:
        return iter(self.list_keys())
