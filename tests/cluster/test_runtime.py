"""Controllers of a manager on a real kube-apiserver: server-side apply, status, finalizers, and the rights of its manifests."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from pytest_mock import MockerFixture

from informer.runtime import (
    AsyncRequest,
    ConflictError,
    Manager,
    ManagerError,
    Request,
    generation_changed,
    owner_reference,
)
from informer.runtime.writer import Writer
from informer.testing import ControlPlane
from tests.support.waiting import DEADLINE, eventually
from watch import Channel

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SITES = "sites.example.com"


@pytest.fixture(scope="module")
def sites(control_plane: ControlPlane) -> Iterator[client.CustomObjectsApi]:
    """The official client's API of custom objects, on a server that serves Sites."""
    definition = yaml.safe_load((SAMPLES / "site_crd.yaml").read_text())
    api_client = control_plane.api_client()
    definitions = client.ApiextensionsV1Api(api_client)
    definitions.create_custom_resource_definition(definition)

    def is_served() -> bool:
        found = definitions.read_custom_resource_definition(SITES)
        return any(each.type == "Established" and each.status == "True" for each in found.status.conditions or [])

    assert eventually(is_served)
    yield client.CustomObjectsApi(api_client)
    definitions.delete_custom_resource_definition(SITES)


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    made = client.CoreV1Api(control_plane.api_client()).create_namespace({"metadata": {"generateName": "sites-"}})
    return str(made.metadata.name)


def site(name: str = "shop", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Site",
        "metadata": {"name": name},
        "spec": {"text": "hello", **spec},
    }


def create(sites: Any, namespace: str, body: dict[str, Any]) -> Any:
    return sites.create_namespaced_custom_object("example.com", "v1", namespace, "sites", body)


def get(sites: Any, namespace: str, name: str = "shop") -> Any:
    return sites.get_namespaced_custom_object("example.com", "v1", namespace, "sites", name)


def test_the_sample_with_exactly_the_rights_of_its_manifests(
    control_plane: ControlPlane, sites: Any, namespace: str
) -> None:
    spec = importlib.util.spec_from_file_location("site_controller", SAMPLES / "site_controller.py")
    sample = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sample)
    admin = control_plane.api_client()
    manager = Manager(
        _as_service_account(control_plane, namespace, "site-controller"),
        name="site-controller", namespace=namespace, leader_election=True, lease_namespace=namespace,
    )  # fmt: skip
    manager.controller(SITES, owns=["deployments.apps", "configmaps"], workers=4)(sample.reconcile)
    manifests = manager.manifests(namespace=namespace)
    # Nothing in the cluster as a whole.
    assert {each["kind"] for each in manifests} == {"ServiceAccount", "Role", "RoleBinding"}
    _apply_all(admin, [each for each in manifests if each["kind"] != "ServiceAccount"])
    apps, core = client.AppsV1Api(admin), client.CoreV1Api(admin)
    with manager:
        assert manager.wait_until_ready(DEADLINE)
        create(sites, namespace, site(replicas=2))
        assert eventually(lambda: len(core.list_namespaced_config_map(namespace, label_selector="!x").items) >= 1)
        assert eventually(lambda: len(apps.list_namespaced_deployment(namespace).items) == 1)
        assert eventually(lambda: _ready(get(sites, namespace)) == "False")
        status = {"status": {"availableReplicas": 2, "replicas": 2, "readyReplicas": 2}}
        apps.patch_namespaced_deployment_status("site-shop", namespace, status)
        assert eventually(lambda: _ready(get(sites, namespace)) == "True")
        (owner,) = apps.read_namespaced_deployment("site-shop", namespace).metadata.owner_references
        assert (owner.kind, owner.name, owner.block_owner_deletion) == ("Site", "shop", True)


def _ready(found: Any) -> str | None:
    conditions = found.get("status", {}).get("conditions", [])
    return next((each["status"] for each in conditions if each["type"] == "Ready"), None)


def _as_service_account(control_plane: ControlPlane, namespace: str, name: str) -> Any:
    """A client with the rights of a new service account."""
    core: Any = client.CoreV1Api(control_plane.api_client())
    core.create_namespaced_service_account(namespace, {"metadata": {"name": name}})
    token = core.create_namespaced_service_account_token(name, namespace, {"spec": {}}).status.token
    return control_plane.api_client(token=token)


def _apply_all(api_client: Any, manifests: list[dict[str, Any]]) -> None:
    rbac: Any = client.RbacAuthorizationV1Api(api_client)
    for each in manifests:
        namespace = each["metadata"].get("namespace")
        match each["kind"]:
            case "ClusterRole":
                rbac.create_cluster_role(each)
            case "ClusterRoleBinding":
                rbac.create_cluster_role_binding(each)
            case "Role":
                rbac.create_namespaced_role(namespace, each)
            case "RoleBinding":
                rbac.create_namespaced_role_binding(namespace, each)


