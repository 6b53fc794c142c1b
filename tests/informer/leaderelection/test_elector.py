"""Runs of an elector: acquiring the lease, leading, and ending in time."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import Any

import pytest

from informer.leaderelection import LeaderElectionRecord, LeaderElector
from watch import ApiError, FakeClock
from watch.concurrency import Signal

BING = LeaderElectionRecord("bing", 15)


def do_nothing(*args: Any) -> None:
    return None


# Requests


def test_a_leader_renews_with_one_update(make_election: Any, make_lock: Any, clock: FakeClock) -> None:
    """Go: TestFastPathLeaderElection. It renews as soon as it leads, and then each retry period, without reading the lease."""
    lock = make_lock()
    election = make_election(lock)
    lock.after = lambda verb, number: election.cancel.set() if number == 4 else None
    election.lead()
    clock.step(2)
    election.thread.result()
    assert lock.calls == ["get", "create", "update", "update"]


def test_a_leader_reads_the_lease_after_a_conflict(make_election: Any, make_lock: Any, clock: FakeClock) -> None:
    """Go: TestFastPathLeaderElection. A renewal that failed is repeated at once on the slow path."""
    lock = make_lock()
    election = make_election(lock)

    def before(verb: str, number: int) -> None:
        if number == 4:
            raise ApiError(409, "Conflict")

    lock.before = before
    lock.after = lambda verb, number: election.cancel.set() if number == 7 else None
    election.lead()
    election.renew()
    assert lock.calls == ["get", "create", "update", "update", "get", "update"]
    clock.step(2)
    election.thread.result()
    assert lock.calls == ["get", "create", "update", "update", "get", "update", "update"]


def test_the_time_out_of_requests_allows_a_second_try(make_election: Any, make_lock: Any) -> None:
    """client-go source. Half the renew deadline, but at least a second, and at most the deadline itself."""
    for deadline, timeout in ((10, 5), (1.5, 1), (0.5, 0.5)):
        lock = make_lock()
        election = make_election(lock, renew_deadline=deadline, retry_period=0.1).run()
        assert lock.wait_for_calls(1)
        election.cancel.set()
        election.thread.result()
        assert lock.timeouts[0] == timeout


# Acquiring


def test_candidates_wait_a_retry_period_and_jitter(make_lock: Any, lease: Any, auto_clock: Any) -> None:
    """client-go source. The first try comes at once, later ones after 1 to 2.2 retry periods."""
    lease.record = BING
    lock = make_lock()
    stop = Signal()
    jitter = iter([0.0, 0.5, 1.0, 0.0])
    elector = LeaderElector(
        lock,
        clock=auto_clock,
        on_started_leading=do_nothing,
        on_stopped_leading=do_nothing,
        jitter=lambda: next(jitter),
    )
    lock.before = lambda verb, number: stop.set() if number == 4 else None
    lease.record = replace(BING, lease_duration_seconds=1000)
    elector.run(stop)
    assert lock.calls == ["get"] * 4
    assert auto_clock.waits == pytest.approx([2.0, 3.2, 4.4, 2.0])


def test_a_standby_leads_when_the_lease_has_expired(make_election: Any, lease: Any, clock: FakeClock) -> None:
    """It waits for the lease duration after the last observed change."""
    lease.record = BING
    election = make_election(retry_period=5).run()
    for _ in range(3):
        assert clock.wait_for_waiters(1, 10)
        assert not election.elector.is_leader()
        calls = len(election.lock.calls)
        clock.step(5)
        assert election.lock.wait_for_calls(calls + 1)
    assert election.started.wait(10)
    assert election.elector.is_leader()
    assert election.elector.leader == "baz"
    assert lease.record.leader_transitions == 1


def test_a_lease_that_expired_before_its_answer_came_does_not_count(
    make_election: Any, make_lock: Any, clock: FakeClock
) -> None:
    """A process that was stopped while it acquired the lease acquires it again when it wakes, and only then leads."""
    lock = make_lock()
    lock.after = lambda verb, number: clock.step(20) if number == 2 else None
    election = make_election(lock).run()
    assert clock.wait_for_waiters(1, 10)
    assert lock.calls == ["get", "create"]
    assert not election.started.is_set()
    assert not election.elector.is_leader()
    clock.step(2)
    assert election.started.wait(10)
    assert lock.calls[:4] == ["get", "create", "get", "update"]


# Leading until it ends


def test_leading_goes_on_while_the_lease_is_renewed(make_election: Any, lease: Any, clock: FakeClock) -> None:
    """For much longer than the lease duration."""
    election = make_election().lead()
    for _ in range(20):
        election.renew()
        assert election.elector.is_leader()
    assert not election.stop_events[0].is_set()
    assert election.lock.calls == ["get", "create"] + ["update"] * 21
    assert lease.record.leader_transitions == 0


def test_leading_ends_when_renewals_fail(make_election: Any, make_lock: Any, clock: FakeClock) -> None:
    """client-go source. It retries until the renew deadline; then `run` returns, and does not take part again."""
    lock = make_lock()
    election = make_election(lock).lead()

    def refuse(verb: str, number: int) -> None:
        raise ConnectionRefusedError

    lock.before = refuse
    calls = len(lock.calls)
    election.renew()
    for _ in range(4):
        assert election.elector.is_leader()
        clock.step(2)
        calls += 2
        assert lock.wait_for_calls(calls + 2)
        election.settle()
    clock.step(2)
    election.thread.result()
    assert election.stop_events[0].is_set()
    assert not election.elector.is_leader()
    assert (election.stopped, len(election.stop_events)) == (1, 1)
    assert lock.calls[3:] == ["update", "get"] * 5


@pytest.mark.parametrize("verb", ["update", "get"])
def test_leading_ends_at_the_renew_deadline_while_a_request_hangs(
    verb: str, make_election: Any, make_lock: Any, clock: FakeClock
) -> None:
    """`stop` is set and `is_leader` false, although the request has not returned."""
    lock = make_lock()
    election = make_election(lock).lead()
    hanging, hang_on = threading.Event(), threading.Event()

    def hang(called: str, number: int) -> None:
        if called == verb:
            hanging.set()
            hang_on.wait(10)
        raise ConnectionResetError

    lock.before = hang
    clock.step(2)
    assert hanging.wait(10)
    clock.step(9.9)
    assert election.elector.is_leader()
    assert not election.stop_events[0].is_set()
    clock.step(0.1)
    assert election.stop_events[0].wait(10)
    assert not election.elector.is_leader()
    assert election.stopped == 0
    hang_on.set()
    election.thread.result()
    assert election.stopped == 1


def test_leading_ends_at_the_end_of_the_lease_at_the_latest(
    make_election: Any, make_lock: Any, clock: FakeClock
) -> None:
    """Also if retry period and renew deadline together are longer than the lease."""
    lock = make_lock()
    election = make_election(lock, lease_duration=10, renew_deadline=9.5, retry_period=5).lead()
    hanging, hang_on = threading.Event(), threading.Event()
    lock.before = lambda verb, number: hanging.set() or hang_on.wait(10)
    clock.step(5)
    assert hanging.wait(10)
    clock.step(4.9)
    assert election.elector.is_leader()
    clock.step(0.1)
    assert not election.elector.is_leader()
    assert election.stop_events[0].wait(10)
    hang_on.set()


def test_a_process_stopped_past_its_lease_does_not_renew_it(
    make_election: Any, make_lock: Any, clock: FakeClock
) -> None:
    """When it wakes `is_leader` is false at once, `stop` is set right after, and no request is made."""
    lock = make_lock()
    election = make_election(lock).lead()
    calls = list(lock.calls)
    clock.step(15)
    assert not election.elector.is_leader()
    assert election.stop_events[0].wait(10)
    election.thread.result()
    assert lock.calls == calls
    assert election.stopped == 1


def test_a_process_stopped_for_less_than_its_lease_goes_on(make_election: Any, clock: FakeClock) -> None:
    """No other process can have acquired the lease."""
    election = make_election().lead()
    election.renew(14.9)
    assert election.elector.is_leader()
    assert not election.stop_events[0].is_set()


def test_the_thread_of_run_ends_an_expired_term_without_the_watchdog(
    make_election: Any, make_lock: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may wake before the watchdog: it reads the clock before it makes a request."""
    sleeping, sleep_on = threading.Event(), threading.Event()

    def oversleep(self: Any, until: float) -> None:
        sleeping.set()
        sleep_on.wait(10)

    monkeypatch.setattr("informer.leaderelection.clock._ConditionAlarm.wait", oversleep)
    lock = make_lock()
    election = make_election(lock).run()
    assert election.started.wait(10)
    assert sleeping.wait(10)
    assert lock.wait_for_calls(3)
    assert clock.wait_for_waiters(1, 10)
    clock.step(15)
    assert election.stop_events[0].wait(10)
    sleep_on.set()
    election.thread.result()
    assert lock.calls == ["get", "create", "update"]


