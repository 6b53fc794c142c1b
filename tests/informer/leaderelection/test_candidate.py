"""One attempt at the lease: who holds it afterwards, and which requests were made."""

from __future__ import annotations

import logging
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

import pytest

from informer.leaderelection import LeaderElectionRecord
from informer.leaderelection.candidate import Candidate, _Observed
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
    candidate._observed = _Observed(record, at)
    candidate._last_read = record


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_outcome_of_one_attempt(
    row: Row, lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """Go: TestTryAcquireOrRenewLeases. The holder, the number of transitions and the requests."""
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


def test_a_lease_is_acquired_when_its_duration_has_passed_since_it_was_observed(
    lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """Go: TestTryAcquireOrRenewLeases. A lease of 3 s, observed just now: the next attempt after 3 s succeeds."""
    lease.record = held_by("bing", 3)
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    assert not candidate.try_acquire_or_renew()
    clock.step(3)
    assert candidate.try_acquire_or_renew()
    assert (candidate.record.holder_identity, candidate.record.leader_transitions) == ("baz", 1)
    assert lock.calls == ["get", "get", "update"]


def test_three_candidates_by_one_clock(lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock) -> None:
    """client-go source. Renewals, a take-over exactly at the end of the lease, and a release."""
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
    assert b.try_acquire_or_renew(), "late, but no other process has acquired it"
    assert locks["b"].calls == ["get", "update"]
    assert lease.record == LeaderElectionRecord("b", 15, micro_time(1020), micro_time(1036), 1)
    assert b.try_release(clock.monotonic() + 10)
    assert (lease.record.holder_identity, lease.record.lease_duration_seconds) == ("", 1)
    assert lease.record.leader_transitions == 1
    assert c.try_acquire_or_renew()
    assert lease.record == LeaderElectionRecord("c", 15, micro_time(1036), micro_time(1036), 2)


def test_the_times_in_a_lease_decide_nothing(lease: Any, make_candidate: Any, clock: FakeClock) -> None:
    """client-go source. A holder whose clock is years off keeps its lease by changing the record."""
    candidate = make_candidate()
    for year in (1999, 2030, 2001):
        lease.write(LeaderElectionRecord("bing", 15, "", f"{year}-01-01T00:00:00.000000Z"))
        assert not candidate.try_acquire_or_renew()
        clock.step(14)
        assert not candidate.try_acquire_or_renew()
    clock.step(1)
    assert candidate.try_acquire_or_renew()


def test_a_renewal_within_the_same_second_counts(lease: Any, make_candidate: Any, clock: FakeClock) -> None:
    """Microseconds are compared, so that a short lease that is renewed several times per second does not expire."""
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
def test_the_lease_states_at_least_the_seconds_that_its_holder_relies_on(
    duration: float, written: int, own: float, lease: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """client-go source. A Lease has whole seconds, at least one."""
    candidate = make_candidate(lease_duration=duration)
    assert candidate.try_acquire_or_renew()
    assert lease.record.lease_duration_seconds == written
    assert candidate.lease_end == clock.monotonic() + own


def test_a_lease_lasts_from_when_its_request_was_sent(make_lock: Any, make_candidate: Any, clock: FakeClock) -> None:
    """A late answer shortens it."""
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    lock.after = lambda verb, number: clock.step(4)
    assert candidate.try_acquire_or_renew()
    assert lock.calls == ["get", "create"]
    assert candidate.lease_end == 1000 + 15, "counted from the create, since the get failed with a 404"
    assert candidate.try_acquire_or_renew()
    assert candidate.lease_end == 1004 + 15


def test_a_renewal_of_a_lost_lease_fails(lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock) -> None:
    """It carries the last observed version, gets a conflict, and the following read shows the new holder."""
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    assert candidate.try_acquire_or_renew()
    lease.write(held_by("bing", 15))
    assert not candidate.try_acquire_or_renew()
    assert lock.calls == ["get", "create", "update", "get"]
    assert (candidate.is_holder, candidate.record.holder_identity) == (False, "bing")
    assert candidate.lease_end < clock.monotonic()


def test_the_renewal_after_a_lost_answer_takes_the_slow_path(lease: Any, make_lock: Any, make_candidate: Any) -> None:
    """It gets a conflict with the earlier renewal, and keeps the acquire time and the transitions."""
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
def test_an_exception_of_the_lock_fails_the_attempt(
    error: Exception, verb: str, lease: Any, make_lock: Any, make_candidate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the next attempt may succeed."""
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


def test_the_second_of_two_creators_fails(lease: Any, make_lock: Any, make_candidate: Any) -> None:
    """Both see that the lease does not exist; the server accepts one of them."""
    lock = make_lock()

    def create_first(verb: str, number: int) -> None:
        if verb == "create":
            lease.write(held_by("bing", 15))

    lock.before = create_first
    candidate = make_candidate(lock=lock)
    assert not candidate.try_acquire_or_renew()
    assert not candidate.is_holder


def test_a_cancelled_attempt_makes_no_more_requests(make_lock: Any, make_candidate: Any) -> None:
    """A cancelled renewal is not followed by reading the lease."""
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    assert candidate.try_acquire_or_renew()

    def cancel(verb: str, number: int) -> None:
        raise RequestCancelledError("stopped")

    lock.before = cancel
    assert not candidate.try_acquire_or_renew()
    assert lock.calls == ["get", "create", "update"]


# Releasing


def test_a_released_lease_has_no_holder(lease: Any, make_candidate: Any, clock: FakeClock) -> None:
    """Go: TestReleaseLeaseLeases. Its times are the present one, and its transitions are kept."""
    lease.record = LeaderElectionRecord("baz", leader_transitions=4)
    candidate = make_candidate()
    assert candidate.try_acquire_or_renew()
    clock.step(1)
    assert candidate.try_release(clock.monotonic() + 10)
    assert lease.record == LeaderElectionRecord("", 1, micro_time(1001), micro_time(1001), 4)
    assert candidate.record.holder_identity == ""


def test_release_reads_the_lease_first(lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock) -> None:
    """Go: TestReleaseMethodCallsGet. So it has the present version."""
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
    """Go: TestReleaseRetriesOnConflict. A renewal that was cancelled may reach the server in between."""
    lease.record = held_by("baz", 10)
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    see(candidate, held_by("baz"), clock.monotonic())

    def renew_late(verb: str, number: int) -> None:
        if number == 2:
            lease.write(held_by("baz", 10))

    lock.before = renew_late
    assert candidate.try_release(clock.monotonic() + 10)
    assert lock.calls == ["get", "update", "get", "update"]
    assert lease.record.holder_identity == ""


def test_releasing_another_holders_lease_changes_nothing(
    lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """client-go source. If the lease does not exist, the release fails."""
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    assert not candidate.try_release(clock.monotonic() + 10)
    lease.record = held_by("bing", 10)
    assert candidate.try_release(clock.monotonic() + 10)
    assert lock.calls == ["get", "get"]


def test_a_release_reads_who_holds_the_lease_now(
    lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """A leader that was stopped past its lease still believes that it leads."""
    candidate = make_candidate()
    assert candidate.try_acquire_or_renew()
    lease.write(held_by("bing", 15))
    assert candidate.try_release(clock.monotonic() + 10)
    assert lease.record == held_by("bing", 15)
    assert candidate.record.holder_identity == "bing"


def test_an_expired_lease_of_another_holder_is_released(
    lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock
) -> None:
    """So that a process which has not observed it for as long can acquire it. Not before it has expired."""
    lease.record = held_by("bing", 10)
    candidate = make_candidate()
    assert candidate.try_release(clock.monotonic() + 5, expired=True)
    clock.step(9)
    assert candidate.try_release(clock.monotonic() + 5, expired=True)
    assert lease.record == held_by("bing", 10)
    clock.step(1)
    assert candidate.try_release(clock.monotonic() + 5)
    assert lease.record == held_by("bing", 10), "the caller has not asked for it"
    assert candidate.try_release(clock.monotonic() + 5, expired=True)
    assert lease.record.holder_identity == ""
    assert make_candidate(lock=make_lock("other")).try_acquire_or_renew()


@pytest.mark.parametrize(("other", "acquired"), [("", True), ("bing", False)])
def test_an_attempt_reads_the_lease_again_after_a_conflict(
    lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock, other: str, acquired: bool
) -> None:
    """Another process may have released the lease meanwhile, or acquired it."""
    lease.record = held_by("dead", 0)
    lock = make_lock()
    candidate = make_candidate(lock=lock)

    def write_first(verb: str, number: int) -> None:
        if number == 2:
            lease.write(held_by(other, 10))

    lock.before = write_first
    assert candidate.try_acquire_or_renew() is acquired
    assert lock.calls == ["get", "update", "get", *(["update"] if acquired else [])]


def test_release_gives_up_in_time(lease: Any, make_lock: Any, make_candidate: Any, clock: FakeClock) -> None:
    """client-go source. Repeated conflicts end at the deadline; any other failure ends it at once."""
    lock = make_lock()
    candidate = make_candidate(lock=lock)
    assert candidate.try_acquire_or_renew()

    def conflict(verb: str, number: int) -> None:
        if verb == "update":
            clock.step(4)
            raise ApiError(409, "Conflict")

    lock.before = conflict
    assert not candidate.try_release(clock.monotonic() + 10)
    assert candidate.lease_end < clock.monotonic(), "the update may have succeeded"
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
    """Whatever other processes do, and however much time passes, between any two steps of an attempt. Answers get lost too."""
    random = Random(seed)
    candidates = {
        name: make_candidate(lock=make_lock(name), lease_duration=random.choice((3, 5, 15))) for name in "abcd"
    }
    led: set[str] = set()
    overlaps: list[Any] = []  # checked at the end: the candidate would catch an AssertionError
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
        # A process makes one attempt at a time.
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
    assert len(led) > 1, "the lease changed hands"


def test_a_written_record_reads_the_same(lease: Any, make_candidate: Any) -> None:
    """So reading it again does not count as a change."""
    candidate = make_candidate()
    assert candidate.try_acquire_or_renew()
    assert replace(lease.record) == candidate.record
