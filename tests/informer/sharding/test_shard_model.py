"""A shard never has two owners, and soon has one: in any interleaving of requests, outages, pauses and deletions.

A few examples run by default. To search for failures:

    FUZZ_EXAMPLES=5000 FUZZ_STEPS=200 python -m pytest tests/informer/sharding/test_shard_model.py --timeout=0
"""

from __future__ import annotations

import logging
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.informer.sharding.shard_model import LEASE, RETRY, Connection, LeaseServer, Replica, in_memory, steady
from watch import FakeClock

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))
STEPS = int(os.environ.get("FUZZ_STEPS", "60"))
PHASES = [Phase.generate, *([Phase.shrink] if os.environ.get("FUZZ_SHRINK") else [])]
NUMBER = st.integers(0, 20)
# What happens during a request: nothing, time passes, another replica looks or takes a step with a shard.
MEANWHILE = st.one_of(st.none(), st.floats(0.1, 12.0), st.tuples(NUMBER, st.none()), st.tuples(NUMBER, NUMBER))


class ShardMachine(RuleBasedStateMachine):
    """Up to four replicas of up to four shards."""

    @initialize(shards=st.integers(1, 4))
    def begin(self, shards: int) -> None:
        self.clock = FakeClock(1000.0)
        self.server = LeaseServer(self.clock)
        self.shards = shards
        self.live: list[Replica] = []
        self.leaving: list[Replica] = []
        self.paused: set[str] = set()
        self.made = 0
        self.meanwhile: list[object] = []
        self.lost: list[bool] = []
        self.is_slow = False
        self.busy: list[Replica] = []
        self.add()

    @rule()
    def add(self) -> None:
        if len(self.live) < 4:
            self.made += 1
            connection = Connection(self.server)
            replica = Replica(connection, self.shards, f"r{self.made}", lambda: self.is_slow)
            connection.before = lambda: self.interrupt()
            connection.loses = lambda: bool(self.lost) and self.lost.pop()
            self.live.append(replica)

    @rule(number=NUMBER, meanwhile=st.lists(MEANWHILE, max_size=6))
    def look(self, number: int, meanwhile: list[object]) -> None:
        """A replica looks at the Leases; things happen during its requests."""
        self.meanwhile = meanwhile
        self.act(number, None)
        self.meanwhile = []

    @rule(number=NUMBER, term=NUMBER, meanwhile=st.lists(MEANWHILE, max_size=6))
    def step(self, number: int, term: int, meanwhile: list[object]) -> None:
        """A replica tries to acquire a shard, renews its Lease, or gives it up."""
        self.meanwhile = meanwhile
        self.act(number, term)
        self.meanwhile = []

    @rule(seconds=st.sampled_from([0.5, RETRY, 5.0, 11.0, LEASE, 40.0]))
    def wait(self, seconds: float) -> None:
        """No replica runs: all processes are stopped, or the machine is."""
        self.clock.step(seconds)

    @rule(rounds=st.integers(1, 12))
    def run_on(self, rounds: int) -> None:
        """All replicas that are not paused run."""
        for _ in range(rounds):
            steady([each for each in self.live + self.leaving if each.identity not in self.paused], self.clock, RETRY)
            self.one_owner()

    @rule(number=NUMBER)
    def pause(self, number: int) -> None:
        """A replica is stopped for a while, or goes on."""
        if self.live:
            self.paused ^= {self.live[number % len(self.live)].identity}

    @rule(number=NUMBER)
    def outage(self, number: int) -> None:
        """The server is not reached by one replica, or is again."""
        if self.live:
            connection = self.live[number % len(self.live)].connection
            connection.is_down = not connection.is_down

    @rule(lost=st.lists(st.booleans(), max_size=5))
    def lose_answers(self, lost: list[bool]) -> None:
        self.lost = lost

    @rule(slow=st.booleans())
    def slow_callbacks(self, slow: bool) -> None:
        """While they are slow, callbacks do not return."""
        self.is_slow = slow

    @rule(number=NUMBER, everything=st.booleans())
    def delete(self, number: int, everything: bool) -> None:
        """A user deletes one Lease, or all of them."""
        names = sorted(self.server.leases)
        for name in names if everything else names[number % max(1, len(names)) :][:1]:
            self.server.delete(name)

    @rule(number=NUMBER)
    def kill(self, number: int) -> None:
        if len(self.live) > 1:
            self.live.pop(number % len(self.live))

    @rule(number=NUMBER)
    def leave(self, number: int) -> None:
        """A replica is asked to stop."""
        if len(self.live) > 1:
            replica = self.live.pop(number % len(self.live))
            if replica not in self.busy:
                replica.leave()
                self.leaving.append(replica)

    def act(self, number: int, term: int | None) -> None:
        ready = [each for each in self.live if each.identity not in self.paused and each not in self.busy]
        if not ready:
            return
        replica = ready[number % len(ready)]
        self.busy.append(replica)
        try:
            if term is None:
                replica.look()
            else:
                replica.step_term(term)
        finally:
            self.busy.remove(replica)

    def interrupt(self) -> None:
        if not self.meanwhile:
            return
        what = self.meanwhile.pop()
        if isinstance(what, float):
            self.clock.step(what)
        elif isinstance(what, tuple):
            self.act(*what)
        self.one_owner()

    @invariant()
    def one_owner(self) -> None:
        """The callbacks of a shard run within a lease in one replica at most."""
        if hasattr(self, "live"):
            counts = Counter(shard for each in self.live + self.leaving for shard in each.in_term())
            assert all(count == 1 for count in counts.values()), counts

    def teardown(self) -> None:
        """Once all faults are over, each shard has an owner, and the numbers are fair, within two lease durations."""
        if not hasattr(self, "live"):
            return
        self.paused, self.lost, self.is_slow, self.meanwhile = set(), [], False, []
        for each in self.live:
            each.connection.is_down = False
        self.leaving = [each for each in self.leaving if not each.connection.is_down]
        steady(self.live + self.leaving, self.clock, 2 * LEASE)
        self.one_owner()
        owned = [len(each.owned()) for each in self.live]
        assert sum(owned) == self.shards, owned
        assert max(owned) - min(owned) <= 1, owned


