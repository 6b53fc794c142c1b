"""One attempt: whose the lease is afterwards, and what was asked of the server."""

from __future__ import annotations

import logging
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

import pytest

from informer.leaderelection import LeaderElectionRecord
from informer.leaderelection.candidate import Candidate, _Seen
from informer.leaderelection.record import micro_time
from watch import ApiError, FakeClock
from watch.errors import RequestCancelledError

EMPTY = LeaderElectionRecord()
LONG = 3_600_000.0


class Row(NamedTuple):
    stored: LeaderElectionRecord | None
    seen: LeaderElectionRecord | None
    seen_ago: float
    succeeds: bool
    holder: str
    transitions: int
    calls: list[str]


def held_by(identity: str, seconds: int = 0) -> LeaderElectionRecord:
    return LeaderElectionRecord(identity, seconds)


ROWS = {
    "no lease": Row(None, None, 0, True, "baz", 0, ["get", "create"]),
    "lease without a record": Row(EMPTY, None, 0, True, "baz", 1, ["get", "update"]),
    "empty record": Row(LeaderElectionRecord("", 0), EMPTY, 0, True, "baz", 1, ["get", "update"]),
    "held, not renewed": Row(held_by("bing"), held_by("bing"), LONG, True, "baz", 1, ["get", "update"]),
    "no holder, seen in the future": Row(EMPTY, EMPTY, -LONG, True, "baz", 1, ["get", "update"]),
    "held, new to us": Row(held_by("bing", 10), None, 0, False, "bing", 0, ["get"]),
    "our own": Row(held_by("baz"), held_by("baz"), -LONG, True, "baz", 0, ["get", "update"]),
}


def see(candidate: Candidate, record: LeaderElectionRecord, at: float) -> None:
    candidate._seen = _Seen(record, at)
    candidate._read = record


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_one_attempt(row: Row, lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock) -> None:
    """Go: TestTryAcquireOrRenewLeases. Who holds the lease after one attempt, how often it has changed hands, and the calls."""
    lease.record = row.stored
    lock = make_lock()
    candidate = make_candidate(lock=lock, lease_duration=10)
    if row.seen is not None:
        see(candidate, row.seen, clock.monotonic() - row.seen_ago)
    assert candidate.try_acquire_or_renew() is row.succeeds
    assert candidate.record.holder_identity == row.holder
    assert candidate.record.leader_transitions == row.transitions
    assert lock.calls == row.calls
    assert candidate.is_holder is (row.holder == "baz")


