"""A map that forgets what was longest not used."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["LruMap"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruMap(Generic[K, V]):
    """See the module.

    Args:
        size: so many keys are kept.

    Threads: one at a time.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """What a key has, None for nothing; it counts as used."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> V | None:
        """Gives a key a value; returns the value that had to go for it, None for none."""
        self._values[key] = value
        self._values.move_to_end(key)
        return self._values.popitem(last=False)[1] if len(self._values) > self._size else None

    def pop(self, key: K) -> V | None:
        """Takes a key out; returns what it had."""
        return self._values.pop(key, None)

    def items(self) -> list[tuple[K, V]]:
        """What there is, the longest unused first; a list of its own."""
        return list(self._values.items())

    def values(self) -> list[V]:
        """The values there are, the longest unused first; a list of its own."""
        return list(self._values.values())

    def __len__(self) -> int:
        return len(self._values)
