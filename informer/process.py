"""What concerns the whole process: the registry of what runs in it, stopping on a signal, and values that are set once."""

from __future__ import annotations

import atexit
import signal
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from watch.concurrency import Lock, Signal, Worker, in_forked_child

if TYPE_CHECKING:
    import asyncio
    from asyncio import AbstractEventLoop

__all__ = ["SetOnce", "async_stop_on_signals", "informers", "register", "stop_on_signals"]

# Seconds by which the interpreter's exit may be delayed, for everything together.
_EXIT_TIMEOUT = 1.0


class _Stoppable(Protocol):
    """What the registry holds."""

    def stop(self, timeout: float = ..., *, drain: bool = ...) -> bool: ...

    def begin_stop(self) -> None: ...

    def die_in_child(self) -> None:
        """Called in a forked child, which has none of the object's threads: makes every use of it fail."""
        ...


# What was started in this process, oldest first, and whether it is an informer. Guarded by _lock.
_live: WeakKeyDictionary[_Stoppable, bool] = WeakKeyDictionary()
_lock = Lock()


def register(started: _Stoppable, *, is_informer: bool = True) -> None:
    """Registers what was started, so that it is stopped at the interpreter's exit and unusable in a forked child."""
    with _lock:
        _live[started] = is_informer


def informers() -> list[Any]:
    """Returns the informers that were started in this process and are still referenced, the oldest first.

    Stopped informers are included.
    """
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
    for each in list(_live):
        each.die_in_child()
    _live.clear()


atexit.register(_stop_all)

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


class _StopOnce:
    """A signal handler that sets an event at the first signal, and restores the previous signal handlers."""

    def __init__(self) -> None:
        self.event = Signal()
        self._previous = {number: signal.getsignal(number) for number in _NUMBERS}
        for number in _NUMBERS:
            signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
        # A signal handler interrupts the main thread, which may hold the lock of this very event.
        Worker(self.event.set, "stop-on-signal").start()


def stop_on_signals() -> threading.Event:
    """Returns an event that is set by SIGTERM or SIGINT (Ctrl-C), for a program that should end cleanly.

        informer.run(stop_on_signals())

    The first signal sets the event and restores the previous signal handlers. A second signal therefore ends the process
    as it would have without this function.

    Returns:
        The event, for `SharedInformer.run(stop)` and everything else that takes a stop event. Until a signal comes, every
        call returns the same event.

    Raises:
        ValueError: this is not the main thread, the only one that may set signal handlers.

    Source: sigs.k8s.io/controller-runtime SetupSignalHandler.
    """
    first, second = (signal.getsignal(number) for number in _NUMBERS)
    both = first if second is first else None
    return both.event if isinstance(both, _StopOnce) else _StopOnce().event


# The event of each loop whose signals have not come. Used on the main thread only.
_events: WeakKeyDictionary[AbstractEventLoop, asyncio.Event] = WeakKeyDictionary()


def async_stop_on_signals() -> asyncio.Event:
    """Returns an asyncio event that is set by SIGTERM or SIGINT (Ctrl-C): `stop_on_signals` for a running event loop.

        stop = async_stop_on_signals()
        async with informer.aio:
            await stop.wait()

    The first signal sets the event and restores the previous signal handlers. A second signal therefore ends the program as
    it would have without this function.

    Returns:
        The event. Until a signal comes, every call on the same loop returns the same event.

    Raises:
        RuntimeError: no event loop is running.
        ValueError: this is not the main thread, the only one that may set signal handlers.
        NotImplementedError: the event loop does not support signals, as on Windows.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    known = _events.get(loop)
    if known is not None:
        return known
    if threading.current_thread() is not threading.main_thread():
        raise ValueError("signal handlers can be set on the main thread only: call async_stop_on_signals there")
    event = asyncio.Event()
    previous = {number: signal.getsignal(number) for number in _NUMBERS}

    def set_once() -> None:
        _events.pop(loop, None)
        for number, handler in previous.items():
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        event.set()

    for number in _NUMBERS:
        loop.add_signal_handler(number, set_once)
    _events[loop] = event
    return event


T = TypeVar("T")


class SetOnce(Generic[T]):
    """A value that is set at most once, such as a metrics provider.

    Attributes:
        value: the value; None before it is set.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.value: T | None = None  # set once; guarded by _lock

    def set(self, value: T) -> None:
        """Sets the value; does nothing if one is set already."""
        with self._lock:
            if self.value is None:
                self.value = value
