"""A manager that works in several clusters: one set of controllers, one process, and no cluster affects another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.request import urlopen

import pytest

from informer.runtime import Clusters, Manager, ManagerError, Request, clusters as clusters_module
from informer.testing import EmbeddedAPIServer
from informer.workqueue import ItemFastSlowRateLimiter
from tests.support.messages import check_logged
from tests.support.waiting import DEADLINE, eventually
from watch.concurrency import Lock, Signal

SITES = "sites.example.com"
NAMES = ("eu", "us", "asia")


def site(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "example.com/v1", "kind": "Site", "metadata": metadata, "spec": {}}


class Fleet:
    """Three clusters with a Site each, and a manager that gives each Site a ConfigMap of its own name and cluster."""

    def __init__(self, stack: ExitStack) -> None:
        self.servers = {name: stack.enter_context(EmbeddedAPIServer()) for name in NAMES}
        for name, server in self.servers.items():
            server.define("Site", status=True)
            server.create(site(f"of-{name}"))
        self.calls: list[tuple[str, str]] = []
        self.broken: set[str] = set()
        self._lock = Lock()
        self._stack = stack

    def clients(self, *names: str) -> dict[str, Any]:
        return {name: self.servers[name].api_client() for name in names}

    def start(self, clusters: Clusters, **options: Any) -> Manager:
        client = self.servers["eu"].api_client()
        manager = Manager(client, name="site-controller", lease_namespace="default", clusters=clusters, **options)

        @manager.controller(SITES, owns=["configmaps"], limiter=ItemFastSlowRateLimiter(0.01, 600.0, 3))
        def reconcile(request: Request) -> None:
            with self._lock:
                self.calls.append((request.cluster, request.name))
            if request.cluster in self.broken:
                raise RuntimeError("broken here")
            if request.object is not None:
                made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": request.name}}
                request.apply({**made, "data": {"cluster": request.cluster}})
                request.set_condition("Ready", "True", "Applied")
                request.event("Normal", "Applied", "its ConfigMap exists")

        self._stack.enter_context(manager)
        return manager

    def config_maps(self, name: str) -> dict[str, str]:
        return {each["metadata"]["name"]: each["data"]["cluster"] for each in self.servers[name].list("configmaps")}

    def count(self, cluster: str, name: str) -> int:
        with self._lock:
            return self.calls.count((cluster, name))


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(stack)


def test_each_cluster_is_reconciled_with_its_own_objects_and_gets_its_own_writes(fleet: Fleet) -> None:
    manager = fleet.start(Clusters(fleet.clients(*NAMES)))
    assert manager.wait_until_ready(DEADLINE)
    for name in NAMES:
        assert eventually(lambda name=name: fleet.config_maps(name) == {f"of-{name}": name})
    fleet.servers["us"].delete("configmaps", "of-us")
    assert eventually(lambda: fleet.config_maps("us") == {"of-us": "us"}), "an owned object leads to its own cluster"
    for name, server in fleet.servers.items():
        assert eventually(lambda server=server, name=name: server.get(SITES, f"of-{name}").get("status") is not None)
        assert eventually(lambda server=server: any(each["reason"] == "Applied" for each in server.list("events")))


def test_clusters_come_and_go(fleet: Fleet) -> None:
    """A cluster that is removed is left as it is; one that is added is reconciled at once, and so is one of its name."""
    clusters = Clusters(fleet.clients("eu"))
    manager = fleet.start(clusters)
    assert manager.wait_until_ready(DEADLINE)
    clusters.add("us", fleet.servers["us"].api_client())
    assert eventually(lambda: fleet.config_maps("us") == {"of-us": "us"})
    assert eventually(lambda: clusters.states() == {"eu": "running", "us": "running"})
    assert clusters.remove("us", DEADLINE)
    assert fleet.config_maps("us") == {"of-us": "us"}
    fleet.servers["us"].create(site("later"))
    fleet.servers["eu"].create(site("later"))
    assert eventually(lambda: fleet.count("eu", "later") > 0)
    assert fleet.count("us", "later") == 0
    clusters.add("us", fleet.servers["us"].api_client())
    assert eventually(lambda: fleet.config_maps("us") == {"of-us": "us", "later": "us"})
    assert manager.stop(DEADLINE)
    assert clusters.states() == {"eu": "not started", "us": "not started"}


def test_a_cluster_that_is_down_affects_no_other(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither one that is down at the start, nor one that goes down later. The process stays ready for the others."""
    monkeypatch.setattr(clusters_module, "_PAUSE", 0.1)
    clusters = Clusters(fleet.clients(*NAMES))
    fleet.servers["asia"].stop()
    manager = fleet.start(clusters, serve=0, host="127.0.0.1", sync_timeout=2)
    assert manager.wait_until_ready(DEADLINE)
    assert eventually(lambda: fleet.config_maps("us") == {"of-us": "us"})
    assert clusters.states()["asia"] != "running"
    assert manager.server is not None
    for page in ("healthz", "readyz"):
        with urlopen(f"http://127.0.0.1:{manager.server.port}/{page}") as answer:
            assert answer.status == 200
    fleet.servers["us"].stop()
    fleet.servers["eu"].create(site("later"))
    assert eventually(lambda: fleet.config_maps("eu") == {"of-eu": "eu", "later": "eu"})
    check_logged(caplog, "the controllers in cluster asia have ended and begin again in 0.1 s: <...>")


