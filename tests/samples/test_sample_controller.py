"""The sample controller: what it does to Deployments and Foos, in this process; and as a program on its own cluster."""

from __future__ import annotations

import http.client
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from informer.record import FakeRecorder
from informer.testing import EmbeddedAPIServer
from informer.workqueue import PriorityQueue, run_workers
from watch import Channel

FOOS, DEPLOYMENTS = "foos.samplecontroller.k8s.io", "deployments.apps"
WRITES = ("create", "update", "patch", "delete")


@pytest.fixture
def sample(samples: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The sample's module, which does not wait for long."""
    module = samples("sample_controller")
    monkeypatch.setattr(module, "CATCH_UP_SECONDS", 0.1)
    monkeypatch.setattr(module, "TAKEN_SECONDS", 0.1)
    return module


class Site:
    """A server on which the controller works, and what acts on Deployments."""

    def __init__(self, server: EmbeddedAPIServer, controller: Any, recorder: FakeRecorder) -> None:
        self.server = server
        self.controller = controller
        self.events = recorder.events
        self.results: Channel[float | None] = Channel(None)  # of reconcile

    def reconcile(self, key: str) -> float | None:
        """For the workers."""
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
        """Waits until a Foo's Deployment passes a test, and the Foo says how many of its replicas are available."""
        foos, deployments = self.controller.foos, self.controller.deployments

        def the_deployment() -> Any:
            return deployments.store.get_by_key(f"default/{deployment or name}")

        assert deployments.wait_until(lambda: the_deployment() is not None and test(the_deployment()), 10)
        available = the_deployment().at("status.availableReplicas")
        assert foos.wait_until(
            lambda: foos.store.get_by_key(f"default/{name}").at("status.availableReplicas") == available, 10
        )

    def change(self, resource: str, name: str, patch: Any) -> None:
        """Changes an object, and waits until the controller's cache shows it."""
        version = self.server.patch(resource, name, patch)["metadata"]["resourceVersion"]
        informer = self.controller.foos if resource == FOOS else self.controller.deployments
        assert informer.wait_for_resource_version(version, 10)

    def writes(self, *verbs: str) -> list[str]:
        """What the controller and those that act on Deployments have asked the server to write."""
        return [request.path for request in self.server.requests if request.verb in (verbs or WRITES)]


def has(replicas: int) -> Callable[[Any], bool]:
    """A test: so many replicas are asked for, and available."""
    return lambda deployment: deployment.at("spec.replicas") == deployment.at("status.availableReplicas") == replicas


@pytest.fixture
def make_site(
    sample: Any, samples: Callable[[str], Any], embedded_apiserver: EmbeddedAPIServer, run: Callable[..., Any]
) -> Iterator[Callable[[], Site]]:
    """Begins to work, once what is there from the start is created."""
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


def test_a_foo_gets_a_deployment_and_says_how_it_is(site: Site) -> None:
    """The Deployment is the Foo's own and has its replicas; those that are up are the Foo's status; the Foo has an event."""
    foo = site.foo("web", 3)
    site.settle("web", has(3))
    deployment = site.deployment("web")
    (owner,) = deployment["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (foo["metadata"]["uid"], True, True)
    assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert site.server.get(FOOS, "web")["status"] == {"availableReplicas": 3}
    assert site.events.get(10) == "Normal Synced Deployment web created"


def test_a_deployment_follows_its_foo(site: Site) -> None:
    """More replicas of the Foo are more of the Deployment, and then of the Foo's status."""
    site.foo("web", 1)
    site.settle("web", has(1))
    site.change(FOOS, "web", {"spec": {"replicas": 5}})
    site.settle("web", has(5))


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
def test_what_others_change_is_brought_back(site: Site, change: dict[str, Any]) -> None:
    """Whatever of what the Foo asks for is changed in its Deployment."""
    site.foo("web", 2)
    site.settle("web", has(2))
    wanted = site.deployment("web")["spec"]
    site.change(DEPLOYMENTS, "web", {"spec": change})
    site.settle("web", lambda deployment: deployment["spec"] == wanted and has(2)(deployment))


def test_what_the_foo_does_not_ask_for_stays(site: Site) -> None:
    """The server's defaults, and what others add to it, are neither taken away nor a reason to write."""
    site.foo("web", 2)
    site.settle("web", has(2))
    container = {**CONTAINER, "imagePullPolicy": "Always"}
    added = {"minReadySeconds": 5, "template": {"spec": {"containers": [container]}}}
    site.change(DEPLOYMENTS, "web", {"spec": added})
    site.settle("web", lambda deployment: deployment.at("spec.minReadySeconds") == 5)
    site.change(FOOS, "web", {"spec": {"replicas": 3}})
    site.settle("web", has(3))
    spec = site.deployment("web")["spec"]
    assert (spec["minReadySeconds"], spec["template"]["spec"]["containers"]) == (5, [container])


def test_a_deleted_deployment_comes_back(site: Site) -> None:
    """As long as there is its Foo."""
    site.foo("web", 2)
    site.settle("web", has(2))
    before = site.server.delete(DEPLOYMENTS, "web")["metadata"]["uid"]
    site.settle("web", lambda deployment: deployment.uid != before and has(2)(deployment))


def test_a_deployment_of_somebody_else_is_left_alone(make_site: Callable[[], Site], embedded_apiserver: Any) -> None:
    """The Foo has a warning; when the other Deployment is gone it gets its own."""
    embedded_apiserver.create(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 9}}
    )
    site = make_site()
    site.foo("web", 2)
    warning = 'Warning ErrResourceExists Resource "web" already exists and is not managed by Foo'
    assert [site.events.get(10), site.events.get(10)] == [warning] * 2
    assert site.deployment("web")["spec"] == {"replicas": 9}
    site.server.delete(DEPLOYMENTS, "web")
    site.settle("web", has(2))


