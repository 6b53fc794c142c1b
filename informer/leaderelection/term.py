"""A term of leading, which a watchdog ends in time, and the leader's task that runs in it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from informer.arguments import describe_error, refuse_coroutine
from informer.leaderelection.clock import alarm_for
from watch.clock import Clock
from watch.concurrency import Lock, Signal, Worker
from watch.logs import get_logger

__all__ = ["LeaderTask", "Term"]

_log = get_logger(__name__)

_EXPIRED = "the lease has expired"


class Term:
    """One term of leading: it begins with the lease, and ends when its deadline has passed or when it is ended.

    The deadline is the end of the lease, or earlier where a renewal is due. A watchdog thread ends the term at the deadline.
    So leading ends in time even if a request hangs, the loop of renewals hangs, or the process was stopped for a while. A
    term that has ended never begins again.

    Args:
        clock: measures the term.
        lease_end: when the lease expires unless it is renewed, by the clock.

    Attributes:
        stop: set when the term has ended.

    Threads: all methods may be called from any thread.
    """

    def __init__(self, clock: Clock, lease_end: float) -> None:
        self.stop = Signal()
        self._clock = clock
        self._alarm = alarm_for(clock)
        self._lock = Lock()
        # All guarded by _lock. `is_active` and the watchdog read them without it: a deadline is only replaced before it passes.
        self._lease_end = lease_end
        self._deadline = lease_end
        self._cause = _EXPIRED  # why the term ended, or would end at the deadline
        self._ended = False
        self._is_lost = False
        self._watchdog = Worker(self._watch, "leader-election-watchdog").start()

    @property
    def is_active(self) -> bool:
        """Whether the term goes on at this moment, by the clock."""
        return not self._ended and self._clock.monotonic() < self._deadline

    @property
    def cause(self) -> str:
        """Why the term has ended, or why it would end at its deadline."""
        with self._lock:
            return self._cause

    @property
    def is_lost(self) -> bool:
        """Whether the term ended without a request to stop, so that another process may hold the lease."""
        with self._lock:
            return self._is_lost

    @property
    def lease_end(self) -> float:
        """When the lease expires unless it is renewed, by the clock."""
        with self._lock:
            return self._lease_end

    def require_renewal_by(self, deadline: float) -> None:
        """Sets a deadline before the end of the lease; the term ends then unless the lease is renewed."""
        with self._lock:
            if not self._ended and deadline < self._lease_end:
                self._deadline = deadline
                self._cause = "the lease was not renewed within the renew deadline"
        self._alarm.wake()

    def extend(self, lease_end: float) -> bool:
        """Extends the term after a renewal.

        Args:
            lease_end: when the renewed lease expires, by the clock. It may have passed already.

        Returns:
            False if the term was not extended: it had ended, or the renewed lease has already expired.
        """
        with self._lock:
            if not self._ended and self._clock.monotonic() < min(self._deadline, lease_end):
                self._lease_end = self._deadline = lease_end
                self._cause = _EXPIRED
                # The watchdog need not be woken: it wakes at the former, earlier deadline and looks again.
                return True
        self.check()
        return False

    def check(self) -> bool:
        """Ends the term if its deadline has passed, without waiting for the watchdog; returns whether it goes on."""
        with self._lock:
            if not self._ended and self._clock.monotonic() >= self._deadline:
                self._ended = self._is_lost = True
            if not self._ended:
                return True
        self._signal_end()
        return False

    def end(self, cause: str, *, lost: bool = False) -> None:
        """Ends the term. If it has ended already, nothing changes.

        Args:
            cause: why, for messages.
            lost: whether another process may hold the lease.
        """
        with self._lock:
            if not self._ended:
                self._ended = True
                self._cause = cause
                self._is_lost = lost
        self._signal_end()

    def close(self) -> None:
        """Ends the term and waits for the watchdog thread to end."""
        self.end("the run has ended")
        self._watchdog.join()

    def _signal_end(self) -> None:
        # By each thread that finds the term ended, so that `stop` is set before that thread goes on.
        self.stop.set()
        self._alarm.wake()

    def _watch(self) -> None:
        try:
            while self.check():
                self._alarm.wait(self._deadline)
        finally:
            # If the watchdog fails, the term must end, since it would not be ended in time.
            self.end("its watchdog thread failed", lost=True)
            self._alarm.close()


class LeaderTask:
    """The user's `on_started_leading`, on a thread of its own.

    Args:
        function: called with the term's stop event. If it raises, the term ends.
        term: the term that it runs in.

    Attributes:
        ended: set when the function has returned or raised.
        failure: what the function raised; None if it returned.

    Threads: all methods may be called from any thread.
    """

    def __init__(self, function: Callable[[threading.Event], object], term: Term) -> None:
        self.ended = Signal()
        self.failure: BaseException | None = None  # set before `ended` is
        self._function = function
        self._term = term

    def start(self) -> LeaderTask:
        """Starts the thread and returns the task itself."""
        try:
            Worker(self._run, "leader-election-task").start()
        except BaseException:
            self.ended.set()
            raise
        return self

    def outlived_lease(self, moment: float) -> bool:
        """Returns whether the function still runs although its lease expired before `moment`, by the clock."""
        return not self.ended.is_set() and not self._term.is_active and self._term.lease_end < moment

    def _run(self) -> None:
        try:
            refuse_coroutine("on_started_leading", self._function(self._term.stop))
        # SystemExit too: the thread of `run` raises it again.
        except BaseException as error:
            self.failure = error
            _log.exception("on_started_leading failed")
        finally:
            self.ended.set()
        if self.failure is not None:
            self._term.end(f"on_started_leading raised {describe_error(self.failure)}")
