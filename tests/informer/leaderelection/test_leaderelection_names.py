"""The public names of `informer.leaderelection`, and the cost of importing it."""

from __future__ import annotations

import subprocess
import sys

import informer.leaderelection

NAMES = """
LeaderElector LeaseLock LeaseNotRenewedError LeaderHealthCheck NotLeadingError
ResourceLock resource_lock LeaderElectionRecord LeaseClock
MetricsProvider ElectionMetrics ElectionStats set_metrics_provider
""".split()  # noqa: SIM905 - one name per line would fill a page


def test_the_public_names_are_these() -> None:
    """No name is missing and none is added by accident."""
    assert sorted(informer.leaderelection.__all__) == sorted(NAMES)
    assert all(hasattr(informer.leaderelection, name) for name in NAMES)


def test_importing_it_loads_no_heavy_modules() -> None:
    """Neither the official client nor asyncio nor a metrics library."""
    script = "import sys, informer.leaderelection; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert not {"kubernetes", "asyncio", "prometheus_client"} & set(done.stdout.split())
