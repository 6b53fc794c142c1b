"""A work queue that retries items with backoff."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from typing_extensions import TypeVar

from informer.workqueue.delaying import DelayingQueue
from informer.workqueue.limiters import RateLimiter, default_controller_rate_limiter
from informer.workqueue.metrics import MetricsProvider
from informer.workqueue.queue import ItemOrder, check_hashable
from watch.clock import SYSTEM_CLOCK, Clock

__all__ = ["RateLimitingQueue"]

T = TypeVar("T", bound=Hashable, default=Any)


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

    def add_rate_limited(self, item: T) -> None:
        """Adds an item after the delay that the limiter asks for. With most limiters it grows until `forget` is called.

        Raises:
            TypeError: the item is not hashable.
        """
        check_hashable(item)
        self.add_after(item, self._limiter.when(item))

    def forget(self, item: T) -> None:
        """Resets an item's backoff, after a success or when the caller gives up on it. It does not replace `done`."""
        self._limiter.forget(item)

    def num_requeues(self, item: T) -> int:
        """The number of retries since the item was last forgotten, as the limiter counts them."""
        return self._limiter.num_requeues(item)
