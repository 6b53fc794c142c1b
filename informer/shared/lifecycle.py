"""Starts and stops an informer's threads, and keeps a forked child from using them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from informer.controller.controller import Controller
from informer.errors import InformerForkedError
from informer.handlers.processor import Processor
from informer.shared.waiting import Waiters
from informer.thread_group import ThreadGroup
from watch.concurrency import OwnerProcess, RLock, Signal, Worker, on_set
from watch.logs import get_logger

__all__ = ["Lifecycle", "Member"]

_log = get_logger(__name__)


class Member(Protocol):
    """A handler, as the lifecycle sees it: it has a thread of its own while the informer runs."""

    def start(self, thread_group: ThreadGroup) -> None:
        """Starts the thread in the group."""
        ...


class Lifecycle:
    """The lifecycle of one informer: fresh, started, stopped. It never goes back.

    `start` makes the controller, starts the members' threads, and starts the reader thread, which runs the controller.
    `begin_stop` ends all of them; `stop` also waits. If the controller's run raises, the reader thread stops the rest and
    keeps the exception in `failure`.

    Args:
        name: the informer's, for messages and thread names.
        processor: has the listeners, which are closed at the stop.
        waiters: closed at the stop, so that every wait ends.
        make_controller: called by `start`, before any thread runs.
        on_start: called by `start` once the controller exists, before any thread runs.
        on_last_batch: called on the reader thread when it ends, and the listeners get nothing more.

    Attributes:
        failure: the exception that ended the reader thread; None if there is none.
        stop_begun: set when the stop begins.

    Threads: any. After a fork only the parent can use a started informer: see `check_process`.
    """

    def __init__(
        self,
        name: str,
        processor: Processor,
        waiters: Waiters,
        *,
        make_controller: Callable[[], Controller],
        on_start: Callable[[], object],
        on_last_batch: Callable[[], object],
    ) -> None:
        self.failure: BaseException | None = None
        self._name = name
        self._processor = processor
        self._waiters = waiters
        self._make_controller = make_controller
        self._on_start = on_start
        self._on_last_batch = on_last_batch
        self._thread_group = ThreadGroup()
        # Reentrant: a signal handler may stop the informer while the thread that it interrupts is in `start`.
        self._lock = RLock()
        self._members: dict[Member, None] = {}  # guarded by _lock, as are the next four
        self._controller: Controller | None = None  # set by `start`
        self._process: OwnerProcess | None = None  # the process that started it
        self._reader: Worker | None = None
        self._stopping = False
        self._stop_called = False
        self._stop = self.stop_begun = Signal()

    # Starting

    def start(self) -> None:
        """Starts the members' threads and the reader thread.

        Raises:
            RuntimeError: the informer has started or stopped before.
        """
        self.check_process()
        fresh = False
        try:
            with self._lock:
                self._check_fresh()
                fresh = True
                self._process = OwnerProcess()
                self._controller = self._make_controller()
                self._processor.start()
                self._on_start()
                for member in self._members:
                    member.start(self._thread_group)
                self._reader = self._thread_group.start(self._read, f"informer-{self._name}")
        # The system has no more threads, or Ctrl-C interrupted this: what was started has to end.
        except BaseException:
            if fresh:
                self.begin_stop()
            raise

    def run(self, stop: threading.Event) -> None:
        """Starts, and returns when `stop` is set or `stop()` was called and all threads have ended.

        Raises:
            RuntimeError: the informer has started or stopped before.
            TypeError: `stop` is not a `threading.Event`.
        """
        if not isinstance(stop, threading.Event):
            raise TypeError(f"stop must be a threading.Event, not a {type(stop).__name__}")
        self.start()
        _log.info(
            "informer %s runs until the stop event that run() was called with is set, or stop() is called", self._name
        )
        try:
            withdraw = on_set(stop, self.begin_stop)
            try:
                self._stop.wait()
            finally:
                withdraw()
            self._thread_group.join(None)
        finally:
            # Does something only where an exception such as KeyboardInterrupt ended the wait.
            self.begin_stop()
            self._thread_group.join(1.0)

    @contextmanager
    def before_start(self) -> Iterator[None]:
        """Holds off a concurrent `start` for the block.

        Raises:
            RuntimeError: the informer has started or stopped already.
        """
        self.check_process()
        with self._lock:
            self._check_fresh()
            yield

    # Stopping

    def stop(self, timeout: float | None = 1.0, *, drain: bool = False) -> bool:
        """Stops the informer and waits for its threads (see `SharedInformer.stop`)."""
        if self.is_forked:
            return True
        self._stop_called = True
        self.begin_stop(drain=drain)
        ended = self._thread_group.join(timeout)
        if drain and not ended and not self._thread_group.owns_current:
            # The reader thread hangs in a user's function: handlers do not wait for what it would still bring.
            self._processor.close(drain=True)
        return ended

    def begin_stop(self, *, drain: bool = False) -> None:
        """Stops the informer without waiting. Idempotent."""
        if self.is_forked:
            return
        with self._lock:
            self._stopping = True
            controller, reader = self._controller, self._reader
        if not drain or reader is None or not reader.is_alive:
            # Otherwise the reader thread closes the listeners behind its last batch.
            self._processor.close(drain=drain)
        self._waiters.close()
        self._thread_group.close()
        self._stop.set()
        if controller is not None:
            controller.stop()

    def on_end(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called once, when the informer has stopped and its last thread ends; it must not block.

        Returns:
            A function that withdraws the callback.
        """
        self.check_process()
        return self._thread_group.ended.subscribe(callback)

    # State

    @property
    def controller(self) -> Controller | None:
        """The controller; None before the start.

        Raises:
            InformerForkedError: this is a forked child of the process that started the informer.
        """
        self.check_process()
        return self._controller

    @property
    def is_started(self) -> bool:
        """Whether `start` was called."""
        return self._controller is not None

    @property
    def is_stopped(self) -> bool:
        """Whether the stop has begun."""
        return self._stopping

    @property
    def has_died(self) -> bool:
        """Whether the reader thread ended with an exception before `stop` was called: the cache is stale."""
        return self.failure is not None and not self._stop_called

    @property
    def is_forked(self) -> bool:
        """Whether this is a forked child of the process that started the informer."""
        return self._process is not None and not self._process.is_current

    def check_process(self) -> None:
        """Refuses a forked child, which has neither the informer's threads nor its connections.

        Raises:
            InformerForkedError: this is a forked child of the process that started the informer.
        """
        if self.is_forked:
            raise self.forked_error()

    def forked_error(self) -> InformerForkedError:
        """Returns the error that `check_process` raises."""
        return InformerForkedError(
            f"informer {self._name} was started before this process was forked: start one in the child instead"
        )

    def end_in_child(self) -> None:
        """Ends the reading if this is the thread of a forked child that was the parent's reader thread."""
        if self.is_forked and self._controller is not None:
            self._controller.stop()

    def check_not_stopped(self, message: str) -> None:
        """Raises a RuntimeError with the message if the stop has begun."""
        if self._stopping:
            raise RuntimeError(message)

    # Members

    def add_member(self, member: Member) -> bool:
        """Adds a member, whose thread starts at once if the informer runs; returns False after the stop."""
        with self._lock:
            if self._stopping:
                return False
            if self._reader is not None:
                member.start(self._thread_group)
            self._members[member] = None
            return True

    def remove_member(self, member: Member) -> bool:
        """Removes a member, whose thread the caller has to end; returns whether it was there."""
        with self._lock:
            if member not in self._members:
                return False
            del self._members[member]
            return True

    @property
    def members(self) -> list[Member]:
        """The members, in the order in which they were added."""
        self.check_process()
        with self._lock:
            return [*self._members]

    # The reader thread

    def _read(self) -> None:
        try:
            if self._controller is not None:
                self._controller.run(self._stop)
        except BaseException as error:
            self.failure = error
            _log.exception("informer %s stopped because its reader thread failed", self._name)
        finally:
            # If another thread has begun the stop, it may hold `_lock` while it joins this one.
            if not self._stopping:
                self.begin_stop(drain=True)
            self._processor.close(drain=True)
            self._on_last_batch()

    def _check_fresh(self) -> None:
        self.check_not_stopped(f"informer {self._name} has stopped: make a new one")
        if self.is_started:
            raise RuntimeError(f"informer {self._name} has already started")
