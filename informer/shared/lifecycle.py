"""How an informer begins and ends: its threads, who may still join, and what a fork leaves of it.

Comes in: `start`, a stop from anywhere, and the end of the process. Goes out: threads that read and call handlers, until
there are none.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from informer.controller.controller import Controller
from informer.handlers.processor import Processor
from informer.process import register
from informer.shared.status import InformerState
from informer.thread_group import ThreadGroup
from watch.concurrency import RLock, Worker, on_set

__all__ = ["InformerLife", "Member"]

_log = logging.getLogger(__name__)


class Member(Protocol):
    """One who has a thread of its own while the informer runs."""

    def start(self, thread_group: ThreadGroup) -> None:
        """Starts the thread."""
        ...


class InformerLife(InformerState):
    """The part of a `SharedInformer` that starts and stops it.

    Args:
        name: for messages and thread names.
        processor: has the listeners, which are closed at the end.
    """

    def __init__(self, name: str, processor: Processor) -> None:
        super().__init__(name)
        self._processor = processor
        self._thread_group = ThreadGroup()
        # The handler of a signal may stop what this very thread has begun to start.
        self._lock = RLock()
        self._members: dict[Member, None] = {}  # guarded by _lock, as are the next two
        self._reader: Worker | None = None
        self._stopping = False
        self.failure: BaseException | None = None
        """What has ended its reading; None where nothing did but a stop."""
        self._stop_called = False

    def start(self) -> None:
        """Starts listing and watching on a thread of its own.

        Raises:
            RuntimeError: it has started or stopped before.
        """
        self._check_forked()
        fresh = False
        try:
            with self._lock:
                self._check_fresh()
                fresh = True
                self._controller = self._make_controller()
                self._processor.start()
                register(self)
                for member in self._members:
                    member.start(self._thread_group)
                self._reader = self._thread_group.start(self._read, f"informer-{self.name}")
        # The system has no more threads, or Ctrl-C came meanwhile: what was started ends.
        except BaseException:
            if fresh:
                self.begin_stop()
            raise

    def run(self, stop: threading.Event) -> None:
        """Starts, waits until `stop` is set or `stop()` is called, and returns when its threads have ended.

        Raises:
            RuntimeError: it has started or stopped before.
            TypeError: `stop` is no `threading.Event`.
        """
        if not isinstance(stop, threading.Event):
            raise TypeError(f"stop must be a threading.Event, not a {type(stop).__name__}")
        self.start()
        try:
            withdraw = on_set(stop, self.begin_stop)
            try:
                self._stop.wait()
            finally:
                withdraw()
            self._thread_group.join(None)
        finally:
            # There is something left to do only where Ctrl-C or the like has interrupted the waiting.
            self.begin_stop()
            self._thread_group.join(1.0)

    def stop(self, timeout: float | None = 1.0, *, drain: bool = False) -> bool:
        """Ends everything: connections at once, handlers after the call they are in. Idempotent, from any thread.

        Args:
            timeout: wait at most so many seconds for the threads to end; None waits without limit.
            drain: let the handlers have what waits for them, instead of dropping it.

        Returns:
            Whether every thread has ended; False too on a thread of this informer's, which it cannot wait for.
        """
        if self._forked:
            return True
        self._stop_called = True
        self.begin_stop(drain=drain)
        ended = self._thread_group.join(timeout)
        if drain and not ended and not self._thread_group.owns_current:
            # The reader hangs in a user's function: what it would still bring is not waited for.
            self._processor.close(drain=True)
        return ended

    def begin_stop(self, *, drain: bool = False) -> None:
        """`stop` without waiting."""
        if self._forked:
            return
        with self._lock:
            self._stopping = True
            controller, reader = self._controller, self._reader
        if not drain or reader is None or not reader.is_alive:
            # Otherwise the reader closes them when it has given out its last batch.
            self._processor.close(drain=drain)
        self._waiters.close()
        self._thread_group.close()
        self._stop.set()
        if controller is not None:
            controller.stop()

    def is_stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopping

    @property
    def has_died(self) -> bool:
        """Whether its reading has ended with an error, and nobody has called `stop`: its cache is current no more."""
        return self.failure is not None and not self._stop_called

    def on_end(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called once when it has stopped and its last thread is at its end; it must not block.

        Returns:
            A function that withdraws it.
        """
        self._check_forked()
        return self._thread_group.ended.subscribe(callback)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def die_in_child(self) -> None:
        """Called in a forked child: its threads are the parent's.

        The locks may have been held by these, so that from now on none is taken: whatever would is refused, or does nothing.
        Only a handler that has forked goes on, and its thread is counted when it ends.
        """
        self._forked = True
        self._thread_group.renew_lock()
        for listener in self._processor.listeners():
            listener.die(self._forked_error)

    def _enroll(self, member: Member) -> bool:
        """Takes a member in, whose thread starts now or with the others; False when it is too late."""
        with self._lock:
            if self._stopping:
                return False
            if self._reader is not None:
                member.start(self._thread_group)
            self._members[member] = None
            return True

    def _dismiss(self, member: Member) -> bool:
        """Forgets a member, whose thread must be told by others; False when it was none."""
        with self._lock:
            if member not in self._members:
                return False
            del self._members[member]
            return True

    def _all_members(self) -> Sequence[Member]:
        with self._lock:
            return [*self._members]

    def _make_controller(self) -> Controller:
        raise NotImplementedError

    def _read(self) -> None:
        try:
            if self._controller is not None:
                self._controller.run(self._stop)
        except BaseException as error:
            self.failure = error
            _log.exception("informer %s ended with an error", self.name)
        finally:
            # Where somebody else stops it, he may hold the lock until this thread has ended.
            if not self._stopping:
                self.begin_stop(drain=True)
            self._processor.close(drain=True)

    def _check_fresh(self) -> None:
        self._check_not_stopped(f"informer {self.name} has stopped: make a new one")
        self._check_not_started()
