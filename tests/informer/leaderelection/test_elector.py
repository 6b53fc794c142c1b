"""Runs of an elector: how it comes to lead, how it goes on, and that it ends in time."""

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


def nothing(*args: Any) -> None:
    return None


# The calls


def test_a_leader_renews_with_one_update(leading: Any, make_lock: Any, clock: FakeClock) -> None:
    """Go: TestFastPathLeaderElection. It renews as soon as it leads, and then each retry period, without reading the lease."""
    lock = make_lock()
    each = leading(lock)
    lock.after = lambda verb, number: each.cancel.set() if number == 4 else None
    each.lead()
    clock.step(2)
    each.task.result()
    assert lock.calls == ["get", "create", "update", "update"]


def test_a_conflict_leads_to_reading_the_lease(leading: Any, make_lock: Any, clock: FakeClock) -> None:
    """Go: TestFastPathLeaderElection. When a renewal fails it is tried again at once, on the slow path."""
    lock = make_lock()
    each = leading(lock)

    def before(verb: str, number: int) -> None:
        if number == 4:
            raise ApiError(409, "Conflict")

    lock.before = before
    lock.after = lambda verb, number: each.cancel.set() if number == 7 else None
    each.lead()
    each.renew()
    assert lock.calls == ["get", "create", "update", "update", "get", "update"]
    clock.step(2)
    each.task.result()
    assert lock.calls == ["get", "create", "update", "update", "get", "update", "update"]


def test_requests_have_time_for_a_second_try(leading: Any, make_lock: Any) -> None:
    """client-go source. Half the renew deadline, a second at least, and never more than the deadline itself."""
    for deadline, timeout in ((10, 5), (1.5, 1), (0.5, 0.5)):
        lock = make_lock()
        each = leading(lock, renew_deadline=deadline, retry_period=0.1).run()
        assert lock.wait_for_calls(1)
        each.cancel.set()
        each.task.result()
        assert lock.timeouts[0] == timeout


# Acquiring


def test_candidates_wait_a_retry_period_and_jitter(make_lock: Any, lease: Any, auto_clock: Any) -> None:
    """client-go source. Tries come at once and then after 1 to 2.2 retry periods, so that candidates do not go in step."""
    lease.record = BING
    lock = make_lock()
    stop = Signal()
    jitter = iter([0.0, 0.5, 1.0, 0.0])
    elector = LeaderElector(
        lock, clock=auto_clock, on_started_leading=nothing, on_stopped_leading=nothing, jitter=lambda: next(jitter)
    )
    lock.before = lambda verb, number: stop.set() if number == 4 else None
    lease.record = replace(BING, lease_duration_seconds=1000)
    elector.run(stop)
    assert lock.calls == ["get"] * 4
    assert auto_clock.waits == pytest.approx([2.0, 3.2, 4.4, 2.0])


def test_a_standby_leads_when_the_lease_has_run_out(leading: Any, lease: Any, clock: FakeClock) -> None:
    """It is told who leads, waits for as long as the lease lasts since its last change, and then leads itself."""
    lease.record = BING
    each = leading(retry_period=5).run()
    for _ in range(3):
        assert clock.wait_for_waiters(1, 10)
        assert not each.elector.is_leader()
        calls = len(each.lock.calls)
        clock.step(5)
        assert each.lock.wait_for_calls(calls + 1)
    assert each.started.wait(10)
    assert each.elector.is_leader()
    assert each.elector.leader == "baz"
    assert lease.record.leader_transitions == 1


def test_a_lease_that_ran_out_before_its_answer_came_is_not_led_by(
    leading: Any, make_lock: Any, clock: FakeClock
) -> None:
    """A process that was stopped while it asked for the lease asks again when it wakes, and only then leads."""
    lock = make_lock()
    lock.after = lambda verb, number: clock.step(20) if number == 2 else None
    each = leading(lock).run()
    assert clock.wait_for_waiters(1, 10)
    assert lock.calls == ["get", "create"]
    assert not each.started.is_set()
    assert not each.elector.is_leader()
    clock.step(2)
    assert each.started.wait(10)
    assert lock.calls[:4] == ["get", "create", "get", "update"]


# Leading until it ends


def test_leading_goes_on_while_it_is_renewed(leading: Any, lease: Any, clock: FakeClock) -> None:
    """Far longer than a lease."""
    each = leading().lead()
    for _ in range(20):
        each.renew()
        assert each.elector.is_leader()
    assert not each.works[0].is_set()
    assert each.lock.calls == ["get", "create"] + ["update"] * 21
    assert lease.record.leader_transitions == 0


