"""A demo cluster: an API server in this process, with pods that appear, change and disappear."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from informer.testing import EmbeddedAPIServer

STEP_SECONDS = 0.2
PODS = 7
APPS = (("shop", "web"), ("shop", "cart"), ("shop", "payment"), ("monitoring", "prometheus"), ("default", "batch"))
NODES = ("worker-1", "worker-2", "worker-3")
LETTERS = "bcdfghjklmnpqrstvwxz2456789"


@contextmanager
def demo_cluster() -> Iterator[EmbeddedAPIServer]:
    """Yields a started server. A thread changes its pods until the block ends."""
    with EmbeddedAPIServer() as server:
        for namespace in sorted({namespace for namespace, _ in APPS} - {"default"}):
            server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        cluster = _Cluster(server)
        for _ in range(PODS):
            cluster.add_pod()
        stop = threading.Event()
        changer = threading.Thread(target=cluster.change_pods, args=(stop,), name="demo-cluster", daemon=True)
        changer.start()
        try:
            yield server
        finally:
            stop.set()
            changer.join()


class _Cluster:
    """Plays the scheduler, the kubelets and the users: creates, changes and deletes pods."""

    def __init__(self, server: EmbeddedAPIServer) -> None:
        self._server = server
        self._random = random.Random()
        self._pods: list[dict[str, Any]] = []

    def change_pods(self, stop: threading.Event) -> None:
        """Changes one pod per step until `stop` is set."""
        while not stop.wait(STEP_SECONDS):
            if len(self._pods) < PODS:
                self.add_pod()
            else:
                self._advance(self._random.choice(self._pods))

    def add_pod(self) -> None:
        """Creates a pod that is not scheduled yet."""
        namespace, app = self._random.choice(APPS)
        suffix = "".join(self._random.choices(LETTERS, k=5))
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{app}-{suffix}", "namespace": namespace, "labels": {"app": app}},
            "spec": {"containers": [{"name": app, "image": f"registry.example/{app}:1.0"}]},
            "status": {"phase": "Pending"},
        }
        self._pods.append(self._server.create(pod))

    def _advance(self, pod: dict[str, Any]) -> None:
        """Schedules, starts, crashes or deletes a pod, whichever comes next."""
        status = pod["status"]
        containers = status.get("containerStatuses")
        if not pod["spec"].get("nodeName"):
            pod["spec"]["nodeName"] = self._random.choice(NODES)
            status["containerStatuses"] = [self._container(pod, {"waiting": {"reason": "ContainerCreating"}})]
        elif "running" not in containers[0]["state"]:
            started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            status["phase"] = "Running"
            status["podIP"] = f"10.244.{self._random.randrange(4)}.{self._random.randrange(2, 250)}"
            containers[0] |= {"ready": True, "state": {"running": {"startedAt": started}}}
        elif self._random.random() < 0.5:
            containers[0] |= {"ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
            containers[0]["restartCount"] += 1
        else:
            self._pods.remove(pod)
            self._server.delete(pod)
            return
        self._pods[self._pods.index(pod)] = self._server.update(pod)

    def _container(self, pod: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        spec = pod["spec"]["containers"][0]
        return {"name": spec["name"], "image": spec["image"], "ready": False, "restartCount": 0, "state": state}
