"""Work queues, as controllers have: keys to process, each by one worker at a time, retried when that fails."""

from __future__ import annotations

from informer.workqueue.delaying import DelayingQueue
from informer.workqueue.handlers import enqueue_key, enqueue_owner
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
from informer.workqueue.parallelizer import parallelize_until
from informer.workqueue.priority import LOW_PRIORITY, PriorityQueue
from informer.workqueue.queue import ItemOrder, ShutDownError, WorkQueue
from informer.workqueue.rate_limiting import RateLimitingQueue
from informer.workqueue.workers import run_workers, run_workers_async

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
