"""The page "A controller by hand": its program's work on Deployments and Foos in this process, and as a program."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from informer.record import FakeRecorder
from informer.testing import EmbeddedAPIServer
from informer.workqueue import PriorityQueue, run_workers
from tests.samples.test_docs import blocks
from tests.support.waiting import DEADLINE, eventually
from watch import Channel

FOOS, DEPLOYMENTS = "foos.samplecontroller.k8s.io", "deployments.apps"
WRITES = ("create", "update", "patch", "delete")


PROGRAM = "\n".join(blocks("python", "docs/hand-wired-controller.md"))


@pytest.fixture
def sample() -> Any:
    """The page's program as a module, with short waits."""
    module = ModuleType("hand_wired_controller")
    exec(PROGRAM, module.__dict__)
    module.CATCH_UP_SECONDS = module.TAKEN_SECONDS = 0.1  # type: ignore[attr-defined]
    return module


class Site:
    """A server with a running controller and a stand-in for the deployment controller."""

    def __init__(self, server: EmbeddedAPIServer, controller: Any, recorder: FakeRecorder) -> None:
        self.server = server
        self.controller = controller
        self.events = recorder.events
        self.results: Channel[float | None] = Channel(None)  # results of reconcile

    def reconcile(self, key: str) -> float | None:
        """Reconciles a key and records the result; the workers call it."""
        result: float | None = self.controller.reconcile(key)
        self.results.put(result)
        return result

    def foo(self, name: str, replicas: int = 1, deployment: str | None = None, **metadata: Any) -> dict[str, Any]:
        """Creates a Foo."""
        return self.server.create(
            {
                "apiVersion": "samplecontroller.k8s.io/v1alpha1",
                "kind": "Foo",
                "metadata": {"name": name, "namespace": "default", **metadata},
                "spec": {"deploymentName": deployment or name, "replicas": replicas},
            }
        )

    def deployment(self, name: str) -> dict[str, Any]:
        return self.server.get(DEPLOYMENTS, name)

    def settle(self, name: str, test: Callable[[Any], bool], deployment: str | None = None) -> None:
        """Waits until a Foo's Deployment passes a test, and the Foo's status has its number of available replicas."""
        foos, deployments = self.controller.foos, self.controller.deployments

        def the_deployment() -> Any:
            return deployments.store.get_by_key(f"default/{deployment or name}")

        assert deployments.wait_until(lambda: the_deployment() is not None and test(the_deployment()), 10)
        available = the_deployment().at("status.availableReplicas")
        assert foos.wait_until(
            lambda: foos.store.get_by_key(f"default/{name}").at("status.availableReplicas") == available, 10
        )

    def change(self, resource: str, name: str, patch: Any) -> None:
        """Changes an object, and waits until the controller's cache has the change."""
        version = self.server.patch(resource, name, patch)["metadata"]["resourceVersion"]
        informer = self.controller.foos if resource == FOOS else self.controller.deployments
        assert informer.wait_for_resource_version(version, 10)

    def writes(self, *verbs: str) -> list[str]:
        """Returns the paths of the requests that wrote to the server."""
        return [request.path for request in self.server.requests if request.verb in (verbs or WRITES)]


def has(replicas: int) -> Callable[[Any], bool]:
    """Returns a test of a Deployment: this many replicas are requested and available."""
    return lambda deployment: deployment.at("spec.replicas") == deployment.at("status.availableReplicas") == replicas


@pytest.fixture
def make_site(
    sample: Any, samples: Callable[[str], Any], embedded_apiserver: EmbeddedAPIServer, run: Callable[..., Any]
) -> Iterator[Callable[[], Site]]:
    """Starts the controller, after the test has created the initial objects."""
    demo = samples("_foo_demo")
    embedded_apiserver.create(demo.manifest("foo_crd.yaml"))
    stop = threading.Event()
    with ExitStack() as stack:

        def make() -> Site:
            api_client = stack.enter_context(embedded_apiserver.api_client())
            recorder = FakeRecorder(None)
            controller = sample.FooController(api_client, recorder)
            stack.enter_context(demo.deployments_at_work(api_client))
            stack.enter_context(controller.factory)
            assert all(controller.factory.wait_for_cache_sync(10).values())
            site = Site(embedded_apiserver, controller, recorder)
            working = run(lambda: run_workers(controller.queue, site.reconcile, workers=4, stop=stop))
            stack.callback(working.result)
            stack.callback(stop.set)
            return site

        yield make


@pytest.fixture
def site(make_site: Callable[[], Site]) -> Site:
    """A server without any Foo."""
    return make_site()


