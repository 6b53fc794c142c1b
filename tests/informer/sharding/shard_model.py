"""Replicas of a shard elector on one thread: real Leases, candidates and plans, on a server and a clock in memory.

Each request may be interrupted by steps of other replicas, by time that passes, by an outage or by a lost answer. So all
interleavings of requests can come.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from informer.leaderelection.candidate import Candidate
from informer.leaderelection.config import ElectionConfig
from informer.leaderelection.lease_lock import LeaseLock
from informer.sharding.leases import LeaseNames
from informer.sharding.shard_run import ShardRun
from watch import ApiError, FakeClock
from watch.concurrency import Signal

LEASE, RENEW, RETRY = 15.0, 10.0, 2.0
PREFIX = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"


class LeaseServer:
    """Stores Leases."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.leases: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.deleted_at: dict[str, float] = {}

    def answer(self, method: str, path: str, body: Any) -> Any:
        if method == "GET" and "?" in path:
            assert "informer.sharding/name=work" in unquote(path)
            return {"kind": "LeaseList", "items": list(self.leases.values())}
        name = body["metadata"]["name"] if method == "POST" else path.removeprefix(PREFIX + "/")
        stored = self.leases.get(name)
        if method == "POST":
            if stored is not None:
                raise ApiError(409, "AlreadyExists", "it is there")
            return self._store(name, body)
        if stored is None:
            raise ApiError(404, "NotFound", "it does not exist")
        if method == "GET":
            return stored
        assert method == "PUT"
        if body["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it has changed")
        return self._store(name, body)

    def delete(self, name: str) -> None:
        """Deletes a Lease, unless it was deleted within a lease duration: see docs/decisions/sharding.md."""
        if self.clock.monotonic() - self.deleted_at.get(name, -1e9) > 2 * LEASE and self.leases.pop(name, None):
            self.deleted_at[name] = self.clock.monotonic()

    def _store(self, name: str, body: Any) -> Any:
        self.version += 1
        stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.leases[name] = stored
        return stored


class Connection:
    """A replica's connection to the server, in place of its transport."""

    def __init__(self, server: LeaseServer) -> None:
        self.server = server
        self.is_down = False
        self.before: Callable[[], object] = lambda: None
        self.loses: Callable[[], bool] = lambda: False

    def send_json(self, method: str, path: str, body: Any = None, **_: Any) -> Any:
        self.before()
        if self.is_down:
            raise ConnectionError("the server is down")
        answer = self.server.answer(method, path, body)
        if self.loses():
            raise ConnectionError("the answer is lost")
        self.before()
        return answer


class ModelTerm:
    """A `ShardTerm` whose thread is `step`, on the same terms as an `ElectionRun`."""

    task = None
    failure = None

    def __init__(self, shard: int, candidate: Candidate, clock: FakeClock, slow: Callable[[], bool]) -> None:
        self.shard = shard
        self.over = Signal()
        self.has_ended = False
        self._candidate = candidate
        self._clock = clock
        self._is_slow = slow
        self._deadline: float | None = None  # None while acquiring
        self._renewed = 0.0

    def start(self) -> ModelTerm:
        return self

    def join(self, timeout: float | None = None) -> bool:
        return True

    @property
    def is_in_term(self) -> bool:
        """Whether the callbacks may still run within the lease."""
        return not self.has_ended and self._deadline is not None and self._clock.monotonic() < self._deadline

    @property
    def is_owned(self) -> bool:
        return self.is_in_term and not self.over.is_set()

    @property
    def is_acquiring(self) -> bool:
        return self._deadline is None and not self.over.is_set()

    def hand_over(self) -> None:
        self.over.set()

    def step(self) -> None:
        if self.has_ended:
            return
        if self._deadline is None:
            self._acquire()
        elif not self.is_in_term:
            self.over.set()
            self.has_ended = True
        elif self.over.is_set() and not self._is_slow():
            self.has_ended = True  # the callbacks have returned
            self._candidate.try_release(self._clock.monotonic() + RENEW)
        elif self._clock.monotonic() >= self._renewed + RETRY:
            self._renew()

    def _acquire(self) -> None:
        if self.over.is_set():
            self.has_ended = True
        elif self._candidate.try_acquire_or_renew() and self._clock.monotonic() < self._candidate.lease_end:
            self._renewed = self._clock.monotonic()
            self._deadline = self._candidate.lease_end

    def _renew(self) -> None:
        assert self._deadline is not None
        self._deadline = min(self._deadline, max(self._renewed, self._clock.monotonic()) + RENEW)
        began = self._clock.monotonic()
        renewed = self._candidate.try_acquire_or_renew()
        # A term that has ended never begins again.
        if renewed and self._clock.monotonic() < min(self._deadline, self._candidate.lease_end):
            self._deadline, self._renewed = self._candidate.lease_end, began
        elif not renewed and not self._candidate.is_holder:
            self._deadline = began
        if not self.is_in_term:
            self._deadline = min(self._deadline, self._clock.monotonic())


class Replica(ShardRun):
    """A replica without threads."""

    def __init__(self, connection: Connection, shards: int, identity: str, slow: Callable[[], bool]) -> None:
        self.connection = connection
        self.identity = identity
        self.is_leaving = False
        self._is_slow = slow
        clock = connection.server.clock
        config = ElectionConfig(
            lock=LeaseLock(connection, "ns", "work", identity),
            lease_duration=LEASE,
            renew_deadline=RENEW,
            retry_period=RETRY,
            on_started_leading=lambda _: None,
            on_stopped_leading=lambda: None,
            on_new_leader=None,
            release_on_cancel=True,
            clock=clock,
            jitter=lambda: 0.0,
        )
        super().__init__(
            connection,
            LeaseNames("ns", "work", shards),
            config,
            wall=clock.monotonic,
            on_started=lambda shard, over: None,
            on_stopped=lambda shard: None,
            metrics_provider=None,
        )

    def look(self) -> None:
        """What the thread of `run` does in one retry period."""
        if not self.is_leaving:
            self._look()
        self._collect()

    def terms(self) -> list[ModelTerm]:
        return list(self._terms.values())  # type: ignore[arg-type]

    def in_term(self) -> list[int]:
        return [term.shard for term in self.terms() if term.is_in_term]

    def step_term(self, number: int) -> None:
        terms = self.terms()
        if terms:
            terms[number % len(terms)].step()
            self._collect()

    def leave(self) -> None:
        """Begins to stop: the place is given up first, then the shards are handed over."""
        self.is_leaving = True
        self._members.leave(self._clock.monotonic() + RENEW)
        for term in self.terms():
            term.hand_over()

    def _term(self, shard: int) -> Any:
        return ModelTerm(shard, self._candidates[shard], self._clock, self._is_slow)  # type: ignore[arg-type]


def steady(replicas: list[Replica], clock: FakeClock, seconds: float) -> None:
    """Lets all replicas take all their steps for some time."""
    end = clock.monotonic() + seconds
    while clock.monotonic() < end:
        for replica in replicas:
            replica.look()
            for term in replica.terms():
                term.step()
            replica._collect()
        clock.step(RETRY / 2)


@contextlib.contextmanager
def in_memory() -> Iterator[None]:
    """Connections take the place of transports, and requests have no time limit, which takes a thread."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("informer.leaderelection.lease_lock", "informer.sharding.leases"):
            patch.setattr(f"{module}.transport_for", lambda connection: connection)
        patch.setattr("informer.sharding.leases.time_limit", lambda seconds: contextlib.nullcontext())
        patch.setattr("informer.rate_limited_log._PERIOD", 1e9, raising=False)
        yield
