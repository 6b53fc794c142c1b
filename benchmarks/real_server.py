"""CPU, time and memory of an informer and of its server, on a real API server, compared with client-go.

    python benchmarks/real_server.py --client-go PROGRAM     # built from client_go/main.go
    python benchmarks/real_server.py --pods 50000 --changes 0 --only list
    python benchmarks/real_server.py --pods 2000 --changes 2000

Needs etcd and kube-apiserver (KUBEBUILDER_ASSETS), and Linux. Each client runs alone, in its own process and over TLS. First it
lists all pods; then those of the second table follow changes that a few writers make as fast as the server can. client-go runs
with protobuf, its default for built-in kinds, and with JSON, which it uses for custom resources. The clients take turns over
several rounds. The tables have medians; CPU of the server is that of the kube-apiserver alone, its memory the growth of its
resident memory while a client lists, at the peak.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import ssl
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import _pods
from _server_usage import ProcessUsage

from informer.testing import ControlPlane

NAMESPACE = "measured"
PATIENCE = 300
WRITERS_OF_ETCD = 8
Request = tuple[str, str, bytes]
SYNC = ("sync_s", "client_us", "server_s", "server_mb", "kb_object", "raw_bytes")
CHANGES = ("events_s", "event_us", "server_us", "late_ms")
CLIENT_GO = "client-go, "


def _mode(*, watch_list: bool, follows: bool = False, **mode: Any) -> dict[str, Any]:
    return {"MODE": json.dumps({"informer": {"watch_list": watch_list}, **mode}), "follows": follows}


def _both(name: str, **mode: Any) -> dict[str, dict[str, Any]]:
    return {f"{name}, list": _mode(watch_list=False, **mode), f"{name}, watch list": _mode(watch_list=True, **mode)}


PROTOBUF = {"source": {"wire": "protobuf"}}
METADATA = {"source": {"metadata_only": True}}
MODES: dict[str, dict[str, Any]] = {
    "JSON, list": _mode(watch_list=False, follows=True),
    "JSON, watch list": _mode(watch_list=True),
    "JSON, paged list": _mode(watch_list=False, paged=True),
    "JSON, no managed fields": _mode(watch_list=False, source={"drop_managed_fields": True}),
    "protobuf, list": _mode(watch_list=False, follows=True, **PROTOBUF),
    "protobuf, watch list": _mode(watch_list=True, **PROTOBUF),
    "protobuf, paged list": _mode(watch_list=False, paged=True, **PROTOBUF),
    "protobuf, no managed fields": _mode(watch_list=False, source={**PROTOBUF["source"], "drop_managed_fields": True}),
    "JSON, struct": _mode(watch_list=False, struct=True),
    "protobuf, struct": _mode(watch_list=False, struct=True, **PROTOBUF),
    **_both("metadata in JSON", json_only=True, **METADATA),
    **_both("metadata in protobuf", **METADATA),
    "metadata in protobuf, no managed fields": _mode(
        watch_list=False, source={**METADATA["source"], "drop_managed_fields": True}
    ),
    "client-go, protobuf": {"follows": True},
    "client-go, protobuf, list": {"KUBE_FEATURE_WatchListClient": "false"},
    "client-go, JSON": {"CONTENT_TYPE": "application/json", "follows": True},
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--changes", type=int, default=10_000, help="changes per client and round; 0 for none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--client-go", metavar="PROGRAM")
    parser.add_argument("--only", default="", help="only clients with this text in their names")
    parser.add_argument("--json", metavar="FILE", help="write all measurements there")
    return parser.parse_args()


class Writers:
    """Sends requests over several persistent connections at once.

    Args:
        connect: makes a connection.
        count: the number of connections.
        token: a bearer token; "" for none.
    """

    def __init__(self, connect: Callable[[], HTTPConnection], count: int, token: str = "") -> None:
        self._connections = [connect() for _ in range(count)]
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._pool = ThreadPoolExecutor(count)

    def send(self, requests: list[Request]) -> bytes:
        """Sends requests (method, path, body), spread evenly over the connections. Returns the answer to the last one."""
        count = len(self._connections)
        parts = [requests[number::count] for number in range(min(count, len(requests)))]
        return [*self._pool.map(self._send_part, self._connections, parts)][-1]

    def _send_part(self, connection: HTTPConnection, requests: list[Request]) -> bytes:
        connection.close()  # the server may have closed it while it was idle; it is opened anew
        answer = b""
        for method, path, body in requests:
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            connection.request(method, path, body, {**self._headers, "Content-Type": kind})
            response = connection.getresponse()
            answer = response.read()
            if response.status > 201:
                raise SystemExit(f"{method} {path}: {response.status} {answer[:300]!r}")
        return answer


def writers_of(plane: ControlPlane, count: int) -> Writers:
    address, context = urlsplit(plane.url).netloc, ssl.create_default_context(cafile=str(plane.ca_file))
    return Writers(lambda: HTTPSConnection(address, context=context), count, plane.token())


def first_pod() -> Request:
    """Returns the request that creates the pod of which the others are copies."""
    pod = json.loads(_pods.pod(0, 1))
    for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields", "ownerReferences"):
        del pod["metadata"][field]
    pod["metadata"].update(name=pod_name(0), namespace=NAMESPACE)
    pod["spec"].update(serviceAccountName="default", automountServiceAccountToken=False)
    return "POST", f"/api/v1/namespaces/{NAMESPACE}/pods", json.dumps(pod).encode()


def pod_name(number: int) -> str:
    return f"pod-{number:06}"


def create_pods(plane: ControlPlane, writers: Writers, pods: int) -> None:
    """Creates one pod, and copies of it in etcd: that takes a tenth of the time."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    writers.send([("POST", "/api/v1/namespaces", json.dumps(space).encode())])
    writers.send([("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", json.dumps(account).encode())])
    began = time.monotonic()
    uid = json.loads(writers.send([first_pod()]))["metadata"]["uid"]
    etcd = Writers(lambda: HTTPConnection(urlsplit(plane._etcd_url).netloc), WRITERS_OF_ETCD)  # noqa: SLF001
    found = json.loads(etcd.send([("POST", "/v3/kv/range", _etcd_body(key=_etcd_key(0)))]))["kvs"][0]
    stored = base64.b64decode(found["value"])
    copies: list[Request] = []
    for number in range(1, pods):
        # Both texts keep their lengths, so that the lengths around them stay right.
        value = stored.replace(pod_name(0).encode(), pod_name(number).encode())
        value = value.replace(uid.encode(), f"{number:08x}{uid[8:]}".encode())
        copies.append(("POST", "/v3/kv/put", _etcd_body(key=_etcd_key(number), value=value)))
    etcd.send(copies)
    print(f"{pods} pods created in {time.monotonic() - began:.0f} s", flush=True)


