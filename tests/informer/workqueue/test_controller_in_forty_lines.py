"""A complete controller: two informers and one queue."""

from __future__ import annotations

import threading
from typing import Any

from informer import NotFoundError, SharedInformer, wait_for_cache_sync
from informer.testing.fake_source import FakeControllerSource
from informer.workqueue import RateLimitingQueue, enqueue_key, enqueue_owner, run_workers
from tests.support.waiting import DEADLINE


def controller(foos_source: Any, deployments_source: Any, apply: Any, stop: threading.Event) -> None:
    """Gives every Foo a Deployment with as many replicas as its spec says. This is a complete controller."""
    foos = SharedInformer(foos_source)
    deployments = SharedInformer(deployments_source)
    queue: RateLimitingQueue[str] = RateLimitingQueue(name="foos")
    foos.add_event_handler(enqueue_key(queue))
    deployments.add_event_handler(enqueue_owner(queue, "Foo.samplecontroller.k8s.io"))

    def reconcile(key: str) -> float | None:
        namespace, name = key.split("/")
        try:
            foo = foos.lister.get(name, namespace)
        except NotFoundError:
            return None  # the garbage collector deletes its deployment
        wanted = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "ownerReferences": [
                    {"apiVersion": foo["apiVersion"], "kind": "Foo", "name": name, "controller": True, "uid": "1"}
                ],
            },
            "spec": {"replicas": foo["spec"]["replicas"]},
        }
        try:
            found = deployments.lister.get(name, namespace)
        except NotFoundError:
            apply(wanted)
            return None
        if found["spec"]["replicas"] != wanted["spec"]["replicas"]:
            apply(wanted)
        return None

    with foos, deployments:
        if wait_for_cache_sync(foos, deployments, stop=stop):
            run_workers(queue, reconcile, workers=2, stop=stop)


def test_a_controller_creates_and_corrects_the_objects_it_owns(run: Any) -> None:
    """Deployments are created with their Foos, follow their spec, and are corrected when another client changes them."""
    foos, deployments = FakeControllerSource(), FakeControllerSource()
    stop, changed = threading.Event(), threading.Condition()

    def foo(name: str, replicas: int) -> dict[str, Any]:
        version = "samplecontroller.k8s.io/v1alpha1"
        metadata = {"name": name, "namespace": "shop"}
        return {"apiVersion": version, "kind": "Foo", "metadata": metadata, "spec": {"replicas": replicas}}

    def replicas() -> dict[str, int]:
        return {key: each["spec"]["replicas"] for key, each in deployments.objects().items()}

    tries: list[str] = []

    def apply(deployment: dict[str, Any]) -> None:
        key = f"shop/{deployment['metadata']['name']}"
        tries.append(key)
        if tries.count("shop/two") == 1 and key == "shop/two":
            raise ConnectionError("the API server is away")
        with changed:
            (deployments.modify if key in deployments.objects() else deployments.add)(deployment)
            changed.notify_all()

    def come_to(**expected: int) -> bool:
        wanted = {f"shop/{name}": count for name, count in expected.items()}
        with changed:
            return changed.wait_for(lambda: replicas() == wanted, DEADLINE)

    foos.add(foo("one", 1))
    foos.add(foo("two", 2))
    task = run(controller, foos, deployments, apply, stop)
    assert come_to(one=1, two=2)
    foos.modify(foo("one", 5))
    assert come_to(one=5, two=2)
    meddled = {**deployments.objects()["shop/two"], "spec": {"replicas": 0}}
    deployments.modify(meddled)
    assert come_to(one=5, two=2)
    stop.set()
    task.result()
