"""What the informers of one server share: turns for their requests, and what one of them has learnt about the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from watch.concurrency import Lock, in_forked_child

__all__ = ["Pacer", "pacer_for"]

# A server answers a watch of a few objects with about a millisecond of CPU time, and a priority level of its flow control
# has some tens of seats.
_QPS = 200.0
_BURST = 10


class Pacer:
    """A rate limiter that all informers of one server share: a short burst goes at once, then requests are evenly spaced.

    It matters when a factory starts many informers, or when a restarted server has cut every watch at the same moment. A lone
    informer never waits. Time is passed in.

    The informers also learn from each other. One that reaches the server again wakes those that wait after a failed connection.
    One that did not get the end bookmark of a watch list in time has the later ones use lists.

    Args:
        qps: requests per second.
        burst: requests that go at once after a quiet time.

    Threads: any; does not block. Each caller waits by itself.

    Source: client-go util/flowcontrol, which limits a client's requests (by default to 5 per second, 10 at once).
    """

    def __init__(self, *, qps: float = _QPS, burst: int = _BURST) -> None:
        self._interval = 1.0 / qps
        self._burst_seconds = (burst - 1) * self._interval
        self._lock = Lock()
        self._next = float("-inf")  # when the next request is due at an even rate; guarded by _lock
        self._waiting: dict[object, Callable[[], object]] = {}  # by subscription; guarded by _lock
        self.lacks_bookmarks = False
        """Whether the server, or a proxy before it, does not send the end bookmarks of watch lists."""

    def reserve(self, now: float) -> float:
        """Reserves the next request; returns the seconds to wait before it, 0.0 for at once.

        Args:
            now: seconds of a monotonic clock, the same for all callers.
        """
        with self._lock:
            due = max(now, self._next)
            self._next = due + self._interval
        return max(0.0, due - now - self._burst_seconds)

    def on_reached(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called when an informer reaches the server again; it must not block.

        Returns:
            A function that withdraws the callback.
        """
        token = object()
        with self._lock:
            self._waiting[token] = callback

        def withdraw() -> None:
            with self._lock:
                self._waiting.pop(token, None)

        return withdraw

    def reached(self) -> None:
        """Reports that the server has answered an informer which could not reach it before."""
        with self._lock:
            callbacks = list(self._waiting.values())
        for callback in callbacks:
            callback()


# A pacer lives as long as a reflector of its server refers to it; guarded by _lock.
_pacers: WeakValueDictionary[str, Pacer] = WeakValueDictionary()
_lock = Lock()


def pacer_for(server: Any) -> Pacer | None:
    """Returns the pacer of a server; None if the server is unknown.

    Args:
        server: a string that identifies the server. Any other value means that it is unknown.
    """
    if not isinstance(server, str):
        return None
    with _lock:
        pacer = _pacers.get(server)
        if pacer is None:
            pacer = _pacers[server] = Pacer()
        return pacer


in_forked_child(_pacers.clear)
