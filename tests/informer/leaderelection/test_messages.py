"""What an elector raises and logs, in full; docs/errors.md lists these messages."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from informer.leaderelection import LeaderElectionRecord, LeaderElector, LeaseLock, resource_lock
from informer.leaderelection.clock import _ConditionAlarm
from informer.leaderelection.term import Term
from tests.support.forks import IN_CHILD
from tests.support.messages import check_logged, check_raised, ids, raised_by
from tests.support.waiting import eventually
from watch import ApiError, FakeClock

ELSEWHERE = LeaderElectionRecord("bing", 15)
DENIED = ApiError(403, "Forbidden", "no such role")


def lock(identity: str = "me", name: str = "name") -> Any:
    return LeaseLock(None, "default", name, identity)


def elector(**options: Any) -> LeaderElector:
    return LeaderElector(
        options.pop("lock", lock()),
        on_started_leading=lambda stop: None,
        on_stopped_leading=lambda: None,
        **options,
    )


def raising(*_: Any) -> Any:
    raise LookupError("of the user")


CALLS: list[tuple[Callable[[], Any], str]] = [
    (lambda: elector(lock=None), "lock must not be None: pass a LeaseLock"),
    (
        lambda: elector(lease_duration=5, renew_deadline=10),
        "lease_duration must be greater than renew_deadline: with 5 s and 10 s another process could acquire the lease before "
        "this one has stopped leading",
    ),
    (
        lambda: elector(renew_deadline=2, retry_period=2),
        "renew_deadline must be greater than retry_period * 1.2: 2 s leave no time for a second try after 2 s",
    ),
    (lambda: elector(retry_period=0), "retry_period must be greater than zero, not 0"),
    (
        lambda: elector(lock=lock(identity="")),
        "the lock's identity is empty: each process needs one of its own, such as its pod's name",
    ),
    (lambda: lock(name=""), "a Lease needs a name, not ''"),
    (
        lambda: resource_lock("endpoints", None, "default", "name", "me"),
        "endpoints lock is removed, migrate to leases",
    ),
    (
        lambda: resource_lock("files", None, "default", "name", "me"),
        "Invalid lock-type files: it must be leases",
    ),
]


@pytest.mark.parametrize(("call", "message"), CALLS, ids=ids(CALLS))
def test_a_wrong_call_raises(call: Callable[[], Any], message: str) -> None:
    """The message says what is wrong, and why."""
    check_raised(call, message)


def test_an_answer_that_is_not_a_lease(serve: Any) -> None:
    """The error says that something other than an API server answered."""
    server = serve(lambda _, connection: connection.answer({"kind": "Page"}))
    check_raised(
        LeaseLock(server.client(), "default", "name", "me").get,
        "the server's answer for Lease default/name is not a Lease (is a proxy or login page in front?)",
    )


def test_an_elector_that_runs_already(make_election: Any) -> None:
    """A second `run` during the first is refused."""
    election = make_election().lead()
    check_raised(lambda: election.elector.run(election.cancel), "the election for foo/bar is already started")


def test_an_elector_in_a_forked_child() -> None:
    """An elector and an event broadcaster of the parent raise in the child."""
    program = f"""{IN_CHILD}
import logging, threading
from informer.leaderelection import InformerForkedError, LeaderElector, LeaderElectionRecord
from informer.record import EventBroadcaster

class Lock:
    identity, record = "me", LeaderElectionRecord("bing", 15)
    def get(self, timeout=5): return self.record
    def describe(self): return "foo/bar"

broadcaster, led = EventBroadcaster(), threading.Event()
elector = LeaderElector(Lock(), on_started_leading=print, on_stopped_leading=print, on_new_leader=lambda name: led.set())
cancel = threading.Event()
thread = threading.Thread(target=elector.run, args=(cancel,))
thread.start()
led.wait(10)

def body():
    logging.basicConfig()
    broadcaster.start_event_watcher(print)
    try:
        elector.run(cancel)
    except Exception as error:
        sys.stderr.write(str(error))

code = in_child(body)
cancel.set()
thread.join()
sys.exit(code)
""".replace("InformerForkedError, ", "")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for message in (
        "the election for foo/bar belongs to the process that this one was forked from: create an elector after the fork",
        "failed to start an event watcher: the event broadcaster belongs to the process that this one was forked from: create "
        "one after the fork",
    ):
        assert message in done.stderr


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("get", "failed to read lease foo/bar: 403 Forbidden: no such role"),
        ("create", "failed to create lease foo/bar: 403 Forbidden: no such role"),
        ("update", "failed to update lease foo/bar: 403 Forbidden: no such role"),
    ],
)
def test_a_request_that_fails(
    verb: str, message: str, lease: Any, make_lock: Any, make_candidate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The message names the request and quotes the server."""
    made = make_lock()
    lease.record = LeaderElectionRecord("", 15) if verb == "update" else None

    def fail(called: str, number: int) -> None:
        if called == verb:
            raise DENIED

    made.before = fail
    assert not make_candidate(lock=made).try_acquire_or_renew()
    check_logged(caplog, message)


