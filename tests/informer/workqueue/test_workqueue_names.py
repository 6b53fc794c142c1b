"""The public names of `informer.workqueue`, and the cost of importing it."""

from __future__ import annotations

import subprocess
import sys

import informer.workqueue

NAMES = """
WorkQueue DelayingQueue RateLimitingQueue PriorityQueue ShutDownError ItemOrder LOW_PRIORITY
RateLimiter ItemExponentialFailureRateLimiter BucketRateLimiter ItemFastSlowRateLimiter MaxOfRateLimiter
WithMaxWaitRateLimiter default_controller_rate_limiter default_item_based_rate_limiter
run_workers run_workers_async parallelize_until enqueue_key enqueue_owner
MetricsProvider QueueMetrics QueueStats Durations DURATION_BUCKETS set_metrics_provider
""".split()  # noqa: SIM905 - one name per line would fill a page


def test_the_public_names_are_these() -> None:
    """The list is complete."""
    assert sorted(informer.workqueue.__all__) == sorted(NAMES)
    assert all(hasattr(informer.workqueue, name) for name in NAMES)


def test_importing_the_package_loads_no_heavy_modules() -> None:
    """It loads neither the official client nor asyncio nor the Prometheus client."""
    script = "import sys, informer.workqueue; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert not {"kubernetes", "asyncio", "prometheus_client"} & set(done.stdout.split())