def test_leading_ends_when_no_renewal_comes_through(leading: Any, make_lock: Any, clock: FakeClock) -> None:
    """client-go source. Tries each retry period until the renew deadline; then `run` returns, and does not take part again."""
    lock = make_lock()
    each = leading(lock).lead()

    def refuse(verb: str, number: int) -> None:
        raise ConnectionRefusedError

    lock.before = refuse
    calls = len(lock.calls)
    each.renew()
    for _ in range(4):
        assert each.elector.is_leader()
        clock.step(2)
        calls += 2
        assert lock.wait_for_calls(calls + 2)
        each.settle()
    clock.step(2)
    each.task.result()
    assert each.works[0].is_set()
    assert not each.elector.is_leader()
    assert (each.stopped, len(each.works)) == (1, 1)
    assert lock.calls[3:] == ["update", "get"] * 5


@pytest.mark.parametrize("verb", ["update", "get"])
def test_leading_ends_though_a_request_hangs(verb: str, leading: Any, make_lock: Any, clock: FakeClock) -> None:
    """For certain at the renew deadline: `stop` is set and `is_leader` false while the request still does not come back."""
    lock = make_lock()
    each = leading(lock).lead()
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
    assert each.elector.is_leader()
    assert not each.works[0].is_set()
    clock.step(0.1)
    assert each.works[0].wait(10)
    assert not each.elector.is_leader()
    assert each.stopped == 0
    hang_on.set()
    each.task.result()
    assert each.stopped == 1


def test_leading_ends_with_the_lease_at_the_latest(leading: Any, make_lock: Any, clock: FakeClock) -> None:
    """Where retry period and renew deadline together are longer than the lease, that of the lease counts."""
    lock = make_lock()
    each = leading(lock, lease_duration=10, renew_deadline=9.5, retry_period=5).lead()
    hanging, hang_on = threading.Event(), threading.Event()
    lock.before = lambda verb, number: hanging.set() or hang_on.wait(10)
    clock.step(5)
    assert hanging.wait(10)
    clock.step(4.9)
    assert each.elector.is_leader()
    clock.step(0.1)
    assert not each.elector.is_leader()
    assert each.works[0].wait(10)
    hang_on.set()


def test_a_process_stopped_past_its_lease_does_not_renew_it(leading: Any, make_lock: Any, clock: FakeClock) -> None:
    """On waking it leads no more, before it has asked anybody: `is_leader` at once, `stop` right after, and no request."""
    lock = make_lock()
    each = leading(lock).lead()
    calls = list(lock.calls)
    clock.step(15)
    assert not each.elector.is_leader()
    assert each.works[0].wait(10)
    each.task.result()
    assert lock.calls == calls
    assert each.stopped == 1


def test_a_process_stopped_for_less_than_its_lease_goes_on(leading: Any, clock: FakeClock) -> None:
    """Nobody can have taken the lease."""
    each = leading().lead()
    each.renew(14.9)
    assert each.elector.is_leader()
    assert not each.works[0].is_set()


