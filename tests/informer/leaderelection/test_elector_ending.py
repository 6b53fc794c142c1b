"""The end of an elector's run: who is waited for, whether the lease is given back, and what comes after."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from watch import ApiError, FakeClock
from watch.errors import RequestCancelledError
from watch.request_scope import current_scope


@pytest.mark.parametrize("verb", ["update", "get"])
def test_cancelling_a_renewal_releases_the_lease(
    verb: str, leading: Any, make_lock: Any, lease: Any, clock: FakeClock
) -> None:
    """Go: TestReleaseOnCancellation_Leases. One more update, with nobody in it; events are "became" and "stopped leading"."""
    lock = make_lock()
    each = leading(lock, release_on_cancel=True, renew_deadline=5, retry_period=1).lead()
    renewing, go_on = threading.Event(), threading.Event()

    def hang(called: str, number: int) -> None:
        if each.stopped or each.cancel.is_set():
            return
        if called == verb:
            renewing.set()
            go_on.wait(10)
            raise RequestCancelledError("stopped")
        raise ApiError(409, "Conflict")

    lock.before = hang
    clock.step(1)
    assert renewing.wait(10)
    each.cancel.set()
    assert each.works[0].wait(10)
    before = len(lock.calls)
    go_on.set()
    each.task.result()
    assert lock.calls[before:] == ["get", "update"]
    assert lease.record.holder_identity == ""
    assert lock.events == ["baz became leader", "baz stopped leading"]
    assert each.is_told("baz", "")


def test_without_release_the_lease_is_left_to_run_out(leading: Any, lease: Any) -> None:
    """client-go source. Nothing is asked any more."""
    each = leading().lead()
    calls = list(each.lock.calls)
    each.cancel.set()
    each.task.result()
    assert each.lock.calls == calls
    assert lease.record.holder_identity == "baz"


def test_release_waits_for_the_work(leading: Any, lease: Any, clock: FakeClock) -> None:
    """Another leads only when it has ended."""
    each = leading(release_on_cancel=True)
    each.may_end.clear()
    each.lead()
    each.cancel.set()
    assert each.works[0].wait(10)
    assert not each.elector.is_leader()
    assert not each.task.ends_within(0.05)
    assert lease.record.holder_identity == "baz"
    each.may_end.set()
    each.task.result()
    assert lease.record.holder_identity == ""


def test_a_lease_whose_work_goes_on_is_not_released(
    leading: Any, lease: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is waited for until the lease has run out, and `run` ends without it."""
    each = leading(release_on_cancel=True)
    each.may_end.clear()
    each.lead()
    each.cancel.set()
    assert each.works[0].wait(10)
    assert clock.wait_for_waiters(1, 10)
    assert not each.task.ends_within(0.02)
    with caplog.at_level(logging.WARNING):
        clock.step(15)
        each.task.result()
    assert lease.record.holder_identity == "baz"
    assert "is not released" in caplog.text


def test_what_is_lost_is_not_released(leading: Any, lease: Any, clock: FakeClock) -> None:
    """After a lease has run out it may be another's."""
    each = leading(release_on_cancel=True).lead()
    calls = list(each.lock.calls)
    clock.step(16)
    each.task.result()
    assert each.lock.calls == calls


def test_a_lease_that_could_not_be_renewed_is_not_released(leading: Any, make_lock: Any, clock: FakeClock) -> None:
    """`run` ends at the renew deadline, and does not wait for a server once more."""
    lock = make_lock()
    each = leading(lock, release_on_cancel=True).lead()
    hanging, hang_on = threading.Event(), threading.Event()

    def hang(verb: str, number: int) -> None:
        hanging.set()
        hang_on.wait(10)
        raise RequestCancelledError("stopped")

    lock.before = hang
    clock.step(2)
    assert hanging.wait(10)
    calls = len(lock.calls)
    clock.step(10)
    assert each.works[0].wait(10)
    hang_on.set()
    each.task.result()
    assert len(lock.calls) == calls


