"""One resource in three real clusters, of which one dies and comes back. It runs with THREE_CLUSTERS=1: they take a minute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from informer import MultiClusterInformer
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
