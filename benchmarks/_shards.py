"""Replicas as processes, and pods on a real API server, for shards.py and shard_chaos.py."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from real_server import NAMESPACE, create_pods, first_pod, pod_name, writers_of

from informer.testing import ControlPlane

PATIENCE = 300.0


class Process:
    """A replica in a process of its own.

    Attributes:
        spans: (shard, start, end) of each shard that it has owned; the end is None while it owns it.
    """

    def __init__(self, kubeconfig: str, *, follow: bool = True, **options: Any) -> None:
        self.identity = uuid.uuid4().hex[:8]
        given = {"kubeconfig": kubeconfig, "identity": self.identity, "follow": follow, **options}
        program = Path(__file__).with_name("_shard_replica.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), json.dumps(given)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.events: list[dict[str, Any]] = []
        self._states: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, command: str = "state") -> dict[str, Any]:
        """Sends a command and returns the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._states.get(timeout=PATIENCE)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        """Asks it to hand its shards over, and waits for its end."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("stop\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended
        self._process.wait(PATIENCE)
        self._reader.join()

    def begin_stop(self) -> None:
        """Asks it to hand its shards over, without waiting."""
        assert self._process.stdin is not None
        self._process.stdin.write("stop\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if message["event"] == "state":
                self._states.put(message)
            else:
                self.events.append(message)


class Pods:
    """Pods in the namespace of `real_server` on a real API server; they are created as copies in etcd."""

    def __init__(self, plane: ControlPlane, count: int) -> None:
        self._writers = writers_of(plane, 6)
        self._path = f"/api/v1/namespaces/{NAMESPACE}/pods"
        self.names = [pod_name(number) for number in range(count)]
        create_pods(plane, self._writers, count)

    def change(self, names: list[str], value: str) -> None:
        patch = json.dumps({"metadata": {"labels": {"changed": value}}}).encode()
        self._writers.send([("PATCH", f"{self._path}/{name}", patch) for name in names])

    def replace(self, names: list[str]) -> None:
        """Deletes pods and creates others with their names."""
        body = b'{"gracePeriodSeconds":0}'
        self._writers.send([("DELETE", f"{self._path}/{name}", body) for name in names])
        _, path, first = first_pod()
        own = pod_name(0).encode()
        self._writers.send([("POST", path, first.replace(own, name.encode())) for name in names])

    def versions(self) -> dict[str, str]:
        """Returns the resourceVersion of each pod, by uid."""
        listed = json.loads(self._writers.send([("GET", self._path, b"")]))
        return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in listed["items"]}


def wait_until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Waits for a condition of several processes; raises TimeoutError."""
    deadline, pause = time.monotonic() + patience, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {patience:g} s")
        pause.wait(0.2)


def check_assets() -> None:
    """Ends the program where the real API server is not installed."""
    if not os.environ.get("KUBEBUILDER_ASSETS"):
        sys.exit("KUBEBUILDER_ASSETS is not set: it should name a folder with etcd and kube-apiserver")