@pytest.mark.parametrize("phase", ["acquiring", "leading"])
@pytest.mark.parametrize("by", ["stop", "time"])
def test_a_request_under_way_is_given_up(phase: str, by: str, leading: Any, make_lock: Any, clock: FakeClock) -> None:
    """When asked to stop, and when the renew deadline has passed: its scope is cancelled, and so its socket shut down."""
    if (phase, by) == ("acquiring", "time"):
        pytest.skip("whoever does not lead has the time-out of the request")
    asking = threading.Event()

    def ask(verb: str, number: int) -> None:
        scope, given_up = current_scope(), threading.Event()
        assert scope is not None
        scope.on_cancel(given_up.set)
        asking.set()
        assert given_up.wait(10)
        raise RequestCancelledError("stopped")

    lock = make_lock()
    each = leading(lock)
    if phase == "leading":
        each.lead()
    lock.before = ask
    if phase == "leading":
        clock.step(2)
    else:
        each.run()
    assert asking.wait(10)
    if by == "stop":
        each.cancel.set()
    else:
        clock.step(10)
    each.task.result()
    assert each.stopped == 1


def test_a_stop_that_comes_with_the_lease_starts_no_work(leading: Any, make_lock: Any, lease: Any) -> None:
    """Asked to stop while it got the lease, it gives it back and does nothing else."""
    lock = make_lock()
    each = leading(lock, release_on_cancel=True)
    lock.after = lambda verb, number: each.cancel.set() if verb == "create" else None
    each.run().task.result()
    assert each.works == []
    assert lock.calls == ["get", "create", "get", "update"]
    assert lease.record.holder_identity == ""


def test_an_interrupted_run_leads_no_more(leading: Any, make_lock: Any, lease: Any, clock: FakeClock) -> None:
    """Ctrl-C on the thread of `run` ends leading, gives the lease back, and comes out."""
    lock = make_lock()
    each = leading(lock, release_on_cancel=True).lead()

    def interrupt(verb: str, number: int) -> None:
        if number == 4:
            raise KeyboardInterrupt

    lock.before = interrupt
    clock.step(2)
    with pytest.raises(KeyboardInterrupt):
        each.task.result()
    assert each.works[0].is_set()
    assert not each.elector.is_leader()
    assert each.stopped == 1
    assert lease.record.holder_identity == ""


# Again


def test_it_may_be_run_again(leading: Any, lease: Any, clock: FakeClock) -> None:
    """One whose lease has run out gets it again if nobody else has; the lease says that it has been its own all along."""
    each = leading().lead()
    begun = lease.record.acquire_time
    clock.step(20)
    each.task.result()
    each.started.clear()
    each.lead()
    assert each.elector.is_leader()
    assert (lease.record.acquire_time, lease.record.leader_transitions) == (begun, 0)


def test_work_of_the_time_before_is_waited_for(
    leading: Any, lease: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Two works never go on at once in one process, though one did not heed its event."""
    each = leading()
    each.may_end.clear()
    each.lead()
    clock.step(20)
    each.task.result()
    calls = list(each.lock.calls)
    with caplog.at_level(logging.WARNING):
        each.run()
        assert not each.task.ends_within(0.05)
    assert "goes on" in caplog.text
    assert each.lock.calls == calls
    each.may_end.set()
    assert each.lock.wait_for_calls(len(calls) + 1)
    each.settle()
    assert len(each.works) == 2


def test_waiting_for_work_of_the_time_before_can_be_stopped(leading: Any, clock: FakeClock) -> None:
    """By the stop event, as everything can."""
    each = leading()
    each.may_end.clear()
    each.lead()
    clock.step(20)
    each.task.result()
    each.run()
    assert not each.task.ends_within(0.02)
    each.cancel.set()
    each.task.result()
    assert (len(each.works), each.stopped) == (1, 2)


def test_it_runs_once_at_a_time(leading: Any) -> None:
    """A second `run` beside the first is a mistake."""
    each = leading().lead()
    with pytest.raises(RuntimeError, match="started"):
        each.elector.run(threading.Event())
