"""The site controller, run as a program against a real kube-apiserver, with exactly the rights of its manifests."""

from __future__ import annotations

import queue
import runpy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, utils

from informer import ListWatch, SharedInformer
from informer.testing import ControlPlane
from tests.support.waiting import DEADLINE, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.thorough, pytest.mark.timeout(120)]

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SAMPLE, NAMESPACE = "site_controller.py", "sites"
SITES = 500


class Sites:
    """A server on which the controller has its rights, and an informer that observes what it makes.

    Attributes:
        env: the environment variables of the program.
        manifests: what was applied.
        made: the ConfigMaps of the namespace.
    """

    def __init__(self, plane: ControlPlane, folder: Path, manifests: list[dict[str, Any]]) -> None:
        self.plane = plane
        api_client = plane.api_client()
        self.core, self.custom = client.CoreV1Api(api_client), client.CustomObjectsApi(api_client)
        self.rbac = client.RbacAuthorizationV1Api(api_client)
        self.definitions = client.ApiextensionsV1Api(api_client)
        self.manifests = manifests
        self.core.create_namespace({"metadata": {"name": NAMESPACE}})
        for each in manifests:
            if each["kind"] != "Deployment":
                utils.create_from_dict(api_client, each)
        token = self.core.create_namespaced_service_account_token("site-controller", NAMESPACE, {"spec": {}})
        kubeconfig = plane.kubeconfig(folder / "kubeconfig", token=token.status.token)
        # As in a pod, where the service account's namespace is that of the Lease.
        config = yaml.safe_load(kubeconfig.read_text())
        config["contexts"][0]["context"]["namespace"] = NAMESPACE
        kubeconfig.write_text(yaml.safe_dump(config))
        self.env = {"KUBECONFIG": str(kubeconfig), "PORT": "0", "LEASE_SECONDS": "3"}
        self.made: SharedInformer[Any] = SharedInformer(
            ListWatch.for_resource(api_client, "configmaps", namespace=NAMESPACE)
        )

    def define(self) -> None:
        definition = yaml.safe_load((SAMPLES / "site_crd.yaml").read_text())
        self.definitions.create_custom_resource_definition(definition)

    def create(self, name: str) -> None:
        site = {
            "apiVersion": "example.com/v1",
            "kind": "Site",
            "metadata": {"name": name},
            "spec": {"text": name, "replicas": 0},
        }
        self.custom.create_namespaced_custom_object("example.com", "v1", NAMESPACE, "sites", site)

    def create_soon(self, name: str) -> bool:
        """Whether the server serves the definition and has created a Site."""
        try:
            self.create(name)
        except client.ApiException as error:
            if error.status == 404:
                return False
            raise
        return True

    def has(self, name: str) -> bool:
        return f"{NAMESPACE}/site-{name}" in self.made.store

    def ready(self) -> int:
        """How many Sites have the condition Ready."""
        found = self.custom.list_namespaced_custom_object("example.com", "v1", NAMESPACE, "sites")["items"]
        return sum(each["status"] == "True" for site in found for each in site.get("status", {}).get("conditions", ()))


@pytest.fixture(scope="module")
def sites(unsteady_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    sample = runpy.run_path(str(SAMPLES / SAMPLE), run_name="sample")
    manifests = sample["manager"].manifests(namespace=NAMESPACE)
    made = Sites(unsteady_plane, tmp_path_factory.mktemp("sites"), manifests)
    with made.made:
        yield made
    made.definitions.delete_custom_resource_definition("sites.example.com")


def test_a_definition_that_comes_late_and_a_leader_that_is_killed(sites: Sites, run_sample: Callable[..., Any]) -> None:
    """Both replicas wait for the definition. After SIGKILL of the leader the other one goes on."""
    first, second = run_sample(SAMPLE, env=sites.env), run_sample(SAMPLE, env=sites.env)
    for program in (first, second):
        program.wait_for("is the CRD installed?", stderr=True)
    sites.define()
    assert eventually(lambda: sites.create_soon("one"))
    assert sites.made.wait_until(lambda: sites.has("one"), DEADLINE)
    lease = client.CoordinationV1Api(sites.core.api_client).read_namespaced_lease("site-controller", NAMESPACE)
    assert lease.spec.lease_transitions == 0
    # The standby logs nothing more until it leads.
    leader, standby = (first, second) if _leads(first) else (second, first)
    leader.process.kill()
    sites.create("two")
    assert sites.made.wait_until(lambda: sites.has("two"), DEADLINE)
    standby.process.terminate()
    assert standby.end(10)[0] == 0
    lease = client.CoordinationV1Api(sites.core.api_client).read_namespaced_lease("site-controller", NAMESPACE)
    assert (lease.spec.holder_identity, lease.spec.lease_transitions) == ("", 1)


def test_five_hundred_sites_without_rights_for_a_while_and_a_restart_of_the_server(
    sites: Sites, run_sample: Callable[..., Any]
) -> None:
    """In the end each Site has its ConfigMap and its condition."""
    # The lease lasts longer than the server is down.
    program = run_sample(SAMPLE, env=sites.env | {"LEASE_SECONDS": "60"})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: sites.create(f"s{number}"), range(SITES)))
    assert sites.made.wait_until(lambda: len(sites.made.store) >= SITES // 4, DEADLINE)
    (binding,) = [each for each in sites.manifests if each["kind"] == "ClusterRoleBinding"]
    sites.rbac.delete_cluster_role_binding("site-controller")
    program.wait_for("is forbidden", stderr=True)
    sites.plane.restart()
    sites.rbac.create_cluster_role_binding(binding)
    assert sites.made.wait_until(lambda: all(sites.has(f"s{number}") for number in range(SITES)), 50)
    assert eventually(lambda: sites.ready() >= SITES)
    program.process.terminate()
    assert program.end(10)[0] == 0


def _leads(program: Any) -> bool:
    """Whether a program leads, after it or the other one has begun to."""
    program.wait_for("is trying to acquire leader lease", stderr=True)
    try:
        program.wait_for("has acquired leader lease", 0.5, stderr=True)
    except queue.Empty:
        return False
    return True