def _etcd_key(number: int) -> bytes:
    return f"/registry/pods/{NAMESPACE}/{pod_name(number)}".encode()


def _etcd_body(**fields: bytes) -> bytes:
    return json.dumps({name: base64.b64encode(value).decode() for name, value in fields.items()}).encode()


class Follower:
    """A client's process, which reports its counts on request."""

    def __init__(self, command: list[str], plane: ControlPlane, **environment: str) -> None:
        where = {"SERVER": plane.url, "CA_FILE": str(plane.ca_file), "TOKEN": plane.token(), "NAMESPACE": NAMESPACE}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self._process = subprocess.Popen(command, env={**os.environ, **where, **environment, "COUNT": "1"}, **pipes)

    def ask(self, question: str = "") -> dict[str, float]:
        self._process.stdin.write(f"{question}\n")
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


def measure_sync(follower: Follower, server: ProcessUsage, pods: int) -> dict[str, float]:
    """Measures the first list of a client."""
    synced = follower.wait_for(pods)
    server_seconds, server_mb = server.cpu_seconds(), server.growth_mb()
    if synced["objects"] != pods:
        raise SystemExit(f"the cache has {synced['objects']} pods instead of {pods}")
    return {
        "sync_s": synced["synced_s"],
        "client_us": synced["cpu_s"] * 1e6 / pods,
        "server_s": server_seconds,
        "server_mb": server_mb,
        "kb_object": synced["growth_mb"] * 1e3 / pods,
        "raw_bytes": follower.ask("sizes").get("raw_bytes", 0) / pods,
    }


def measure_changes(follower: Follower, server: int, writers: Writers, options: argparse.Namespace, turn: int) -> dict:
    """Measures a client while it follows changes."""
    body = json.dumps({"metadata": {"labels": {"turn": str(turn)}}}).encode()
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/"
    before, usage = follower.ask(), ProcessUsage(server)
    began = time.monotonic()
    writers.send([("PATCH", f"{path}{pod_name(number)}", body) for number in range(options.changes)])
    written = time.monotonic()
    after = follower.wait_for(options.pods + options.changes)
    seen = time.monotonic()
    if after["objects"] != options.pods:
        raise SystemExit(f"the cache has {after['objects']} pods instead of {options.pods}")
    return {
        "events_s": options.changes / (seen - began),
        "event_us": (after["cpu_s"] - before["cpu_s"]) * 1e6 / options.changes,
        "server_us": usage.cpu_seconds() * 1e6 / options.changes,
        "late_ms": (seen - written) * 1e3,
    }


def chosen(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Returns the clients to measure, by name."""
    return {
        name: mode
        for name, mode in MODES.items()
        if options.only in name and (options.client_go or not name.startswith(CLIENT_GO))
    }


def measure(name: str, plane: ControlPlane, writers: Writers, options: argparse.Namespace, turn: int) -> dict:
    """Measures one client in a process of its own."""
    environment = dict(MODES[name])
    follows = environment.pop("follows", False) and options.changes
    here = [sys.executable, str(Path(__file__).with_name("_follower.py"))]
    server = plane._apiserver.pid  # noqa: SLF001
    usage = ProcessUsage(server)
    follower = Follower([options.client_go] if name.startswith(CLIENT_GO) else here, plane, **environment)
    try:
        result = measure_sync(follower, usage, options.pods)
        return result | measure_changes(follower, server, writers, options, turn) if follows else result
    finally:
        follower.close()
        # The server notices that the connection has ended, and the next client finds it at rest.
        time.sleep(1)


def table(columns: tuple[str, ...], results: dict[str, list[dict[str, float]]]) -> str:
    lines = [f"| client | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for name, rounds in results.items():
        if columns[0] in rounds[0]:
            medians = [statistics.median(each[column] for each in rounds) for column in columns]
            lines.append(f"| {name} | {' | '.join(f'{value:,.2f}' for value in medians)} |")
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    if options.changes > options.pods:
        raise SystemExit("--changes must be at most --pods: a patch that changes nothing causes no event")
    with ControlPlane() as plane:
        writers = writers_of(plane, options.writers)
        create_pods(plane, writers, options.pods)
        results: dict[str, list[dict[str, float]]] = defaultdict(list)
        turn = 0
        for number in range(options.rounds):
            for name in chosen(options):
                turn += 1
                results[name].append(measure(name, plane, writers, options, turn))
                if options.json:
                    Path(options.json).write_text(json.dumps(results, indent=1))
            print(
                f"round {number + 1} of {options.rounds}\n{table(SYNC, results)}\n\n{table(CHANGES, results)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