def test_of_two_deployments_the_one_that_is_named_stays(site: Site) -> None:
    """When a Foo names another Deployment it gets that one, and the first is deleted."""
    site.foo("web", 2, deployment="first")
    site.settle("web", has(2), "first")
    site.change(FOOS, "web", {"spec": {"deploymentName": "second"}})
    deployments = site.controller.deployments
    assert deployments.wait_until(lambda: deployments.store.list_keys() == ["default/second"], 10)
    site.settle("web", has(2), "second")


def test_a_foo_that_is_being_deleted_gets_nothing_more(site: Site) -> None:
    """Its Deployment, once deleted, does not come back: the garbage collector's work is not undone."""
    site.foo("web", 2, finalizers=["example.com/wait"])
    site.settle("web", has(2))
    written = site.server.delete(FOOS, "web")["metadata"]["resourceVersion"]
    assert site.controller.foos.wait_for_resource_version(written, 10)
    site.server.delete(DEPLOYMENTS, "web")
    assert site.controller.deployments.wait_until(lambda: not site.controller.deployments.store.list(), 10)
    # In their turn: the first would have been written by the time at which the second is.
    site.foo("next", 2)
    site.settle("next", has(2))
    assert [obj["metadata"]["name"] for obj in site.server.list(DEPLOYMENTS)] == ["next"]


def test_where_all_is_well_nothing_is_written(site: Site) -> None:
    """A Foo that has what it asks for can be looked at again and again."""
    for number in range(5):
        site.foo(f"foo-{number}", 2)
    for number in range(5):
        site.settle(f"foo-{number}", has(2))
    # One Deployment each, its status, and the Foo's: nothing was written twice.
    assert len(site.writes("create")) == 5
    assert len(site.writes()) == 15
    assert [site.controller.reconcile(f"default/foo-{number}") for number in range(5)] == [None] * 5
    assert len(site.writes()) == 15


