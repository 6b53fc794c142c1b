"""Threads, locks and stop signals: the only module that imports them from `threading`.

- `Lock`, `RLock` and `Monitor` (a condition) guard state.
- `Signal` is a `threading.Event` with callbacks; `Latch` is an event that is never cleared.
- `Worker` is a daemon thread that logs the exception which ends it.
- `on_set` calls back when any stop event is set.
- `in_forked_child` and `OwnerProcess` are for objects that have to know about forks.

Forks: only the thread that forks lives on in a child. A lock that another thread holds at that moment would stay locked
there for ever. Every lock, monitor, signal and latch made here is therefore unlocked in the child, before any function
registered with `in_forked_child` runs. An `RLock` that the forking thread itself holds stays held. A plain `Lock` does
not know its owner: do not fork while holding one.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from watch.logs import get_logger

__all__ = [
    "Latch",
    "Lock",
    "Monitor",
    "OwnerProcess",
    "RLock",
    "Signal",
    "ThreadLocal",
    "Worker",
    "current_thread_id",
    "in_forked_child",
    "join_all",
    "on_set",
]

_log = get_logger(__name__)

ThreadLocal = threading.local

current_thread_id = threading.get_ident

# Weak references to everything that is unlocked in a forked child. A set needs no lock of its own: each operation on it
# is one step for other threads, and for a fork.
_locks: set[weakref.ref[Any]] = set()
_forget = _locks.discard  # called with a reference whose object has gone
_child_functions: list[Callable[[], object]] = []  # in the order in which a child calls them


def _unlock_in_child(lock: Any) -> None:
    """Remembers, weakly, a lock or another object with a `_at_fork_reinit` method."""
    _locks.add(weakref.ref(lock, _forget))


if TYPE_CHECKING:
    Lock = threading.Lock
    RLock = threading.RLock
else:

    def Lock() -> threading.Lock:  # noqa: N802 - seen as the class that it makes
        """Returns a new `threading.Lock`, which is unlocked in a forked child."""
        lock = threading.Lock()
        _locks.add(weakref.ref(lock, _forget))
        return lock

    def RLock() -> threading.RLock:  # noqa: N802 - seen as the class that it makes
        """Returns a new `threading.RLock`, which is unlocked in a forked child, unless the forking thread holds it."""
        lock = threading.RLock()
        _locks.add(weakref.ref(lock, _forget))
        return lock


class Monitor(threading.Condition):
    """A condition on a plain lock: `with monitor: monitor.wait_for(predicate, timeout)`.

    Args:
        lock: the lock to use, for several conditions on one lock, or for an `RLock`; None makes a plain lock.
    """

    def __init__(self, lock: Lock | RLock | None = None) -> None:
        super().__init__(threading.Lock() if lock is None else lock)
        _unlock_in_child(self)

    def _at_fork_reinit(self) -> None:
        _unlock(self._lock)  # type: ignore[attr-defined]
        # The threads that waited exist only in the parent: a notification must not be spent on them.
        self._waiters.clear()  # type: ignore[attr-defined]


class Signal(threading.Event):
    """A stop event that also calls back, so that no thread has to wait for it."""

    # Seconds after which a wait on the main thread lets the handlers of signals run.
    _MAIN_THREAD_WAIT = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._callbacks_lock = threading.Lock()
        # One token per subscription, since two may have the same function; guarded by _callbacks_lock.
        self._callbacks: dict[object, Callable[[], object]] = {}
        _unlock_in_child(self)

    def set(self) -> None:
        """Sets the event, then calls every subscriber once, on this thread."""
        super().set()
        with self._callbacks_lock:
            callbacks, self._callbacks = self._callbacks, {}
        for callback in callbacks.values():
            _call(callback)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) until the event is set; returns whether it is.

        A wait on the main thread wakes once per second, and Python runs the handlers of signals then. Otherwise a signal
        that came just before the wait would be handled after it (https://github.com/python/cpython/issues/85300).
        """
        if threading.current_thread() is not threading.main_thread():
            return super().wait(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = self._MAIN_THREAD_WAIT
            if deadline is not None:
                left = min(left, deadline - time.monotonic())
            if super().wait(left):
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Calls `callback` once the event is set, or at once when it is set already.

        Returns:
            A function that withdraws the subscription.
        """
        token = object()
        with self._callbacks_lock:
            if not self.is_set():
                self._callbacks[token] = callback
                return lambda: self._unsubscribe(token)
        _call(callback)
        return _do_nothing

    def _unsubscribe(self, token: object) -> None:
        with self._callbacks_lock:
            self._callbacks.pop(token, None)

    def _at_fork_reinit(self) -> None:
        super()._at_fork_reinit()  # type: ignore[misc]
        _unlock(self._callbacks_lock)


class Latch:
    """An event that is opened once and stays open: threads wait for it, and no wait blocks from then on."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()
        _unlock_in_child(self._event)

    def open(self) -> None:
        """Opens the latch and wakes every waiting thread. A second call does nothing."""
        self._event.set()

    @property
    def is_open(self) -> bool:
        """Whether `open` was called."""
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit); returns whether the latch is open."""
        return self._event.wait(timeout)


class Worker:
    """A daemon thread that runs one function.

    Args:
        target: called without arguments; an exception that it raises is logged.
        name: the thread's name, as seen in logs and debuggers.
    """

    def __init__(self, target: Callable[[], object], name: str) -> None:
        self._target = target
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._parent: Worker | None = getattr(_here, "worker", None)  # the worker on whose thread this one was made

    def start(self) -> Worker:
        """Starts the thread and returns the worker."""
        self._thread.start()
        return self

    def join(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) for the thread to end; returns whether it is not running.

        On the worker's own thread it returns False at once.
        """
        if self.is_current:
            return False
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread.is_alive()

    @property
    def has_ended(self) -> bool:
        """Whether the thread was started and has ended."""
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
        # SystemExit too: in a thread Python ends the thread without a word.
        except BaseException:
            _log.exception("thread %s ended with an error", self._thread.name)
        finally:
            # Otherwise a chain of workers, each made by the one before, would keep all of them alive.
            self._parent = None


