"""The workers' side of a queue: takes keys from it and applies what their reconciliation led to."""

from __future__ import annotations

import inspect
import math
from collections.abc import Hashable
from typing import Any, Generic

from typing_extensions import TypeVar

from informer.rate_limited_log import rate_limited
from informer.workqueue.priority import PriorityQueue
from informer.workqueue.queue import ShutDownError
from informer.workqueue.rate_limiting import RateLimitingQueue
from watch.logs import get_logger

__all__ = ["Postponed", "QueueConsumer"]

T = TypeVar("T", bound=Hashable, default=Any)

_log = get_logger("informer.workqueue")


class Postponed(Exception):  # noqa: N818 - not an error
    """Raised by `reconcile`: the key was not processed, and nothing is wrong. For the rest of the library.

    Args:
        retry: whether the key is requeued with the limiter's backoff; otherwise the code that raises this enqueues it again.
    """

    def __init__(self, reason: str, *, retry: bool) -> None:
        super().__init__(reason)
        self.retry = retry


class QueueConsumer(Generic[T]):
    """Takes keys from a queue for workers, and forgets or requeues each according to its result.

    Threaded and async workers share it. For every key that `take` returns, a worker calls `handle_result` or `handle_error`,
    and then `done`. In a `PriorityQueue` a requeued key keeps its priority.

    Args:
        queue: gives the keys and takes those to be retried.
        drain: whether `take` still returns the keys that are ready when `stop` is called.

    Threads: any number of workers share one consumer. Only `take` blocks.
    """

    def __init__(self, queue: RateLimitingQueue[T], *, drain: bool) -> None:
        self._queue = queue
        self._by_priority = queue if isinstance(queue, PriorityQueue) else None
        self._drain = drain
        self._stopped = False
        self._limited = rate_limited(_log)
        self._of = "" if queue.name is None else f" of {queue.name}"

    def take(self) -> tuple[T, int] | None:
        """Waits for the next key and takes it.

        Returns:
            The key and its priority (0 unless the queue is a `PriorityQueue`); None when there are no more keys.
        """
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
        """Shuts down the queue and drops the keys that wait in it."""
        self._drain = False
        self.stop()

    def handle_result(self, key: T, priority: int, result: object) -> None:
        """Applies what `reconcile` returned: None forgets the key, a number also requeues it after that many seconds.

        Any other result counts as a failure.
        """
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
                self.handle_error(key, priority, _invalid_result(result))
        # The limiter may be the user's, and its error must not end the worker.
        except Exception as error:
            self._log_lost_key(key, error)

    def handle_error(self, key: T, priority: int, error: BaseException) -> None:
        """Logs what `reconcile` raised and requeues the key with the limiter's backoff."""
        if isinstance(error, Postponed):
            _log.debug("%r is processed later: %s", key, error)
            if not error.retry:
                return
        else:
            self._limited.error("reconciling %r%s failed: %r", key, self._of, error, exc_info=error)
        try:
            if self._by_priority is None:
                self._queue.add_rate_limited(key)
            else:
                self._by_priority.add_rate_limited(key, priority=priority)
        except Exception as limiter_error:
            self._log_lost_key(key, limiter_error)

    def done(self, key: T) -> None:
        """Ends the processing of a key, so that another worker may take it again."""
        self._queue.done(key)

    def _log_lost_key(self, key: T, error: Exception) -> None:
        self._limited.error("failed to requeue %r: its rate limiter raised %r", key, error, exc_info=error)


def _invalid_result(result: object) -> Exception:
    if inspect.iscoroutine(result):
        result.close()  # avoids Python's warning that the coroutine was never awaited
        return TypeError("reconcile returned a coroutine: pass the async function itself, not one that calls it")
    return TypeError(f"reconcile must return None or the seconds to requeue after, not {result!r}")
