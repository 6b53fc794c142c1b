"""Calls an async handler for several changes at a time: in order for each key, in parallel between keys."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Protocol

from informer.cache.change import Change
from informer.handlers.delivery import Delivery

__all__ = ["ConcurrentCalls"]

# At most 1000 changes wait for an earlier change of their key, outside of the backlog.
_WAITING = 1000


class _Stream(Protocol):
    async def take(self) -> Sequence[Change[Any]] | None: ...


class ConcurrentCalls:
    """Hands the changes of one stream over to one handler, with at most `limit` calls at a time.

    A change waits until the call for the change before it, of the same key, has ended. The changes of other keys overtake it.

    Args:
        delivery: makes the calls.
        await_results: runs one handover of the delivery to its end, and awaits what the calls return.
        limit: the number of calls at a time.
        name: the name of the tasks.

    Attributes:
        waiting: how many changes were taken from the stream and wait for an earlier one of their key.

    Threads: the event loop.
    """

    def __init__(
        self,
        delivery: Delivery,
        await_results: Callable[[Generator[object, None, None]], Awaitable[None]],
        limit: int,
        name: str,
    ) -> None:
        self._delivery = delivery
        self._await_results = await_results
        self._limit = limit
        self._name = name
        self._tasks: set[asyncio.Task[None]] = set()
        # By each key with a call under way: the later changes of the key.
        self._by_key: dict[str, deque[Change[Any]]] = {}
        self._progress = asyncio.Event()
        self.waiting = 0

    async def run(self, stream: _Stream) -> None:
        """Makes the calls until the stream ends and the last call has ended; a cancellation cancels the calls."""
        subscription = self._delivery.subscription
        try:
            while await stream.take() is not None:
                # Room first: a change that was drawn does not count as waiting any more.
                await self._has_room()
                for change in subscription.in_hand:
                    self._begin(change)
                    await self._has_room()
            if self._tasks:
                await asyncio.wait(self._tasks)
        except asyncio.CancelledError:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            raise

    def includes(self, task: asyncio.Task[Any] | None) -> bool:
        """Returns whether a task is one of the calls."""
        return task in self._tasks

    async def _has_room(self) -> None:
        """Waits until another change may be taken."""
        while len(self._by_key) >= self._limit or self.waiting >= _WAITING:
            self._progress.clear()
            await self._progress.wait()

    def _begin(self, change: Change[Any]) -> None:
        later = self._by_key.get(change.key)
        if later is not None:
            later.append(change)
            self.waiting += 1
            return
        if not self._by_key:
            self._delivery.busy_since = time.monotonic()
        self._by_key[change.key] = deque()
        task = asyncio.get_running_loop().create_task(self._call(change), name=self._name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, first: Change[Any]) -> None:
        """Calls the handler for a change and, one after another, for the later changes of its key."""
        later = self._by_key[first.key]
        change: Change[Any] | None = first
        try:
            while change is not None and not self._delivery.subscription.dropped:
                await self._await_results(self._delivery.deliver_one(change))
                change = later.popleft() if later else None
                if change is not None:
                    self.waiting -= 1
                    self._progress.set()
        finally:
            self.waiting -= len(later)
            del self._by_key[first.key]
            if not self._by_key:
                self._delivery.pause()
            self._progress.set()
