"""A fixture that starts electors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer.leaderelection import LeaderElector, LeaseLock
from watch.concurrency import Signal


@pytest.fixture
def start_elector(run: Callable[..., Any]) -> Iterator[Callable[..., LeaderElector]]:
    """Starts an elector; it has to end normally when the test is over."""
    cancel = Signal()

    def start(lock: LeaseLock, **options: Any) -> LeaderElector:
        elector = LeaderElector(
            lock,
            lease_duration=3,
            renew_deadline=2,
            retry_period=0.1,
            on_started_leading=lambda stop: stop.wait(),
            on_stopped_leading=lambda: None,
            **options,
        )
        run(elector.run, cancel)
        return elector

    yield start
    cancel.set()
