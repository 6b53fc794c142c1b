"""What belongs to the whole process: what runs in it, the end on a signal, and values that are set once."""

from __future__ import annotations

import atexit
import signal
import threading
import time
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from watch.concurrency import Lock, Signal, Worker, in_forked_child

__all__ = ["SetOnce", "informers", "register", "stop_on_signals"]

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

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


class _StopOnce:
    """A signal handler that sets an event and gives the signals back to those who had them before."""

    def __init__(self) -> None:
        self.event = Signal()
        self._previous = {number: signal.getsignal(number) for number in _NUMBERS}
        for number in _NUMBERS:
            signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
        # A handler runs between two instructions of the main thread, which may hold the lock of the very event.
        Worker(self.event.set, "stop-on-signal").start()


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM or SIGINT (Ctrl-C) sets; a second signal ends the process as if nobody had asked.

    Returns:
        The event, for `SharedInformer.run(stop)` and everything else that takes a stop event; until a signal comes the
        same one at each call.

    Raises:
        ValueError: not called on the main thread, the only one that may set signal handlers.

    Source: sigs.k8s.io/controller-runtime SetupSignalHandler.
    """
    first, second = (signal.getsignal(number) for number in _NUMBERS)
    both = first if second is first else None
    return both.event if isinstance(both, _StopOnce) else _StopOnce().event


T = TypeVar("T")


class SetOnce(Generic[T]):
    """See the module.

    Attributes:
        value: what was set; None before.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.value: T | None = None  # set once; guarded by _lock

    def set(self, value: T) -> None:
        """Sets the value, unless there is one."""
        with self._lock:
            if self.value is None:
                self.value = value
