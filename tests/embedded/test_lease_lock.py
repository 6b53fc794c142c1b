"""A LeaseLock at the embedded API server: what it writes, and elections by it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_mock import MockerFixture

from informer.leaderelection import LeaderElectionRecord, LeaderElector, LeaseLock, resource_lock
from informer.record import EventRecorder, get_reference
from tests.support.waiting import PROMPT
from watch import ApiError
from watch.concurrency import Signal
from watch.errors import RequestCancelledError
from watch.request_scope import RequestScope

RECORD = LeaderElectionRecord(
    "test-identity", 15, "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:01.500000Z", 1, "", ""
)


@pytest.fixture
def make_lock(embedded_apiserver: Any) -> Callable[..., LeaseLock]:
    """Makes locks on the Lease default/leader, each with connections of its own."""

    def make(identity: str = "test-identity", **options: Any) -> LeaseLock:
        return LeaseLock(embedded_apiserver.api_client(), "default", "leader", identity, **options)

    return make


@pytest.fixture
def stored(embedded_apiserver: Any) -> Callable[[], Any]:
    """Returns the Lease as the server has stored it."""

    def get() -> Any:
        from kubernetes import client

        api = client.CoordinationV1Api(embedded_apiserver.api_client())
        answer: Any = api.read_namespaced_lease("leader", "default", _preload_content=False)
        return json.loads(answer.data)

    return get


def test_a_missing_lease_is_not_found(make_lock: Any) -> None:
    """Go: TestGetError. The error is an ApiError of status 404."""
    with pytest.raises(ApiError) as caught:
        make_lock().get()
    assert (caught.value.status, caught.value.reason) == (404, "NotFound")


def test_a_created_lease_can_be_read(make_lock: Any) -> None:
    """Go: TestGet. By another process, with microseconds."""
    record = LeaderElectionRecord(
        "test-identity", 15, RECORD.acquire_time, RECORD.renew_time, 1, "OldestEmulationVersion", "other"
    )
    make_lock().create(record)
    assert make_lock("another").get() == record


def test_a_lease_has_the_fields_that_client_go_writes(make_lock: Any, stored: Any) -> None:
    """client-go source. It has no others."""
    make_lock().create(RECORD)
    lease = stored()
    assert lease["spec"] == {
        "holderIdentity": "test-identity",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:01.500000Z",
        "leaseTransitions": 1,
    }
    assert "labels" not in lease["metadata"]


def test_a_second_create_fails(make_lock: Any) -> None:
    """Go: TestCreateError. The error is an ApiError of status 409."""
    make_lock().create(RECORD)
    with pytest.raises(ApiError) as caught:
        make_lock("another").create(RECORD)
    assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")


def test_an_update_before_any_read_is_an_error(make_lock: Any) -> None:
    """Go: TestUpdateError. The message says what to do."""
    lock = make_lock()
    with pytest.raises(RuntimeError, match="lease is not initialized: call get or create first"):
        lock.update(RECORD)


def test_of_two_updates_one_is_a_conflict(make_lock: Any) -> None:
    """Each carries the version that its writer read or wrote last. A refused write does not change that version."""
    first, second = make_lock("first"), make_lock("second")
    first.create(RECORD)
    second.get()
    second.update(LeaderElectionRecord("second", 15))
    for _ in range(2):
        with pytest.raises(ApiError) as caught:
            first.update(RECORD)
        assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    assert first.get().holder_identity == "second"
    first.update(RECORD)
    second.get()


def test_other_fields_of_a_lease_stay(make_lock: Any, stored: Any, embedded_apiserver: Any) -> None:
    """A renewal changes renewTime, and keeps annotations, owners and labels."""
    lock = make_lock()
    lock.create(RECORD)
    lease = stored()
    lease["metadata"]["annotations"] = {"a": "1"}
    lease["metadata"]["labels"] = {"b": "2"}
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}
    lease["metadata"]["ownerReferences"] = [owner]
    embedded_apiserver.update(lease)
    lock.get()
    before = stored()
    lock.update(LeaderElectionRecord("test-identity", 15, RECORD.acquire_time, "2026-01-01T00:00:09.000000Z", 1))
    after = stored()
    assert after["metadata"]["annotations"] == {"a": "1"}
    assert after["metadata"]["labels"] == {"b": "2"}
    assert after["metadata"]["ownerReferences"] == [owner]
    assert after["spec"] == {**before["spec"], "renewTime": "2026-01-01T00:00:09.000000Z"}
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_each_write_sets_the_locks_labels(make_lock: Any, stored: Any, embedded_apiserver: Any) -> None:
    """Go: TestLabelUpdate. Other labels stay."""
    lock = make_lock(labels={"custom-key": "custom-val"})
    lock.create(RECORD)
    lease = stored()
    assert lease["metadata"]["labels"] == {"custom-key": "custom-val"}
    lease["metadata"]["labels"] = {"custom-key": "new-custom-val", "custom-key-2": "custom-val-2"}
    embedded_apiserver.update(lease)
    lock.get()
    lock.update(RECORD)
    assert stored()["metadata"]["labels"] == {"custom-key": "custom-val", "custom-key-2": "custom-val-2"}


def test_labels_on_a_lease_without_any(make_lock: Any, stored: Any) -> None:
    """Go: TestUpdateWithNilLabelsOnLease, TestUpdateWithNilLabelsOnLeaseLock. Either side may have none."""
    lock = make_lock()
    lock.create(RECORD)
    lock.update(RECORD)
    assert "labels" not in stored()["metadata"]
    other = make_lock(labels={"custom-key": "custom-val"})
    other.get()
    other.update(RECORD)
    assert stored()["metadata"]["labels"] == {"custom-key": "custom-val"}


def test_an_event_is_about_the_lease(make_lock: Any, stored: Any, mocker: MockerFixture) -> None:
    """Go: TestRecordEventSuccess. Its message begins with the identity. Once the Lease was written its uid is known."""
    recorder = mocker.create_autospec(EventRecorder, instance=True)
    lock = make_lock(event_recorder=recorder)
    lock.record_event("test event")
    lock.create(RECORD)
    lock.record_event("test event")
    before, after = recorder.event.call_args_list
    for call in (before, after):
        assert call.args[1:] == ("Normal", "LeaderElection", "test-identity test event")
        assert (
            get_reference(call.args[0]).items() >= {"kind": "Lease", "namespace": "default", "name": "leader"}.items()
        )
    assert get_reference(after.args[0])["uid"] == stored()["metadata"]["uid"]


def test_record_event_without_a_recorder_makes_no_request_and_does_not_raise(
    make_lock: Any, embedded_apiserver: Any
) -> None:
    """Go: TestRecordEventNilRecorder. Neither before nor after the Lease was created."""
    lock = make_lock()
    lock.record_event("test event")
    lock.create(RECORD)
    lock.record_event("test event")
    assert [(request.verb, request.resource) for request in embedded_apiserver.requests] == [
        ("create", "leases.coordination.k8s.io")
    ]


def test_describe_returns_namespace_and_name(make_lock: Any) -> None:
    """Go: TestDescribe."""
    assert make_lock().describe() == "default/leader"
    assert make_lock().identity == "test-identity"


@pytest.mark.parametrize(
    ("lock_type", "text"),
    [
        ("endpoints", "endpoints lock is removed, migrate to leases"),
        ("configmaps", "configmaps lock is removed, migrate to leases"),
        ("endpointsleases", "endpointsleases lock is removed, migrate to leases"),
        ("configmapsleases", "configmapsleases lock is removed, migrate to leases"),
        ("other", "Invalid lock-type other"),
    ],
)
def test_leases_are_the_only_lock_type(lock_type: str, text: str, embedded_apiserver: Any) -> None:
    """client-go source. Removed types have another message than unknown ones."""
    with pytest.raises(ValueError, match=text):
        resource_lock(lock_type, embedded_apiserver.api_client(), "default", "leader", "me")
    lock = resource_lock("leases", embedded_apiserver.api_client(), "default", "leader", "me", labels={"a": "b"})
    assert lock.identity == "me"


@pytest.mark.parametrize(("namespace", "name"), [("", "x"), ("x", "")])
def test_a_lease_needs_a_namespace_and_a_name(namespace: str, name: str, embedded_apiserver: Any) -> None:
    """The constructor raises ValueError."""
    with pytest.raises(ValueError, match="a Lease needs a name"):
        LeaseLock(embedded_apiserver.api_client(), namespace, name, "me")


# Elections


class Member:
    """An elector on a thread, with a lease of 2 s."""

    def __init__(self, lock: LeaseLock, run: Callable[..., Any]) -> None:
        self.cancel = Signal()
        self.started = threading.Event()
        self.stop_event: threading.Event | None = None
        self.elector = LeaderElector(
            lock,
            lease_duration=2,
            renew_deadline=1.5,
            retry_period=0.2,
            on_started_leading=self._lead,
            on_stopped_leading=lambda: None,
            release_on_cancel=True,
        )
        self.task = run(self.elector.run, self.cancel)

    def _lead(self, stop: threading.Event) -> None:
        self.stop_event = stop
        self.started.set()
        stop.wait()


def test_a_released_lease_is_acquired_at_once(make_lock: Any, run: Any, stored: Any) -> None:
    """When the leader is stopped the other process leads without waiting for the lease to expire."""
    first = Member(make_lock("first"), run)
    assert first.started.wait(10)
    second = Member(make_lock("second"), run)
    assert not second.started.wait(0.3)
    first.cancel.set()
    first.task.result()
    assert second.started.wait(10)
    assert stored()["spec"]["leaseTransitions"] == 1
    assert (first.elector.is_leader(), second.elector.is_leader()) == (False, True)
    second.cancel.set()
    second.task.result()
    assert stored()["spec"]["holderIdentity"] == ""


def test_leading_ends_while_the_server_hangs(make_lock: Any, run: Any, embedded_apiserver: Any) -> None:
    """At the renew deadline; `run` returns, since the request is cancelled."""
    member = Member(make_lock(), run)
    assert member.started.wait(10)
    embedded_apiserver.faults.hang(on="any", times=None)
    begun = time.monotonic()
    assert member.stop_event is not None
    assert member.stop_event.wait(10)
    assert time.monotonic() - begun < PROMPT
    assert not member.elector.is_leader()
    member.task.result()


def test_no_request_is_made_in_a_cancelled_scope(make_lock: Any, embedded_apiserver: Any) -> None:
    """The call raises RequestCancelledError."""
    lock = make_lock()
    lock.create(RECORD)
    scope = RequestScope()
    scope.cancel()
    with scope, pytest.raises(RequestCancelledError):
        lock.get()
