"""Work queues for controllers: handlers add keys, and workers process each key, one worker at a time, with retries.

A queue holds each key once, however often it is added, and gives it to one worker at a time. `RateLimitingQueue` is the usual
choice; `PriorityQueue` also processes changes before the initial list. `enqueue_key` and `enqueue_owner` fill a queue from an
informer, and `run_workers` empties it.
"""

from __future__ import annotations

import informer.watch_check  # noqa: F401 - before any module that imports `watch`
from informer.workqueue.delaying import DelayingQueue
from informer.workqueue.enqueue import enqueue_key, enqueue_owner
from informer.workqueue.limiters import (
    BucketRateLimiter,
    ItemExponentialFailureRateLimiter,
    ItemFastSlowRateLimiter,
    MaxOfRateLimiter,
    RateLimiter,
    WithMaxWaitRateLimiter,
    default_controller_rate_limiter,
    default_item_based_rate_limiter,
)
from informer.workqueue.metrics import (
    DURATION_BUCKETS,
    Durations,
    MetricsProvider,
    QueueMetrics,
    QueueStats,
    set_metrics_provider,
)
from informer.workqueue.priority import LOW_PRIORITY, PriorityQueue
from informer.workqueue.queue import ItemOrder, ShutDownError, WorkQueue
from informer.workqueue.rate_limiting import RateLimitingQueue
from informer.workqueue.workers import parallelize_until, run_workers, run_workers_async

__all__ = [
    "DURATION_BUCKETS",
    "LOW_PRIORITY",
    "BucketRateLimiter",
    "DelayingQueue",
    "Durations",
    "ItemExponentialFailureRateLimiter",
    "ItemFastSlowRateLimiter",
    "ItemOrder",
    "MaxOfRateLimiter",
    "MetricsProvider",
    "PriorityQueue",
    "QueueMetrics",
    "QueueStats",
    "RateLimiter",
    "RateLimitingQueue",
    "ShutDownError",
    "WithMaxWaitRateLimiter",
    "WorkQueue",
    "default_controller_rate_limiter",
    "default_item_based_rate_limiter",
    "enqueue_key",
    "enqueue_owner",
    "parallelize_until",
    "run_workers",
    "run_workers_async",
    "set_metrics_provider",
]