def test_a_conflict_names_the_other_managers(control_plane: ControlPlane, sites: Any, namespace: str) -> None:
    """Without force; with it the fields are taken over. Fields that are not applied any more are removed."""
    core: Any = client.CoreV1Api(control_plane.api_client())
    core.create_namespaced_config_map(
        namespace, {"metadata": {"name": "made"}, "data": {"text": "theirs"}}, field_manager="kubectl-create"
    )
    results: Channel[Any] = Channel(None)
    manager = Manager(control_plane.api_client(), name="sites", namespace=namespace)

    @manager.controller(SITES, owns=["configmaps"])
    def reconcile(request: Request) -> None:
        if request.object is None or request.object.at("metadata.labels.done"):
            return
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}}
        try:
            request.apply({**body, "data": {"text": "ours"}}, force=False)
        except ConflictError as error:
            results.put(dict(error.managers))
        results.put(request.apply({**body, "data": {"text": "ours", "more": "x"}})["data"])
        results.put(request.apply({**body, "data": {"text": "ours"}})["data"])

    with manager:
        assert manager.wait_until_ready(DEADLINE)
        create(sites, namespace, site())
        assert results.get(DEADLINE) == {".data.text": "kubectl-create"}
        assert results.get(DEADLINE) == {"text": "ours", "more": "x"}
        assert results.get(DEADLINE) == {"text": "ours"}


def test_finalizers_status_and_deletion(control_plane: ControlPlane, sites: Any, namespace: str) -> None:
    cleaned: Channel[str] = Channel(None)
    manager = Manager(control_plane.api_client(), name="sites", namespace=namespace)

    def cleanup(request: Request) -> None:
        for child in request.children("configmaps"):
            request.delete(child)
        cleaned.put(request.key)

    @manager.controller(SITES, owns=["configmaps"], finalizer="example.com/cleanup", cleanup=cleanup)
    def reconcile(request: Request) -> None:
        if request.object is not None:
            request.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}})
            request.set_condition("Ready", "True", "Done")
            request.event("Normal", "Done", "it is done")

    core: Any = client.CoreV1Api(control_plane.api_client())
    with manager:
        assert manager.wait_until_ready(DEADLINE)
        create(sites, namespace, site())
        assert eventually(lambda: _ready(get(sites, namespace)) == "True")
        assert get(sites, namespace)["metadata"]["finalizers"] == ["example.com/cleanup"]
        sites.delete_namespaced_custom_object("example.com", "v1", namespace, "sites", "shop")
        assert cleaned.get(DEADLINE) == f"{namespace}/shop"
        assert eventually(
            lambda: not sites.list_namespaced_custom_object("example.com", "v1", namespace, "sites")["items"]
        )
        assert eventually(
            lambda: "made" not in [each.metadata.name for each in core.list_namespaced_config_map(namespace).items]
        )
    assert [each.reason for each in core.list_namespaced_event(namespace).items] == ["Done"]


def test_a_resource_that_is_defined_late(control_plane: ControlPlane, namespace: str) -> None:
    seen: Channel[str] = Channel(None)
    manager = Manager(control_plane.api_client(), name="late", namespace=namespace)
    manager.controller("lates.example.com")(lambda request: seen.put(request.key))
    definitions: Any = client.ApiextensionsV1Api(control_plane.api_client())
    definition = yaml.safe_load((SAMPLES / "site_crd.yaml").read_text())
    definition["metadata"]["name"] = "lates.example.com"
    definition["spec"]["names"] = {"kind": "Late", "plural": "lates", "singular": "late"}
    runner = threading.Thread(target=manager.run, args=(stop := threading.Event(),))
    runner.start()
    try:
        assert not manager.wait_until_ready(0.5)
        definitions.create_custom_resource_definition(definition)
        assert manager.wait_until_ready(60)
        body = {**site(), "kind": "Late"}
        custom: Any = client.CustomObjectsApi(control_plane.api_client())
        custom.create_namespaced_custom_object("example.com", "v1", namespace, "lates", body)
        assert seen.get(DEADLINE) == f"{namespace}/shop"
    finally:
        stop.set()
        runner.join(DEADLINE)
        definitions.delete_custom_resource_definition("lates.example.com")


def test_an_apply_that_changes_nothing_is_not_sent(
    control_plane: ControlPlane, sites: Any, namespace: str, mocker: MockerFixture
) -> None:
    """Of a built-in resource, a custom one and subresources; a change by another client is put right with one request."""
    sent = mocker.spy(Writer, "_send")
    rounds: Channel[tuple[str, int]] = Channel(None)
    manager = Manager(control_plane.api_client(), name="sites", namespace=namespace)
    labels = {"app": "made"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "a:1"}]}}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "made"}}
    child = {**site("child"), "spec": {"text": "child"}}
    condition = {
        "type": "Ready", "status": "True", "reason": "Done", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip

    @manager.controller(SITES, owns=["deployments.apps"])
    def reconcile(request: Request) -> None:
        if request.object is None or request.name != "shop":
            return
        request.apply({**deployment, "spec": {"selector": {"matchLabels": labels}, "template": template}})
        request.apply(child)
        request.apply({**child, "status": {"conditions": [condition]}}, subresource="status")
        rounds.put((request.object.labels.get("round", ""), sent.call_count))

    def reconciled(number: int) -> int:
        """Has the Site reconciled; returns the number of requests until then."""
        body = {"metadata": {"labels": {"round": str(number)}}}
        sites.patch_namespaced_custom_object("example.com", "v1", namespace, "sites", "shop", body)
        while (found := rounds.get(DEADLINE))[0] != str(number):
            pass
        return found[1]

    apps: Any = client.AppsV1Api(control_plane.api_client())
    with manager:
        assert manager.wait_until_ready(DEADLINE)
        create(sites, namespace, site())
        assert rounds.get(DEADLINE) == ("", 3)
        assert [reconciled(number) for number in range(3)] == [3] * 3
        drift = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "b:2"}]}}}}
        apps.patch_namespaced_deployment("made", namespace, drift)
        assert eventually(lambda: _image(apps, namespace) == "a:1")
        assert sent.call_count == 4
        # A field of another client leads to no request.
        apps.patch_namespaced_deployment("made", namespace, {"spec": {"minReadySeconds": 5}})
        assert reconciled(4) == 4
    assert get(sites, namespace, "child")["status"]["conditions"] == [condition]


