"""The end of an elector's run: waiting for the task, releasing the lease, and running again."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from informer.leaderelection import LeaseClock
from informer.leaderelection.run import LeaderNotifier
from informer.leaderelection.term import Term
from tests.support.waiting import eventually
from watch import ApiError, FakeClock
from watch.concurrency import Signal
from watch.errors import RequestCancelledError
from watch.request_scope import current_scope


@pytest.mark.parametrize("verb", ["update", "get"])
def test_cancelling_a_renewal_releases_the_lease(
    verb: str, make_election: Any, make_lock: Any, lease: Any, clock: FakeClock
) -> None:
    """Go: TestReleaseOnCancellation_Leases. The lease has no holder then, and both events are recorded."""
    lock = make_lock()
    election = make_election(lock, release_on_cancel=True, renew_deadline=5, retry_period=1).lead()
    renewing, go_on = threading.Event(), threading.Event()

    def hang(called: str, number: int) -> None:
        if election.stopped or election.cancel.is_set():
            return
        if called == verb:
            renewing.set()
            go_on.wait(10)
            raise RequestCancelledError("stopped")
        raise ApiError(409, "Conflict")

    lock.before = hang
    clock.step(1)
    assert renewing.wait(10)
    election.cancel.set()
    assert election.stop_events[0].wait(10)
    before = len(lock.calls)
    go_on.set()
    election.thread.result()
    assert lock.calls[before:] == ["get", "update"]
    assert lease.record.holder_identity == ""
    assert lock.events == ["baz became leader", "baz stopped leading"]
    assert election.was_notified_of("baz", "")


def test_without_release_on_cancel_the_lease_expires(make_election: Any, lease: Any) -> None:
    """client-go source. No more request is made."""
    election = make_election().lead()
    calls = list(election.lock.calls)
    election.cancel.set()
    election.thread.result()
    assert election.lock.calls == calls
    assert lease.record.holder_identity == "baz"


def test_release_waits_for_the_task(make_election: Any, lease: Any, clock: FakeClock) -> None:
    """Another process leads only after the task has ended."""
    election = make_election(release_on_cancel=True)
    election.may_end.clear()
    election.lead()
    election.cancel.set()
    assert election.stop_events[0].wait(10)
    assert not election.elector.is_leader()
    assert not election.thread.ends_within(0.05)
    assert lease.record.holder_identity == "baz"
    election.may_end.set()
    election.thread.result()
    assert lease.record.holder_identity == ""


def test_a_lease_whose_task_goes_on_is_not_released(
    make_election: Any, lease: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """`run` waits for the task until the lease expires, and then returns."""
    election = make_election(release_on_cancel=True)
    election.may_end.clear()
    election.lead()
    election.cancel.set()
    assert election.stop_events[0].wait(10)
    assert clock.wait_for_waiters(1, 10)
    assert not election.thread.ends_within(0.02)
    with caplog.at_level(logging.WARNING):
        clock.step(15)
        election.thread.result()
    assert lease.record.holder_identity == "baz"
    assert "is not released" in caplog.text


def test_an_expired_lease_is_not_released(make_election: Any, lease: Any, clock: FakeClock) -> None:
    """Another process may hold it."""
    election = make_election(release_on_cancel=True).lead()
    calls = list(election.lock.calls)
    clock.step(16)
    election.thread.result()
    assert election.lock.calls == calls


def test_a_lease_that_could_not_be_renewed_is_not_released(
    make_election: Any, make_lock: Any, clock: FakeClock
) -> None:
    """`run` returns at the renew deadline, without another request."""
    lock = make_lock()
    election = make_election(lock, release_on_cancel=True).lead()
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
    assert election.stop_events[0].wait(10)
    hang_on.set()
    election.thread.result()
    assert len(lock.calls) == calls


@pytest.mark.parametrize("phase", ["acquiring", "leading"])
@pytest.mark.parametrize("by", ["stop", "time"])
def test_a_request_in_progress_is_cancelled(
    phase: str, by: str, make_election: Any, make_lock: Any, clock: FakeClock
) -> None:
    """When asked to stop, and at the renew deadline: cancelling its scope shuts its socket down."""
    if (phase, by) == ("acquiring", "time"):
        pytest.skip("a standby has no renew deadline, only the time-out of the request")
    asking = threading.Event()

    def ask(verb: str, number: int) -> None:
        scope, given_up = current_scope(), threading.Event()
        assert scope is not None
        scope.on_cancel(given_up.set)
        asking.set()
        assert given_up.wait(10)
        raise RequestCancelledError("stopped")

    lock = make_lock()
    election = make_election(lock)
    if phase == "leading":
        election.lead()
    lock.before = ask
    if phase == "leading":
        clock.step(2)
    else:
        election.run()
    assert asking.wait(10)
    if by == "stop":
        election.cancel.set()
    else:
        clock.step(10)
    election.thread.result()
    assert election.stopped == 1


def test_a_stop_while_acquiring_starts_no_task(make_election: Any, make_lock: Any, lease: Any) -> None:
    """The lease is released at once."""
    lock = make_lock()
    election = make_election(lock, release_on_cancel=True)
    lock.after = lambda verb, number: election.cancel.set() if verb == "create" else None
    election.run().thread.result()
    assert election.stop_events == []
    assert lock.calls == ["get", "create", "get", "update"]
    assert lease.record.holder_identity == ""


def test_an_interrupted_run_stops_leading(make_election: Any, make_lock: Any, lease: Any, clock: FakeClock) -> None:
    """KeyboardInterrupt on the thread of `run` ends the term, releases the lease, and is raised again."""
    lock = make_lock()
    election = make_election(lock, release_on_cancel=True).lead()

    def interrupt(verb: str, number: int) -> None:
        if number == 4:
            raise KeyboardInterrupt

    lock.before = interrupt
    clock.step(2)
    with pytest.raises(KeyboardInterrupt):
        election.thread.result()
    assert election.stop_events[0].is_set()
    assert not election.elector.is_leader()
    assert election.stopped == 1
    assert lease.record.holder_identity == ""


# Again


def test_an_elector_may_run_again(make_election: Any, lease: Any, clock: FakeClock) -> None:
    """It acquires its own expired lease, which keeps its acquire time and transitions."""
    election = make_election().lead()
    begun = lease.record.acquire_time
    clock.step(20)
    election.thread.result()
    election.started.clear()
    election.lead()
    assert election.elector.is_leader()
    assert (lease.record.acquire_time, lease.record.leader_transitions) == (begun, 0)


def test_a_run_waits_for_the_task_of_the_run_before(
    make_election: Any, lease: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Two tasks never run at once in one process, even if one ignores its stop event."""
    election = make_election()
    election.may_end.clear()
    election.lead()
    clock.step(20)
    election.thread.result()
    calls = list(election.lock.calls)
    with caplog.at_level(logging.WARNING):
        election.run()
        assert eventually(lambda: "on_started_leading of the previous term has not returned" in caplog.text)
    assert election.lock.calls == calls
    assert len(election.stop_events) == 1
    election.may_end.set()
    assert election.lock.wait_for_calls(len(calls) + 1)
    election.settle()
    assert len(election.stop_events) == 2


