"""What of a Lease goes back to the server as it came, whatever this version knows of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from informer.leaderelection import LeaderElectionRecord, LeaseLock

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


def test_fields_that_nobody_knows_go_back(serve: Any) -> None:
    """Those of a later version, in the Lease, its metadata and its spec; and the version that was seen."""
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
def test_an_answer_that_is_no_lease_is_a_failure(answer: Any, serve: Any) -> None:
    """A proxy may answer anything: it is an attempt that failed."""
    server = serve(lambda request, connection: connection.answer(json.dumps(answer).encode()))
    with pytest.raises(ConnectionError, match="default/leader"):
        LeaseLock(server.client(), "default", "leader", "me").get()


def test_names_are_escaped(serve: Any) -> None:
    """Whatever they are, they are one piece of the path."""
    server = serve(lambda request, connection: connection.answer(LEASE))
    LeaseLock(server.client(), "a/b", "../c?d", "me").get()
    assert server.requests[0].target == "/apis/coordination.k8s.io/v1/namespaces/a%2Fb/leases/..%2Fc%3Fd"


def test_a_request_is_sent_once(serve: Any) -> None:
    """Neither urllib3 nor anybody else tries again: the elector does."""
    server = serve(lambda request, connection: connection.cut())
    with pytest.raises(ConnectionError):
        LeaseLock(server.client(), "default", "leader", "me").get(timeout=5)
    assert len(server.requests) == 1
