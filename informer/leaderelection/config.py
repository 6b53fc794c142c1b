"""The validated options of an election."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from informer.arguments import check_function
from informer.leaderelection.lease_lock import ResourceLock
from watch.clock import Clock

__all__ = ["JITTER_FACTOR", "ElectionConfig"]

JITTER_FACTOR = 1.2
_LEAST_TIMEOUT = 1.0  # seconds
_ASYNC_REMEDY = "pass a plain function, such as one that calls asyncio.run"


@dataclass(frozen=True)
class ElectionConfig:
    """The options of a `LeaderElector`, which describes them. They are checked when the object is made.

    Raises:
        ValueError: the durations do not fit together, or the lock has no identity. The message says what is wrong.
        TypeError: the lock is None, or a callback is not callable, is async, or takes other arguments.

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
        # Each condition is negated as a whole, so that NaN fails it.
        if not lease > renew:
            raise ValueError(
                f"lease_duration must be greater than renew_deadline: with {lease:g} s and {renew:g} s another process could "
                "acquire the lease before this one has stopped leading"
            )
        if not renew > retry * JITTER_FACTOR:
            raise ValueError(
                f"renew_deadline must be greater than retry_period * {JITTER_FACTOR}: {renew:g} s leave no time for a second "
                f"try after {retry:g} s"
            )
        for name, seconds in (("lease_duration", lease), ("renew_deadline", renew), ("retry_period", retry)):
            if not seconds > 0:
                raise ValueError(f"{name} must be greater than zero, not {seconds:g}")
        check_function("on_started_leading", self.on_started_leading, 1, remedy=_ASYNC_REMEDY)
        check_function("on_stopped_leading", self.on_stopped_leading, 0)
        check_function("on_new_leader", self.on_new_leader, 1, or_none=True)
        lock: Any = self.lock
        if lock is None:
            raise TypeError("lock must not be None: pass a LeaseLock")
        if not lock.identity:
            raise ValueError("the lock's identity is empty: each process needs one of its own, such as its pod's name")

    @property
    def request_timeout(self) -> float:
        """The time-out of one request in seconds. It leaves time for a second request within the renew deadline."""
        return min(self.renew_deadline, max(_LEAST_TIMEOUT, self.renew_deadline / 2))
