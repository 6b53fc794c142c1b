"""A work queue that retries items with backoff."""

from __future__ import annotations

import math
from collections.abc import Hashable

from typing_extensions import TypeVar

from informer.workqueue.delaying import DelayingQueue, check_delay
from informer.workqueue.limiters import RateLimiter, count_retry, default_controller_rate_limiter
from informer.workqueue.metrics import MetricsProvider
from informer.workqueue.queue import ItemOrder, check_key
from watch.clock import SYSTEM_CLOCK, Clock

__all__ = ["RateLimitingQueue"]

# Of a retry whose delay the limiter is being asked for.
_UNKNOWN = math.inf

T = TypeVar("T", bound=Hashable, default=str)


class RateLimitingQueue(DelayingQueue[T]):
    """A `DelayingQueue` with `add_rate_limited`, which retries an item with backoff: the usual queue of a controller.

    After a failed run, call `add_rate_limited`; after a success, call `forget`, which resets the item's backoff. In both cases
    call `done` too. `run_workers` does all of this.

    Args:
        limiter: decides how long an item waits. None: `default_controller_rate_limiter()`.
        name: the label of the queue's metrics. None: the queue has no metrics.
        clock: measures metrics and delays.
        order: decides which ready item is next. None: the order in which they became ready.
        metrics_provider: reads the queue's metrics. None: the provider given to `set_metrics_provider`, if any.

    Threads: all methods are safe on any thread. Only `get` and `shut_down_with_drain` block.

    Example:
        >>> queue = RateLimitingQueue()
        >>> queue.add_rate_limited("shop/web")
        >>> queue.num_requeues("shop/web")
        1
        >>> queue.get()
        'shop/web'
        >>> queue.forget("shop/web")
        >>> queue.done("shop/web")
        >>> queue.num_requeues("shop/web")
        0
        >>> queue.shut_down()

    Source: client-go util/workqueue TypedRateLimitingInterface.
    """

    def __init__(
        self,
        limiter: RateLimiter[T] | None = None,
        *,
        name: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
        order: ItemOrder[T] | None = None,
        metrics_provider: MetricsProvider | None = None,
    ) -> None:
        super().__init__(name=name, clock=clock, order=order, metrics_provider=metrics_provider)
        self._limiter = default_controller_rate_limiter(clock=clock) if limiter is None else limiter
        # When the retry of each item is due, from when the limiter gave its delay until it is got; guarded by _lock.
        self._retries: dict[T, float] = {}

    def add_rate_limited(self, item: T) -> None:
        """Adds an item after the delay that the limiter asks for. With most limiters it grows until `forget` is called.

        If the item still waits for an earlier retry, that retry stands. The item's own count grows, but no token of a
        `BucketRateLimiter` is taken: one item that is added often does not delay the retries of the other items.

        Raises:
            TypeError: the item is not a key: it is not hashable, or it is a Kubernetes object.
        """
        check_key(item)
        delay = self._begin_retry(item)
        if delay is not None:
            self.add_after(item, delay)

    def forget(self, item: T) -> None:
        """Resets an item's backoff, after a success or when the caller gives up on it. It does not replace `done`."""
        with self._lock:
            # The next retry begins with the first delay again, which may end before one that still waits.
            self._retries.pop(item, None)
        self._limiter.forget(item)

    def num_requeues(self, item: T) -> int:
        """The number of retries since the item was last forgotten, as the limiter counts them."""
        return self._limiter.num_requeues(item)

    def _begin_retry(self, item: T) -> float | None:
        """Counts a retry; returns its delay in seconds, or None if another thread is about to add the item's retry."""
        with self._lock:
            due = self._retries.get(item)
            if due is None and not self._shutting_down:
                self._retries[item] = _UNKNOWN
        if due is not None:
            count_retry(self._limiter, item)
            return None if due == _UNKNOWN else max(0.0, due - self._clock.monotonic())
        # Outside of the lock, since the limiter may be the user's.
        try:
            delay = self._limiter.when(item)
            check_delay(delay)
        except BaseException:
            with self._lock:
                self._retries.pop(item, None)
            raise
        with self._lock:
            if item in self._retries:
                self._retries[item] = self._clock.monotonic() + delay
        return delay

    def _take_locked(self) -> T:
        item = super()._take_locked()
        # An item that was added in the meantime is taken before its retry is due, which then still stands.
        if self._retries.get(item, math.inf) <= self._clock.monotonic():
            del self._retries[item]
        return item

    def _drop_waiting_locked(self) -> None:
        super()._drop_waiting_locked()
        self._retries.clear()
