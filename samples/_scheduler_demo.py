"""A demo cluster for the scheduler: an API server in this process, with nodes, and with pods that come and go."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from informer.testing import EmbeddedAPIServer
from watch.concurrency import Worker

STEP_SECONDS = 1.0
NODES = 3


@contextmanager
def scheduler_demo(name: str) -> Iterator[EmbeddedAPIServer]:
    """Yields a started server. A thread creates and deletes pods for a scheduler, until the block ends.

    Args:
        name: the scheduler's.
    """
    with EmbeddedAPIServer() as server:
        for number in range(1, NODES + 1):
            server.create(node(f"node-{number}"))
        stop = threading.Event()
        changing = Worker(lambda: _change(server, name, stop), "scheduler-demo").start()
        try:
            yield server
        finally:
            stop.set()
            changing.join()


def node(name: str, cpu: str = "2", memory: str = "4Gi", pods: str = "110", **spec: Any) -> dict[str, Any]:
    """Returns a node with room for pods."""
    room = {"cpu": cpu, "memory": memory, "pods": pods}
    status = {"allocatable": room, "capacity": room}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec, "status": status}


def pod(name: str, scheduler: str, cpu: str, memory: str, **spec: Any) -> dict[str, Any]:
    """Returns a pod that asks a scheduler for a node."""
    resources = {"requests": {"cpu": cpu, "memory": memory}}
    container = {"name": "app", "image": "registry.example/app:1.0", "resources": resources}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"schedulerName": scheduler, "containers": [container], **spec},
    }


def _change(server: EmbeddedAPIServer, scheduler: str, stop: threading.Event) -> None:
    """Plays the users: a pod comes in each step. When there are too many, one goes."""
    number = 0
    while not stop.wait(STEP_SECONDS):
        number += 1
        cpu, memory = random.choice(("250m", "500m", "1")), random.choice(("256Mi", "512Mi", "1Gi"))
        server.create(pod(f"web-{number}", scheduler, cpu, memory))
        present = server.list("pods")
        if len(present) > 4 * NODES:
            server.delete(random.choice(present))
