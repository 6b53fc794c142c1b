"""What runs in this process, informers first of all: stopped before the interpreter tears its modules down, dead in a child."""

from __future__ import annotations

import atexit
import time
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from watch.concurrency import Lock, in_forked_child

__all__ = ["informers", "register"]

# All together may delay the interpreter's exit by so many seconds.
_EXIT_TIMEOUT = 1.0


class _Stoppable(Protocol):
    def stop(self, timeout: float = ..., *, drain: bool = ...) -> bool: ...

    def die_in_child(self) -> None:
        """Makes every use fail at once: the threads exist only in the parent."""
        ...

    def begin_stop(self) -> None: ...


# In the order in which they have started, and whether they are informers.
_live: WeakKeyDictionary[_Stoppable, bool] = WeakKeyDictionary()
_lock = Lock()


def register(started: _Stoppable, *, is_informer: bool = True) -> None:
    """Takes in what has started: an informer, or what else has to end with the program."""
    with _lock:
        _live[started] = is_informer


def informers() -> list[Any]:
    """The informers that were started in this process and are still referred to, stopped ones too; the oldest first."""
    with _lock:
        return [each for each, is_informer in _live.items() if is_informer]


def _stop_all() -> None:
    with _lock:
        started = list(_live)
    for each in started:
        each.begin_stop()
    deadline = time.monotonic() + _EXIT_TIMEOUT
    for each in started:
        each.stop(max(0.0, deadline - time.monotonic()))


@in_forked_child
def _die_in_child() -> None:
    global _lock  # noqa: PLW0603
    # Another thread of the parent may have held it at the fork.
    _lock = Lock()
    for each in list(_live):
        each.die_in_child()
    _live.clear()


atexit.register(_stop_all)
