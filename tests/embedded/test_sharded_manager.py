"""Managers with shards: each reconciles and caches its part of the objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import urllib3
from prometheus_client import REGISTRY

from informer import ListWatch, SharedInformer
from informer.runtime import Manager, Request
from informer.runtime.shard_informers import OwnedListWatch
from informer.sharding import shard_of
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map
from tests.support.waiting import DEADLINE, eventually
from watch.concurrency import Lock

SITES, SHARDS, COUNT = "sites.example.com", 3, 12


def site(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "example.com/v1", "kind": "Site", "metadata": metadata, "spec": {"text": name}}


@pytest.fixture
def server() -> Iterator[EmbeddedAPIServer]:
    """A server with Sites, and with the Leases of a program that ran before: no replica has to wait for them."""
    with EmbeddedAPIServer(sharded_list_and_watch=True) as made:
        made.define("Site", status=True)
        for i in range(SHARDS):
            metadata = {
                "name": f"site-controller-{i}",
                "namespace": "default",
                "labels": {"informer.sharding/name": "site-controller"},
            }
            made.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}})
        for i in range(COUNT):
            made.create(site(f"s{i}"))
        yield made


class Replicas:
    """Managers that give each Site a ConfigMap, and record who has reconciled it."""

    def __init__(self, server: EmbeddedAPIServer, stack: ExitStack) -> None:
        self.server = server
        self.calls: list[tuple[str, str, bool]] = []
        self._stack = stack
        self._lock = Lock()

    def start(self, name: str, **options: Any) -> Manager:
        times: dict[str, Any] = {"lease_duration": 8, "renew_deadline": 5, "retry_period": 0.1}
        manager = Manager(
            self.server.api_client(),
            name="site-controller",
            lease_namespace="default",
            shards=SHARDS,
            **{**times, **options},
        )

        @manager.controller(SITES, owns=["configmaps"], watches={"secrets": lambda obj: ["default/s0", "default/none"]})
        def reconcile(request: Request) -> None:
            with self._lock:
                self.calls.append((name, request.key, request.object is not None))
            if request.object is not None:
                request.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": request.name}})

        self._stack.enter_context(manager)
        return manager

    def config_maps(self) -> set[str]:
        return {each["metadata"]["name"] for each in self.server.list("configmaps")}

    def since(self, begin: int) -> set[tuple[str, str, bool]]:
        with self._lock:
            return set(self.calls[begin:])


@pytest.fixture
def replicas(server: EmbeddedAPIServer) -> Iterator[Replicas]:
    with ExitStack() as stack:
        yield Replicas(server, stack)


@pytest.mark.parametrize("field", ["metadata.uid", "metadata.namespace"])
def test_replicas_share_the_objects(replicas: Replicas, field: Any) -> None:
    """Each object is reconciled by the owner of its shard, after changes of it, of what it owns and of what is watched."""
    server = replicas.server
    one = replicas.start("one", shard_field=field)
    assert one.wait_until_ready(DEADLINE)
    assert eventually(lambda: len(replicas.config_maps()) == COUNT)
    other = replicas.start("other", shard_field=field)

    def owned() -> list[frozenset[int]]:
        return [each.shard_elector.owned for each in (one, other) if each.shard_elector]

    assert eventually(lambda: sorted(map(len, owned())) == [1, 2])
    assert other.wait_until_ready(DEADLINE)

    def owner(name: str) -> str:
        found = server.get(SITES, name)["metadata"]
        shard = shard_of(found["uid"] if field == "metadata.uid" else found["namespace"], SHARDS)
        return "one" if shard in owned()[0] else "other"

    assert eventually(lambda: {key for _, key, _ in replicas.since(0)} == {f"default/s{i}" for i in range(COUNT)})
    begin = len(replicas.calls)
    server.update({**server.get(SITES, "s1"), "spec": {"text": "changed"}})
    server.delete("configmaps", "s2")
    server.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "any", "namespace": "default"}})
    assert eventually(
        lambda: {key for _, key, _ in replicas.since(begin)} >= {"default/s1", "default/s2", "default/s0"}
    )
    assert eventually(lambda: len(replicas.config_maps()) == COUNT)
    # A replica that has just got a shard sees its first list, too.
    assert (owner("s1"), "default/s1", True) in replicas.since(begin)
    assert (owner("s2"), "default/s2", True) in replicas.since(begin)
    heir = owner("s3")
    server.delete(SITES, "s3")
    assert eventually(lambda: (heir, "default/s3", False) in replicas.since(begin))
    assert {who for who, key, present in replicas.calls if not present} == {heir}
    assert "default/none" not in {key for _, key, _ in replicas.calls}
    # The handlers of a shard that was handed over are removed from the informer that all shards share.
    watched = one.factory.informer("secrets")
    assert eventually(lambda: len(watched.handlers) == len(owned()[0]))


def test_an_object_without_its_owner_leaves_the_cache(server: EmbeddedAPIServer) -> None:
    """Owned objects are those with a controller in the shard; one that loses it, or gets another one, counts as deleted."""
    owner = server.get(SITES, "s0")["metadata"]
    reference = {"apiVersion": "example.com/v1", "kind": "Site", "name": "s0", "uid": owner["uid"], "controller": True}
    made = server.create(config_map("mine", namespace="default", ownerReferences=[reference]))
    server.create(config_map("free", namespace="default"))
    shard = shard_of(owner["uid"], SHARDS)
    with ExitStack() as stack:
        informers = [
            SharedInformer(OwnedListWatch(ListWatch.for_resource(server.api_client(), "configmaps"), i, SHARDS))
            for i in range(SHARDS)
        ]
        deleted: list[Any] = []
        for informer in informers:
            informer.add_event_handler(on_delete=deleted.append)
            stack.enter_context(informer)
            assert informer.wait_for_sync(DEADLINE)
        assert [list(each.store.list_keys()) for each in informers] == [
            ["default/mine"] if i == shard else [] for i in range(SHARDS)
        ]
        changed = server.update({**made, "metadata": {**made["metadata"], "ownerReferences": []}})
        version = changed["metadata"]["resourceVersion"]
        assert all(each.wait_for_resource_version(version, DEADLINE) for each in informers)
        assert [len(each.store) for each in informers] == [0] * SHARDS
        assert eventually(lambda: len(deleted) == 1)


def test_the_metrics_of_a_shard_have_its_number(replicas: Replicas) -> None:
    """Reconciles and informers."""
    manager = replicas.start("one", serve=0, host="127.0.0.1")
    assert manager.wait_until_ready(DEADLINE)
    assert eventually(lambda: len(replicas.config_maps()) == COUNT)

    def counted(shard: int) -> float:
        labels = {"controller": f"{SITES}-shard-{shard}", "result": "success"}
        return REGISTRY.get_sample_value("informer_reconcile_total", labels) or 0

    assert eventually(lambda: sum(map(counted, range(SHARDS))) >= COUNT)


def test_the_live_page_shows_informers_queues_and_the_holders_of_shards(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token comes from the environment, and it ends with the manager."""
    monkeypatch.setenv("INFORMER_TOKEN", "0123-manager-token")
    manager = replicas.start("one", live_page=0)
    assert manager.wait_until_ready(DEADLINE)
    assert manager.server is None
    assert manager.live_page_server is not None
    url = f"http://127.0.0.1:{manager.live_page_server.port}"
    assert urllib3.request("GET", url, retries=False).status == 401

    def state() -> Any:
        headers = {"Authorization": "Bearer 0123-manager-token"}
        return urllib3.request("GET", f"{url}/state.json", headers=headers, retries=False).json()

    def held() -> set[str]:
        # A number follows the name while an ended elector of the same name still exists.
        return {each["name"].partition("#")[0] for each in state()["leases"] if each["is_held"]}

    assert eventually(lambda: held() == {f"default/site-controller-{shard}" for shard in range(SHARDS)})
    shown = state()
    assert len({each["holder"] for each in shown["leases"] if each["is_held"]}) == 1
    assert {each["resource"] for each in shown["informers"]} >= {SITES, "configmaps", "secrets"}
    assert shown["queues"]
    manager.stop()
    with pytest.raises(urllib3.exceptions.HTTPError):
        state()


def test_manifests_allow_all_leases() -> None:
    """One for each shard and one for each replica, which the Deployment has as many of."""
    manager = Manager(name="m", shards=2)
    manager.controller("pods")(lambda request: None)
    made = manager.manifests(namespace="ns", image="image")
    (rules,) = [each["rules"] for each in made if each["metadata"]["name"] == "m-lease" and "rules" in each]
    assert rules == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "list"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["m-0", "m-1", "m-member-0", "m-member-1"],
            "verbs": ["get", "update"],
        },
    ]
    (deployment,) = [each for each in made if each["kind"] == "Deployment"]
    assert deployment["spec"]["replicas"] == 2


def test_shards_and_leader_election_exclude_each_other() -> None:
    """Each shard is an election."""
    with pytest.raises(ValueError, match="leave") as caught:
        Manager(name="m", shards=2, leader_election=True)
    assert str(caught.value) == "with shards= leave leader_election out: each shard has one owner"
