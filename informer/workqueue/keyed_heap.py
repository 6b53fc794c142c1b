"""Items by rank, lowest first, whose rank can change while they wait."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Any, Generic

from typing_extensions import TypeVar

__all__ = ["KeyedHeap"]

T = TypeVar("T", bound=Hashable, default=Any)

_GONE: Any = object()
# Fewer dead entries than this are left where they are.
_TOLERATED = 64


class KeyedHeap(Generic[T]):
    """A heap that finds an item's entry; no two items may have the same rank.

    What was replaced or taken out stays in the heap, dead and without its item, until it comes up or there are more dead
    entries than living ones.

    Threads: one at a time.
    """

    __slots__ = ("_entries", "_heap")

    def __init__(self) -> None:
        # An entry is [first, second, item]: the first two are the rank.
        self._heap: list[list[Any]] = []
        self._entries: dict[T, list[Any]] = {}  # the living ones

    def put(self, item: T, first: float, second: int) -> None:
        """Puts an item where its rank says, wherever it was."""
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
        """The first part of an item's rank; None if it is not here."""
        entry = self._entries.get(item)
        return None if entry is None else entry[0]

    @property
    def first_rank(self) -> float | None:
        """The first part of the lowest rank; None if there is no item."""
        heap = self._heap
        while heap and heap[0][2] is _GONE:
            heappop(heap)
        return heap[0][0] if heap else None

    def pop(self) -> T:
        """Takes out the item of the lowest rank; there is one."""
        while True:
            item: T = heappop(self._heap)[2]
            if item is not _GONE:
                del self._entries[item]
                return item

    def discard(self, item: T) -> None:
        """Takes out an item, if it is here."""
        entry = self._entries.pop(item, None)
        if entry is not None:
            entry[2] = _GONE
            self._tidy()

    def clear(self) -> None:
        """Takes out all."""
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
