"""Threads, locks and stop signals: the one module that imports them from `threading`.

`Lock` and `Monitor` guard state, `Latch` is a one-way door, `Worker` a daemon thread that says what became of it,
`on_set` calls back when a stop event is set, `in_forked_child` in a child of this process. `Channel` stands on these in a
module of its own.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable

__all__ = [
    "Latch",
    "Lock",
    "Monitor",
    "RLock",
    "Signal",
    "ThreadLocal",
    "Worker",
    "current_thread_id",
    "in_forked_child",
    "join_all",
    "on_set",
]

_log = logging.getLogger(__name__)

Lock = threading.Lock
RLock = threading.RLock
ThreadLocal = threading.local

current_thread_id = threading.get_ident


class Monitor(threading.Condition):
    """A plain lock and the condition on it: `with monitor: monitor.wait_for(predicate, timeout)`.

    Args:
        lock: the condition's lock, where several conditions are on one; None: a lock of its own.
    """

    def __init__(self, lock: Lock | RLock | None = None) -> None:
        super().__init__(threading.Lock() if lock is None else lock)


class Signal(threading.Event):
    """A stop event that also calls back, so that no thread has to wait for it."""

    _LOOK_UP = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._callbacks_lock = threading.Lock()
        # By a token of each subscription, since two may have the same function; guarded by _callbacks_lock.
        self._callbacks: dict[object, Callable[[], object]] = {}

    def set(self) -> None:
        """Sets the event, then calls every subscriber once, on this thread."""
        super().set()
        with self._callbacks_lock:
            callbacks, self._callbacks = self._callbacks, {}
        for callback in callbacks.values():
            _call(callback)

    def wait(self, timeout: float | None = None) -> bool:
        """As every event's; on the main thread it also lets the handlers of signals run, at most a second late.

        Python calls them on that thread, between two steps of it. A signal that another thread was given, or that came
        just before the wait began, would otherwise be seen only when that is over (https://github.com/python/cpython/issues/85300).
        """
        if threading.current_thread() is not threading.main_thread():
            return super().wait(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = self._LOOK_UP if deadline is None else min(self._LOOK_UP, deadline - time.monotonic())
            if super().wait(left):
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Calls `callback` once the event is set (at once when it is); returns a function that withdraws it."""
        token = object()
        with self._callbacks_lock:
            if not self.is_set():
                self._callbacks[token] = callback
                return lambda: self._unsubscribe(token)
        _call(callback)
        return _nothing

    def _unsubscribe(self, token: object) -> None:
        with self._callbacks_lock:
            self._callbacks.pop(token, None)


class Latch:
    """A door that opens once and stays open."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        """Opens it; again is harmless."""
        self._event.set()

    @property
    def is_open(self) -> bool:
        """Whether it was opened."""
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit); returns whether it is open."""
        return self._event.wait(timeout)


class Worker:
    """A daemon thread that runs one function to its end.

    Args:
        target: called without arguments; what it raises is logged, never lost.
        name: the thread's name, seen in logs and debuggers.
    """

    def __init__(self, target: Callable[[], object], name: str) -> None:
        self._target = target
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._parent: Worker | None = getattr(_here, "worker", None)  # on whose thread this one was made

    def start(self) -> Worker:
        """Starts the thread and returns the worker itself."""
        self._thread.start()
        return self

    def join(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds; returns whether it has ended. From its own thread: False at once."""
        if self.is_current:
            return False
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._thread.is_alive()

    @property
    def has_ended(self) -> bool:
        """Whether it was started and has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is this worker's."""
        return self._thread is threading.current_thread()

    @property
    def owns_current(self) -> bool:
        """Whether the calling thread is this worker's, or that of a worker made on it, and so on."""
        worker: Worker | None = getattr(_here, "worker", None)
        while worker is not None and worker is not self:
            worker = worker._parent  # noqa: SLF001 - of this very class
        return worker is not None

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._thread.name

    def _run(self) -> None:
        _here.worker = self
        try:
            self._target()
        # SystemExit too: in a thread it ends nothing but the thread, and Python would say nothing of it.
        except BaseException:
            _log.exception("thread %s ended with an error", self._thread.name)
        finally:
            # A chain of workers that each made the next must not keep all of them.
            self._parent = None


_here = ThreadLocal()  # its `worker` is the one whose thread this is


def on_set(event: threading.Event, callback: Callable[[], object]) -> Callable[[], None]:
    """Calls `callback` once `event` is set; returns a function that withdraws it.

    A `Signal` calls back by itself. Any other event is watched by one thread for the whole process, which lives as
    long as there is something to watch: a plain event has no way to call back, and a thread an event would be worse.

    Threads: does not block; the callback runs on the setting thread (`Signal`) or on the watching one.
    """
    if isinstance(event, Signal):
        return event.subscribe(callback)
    if event.is_set():
        _call(callback)
        return _nothing
    return _waker.add(event, callback)


class _Waker:
    """Watches plain events. One event is waited on directly; several are looked at every `_PERIOD` seconds."""

    _PERIOD = 0.05

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By the event's id, and then by a token of each watch; guarded by _lock.
        self._watched: dict[int, tuple[threading.Event, dict[object, Callable[[], object]]]] = {}
        self._thread: threading.Thread | None = None  # guarded by _lock

    def add(self, event: threading.Event, callback: Callable[[], object]) -> Callable[[], None]:
        token = object()
        with self._lock:
            self._watched.setdefault(id(event), (event, {}))[1][token] = callback
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch-stop-waker", daemon=True)
                self._thread.start()
        return lambda: self._remove(event, token)

    def _remove(self, event: threading.Event, token: object) -> None:
        with self._lock:
            entry = self._watched.get(id(event))
            if entry is not None and entry[1].pop(token, None) is not None and not entry[1]:
                del self._watched[id(event)]

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                events = [event for event, _ in self._watched.values()]
            events[0].wait(self._PERIOD)
            fired: list[Callable[[], object]] = []
            with self._lock:
                for event in events:
                    if event.is_set():
                        fired += self._watched.pop(id(event), (event, {}))[1].values()
            for callback in fired:
                _call(callback)


def join_all(workers: Iterable[Worker], timeout: float | None) -> bool:
    """Waits at most `timeout` seconds (None: without limit) for all of them together; returns whether they have ended."""
    deadline = None if timeout is None else time.monotonic() + timeout
    ended = True
    for worker in workers:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ended = worker.join(left) and ended
    return ended


def in_forked_child(function: Callable[[], None]) -> Callable[[], None]:
    """A decorator: has a function called in every child that is forked from this process, where that can be forked.

    There, no other thread of the parent runs any more, and a lock that one of them held is held for ever.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function


def _call(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception:
        _log.exception("a stop callback failed")


def _nothing() -> None:
    return None


@in_forked_child
def _forget_waker() -> None:
    """A forked child has no waker thread and none of the parent's informers."""
    global _waker  # noqa: PLW0603
    _waker = _Waker()


_waker = _Waker()
