"""CPU and time of an informer on a real API server, compared with client-go.

    python benchmarks/real_server.py --client-go PROGRAM     # built from client_go/main.go
    python benchmarks/real_server.py --pods 2000 --changes 2000

Needs etcd and kube-apiserver (KUBEBUILDER_ASSETS). Each client runs alone, in its own process and over TLS. First it lists
all pods, then it follows changes that a few writers make as fast as the server can. client-go runs with protobuf, its
default for built-in kinds, and with JSON, which it uses for custom resources. The clients take turns over several rounds;
the table has medians.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import _pods

from informer.testing import ControlPlane

NAMESPACE = "measured"
PATIENCE = 300
COLUMNS = ("sync_s", "sync_cpu_us", "rss_mb", "events_s", "event_cpu_us", "late_ms")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--changes", type=int, default=10_000, help="changes per client and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--client-go", metavar="PROGRAM")
    return parser.parse_args()


class Writers:
    """Sends requests to the server over several persistent connections at once.

    Args:
        plane: the server.
        count: the number of connections.
    """

    def __init__(self, plane: ControlPlane, count: int) -> None:
        address, context = urlsplit(plane.url), ssl.create_default_context(cafile=str(plane.ca_file))
        self._connections = [HTTPSConnection(address.netloc, context=context) for _ in range(count)]
        self._token = plane.token()
        self._pool = ThreadPoolExecutor(count)

    def send(self, requests: list[tuple[str, str, bytes]]) -> None:
        """Sends requests (method, path, body), spread evenly over the connections."""
        count = len(self._connections)
        parts = [requests[number::count] for number in range(count)]
        list(self._pool.map(self._send_part, self._connections, parts))

    def _send_part(self, connection: HTTPSConnection, requests: list[tuple[str, str, bytes]]) -> None:
        for method, path, body in requests:
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            connection.request(method, path, body, {"Authorization": f"Bearer {self._token}", "Content-Type": kind})
            response = connection.getresponse()
            answer = response.read()
            if response.status > 201:
                raise SystemExit(f"{method} {path}: {response.status} {answer[:300]!r}")


def creations(pods: int) -> list[tuple[str, str, bytes]]:
    """Returns the requests that create the pods."""
    requests = []
    for number in range(pods):
        pod = json.loads(_pods.pod(number, 1))
        for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields", "ownerReferences"):
            del pod["metadata"][field]
        pod["metadata"].update(name=f"pod-{number}", namespace=NAMESPACE)
        pod["spec"].update(serviceAccountName="default", automountServiceAccountToken=False)
        requests.append(("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", json.dumps(pod).encode()))
    return requests


class Follower:
    """A client's process, which reports its counts on request."""

    def __init__(self, command: list[str], plane: ControlPlane, **environment: str) -> None:
        where = {"SERVER": plane.url, "CA_FILE": str(plane.ca_file), "TOKEN": plane.token(), "NAMESPACE": NAMESPACE}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self._process = subprocess.Popen(command, env={**os.environ, **where, **environment, "COUNT": "1"}, **pipes)

    def ask(self) -> dict[str, float]:
        self._process.stdin.write("\n")
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self._process.args} has exited")
        return json.loads(answer)

    def wait_for(self, calls: int) -> dict[str, float]:
        """Waits until the handler has had the first list and at least `calls` calls. Returns the report."""
        deadline = time.monotonic() + PATIENCE
        while (report := self.ask())["calls"] < calls or not report["synced_s"]:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self._process.args} got {report['calls']} of {calls} changes")
            time.sleep(0.01)
        return report

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def measure(follower: Follower, writers: Writers, options: argparse.Namespace, turn: int) -> dict[str, float]:
    """Measures one client: its first list, then its changes."""
    synced = follower.wait_for(options.pods)
    before = follower.ask()
    body = json.dumps({"metadata": {"labels": {"turn": str(turn)}}}).encode()
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/pod-"
    began = time.monotonic()
    writers.send([("PATCH", f"{path}{number % options.pods}", body) for number in range(options.changes)])
    written = time.monotonic()
    after = follower.wait_for(options.pods + options.changes)
    seen = time.monotonic()
    if after["objects"] != options.pods:
        raise SystemExit(f"the cache has {after['objects']} pods instead of {options.pods}")
    return {
        "sync_s": synced["synced_s"],
        "sync_cpu_us": synced["cpu_s"] * 1e6 / options.pods,
        "rss_mb": synced["rss_mb"],
        "events_s": options.changes / (seen - began),
        "event_cpu_us": (after["cpu_s"] - before["cpu_s"]) * 1e6 / options.changes,
        "late_ms": (seen - written) * 1e3,
    }


def followers(options: argparse.Namespace, plane: ControlPlane) -> dict[str, Any]:
    """Returns a function per client that starts it."""
    here = [sys.executable, str(Path(__file__).with_name("_follower.py"))]
    starts = {"kube-informer": lambda: Follower(here, plane)}
    if options.client_go:
        starts["client-go, protobuf"] = lambda: Follower([options.client_go], plane)
        starts["client-go, JSON"] = lambda: Follower([options.client_go], plane, CONTENT_TYPE="application/json")
    return starts


def main() -> None:
    options = arguments()
    if options.changes > options.pods:
        raise SystemExit("--changes must be at most --pods: a patch that changes nothing causes no event")
    with ControlPlane() as plane:
        writers = Writers(plane, options.writers)
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        writers.send([("POST", "/api/v1/namespaces", json.dumps(space).encode())])
        writers.send([("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", json.dumps(account).encode())])
        began = time.monotonic()
        writers.send(creations(options.pods))
        print(f"{options.pods} pods created in {time.monotonic() - began:.0f} s", flush=True)
        results: dict[str, list[dict[str, float]]] = defaultdict(list)
        turn = 0
        for _ in range(options.rounds):
            for name, start in followers(options, plane).items():
                turn += 1
                follower = start()
                try:
                    results[name].append(measure(follower, writers, options, turn))
                finally:
                    follower.close()
    print(f"| client | {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * len(COLUMNS)}")
    for name, rounds in results.items():
        medians = [statistics.median(each[column] for each in rounds) for column in COLUMNS]
        print(f"| {name} | {' | '.join(f'{value:,.1f}' for value in medians)} |")


if __name__ == "__main__":
    main()
