"""A work queue that retries items with backoff."""

from __future__ import annotations

from collections.abc import Hashable

from typing_extensions import TypeVar

from informer.workqueue.delaying import DelayingQueue, check_delay
from informer.workqueue.limiters import RateLimiter, count_retry, default_controller_rate_limiter
from informer.workqueue.metrics import MetricsProvider
from informer.workqueue.queue import ItemOrder, check_key
from watch.clock import SYSTEM_CLOCK, Clock

__all__ = ["RateLimitingQueue"]

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
        # Items whose retry waits for its delay, or is over and was not got yet; guarded by _lock.
        self._retries: set[T] = set()

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
            self._retries.discard(item)
        self._limiter.forget(item)

    def num_requeues(self, item: T) -> int:
        """The number of retries since the item was last forgotten, as the limiter counts them."""
        return self._limiter.num_requeues(item)

    def _begin_retry(self, item: T) -> float | None:
        """Counts a retry; returns its delay in seconds, or None if an earlier retry of the item still waits."""
        with self._lock:
            waits = item in self._retries
            if waits and self._metrics is not None:
                self._metrics.retried_locked()
            if not self._shutting_down:
                self._retries.add(item)
        if waits:
            count_retry(self._limiter, item)
            return None
        # Outside of the lock, since the limiter may be the user's.
        try:
            delay = self._limiter.when(item)
            check_delay(delay)
        except BaseException:
            with self._lock:
                self._retries.discard(item)
            raise
        return delay

    def _take_locked(self) -> T:
        item = super()._take_locked()
        if item not in self._waiting:
            self._retries.discard(item)
        return item

    def _drop_waiting_locked(self) -> None:
        super()._drop_waiting_locked()
        self._retries.clear()
