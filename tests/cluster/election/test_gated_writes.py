"""The write gate at a real kube-apiserver: a leader loses its lease to another elector, and its writes are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client

from informer.leaderelection import LeaderElector, LeaseClock, LeaseLock, NotLeadingError
from tests.support.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


class Suspended(LeaseClock):
    """A clock that jumps by `ahead` seconds, as after a suspension."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture
def elect(namespace: Any, start_elector: Callable[..., LeaderElector]) -> Callable[..., LeaderElector]:
    """Starts an elector of this identity."""
    return lambda identity, **options: start_elector(
        LeaseLock(namespace.cluster.api_client, namespace.name, "leader", identity), **options
    )


def create(namespace: Any, elector: LeaderElector, name: str) -> Any:
    api = client.CoreV1Api(elector.gate(namespace.cluster.api_client))
    return api.create_namespaced_config_map(namespace.name, {"metadata": {"name": name}})


def names(namespace: Any, elector: LeaderElector) -> set[str]:
    api = client.CoreV1Api(elector.gate(namespace.cluster.api_client))
    return {each.metadata.name for each in api.list_namespaced_config_map(namespace.name).items}


@pytest.mark.parametrize("loss", ["suspended", "taken away"])
def test_the_writes_of_a_former_leader(namespace: Any, elect: Callable[..., LeaderElector], loss: str) -> None:
    """After a takeover the former leader's writes raise, its reads pass, and the new leader writes."""
    clock = Suspended()
    first = elect("first", clock=clock)
    assert eventually(first.is_leader)
    second = elect("second")
    assert create(namespace, first, "by-first").metadata.name == "by-first"
    with pytest.raises(NotLeadingError, match="does not lead with lease"):
        create(namespace, second, "too-early")
    if loss == "suspended":
        clock.ahead = 60.0
    else:
        namespace.cluster.patch(
            f"{namespace.path('leases', 'coordination.k8s.io/v1')}/leader", {"spec": {"holderIdentity": "thief"}}
        )
        assert eventually(lambda: not first.is_leader())
    with pytest.raises(NotLeadingError, match="has stopped leading with lease"):
        create(namespace, first, "too-late")
    assert eventually(second.is_leader)
    create(namespace, second, "by-second")
    with pytest.raises(NotLeadingError, match="has stopped leading with lease"):
        create(namespace, first, "too-late")
    assert names(namespace, first) - {"kube-root-ca.crt"} == {"by-first", "by-second"}
