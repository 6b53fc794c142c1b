"""The leader elector, and its liveness check."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from informer.errors import InformerError, InformerForkedError, NotLeadingError
from informer.leaderelection.candidate import Candidate, shown_identity
from informer.leaderelection.clock import LEASE_CLOCK, wall_time_of
from informer.leaderelection.config import ElectionConfig
from informer.leaderelection.lease_lock import ResourceLock
from informer.leaderelection.metrics import MetricsProvider, metrics_for
from informer.leaderelection.run import ElectionRun, LeaderNotifier
from informer.process import register
from informer.transport.gated_client import gated_client
from watch.clock import Clock
from watch.concurrency import Lock, on_set

__all__ = ["LeaderElector", "LeaderHealthCheck", "LeaseNotRenewedError"]

ClientT = TypeVar("ClientT")


class LeaseNotRenewedError(InformerError):
    """A leader has not renewed its lease for too long, and its process should have ended by now: restart it."""


class LeaderElector:
    """Takes part in an election, and runs a function while this process leads.

    Each process that takes part makes an elector with a lock on the same Lease. One of them acquires the lease, becomes the
    leader and renews the lease every `retry_period`. The others wait until the lease is released or expires.

    At most one process leads at a time, as long as each has its own identity and the Lease is not deleted. If it is deleted,
    another process may acquire a new one while the former leader goes on until its next renewal, or its renew deadline.

    A term of leading ends

    - when `run`'s stop event is set, or `on_started_leading` raises;
    - when the lease was not renewed within `renew_deadline`, for instance because the server does not answer;
    - when the lease has expired, for instance because the process was stopped or the machine was suspended;
    - when another process holds the lease, or a user has removed its holder.

    Then `is_leader()` is false and the event passed to `on_started_leading` is set, also while a request hangs. After a
    suspension `is_leader()` is false at once, since it reads the clock. In-flight work is not interrupted: write through a view
    of `gate`, which refuses writes from then on, and guard writes with a resourceVersion precondition.

    Any client that may update the Lease can end a term of leading, by writing another holder. A duration of more than an hour
    in the Lease counts as an hour, or as `lease_duration` if that is longer. A malformed Lease is logged and read again.

    Each process measures its lease from before it sent the request, on a clock that runs while the machine is suspended. The
    times in the Lease are for people to read: clocks need not be synchronised.

    Args:
        lock: the lock that the election is about, usually a `LeaseLock`.
        lease_duration: seconds after the last observed renewal after which other processes may acquire the lease. Fractions
            are cut off, since a Lease has whole seconds.
        renew_deadline: seconds within which a renewal must succeed, or leading ends.
        retry_period: seconds between two tries to acquire the lease, before jitter, and between two renewals.
        on_started_leading: called when this process begins to lead, with an event that is set when leading ends. It should
            then return soon; clean up inside it, since another process may lead once it has returned. If it returns earlier,
            leading goes on. If it raises, leading ends and `run` raises the same exception.
        on_stopped_leading: called at the end of each `run`, also of one that never led. `on_started_leading` may still run.
        on_new_leader: called with the identity of each new leader, this process included, and with "" when the lease has no
            holder. None: no call.
        release_on_cancel: whether to release the lease when asked to stop, so that another process leads at once. The lease
            is released once `on_started_leading` has returned. If it does not return in time, the lease expires instead.
        name: the elector's name in messages and metrics; None: the lock's description.
        metrics_provider: receives the metrics; None: the provider of `set_metrics_provider`.
        clock: measures the lease.
        jitter: returns a number from 0 to 1, for each wait between two tries to acquire the lease. The wait is up to 2.2 times
            `retry_period`.

    Raises:
        ValueError: the durations do not fit together, or the lock has no identity.
        TypeError: the lock is None, or a callback is not callable, is async, or takes other arguments.

    Threads: `on_started_leading` and `on_new_leader` run on a thread each, `on_stopped_leading` on the thread of `run`. A
        watchdog thread ends each term in time. All methods but `run` may be called from any thread at any time.

    Example:
        stop = stop_on_signals()
        lock = LeaseLock(api_client, "default", "my-controller", identity=f"{socket.gethostname()}_{uuid.uuid4()}")
        LeaderElector(
            lock,
            on_started_leading=run_controller,  # run_controller(stop) returns when the event `stop` is set
            on_stopped_leading=lambda: None,
            release_on_cancel=True,
        ).run(stop)
        # The program ends here, and its supervisor (a Deployment, for instance) starts it again.

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
        self._notifier = LeaderNotifier(on_new_leader)
        self._lock = Lock()
        self._run: ElectionRun | None = None  # the last one; replaced under _lock
        metrics = metrics_for(self._name, self.is_leader, metrics_provider)
        self._candidate = Candidate(
            lock,
            lease_duration,
            clock=clock,
            wall=wall_time_of(clock),
            timeout=self._config.request_timeout,
            on_slow_path=metrics.slow_path_taken,
        )
        metrics.read_leader_from(lambda: self.leader)

    def __repr__(self) -> str:
        run = self._run
        if run is None or run.ended.is_set():
            state = "not running"
        else:
            state = (
                "leading" if self.is_leader() else "waiting for the lease" if run.term is None else "stopped leading"
            )
        leader = f", led by {shown_identity(self.leader)}" if self.leader else ""
        return f"<LeaderElector {self._name}: {state}{leader}>"

    def run(self, stop: threading.Event) -> None:
        """Waits for the lease and leads; returns when leading has ended, or when asked to stop.

        It does not take part a second time. The usual way on is to end the program and have it restarted, as Kubernetes' own
        components do. To take part again, call it in a loop: `while not stop.is_set(): elector.run(stop)`. Each call first
        waits until the `on_started_leading` of the previous term has returned.

        Args:
            stop: set it to end the run.

        Raises:
            RuntimeError: the elector is already started.
            InformerForkedError: the elector was started before this process was forked from its parent.
            BaseException: what `on_started_leading` raised while it led, or what `on_stopped_leading` raised.

        Threads: blocks. All requests are made on the calling thread. An exception there, such as KeyboardInterrupt, ends the
            run as `stop` does.
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
                run.ended.set()
        failure = None if run.term is None or run.task is None else run.task.failure
        if failure is not None:
            raise failure

    def is_leader(self) -> bool:
        """Returns whether this process leads now: it holds the lease, and by the clock the lease has not expired."""
        run = self._run
        term = None if run is None else run.term
        return term is not None and term.is_active

    def gate(self, api_client: ClientT) -> ClientT:
        """Returns a view of an official `ApiClient` that refuses writes while this process does not lead.

        Use it like the client: `client.AppsV1Api(elector.gate(api_client))`, or as the `api_client` of an event sink. Each
        request other than GET, HEAD and OPTIONS raises `NotLeadingError` unless `is_leader()` is true just before it is sent.
        That includes writes before the first term, between two terms, after a fork in the child, and of a task that cleans up
        after its stop event is set. Such a clean-up writes through `api_client` itself.

        The gate narrows the window for stale writes, but cannot close it. It does not promise

        - that a request which has passed it arrives in time. Connecting, a retry of urllib3 or the network may delay the
          request, and the process or machine may be stopped after the check. The lease can expire meanwhile;
        - that a request which is already sent has no effect: it is neither cancelled nor undone;
        - more than `is_leader()` does. In particular, a Lease that was deleted is noticed at the next renewal.

        So guard each write with a resourceVersion or uid precondition, too: then the server refuses what a newer leader has
        overtaken. After a suspension the first write is refused, if the lease has expired: the check reads the lease's clock.

        Requests with GET pass although some of them change something: exec, attach, port-forward (`kubernetes.stream` uses
        WebSockets for these) and proxy.

        The view shares the client's configuration, credentials, default headers and connections, and changes to them take
        effect in both. Closing the view leaves the client open. The view cannot be copied or pickled.

        Args:
            api_client: a client of `kubernetes` or `kubernetes_asyncio`. If it is a view itself, both gates must let a write
                pass. The elector's own lock needs the client, not the view: with the view it never acquires the lease.

        Returns:
            The view, which is also an instance of the client's class.

        Raises:
            TypeError: it is not an official client.

        Threads: the view may be used on the threads that may use the client. The check waits for no request or lock.

        Source: KEP-6361 has the same aim.
        """
        view: ClientT = gated_client(api_client, self._require_leading)
        return view

    @property
    def leader(self) -> str:
        """The identity of the last observed leader; "" if there is none. Its lease may have expired by now."""
        return self._candidate.record.holder_identity

    @property
    def name(self) -> str:
        """The elector's name in messages and metrics."""
        return self._name

    def check(self, tolerance: float = 0.0) -> None:
        """Raises if this process is stuck as a former leader.

        That is: its lease expired, and it has neither renewed nor released it, nor gone back to waiting.
        Call it in a liveness probe.

        Args:
            tolerance: seconds after the end of the lease during which the check still passes.

        Raises:
            LeaseNotRenewedError: this process was the last to hold the lease and has not renewed it since, or
                `on_started_leading` still runs.

        Source: client-go tools/leaderelection LeaderElector.Check.
        """
        now, run = self._config.clock.monotonic(), self._run
        is_late = now - self._candidate.observed_at > self._config.lease_duration + tolerance
        # A run without a term is a standby, even if its process led in an earlier run.
        if is_late and self._candidate.is_holder and (run is None or run.term is not None or run.ended.is_set()):
            raise LeaseNotRenewedError(f"failed election to renew leadership on lease {self._name}")
        if run is not None and run.task_outlived_lease(now - tolerance):
            raise LeaseNotRenewedError(
                f"failed election to renew leadership on lease {self._name}: on_started_leading has not returned, although "
                "its stop event is set"
            )

    def _require_leading(self, request: str) -> None:
        run = self._run
        term = None if run is None else run.term
        if term is None:
            raise NotLeadingError(
                f"failed to send {request}: this process does not lead with lease {self._name}: write only while "
                "on_started_leading runs and its stop event is not set"
            )
        if not term.is_active:
            raise NotLeadingError(
                f"failed to send {request}: this process has stopped leading with lease {self._name} ({term.cause}): return "
                "from on_started_leading, and leave the write to the next leader"
            )

    def _begin(self) -> ElectionRun:
        former = self._run
        if former is not None and former.is_forked:
            raise InformerForkedError(
                f"the election for {self._name} belongs to the process that this one was forked from: create an elector after "
                "the fork"
            )
        with self._lock:
            former = self._run
            if former is not None and not former.ended.is_set():
                raise RuntimeError(f"the election for {self._name} is already started")
            run = self._run = ElectionRun(
                self._config, self._candidate, self._notifier, None if former is None else former.task
            )
        register(run, is_informer=False)
        return run


class _Checked(Protocol):
    def check(self, tolerance: float = ...) -> None: ...


class LeaderHealthCheck:
    """A liveness check for an elector, which can be mounted before the elector exists.

    Args:
        tolerance: seconds after the end of the lease during which the check still passes.

    Threads: all methods may be called from any thread.

    Example:
        health = LeaderHealthCheck()
        # ... serve health.check() at /healthz: it passes until there is an elector ...
        health.set_elector(elector)

    Source: client-go tools/leaderelection HealthzAdaptor.
    """

    name = "leaderElection"

    def __init__(self, tolerance: float = 20.0) -> None:
        self._tolerance = tolerance
        self._elector: _Checked | None = None

    def set_elector(self, elector: _Checked) -> None:
        """Sets the elector to check."""
        self._elector = elector

    def check(self) -> None:
        """Passes before `set_elector` was called, and then if the elector's own check passes.

        Raises:
            LeaseNotRenewedError: the process should be restarted.
        """
        elector = self._elector
        if elector is not None:
            elector.check(self._tolerance)
