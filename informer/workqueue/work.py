"""What workers of every kind do with a key: take it, and say what comes of it."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Hashable
from typing import Any, Generic

from typing_extensions import TypeVar

from informer.rate_limited_log import LimitedLog
from informer.workqueue.priority import PriorityQueue
from informer.workqueue.queue import ShutDownError
from informer.workqueue.rate_limiting import RateLimitingQueue

__all__ = ["Work"]

T = TypeVar("T", bound=Hashable, default=Any)

_log = logging.getLogger("informer.workqueue")


class Work(Generic[T]):
    """The workers' side of a queue.

    Args:
        queue: where keys come from, and where they are tried again.
        drain: whether what waits when `stop` is called is still given out.

    Threads: any; `take` waits.
    """

    def __init__(self, queue: RateLimitingQueue[T], *, drain: bool) -> None:
        self._queue = queue
        self._by_priority = queue if isinstance(queue, PriorityQueue) else None
        self._drain = drain
        self._stopped = False
        self._limited = LimitedLog(_log)

    def take(self) -> tuple[T, int] | None:
        """The next key, with its priority (0 where the queue knows none); None at the end. `finish` it."""
        while True:
            try:
                taken = (self._queue.get(), 0) if self._by_priority is None else self._by_priority.get_with_priority()
            except ShutDownError:
                return None
            if self._drain or not self._stopped:
                return taken
            self._queue.done(taken[0])

    def stop(self) -> None:
        """Shuts down the queue."""
        self._stopped = True
        self._queue.shut_down()

    def abandon(self) -> None:
        """As `stop`, and what waits is not given out."""
        self._drain = False
        self.stop()

    def settle(self, key: T, priority: int, result: object) -> None:
        """A key's reconciliation returned something: None, or seconds to try again after."""
        try:
            if result is None:
                self._queue.forget(key)
            elif isinstance(result, int | float) and not isinstance(result, bool) and math.isfinite(result):
                self._queue.forget(key)
                if self._by_priority is None:
                    self._queue.add_after(key, result)
                else:
                    self._by_priority.add_after(key, result, priority=priority)
            else:
                self.failed(key, priority, _wrong(result))
        # A limiter may be the user's. Whatever it raises, the worker goes on.
        except Exception as error:
            self._limited.log(logging.ERROR, "%r is not added again: %r", key, error, exc_info=error)

    def failed(self, key: T, priority: int, error: BaseException) -> None:
        """A key's reconciliation raised: it is tried again, later each time."""
        self._limited.log(logging.ERROR, "reconciling %r failed: %r", key, error, exc_info=error)
        try:
            if self._by_priority is None:
                self._queue.add_rate_limited(key)
            else:
                self._by_priority.add_rate_limited(key, priority=priority)
        except Exception as another:
            self._limited.log(logging.ERROR, "%r is not added again: %r", key, another, exc_info=another)

    def finish(self, key: T) -> None:
        """Nobody has the key any more."""
        self._queue.done(key)


def _wrong(result: object) -> Exception:
    if inspect.iscoroutine(result):
        result.close()  # or Python complains that nobody awaited it
        return TypeError("reconcile returned a coroutine: pass the async function itself, not one that calls it")
    return TypeError(f"reconcile must return None or seconds to try again after, not {result!r}")