def test_waiting_for_the_task_of_the_run_before_can_be_stopped(make_election: Any, clock: FakeClock) -> None:
    """The stop event of `run` ends the wait."""
    election = make_election()
    election.may_end.clear()
    election.lead()
    clock.step(20)
    election.thread.result()
    election.run()
    assert not election.thread.ends_within(0.02)
    election.cancel.set()
    election.thread.result()
    assert (len(election.stop_events), election.stopped) == (1, 2)


def test_a_second_run_at_the_same_time_is_an_error(make_election: Any) -> None:
    """RuntimeError says that the elector is started."""
    election = make_election().lead()
    with pytest.raises(RuntimeError, match="started"):
        election.elector.run(threading.Event())


class Boom(RuntimeError):
    """What a task raises."""


@pytest.mark.parametrize("renewed", [False, True], ids=["at once", "after a renewal"])
def test_the_log_says_that_the_task_raised_and_what(
    renewed: bool, make_election: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not that the lease was not renewed, which would send a reader to the network."""
    go_on = threading.Event()

    def fail(stop: threading.Event) -> None:
        go_on.wait(10)
        raise Boom("no such\ntable")

    caplog.set_level(logging.INFO)
    election = make_election(on_started_leading=fail)
    if not renewed:
        go_on.set()
    election.run()
    if renewed:
        election.settle()
        go_on.set()
    with pytest.raises(Boom):
        election.thread.result()
    [ended] = [each for each in caplog.messages if "has stopped leading" in each]
    assert ended == "baz has stopped leading with lease foo/bar: on_started_leading raised Boom: no such table"
    assert "was not renewed" not in caplog.text


def test_a_task_that_returns_a_coroutine_has_failed(make_election: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A lambda that calls an async function looks like a plain function until it is called."""

    async def lead() -> None: ...

    election = make_election(on_started_leading=lambda stop: lead())
    election.run()
    with pytest.raises(TypeError, match="on_started_leading returned a coroutine"):
        election.thread.result()
    assert "on_started_leading returned a coroutine" in caplog.text


def test_the_cause_of_an_end_is_not_replaced_by_a_later_one() -> None:
    """A deadline that is set after the end does not explain it."""
    clock = FakeClock()
    term = Term(clock, 10)
    term.end("it was asked to stop")
    term.require_renewal_by(5)
    assert term.cause == "it was asked to stop"
    term.close()


def test_a_hanging_release_ends_with_its_time_out_and_is_not_repeated_past_the_lease(
    make_election: Any, make_lock: Any, lease: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A conflict that is answered after the lease's end is not followed by another try: another process may lead."""
    lock = make_lock()
    election = make_election(lock, release_on_cancel=True)
    election.may_end.clear()
    election.lead()
    calls = len(lock.calls)

    def hang(verb: str, number: int) -> None:
        if verb == "update":
            clock.step(7)
            raise ApiError(409, "Conflict", "too late")

    lock.before = hang
    election.cancel.set()
    assert election.stop_events[0].wait(10)
    # The lease ends 15 s after it was acquired, before the 10 s that a release may take.
    assert clock.wait_for_waiters(1, 10)
    clock.step(9)
    election.may_end.set()
    election.thread.result()
    assert lock.calls[calls:] == ["get", "update"]
    assert lease.record.holder_identity == "baz"
    assert "failed to release lease foo/bar: the deadline has passed" in caplog.text


def test_a_release_is_tried_no_longer_than_a_renewal(
    make_election: Any, make_lock: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The lease would go on for 15 s, but after the 10 s of the renew deadline no conflict is followed by another try."""
    lock = make_lock()
    election = make_election(lock, release_on_cancel=True)
    election.lead()
    calls = len(lock.calls)

    def conflict(verb: str, number: int) -> None:
        if verb == "update":
            clock.step(4)
            raise ApiError(409, "Conflict")

    lock.before = conflict
    election.cancel.set()
    election.thread.result()
    assert lock.calls[calls:] == ["get", "update"] * 3
    assert "failed to release lease foo/bar: the deadline has passed" in caplog.text


def test_a_run_interrupted_between_becoming_leader_and_leading_ends_its_term(
    make_election: Any, make_lock: Any
) -> None:
    """Whatever is raised there, such as KeyboardInterrupt: the watchdog thread ends and no process leads."""

    class Interrupting(LeaderNotifier):
        def notify(self, leader: str) -> None:
            raise KeyboardInterrupt

    election = make_election()
    election.elector._notifier = Interrupting(None)
    with pytest.raises(KeyboardInterrupt):
        election.elector.run(election.cancel)
    run = election.elector._run
    assert run.term is not None
    assert run.term.stop.is_set()
    assert not run.term._watchdog.is_alive
    assert not election.elector.is_leader()
    assert not election.started.is_set()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc to count open files in")
def test_terms_leave_no_open_files(make_election: Any) -> None:
    """The timer and the pipe of each term are closed, whatever ends it."""

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    election = make_election(
        clock=LeaseClock(), retry_period=0.01, on_started_leading=lambda stop: election.cancel.set()
    )
    election.elector.run(election.cancel)
    before = open_files()
    for _ in range(5):
        election.cancel = Signal()
        election.elector.run(election.cancel)
    assert open_files() <= before