_here = ThreadLocal()  # `_here.worker` is the worker whose thread this is


def join_all(workers: Iterable[Worker], timeout: float | None) -> bool:
    """Waits for several workers together, at most `timeout` seconds (None: without limit); returns whether all ended."""
    deadline = None if timeout is None else time.monotonic() + timeout
    ended = True
    for worker in workers:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ended = worker.join(left) and ended
    return ended


def on_set(event: threading.Event, callback: Callable[[], object]) -> Callable[[], None]:
    """Calls `callback` once `event` is set.

    A `Signal` calls back by itself. A plain `threading.Event` cannot, so one thread of the process watches all of them,
    for as long as there are any.

    Args:
        event: the event to watch.
        callback: called on the thread that sets a `Signal`, or on the watching thread. An exception is logged.

    Returns:
        A function that withdraws the callback.

    Threads: does not block.
    """
    if isinstance(event, Signal):
        return event.subscribe(callback)
    if event.is_set():
        _call(callback)
        return _do_nothing
    return _event_watcher.add(event, callback)


class _EventWatcher:
    """Watches plain events on one thread, which ends when there is nothing to watch.

    The thread waits on the oldest event, and looks at all of them every `_PERIOD` seconds.
    """

    _PERIOD = 0.05

    def __init__(self) -> None:
        self._lock = Lock()
        # By the event's id; inside by one token per callback. Guarded by _lock.
        self._watched: dict[int, tuple[threading.Event, dict[object, Callable[[], object]]]] = {}
        self._thread: threading.Thread | None = None  # guarded by _lock

    def add(self, event: threading.Event, callback: Callable[[], object]) -> Callable[[], None]:
        token = object()
        with self._lock:
            self._watched.setdefault(id(event), (event, {}))[1][token] = callback
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch-stop-events", daemon=True)
                self._thread.start()
        return lambda: self._remove(event, token)

    def begin_in_child(self) -> None:
        """Forgets the parent's events and thread."""
        self._watched.clear()
        self._thread = None

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
            due: list[Callable[[], object]] = []
            with self._lock:
                for event in events:
                    if event.is_set():
                        due += self._watched.pop(id(event), (event, {}))[1].values()
            for callback in due:
                _call(callback)


def _call(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception:
        _log.exception("a callback of a stop event failed")


def _do_nothing() -> None:
    return None


class OwnerProcess:
    """Remembers the process in which an object was made, to tell a forked child's copy of it.

    An object with threads or connections keeps one. Its methods then raise where `is_current` is False: in a child the
    threads do not exist, and the connections are the parent's.
    """

    __slots__ = ("_id",)

    def __init__(self) -> None:
        self._id = os.getpid()

    @property
    def is_current(self) -> bool:
        """Whether the calling process is the one in which this was made."""
        return self._id == os.getpid()


def in_forked_child(function: Callable[[], None]) -> Callable[[], None]:
    """A decorator that has a function called in every child forked from this process.

    The functions run in the order of registration, when every lock of this module is unlocked. An exception is logged,
    and the next function runs. They serve caches and registries that belong to the parent; locks need no function.
    """
    _child_functions.append(function)
    return function


def _unlock(lock: Any) -> None:
    # The forking thread still has to release an RLock of its own. A plain lock does not know its owner.
    if not isinstance(lock, _RLOCK_TYPE) or not lock._is_owned():  # type: ignore[attr-defined] # noqa: SLF001
        lock._at_fork_reinit()  # noqa: SLF001 - the only way


_RLOCK_TYPE = type(threading.RLock())


def _begin_in_child() -> None:
    for reference in list(_locks):
        lock = reference()
        if lock is not None:
            _unlock(lock)
    for function in _child_functions:
        try:
            function()
        except Exception:
            _log.exception("a function to be called in a forked child failed: %s", function)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)

_event_watcher = _EventWatcher()
in_forked_child(_event_watcher.begin_in_child)
