"""The sample controller, run as a program against a real kube-apiserver, with only the rights of its manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, watch

from informer import ListWatch, SharedInformer
from informer.runtime import Manager
from informer.testing import ControlPlane
from watch import list_watch_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

SAMPLE = "sample_controller.py"
GROUP, VERSION, PLURAL = "samplecontroller.k8s.io", "v1alpha1", "foos"
FOOS = 200
SETTLED = "settled"  # an index


class Site:
    """A namespace of a real server, a stand-in for the deployment controller, and informers that observe the results."""

    def __init__(self, plane: ControlPlane, kubeconfig: Path, demo: Any, sample: Any, stack: ExitStack) -> None:
        self.plane = plane
        self.env = {"KUBECONFIG": str(plane.kubeconfig(kubeconfig, user="nobody"))}
        api_client = stack.enter_context(plane.api_client())
        self.core = client.CoreV1Api(api_client)
        self.apps = client.AppsV1Api(api_client)
        self.custom = client.CustomObjectsApi(api_client)
        _define(client.ApiextensionsV1Api(api_client), demo.manifest("foo_crd.yaml"))
        self.namespace = str(self.core.create_namespace({"metadata": {"generateName": "foos-"}}).metadata.name)
        self._allow("nobody", sample)
        stack.enter_context(demo.deployments_at_work(api_client, self.namespace))
        self.foos: SharedInformer[Any] = SharedInformer(
            ListWatch.for_resource(api_client, f"{PLURAL}.{GROUP}", namespace=self.namespace),
            indexers={SETTLED: lambda foo: [str(foo.at("status.availableReplicas") == foo.at("spec.replicas"))]},
        )
        self.deployments: SharedInformer[Any] = SharedInformer(
            ListWatch.for_resource(api_client, "deployments.apps", namespace=self.namespace)
        )
        for informer in (self.foos, self.deployments):
            stack.enter_context(informer)
            assert informer.wait_for_sync(20), informer.sync_error()

    def _allow(self, user: str, sample: Any) -> None:
        """Grants a user what the sample's manifests grant a service account: roles in this namespace, none in the cluster."""
        manager = Manager(name="sample-controller", namespace=self.namespace, leader_election=True)
        sample.add_controller(manager)
        rbac = client.RbacAuthorizationV1Api(self.core.api_client)
        for each in manager.manifests(namespace=self.namespace):
            if each["kind"] == "Role":
                rbac.create_namespaced_role(self.namespace, each)
            elif each["kind"] == "RoleBinding":
                subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
                rbac.create_namespaced_role_binding(self.namespace, {**each, "subjects": [subject]})
            else:
                assert each["kind"] == "ServiceAccount"

    def foo(self, name: str, replicas: int = 1) -> dict[str, Any]:
        """Creates a Foo."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Foo",
            "metadata": {"name": name},
            "spec": {"deploymentName": name, "replicas": replicas},
        }
        made: dict[str, Any] = self.custom.create_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, body)
        return made

    def settled(self) -> int:
        """How many Foos report all of their requested replicas as available."""
        return len(self.foos.indexer.index_keys(SETTLED, "True"))


def _define(api: client.ApiextensionsV1Api, definition: Any) -> None:
    """Creates the definition if it is missing, and waits until it is established."""
    try:
        api.create_custom_resource_definition(definition)
    except client.ApiException as error:
        if error.status != 409:
            raise
    follower = watch.Watch()
    for event in follower.stream(
        api.list_custom_resource_definition,
        field_selector=f"metadata.name={definition['metadata']['name']}",
        timeout_seconds=20,
    ):
        conditions = event["object"].status.conditions or []
        if any(condition.type == "Established" and condition.status == "True" for condition in conditions):
            follower.stop()
            return
    raise AssertionError("the definition was not established")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes its contents when the test is over."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_site(samples: Callable[[str], Any], tmp_path: Path, stack: ExitStack) -> Callable[[ControlPlane], Site]:
    """Prepares a namespace of a server."""
    return lambda plane: Site(plane, tmp_path / "kubeconfig", samples("_foo_demo"), samples("sample_controller"), stack)


@pytest.fixture
def site(make_site: Callable[[ControlPlane], Site], control_plane: ControlPlane) -> Site:
    """A namespace of the shared server."""
    return make_site(control_plane)


@pytest.mark.thorough
def test_many_foos_and_two_restarts_of_the_server(
    make_site: Callable[[ControlPlane], Site], unsteady_plane: ControlPlane, run_sample: Callable[..., Any]
) -> None:
    """In the end each Deployment has its Foo's spec, and each Foo's status agrees."""
    site = make_site(unsteady_plane)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: site.foo(f"foo-{number}", 1 + number % 10), range(FOOS)))
    # The lease lasts longer than the server is down.
    program = run_sample(SAMPLE, "-n", site.namespace, "--lease-seconds", "60", env=site.env)
    assert site.deployments.wait_until(lambda: len(site.deployments.store) >= FOOS // 4, 30)
    site.plane.restart()
    assert site.foos.wait_until(lambda: site.settled() >= FOOS // 2, 60)
    site.plane.restart()
    assert site.deployments.wait_until(lambda: len(site.deployments.store) == FOOS, 60)
    assert site.foos.wait_until(lambda: site.settled() == FOOS, 60)
    deployments = site.apps.list_namespaced_deployment(site.namespace).items
    assert {item.metadata.name: item.spec.replicas for item in deployments} == {
        f"foo-{number}": 1 + number % 10 for number in range(FOOS)
    }
    foos = site.custom.list_namespaced_custom_object(GROUP, VERSION, site.namespace, PLURAL)["items"]
    assert all(foo["status"]["availableReplicas"] == foo["spec"]["replicas"] for foo in foos)
    program.process.terminate()
    assert program.end(10)[0] == 0


def test_drift_is_corrected_once(site: Site, run_sample: Callable[..., Any]) -> None:
    """Changes to a Deployment are reverted; fields with the server's defaults are not rewritten."""
    program = run_sample(SAMPLE, "-n", site.namespace, env=site.env)
    site.foo("web", 2)
    assert site.foos.wait_until(lambda: site.settled() == 1, 30)
    container = {"name": "nginx", "image": "other", "imagePullPolicy": "Never"}
    drift = {"spec": {"replicas": 9, "template": {"spec": {"containers": [container]}}}}
    site.apps.patch_namespaced_deployment("web", site.namespace, drift)
    key = f"{site.namespace}/web"

    def corrected() -> bool:
        deployment = site.deployments.store.get_by_key(key)
        (container,) = deployment.at("spec.template.spec.containers")
        # Two changes of the spec: the drift and the correction.
        return (deployment.generation, deployment.at("spec.replicas"), container["image"]) == (3, 2, "nginx:latest")

    assert site.deployments.wait_until(corrected, 30)
    assert site.deployments.store.get_by_key(key).at("spec.template.spec.containers")[0]["imagePullPolicy"] == "Never"
    # Its spec is not written again once it is as it should be.
    site.foo("next")
    assert site.foos.wait_until(lambda: site.settled() == 2, 30)
    assert site.deployments.store.get_by_key(key).generation == 3
    program.process.terminate()
    assert program.end(10)[0] == 0


