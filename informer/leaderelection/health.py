"""A liveness check that can be mounted before there is an elector."""

from __future__ import annotations

from typing import Protocol

__all__ = ["LeaderHealthCheck"]


class _Checked(Protocol):
    def check(self, tolerance: float = ...) -> None: ...


class LeaderHealthCheck:
    """Says whether a leader has given up when it had to.

    Args:
        tolerance: seconds that may pass after its lease has run out.

    Threads: any.

    Source: client-go tools/leaderelection HealthzAdaptor.
    """

    name = "leaderElection"

    def __init__(self, tolerance: float = 20.0) -> None:
        self._tolerance = tolerance
        self._elector: _Checked | None = None

    def set_elector(self, elector: _Checked) -> None:
        """Names the elector to check."""
        self._elector = elector

    def check(self) -> None:
        """Passes while there is no elector, and else as its `check` does.

        Raises:
            LeaseNotRenewedError: the process should be restarted.
        """
        elector = self._elector
        if elector is not None:
            elector.check(self._tolerance)
