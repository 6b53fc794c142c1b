"""A heap whose items can change their rank."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Any, Generic

from typing_extensions import TypeVar

__all__ = ["KeyedHeap"]

T = TypeVar("T", bound=Hashable, default=Any)

_GONE: Any = object()
# The heap is rebuilt when it holds more dead entries than living ones, plus this many.
_TOLERATED = 64


class KeyedHeap(Generic[T]):
    """A heap that gives out the item of the lowest rank, and in which an item's rank can be changed.

    A rank has two parts, compared in turn; no two items may have the same rank. The entry of a moved or removed item stays in
    the heap as a dead entry without its item, until it reaches the top or the heap is rebuilt.

    Threads: not thread-safe; a queue uses it under its lock.
    """

    __slots__ = ("_entries", "_heap")

    def __init__(self) -> None:
        # An entry is [first, second, item], of which the first two are the rank.
        self._heap: list[list[Any]] = []
        self._entries: dict[T, list[Any]] = {}  # the entries that are not dead

    def put(self, item: T, first: float, second: int) -> None:
        """Adds an item with a rank, or moves it to that rank."""
        entry = self._entries.get(item)
        if entry is not None:
            if entry[1] == second and entry[0] == first:
                return
            entry[2] = _GONE
        entry = [first, second, item]
        self._entries[item] = entry
        heappush(self._heap, entry)
        self._tidy()

    def rank_of(self, item: T) -> float | None:
        """The first part of an item's rank; None if the heap does not hold the item."""
        entry = self._entries.get(item)
        return None if entry is None else entry[0]

    @property
    def first_rank(self) -> float | None:
        """The first part of the lowest rank; None if the heap is empty."""
        heap = self._heap
        while heap and heap[0][2] is _GONE:
            heappop(heap)
        return heap[0][0] if heap else None

    def pop(self) -> T:
        """Removes and returns the item of the lowest rank. The heap must not be empty."""
        while True:
            item: T = heappop(self._heap)[2]
            if item is not _GONE:
                del self._entries[item]
                return item

    def discard(self, item: T) -> None:
        """Removes an item, if the heap holds it."""
        entry = self._entries.pop(item, None)
        if entry is not None:
            entry[2] = _GONE
            self._tidy()

    def clear(self) -> None:
        """Removes all items."""
        self._heap.clear()
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, item: T) -> bool:
        return item in self._entries

    def __bool__(self) -> bool:
        return True

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._entries) + _TOLERATED:
            self._heap = list(self._entries.values())
            heapify(self._heap)
