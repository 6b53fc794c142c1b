"""One after another: how the requests of many informers to one server are spread in time.

Comes in: a request that is due. Goes out: the seconds to wait before it. When a factory starts, or when a server that was
restarted has cut every watch at the same moment, the first few requests go at once and each further one a moment later. Whoever
is alone never waits.

Threads: any; each caller waits by itself.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

from watch.concurrency import Lock, in_forked_child

__all__ = ["Pace", "pace_of"]

# A server answers a watch of a few objects within a millisecond of its CPU; a priority level of its flow control has some
# tens of seats.
_PER_SECOND = 200.0
_AT_ONCE = 10


class Pace:
    """Gives out turns, evenly spaced where they are asked for faster than that. The time is passed in.

    Args:
        per_second: so many turns in a second.
        at_once: so many without a wait, after a time in which nobody asked.

    Source: client-go util/flowcontrol, which paces a client's requests (by default 5 a second, 10 at once).
    """

    def __init__(self, *, per_second: float = _PER_SECOND, at_once: int = _AT_ONCE) -> None:
        self._interval = 1.0 / per_second
        self._ahead = (at_once - 1) * self._interval
        self._lock = Lock()
        self._next = float("-inf")  # the even time of the next turn; guarded by _lock

    def turn(self, now: float) -> float:
        """Takes a turn; returns the seconds until it comes, 0.0 for at once.

        Args:
            now: seconds of a monotonic clock, the same for all.
        """
        with self._lock:
            even = max(now, self._next)
            self._next = even + self._interval
        return max(0.0, even - now - self._ahead)


# For as long as one of a server's reflectors lives; guarded by _lock.
_paces: WeakValueDictionary[str, Pace] = WeakValueDictionary()
_lock = Lock()


def pace_of(server: Any) -> Pace | None:
    """The pace of a server, which all that ask it share; None where nobody knows which it is.

    Args:
        server: what tells it from others, a string; of anything else nothing is known.
    """
    if not isinstance(server, str):
        return None
    with _lock:
        pace = _paces.get(server)
        if pace is None:
            pace = _paces[server] = Pace()
        return pace


@in_forked_child
def _forget_after_fork() -> None:
    """The lock may have been held when the child was made, and so may a pace's."""
    global _lock  # noqa: PLW0603
    _lock = Lock()
    _paces.clear()