@pytest.mark.parametrize("slept", [15, 100])
def test_a_renewal_in_progress_while_the_process_was_stopped_does_not_extend_the_term(
    slept: float, make_election: Any, make_lock: Any, clock: FakeClock
) -> None:
    """Its answer does not say when it was made: leading has ended."""
    lock = make_lock()
    election = make_election(lock).lead()
    lock.after = lambda verb, number: clock.step(slept) if number == 4 else None
    clock.step(2)
    assert election.stop_events[0].wait(10)
    election.thread.result()
    assert lock.calls == ["get", "create", "update", "update"]
    assert not election.elector.is_leader()


def test_a_renewal_counts_from_when_it_was_sent(make_election: Any, make_lock: Any, clock: FakeClock) -> None:
    """An answer that takes 5 s leaves 10 s of a lease of 15 s."""
    lock = make_lock()
    election = make_election(lock).lead()
    lock.after = lambda verb, number: clock.step(5) if number == 4 else None
    election.renew()
    clock.step(9.9)
    assert election.elector.is_leader()
    clock.step(0.1)
    assert not election.elector.is_leader()


def test_leading_ends_at_once_when_another_process_holds_the_lease(
    make_election: Any, lease: Any, clock: FakeClock
) -> None:
    """For instance because a user edited it."""
    election = make_election().lead()
    lease.write(BING)
    clock.step(2)
    election.thread.result()
    assert election.stop_events[0].is_set()
    assert election.elector.leader == "bing"
    assert lease.record == BING