def _image(apps: Any, namespace: str) -> str:
    return str(apps.read_namespaced_deployment("made", namespace).spec.template.spec.containers[0].image)


def test_the_scale_of_an_object_is_applied(control_plane: ControlPlane, sites: Any, namespace: str) -> None:
    manager = Manager(control_plane.api_client(), name="sites", namespace=namespace)
    apps: Any = client.AppsV1Api(control_plane.api_client())
    labels = {"app": "made"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "a:1"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    apps.create_namespaced_deployment(namespace, {"metadata": {"name": "made"}, "spec": spec})
    results: Channel[Any] = Channel(None)

    @manager.controller("deployments.apps")
    def reconcile(request: Request) -> None:
        obj = request.object
        if obj is not None and obj.at("spec.replicas") == 1:
            body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": request.name}}
            made = request.apply({**body, "spec": {"replicas": 3}}, subresource="scale")
            results.put((made.kind, request.object.kind))

    with manager:
        assert results.get(DEADLINE) == ("Scale", "Deployment")
    assert apps.read_namespaced_deployment("made", namespace).spec.replicas == 3


def test_what_leads_to_a_reconcile(control_plane: ControlPlane, sites: Any, namespace: str) -> None:
    """A new generation, watched objects before and after a change, and the old and the new owner of a child."""
    seen: Channel[tuple[str, Any]] = Channel(None)
    manager = Manager(control_plane.api_client(), name="sites", namespace=namespace)

    def sites_of(config: Any) -> list[str]:
        return [f"{namespace}/{config.at('data.site')}"] if config.at("data.site") else []

    @manager.controller(SITES, owns=["secrets"], watches={"configmaps": sites_of}, predicate=generation_changed)
    async def reconcile(request: AsyncRequest) -> None:
        seen.put((request.name, request.object and request.object.at("spec.text")))

    def take(count: int) -> list[tuple[str, Any]]:
        return sorted(seen.get(DEADLINE) for _ in range(count))

    core: Any = client.CoreV1Api(control_plane.api_client())
    with manager:
        assert manager.wait_until_ready(DEADLINE)
        first, second = (create(sites, namespace, site(name)) for name in ("a", "b"))
        assert take(2) == [("a", "hello"), ("b", "hello")]
        for patch in ({"metadata": {"labels": {"x": "y"}}}, {"spec": {"text": "new"}}):
            sites.patch_namespaced_custom_object("example.com", "v1", namespace, "sites", "a", patch)
        assert take(1) == [("a", "new")]
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "c"}, "data": {"site": "a"}})
        assert take(1) == [("a", "new")]
        core.patch_namespaced_config_map("c", namespace, {"data": {"site": "b"}})
        assert take(2) == [("a", "new"), ("b", "hello")]
        metadata = {"name": "s", "ownerReferences": [owner_reference(first)]}
        core.create_namespaced_secret(namespace, {"metadata": metadata})
        assert take(1) == [("a", "new")]
        core.replace_namespaced_secret(
            "s", namespace, {"metadata": {**metadata, "ownerReferences": [owner_reference(second)]}}
        )
        assert take(2) == [("a", "new"), ("b", "hello")]
        sites.delete_namespaced_custom_object("example.com", "v1", namespace, "sites", "b")
        assert take(1) == [("b", None)]
        assert len(seen) == 0


def test_a_lost_lease_ends_the_run(control_plane: ControlPlane, sites: Any, namespace: str) -> None:
    manager = Manager(
        control_plane.api_client(), name="sites", namespace=namespace, leader_election=True, lease_namespace=namespace,
        lease_duration=1.5, renew_deadline=1, retry_period=0.1,
    )  # fmt: skip
    leases: Any = client.CoordinationV1Api(control_plane.api_client())

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        leases.patch_namespaced_lease("sites", namespace, {"spec": {"holderIdentity": "thief"}})

    create(sites, namespace, site())
    with pytest.raises(ManagerError, match="manager sites has lost its lease: restart the program"):
        manager.run(threading.Event())
