"""The sample controller on the embedded server: its work on Deployments and Foos, and as a program on its own cluster."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from informer import ApiError
from informer.runtime import Manager
from informer.testing import EmbeddedAPIServer
from tests.support.waiting import eventually

FOOS, DEPLOYMENTS = "foos.samplecontroller.k8s.io", "deployments.apps"


class Site:
    """A server with a running controller and a stand-in for the deployment controller."""

    def __init__(self, server: EmbeddedAPIServer, manager: Manager) -> None:
        self.server = server
        self.manager = manager

    def foo(self, name: str, replicas: int = 1, **metadata: Any) -> dict[str, Any]:
        """Creates a Foo."""
        return self.server.create(
            {
                "apiVersion": "samplecontroller.k8s.io/v1alpha1",
                "kind": "Foo",
                "metadata": {"name": name, **metadata},
                "spec": {"deploymentName": name, "replicas": replicas},
            }
        )

    def deployment(self, name: str) -> dict[str, Any]:
        """Returns a Deployment, or {}."""
        try:
            return self.server.get(DEPLOYMENTS, name)
        except ApiError:
            return {}

    def settles(self, name: str, replicas: int, deployment: str = "") -> bool:
        """Waits until a Deployment has this many replicas, and its Foo reports them."""
        return eventually(
            lambda: (
                self.deployment(deployment or name).get("spec", {}).get("replicas") == replicas
                and self.server.get(FOOS, name).get("status") == {"availableReplicas": replicas}
            )
        )


@pytest.fixture
def site(samples: Callable[[str], Any], embedded_apiserver: EmbeddedAPIServer) -> Iterator[Site]:
    """A server without any Foo, on which the controller runs."""
    demo = samples("_foo_demo")
    embedded_apiserver.create(demo.manifest("foo_crd.yaml"))
    with embedded_apiserver.api_client() as api_client, demo.deployments_at_work(api_client):
        manager = Manager(api_client, name="sample-controller")
        sample = samples("sample_controller")
        sample.TAKEN_SECONDS = 0.1
        sample.add_controller(manager)
        with manager:
            assert manager.wait_until_ready(10)
            yield Site(embedded_apiserver, manager)


def test_foo_gets_a_deployment_and_a_status(site: Site) -> None:
    """The Deployment belongs to the Foo and has its replicas; the Foo gets a status and an event."""
    foo = site.foo("web", 3)
    assert site.settles("web", 3)
    (owner,) = site.deployment("web")["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (foo["metadata"]["uid"], True, True)
    assert eventually(lambda: site.server.list("events.events.k8s.io"))
    (event,) = site.server.list("events.events.k8s.io")
    assert (event["reason"], event["note"]) == ("Synced", "Deployment web created")


def test_deployment_follows_its_foo_and_drift_is_corrected(site: Site) -> None:
    site.foo("web", 1)
    assert site.settles("web", 1)
    site.server.patch(FOOS, "web", {"spec": {"replicas": 5}})
    assert site.settles("web", 5)
    site.server.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 9, "minReadySeconds": 5}})
    assert site.settles("web", 5)
    assert site.deployment("web")["spec"]["minReadySeconds"] == 5
    site.server.delete(DEPLOYMENTS, "web")
    assert site.settles("web", 5)


def test_deployment_of_another_owner_is_left_alone(site: Site) -> None:
    """The Foo gets a warning, and its own Deployment once the other one is deleted."""
    site.server.create(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 9}}
    )
    assert eventually(lambda: site.deployment("web").get("status"))
    site.foo("web", 2)
    assert eventually(lambda: site.server.list("events.events.k8s.io"))
    (event, *_) = site.server.list("events.events.k8s.io")
    assert event["note"] == 'Resource "web" already exists and is not managed by Foo'
    deployment = site.deployment("web")
    assert (deployment["spec"]["replicas"], deployment["metadata"].get("ownerReferences")) == (9, None)
    site.server.delete(DEPLOYMENTS, "web")
    assert site.settles("web", 2)


def test_renamed_deployment_replaces_the_first(site: Site) -> None:
    """When a Foo names another Deployment, that one is created and the first one deleted."""
    site.foo("web", 2)
    assert site.settles("web", 2)
    site.server.patch(FOOS, "web", {"spec": {"deploymentName": "second"}})
    assert eventually(lambda: not site.deployment("web"))
    assert site.settles("web", 2, "second")


def test_foo_under_deletion_gets_no_deployment(site: Site) -> None:
    """The Deployment of a Foo under deletion is not created again once it is deleted."""
    site.foo("web", 2, finalizers=["example.com/wait"])
    assert site.settles("web", 2)
    deleted = site.server.delete(FOOS, "web")
    assert site.manager.informer(FOOS).wait_for_resource_version(deleted, 10)
    site.server.delete(DEPLOYMENTS, "web")
    # A write for the first Foo would come before the second Foo's.
    site.foo("next", 2)
    assert site.settles("next", 2)
    assert [obj["metadata"]["name"] for obj in site.server.list(DEPLOYMENTS)] == ["next"]


def test_demo_ends_on_sigterm(tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """Without a configured cluster it runs a demo and logs what it does; SIGTERM ends it."""
    program = run_sample("sample_controller.py", env={"HOME": str(tmp_path), "KUBECONFIG": ""})
    program.wait_for("demo cluster at http://127.0.0.1:", stderr=True)
    port = int(program.wait_for("/metrics on port", stderr=True)[1].split()[-1])
    for _ in range(5):
        program.wait_for(lambda line: "Deployment foo-" in line and "created" in line, stderr=True)
    assert [page(port, name)[0] for name in ("healthz", "readyz")] == [200, 200]
    shown = page(port, "metrics")[1]
    for line in (
        'leader_election_master_status{name="default/sample-controller"} 1.0',
        'workqueue_depth{name="foos.samplecontroller.k8s.io"} ',
        'informer_synced{name="deployments.apps"} 1.0',
        'informer_synced{name="foos.samplecontroller.k8s.io"} 1.0',
    ):
        assert f"\n{line}" in shown
    program.process.send_signal(signal.SIGTERM)
    code, lines, errors = program.end(10)
    assert (code, lines) == (0, [])
    assert not [line for line in errors if "Traceback" in line]


def test_lost_lease_ends_the_program(
    samples: Callable[[str], Any], embedded_apiserver: EmbeddedAPIServer, tmp_path: Path, run_sample: Callable[..., Any]
) -> None:
    """After losing its lease to another holder the program ends with exit code 1, so that its supervisor restarts it."""
    embedded_apiserver.create(samples("_foo_demo").manifest("foo_crd.yaml"))
    kubeconfig = embedded_apiserver.kubeconfig(tmp_path / "kubeconfig")
    program = run_sample("sample_controller.py", env={"KUBECONFIG": str(kubeconfig)})
    program.wait_for("has acquired leader lease", stderr=True)
    embedded_apiserver.patch(
        "leases.coordination.k8s.io", "sample-controller", {"spec": {"holderIdentity": "another-instance"}}
    )
    code, _, errors = program.end(10)
    assert (code, errors[-1]) == (1, "manager sample-controller has lost its lease: restart the program")


def test_manifests_need_no_cluster(tmp_path: Path) -> None:
    command = [sys.executable, "samples/sample_controller.py", "--manifests", "example.com/sample:1"]
    done = subprocess.run(command, env={"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=50, check=True)
    kinds = [each["kind"] for each in yaml.safe_load_all(done.stdout)]
    assert kinds == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Deployment"]


def page(port: int, name: str) -> tuple[int, str]:
    """Returns the status and the text of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/{name}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