def test_deployment_of_another_owner_leads_to_a_warning(site: Site, run_sample: Callable[..., Any]) -> None:
    """A Warning event about the Foo can be read from the server."""
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "main", "image": "example.com/app:1"}]},
    }
    spec = {"replicas": 9, "selector": {"matchLabels": labels}, "template": template}
    site.apps.create_namespaced_deployment(site.namespace, {"metadata": {"name": "web"}, "spec": spec})
    foo = site.foo("web", 2)
    program = run_sample(SAMPLE, "-n", site.namespace, env=site.env)
    events = ListWatch.for_resource(site.core.api_client, "events", namespace=site.namespace)
    found = list_watch_until(events, lambda event: event.object.at("reason") == "ErrResourceExists", timeout=30)
    event = found.object.to_dict()
    assert (event["type"], event["involvedObject"]["uid"]) == ("Warning", foo["metadata"]["uid"])
    assert event["message"] == 'Resource "web" already exists and is not managed by Foo'
    assert site.apps.read_namespaced_deployment("web", site.namespace).spec.replicas == 9
    program.process.terminate()
    assert program.end(10)[0] == 0


def test_second_instance_takes_over(site: Site, run_sample: Callable[..., Any]) -> None:
    """Only the leader works; after SIGTERM the other instance takes over, long before the lease would expire."""
    arguments = (SAMPLE, "-n", site.namespace, "--lease-seconds", "120")
    leader = run_sample(*arguments, env=site.env)
    leader.wait_for("has acquired leader lease", 30, stderr=True)
    standby = run_sample(*arguments, env=site.env)
    standby.wait_for("is trying to acquire leader lease", 30, stderr=True)
    site.foo("first", 2)
    assert site.foos.wait_until(lambda: site.settled() == 1, 30)
    leader.wait_for("Deployment first created", stderr=True)
    leader.process.terminate()
    seen = []
    # An instance tries to acquire the lease at least every 4.4 seconds.
    standby.wait_for(lambda line: seen.append(line) or "has acquired leader lease" in line, 15, stderr=True)
    assert not [line for line in seen if "reason:" in line], "an instance that does not lead has worked"
    site.foo("second", 2)
    assert site.foos.wait_until(lambda: site.settled() == 2, 30)
    standby.wait_for("Deployment second created", stderr=True)
    assert leader.end(10)[0] == 0
    standby.process.terminate()
    assert standby.end(10)[0] == 0
    lease = client.CoordinationV1Api(site.core.api_client).read_namespaced_lease("sample-controller", site.namespace)
    assert (lease.spec.holder_identity, lease.spec.lease_transitions) == ("", 1)