def test_foo_gets_a_deployment_and_a_status(site: Site) -> None:
    """The Deployment belongs to the Foo and has its replicas; the Foo gets a status and an event."""
    foo = site.foo("web", 3)
    site.settle("web", has(3))
    deployment = site.deployment("web")
    (owner,) = deployment["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (foo["metadata"]["uid"], True, True)
    assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert site.server.get(FOOS, "web")["status"] == {"availableReplicas": 3}
    assert site.events.get(10) == "Normal Synced Deployment web created"


def test_deployment_follows_its_foo(site: Site) -> None:
    """Changing the Foo's replicas changes the Deployment's, and then the Foo's status."""
    site.foo("web", 1)
    site.settle("web", has(1))
    site.change(FOOS, "web", {"spec": {"replicas": 5}})
    site.settle("web", has(5))
    assert site.server.get(FOOS, "web")["status"] == {"availableReplicas": 5}


CONTAINER = {"name": "nginx", "image": "nginx:latest"}


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 7},
        {"template": {"spec": {"containers": [{**CONTAINER, "image": "other"}]}}},
        {"template": {"spec": {"containers": [CONTAINER, {"name": "more", "image": "other"}]}}},
        {"template": {"spec": {"containers": []}}},
    ],
    ids=["replicas", "image", "one more container", "no container"],
)
def test_changes_by_other_writers_are_reverted(site: Site, change: dict[str, Any]) -> None:
    """Any change to what the Foo specifies is reverted."""
    site.foo("web", 2)
    site.settle("web", has(2))
    wanted = site.deployment("web")["spec"]
    site.change(DEPLOYMENTS, "web", {"spec": change})
    site.settle("web", lambda deployment: deployment["spec"] == wanted and has(2)(deployment))
    assert site.deployment("web")["spec"] == wanted


def test_other_fields_stay(site: Site) -> None:
    """The server's defaults and fields added by other writers stay, and cause no write."""
    site.foo("web", 2)
    site.settle("web", has(2))
    container = {**CONTAINER, "imagePullPolicy": "Always"}
    added = {"minReadySeconds": 5, "template": {"spec": {"containers": [container]}}}
    site.change(DEPLOYMENTS, "web", {"spec": added})
    site.settle("web", lambda deployment: deployment.at("spec.minReadySeconds") == 5)
    site.change(FOOS, "web", {"spec": {"replicas": 3}})
    site.settle("web", has(3))
    spec = site.deployment("web")["spec"]
    (stored,) = spec["template"]["spec"]["containers"]
    assert (spec["minReadySeconds"], stored["imagePullPolicy"]) == (5, "Always")


def test_deleted_deployment_is_created_again(site: Site) -> None:
    """A deleted Deployment is created again while its Foo exists."""
    site.foo("web", 2)
    site.settle("web", has(2))
    before = site.server.delete(DEPLOYMENTS, "web")["metadata"]["uid"]
    site.settle("web", lambda deployment: deployment.uid != before and has(2)(deployment))
    assert site.deployment("web")["metadata"]["uid"] != before


def test_deployment_of_another_owner_is_left_alone(make_site: Callable[[], Site], embedded_apiserver: Any) -> None:
    """The Foo gets a warning, and its own Deployment once the other one is deleted."""
    embedded_apiserver.create(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 9}}
    )
    site = make_site()
    site.foo("web", 2)
    warning = 'Warning ErrResourceExists Resource "web" already exists and is not managed by Foo'
    assert [site.events.get(10), site.events.get(10)] == [warning] * 2
    deployment = site.deployment("web")
    assert (deployment["spec"]["replicas"], deployment["metadata"].get("ownerReferences")) == (9, None)
    site.server.delete(DEPLOYMENTS, "web")
    site.settle("web", has(2))


def test_renamed_deployment_replaces_the_first(site: Site) -> None:
    """When a Foo names another Deployment, that one is created and the first one deleted."""
    site.foo("web", 2, deployment="first")
    site.settle("web", has(2), "first")
    site.change(FOOS, "web", {"spec": {"deploymentName": "second"}})
    deployments = site.controller.deployments
    assert deployments.wait_until(lambda: deployments.store.list_keys() == ["default/second"], 10)
    site.settle("web", has(2), "second")


def test_foo_under_deletion_gets_no_deployment(site: Site) -> None:
    """The Deployment of a Foo under deletion is not created again once it is deleted."""
    site.foo("web", 2, finalizers=["example.com/wait"])
    site.settle("web", has(2))
    written = site.server.delete(FOOS, "web")["metadata"]["resourceVersion"]
    assert site.controller.foos.wait_for_resource_version(written, 10)
    site.server.delete(DEPLOYMENTS, "web")
    assert site.controller.deployments.wait_until(lambda: not site.controller.deployments.store.list(), 10)
    # Keys are processed in order: a write for the first Foo would come before the second Foo's.
    site.foo("next", 2)
    site.settle("next", has(2))
    assert [obj["metadata"]["name"] for obj in site.server.list(DEPLOYMENTS)] == ["next"]


