"""Requests of a LeaseLock, at a scripted HTTP server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_mock import MockerFixture

from informer.leaderelection import LeaderElectionRecord, LeaseLock
from informer.transport.transport import Transport
from watch import ApiError

LEASE = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "leader", "namespace": "default", "resourceVersion": "7", "finalizers": ["x/y"], "later": [1]},
    "spec": {
        "holderIdentity": "you",
        "leaseTransitions": 3,
        "later": {"a": 1},
        "acquireTime": "2026-01-01T00:00:00.000000Z",
    },
    "later": {"b": [2]},
}


def test_an_update_keeps_unknown_fields(serve: Any) -> None:
    """Fields of a later version stay in the Lease, its metadata and its spec, and so does the resourceVersion."""
    server = serve(lambda request, connection: connection.answer(LEASE))
    lock = LeaseLock(server.client(), "default", "leader", "me", labels={"l": "1"})
    lock.get()
    lock.update(LeaderElectionRecord("me", 15, "", "2026-01-01T00:00:09.000000Z", 4))
    read, written = server.requests
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/leader"
    assert [(each.method, each.target) for each in (read, written)] == [("GET", path), ("PUT", path)]
    body = json.loads(written.body)
    assert body == {
        **LEASE,
        "metadata": {**LEASE["metadata"], "labels": {"l": "1"}},  # type: ignore[dict-item]
        "spec": {
            "later": {"a": 1},
            "holderIdentity": "me",
            "leaseDurationSeconds": 15,
            "leaseTransitions": 4,
            "renewTime": "2026-01-01T00:00:09.000000Z",
        },
    }


@pytest.mark.parametrize("answer", [[], {}, {"metadata": 7}, "x"], ids=str)
def test_an_answer_that_is_not_a_lease_is_a_connection_error(answer: Any, serve: Any) -> None:
    """A proxy may have answered: the attempt has failed."""
    server = serve(lambda request, connection: connection.answer(json.dumps(answer).encode()))
    with pytest.raises(ConnectionError, match="default/leader"):
        LeaseLock(server.client(), "default", "leader", "me").get()


def test_a_request_is_sent_once(serve: Any) -> None:
    """Neither urllib3 nor the lock retries: the elector does."""
    server = serve(lambda request, connection: connection.cut())
    with pytest.raises(ConnectionError):
        LeaseLock(server.client(), "default", "leader", "me").get(timeout=5)
    assert len(server.requests) == 1


def test_each_request_has_the_time_out_of_its_call(mocker: MockerFixture) -> None:
    """The elector gives each request what is left until its deadline; a refusal is passed on."""
    transport = mocker.create_autospec(Transport, instance=True)
    mocker.patch("informer.leaderelection.lease_lock.transport_for", autospec=True, return_value=transport)
    transport.send_json.side_effect = [LEASE, LEASE, LEASE, ApiError(409, "Conflict", "changed")]
    lock = LeaseLock(None, "default", "leader", "me")
    record = lock.get(timeout=1.5)
    lock.create(record, timeout=2.5)
    lock.update(record, timeout=3.5)
    with pytest.raises(ApiError, match="changed"):
        lock.update(record, timeout=4.5)
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    sent = [(*call.args[:2], call.kwargs["timeout"]) for call in transport.send_json.call_args_list]
    assert sent == [
        ("GET", f"{path}/leader", 1.5),
        ("POST", path, 2.5),
        ("PUT", f"{path}/leader", 3.5),
        ("PUT", f"{path}/leader", 4.5),
    ]
