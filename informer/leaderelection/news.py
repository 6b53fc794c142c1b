"""Who leads now, told to the user's function one after the other on a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable

from watch.channel import Channel
from watch.concurrency import Worker
from watch.errors import ChannelClosedError

__all__ = ["News"]

_log = logging.getLogger(__name__)


class News:
    """See the module.

    Args:
        on_new_leader: called with each identity that is not the one before; None for nobody who wants to know.

    Threads: `tell` and `close` on one thread.
    """

    def __init__(self, on_new_leader: Callable[[str], object] | None) -> None:
        self._function = on_new_leader
        self._told = ""
        self._waiting: Channel[str] | None = None  # while there is a thread

    def tell(self, leader: str) -> None:
        """Reports a leader, unless it is the one that was reported last. Does not wait."""
        if leader == self._told:
            return
        self._told = leader
        if self._function is None:
            return
        if self._waiting is None:
            waiting = self._waiting = Channel[str](None)
            function = self._function
            Worker(lambda: _deliver(waiting, function), "leader-election-news").start()
        self._waiting.put(leader)

    def close(self) -> None:
        """Ends the thread once it has told all; more may be told afterwards, by another one."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.close()


def _deliver(waiting: Channel[str], function: Callable[[str], object]) -> None:
    while True:
        try:
            leader = waiting.get()
        except ChannelClosedError:
            return
        try:
            function(leader)
        # SystemExit too: it would end this thread and nothing else.
        except BaseException:
            _log.exception("on_new_leader failed")
