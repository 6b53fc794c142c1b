"""The queue that retries items with backoff."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from informer.workqueue import ItemExponentialFailureRateLimiter, PriorityQueue, RateLimitingQueue
from watch import FakeClock


@pytest.mark.parametrize("kind", [RateLimitingQueue, PriorityQueue], ids=lambda kind: kind.__name__)
def test_a_queue_waits_as_long_as_its_limiter_says(make: Callable[..., Any], kind: Any) -> None:
    """Go: TestRateLimitingQueue."""
    clock = FakeClock()
    queue = make(kind, ItemExponentialFailureRateLimiter(0.001, 1.0), clock=clock)

    def delay(item: str) -> int:
        """Milliseconds after which an item that is added rate-limited is ready."""
        queue.add_rate_limited(item)
        for milliseconds in count():
            if len(queue):
                queue.done(queue.get(0))
                return milliseconds
            clock.step(0.001 + 1e-9)
        raise AssertionError

    assert [delay("one"), delay("one")] == [1, 2]
    assert queue.num_requeues("one") == 2
    assert [delay("two"), delay("two")] == [1, 2]
    queue.forget("one")
    assert queue.num_requeues("one") == 0
    assert delay("one") == 1
