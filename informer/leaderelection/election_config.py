"""What an election is run with, checked before anything starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from informer.arguments import check_callable
from informer.leaderelection.lock import ResourceLock
from watch.clock import Clock

__all__ = ["JITTER_FACTOR", "ElectionConfig"]

JITTER_FACTOR = 1.2
_LEAST_TIMEOUT = 1.0


@dataclass(frozen=True)
class ElectionConfig:
    """The arguments of a `LeaderElector`; see there.

    Raises:
        ValueError: the times do not go together, or the lock has no identity; the message says what is wrong.
        TypeError: there is no lock, or a function cannot be called.

    Source: client-go tools/leaderelection NewLeaderElector.
    """

    lock: ResourceLock
    lease_duration: float
    renew_deadline: float
    retry_period: float
    on_started_leading: Callable[[threading.Event], object]
    on_stopped_leading: Callable[[], object]
    on_new_leader: Callable[[str], object] | None
    release_on_cancel: bool
    clock: Clock
    jitter: Callable[[], float]

    def __post_init__(self) -> None:
        lease, renew, retry = self.lease_duration, self.renew_deadline, self.retry_period
        # Written so that what is not a number passes none of them.
        if not lease > renew:
            raise ValueError(
                f"lease_duration must be greater than renew_deadline: {lease:g} s is not more than {renew:g} s, so the lease "
                "could be another's before this process had stopped"
            )
        if not renew > retry * JITTER_FACTOR:
            raise ValueError(
                f"renew_deadline must be greater than retry_period * {JITTER_FACTOR}: in {renew:g} s there is no time for "
                f"a second try after {retry:g} s"
            )
        for name, seconds in (("lease_duration", lease), ("renew_deadline", renew), ("retry_period", retry)):
            if not seconds > 0:
                raise ValueError(f"{name} must be greater than zero, and is {seconds:g}")
        check_callable("on_started_leading", self.on_started_leading)
        check_callable("on_stopped_leading", self.on_stopped_leading)
        check_callable("on_new_leader", self.on_new_leader, or_none=True)
        lock: Any = self.lock
        if lock is None:
            raise TypeError("lock must not be None: it is a LeaseLock, or something like it")
        if not lock.identity:
            raise ValueError("the lock's identity is empty: each process needs one of its own, such as its pod's name")

    @property
    def request_timeout(self) -> float:
        """Seconds for one request: after one that hangs there is time for another."""
        return min(self.renew_deadline, max(_LEAST_TIMEOUT, self.renew_deadline / 2))