def test_nothing_is_written_without_a_difference(site: Site) -> None:
    """Reconciling a Foo whose Deployment and status are right writes nothing."""
    for number in range(5):
        site.foo(f"foo-{number}", 2)
    for number in range(5):
        site.settle(f"foo-{number}", has(2))
    # One Deployment per Foo, its status, and the Foo's status: nothing was written twice.
    assert len(site.writes("create")) == 5
    assert len(site.writes()) == 15
    assert [site.controller.reconcile(f"default/foo-{number}") for number in range(5)] == [None] * 5
    assert len(site.writes()) == 15


@pytest.mark.parametrize("status", [409, 404, 500])
@pytest.mark.parametrize(("verb", "resource"), [("create", DEPLOYMENTS), ("update", FOOS)])
def test_refused_write_is_retried(
    site: Site, status: int, verb: str, resource: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Conflicts, missing objects and server errors are retried; only server errors are logged."""
    site.server.faults.answer(status, on=verb, resource=resource, times=2)
    site.foo("web", 3)
    site.settle("web", has(3))
    failed = [record for record in caplog.records if record.name == "informer.workqueue"]
    assert (len(failed) > 0) == (status == 500)


def test_stale_cache_changes_nothing(site: Site, sample: Any) -> None:
    """A write based on a stale cache gets a 409 and changes nothing."""
    site.foo("web", 2)
    site.settle("web", has(2))
    foo = site.controller.foos.store.get_by_key("default/web")
    stale = site.controller.deployments.store.get_by_key("default/web")
    site.change(DEPLOYMENTS, "web", {"metadata": {"labels": {"a": "b"}}})
    with pytest.raises(sample.client.ApiException) as refused:
        site.controller._correct("default/web", foo, stale, {"replicas": 9})
    assert refused.value.status == 409


def test_unobserved_deployment_is_created_once(site: Site) -> None:
    """A Foo whose Deployment is not in the cache yet waits; a Deployment deleted in that time is created again."""
    site.server.faults.freeze(on="watch", resource=DEPLOYMENTS, times=None)
    site.foo("web", 2)
    assert [site.results.get(10) for _ in range(4)] == [0.1] * 4
    assert len(site.writes("create")) == 1
    site.server.delete(DEPLOYMENTS, "web")
    # After the restart the watch has no history, so it begins with a list, which is empty.
    site.server.restart()
    site.server.faults.clear()
    site.settle("web", has(2))
    assert len(site.writes("create")) == 2


@pytest.mark.parametrize("why", ["asked to end", "lease lost"])
def test_queue_is_finished_only_with_the_lease(
    sample: Any, embedded_apiserver: EmbeddedAPIServer, run: Callable[..., Any], why: str
) -> None:
    """A stopping leader finishes its queue and releases the lease; one that lost its lease does not start another key."""
    lease = ("leases.coordination.k8s.io", "sample-controller")
    holders: list[str] = []
    begun, go_on, stop = threading.Event(), threading.Event(), threading.Event()

    def reconcile(key: str) -> None:
        holders.append(embedded_apiserver.get(*lease)["spec"]["holderIdentity"])
        begun.set()
        assert go_on.wait(10)

    queue: PriorityQueue[str] = PriorityQueue()
    queue.add_all(["a", "b", "c"])
    controller = SimpleNamespace(queue=queue, reconcile=reconcile)
    with embedded_apiserver.api_client() as api_client:
        elector = sample.elector_for(controller, api_client, stop, 6, workers=1)
        running = run(elector.run, stop)
        assert begun.wait(10)
        if why == "asked to end":
            stop.set()
        else:
            embedded_apiserver.patch(*lease, {"spec": {"holderIdentity": "another-instance"}})
            assert running.ends_within(10)
        go_on.set()
        running.result()
        queue.shut_down_with_drain()
    if why == "asked to end":
        assert len(holders) == 3
        assert holders[0]
        assert set(holders) == {holders[0]}
        assert embedded_apiserver.get(*lease)["spec"]["holderIdentity"] == ""
    else:
        assert len(holders) == 1
        assert embedded_apiserver.get(*lease)["spec"]["holderIdentity"] == "another-instance"


def test_the_program_ends_on_sigterm(
    samples: Callable[[str], Any], embedded_apiserver: EmbeddedAPIServer, tmp_path: Path
) -> None:
    embedded_apiserver.create(samples("_foo_demo").manifest("foo_crd.yaml"))
    kubeconfig = embedded_apiserver.kubeconfig(tmp_path / "kubeconfig")
    (tmp_path / "controller.py").write_text(PROGRAM, encoding="utf-8")
    program = subprocess.Popen(
        [sys.executable, "controller.py"],
        cwd=tmp_path,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        foo = {"apiVersion": "samplecontroller.k8s.io/v1alpha1", "kind": "Foo", "metadata": {"name": "web"}}
        embedded_apiserver.create({**foo, "spec": {"deploymentName": "web"}})
        assert eventually(lambda: embedded_apiserver.list(DEPLOYMENTS))
    finally:
        program.terminate()
        _, errors = program.communicate(timeout=DEADLINE)
    assert program.returncode == 0, errors
