"""Leader election: one of several processes leads, and another takes over when it stops or fails."""

from __future__ import annotations

import informer.watch_check  # noqa: F401 - before any module that imports `watch`
from informer.errors import NotLeadingError
from informer.leaderelection.clock import LeaseClock
from informer.leaderelection.elector import LeaderElector, LeaderHealthCheck, LeaseNotRenewedError
from informer.leaderelection.lease_lock import LeaseLock, ResourceLock, resource_lock
from informer.leaderelection.metrics import ElectionMetrics, ElectionStats, MetricsProvider, set_metrics_provider
from informer.leaderelection.record import LeaderElectionRecord

__all__ = [
    "ElectionMetrics",
    "ElectionStats",
    "LeaderElectionRecord",
    "LeaderElector",
    "LeaderHealthCheck",
    "LeaseClock",
    "LeaseLock",
    "LeaseNotRenewedError",
    "MetricsProvider",
    "NotLeadingError",
    "ResourceLock",
    "resource_lock",
    "set_metrics_provider",
]
