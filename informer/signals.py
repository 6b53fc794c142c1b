"""Ending a program on SIGTERM and SIGINT."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from watch.concurrency import Signal, Worker

__all__ = ["stop_on_signals"]


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM or SIGINT (Ctrl-C) sets; a second signal ends the process as if nobody had asked.

    Returns:
        The event, for `SharedInformer.run(stop)` and everything else that takes a stop event.

    Raises:
        ValueError: not called on the main thread, the only one that may set signal handlers.

    Source: sigs.k8s.io/controller-runtime SetupSignalHandler.
    """
    stop = Signal()
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_signal(number: int, frame: FrameType | None) -> None:
        for each, handler in previous.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
        # A handler runs between two instructions of the main thread, which may hold the lock of the very event.
        Worker(stop.set, "stop-on-signal").start()

    for number in previous:
        signal.signal(number, on_signal)
    return stop
