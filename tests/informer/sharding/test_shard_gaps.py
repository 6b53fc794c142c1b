"""How long a shard is without an owner: at most a lease duration and three retry periods after a fault."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from informer.sharding import ShardElector
from tests.informer.sharding.shard_model import (
    LEASE,
    PREFIX,
    RETRY,
    Connection,
    LeaseServer,
    Replica,
    in_memory,
    steady,
)
from watch import FakeClock
from watch.errors import RequestCancelledError

SHARDS = 12
LONGEST_GAP = LEASE + 3 * RETRY
JITTER = 1.2


class Process:
    """A replica that looks every retry period, from a moment of its own."""

    def __init__(self, server: LeaseServer, name: str, first_look: float, chance: random.Random) -> None:
        self.replica = Replica(Connection(server), SHARDS, name, lambda: False)
        self.resumes = 0.0  # when its pause ends
        self._next_look = first_look
        self._chance = chance
        self._next_tries: dict[Any, float] = {}

    def step(self, now: float) -> None:
        if now < self.resumes:
            return
        if now >= self._next_look:
            self._next_look = now + RETRY
            self.replica.look()
        for term in self.replica.terms():
            if now >= self._next_tries.get(term, 0.0):
                term.step()
                if term.is_acquiring:
                    self._next_tries[term] = now + RETRY * (1 + self._chance.random() * JITTER)
            if term.has_ended:
                self._next_look = now
        self.replica._collect()


class Fleet:
    """Processes that are killed, paused, stopped and added, and since when each shard has had no owner."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = FakeClock(1000.0)
        self.server = LeaseServer(self.clock)
        self.live: list[Process] = []
        self.leaving: list[Process] = []
        self.owned_at = dict.fromkeys(range(SHARDS), 1000.0)
        self.gap = 0.0

    def add(self, slowest_start: float) -> None:
        name, starts = f"{self.chance.random():.6f}", self.clock.monotonic() + self.chance.uniform(0.3, slowest_start)
        self.live.append(Process(self.server, name, starts, self.chance))

    def fault(self) -> None:
        victim = self.chance.choice(self.live)
        if self.chance.random() < 0.5:
            self.live.remove(victim)
            self.add(slowest_start=LEASE)
        else:
            victim.resumes = self.clock.monotonic() + self.chance.uniform(0.2, 1.5) * LEASE
        self.run(LONGEST_GAP + 1)

    def change(self) -> None:
        if len(self.live) < 4 or (len(self.live) < 6 and self.chance.random() < 0.5):
            self.add(slowest_start=4.0)
        else:
            self.leaving.append(self.live.pop(self.chance.randrange(len(self.live))))
            self.leaving[-1].replica.leave()
        self.run(self.chance.uniform(0.5, 3.0))

    def run(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while (now := self.clock.monotonic()) < end:
            for process in self.live + self.leaving:
                process.step(now)
                for shard in process.replica.owned():
                    self.gap = max(self.gap, now - self.owned_at[shard])
                    self.owned_at[shard] = now
            self.clock.step(0.1)
        self.gap = max(self.gap, *(end - at for at in self.owned_at.values()))


@pytest.mark.parametrize("seed", range(3))
def test_a_shard_has_an_owner_again_within_a_lease_and_three_retry_periods(seed: int) -> None:
    """Whatever the moments at which replicas look, and however slowly a new one starts."""
    with in_memory():
        fleet = Fleet(seed)
        for _ in range(4):
            fleet.add(slowest_start=4.0)
        fleet.run(3 * LEASE)
        fleet.gap = 0.0
        for _ in range(5):
            fleet.fault()
            for _ in range(fleet.chance.randrange(3)):
                fleet.change()
        assert fleet.gap <= LONGEST_GAP


def test_a_new_replica_acquires_what_a_dead_one_held_once_another_has_seen_it_expire() -> None:
    """It came when the Leases had nearly expired, and does not wait for another lease duration."""
    with in_memory():
        clock = FakeClock(1000.0)
        server = LeaseServer(clock)
        dead, other, third = (Replica(Connection(server), 6, name, lambda: False) for name in ("a", "b", "c"))
        steady([dead, other, third], clock, 2 * LEASE)
        assert len(dead.owned()) == 2
        steady([other, third], clock, LEASE - RETRY)
        new = Replica(Connection(server), 6, "new", lambda: False)
        steady([other, third, new], clock, 4 * RETRY)
        assert len(new.owned()) == 2
        assert new.owned() | other.owned() | third.owned() == frozenset(range(6))


def test_a_new_replica_does_not_count_dead_ones() -> None:
    """Their Leases expired long ago, so the others have released them."""
    with in_memory():
        clock = FakeClock(1000.0)
        server = LeaseServer(clock)
        run = [Replica(Connection(server), 6, name, lambda: False) for name in "abc"]
        steady(run, clock, 2 * LEASE)
        steady(run[:1], clock, 2 * LEASE)
        new = Replica(Connection(server), 6, "new", lambda: False)
        steady([run[0], new], clock, 3 * RETRY)
        assert len(new.owned()) == 3


def test_a_stop_leaves_no_lease_behind_that_an_attempt_has_acquired_meanwhile() -> None:
    """The server stores the request, and the replica cancels it."""

    class Late(Connection):
        def send_json(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
            answer = super().send_json(method, path, body, **options)
            if method == "PUT" and path == f"{PREFIX}/work-0" and not stop.is_set():
                stop.set()
                raise RequestCancelledError("it is stopped")
            return answer

    stop = threading.Event()
    with in_memory():
        server = LeaseServer(FakeClock(1000.0))
        lease = {"metadata": {"name": "work-0"}, "spec": {"holderIdentity": ""}}
        server.answer("POST", PREFIX, lease)
        elector = ShardElector(
            Late(server),
            "ns",
            "work",
            shards=1,
            identity="a",
            on_shard_started=lambda shard, over: None,
            on_shard_stopped=lambda shard: None,
        )
        elector.run(stop)
        assert stop.is_set()
        assert server.leases["work-0"]["spec"]["holderIdentity"] == ""
