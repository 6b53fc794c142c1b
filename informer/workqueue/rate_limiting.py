"""A work queue that knows how long an item has to wait before its next try."""

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
    """A `DelayingQueue` with `add_rate_limited`: what a controller has.

    Args:
        limiter: how long an item waits; None: `default_controller_rate_limiter()`.
        name: see `WorkQueue`, as for the rest.
        clock: as above.
        order: as above.
        metrics_provider: as above.

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
        """Adds an item when its limiter says so; each call without a `forget` in between may make it wait longer.

        Raises:
            TypeError: the item is not hashable.
        """
        check_hashable(item)
        self.add_after(item, self._limiter.when(item))

    def forget(self, item: T) -> None:
        """An item is no longer being retried, whether it succeeded or was given up; `done` is needed all the same."""
        self._limiter.forget(item)

    def num_requeues(self, item: T) -> int:
        """How often it was added rate-limited since it was forgotten."""
        return self._limiter.num_requeues(item)
