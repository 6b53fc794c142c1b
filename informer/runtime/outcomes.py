"""Counts what the reconciles of a controller led to."""

from __future__ import annotations

from watch.concurrency import Lock

__all__ = ["RESULTS", "Outcomes"]

RESULTS = ("success", "requeue_after", "error", "conflict", "held")
"""Returned None; returned seconds; raised; ended with a conflict and is repeated; waits for the caches to show its writes."""


class Outcomes:
    """The counters of one controller, for its metrics.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[str, int] = dict.fromkeys(RESULTS, 0)

    def count(self, result: str) -> None:
        """Counts one result, a name of `RESULTS`."""
        with self._lock:
            self._counts[result] += 1

    def totals(self) -> dict[str, int]:
        """Returns the number of each result."""
        with self._lock:
            return dict(self._counts)
