"""Ends the periods of bounded logs between tests, so that an earlier test neither suppresses a line nor adds a summary."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from informer import rate_limited_log
from informer.rate_limited_log import RateLimit
from tests.support.waiting import DEADLINE

_limits: WeakSet[RateLimit] = WeakSet()


def remember_limits() -> None:
    """Has each limit that is made from now on be known to `forget_lines`."""
    original = RateLimit.__init__

    def remembering(self: RateLimit, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        _limits.add(self)

    RateLimit.__init__ = remembering  # type: ignore[method-assign]


def forget_lines() -> None:
    """Begins a new period for every message of every limit, without a summary; the thread of summaries has then ended."""
    thread = rate_limited_log._summaries._worker
    for limit in list(_limits):
        with limit._lock:
            limit._counts.clear()
        rate_limited_log._summaries.remove(limit)
    if thread is not None:
        assert thread.join(DEADLINE)
