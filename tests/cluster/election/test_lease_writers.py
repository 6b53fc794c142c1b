"""Leases at a real kube-apiserver, as a client writes them that may update Leases and means harm."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from informer.leaderelection import LeaderElector, LeaseLock
from informer.leaderelection.candidate import Candidate
from tests.support.waiting import DEADLINE, eventually
from watch import FakeClock

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

GROUP = "coordination.k8s.io/v1"
LARGEST = 2**31 - 1
TIME = "9999-12-31T23:59:59.999999Z"


class Writer:
    """Writes a Lease of its own namespace, and makes locks on it."""

    def __init__(self, namespace: Any) -> None:
        self.namespace = namespace
        self.path = namespace.path("leases", GROUP)

    def create(self, **spec: Any) -> dict[str, Any]:
        lease = {"apiVersion": GROUP, "kind": "Lease", "metadata": {"name": "leader"}, "spec": spec}
        made: dict[str, Any] = self.namespace.cluster.create(self.path, lease)
        return made

    def patch(self, body: Any) -> None:
        self.namespace.cluster.patch(f"{self.path}/leader", body)

    @property
    def spec(self) -> dict[str, Any]:
        found: dict[str, Any] = self.namespace.cluster.get(f"{self.path}/leader")["spec"]
        return found

    def lock(self) -> LeaseLock:
        return LeaseLock(self.namespace.cluster.api_client, self.namespace.name, "leader", "me")


@pytest.fixture
def writer(namespace: Any) -> Writer:
    return Writer(namespace)


@pytest.fixture
def elect(writer: Writer, start_elector: Callable[..., LeaderElector]) -> Callable[..., LeaderElector]:
    """Starts an elector with the writer's lock."""
    return lambda **options: start_elector(writer.lock(), **options)


@pytest.mark.parametrize(
    "spec",
    [
        {"leaseTransitions": LARGEST + 1},
        {"leaseTransitions": -1},
        {"leaseDurationSeconds": 0},
        {"leaseDurationSeconds": -1},
        {"leaseDurationSeconds": LARGEST + 1},
        {"leaseDurationSeconds": 1.5},
        {"leaseDurationSeconds": 10**400},
        {"renewTime": "x"},
        {"renewTime": "+10000-01-01T00:00:00.000000Z"},
        {"holderIdentity": 7},
    ],
    ids=lambda spec: str(spec)[:40],
)
def test_what_no_lease_can_have(writer: Writer, spec: dict[str, Any]) -> None:
    """kube-apiserver refuses such a spec, so only a server that is not one can send it."""
    with pytest.raises(Exception, match=r"(?i)400|422|invalid|bad request"):
        writer.create(**spec)


def test_a_takeover_after_the_largest_number_of_transitions(
    writer: Writer, elect: Callable[..., LeaderElector]
) -> None:
    """The count begins at 0, and the server accepts the takeover."""
    writer.create(holderIdentity="", leaseTransitions=LARGEST, leaseDurationSeconds=1, renewTime=TIME, acquireTime=TIME)
    elector = elect()
    assert eventually(elector.is_leader)
    assert (writer.spec["holderIdentity"], writer.spec["leaseTransitions"]) == ("me", 0)


def test_the_longest_duration_is_respected_for_an_hour(writer: Writer) -> None:
    """A duration of 2147483647 seconds, 68 years, counts as an hour."""
    writer.create(holderIdentity="you", leaseDurationSeconds=LARGEST, leaseTransitions=LARGEST, renewTime=TIME)
    clock = FakeClock(1000.0)
    candidate = Candidate(writer.lock(), 15, clock=clock, wall=clock.monotonic, timeout=5)
    assert not candidate.try_acquire_or_renew()
    clock.step(3599)
    assert not candidate.try_acquire_or_renew()
    clock.step(1)
    assert candidate.try_acquire_or_renew()
    assert (writer.spec["holderIdentity"], writer.spec["leaseTransitions"]) == ("me", 0)


@pytest.mark.parametrize(
    "identity", ["a\nERROR forged", "\x1b[2J\x1b]0;t\x07", "\u202eevil\u2066", "x" * 50_000], ids=repr
)
def test_a_hostile_identity(
    writer: Writer, elect: Callable[..., LeaderElector], caplog: pytest.LogCaptureFixture, identity: str
) -> None:
    """The leader stops leading and names the new holder on one line; `on_new_leader` gets the identity as it is."""
    caplog.set_level(logging.DEBUG, "informer")
    leaders: list[str] = []
    elector = elect(on_new_leader=leaders.append)
    assert eventually(elector.is_leader)
    writer.patch({"spec": {"holderIdentity": identity, "leaseDurationSeconds": LARGEST}})
    assert eventually(lambda: identity in leaders)
    assert elector.leader == identity
    assert not elector.is_leader()
    for line in (*(record.getMessage() for record in caplog.records), repr(elector)):
        assert line.isprintable()
        assert len(line) < 500


def test_a_large_lease_is_an_error_until_it_is_small_again(
    writer: Writer, elect: Callable[..., LeaderElector], caplog: pytest.LogCaptureFixture
) -> None:
    """A candidate reads at most 64 KiB, logs the error, and leads once the Lease is small."""
    writer.create(holderIdentity="", leaseDurationSeconds=1)
    writer.patch({"metadata": {"annotations": {"a": "x" * 200_000}}})
    elector = elect()
    assert eventually(lambda: "larger than 65536 bytes" in caplog.text)
    assert not elector.is_leader()
    writer.patch({"metadata": {"annotations": {"a": None}}})
    assert eventually(elector.is_leader, DEADLINE)
    assert sum(len(record.getMessage()) for record in caplog.records) < 8 * 1024


@pytest.mark.parametrize("levels", [1_500, 5_000])
def test_deep_managed_fields_do_not_keep_others_from_leading(
    writer: Writer, elect: Callable[..., LeaderElector], levels: int
) -> None:
    """One write of them would otherwise end the election for good: no candidate could read the Lease."""
    fields = {"manager": "m", "operation": "Update", "apiVersion": GROUP, "time": TIME, "fieldsType": "FieldsV1"}
    lease = {"apiVersion": GROUP, "kind": "Lease", "metadata": {"name": "leader", "managedFields": [fields]}}
    deep = b'{"f:a":' * levels + b"{}" + b"}" * levels
    body = json.dumps(lease).encode().replace(b'"FieldsV1"', b'"FieldsV1","fieldsV1":' + deep)
    cluster = writer.namespace.cluster
    made = cluster._http.request("POST", cluster.plane.url + writer.path, body=body, headers=cluster._headers)
    assert made.status == 201
    assert deep in made.data
    elector = elect()
    assert eventually(elector.is_leader)
    stored = cluster._http.request("GET", f"{cluster.plane.url}{writer.path}/leader", headers=cluster._headers).data
    assert b'"holderIdentity":"me"' in stored
    assert deep in stored