def test_retries_in_one_cluster_do_not_delay_the_same_key_in_another(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """A limiter of the user's counts the failures of each cluster separately, and the log names the cluster."""
    fleet.broken.add("us")
    for name in ("eu", "us"):
        fleet.servers[name].create(site("same"))
    fleet.start(Clusters(fleet.clients("eu", "us")))
    assert eventually(lambda: fleet.count("us", "same") == 4), "the next retry is in ten minutes"
    assert eventually(lambda: "same" in fleet.config_maps("eu"))
    check_logged(caplog, f"reconciling 'default/same' of us/{SITES} failed: RuntimeError('broken here')")


def test_only_the_leader_reconciles_in_any_cluster(fleet: Fleet) -> None:
    """Caches are filled before; when the leader ends, the other process goes on in all clusters."""
    times: dict[str, Any] = {"lease_duration": 3, "renew_deadline": 2, "retry_period": 0.1}
    first = fleet.start(Clusters(fleet.clients("eu", "us")), leader_election=True, **times)
    assert first.wait_until_ready(DEADLINE)
    assert eventually(lambda: fleet.config_maps("us") == {"of-us": "us"})
    standby = Clusters(fleet.clients("eu", "us"))
    second = fleet.start(standby, leader_election=True, **times)
    assert eventually(lambda: set(standby.states().values()) == {"waiting for the lease"})
    fleet.servers["us"].delete("configmaps", "of-us")
    assert first.stop(DEADLINE)
    assert second.wait_until_ready(DEADLINE)
    assert eventually(lambda: fleet.config_maps("us") == {"of-us": "us"})


def test_a_reconcile_outlasts_the_removal_of_its_cluster(fleet: Fleet) -> None:
    """A cluster of the same name is reconciled only after its end, for which the manager waits, too."""
    clusters = Clusters(fleet.clients("us"))
    manager = Manager(fleet.servers["eu"].api_client(), name="site-controller", clusters=clusters)
    begun: list[bool] = []
    may_end, has_ended, stopped_by_worker = Signal(), Signal(), []

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        begun.append(has_ended.is_set())
        if not has_ended.is_set():
            may_end.wait(DEADLINE)
            stopped_by_worker.append(manager.stop(DEADLINE))
            has_ended.set()

    manager.start()
    try:
        assert eventually(lambda: begun)
        assert not clusters.remove("us", 0)
        clusters.add("us", fleet.servers["us"].api_client())
        assert not clusters.remove("us", 0)
        clusters.add("us", fleet.servers["us"].api_client())
        assert clusters.states() == {"us": "starting"}
        assert not manager.stop(0.2), "the reconcile in the cluster that was removed goes on"
        may_end.set()
        assert manager.stop(DEADLINE)
    finally:
        may_end.set()
    assert begun == [False]
    assert stopped_by_worker == [False], "a reconcile does not wait for its own end"
    assert has_ended.is_set()


def test_clusters_have_one_manager_at_a_time(fleet: Fleet) -> None:
    """A second one is refused, and the first one goes on."""
    clusters = Clusters(fleet.clients("eu"))
    first = fleet.start(clusters)
    assert first.wait_until_ready(DEADLINE)
    second = Manager(fleet.servers["us"].api_client(), name="second", clusters=clusters)
    second.controller(SITES)(lambda request: None)
    with pytest.raises(ManagerError, match="another manager runs with the same Clusters: make one for each manager"):
        second.run(Signal())
    fleet.servers["eu"].create(site("later"))
    assert eventually(lambda: "later" in fleet.config_maps("eu"))
    assert first.stop(DEADLINE)
    third = Manager(fleet.servers["us"].api_client(), name="third", clusters=clusters)
    third.controller(SITES)(lambda request: None)
    with third:
        assert eventually(lambda: clusters.states() == {"eu": "running"})


def test_names_of_clusters_are_checked() -> None:
    clusters = Clusters({"eu": object()})
    assert repr(clusters) == "<Clusters: eu not started>"
    with pytest.raises(ValueError, match="cluster 'eu' exists already: remove it first, or use another name"):
        clusters.add("eu", object())
    with pytest.raises(ValueError, match=r"cluster 'us' does not exist \(there are: eu\)"):
        clusters.remove("us")
    with pytest.raises(ValueError, match="a cluster needs a name, not ''"):
        clusters.add("", object())
    with pytest.raises(ValueError, match=r"cluster 'us' has no client: give one, such as load_client"):
        clusters.add("us", None)
    assert clusters.remove("eu")
    with pytest.raises(ValueError, match="shards= and clusters= exclude each other"):
        Manager(name="site-controller", shards=2, clusters=clusters)
