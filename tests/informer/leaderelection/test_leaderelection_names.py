"""What `informer.leaderelection` offers, and what importing it does not cost."""

from __future__ import annotations

import subprocess
import sys

import informer.leaderelection

NAMES = """
LeaderElector LeaseLock LeaseNotRenewedError LeaderHealthCheck
ResourceLock resource_lock LeaderElectionRecord LeaseClock
MetricsProvider ElectionMetrics ElectionStats set_metrics_provider
""".split()  # noqa: SIM905 - one name a line would be a page


def test_the_public_names_are_these() -> None:
    """Neither more nor fewer."""
    assert sorted(informer.leaderelection.__all__) == sorted(NAMES)
    assert all(hasattr(informer.leaderelection, name) for name in NAMES)


def test_importing_it_is_cheap() -> None:
    """Neither the official client nor asyncio nor a metrics library is loaded."""
    script = "import sys, informer.leaderelection; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert not {"kubernetes", "asyncio", "prometheus_client"} & set(done.stdout.split())