def test_a_deleted_lease_is_created_again(make_election: Any, lease: Any) -> None:
    """Leading goes on."""
    election = make_election().lead()
    lease.write(None)
    election.renew()
    assert election.elector.is_leader()
    assert lease.record.holder_identity == "baz"


# Callbacks


def test_the_callbacks_of_an_election(make_election: Any, lease: Any, clock: FakeClock) -> None:
    """client-go source. The task gets an event, and each new leader is reported, this process included."""
    lease.record = BING
    election = make_election(retry_period=5).run()
    assert clock.wait_for_waiters(1, 10)
    clock.step(15)
    assert election.started.wait(10)
    assert not election.stop_events[0].is_set()
    election.cancel.set()
    election.thread.result()
    assert election.stop_events[0].is_set()
    assert election.stopped == 1
    assert election.was_notified_of("bing", "baz")


def test_on_stopped_leading_is_called_even_without_leading(make_election: Any, lease: Any, clock: FakeClock) -> None:
    """client-go source. At the end of each run, even of one that was stopped before it began."""
    lease.record = BING
    election = make_election().run()
    assert clock.wait_for_waiters(1, 10)
    election.cancel.set()
    election.thread.result()
    assert (election.stopped, election.stop_events) == (1, [])
    election.elector.run(election.cancel)
    assert election.stopped == 2
    assert election.lock.calls == ["get"]


def test_leading_goes_on_when_the_task_returns_early(make_election: Any, make_lock: Any) -> None:
    """client-go source. It may have started threads."""
    begun = threading.Event()
    lock = make_lock()
    election = make_election(lock, on_started_leading=lambda stop: begun.set()).run()
    assert begun.wait(10)
    assert lock.wait_for_calls(3)
    election.settle()
    election.renew()
    assert election.elector.is_leader()


@pytest.mark.parametrize("release", [False, True])
def test_a_task_that_raises_ends_leading(
    release: bool, make_election: Any, lease: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """`run` raises the same exception at its end, so that no process holds the lease without working."""

    def fail(stop: threading.Event) -> None:
        raise ValueError("broken")

    election = make_election(on_started_leading=fail, release_on_cancel=release).run()
    with caplog.at_level(logging.ERROR), pytest.raises(ValueError, match="broken"):
        election.thread.result()
    assert not election.elector.is_leader()
    assert election.stopped == 1
    assert (lease.record.holder_identity == "") is release
    assert "on_started_leading failed" in caplog.text


def test_on_new_leader_is_called_again_after_it_raised(
    make_election: Any, lease: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Even after SystemExit."""
    notified: list[str] = []
    both = threading.Event()

    def fail(leader: str) -> None:
        notified.append(leader)
        if len(notified) == 2:
            both.set()
        raise SystemExit(1)

    lease.record = BING
    make_election(on_new_leader=fail).run()
    assert clock.wait_for_waiters(1, 10)
    clock.step(15)
    assert both.wait(10)
    assert notified == ["bing", "baz"]


def test_leading_goes_on_when_an_event_cannot_be_recorded(
    make_election: Any, make_lock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The exception of the event recorder is logged."""
    lock = make_lock()

    def fail(text: str) -> None:
        raise ValueError("broken")

    lock.record_event = fail
    election = make_election(lock).lead()
    assert election.elector.is_leader()
    election.cancel.set()
    election.thread.result()
    assert "failed to record an event of lease foo/bar" in caplog.text
