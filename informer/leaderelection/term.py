"""One time of leading, from getting the lease until its end, which comes for certain.

A term ends once: when it is ended, or when its time is up, whatever comes first. A watchdog of its own waits for that moment,
so that neither a request that hangs, nor a loop that does, nor a process that was stopped for a while goes on leading.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from informer.leaderelection.clock import alarm_for
from watch.clock import Clock
from watch.concurrency import Lock, Signal, Worker

__all__ = ["LeaderTask", "Term"]

_log = logging.getLogger(__name__)


class Term:
    """See the module.

    Args:
        clock: measures it.
        lease_end: when the lease ends unless it is renewed, by the clock.

    Attributes:
        stop: set when the term is over.

    Threads: any.
    """

    def __init__(self, clock: Clock, lease_end: float) -> None:
        self.stop = Signal()
        self._clock = clock
        self._alarm = alarm_for(clock)
        self._lock = Lock()
        # All guarded by _lock, but for `is_current`: an end only comes nearer while nobody looks, or was not reached yet.
        self._lease_end = lease_end
        self._until = lease_end
        self._cause = "the lease has run out"  # should it end at `_until`
        self._over = False
        self._is_lost = False
        self._watchdog = Worker(self._watch, "leader-election-watchdog").start()

    @property
    def is_current(self) -> bool:
        """Whether it goes on at this very moment."""
        return not self._over and self._clock.monotonic() < self._until

    @property
    def cause(self) -> str:
        """Why it has ended, or would if nothing happened."""
        with self._lock:
            return self._cause

    @property
    def is_lost(self) -> bool:
        """Whether it has ended though nobody asked for that: the lease may be another's."""
        with self._lock:
            return self._is_lost

    @property
    def lease_end(self) -> float:
        """When the lease ends unless it is renewed, by the clock."""
        with self._lock:
            return self._lease_end

    def must_renew_by(self, deadline: float) -> None:
        """Has it end at a moment before the lease does, unless it is renewed."""
        with self._lock:
            if deadline < self._lease_end:
                self._until = deadline
                self._cause = "the lease was not renewed in time"
        self._alarm.ring()

    def renewed(self, lease_end: float) -> bool:
        """Moves its end; returns False if it was over already, for then it stays so.

        Args:
            lease_end: of a lease that was asked for before this term's time was up. It may lie in the past by now.
        """
        with self._lock:
            if not self._over and self._clock.monotonic() < min(self._until, lease_end):
                self._lease_end = self._until = lease_end
                self._cause = "the lease has run out"
                # The watchdog looks again when the earlier end has come.
                return True
        self.check()
        return False

    def check(self) -> bool:
        """Whether it goes on; ends it if its time is up, without waiting for the watchdog."""
        with self._lock:
            if not self._over and self._clock.monotonic() >= self._until:
                self._over = self._is_lost = True
            if not self._over:
                return True
        self._tell()
        return False

    def end(self, cause: str, *, lost: bool = False) -> None:
        """Ends it; again is harmless, and changes nothing.

        Args:
            cause: for messages.
            lost: whether nobody asked for that.
        """
        with self._lock:
            if not self._over:
                self._over = True
                self._cause = cause
                self._is_lost = lost
        self._tell()

    def close(self) -> None:
        """Ends it and waits for the watchdog to go."""
        self.end("nobody leads any more")
        self._watchdog.join()

    def _tell(self) -> None:
        # By everyone who finds it over, so that it is set when they go on.
        self.stop.set()
        self._alarm.ring()

    def _watch(self) -> None:
        try:
            while self.check():
                self._alarm.wait(self._until)
        finally:
            # If it fails itself, nobody would see to the end any more.
            self.end("its watchdog has failed", lost=True)
            self._alarm.close()


class LeaderTask:
    """See the module.

    Args:
        function: called with the term's stop event. When it raises, the term ends.
        term: the time of leading that it is for.

    Attributes:
        over: set when the function has returned or raised.
        failure: what it has raised, None if it did not.

    Threads: any.
    """

    def __init__(self, function: Callable[[threading.Event], object], term: Term) -> None:
        self.over = Signal()
        self.failure: BaseException | None = None  # set before `over` is
        self._function = function
        self._term = term

    def start(self) -> LeaderTask:
        """Starts the thread and returns the work itself."""
        try:
            Worker(self._run, "leader-election-work").start()
        except BaseException:
            self.over.set()
            raise
        return self

    def goes_on_since(self, moment: float) -> bool:
        """Whether it still goes on though its lease had run out at some moment, by the clock."""
        return not self.over.is_set() and not self._term.is_current and self._term.lease_end < moment

    def _run(self) -> None:
        try:
            self._function(self._term.stop)
        # Whatever it is, SystemExit too: it is raised on the thread of `run`, or only logged when that has returned.
        except BaseException as error:
            self.failure = error
            _log.exception("on_started_leading failed")
        finally:
            self.over.set()
        if self.failure is not None:
            self._term.end("on_started_leading has failed")
