"""`informer serve`: the embedded API server alone, with pods that appear, change and disappear."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from informer.cli.errors import CommandError
from informer.errors import ApiError
from informer.testing.api_server import EmbeddedAPIServer

__all__ = ["DemoPods", "serve"]

_NAMESPACES = ("default", "shop", "monitoring")
_APPS = ("web", "cart", "payment", "search", "batch")
_NODES = tuple(f"worker-{number}" for number in range(1, 6))
_RESOURCES = {"requests": {"cpu": "100m", "memory": "64Mi"}}
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def serve(kubeconfig: Path, pods: int, churn: float, stop: threading.Event) -> None:
    """Runs the server until `stop` is set.

    Args:
        kubeconfig: where to write the kubeconfig file.
        pods: the number of pods.
        churn: changes per second.
        stop: ends it.

    Raises:
        CommandError: the kubeconfig file cannot be written, or is the user's own.
    """
    _check_replaceable(kubeconfig)
    # As in a cluster, deleting an owner deletes what it owns.
    with EmbeddedAPIServer(garbage_collect=True) as server:
        try:
            server.kubeconfig(kubeconfig)
        except OSError as error:
            raise CommandError(f"cannot write {kubeconfig}: {error.strerror}") from error
        demo = DemoPods(server)
        if pods > 0:
            demo.add_constant()
        demo.fill(pods - 1)
        sys.stdout.write(f"serving {pods} pods at {server.url}\nexport KUBECONFIG={kubeconfig}\n")
        sys.stdout.flush()
        demo.change(churn, stop)


def _check_replaceable(kubeconfig: Path) -> None:
    """Refuses a file that another program may have written: a kubeconfig with the user's clusters must not be lost."""
    try:
        text = kubeconfig.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    if not text:
        return
    is_own, address = False, ""
    with contextlib.suppress(ValueError, TypeError, LookupError):
        config = json.loads(text)
        is_own, address = config["current-context"] == "test", config["clusters"][0]["cluster"]["server"]
    if not is_own:
        raise CommandError(
            f"cannot write {kubeconfig}: the file exists, and is not from informer serve: name another one"
        )
    if _answers(address):
        raise CommandError(
            f"cannot write {kubeconfig}: another informer serve, at {address}, uses it: name another file with --kubeconfig"
        )


def _answers(address: str) -> bool:
    """Returns whether a program listens at an address of this machine."""
    try:
        parts = urlsplit(address)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1):
            return True
    except (OSError, ValueError):
        return False


class DemoPods:
    """Plays the scheduler, the kubelets and the users: creates, changes and deletes pods.

    Args:
        server: a started server.
        seed: of the random choices; None takes another one each time.

    Threads: one at a time.
    """

    def __init__(self, server: EmbeddedAPIServer, seed: int | None = None) -> None:
        self._server = server
        self._random = random.Random(seed)
        self._pods: list[dict[str, Any]] = []
        self._wanted = 0
        for namespace in _NAMESPACES[1:]:
            server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        for node in _NODES:
            server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})

    def fill(self, pods: int) -> None:
        """Creates pods."""
        self._wanted = pods
        for _ in range(pods):
            self._add()

    def add_constant(self) -> None:
        """Creates the pod "web" in the namespace "default". It runs on worker-1, and `change` leaves it alone."""
        pod = self._create("default", "web", "web")
        pod["spec"]["nodeName"] = _NODES[0]
        pod["status"]["containerStatuses"] = [self._container(pod, {})]
        self._run(pod)
        self._server.update(pod)

    def change(self, rate: float, stop: threading.Event) -> None:
        """Changes pods until `stop` is set.

        Args:
            rate: changes per second; 0 changes nothing.
            stop: ends it.
        """
        if rate <= 0:
            stop.wait()
            return
        begun, done = time.monotonic(), 0
        # At high rates, several changes follow each wait.
        while not stop.wait(max(0.02, 1 / rate)):
            due = int((time.monotonic() - begun) * rate)
            for _ in range(due - done):
                self._step()
            done = due

    def _step(self) -> None:
        if len(self._pods) < self._wanted or not self._pods:
            self._add()
            return
        at = self._random.randrange(len(self._pods))
        pod = self._pods[at]
        try:
            self._advance(at)
        except ApiError as error:
            # A client of the server has deleted or changed the pod.
            if error.status not in (404, 409):
                raise
            self._pods[at] = self._pods[-1]
            self._pods.pop()
            if error.status == 409:
                metadata = pod["metadata"]
                self._pods.append(self._server.get("pods", metadata["name"], namespace=metadata["namespace"]))

    def _add(self) -> None:
        namespace, app = self._random.choice(_NAMESPACES), self._random.choice(_APPS)
        suffix = "".join(self._random.choices(_LETTERS, k=10))
        self._pods.append(self._create(namespace, app, f"{app}-{suffix}"))

    def _create(self, namespace: str, app: str, name: str) -> dict[str, Any]:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
            "spec": {"containers": [{"name": app, "image": f"registry.example/{app}:1.0", "resources": _RESOURCES}]},
            "status": {"phase": "Pending"},
        }
        return self._server.create(pod)

    def _advance(self, at: int) -> None:
        """Schedules, starts, crashes or deletes a pod, whichever comes next."""
        pod = self._pods[at]
        status = pod["status"]
        containers = status.get("containerStatuses")
        if not pod["spec"].get("nodeName"):
            pod["spec"]["nodeName"] = self._random.choice(_NODES)
            status["containerStatuses"] = [self._container(pod, {"waiting": {"reason": "ContainerCreating"}})]
        elif "running" not in containers[0]["state"]:
            self._run(pod)
        elif self._random.random() < 0.5:
            containers[0] |= {"ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
            containers[0]["restartCount"] += 1
        else:
            self._pods[at] = self._pods[-1]
            self._pods.pop()
            self._server.delete(pod)
            return
        self._pods[at] = self._server.update(pod)

    def _run(self, pod: dict[str, Any]) -> None:
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        pod["status"] |= {
            "phase": "Running",
            "podIP": f"10.244.{self._random.randrange(4)}.{self._random.randrange(2, 250)}",
        }
        pod["status"]["containerStatuses"][0] |= {"ready": True, "state": {"running": {"startedAt": started}}}

    def _container(self, pod: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        spec = pod["spec"]["containers"][0]
        about = {"name": spec["name"], "image": spec["image"], "imageID": ""}
        return {**about, "ready": False, "restartCount": 0, "state": state}
