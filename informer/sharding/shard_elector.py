"""The shard elector: distributes n shards over the replicas of a program, by Leases."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

from informer.arguments import check_function
from informer.errors import InformerForkedError, NotLeadingError
from informer.leaderelection.clock import LEASE_CLOCK, wall_time_of
from informer.leaderelection.config import ElectionConfig
from informer.leaderelection.elector import LeaseNotRenewedError
from informer.leaderelection.lease_lock import LeaseLock
from informer.leaderelection.metrics import MetricsProvider
from informer.process import register
from informer.sharding.leases import LABEL, LeaseNames
from informer.sharding.ranges import check_shard
from informer.sharding.shard_run import ShardRun
from informer.transport.gated_client import gated_client
from watch.clock import Clock
from watch.concurrency import Lock, on_set

__all__ = ["ShardElector"]


class ShardElector:
    """Distributes the shards of a program over its replicas, by Leases. Each replica runs one elector.

    Each replica makes an elector with the same namespace, name and number of shards. Replicas learn of each other by Leases
    only. When a replica comes or goes, the others hand over or acquire shards: no more than needed. Two lease durations later,
    the numbers of shards of any two replicas differ by at most one. If there are more replicas than shards, some own none.

    A shard has at most one owner at a time, on the terms of `LeaderElector`:

    - A shard is handed over only after the callbacks of its owner have returned. Until then its Lease is renewed.
    - The shards of a dead replica have a new owner within `lease_duration` and three retry periods, plus the time that the
      requests take.
    - A replica that cannot renew a Lease within `renew_deadline`, or was stopped or suspended for longer than the lease, has
      lost the shard: the event of the shard is set, and `owned` does not have it any more. In-flight work is not interrupted:
      return from the callbacks soon, and write through `gate`.
    - A deleted Lease is created again by its owner. Another replica creates it only when it was absent for a lease duration.
      So the very first start of a program takes a lease duration.

    The Leases are called `name`-0, `name`-1 and so on, one for each shard, and `name`-member-0 and so on for the replicas. A
    replica needs the rights to list and create Leases, and to get and update these.

    Args:
        api_client: an `ApiClient` of the official client; None connects as kubectl does.
        namespace: the namespace of the Leases.
        name: the name of the elector, with which the names of the Leases begin; at most 63 characters.
        shards: the number of shards. All replicas must use the same. To change it, use another name.
        identity: the name of this replica. No other replica may have the same.
        on_shard_started: called with a shard and an event when this replica owns the shard. The event is set when the shard
            is handed over or lost. The function may return earlier, or when the event is set. If it raises, `run` ends, and
            raises the same.
        on_shard_stopped: called with a shard when its event is set and `on_shard_started` has returned. The Lease is released
            when it has returned.
        lease_duration: seconds after the last observed renewal after which another replica may acquire a shard. Fractions are
            cut off, since a Lease has whole seconds.
        renew_deadline: seconds within which a renewal must succeed, or the shard is lost.
        retry_period: seconds between two renewals of a Lease, and between two looks at all Leases.
        metrics_provider: receives metrics for each shard; None: the provider of `leaderelection.set_metrics_provider`.
        clock: measures the Leases.
        jitter: returns a number from 0 to 1, for each wait between two tries to acquire a shard.

    Raises:
        ValueError: the durations do not fit together, there are no shards, or a name is malformed or empty.
        TypeError: a callback is not callable, is async, or takes other arguments.

    Threads: the callbacks of a shard run on one thread, those of several shards at the same time. All methods but `run` may
        be called from any thread at any time.

    Example:
        elector = ShardElector(
            api_client, "default", "my-controller", shards=8, identity=f"{socket.gethostname()}_{uuid.uuid4()}",
            on_shard_started=run_shard,  # run_shard(shard, over) returns when the event `over` is set
            on_shard_stopped=lambda shard: None,
        )
        elector.run(stop_on_signals())
    """

    def __init__(
        self,
        api_client: Any,
        namespace: str,
        name: str,
        *,
        shards: int,
        identity: str,
        on_shard_started: Callable[[int, threading.Event], object],
        on_shard_stopped: Callable[[int], object],
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        metrics_provider: MetricsProvider | None = None,
        clock: Clock = LEASE_CLOCK,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        check_shard(0, shards)
        self._names = LeaseNames.checked(namespace, name, shards)
        check_function("on_shard_started", on_shard_started, 2)
        check_function("on_shard_stopped", on_shard_stopped, 1)
        self._config = ElectionConfig(
            lock=LeaseLock(api_client, namespace, self._names.member(0), identity, labels={LABEL: name}),
            lease_duration=lease_duration,
            renew_deadline=renew_deadline,
            retry_period=retry_period,
            on_started_leading=lambda _: None,
            on_stopped_leading=lambda: None,
            on_new_leader=None,
            release_on_cancel=True,
            clock=clock,
            jitter=jitter,
        )
        self._identity = identity
        self._run = ShardRun(
            api_client,
            self._names,
            self._config,
            wall=wall_time_of(clock),
            on_started=on_shard_started,
            on_stopped=on_shard_stopped,
            metrics_provider=metrics_provider,
        )
        self._lock = Lock()
        self._started = False  # guarded by _lock

    def __repr__(self) -> str:
        owned = ", ".join(map(str, sorted(self.owned))) or "none"
        return f"<ShardElector {self.name}: owns {owned} of {self._names.shards} shards>"

    @property
    def name(self) -> str:
        """The namespace and name, for messages."""
        return f"{self._names.namespace}/{self._names.name}"

    @property
    def owned(self) -> frozenset[int]:
        """The shards that this replica owns now: their Leases have not expired by the clock, and they are not handed over."""
        return self._run.owned()

    def run(self, stop: threading.Event) -> None:
        """Owns shards until `stop` is set; then hands all of them over, and returns when the callbacks have returned.

        Args:
            stop: set it to end the run.

        Raises:
            RuntimeError: the elector was started before.
            InformerForkedError: the elector was started before this process was forked from its parent.
            BaseException: what a callback raised. All shards are handed over first.

        Threads: blocks.
        """
        if self._run.is_forked:
            raise InformerForkedError(
                f"the shard elector {self.name} belongs to the process that this one was forked from: create an elector after "
                "the fork"
            )
        with self._lock:
            if self._started:
                raise RuntimeError(f"the shard elector {self.name} is already started: make a new one")
            self._started = True
        register(self._run, is_informer=False)
        withdraw = on_set(stop, self._run.begin_stop)
        try:
            self._run.run()
        finally:
            withdraw()

    def gate(self, api_client: Any, shard: int) -> Any:
        """Returns a view of an official `ApiClient` that refuses writes while this replica does not own a shard.

        It is like the view of `LeaderElector.gate`, whose documentation says what it does not promise. Callbacks that clean up
        after their event is set write through `api_client` itself.

        Args:
            api_client: a client of `kubernetes` or `kubernetes_asyncio`.
            shard: the shard whose objects are written.

        Raises:
            TypeError: it is not an official client.
            ValueError: the shard does not exist.
        """
        check_shard(shard, self._names.shards)

        def require(request: str) -> None:
            if shard not in self.owned:
                raise NotLeadingError(
                    f"failed to send {request}: this process does not own shard {shard} of {self.name}: return from "
                    "on_shard_started, and leave the write to the next owner"
                )

        return gated_client(api_client, require)

    def check(self, tolerance: float = 0.0) -> None:
        """Raises if a callback of a lost shard still runs. Call it in a liveness probe.

        Args:
            tolerance: seconds after the end of the lease during which the check still passes.

        Raises:
            LeaseNotRenewedError: this process should be restarted.
        """
        late = self._run.late(self._config.clock.monotonic() - tolerance)
        if late:
            raise LeaseNotRenewedError(
                f"the callbacks of shard {late[0]} of {self.name} have not returned, although its lease has expired and its "
                "event is set"
            )
