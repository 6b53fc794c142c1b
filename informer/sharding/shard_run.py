"""The run of a shard elector: looks at all Leases every retry period, and acquires shards or hands them over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from informer.leaderelection.candidate import Candidate
from informer.leaderelection.config import ElectionConfig
from informer.leaderelection.lease_lock import LeaseLock
from informer.leaderelection.metrics import ElectionMetrics, MetricsProvider, metrics_for
from informer.leaderelection.term import LeaderTask
from informer.rate_limited_log import rate_limited
from informer.sharding.leases import LABEL, LeaseNames, ListedLeases, ShardLock, list_leases
from informer.sharding.membership import Membership
from informer.sharding.plan import View, plan_for
from informer.sharding.shard_term import ShardTerm
from watch.concurrency import Signal, on_set
from watch.errors import RequestCancelledError
from watch.logs import get_logger
from watch.request_scope import RequestScope

__all__ = ["ShardRun"]

_log = get_logger(__name__)


class ShardRun:
    """The run of a `ShardElector`.

    One thread looks at the Leases, renews the Lease that makes this replica known, and starts and stops the terms of shards.
    Each term has threads of its own, so that a slow request for one shard does not cost another one.

    Args:
        api_client: as of `ShardElector`.
        names: the names of the Leases.
        config: the durations, clock and identity; its lock and callbacks are replaced.
        wall: returns the time of day, which is written into Leases for people to read.
        on_started: called with a shard and its event.
        on_stopped: called with a shard.
        metrics_provider: receives metrics for each shard.

    Attributes:
        is_forked: whether this process was forked from the one that runs it.

    Threads: `run` is called once, on one thread. All else may be used from any thread.
    """

    def __init__(
        self,
        api_client: Any,
        names: LeaseNames,
        config: ElectionConfig,
        *,
        wall: Callable[[], float],
        on_started: Callable[[int, threading.Event], object],
        on_stopped: Callable[[int], object],
        metrics_provider: MetricsProvider | None,
    ) -> None:
        self.is_forked = False
        self._api_client = api_client
        self._names = names
        self._config = config
        self._clock = config.clock
        self._wall = wall
        self._on_started, self._on_stopped = on_started, on_stopped
        self._listed = ListedLeases(names.all(), config.lease_duration)
        identity, labels = config.lock.identity, {LABEL: names.name}
        self._locks = [
            ShardLock(
                api_client, names.namespace, names.shard(i), identity, partial(self._may_create, i), labels=labels
            )
            for i in range(names.shards)
        ]
        self._candidates = [
            self._shard_candidate(lock, metrics_for(lock.describe(), partial(self._owns, i), metrics_provider))
            for i, lock in enumerate(self._locks)
        ]
        places = [names.member(i) for i in range(names.shards)]
        locks = [LeaseLock(api_client, names.namespace, place, identity, labels=labels) for place in places]
        self._members = Membership(places, [self._candidate(lock) for lock in locks], identity, config.request_timeout)
        # By shard; replaced as a whole, for readers on other threads.
        self._terms: dict[int, ShardTerm] = {}
        self._tasks: dict[int, LeaderTask | None] = {}  # of the last term of each shard
        self._stop = Signal()
        self._changed = Signal()  # ends a wait: stopped, or a term has ended
        self._ended = Signal()
        self._failure: BaseException | None = None
        self._limited = rate_limited(_log)

    def owned(self) -> frozenset[int]:
        """Returns the shards that this replica owns."""
        return frozenset() if self.is_forked else frozenset(i for i, term in self._terms.items() if term.is_owned)

    def late(self, moment: float) -> list[int]:
        """Returns the shards whose callbacks still run although their lease expired before a moment of the clock."""
        tasks = {**self._tasks, **{i: term.task for i, term in self._terms.items()}}
        return sorted(i for i, task in tasks.items() if task is not None and task.outlived_lease(moment))

    def run(self) -> None:
        """Runs until it is stopped, and then until all callbacks have returned. Raises what a callback raised."""
        try:
            while not self._stop.is_set() and self._failure is None:
                self._changed.clear()
                self._look()
                if not self._stop.is_set():
                    self._clock.wait(self._changed, self._config.retry_period)
                self._collect()
        finally:
            self._stop.set()
            self._end()
            self._ended.set()
        if self._failure is not None:
            raise self._failure

    # Called by informer.process, at exit and after a fork.

    def begin_stop(self) -> None:
        """Ends the run, without waiting."""
        self._stop.set()
        self._changed.set()

    def stop(self, timeout: float = 0.0, *, drain: bool = True) -> bool:
        """Ends the run and waits at most `timeout` seconds for it; returns whether it has ended."""
        self.begin_stop()
        return self._ended.wait(timeout)

    def die_in_child(self) -> None:
        """Marks the run as not this process's, in a forked child: only the parent owns shards."""
        self.is_forked = True
        for term in self._terms.values():
            term.election.die_in_child()
        self._terms, self._tasks = {}, {}

    def _look(self) -> None:
        """Looks at all Leases, and acts on what has changed."""
        scope = RequestScope()
        withdraw = on_set(self._stop, scope.cancel)
        try:
            with scope:
                listed = list_leases(self._api_client, self._names, self._config.request_timeout)
                now = self._clock.monotonic()
                self._listed.update(listed, now)
                for i in range(self._names.shards):
                    self._observe(i)
                members = self._members.renew(self._listed, now)
        except RequestCancelledError:
            return
        # A user's client may raise anything. The shards that are owned stay: their own requests decide.
        except Exception as error:
            self._limited.warning("failed to look at the Leases of %s: %s", self._names.name, error)
            return
        finally:
            withdraw()
        if not self._stop.is_set():
            self._act(members, self._clock.monotonic())

    def _observe(self, shard: int) -> None:
        """Tells a candidate since when its Lease has not changed, so that it need not wait for another lease duration."""
        record, since = self._listed[self._names.shard(shard)]
        if shard not in self._terms and record is not None:
            self._candidates[shard].observe(record, since)

    def _act(self, members: frozenset[str], now: float) -> None:
        held, free, stale = {}, set(), set()
        longest = self._candidates[0].longest_foreign
        for i in range(self._names.shards):
            observed = self._listed[self._names.shard(i)]
            holder = "" if observed.record is None else observed.record.holder_identity
            # A Lease that this replica has lost, for example in a pause, and that no other one has taken yet, is its own again.
            is_left = holder == self._config.lock.identity and i not in self._terms
            if holder and not is_left and observed.is_held(now, longest):
                held[i] = holder
            elif observed.record is not None or self._may_create(i):
                free.add(i)
                if holder and i not in self._terms:
                    stale.add(i)
        terms = self._terms
        owned = {i for i, term in terms.items() if term.is_owned}
        acquiring = {i for i, term in terms.items() if term.is_acquiring}
        busy = terms.keys() - owned - acquiring
        view = View(members, held, frozenset(free - busy))
        plan = plan_for(self._config.lock.identity, self._names.shards, view, owned, acquiring)
        _log.debug("%s: %s; owned: %s: %s", self._names.name, view, sorted(owned), plan)
        for i in plan.release:
            _log.info("%s hands over shard %d of %s", self._config.lock.identity, i, self._names.name)
            terms[i].hand_over()
        if plan.acquire:
            self._terms = {**terms, **{i: self._term(i) for i in plan.acquire}}
            for i in plan.acquire:
                self._terms[i].start()
        self._release(stale.difference(plan.acquire))

    def _release(self, shards: set[int]) -> None:
        """Releases Leases that this replica does not want, and whose holder does not own them any more.

        The holder is dead, or it is this replica, which cancelled an attempt too late. The replica that is to acquire the
        shard may be new, and then cannot tell that the Lease has expired before it has seen it for a lease duration.
        """
        for i in sorted(shards):
            task = self._tasks.get(i)
            if task is None or task.ended.is_set():
                deadline = self._clock.monotonic() + self._config.request_timeout
                if self._stop.is_set() or not self._candidates[i].try_release(deadline, expired=True):
                    break

    def _term(self, shard: int) -> ShardTerm:
        lock = self._locks[shard]
        return ShardTerm(
            shard,
            lambda lead: replace(self._config, lock=lock, on_started_leading=lead),
            self._candidates[shard],
            self._tasks.get(shard),
            on_started=self._on_started,
            on_stopped=self._on_stopped,
            on_end=self._changed.set,
        )

    def _collect(self) -> None:
        """Forgets the terms that have ended."""
        ended = {i: term for i, term in self._terms.items() if term.has_ended}
        for i, term in ended.items():
            term.join()
            self._tasks[i] = term.task
            if self._failure is None:
                self._failure = term.failure
        self._terms = {i: term for i, term in self._terms.items() if i not in ended}

    def _end(self) -> None:
        # First, so that the other replicas take the shards as soon as they are released.
        self._members.leave(self._clock.monotonic() + self._config.request_timeout)
        acquiring = [i for i, term in self._terms.items() if term.is_acquiring]
        for term in self._terms.values():
            term.hand_over()
        for term in self._terms.values():
            while not term.join(self._config.lease_duration):
                _log.warning(
                    "shard %d of %s is not released: its callbacks have not returned, although its event is set",
                    term.shard,
                    self._names.name,
                )
        self._collect()
        for i in acquiring:
            # The attempt may have reached the server before it was cancelled.
            self._candidates[i].try_release(self._clock.monotonic() + self._config.request_timeout)

    def _candidate(self, lock: LeaseLock, on_slow_path: Callable[[], object] = lambda: None) -> Candidate:
        return Candidate(
            lock,
            self._config.lease_duration,
            clock=self._clock,
            wall=self._wall,
            timeout=self._config.request_timeout,
            on_slow_path=on_slow_path,
        )

    def _shard_candidate(self, lock: LeaseLock, metrics: ElectionMetrics) -> Candidate:
        candidate = self._candidate(lock, metrics.slow_path_taken)
        metrics.read_leader_from(lambda: candidate.record.holder_identity)
        return candidate

    def _owns(self, shard: int) -> bool:
        return shard in self.owned()

    def _may_create(self, shard: int) -> bool:
        now = self._clock.monotonic()
        if now < self._candidates[shard].lease_end:
            return True
        return self._listed.absent_for(self._names.shard(shard), now) >= self._config.lease_duration
