"""The one queue type between threads: bounded, unbounded, or a hand-off, and closable.

Comes in: items from any thread. Goes out: the same items in the same order, each to exactly one taker.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic

from typing_extensions import TypeVar

from watch.concurrency import Monitor, on_set
from watch.errors import ChannelClosedError

__all__ = ["Channel"]

T = TypeVar("T", default=Any)


class _Offer(Generic[T]):
    """An item whose putter still waits for it to be taken, or for there to be room."""

    __slots__ = ("item", "taken")

    def __init__(self, item: T) -> None:
        self.item = item
        self.taken = False


class Channel(Generic[T]):
    """A queue between threads that can be closed.

    Args:
        maxsize: 0 is a hand-off (`put` returns once the item is taken); n > 0 lets at most n items wait; None does not
            bound it.

    Raises:
        ValueError: maxsize is negative.

    Threads: every method may be called from any thread; `put`, `get`, `get_batch` and iteration block.
    """

    def __init__(self, maxsize: int | None = 0) -> None:
        if maxsize is not None and maxsize < 0:
            raise ValueError(f"maxsize must be None, 0 or more, not {maxsize}")
        self._maxsize = maxsize
        self._monitor = Monitor()
        # All of these are guarded by _monitor. An accepted item stands in _items; an offered one in _offers, and counts
        # as never put until a taker marks it taken. What is in _items was put before what is in _offers, and no newer
        # item passes an older offer.
        self._items: deque[T] = deque()
        self._offers: deque[_Offer[T]] = deque()
        self._getters = 0
        self._closed = False

    def put(self, item: T, timeout: float | None = None) -> None:
        """Adds an item, waiting at most `timeout` seconds (None: without limit) for room or, in a hand-off, a taker.

        Raises:
            ChannelClosedError: the channel is closed, or was closed while waiting; the item was not accepted.
            queue.Full: the time is up; the item was not accepted.
        """
        with self._monitor:
            self._check_open_locked()
            if not self._offers and self._has_room_locked():
                self._items.append(item)
                if self._getters:
                    self._monitor.notify_all()
            elif timeout is not None and timeout <= 0:
                raise queue.Full
            else:
                self._offer_locked(item, timeout)

    def put_nowait(self, item: T) -> None:
        """Adds an item if there is room (in a hand-off: if a taker waits).

        Raises:
            ChannelClosedError: the channel is closed.
            queue.Full: there is no room.
        """
        self.put(item, timeout=0)

    def get(self, timeout: float | None = None) -> T:
        """Takes the oldest item, waiting at most `timeout` seconds (None: without limit).

        Raises:
            ChannelClosedError: the channel is closed and everything accepted has been taken.
            queue.Empty: the time is up.
        """
        return self.get_batch(1, timeout)[0]

    def get_batch(
        self, max_items: int | None = None, timeout: float | None = None, *, stop: threading.Event | None = None
    ) -> list[T]:
        """Waits for the first item as `get` does, then takes with it what is there, at most `max_items` in all.

        Args:
            max_items: None takes all.
            timeout: at most so many seconds; None waits without limit, 0 does not wait.
            stop: ends the wait when it is set, as closing the channel would.

        Raises:
            ValueError: max_items is less than 1.
            ChannelClosedError: the channel is closed, or `stop` is set, and everything accepted has been taken.
            queue.Empty: the time is up.
        """
        if max_items is not None and max_items < 1:
            raise ValueError(f"max_items must be None or at least 1, not {max_items}")
        withdraw = None if stop is None else on_set(stop, self._wake)
        try:
            with self._monitor:
                if not self._items and not self._offers:
                    self._wait_for_item_locked(timeout, stop)
                if not self._items and not self._offers:
                    if self._closed:
                        raise ChannelClosedError("the channel is closed")
                    if stop is not None and stop.is_set():
                        raise ChannelClosedError("the reader of the channel was stopped")
                    raise queue.Empty
                batch = self._take_locked(max_items)
                self._monitor.notify_all()
                return batch
        finally:
            if withdraw is not None:
                withdraw()

    def unbound(self) -> None:
        """Lifts its bound, for the time that is left: what waits to be put is accepted, and no later `put` waits."""
        with self._monitor:
            self._maxsize = None
            while self._offers:
                offer = self._offers.popleft()
                offer.taken = True
                self._items.append(offer.item)
            self._monitor.notify_all()

    def close(self) -> None:
        """Closes it and wakes every waiter; what was accepted can still be taken. Again is harmless."""
        with self._monitor:
            self._closed = True
            self._offers.clear()
            self._monitor.notify_all()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                item = self.get()
            except ChannelClosedError:
                return
            yield item

    def _wake(self) -> None:
        with self._monitor:
            self._monitor.notify_all()

    def _check_open_locked(self) -> None:
        if self._closed:
            raise ChannelClosedError("the channel is closed")

    def _has_room_locked(self) -> bool:
        if self._maxsize is None:
            return True
        if self._maxsize == 0:
            # A waiting taker is room for one item that no other item already stands for.
            return self._getters > len(self._items)
        return len(self._items) < self._maxsize

    def _offer_locked(self, item: T, timeout: float | None) -> None:
        offer = _Offer(item)
        self._offers.append(offer)
        self._monitor.notify_all()
        try:
            self._monitor.wait_for(lambda: offer.taken or self._closed, timeout)
        finally:
            if not offer.taken and not self._closed:
                self._offers.remove(offer)
        if not offer.taken:
            self._check_open_locked()
            raise queue.Full

    def _wait_for_item_locked(self, timeout: float | None, stop: threading.Event | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        self._getters += 1
        try:
            while not self._items and not self._offers and not self._closed:
                if stop is not None and stop.is_set():
                    return
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return
                self._monitor.wait(left)
        finally:
            self._getters -= 1

    def _take_locked(self, max_items: int | None) -> list[T]:
        items = self._items
        if max_items is None or len(items) <= max_items:
            batch = list(items)
            items.clear()
        else:
            batch = [items.popleft() for _ in range(max_items)]
        if self._maxsize == 0:
            while self._offers and (max_items is None or len(batch) < max_items):
                batch.append(self._accept_offer_locked())
        else:
            while self._offers and self._has_room_locked():
                items.append(self._accept_offer_locked())
        return batch

    def _accept_offer_locked(self) -> T:
        offer = self._offers.popleft()
        offer.taken = True
        return offer.item
