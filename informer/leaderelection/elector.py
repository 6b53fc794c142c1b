"""Electing one of several processes, which then does the work while the others wait.

Comes in: a lock that all of them share. Goes out: calls of the user's functions: when this process begins to lead, when it does
no more, and when somebody else does.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from informer.errors import InformerError, InformerForkedError
from informer.leaderelection.candidate import Candidate
from informer.leaderelection.election_config import ElectionConfig
from informer.leaderelection.election_run import ElectionRun
from informer.leaderelection.lease_clock import LEASE_CLOCK, wall_time_of
from informer.leaderelection.lock import ResourceLock
from informer.leaderelection.metrics import MetricsProvider, metrics_for
from informer.leaderelection.news import News
from informer.process import register
from watch.clock import Clock
from watch.concurrency import Lock, on_set

__all__ = ["LeaderElector", "LeaseNotRenewedError"]


class LeaseNotRenewedError(InformerError):
    """A leader has not renewed its lease for too long, and should have given up by now: restart it."""


class LeaderElector:
    """See the module.

    At most one process leads at a time, as long as each has an identity of its own and nobody deletes the Lease: a new one
    is free, and who had the old one leads on until the next renewal, or the renew deadline where that does not come
    through. Each measures its own lease from before it asked for it, on a clock that goes on while the machine sleeps; the
    times in the Lease are for people, and how the hosts' clocks are set does not matter. When the lease cannot be renewed,
    leading ends after the renew deadline, and at the end of the lease at the latest, whether or not the server answers. A
    process that was stopped for longer (SIGSTOP, a laptop that slept) leads no more when it wakes, before it does anything
    else: `is_leader()` reads the clock, and `stop` is set at once. What it was in the middle of when it was stopped goes
    on, of course: what must not happen twice needs a resourceVersion or the like where it is written.

    Args:
        lock: what the election is about, a `LeaseLock`.
        lease_duration: seconds that the others wait, from the last renewal they saw, before they take the lease. A Lease has
            whole seconds: what is over is not used.
        renew_deadline: seconds in which a renewal must come through, or else leading ends.
        retry_period: seconds between two tries, and between two renewals.
        on_started_leading: the leader's work, called with an event that is set when leading is over; it should return soon
            then. When it returns earlier, leading goes on. When it raises, leading ends and `run` raises the same. Of what it
            guards, everything belongs in there, clearing up included: once it has returned the lease may be another's.
        on_stopped_leading: called at the end of each `run`, even of one that never led. The work may go on for a moment.
        on_new_leader: called with the identity of each leader that is not the one before, this process included; "" for
            nobody.
        release_on_cancel: whether to give the lease back when asked to stop, so that another leads at once. The work is waited
            for, at most until the lease ends; while it goes on the lease is kept.
        name: for messages and metrics; None takes the lock's description.
        metrics_provider: who shows the metrics; None takes that of `set_metrics_provider`.
        clock: measures the lease.
        jitter: a number from 0 to 1 for each wait between two tries to get the lease, so that candidates do not go in step.

    Raises:
        ValueError: the times do not go together, or the lock has no identity.
        TypeError: there is no lock, or a function cannot be called.

    Threads: `on_started_leading` and `on_new_leader` are called on a thread for each, `on_stopped_leading` on that of `run`.
    While it leads there is one more, which ends leading in time. All other methods may be called on any.

    Example:
        stop = stop_on_signals()
        lock = LeaseLock(api_client, "default", "my-controller", identity=f"{socket.gethostname()}_{uuid.uuid4()}")
        LeaderElector(
            lock,
            on_started_leading=run_controller,  # called with an event: end when it is set
            on_stopped_leading=lambda: None,
            release_on_cancel=True,
        ).run(stop)
        # Here the program ends, and is started again by whoever started it.

    Source: client-go tools/leaderelection LeaderElector.
    """

    def __init__(
        self,
        lock: ResourceLock,
        *,
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        on_started_leading: Callable[[threading.Event], object],
        on_stopped_leading: Callable[[], object],
        on_new_leader: Callable[[str], object] | None = None,
        release_on_cancel: bool = False,
        name: str | None = None,
        metrics_provider: MetricsProvider | None = None,
        clock: Clock = LEASE_CLOCK,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = ElectionConfig(
            lock=lock,
            lease_duration=lease_duration,
            renew_deadline=renew_deadline,
            retry_period=retry_period,
            on_started_leading=on_started_leading,
            on_stopped_leading=on_stopped_leading,
            on_new_leader=on_new_leader,
            release_on_cancel=release_on_cancel,
            clock=clock,
            jitter=jitter,
        )
        self._name = lock.describe() if name is None else name
        self._metrics = metrics_for(self._name, self.is_leader, metrics_provider)
        self._candidate = Candidate(
            lock,
            lease_duration,
            clock=clock,
            wall=wall_time_of(clock),
            timeout=self._config.request_timeout,
            on_slow_path=self._metrics.slow_path_taken,
        )
        self._news = News(on_new_leader)
        self._lock = Lock()
        self._run: ElectionRun | None = None  # the last one; replaced under _lock

    def run(self, stop: threading.Event) -> None:
        """Takes part in the election, and leads once elected; returns when leading is over, or when asked to.

        It does not take part again. Whoever wants that calls it in a loop (`while not stop.is_set(): elector.run(stop)`): it
        then begins by waiting until the work of the time before has ended. Simpler, and what Kubernetes itself does, is to
        end the program and have it started again.

        Args:
            stop: ends it when it is set.

        Raises:
            RuntimeError: it has started already.
            InformerForkedError: it was running when this process was forked from another.
            BaseException: what `on_started_leading` has raised while it led, or `on_stopped_leading`.

        Threads: the calling one does all requests. An exception there, such as KeyboardInterrupt, ends it as `stop` does.
        """
        run = self._begin()
        withdraw = on_set(stop, run.halt.set)
        try:
            run.run()
        finally:
            withdraw()
            try:
                self._config.on_stopped_leading()
            finally:
                run.over.set()
        failure = None if run.term is None or run.work is None else run.work.failure
        if failure is not None:
            raise failure

    def is_leader(self) -> bool:
        """Whether this process leads at this very moment: the lease is its own, and has not run out by the clock."""
        run = self._run
        term = None if run is None else run.term
        return term is not None and term.is_current

    @property
    def leader(self) -> str:
        """The identity of the leader that was seen last, "" for none. For people: it may be over by now."""
        return self._candidate.record.holder_identity

    @property
    def name(self) -> str:
        """Its name in messages and metrics."""
        return self._name

    def check(self, tolerance: float = 0.0) -> None:
        """For a liveness probe: fails when this process should lead no more, and still has not got away from it.

        Args:
            tolerance: seconds that may pass after the lease has run out.

        Raises:
            LeaseNotRenewedError: the lease was not renewed for longer, or the work goes on though leading is over.

        Source: client-go tools/leaderelection LeaderElector.Check.
        """
        now, run = self._config.clock.monotonic(), self._run
        late = now - self._candidate.seen_at > self._config.lease_duration + tolerance
        # One that takes part again is a standby, whatever it was before.
        if late and self._candidate.is_holder and (run is None or run.term is not None or run.over.is_set()):
            raise LeaseNotRenewedError(f"failed election to renew leadership on lease {self._name}")
        if run is not None and run.work_goes_on_since(now - tolerance):
            raise LeaseNotRenewedError(
                f"failed election to renew leadership on lease {self._name}: its work goes on, though its stop event is set"
            )

    def _begin(self) -> ElectionRun:
        former = self._run
        if former is not None and former.is_forked:
            raise InformerForkedError(
                f"the election for {self._name} belongs to the process that this one was forked from"
            )
        with self._lock:
            former = self._run
            if former is not None and not former.over.is_set():
                raise RuntimeError(f"the election for {self._name} has started already")
            run = self._run = ElectionRun(
                self._config, self._candidate, self._news, None if former is None else former.work
            )
        register(run, is_informer=False)
        return run
