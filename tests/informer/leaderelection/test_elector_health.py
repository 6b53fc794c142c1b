"""When a leader should have given up, and has not."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from informer.leaderelection import LeaderElectionRecord, LeaderHealthCheck, LeaseNotRenewedError
from informer.leaderelection.candidate import _Seen
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
    holder: str, age: float, passes: bool, leading: Any, clock: FakeClock
) -> None:
    """Go: TestLeaderElectionHealthChecker. A lease of a minute, and 20 s of tolerance."""
    elector = leading(lease_duration=60, name="foo").elector
    elector._candidate._seen = _Seen(LeaderElectionRecord(holder), clock.monotonic() - age)
    check = LeaderHealthCheck(20)
    check.set_elector(elector)
    if passes:
        check.check()
    else:
        with pytest.raises(LeaseNotRenewedError, match=r"^failed election to renew leadership on lease foo$"):
            check.check()


def test_without_an_elector_all_is_well() -> None:
    """Go: TestLeaderElectionHealthChecker. The check may be mounted before there is one."""
    LeaderHealthCheck().check()


def test_check_is_measured_by_the_clock(make_candidate: Any, leading: Any, clock: FakeClock) -> None:
    """client-go source. Fine at exactly the lease's end, and not after it."""
    elector = leading().elector
    assert elector._candidate.try_acquire_or_renew()
    clock.step(15)
    elector.check(0)
    clock.step(0.001)
    with pytest.raises(LeaseNotRenewedError):
        elector.check(0)
    elector.check(1)


def test_a_run_that_hangs_is_unhealthy(leading: Any, make_lock: Any, clock: FakeClock) -> None:
    """Leading has ended, and yet `run` does not come back: nobody would take part again."""
    lock = make_lock()
    each = leading(lock).lead()
    hanging, hang_on = threading.Event(), threading.Event()
    lock.before = lambda verb, number: hanging.set() or hang_on.wait(10)
    clock.step(2)
    assert hanging.wait(10)
    clock.step(20)
    assert not each.elector.is_leader()
    each.elector.check(20)
    with pytest.raises(LeaseNotRenewedError):
        each.elector.check(1)
    hang_on.set()


def test_work_that_goes_on_is_unhealthy(leading: Any, lease: Any, clock: FakeClock) -> None:
    """Another may lead, and this process still works: it should be restarted, even if it is a standby again."""
    each = leading()
    each.may_end.clear()
    each.lead()
    clock.step(20)
    each.task.result()
    lease.write(LeaderElectionRecord("bing", 15))
    each.run()
    each.elector.check(20)
    with pytest.raises(LeaseNotRenewedError, match="its work goes on"):
        each.elector.check(1)
    each.may_end.set()
    assert clock.wait_for_waiters(1, 10)
    each.elector.check(0)


def test_a_standby_is_healthy(leading: Any, make_lock: Any, clock: FakeClock) -> None:
    """One that has led before and takes part again, while the server is gone."""
    lock = make_lock()
    each = leading(lock).lead()
    clock.step(20)
    each.task.result()

    def refuse(verb: str, number: int) -> None:
        raise ConnectionRefusedError

    lock.before = refuse
    with pytest.raises(LeaseNotRenewedError):
        each.elector.check(0)
    each.run()
    assert clock.wait_for_waiters(1, 10)
    each.elector.check(0)