def test_it_does_not_rely_on_its_watchdog(
    leading: Any, make_lock: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On waking the thread of `run` may come first: it looks at the clock before it asks anybody."""
    sleeping, sleep_on = threading.Event(), threading.Event()

    def oversleep(self: Any, until: float) -> None:
        sleeping.set()
        sleep_on.wait(10)

    monkeypatch.setattr("informer.leaderelection.clock._ConditionAlarm.wait", oversleep)
    lock = make_lock()
    each = leading(lock).run()
    assert each.started.wait(10)
    assert sleeping.wait(10)
    assert lock.wait_for_calls(3)
    assert clock.wait_for_waiters(1, 10)
    clock.step(15)
    assert each.works[0].wait(10)
    sleep_on.set()
    each.task.result()
    assert lock.calls == ["get", "create", "update"]


@pytest.mark.parametrize("slept", [15, 100])
def test_a_renewal_that_was_under_way_while_the_process_was_stopped_prolongs_nothing(
    slept: float, leading: Any, make_lock: Any, clock: FakeClock
) -> None:
    """Its answer says that it was done, but not when: leading has ended all the same."""
    lock = make_lock()
    each = leading(lock).lead()
    lock.after = lambda verb, number: clock.step(slept) if number == 4 else None
    clock.step(2)
    assert each.works[0].wait(10)
    each.task.result()
    assert lock.calls == ["get", "create", "update", "update"]
    assert not each.elector.is_leader()


def test_a_renewal_counts_from_when_it_was_sent(leading: Any, make_lock: Any, clock: FakeClock) -> None:
    """An answer that takes 5 s leaves 10 s of a lease of 15 s."""
    lock = make_lock()
    each = leading(lock).lead()
    lock.after = lambda verb, number: clock.step(5) if number == 4 else None
    each.renew()
    clock.step(9.9)
    assert each.elector.is_leader()
    clock.step(0.1)
    assert not each.elector.is_leader()


def test_leading_ends_at_once_when_somebody_else_leads(leading: Any, lease: Any, clock: FakeClock) -> None:
    """Whoever has changed the lease by hand means it."""
    each = leading().lead()
    lease.write(BING)
    clock.step(2)
    each.task.result()
    assert each.works[0].is_set()
    assert each.elector.leader == "bing"
    assert lease.record == BING


def test_a_lease_that_was_deleted_is_made_again(leading: Any, lease: Any) -> None:
    """Leading goes on."""
    each = leading().lead()
    lease.write(None)
    each.renew()
    assert each.elector.is_leader()
    assert lease.record.holder_identity == "baz"


# Callbacks


def test_callbacks(leading: Any, lease: Any, clock: FakeClock) -> None:
    """client-go source. The work has a thread of its own and an event, leaders are told one after the other, ourselves too."""
    lease.record = BING
    each = leading(retry_period=5).run()
    assert clock.wait_for_waiters(1, 10)
    clock.step(15)
    assert each.started.wait(10)
    assert not each.works[0].is_set()
    each.cancel.set()
    each.task.result()
    assert each.works[0].is_set()
    assert each.stopped == 1
    assert each.is_told("bing", "baz")


def test_on_stopped_leading_is_called_though_it_never_led(leading: Any, lease: Any, clock: FakeClock) -> None:
    """client-go source. At the end of each run, even of one that was stopped before it began."""
    lease.record = BING
    each = leading().run()
    assert clock.wait_for_waiters(1, 10)
    each.cancel.set()
    each.task.result()
    assert (each.stopped, each.works) == (1, [])
    each.elector.run(each.cancel)
    assert each.stopped == 2
    assert each.lock.calls == ["get"]


def test_work_that_returns_early_changes_nothing(leading: Any, make_lock: Any) -> None:
    """client-go source. It may have started threads: leading goes on until it ends for another reason."""
    begun = threading.Event()
    lock = make_lock()
    each = leading(lock, on_started_leading=lambda stop: begun.set()).run()
    assert begun.wait(10)
    assert lock.wait_for_calls(3)
    each.settle()
    each.renew()
    assert each.elector.is_leader()


@pytest.mark.parametrize("release", [False, True])
def test_work_that_raises_ends_leading(
    release: bool, leading: Any, lease: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """`run` raises the same once everything is cleared up, so that nobody holds the lease without working."""

    def fail(stop: threading.Event) -> None:
        raise ValueError("broken")

    each = leading(on_started_leading=fail, release_on_cancel=release).run()
    with caplog.at_level(logging.ERROR), pytest.raises(ValueError, match="broken"):
        each.task.result()
    assert not each.elector.is_leader()
    assert each.stopped == 1
    assert (lease.record.holder_identity == "") is release
    assert "on_started_leading failed" in caplog.text


def test_a_function_that_fails_at_news_misses_none(
    leading: Any, lease: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """`on_new_leader` is called with the next leader all the same."""
    told: list[str] = []
    both = threading.Event()

    def fail(leader: str) -> None:
        told.append(leader)
        if len(told) == 2:
            both.set()
        raise SystemExit(1)

    lease.record = BING
    leading(on_new_leader=fail).run()
    assert clock.wait_for_waiters(1, 10)
    clock.step(15)
    assert both.wait(10)
    assert told == ["bing", "baz"]


def test_a_broken_event_recorder_changes_nothing(
    leading: Any, make_lock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever cannot record an event leads all the same."""
    lock = make_lock()

    def fail(text: str) -> None:
        raise ValueError("broken")

    lock.record_event = fail
    each = leading(lock).lead()
    assert each.elector.is_leader()
    each.cancel.set()
    each.task.result()
