"""Replicas of a sharded program are killed, paused, stopped and added, as processes on a real API server.

It takes minutes, so it runs only if it is asked to: SHARD_CHAOS_MINUTES=10 python -m pytest tests/cluster/test_shard_chaos.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
MINUTES = os.environ.get("SHARD_CHAOS_MINUTES", "")


@pytest.mark.skipif(not MINUTES, reason="takes minutes: set SHARD_CHAOS_MINUTES")
@pytest.mark.timeout(0)
def test_each_shard_has_one_owner_and_soon_has_one() -> None:
    """The program fails if two replicas own a shard at once, or if one has no owner for longer than documented."""
    command = [sys.executable, "shard_chaos.py", "--minutes", MINUTES]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
