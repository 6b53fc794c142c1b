"""Leader election: of several processes one does the work, and another when that one is gone."""

from __future__ import annotations

from informer.leaderelection.election_record import LeaderElectionRecord
from informer.leaderelection.elector import LeaderElector, LeaseNotRenewedError
from informer.leaderelection.health import LeaderHealthCheck
from informer.leaderelection.lease_clock import LeaseClock
from informer.leaderelection.lease_lock import LeaseLock, resource_lock
from informer.leaderelection.lock import ResourceLock
from informer.leaderelection.metrics import ElectionMetrics, ElectionStats, MetricsProvider, set_metrics_provider

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
    "ResourceLock",
    "resource_lock",
    "set_metrics_provider",
]
