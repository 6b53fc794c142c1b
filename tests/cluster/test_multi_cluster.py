"""One resource in three real clusters, of which one dies and comes back. It runs with THREE_CLUSTERS=1: they take a minute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from informer import MultiClusterInformer
from informer.runtime import Clusters, Manager, Request
from informer.testing.control_plane import ControlPlane
from tests.cluster.conftest import Cluster
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not os.environ.get("THREE_CLUSTERS"), reason="THREE_CLUSTERS is not set"),
]

NAMES = ("eu", "us", "asia")
WITHIN = 60.0  # seconds


@pytest.fixture
def clusters(control_plane_options: dict[str, Any]) -> Iterator[dict[str, Cluster]]:
    with ExitStack() as stack:
        yield {name: Cluster(stack.enter_context(ControlPlane(**control_plane_options))) for name in NAMES}


def test_three_clusters(clusters: dict[str, Cluster]) -> None:
    def create(cluster: str, name: str) -> None:
        clusters[cluster].create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": name}})

    added: set[tuple[str, str]] = set()
    maps: MultiClusterInformer[Any] = MultiClusterInformer("configmaps", namespace="default")
    maps.add_event_handler(on_add=lambda cluster, obj: added.add((cluster, obj.name)))
    with maps:
        for name, cluster in clusters.items():
            create(name, "before")
            maps.add(name, cluster.api_client)
        assert all(maps.wait_for_sync(WITHIN).values())
        expected = {(name, "before") for name in NAMES}
        assert eventually(lambda: expected <= added)
        clusters["asia"].plane.kill()
        assert eventually(lambda: maps.sync_errors().keys() == {"asia"}, WITHIN)
        for name in ("eu", "us"):
            create(name, "during")
            expected.add((name, "during"))
        assert eventually(lambda: expected <= added)
        assert ("asia", "before") in {(each.cluster, each.object.name) for each in maps.list()}
        clusters["asia"].plane.restart()
        create("asia", "after")
        assert eventually(lambda: ("asia", "after") in added, WITHIN)
        assert maps.sync_errors() == {}
        assert maps.remove("us", WITHIN)
        assert {each.cluster for each in maps.list()} == {"eu", "asia"}


def test_a_manager_of_three_clusters(clusters: dict[str, Cluster]) -> None:
    """Each cluster gets its own writes; one that is killed changes nothing in the others, and is reconciled when it is back."""

    def create(cluster: str, name: str) -> None:
        clusters[cluster].create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": name}})

    def has_secret(cluster: str, name: str) -> bool:
        items = clusters[cluster].get("/api/v1/namespaces/default/secrets")["items"]
        made = {each["metadata"]["name"]: each["metadata"]["labels"]["cluster"] for each in items}
        return made.get(name) == cluster

    fleet = Clusters({name: cluster.api_client for name, cluster in clusters.items()})
    home = clusters["eu"].api_client
    manager = Manager(home, name="fleet", namespace="default", leader_election=True, clusters=fleet)

    @manager.controller("configmaps", owns=["secrets"])
    def reconcile(request: Request) -> None:
        if request.object is not None and request.name.startswith("site-"):
            metadata = {"name": request.name, "labels": {"cluster": request.cluster}}
            request.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})

    for name in NAMES:
        create(name, "site-before")
    with manager:
        assert manager.wait_until_ready(WITHIN)
        assert eventually(lambda: all(has_secret(name, "site-before") for name in NAMES), WITHIN)
        clusters["asia"].plane.kill()
        create("us", "site-during")
        assert eventually(lambda: has_secret("us", "site-during"), WITHIN)
        clusters["asia"].plane.restart()
        create("asia", "site-after")
        assert eventually(lambda: has_secret("asia", "site-after"), WITHIN)
        assert fleet.remove("us", WITHIN)
        create("eu", "site-last")
        assert eventually(lambda: has_secret("eu", "site-last"), WITHIN)
