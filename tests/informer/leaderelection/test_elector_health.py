"""The check of a leader that should have stopped leading."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from informer.leaderelection import LeaderElectionRecord, LeaderHealthCheck, LeaseNotRenewedError
from informer.leaderelection.candidate import _Observed
from watch import FakeClock

HOUR = 3600.0


@pytest.mark.parametrize(
    ("holder", "age", "passes"),
    [
        ("baz", HOUR, False),
        ("bing", HOUR, True),
        ("baz", 0, True),
        ("baz", 61, True),
        ("baz", 80, True),
        ("baz", 81, False),
    ],
    ids=["leader, far expired", "held by another", "just seen", "within the tolerance", "at its end", "after it"],
)
def test_a_leader_that_does_not_renew_is_unhealthy(
    holder: str, age: float, passes: bool, make_election: Any, clock: FakeClock
) -> None:
    """Go: TestLeaderElectionHealthChecker. With a lease of 60 s and a tolerance of 20 s."""
    elector = make_election(lease_duration=60, name="foo").elector
    elector._candidate._observed = _Observed(LeaderElectionRecord(holder), clock.monotonic() - age)
    check = LeaderHealthCheck(20)
    check.set_elector(elector)
    if passes:
        check.check()
    else:
        with pytest.raises(LeaseNotRenewedError, match=r"^failed election to renew leadership on lease foo$"):
            check.check()


def test_the_check_does_not_raise_without_an_elector() -> None:
    """Go: TestLeaderElectionHealthChecker. The check may be mounted before the elector exists."""
    LeaderHealthCheck().check()


def test_the_check_fails_right_after_the_end_of_the_lease(
    make_candidate: Any, make_election: Any, clock: FakeClock
) -> None:
    """client-go source. It still passes exactly at the end."""
    elector = make_election().elector
    assert elector._candidate.try_acquire_or_renew()
    clock.step(15)
    elector.check(0)
    clock.step(0.001)
    with pytest.raises(LeaseNotRenewedError):
        elector.check(0)
    elector.check(1)


def test_a_run_that_hangs_is_unhealthy(make_election: Any, make_lock: Any, clock: FakeClock) -> None:
    """Leading has ended, but `run` does not return, so that the process cannot take part again."""
    lock = make_lock()
    election = make_election(lock).lead()
    hanging, hang_on = threading.Event(), threading.Event()
    lock.before = lambda verb, number: hanging.set() or hang_on.wait(10)
    clock.step(2)
    assert hanging.wait(10)
    clock.step(20)
    assert not election.elector.is_leader()
    election.elector.check(20)
    with pytest.raises(LeaseNotRenewedError):
        election.elector.check(1)
    hang_on.set()


def test_a_task_that_goes_on_is_unhealthy(make_election: Any, lease: Any, clock: FakeClock) -> None:
    """Another process may lead while it still runs; the check fails even if this process is a standby again."""
    election = make_election()
    election.may_end.clear()
    election.lead()
    clock.step(20)
    election.thread.result()
    lease.write(LeaderElectionRecord("bing", 15))
    election.run()
    election.elector.check(20)
    with pytest.raises(LeaseNotRenewedError, match="on_started_leading has not returned"):
        election.elector.check(1)
    election.may_end.set()
    assert clock.wait_for_waiters(1, 10)
    election.elector.check(0)


def test_a_standby_is_healthy(make_election: Any, make_lock: Any, clock: FakeClock) -> None:
    """A process that led before takes part again while the server is away."""
    lock = make_lock()
    election = make_election(lock).lead()
    clock.step(20)
    election.thread.result()

    def refuse(verb: str, number: int) -> None:
        raise ConnectionRefusedError

    lock.before = refuse
    with pytest.raises(LeaseNotRenewedError):
        election.elector.check(0)
    election.run()
    assert clock.wait_for_waiters(1, 10)
    election.elector.check(0)


def test_the_check_has_no_tolerance_by_default(make_candidate: Any, make_election: Any, clock: FakeClock) -> None:
    """client-go source. A probe that calls `check()` fails as soon as the lease is over."""
    elector = make_election().elector
    assert elector._candidate.try_acquire_or_renew()
    clock.step(15)
    elector.check()
    clock.step(0.001)
    with pytest.raises(LeaseNotRenewedError):
        elector.check()


def test_an_electors_repr_says_its_state_and_the_leader(make_election: Any) -> None:
    """Whether it runs, leads or waits, and who leads."""
    election = make_election()
    assert repr(election.elector) == "<LeaderElector foo/bar: not running>"
    election.lead()
    assert repr(election.elector) == "<LeaderElector foo/bar: leading, led by baz>"
    election.cancel.set()
    election.thread.result()
    assert repr(election.elector) == "<LeaderElector foo/bar: not running, led by baz>"
