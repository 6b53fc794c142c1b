"""One run of an elector: it acquires the lease, leads, and gives the lease up.

    acquiring   tries at once, and then after each retry period plus up to 1.2 times as much jitter
    leading     renews at once, and then after each retry period; a failed renewal is retried after each retry period
    ended       when asked to stop, when the leader's task has failed, or when the lease was not renewed within the renew
                deadline, has expired, or is held by another process

All requests are made on the thread that called `run`. A request is cancelled when the run or the term ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from informer.leaderelection.candidate import Candidate, shown_identity
from informer.leaderelection.config import JITTER_FACTOR, ElectionConfig
from informer.leaderelection.term import LeaderTask, Term
from watch.channel import Channel
from watch.concurrency import Signal, Worker, on_set
from watch.errors import ChannelClosedError
from watch.request_scope import RequestScope

__all__ = ["ElectionRun", "LeaderNotifier"]

_log = logging.getLogger(__name__)


class ElectionRun:
    """One run of an elector, from waiting for the lease to the end of its term.

    Args:
        config: the elector's options.
        candidate: makes the attempts at the lease.
        notifier: reports each new leader to the user.
        former_task: the leader's task of the run before; None if there was none.

    Attributes:
        halt: set it to end the run.
        ended: set by the elector when the run has ended and `on_stopped_leading` has returned.
        term: the term of leading, once it has begun; None before.
        task: the leader's task, once it was started; before that the task of an earlier run if it still goes on.
        is_forked: whether this process was forked from the one that runs it.

    Threads: `run` is called on one thread. All else may be used from any thread.
    """

    def __init__(
        self,
        config: ElectionConfig,
        candidate: Candidate,
        notifier: LeaderNotifier,
        former_task: LeaderTask | None = None,
    ) -> None:
        self.halt = Signal()
        self.ended = Signal()
        self.term: Term | None = None
        self.task = former_task
        self.is_forked = False
        self._config = config
        self._clock = config.clock
        self._candidate = candidate
        self._notifier = notifier

    def run(self) -> None:
        """Returns when the run has ended; exceptions of the calling thread, such as KeyboardInterrupt, end it too."""
        try:
            self._wait_for_former_task()
            term = self._acquire()
            if term is not None:
                self._lead(term)
        finally:
            # Whatever was raised, and wherever: the term ends.
            if self.term is not None:
                self.term.close()
            self._notifier.close()

    def task_outlived_lease(self, moment: float) -> bool:
        """Returns whether a task, of this run or an earlier one, still runs although its lease expired before `moment`."""
        task = self.task
        return task is not None and task.outlived_lease(moment)

    # Called by informer.process, at exit and after a fork.

    def begin_stop(self) -> None:
        """Ends the run, without waiting."""
        self.halt.set()

    def stop(self, timeout: float = 0.0, *, drain: bool = True) -> bool:
        """Ends the run and waits at most `timeout` seconds for it; returns whether it has ended."""
        self.halt.set()
        return self.ended.wait(timeout)

    def die_in_child(self) -> None:
        """Marks the run as not this process's, in a forked child: only the parent leads."""
        self.is_forked = True
        self.term = None
        # Its thread runs in the parent only, and the locks of its term may have been held at the fork.
        self.task = None

    def _wait_for_former_task(self) -> None:
        former = self.task
        self.task = None if former is None or former.ended.is_set() else former
        if former is None or self.task is None:
            return
        _log.warning(
            "waiting before acquiring lease %s: on_started_leading of the previous term has not returned, although its stop "
            "event is set",
            self._config.lock.describe(),
        )
        go_on = Signal()
        withdraw = [on_set(each, go_on.set) for each in (former.ended, self.halt)]
        go_on.wait()
        for each in withdraw:
            each()
        if former.ended.is_set():
            self.task = None

    def _acquire(self) -> Term | None:
        lock, retry = self._config.lock, self._config.retry_period
        _log.info("%s is trying to acquire leader lease %s", lock.identity, lock.describe())
        while not self.halt.is_set():
            # The term begins before the user is notified, so that `is_leader()` is true in `on_new_leader`.
            term = self._begin_term() if self._attempt(self.halt) else None
            self._notifier.notify(self._candidate.record.holder_identity)
            if term is not None:
                self._record_event("became leader")
                _log.info("%s has acquired leader lease %s", lock.identity, lock.describe())
                return term
            if self._clock.wait(self.halt, retry * (1 + self._config.jitter() * JITTER_FACTOR)):
                break
        return None

    def _begin_term(self) -> Term | None:
        end = self._candidate.lease_end
        if self._clock.monotonic() >= end:
            _log.warning("lease %s was acquired too late: it has already expired", self._config.lock.describe())
            return None
        self.term = Term(self._clock, end)
        return self.term

    def _attempt(self, until: Signal) -> bool:
        """Makes one attempt at the lease, which is cancelled when the signal is set."""
        scope = RequestScope()
        withdraw = on_set(until, scope.cancel)
        try:
            with scope:
                return self._candidate.try_acquire_or_renew()
        finally:
            withdraw()

    def _lead(self, term: Term) -> None:
        withdraw = on_set(self.halt, lambda: term.end("it was asked to stop"))
        try:
            if term.check():
                self.task = LeaderTask(self._config.on_started_leading, term).start()
            while self._renew(term):
                if self._clock.wait(term.stop, self._config.retry_period):
                    break
        finally:
            term.end("its run was interrupted")
            withdraw()
            self._give_up(term)

    def _renew(self, term: Term) -> bool:
        """Renews the lease, with retries until the renew deadline; returns whether the term goes on."""
        term.require_renewal_by(self._clock.monotonic() + self._config.renew_deadline)
        # Checked before each try: a process that was stopped past the end of its lease must not renew it.
        while term.check():
            renewed = self._attempt(term.stop) and term.extend(self._candidate.lease_end)
            self._notifier.notify(self._candidate.record.holder_identity)
            if renewed:
                return True
            if not self._candidate.is_holder:
                holder = shown_identity(self._candidate.record.holder_identity)
                term.end(f"the lease is held by {holder}" if holder else "the lease has no holder", lost=True)
            self._clock.wait(term.stop, self._config.retry_period)
        return False

    def _give_up(self, term: Term) -> None:
        lock = self._config.lock
        level = logging.WARNING if term.is_lost else logging.INFO
        _log.log(level, "%s has stopped leading with lease %s: %s", lock.identity, lock.describe(), term.cause)
        if self._config.release_on_cancel and not term.is_lost and self._task_ends_by(term.lease_end):
            self._candidate.try_release(min(term.lease_end, self._clock.monotonic() + self._config.renew_deadline))
            self._notifier.notify(self._candidate.record.holder_identity)
        self._record_event("stopped leading")

    def _task_ends_by(self, end: float) -> bool:
        if self.task is None or self._clock.wait(self.task.ended, max(0.0, end - self._clock.monotonic())):
            return True
        _log.warning(
            "lease %s is not released: on_started_leading has not returned, although its stop event is set",
            self._config.lock.describe(),
        )
        return False

    def _record_event(self, text: str) -> None:
        record: Callable[[str], object] = self._config.lock.record_event
        try:
            record(text)
        except Exception:
            _log.exception("failed to record an event of lease %s", self._config.lock.describe())


class LeaderNotifier:
    """Calls the user's `on_new_leader` with each new leader, one after the other on a thread of its own.

    Args:
        on_new_leader: called with each identity that differs from the one before; None: no call.

    Threads: `notify` and `close` are called on one thread.
    """

    def __init__(self, on_new_leader: Callable[[str], object] | None) -> None:
        self._function = on_new_leader
        self._last = ""
        self._queue: Channel[str] | None = None  # None while the thread does not run

    def notify(self, leader: str) -> None:
        """Reports a leader, unless it is the one that was reported last. Does not wait for the call."""
        if leader == self._last:
            return
        self._last = leader
        if self._function is None:
            return
        if self._queue is None:
            queue = self._queue = Channel[str](None)
            function = self._function
            Worker(lambda: _notify_all(queue, function), "leader-election-notifier").start()
        self._queue.put(leader)

    def close(self) -> None:
        """Ends the thread once it has made all calls. A later `notify` starts another."""
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.close()


def _notify_all(queue: Channel[str], function: Callable[[str], object]) -> None:
    while True:
        try:
            leader = queue.get()
        except ChannelClosedError:
            return
        try:
            function(leader)
        # SystemExit too: it would end nothing but this thread.
        except BaseException:
            _log.exception("on_new_leader failed")