def test_a_lease_is_taken_when_its_duration_has_passed_since_it_was_first_seen(
    lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """Go: TestTryAcquireOrRenewLeases. Held for 3 s and seen just now: the first try fails, one 3 s later succeeds."""
    lease.record = held_by("bing", 3)
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    assert not candidate.try_acquire_or_renew()
    clock.step(3)
    assert candidate.try_acquire_or_renew()
    assert (candidate.record.holder_identity, candidate.record.leader_transitions) == ("baz", 1)
    assert lock.calls == ["get", "get", "update"]


def test_leases_by_the_clock(lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock) -> None:
    """client-go source. Three candidates by one clock: renewals, a take-over at exactly the lease's end, a release."""
    locks = {name: make_lock(name) for name in "abc"}
    a, b, c = (make_candidate(lock=locks[name]) for name in "abc")
    assert a.try_acquire_or_renew()
    assert lease.record == LeaderElectionRecord("a", 15, micro_time(1000), micro_time(1000), 0)
    clock.step(5)
    assert a.try_acquire_or_renew()
    assert locks["a"].calls == ["get", "create", "update"]
    assert lease.record == LeaderElectionRecord("a", 15, micro_time(1000), micro_time(1005), 0)
    assert not b.try_acquire_or_renew()
    assert locks["b"].calls == ["get"]
    clock.step(14)
    assert not b.try_acquire_or_renew()
    clock.step(1)
    assert b.try_acquire_or_renew()
    assert lease.record == LeaderElectionRecord("b", 15, micro_time(1020), micro_time(1020), 1)
    clock.step(16)
    locks["b"].calls.clear()
    assert b.try_acquire_or_renew(), "late, and nobody else has taken it"
    assert locks["b"].calls == ["get", "update"]
    assert lease.record == LeaderElectionRecord("b", 15, micro_time(1020), micro_time(1036), 1)
    assert b.try_release(clock.monotonic() + 10)
    assert (lease.record.holder_identity, lease.record.lease_duration_seconds) == ("", 1)
    assert lease.record.leader_transitions == 1
    assert c.try_acquire_or_renew()
    assert lease.record == LeaderElectionRecord("c", 15, micro_time(1036), micro_time(1036), 2)


def test_the_times_in_a_lease_decide_nothing(lease: Any, make_candidate: Any, clock: FakeClock) -> None:
    """client-go source. A holder whose clock is a year off keeps its lease by changing the record, and only so."""
    candidate = make_candidate()
    for year in (1999, 2030, 2001):
        lease.write(LeaderElectionRecord("bing", 15, "", f"{year}-01-01T00:00:00.000000Z"))
        assert not candidate.try_acquire_or_renew()
        clock.step(14)
        assert not candidate.try_acquire_or_renew()
    clock.step(1)
    assert candidate.try_acquire_or_renew()


def test_a_renewal_within_the_same_second_counts(lease: Any, make_candidate: Any, clock: FakeClock) -> None:
    """Microseconds are compared: a short lease that is renewed several times a second lasts as long as its holder thinks."""
    candidate = make_candidate()
    lease.write(LeaderElectionRecord("bing", 3, "", "2026-01-01T00:00:00.100000Z"))
    assert not candidate.try_acquire_or_renew()
    clock.step(2)
    lease.write(LeaderElectionRecord("bing", 3, "", "2026-01-01T00:00:00.900000Z"))
    assert not candidate.try_acquire_or_renew()
    clock.step(2)
    assert not candidate.try_acquire_or_renew()
    clock.step(1)
    assert candidate.try_acquire_or_renew()


@pytest.mark.parametrize(
    ("duration", "written", "own"), [(15, 15, 15), (3.9, 3, 3), (0.5, 1, 0.5)], ids=["whole", "fraction", "below one"]
)
def test_others_wait_for_as_long_as_we_count_on(
    duration: float, written: int, own: float, lease: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """client-go source. A Lease has whole seconds; ours never lasts longer than those, and nobody is told of less than one."""
    candidate = make_candidate(lease_duration=duration)
    assert candidate.try_acquire_or_renew()
    assert lease.record.lease_duration_seconds == written
    assert candidate.lease_end == clock.monotonic() + own


def test_a_lease_lasts_from_when_it_was_asked_for(make_lock: Any, make_candidate: Any, clock: FakeClock) -> None:
    """An answer that is late brings a lease that is as much shorter."""
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    lock.after = lambda verb, number: clock.step(4)
    assert candidate.try_acquire_or_renew()
    assert lock.calls == ["get", "create"]
    assert candidate.lease_end == 1000 + 15, "the first answer was that there is no lease, and brought by an error"
    assert candidate.try_acquire_or_renew()
    assert candidate.lease_end == 1004 + 15


def test_a_leader_that_lost_its_lease_unawares_does_not_get_it_back_by_renewing(
    lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """A renewal carries the version that was seen last: it is a conflict, and what is read then says who leads."""
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    assert candidate.try_acquire_or_renew()
    lease.write(held_by("bing", 15))
    assert not candidate.try_acquire_or_renew()
    assert lock.calls == ["get", "create", "update", "get"]
    assert (candidate.is_holder, candidate.record.holder_identity) == (False, "bing")
    assert candidate.lease_end < clock.monotonic()


def test_a_renewal_whose_answer_was_lost_is_made_up_for(lease: Any, make_lock: Any, make_candidate: Any) -> None:
    """The next one is a conflict with the one before, and then the slow path keeps what is there."""
    slow: list[int] = []
    lock = make_lock()
    candidate = make_candidate(lock=lock, on_slow_path=lambda: slow.append(1))
    assert candidate.try_acquire_or_renew()

    def lose(verb: str, number: int) -> None:
        if number == 3:
            raise ConnectionResetError("lost")

    lock.after = lose
    begun = lease.record.acquire_time
    assert candidate.try_acquire_or_renew()
    assert lock.calls == ["get", "create", "update", "get", "update"]
    assert slow == [1]
    assert (lease.record.acquire_time, lease.record.leader_transitions) == (begun, 0)


@pytest.mark.parametrize(
    "error",
    [ApiError(500, "InternalError"), ConnectionRefusedError(), TimeoutError(), KeyError("odd"), ValueError()],
    ids=repr,
)
@pytest.mark.parametrize("verb", ["get", "create", "update"])
def test_whatever_fails_is_a_lost_attempt(
    error: Exception, verb: str, lease: Any, make_lock: Any, make_candidate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged and nothing more; the attempt after that may succeed."""
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    lease.record = EMPTY if verb == "update" else None

    def fail(called: str, number: int) -> None:
        if called == verb:
            raise error

    lock.before = fail
    with caplog.at_level(logging.WARNING):
        assert not candidate.try_acquire_or_renew()
    assert "foo/bar" in caplog.text
    assert not candidate.is_holder
    lock.before = lambda verb, number: None
    assert candidate.try_acquire_or_renew()


def test_one_who_comes_second_at_creating_has_lost(lease: Any, make_lock: Any, make_candidate: Any) -> None:
    """Two see that there is no lease; the server takes one of the two."""
    lock = make_lock()

    def be_faster(verb: str, number: int) -> None:
        if verb == "create":
            lease.write(held_by("bing", 15))

    lock.before = be_faster
    candidate = make_candidate(lock=lock)
    assert not candidate.try_acquire_or_renew()
    assert not candidate.is_holder


def test_nothing_more_is_asked_once_cancelled(make_lock: Any, make_candidate: Any) -> None:
    """A renewal that was given up is not followed by reading the lease."""
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    assert candidate.try_acquire_or_renew()

    def cancel(verb: str, number: int) -> None:
        raise RequestCancelledError("stopped")

    lock.before = cancel
    assert not candidate.try_acquire_or_renew()
    assert lock.calls == ["get", "create", "update"]


# Releasing


def test_release(lease: Any, make_candidate: Any, clock: FakeClock) -> None:
    """Go: TestReleaseLeaseLeases. Nobody holds the lease afterwards; times are now, transitions are kept."""
    lease.record = LeaderElectionRecord("baz", leader_transitions=4)
    candidate = make_candidate()
    assert candidate.try_acquire_or_renew()
    clock.step(1)
    assert candidate.try_release(clock.monotonic() + 10)
    assert lease.record == LeaderElectionRecord("", 1, micro_time(1001), micro_time(1001), 4)
    assert candidate.record.holder_identity == ""


def test_release_reads_the_lease_first(lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock) -> None:
    """Go: TestReleaseMethodCallsGet. So it has the version that is there now."""
    lease.record = held_by("baz", 10)
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    see(candidate, held_by("baz"), clock.monotonic())
    assert candidate.try_release(clock.monotonic() + 10)
    assert lock.calls == ["get", "update"]
    assert candidate.lease_end < clock.monotonic()


def test_release_tries_again_after_a_conflict(
    lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """Go: TestReleaseRetriesOnConflict. A renewal that was given up may come through in between."""
    lease.record = held_by("baz", 10)
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    see(candidate, held_by("baz"), clock.monotonic())

    def come_through(verb: str, number: int) -> None:
        if number == 2:
            lease.write(held_by("baz", 10))

    lock.before = come_through
    assert candidate.try_release(clock.monotonic() + 10)
    assert lock.calls == ["get", "update", "get", "update"]
    assert lease.record.holder_identity == ""


def test_release_of_what_is_not_ours(lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock) -> None:
    """client-go source. Who does not lead has nothing to release, and changes nothing; without a lease it has failed."""
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    assert not candidate.try_release(clock.monotonic() + 10)
    lease.record = held_by("bing", 10)
    assert candidate.try_release(clock.monotonic() + 10)
    assert lock.calls == ["get", "get"]


def test_release_does_not_take_the_lease_from_another(
    lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """A leader that was stopped past its lease may believe that it still leads; what it reads says otherwise."""
    candidate = make_candidate()
    assert candidate.try_acquire_or_renew()
    lease.write(held_by("bing", 15))
    assert candidate.try_release(clock.monotonic() + 10)
    assert lease.record == held_by("bing", 15)
    assert candidate.record.holder_identity == "bing"


def test_release_gives_up_in_time(lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock) -> None:
    """client-go source. Conflict after conflict ends at the renew deadline; any other failure at once."""
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    assert candidate.try_acquire_or_renew()

    def conflict(verb: str, number: int) -> None:
        if verb == "update":
            clock.step(4)
            raise ApiError(409, "Conflict")

    lock.before = conflict
    assert not candidate.try_release(clock.monotonic() + 10)
    assert candidate.lease_end < clock.monotonic(), "it may have come through"
    assert lock.calls[2:] == ["get", "update"] * 3
    lock.calls.clear()

    def fail(verb: str, number: int) -> None:
        raise ConnectionRefusedError

    lock.before = fail
    assert not candidate.try_release(clock.monotonic() + 10)
    assert lock.calls == ["get"]


# Never two


@pytest.mark.parametrize("seed", range(40))
def test_there_are_never_two_holders(
    seed: int, lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """Whatever others do, and however much time passes, between any two steps of an attempt, lost answers included."""
    random = Random(seed)
    candidates = {
        name: make_candidate(lock=make_lock(name), lease_duration=random.choice((3, 5, 15))) for name in "abcd"
    }
    led: set[str] = set()
    overlaps: list[Any] = []  # an assertion within an attempt would be one more failure of that
    depth = 0

    def check() -> None:
        now = clock.monotonic()
        leaders = [name for name, each in candidates.items() if now < each.lease_end]
        if len(leaders) > 1:
            overlaps.append((now, leaders))
        led.update(leaders)

    def disturb(verb: str, number: int) -> None:
        nonlocal depth
        clock.step(random.choice((0, 0, 0, 0.3, 1, 6, 20)))
        check()
        if depth < 3 and random.random() < 0.4:
            depth += 1
            attempt(random.choice("abcd"))
            depth -= 1
        if random.random() < 0.1:
            raise random.choice((ConnectionResetError("lost"), RequestCancelledError("stopped"), ApiError(500)))

    busy: set[str] = set()

    def attempt(name: str) -> None:
        # A process does one thing after the other.
        if name in busy:
            return
        busy.add(name)
        candidate = candidates[name]
        if random.random() < 0.1:
            candidate.try_release(clock.monotonic() + 2)
        else:
            candidate.try_acquire_or_renew()
        busy.discard(name)
        check()

    for each in candidates.values():
        each._lock.before = each._lock.after = disturb
    for _ in range(150):
        attempt(random.choice("abcd"))
        clock.step(random.choice((0, 0.5, 1, 2)))
    assert not overlaps
    assert len(led) > 1, "it went from one to another"


def test_a_record_of_our_own_reads_as_it_was_written(lease: Any, make_candidate: Any) -> None:
    """What the server gives back is the same: it does not count as a change."""
    candidate = make_candidate()
    assert candidate.try_acquire_or_renew()
    assert replace(lease.record) == candidate.record
