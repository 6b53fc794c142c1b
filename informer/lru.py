"""A bounded map that evicts the least recently used key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["LruMap"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruMap(Generic[K, V]):
    """A map with at most `size` keys; adding one more evicts the least recently used key.

    `get` and `put` count as a use of the key, `peek` does not. Values must not be None, which stands for "not there".

    Args:
        size: the largest number of keys.

    Raises:
        ValueError: `size` is below 1.

    Threads: not thread-safe; the caller holds a lock.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()  # the least recently used key first

    def get(self, key: K) -> V | None:
        """Returns the key's value and marks the key as used; None if it is not there."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def peek(self, key: K) -> V | None:
        """Returns the key's value without marking the key as used; None if it is not there."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> V | None:
        """Sets the key's value and marks the key as used.

        Returns:
            The value of the key that was evicted for it; None if there was room.
        """
        self._values[key] = value
        self._values.move_to_end(key)
        return self._values.popitem(last=False)[1] if len(self._values) > self._size else None

    def pop(self, key: K) -> V | None:
        """Removes the key and returns its value; None if it is not there."""
        return self._values.pop(key, None)

    def clear(self) -> None:
        """Removes every key."""
        self._values.clear()

    def keys(self) -> list[K]:
        """Returns a list of all keys, the least recently used first."""
        return list(self._values)

    def items(self) -> list[tuple[K, V]]:
        """Returns a list of all keys and values, the least recently used first."""
        return list(self._values.items())

    def values(self) -> list[V]:
        """Returns a list of all values, the least recently used first."""
        return list(self._values.values())

    def __len__(self) -> int:
        return len(self._values)