def test_a_lease_that_cannot_be_read_to_be_released(
    make_lock: Any, make_candidate: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The failed release is logged with the reason. Another process leads after the lease has expired."""
    made = make_lock()
    candidate = make_candidate(lock=made)
    assert candidate.try_acquire_or_renew()
    made.before = lambda verb, number: raise_(DENIED)
    assert not candidate.try_release(clock.monotonic() + 5)
    check_logged(caplog, "failed to release lease foo/bar, because it cannot be read: 403 Forbidden: no such role")


def raise_(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        (ELSEWHERE, "the lease is held by bing"),
        (LeaderElectionRecord("", 15), "the lease has no holder"),
        (None, "the lease was not renewed within the renew deadline"),
    ],
    ids=["held", "no-holder", "renew-deadline"],
)
def test_why_leading_has_ended(
    record: Any, cause: str, make_election: Any, make_lock: Any, lease: Any, clock: FakeClock, caplog: Any
) -> None:
    """The log says that another process changed the lease, or that it was not renewed."""
    made = make_lock()
    election = make_election(made).lead()

    def fail(verb: str, number: int) -> None:
        if verb == "update":
            raise DENIED

    made.before = fail
    if record is not None:
        lease.write(record)
    calls = len(made.calls)
    clock.step(2)
    if record is None:
        assert made.wait_for_calls(calls + 3)
        election.settle()
        clock.step(10)
    election.thread.result()
    check_logged(caplog, f"baz has stopped leading with lease foo/bar: {cause}")


def test_why_a_term_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A term also names the causes that a normal election does not have."""
    clock = FakeClock()
    expired = Term(clock, 10)
    clock.step(10)
    assert expired.stop.wait(10)
    expired.close()
    assert expired.cause == "the lease has expired"
    ended = Term(FakeClock(), 10)
    ended.close()
    assert ended.cause == "the run has ended"
    with monkeypatch.context() as patched, pytest.MonkeyPatch.context() as quiet:
        quiet.setattr("threading.excepthook", lambda *_: None)
        patched.setattr(_ConditionAlarm, "wait", raising)
        failed = Term(FakeClock(), 10)
        assert failed.stop.wait(10)
        failed.close()
    assert failed.cause == "its watchdog thread failed"


def test_a_run_that_is_interrupted(
    make_election: Any, make_lock: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says that `run` was interrupted, as by Ctrl-C."""
    made = make_lock()
    election = make_election(made).lead()

    def interrupt(verb: str, number: int) -> None:
        raise KeyboardInterrupt

    caplog.set_level(logging.INFO)
    made.before = interrupt
    clock.step(2)
    with pytest.raises(KeyboardInterrupt):
        election.thread.result()
    assert "baz has stopped leading with lease foo/bar: its run was interrupted" in caplog.messages


def test_a_task_that_goes_on(make_election: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """The lease is not released, and the elector's check fails."""
    election = make_election(release_on_cancel=True)
    election.may_end.clear()
    election.lead()
    election.cancel.set()
    assert election.stop_events[0].wait(10)
    assert clock.wait_for_waiters(1, 10)
    clock.step(20)
    election.thread.result()
    check_logged(
        caplog,
        "lease foo/bar is not released: on_started_leading has not returned, although its stop event is set",
    )
    with pytest.raises(Exception, match="failed election") as caught:
        election.elector.check(0)
    assert str(caught.value) == "failed election to renew leadership on lease foo/bar"
    election.may_end.set()


def test_a_standby_whose_task_goes_on(make_election: Any, lease: Any, clock: FakeClock) -> None:
    """Another process leads while it still runs."""
    election = make_election()
    election.may_end.clear()
    election.lead()
    clock.step(20)
    election.thread.result()
    lease.write(ELSEWHERE)
    election.run()
    message = (
        "failed election to renew leadership on lease foo/bar: on_started_leading has not returned, although its stop event is "
        "set"
    )
    # Until the new run has begun, the check says that the lease was not renewed.
    assert eventually(lambda: raised_by(lambda: election.elector.check(0)) == message)
    election.may_end.set()


def test_a_lease_that_was_acquired_too_late(
    make_election: Any, make_lock: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's answer took longer than the lease lasts."""
    made = make_lock()

    def take_long(verb: str, number: int) -> None:
        if verb == "create":
            clock.step(16)

    made.after = take_long
    make_election(made).run()
    check_logged(caplog, "lease foo/bar was acquired too late: it has already expired")


def test_a_callback_that_raises(make_election: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A callback's error is logged, and the elector continues."""
    make_election(on_new_leader=raising).lead()
    check_logged(caplog, "on_new_leader failed")
