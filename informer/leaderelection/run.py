"""One run of an election: getting the lease, leading, giving it up.

    acquiring   tries at once, then after each retry period and up to 1.2 times as much on top
    leading     renews at once, then each retry period; a renewal that failed is tried again each retry period
    over        when asked to stop, when a renewal has not come through within the renew deadline, when the lease has run out
                (the process was stopped for a while), when the lease is another's, or when the work has failed

Requests are made on the thread that called `run`, and given up at the moment at which the run, or the term, is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from informer.leaderelection.candidate import Candidate
from informer.leaderelection.config import JITTER_FACTOR, ElectionConfig
from informer.leaderelection.term import LeaderTask, Term
from watch.channel import Channel
from watch.concurrency import Signal, Worker, on_set
from watch.errors import ChannelClosedError
from watch.request_scope import RequestScope

__all__ = ["ElectionRun", "LeaderNotifier"]

_log = logging.getLogger(__name__)


class ElectionRun:
    """See the module.

    Args:
        config: the elector's.
        candidate: makes the attempts.
        news: is told of each new leader.
        former_work: of a run before this one; None if there was none.

    Attributes:
        halt: set to end it.
        over: set when it has ended.
        term: the time of leading, from its begin on; None before that.
        work: the leader's work, from its begin on; until then that of a run before.

    Threads: `run` on one; the rest on any.
    """

    def __init__(
        self, config: ElectionConfig, candidate: Candidate, news: LeaderNotifier, former_work: LeaderTask | None = None
    ) -> None:
        self.halt = Signal()
        self.over = Signal()
        self.term: Term | None = None
        self.work = former_work
        self.is_forked = False
        self._config = config
        self._clock = config.clock
        self._candidate = candidate
        self._news = news

    def run(self) -> None:
        """Returns when it is over; raises what the work has raised."""
        try:
            self._wait_for_former_work()
            term = self._acquire()
            if term is not None:
                self._lead(term)
        finally:
            # Interrupted anywhere, it leads no more.
            if self.term is not None:
                self.term.close()
            self._news.close()

    def work_goes_on_since(self, moment: float) -> bool:
        """Whether there is work, of this run or of the one before, whose lease had run out at some moment."""
        work = self.work
        return work is not None and work.goes_on_since(moment)

    # For informer.lifetime

    def begin_stop(self) -> None:
        """Ends it, without waiting."""
        self.halt.set()

    def stop(self, timeout: float = 0.0, *, drain: bool = True) -> bool:
        """Ends it and waits at most so many seconds until it has ended; returns whether it has."""
        self.halt.set()
        return self.over.wait(timeout)

    def die_in_child(self) -> None:
        """In a forked child nobody leads."""
        self.is_forked = True
        self.term = None
        # It goes on in the parent only; the locks of its term may have been held at the fork.
        self.work = None

    # Inside

    def _wait_for_former_work(self) -> None:
        former = self.work
        self.work = None if former is None or former.over.is_set() else former
        if former is None or self.work is None:
            return
        _log.warning(
            "%s is not asked for yet: the work of the time before goes on, though its stop event is set",
            self._config.lock.describe(),
        )
        go_on = Signal()
        withdraw = [on_set(each, go_on.set) for each in (former.over, self.halt)]
        go_on.wait()
        for each in withdraw:
            each()
        if former.over.is_set():
            self.work = None

    def _acquire(self) -> Term | None:
        lock, retry = self._config.lock, self._config.retry_period
        _log.info("%s attempts to acquire leader lease %s", lock.identity, lock.describe())
        while not self.halt.is_set():
            # Reported after the term has begun: whoever is told that he leads may ask.
            term = self._begin_term() if self._attempt(self.halt) else None
            self._news.tell(self._candidate.record.holder_identity)
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
            _log.warning("%s was acquired too late: the lease has run out by now", self._config.lock.describe())
            return None
        self.term = Term(self._clock, end)
        return self.term

    def _attempt(self, until: Signal) -> bool:
        """Tries once, and gives up when the signal is set."""
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
                self.work = LeaderTask(self._config.on_started_leading, term).start()
            while self._renew(term):
                if self._clock.wait(term.stop, self._config.retry_period):
                    break
        finally:
            term.end("it was interrupted")
            withdraw()
            self._give_up(term)

    def _renew(self, term: Term) -> bool:
        """Renews the lease, trying until the deadline; returns whether leading goes on."""
        term.must_renew_by(self._clock.monotonic() + self._config.renew_deadline)
        # Looked at before each try: a process that was stopped past its lease must not ask for it again.
        while term.check():
            done = self._attempt(term.stop) and term.renewed(self._candidate.lease_end)
            self._news.tell(self._candidate.record.holder_identity)
            if done:
                return True
            if not self._candidate.is_holder:
                term.end(f"the lease is held by {self._candidate.record.holder_identity or 'nobody'}", lost=True)
            self._clock.wait(term.stop, self._config.retry_period)
        return False

    def _give_up(self, term: Term) -> None:
        lock = self._config.lock
        level = logging.WARNING if term.is_lost else logging.INFO
        _log.log(level, "%s leads no more by lease %s: %s", lock.identity, lock.describe(), term.cause)
        if self._config.release_on_cancel and not term.is_lost and self._work_ends_by(term.lease_end):
            self._candidate.try_release(min(term.lease_end, self._clock.monotonic() + self._config.renew_deadline))
            self._news.tell(self._candidate.record.holder_identity)
        self._record_event("stopped leading")

    def _work_ends_by(self, end: float) -> bool:
        if self.work is None or self._clock.wait(self.work.over, max(0.0, end - self._clock.monotonic())):
            return True
        _log.warning(
            "lease %s is not released: on_started_leading goes on, though its stop event is set",
            self._config.lock.describe(),
        )
        return False

    def _record_event(self, text: str) -> None:
        record: Callable[[str], object] = self._config.lock.record_event
        try:
            record(text)
        except Exception:
            _log.exception("an event of lease %s was not recorded", self._config.lock.describe())


class LeaderNotifier:
    """See the module.

    Args:
        on_new_leader: called with each identity that is not the one before; None for nobody who wants to know.

    Threads: `tell` and `close` on one thread.
    """

    def __init__(self, on_new_leader: Callable[[str], object] | None) -> None:
        self._function = on_new_leader
        self._told = ""
        self._waiting: Channel[str] | None = None  # while there is a thread

    def tell(self, leader: str) -> None:
        """Reports a leader, unless it is the one that was reported last. Does not wait."""
        if leader == self._told:
            return
        self._told = leader
        if self._function is None:
            return
        if self._waiting is None:
            waiting = self._waiting = Channel[str](None)
            function = self._function
            Worker(lambda: _deliver(waiting, function), "leader-election-news").start()
        self._waiting.put(leader)

    def close(self) -> None:
        """Ends the thread once it has told all; more may be told afterwards, by another one."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.close()


def _deliver(waiting: Channel[str], function: Callable[[str], object]) -> None:
    while True:
        try:
            leader = waiting.get()
        except ChannelClosedError:
            return
        try:
            function(leader)
        # SystemExit too: it would end this thread and nothing else.
        except BaseException:
            _log.exception("on_new_leader failed")