def test_a_shard_has_one_owner_at_most_and_soon_has_one() -> None:
    logging.getLogger("informer").setLevel(logging.CRITICAL)
    try:
        with in_memory():
            run_state_machine_as_test(
                ShardMachine,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    phases=PHASES,
                    suppress_health_check=list(HealthCheck),
                ),
            )
    finally:
        logging.getLogger("informer").setLevel(logging.NOTSET)


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_no_more_shards_move_than_needed(replicas: int) -> None:
    """A replica that comes gets its part only; the parts of one that goes are spread over the others."""
    with in_memory():
        clock = FakeClock(1000.0)
        server = LeaseServer(clock)
        run = [Replica(Connection(server), 8, f"r{i}", lambda: False) for i in range(replicas)]
        steady(run, clock, 2 * LEASE)
        before = {each.identity: each.owned() for each in run}
        assert sorted(shard for owned in before.values() for shard in owned) == list(range(8))
        run.append(Replica(Connection(server), 8, "new", lambda: False))
        steady(run, clock, 5 * RETRY)
        came = run[-1].owned()
        assert len(came) in (8 // (replicas + 1), -(-8 // (replicas + 1)))
        assert all(before[each.identity] - each.owned() <= came for each in run[:-1])
        before = {each.identity: each.owned() for each in run}
        gone = run.pop(0)
        gone.leave()
        steady([gone, *run], clock, 5 * RETRY)
        assert sum(len(each.owned()) for each in run) == 8
        assert all(before[each.identity] <= each.owned() for each in run)


def test_the_shards_of_a_dead_replica_are_taken_over_after_its_lease() -> None:
    """Not before it has expired, and within a few retry periods."""
    with in_memory():
        clock = FakeClock(1000.0)
        server = LeaseServer(clock)
        one, other = (Replica(Connection(server), 4, name, lambda: False) for name in ("a", "b"))
        steady([one, other], clock, 2 * LEASE)
        assert len(one.owned()) == len(other.owned()) == 2
        steady([other], clock, LEASE - RETRY)
        assert len(other.owned()) == 2
        steady([other], clock, 3 * RETRY)
        assert other.owned() == frozenset(range(4))


def test_more_replicas_than_shards_wait() -> None:
    """One of them takes a shard when its owner leaves."""
    with in_memory():
        clock = FakeClock(1000.0)
        server = LeaseServer(clock)
        run = [Replica(Connection(server), 2, f"r{i}", lambda: False) for i in range(4)]
        steady(run, clock, 2 * LEASE)
        assert sorted(len(each.owned()) for each in run) == [0, 0, 1, 1]
        (first, *_) = gone = [each for each in run if each.owned()]
        first.leave()
        run.remove(first)
        steady([first, *run], clock, 5 * RETRY)
        assert sorted(len(each.owned()) for each in run) == [0, 1, 1]
        assert gone[1].owned()


def test_a_replica_that_goes_on_after_a_pause_takes_its_shards_at_once() -> None:
    """Its Leases have expired and still name it. The others do not take them, since it is known to be there again."""
    with in_memory():
        clock = FakeClock(1000.0)
        server = LeaseServer(clock)
        run = [Replica(Connection(server), 4, name, lambda: False) for name in ("a", "b")]
        steady(run, clock, 2 * LEASE)
        owned = run[0].owned()
        clock.step(LEASE + 1)
        steady(run, clock, 3 * RETRY)
        assert run[0].owned() == owned
        assert len(run[1].owned()) == 2
