"""Ending a program on SIGTERM and SIGINT."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from watch.concurrency import Signal, Worker

__all__ = ["stop_on_signals"]

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
