"""The queue between threads that all of this project uses: bounded, unbounded or without a buffer, and closable."""

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
    """An item whose `put` waits for a taker or for room."""

    __slots__ = ("item", "taken")

    def __init__(self, item: T) -> None:
        self.item = item
        self.taken = False


class Channel(Generic[T]):
    """A queue between threads that can be closed. Items come out in order, and each goes to exactly one taker.

        channel = Channel(100)
        channel.put("item")  # on one thread
        for item in channel:  # on another one, until the channel is closed and empty
            ...

    A closed channel accepts no items. What it accepted before can still be taken.

    Args:
        maxsize: the number of items that may wait. 0 makes a hand-off: `put` returns when its item was taken. None sets no
            bound: `put` never waits.

    Raises:
        ValueError: maxsize is negative.

    Threads: every method may be called from any thread; `put`, `get`, `get_batch` and iteration block.
    """

    def __init__(self, maxsize: int | None = 0) -> None:
        if maxsize is not None and maxsize < 0:
            raise ValueError(f"maxsize must be None, 0 or more, not {maxsize}")
        self._maxsize = maxsize
        self._monitor = Monitor()
        # All of these are guarded by _monitor. An accepted item is in _items. An item whose `put` still waits is in
        # _offers, and is withdrawn on time-out. Everything in _items is older than everything in _offers.
        self._items: deque[T] = deque()
        self._offers: deque[_Offer[T]] = deque()
        self._getters = 0  # threads that wait for an item
        self._closed = False

    def put(self, item: T, timeout: float | None = None) -> None:
        """Adds an item, after waiting for room or, in a hand-off, for a taker.

        Args:
            item: the item.
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.

        Raises:
            ChannelClosedError: the channel is closed, or was closed during the wait; the item was not accepted.
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
        """Adds an item if there is room or, in a hand-off, if a taker waits.

        Raises:
            ChannelClosedError: the channel is closed.
            queue.Full: the channel is full.
        """
        self.put(item, timeout=0)

    def get(self, timeout: float | None = None) -> T:
        """Takes the oldest item, after waiting for one.

        Args:
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.

        Raises:
            ChannelClosedError: the channel is closed and empty.
            queue.Empty: no item came in time.
        """
        return self.get_batch(1, timeout)[0]

    def get_batch(
        self, max_items: int | None = None, timeout: float | None = None, *, stop: threading.Event | None = None
    ) -> list[T]:
        """Waits for an item, and takes it with the others that are ready, oldest first.

        Args:
            max_items: the most items to take; None takes all.
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.
            stop: ends the wait when it is set, as closing the channel does.

        Raises:
            ValueError: max_items is less than 1.
            ChannelClosedError: the channel is empty, and it is closed or `stop` is set.
            queue.Empty: no item came in time.
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
        """Removes the bound for good: items whose `put` waits are accepted, and no later `put` waits."""
        with self._monitor:
            self._maxsize = None
            while self._offers:
                offer = self._offers.popleft()
                offer.taken = True
                self._items.append(offer.item)
            self._monitor.notify_all()

    def close(self) -> None:
        """Closes the channel and wakes every waiting thread. A second call does nothing.

        Accepted items can still be taken. A `put` that waits raises ChannelClosedError.
        """
        with self._monitor:
            self._closed = True
            self._offers.clear()
            self._monitor.notify_all()

    @property
    def closed(self) -> bool:
        """Whether the channel was closed. It may still hold items."""
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
            # There is room for one item per waiting taker.
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
