"""The check that methods named `*_locked` are called with their lock held."""

from __future__ import annotations

from informer.workqueue import WorkQueue
from tests.support import locks


def test_a_call_without_the_lock_is_noticed(locked_methods: int) -> None:
    """The wrapper notes it; with the lock it notes nothing."""
    assert locked_methods > 50
    queue: WorkQueue[str] = WorkQueue()
    with queue._lock:
        queue._add_locked("a")
    assert locks.violations == []
    queue._is_idle_locked()
    assert locks.violations == ["WorkQueue._is_idle_locked was called without _lock"]
    locks.violations.clear()