@pytest.mark.parametrize("status", [409, 404, 500])
@pytest.mark.parametrize(("verb", "resource"), [("create", DEPLOYMENTS), ("update", FOOS)])
def test_a_refused_write_is_made_again(
    site: Site, status: int, verb: str, resource: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A conflict, an object that is gone, and a server that fails: each is tried again, and only the last is an error."""
    site.server.faults.answer(status, on=verb, resource=resource, times=2)
    site.foo("web", 3)
    site.settle("web", has(3))
    failed = [record for record in caplog.records if record.name == "informer.workqueue"]
    assert (len(failed) > 0) == (status == 500)


def test_a_stale_cache_changes_nothing(site: Site, sample: Any) -> None:
    """What was changed since it was looked at is not overwritten: the server's 409 has it looked at again."""
    site.foo("web", 2)
    site.settle("web", has(2))
    foo = site.controller.foos.store.get_by_key("default/web")
    stale = site.controller.deployments.store.get_by_key("default/web")
    site.change(DEPLOYMENTS, "web", {"metadata": {"labels": {"a": "b"}}})
    with pytest.raises(sample.client.ApiException) as refused:
        site.controller._correct("default/web", foo, stale, {"replicas": 9})
    assert refused.value.status == 409


def test_what_is_written_but_not_seen_is_neither_made_twice_nor_forgotten(site: Site) -> None:
    """While the cache is behind, the Foo waits; what was deleted before the cache ever had it is made again."""
    site.server.faults.freeze(on="watch", resource=DEPLOYMENTS, times=None)
    site.foo("web", 2)
    assert [site.results.get(10) for _ in range(4)] == [0.1] * 4
    assert len(site.writes("create")) == 1
    site.server.delete(DEPLOYMENTS, "web")
    # Without a past the watch begins with a list, in which there is nothing.
    site.server.restart()
    site.server.faults.clear()
    site.settle("web", has(2))
    assert len(site.writes("create")) == 2


@pytest.mark.parametrize("why", ["asked to end", "lease lost"])
def test_what_is_queued_is_done_with_the_lease_and_not_without(
    sample: Any, embedded_apiserver: EmbeddedAPIServer, run: Callable[..., Any], why: str
) -> None:
    """Whoever is asked to end does what is queued and then gives the lease back; whoever has lost it does nothing more."""
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
    options = SimpleNamespace(namespace=None, workers=1, lease_seconds=6)
    with embedded_apiserver.api_client() as api_client:
        elector = sample.elector_for(controller, api_client, options, stop)
        running = run(elector.run, stop)
        assert begun.wait(10)
        if why == "asked to end":
            stop.set()
        else:
            embedded_apiserver.patch(*lease, {"spec": {"holderIdentity": "somebody else"}})
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
        assert embedded_apiserver.get(*lease)["spec"]["holderIdentity"] == "somebody else"


def test_it_shows_a_demo_and_ends_on_sigterm(tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """With no cluster configured it works on its own, and says what it does; SIGTERM ends it."""
    program = run_sample("sample_controller.py", env={"HOME": str(tmp_path), "KUBECONFIG": ""})
    program.wait_for("demo cluster at http://127.0.0.1:", stderr=True)
    port = int(program.wait_for("/metrics on port", stderr=True)[1].split()[-1])
    for _ in range(5):
        program.wait_for("'Normal' reason: 'Synced' Deployment foo-", stderr=True)
    assert [page(port, name)[0] for name in ("healthz", "readyz")] == [200, 200]
    shown = page(port, "metrics")[1]
    for line in (
        'leader_election_master_status{name="default/sample-controller"} 1.0',
        'workqueue_depth{name="foos"} ',
        'informer_synced{name="deployments.apps"} 1.0',
        'informer_synced{name="foos.samplecontroller.k8s.io"} 1.0',
    ):
        assert f"\n{line}" in shown
    program.process.send_signal(signal.SIGTERM)
    code, lines, complaints = program.end(10)
    assert (code, lines) == (0, [])
    assert not [line for line in complaints if "Traceback" in line]


def test_without_its_lease_it_ends(
    samples: Callable[[str], Any], embedded_apiserver: EmbeddedAPIServer, tmp_path: Path, run_sample: Callable[..., Any]
) -> None:
    """One whose lease is another's ends with exit code 1, for whoever started it to start it again."""
    embedded_apiserver.create(samples("_foo_demo").manifest("foo_crd.yaml"))
    kubeconfig = embedded_apiserver.kubeconfig(tmp_path / "kubeconfig")
    program = run_sample("sample_controller.py", env={"KUBECONFIG": str(kubeconfig)})
    program.wait_for("has acquired leader lease", stderr=True)
    embedded_apiserver.patch(
        "leases.coordination.k8s.io", "sample-controller", {"spec": {"holderIdentity": "somebody else"}}
    )
    code, _, complaints = program.end(10)
    assert (code, complaints[-1]) == (1, "the lease is lost")


def page(port: int, name: str) -> tuple[int, str]:
    """Status and text of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/{name}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
