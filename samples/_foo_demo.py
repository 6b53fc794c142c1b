"""A demo cluster for the sample controller: an API server in this process, and threads that play users and controllers."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from informer import ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from informer.workqueue import ItemExponentialFailureRateLimiter, RateLimitingQueue, enqueue_key, run_workers

STEP_SECONDS = 1.0
FOOS = 5
LARGEST = 10
MANIFESTS = Path(__file__).parent


@contextmanager
def foo_demo() -> Iterator[EmbeddedAPIServer]:
    """Yields a started server. A thread changes Foos and Deployments until the block ends."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedAPIServer())
        server.create(manifest("foo_crd.yaml"))
        stack.enter_context(deployments_at_work(stack.enter_context(server.api_client())))
        stop = threading.Event()
        changer = threading.Thread(target=_change_objects, args=(server, stop), name="foo-demo", daemon=True)
        changer.start()
        stack.callback(changer.join)
        stack.callback(stop.set)
        yield server


def manifest(name: str) -> Any:
    """Reads one of the manifests beside this file."""
    return yaml.safe_load((MANIFESTS / name).read_text(encoding="utf-8"))


@contextmanager
def deployments_at_work(api_client: client.ApiClient, namespace: str | None = None) -> Iterator[None]:
    """Plays kube-controller-manager and the kubelets: sets the available replicas of each Deployment to the wanted ones."""
    apps = client.AppsV1Api(api_client)
    queue: RateLimitingQueue[str] = RateLimitingQueue(ItemExponentialFailureRateLimiter(0.1, 2.0))
    deployments = SharedInformer(ListWatch.for_resource(api_client, "deployments.apps", namespace=namespace))
    deployments.add_event_handler(enqueue_key(queue))

    def set_available(key: str) -> None:
        deployment = deployments.store.get_by_key(key)
        if deployment is None:
            return
        count = deployment.at("spec.replicas", 1)
        status = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas"), count)
        if any(deployment.at(("status", name)) != count for name in status):
            apps.patch_namespaced_deployment_status(
                deployment.name, deployment.namespace, {"status": status}, _request_timeout=10
            )

    workers = threading.Thread(
        target=run_workers, args=(queue, set_available), kwargs={"workers": 2}, name="deployments-at-work", daemon=True
    )
    with deployments:
        workers.start()
        try:
            yield
        finally:
            queue.shut_down()
            workers.join()


def _change_objects(server: EmbeddedAPIServer, stop: threading.Event) -> None:
    """Plays the users of Foos and Deployments, and the garbage collector: one change per step."""
    names = [f"foo-{number}" for number in range(1, FOOS + 1)]
    for name in names:
        _step(server, name, 1)
    while not stop.wait(STEP_SECONDS):
        _step(server, random.choice(names), random.randint(1, LARGEST))


def _step(server: EmbeddedAPIServer, name: str, replicas: int) -> None:
    foos = {foo["metadata"]["name"] for foo in server.list("foos.samplecontroller.k8s.io")}
    deployments = {deployment["metadata"]["name"] for deployment in server.list("deployments.apps")}
    for orphan in deployments - foos:
        server.delete("deployments.apps", orphan)
    if name not in foos:
        foo = manifest("foo.yaml")
        foo["metadata"]["name"] = foo["spec"]["deploymentName"] = name
        foo["spec"]["replicas"] = replicas
        server.create(foo)
    elif random.random() < 0.2:
        server.delete("foos.samplecontroller.k8s.io", name)
    else:
        resource = random.choice(("foos.samplecontroller.k8s.io", "deployments.apps"))
        if resource.startswith("foos") or name in deployments:
            server.patch(resource, name, {"spec": {"replicas": replicas}})
