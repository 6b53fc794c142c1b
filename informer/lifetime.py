"""The informers of this process: stopped before the interpreter tears its modules down, dead in a forked child."""

from __future__ import annotations

import atexit
import os
import time
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from watch.concurrency import Lock

__all__ = ["informers", "register"]

# All informers together may delay the interpreter's exit by so many seconds.
_EXIT_TIMEOUT = 1.0


class _Stoppable(Protocol):
    def stop(self, timeout: float = ..., *, drain: bool = ...) -> bool: ...

    def die_in_child(self) -> None:
        """Makes every use fail at once: the threads exist only in the parent."""
        ...

    def begin_stop(self) -> None: ...


_live: WeakKeyDictionary[_Stoppable, None] = WeakKeyDictionary()  # in the order in which they have started
_lock = Lock()


def register(informer: _Stoppable) -> None:
    """Takes an informer in that has started."""
    with _lock:
        _live[informer] = None


def informers() -> list[Any]:
    """The informers that were started in this process and are still referred to, stopped ones too; the oldest first."""
    with _lock:
        return list(_live)


def _stop_all() -> None:
    with _lock:
        informers = list(_live)
    for informer in informers:
        informer.begin_stop()
    deadline = time.monotonic() + _EXIT_TIMEOUT
    for informer in informers:
        informer.stop(max(0.0, deadline - time.monotonic()))


def _die_in_child() -> None:
    global _lock  # noqa: PLW0603
    # Another thread of the parent may have held it at the fork.
    _lock = Lock()
    for informer in list(_live):
        informer.die_in_child()
    _live.clear()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_die_in_child)
