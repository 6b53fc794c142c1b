"""A server of pods that change at a steady rate, in a process of its own: it plays kube-apiserver for `load.py`.

    python benchmarks/_paced_server.py --pods 100000 --rate 1000     # prints its URL

Pods are rendered from a template on request, so that the server stays small and fast. It answers lists (in pages), streaming
lists and watches with bookmarks, and ends a watch after `timeoutSeconds` as the real server does. POST /start and POST /stop
begin and end the changes; GET /stats returns how many there were. Of every twenty changes, eighteen update a pod, one
deletes a pod, and one creates it again with another uid. Each change has CLOCK_MONOTONIC in nanoseconds in the annotation
example.com/sent.
"""

from __future__ import annotations

import argparse
import json
import math
import socket
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

# All states of a pod have the same size, so that a client's memory shows how many it holds.
FIRST_VERSION = 10_000_000
BOOKMARK_INTERVAL = 60.0
# Seconds of one step. Changes that are due within a step are sent together, as on a busy server.
TICK = 0.001


@dataclass(frozen=True)
class Pod:
    """The variable part of a pod; the rest comes from the template."""

    number: int
    version: int
    life: int = 0  # how many times it was created
    sent: int = 0
    alive: bool = True


def template(least_bytes: int) -> bytes:
    """Returns a template of a typical pod, with holes for name, life, number, version and time of sending."""
    managed = {"f:metadata": {"f:labels": {"f:app": {}, "f:hash": {}}}, "f:spec": {"f:containers": {"f:env": {}}}}
    pod: dict[str, Any] = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": "pod-@d",
            "namespace": "ns-@d",
            "uid": "@08d-0000-4000-8000-@012d",
            "resourceVersion": "@d",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "web", "pod-template-hash": "5d4f8c7b9f", "tier": "frontend"},
            "annotations": {"example.com/sent": "@019d", "prometheus.io/scrape": "true"},
            "managedFields": [{"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "fieldsV1": managed}],
        },
        "spec": {
            "nodeName": "node-17",
            "containers": [
                {"name": f"c{i}", "image": "registry.example.com/web:1.27.3", "env": [{"name": "A", "value": "b" * 80}]}
                for i in range(8)
            ],
        },
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    missing = least_bytes - len(json.dumps(pod, separators=(",", ":")))
    pod["metadata"]["annotations"]["example.com/note"] = "x" * max(0, missing)
    return json.dumps(pod, separators=(",", ":")).replace("%", "%%").replace("@", "%").encode()


class Cluster:
    """All pods, and the log of their changes."""

    def __init__(self, pods: int, rate: float, pod_bytes: int) -> None:
        self.pods = [Pod(i, FIRST_VERSION) for i in range(pods)]
        self.log: list[tuple[str, Pod]] = []  # the change at index i made version FIRST_VERSION + i + 1
        self.changed = threading.Condition()
        self.requests: dict[str, int] = {"list": 0, "watch": 0, "watch_list": 0}
        self._rate = rate
        self._template = template(pod_bytes)
        self._stride = next(stride for stride in range(7919, 7919 + pods) if math.gcd(stride, pods) == 1)
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._write, daemon=True)

    @property
    def version(self) -> int:
        return FIRST_VERSION + len(self.log)

    def has_more(self, place: int) -> bool:
        return len(self.log) > place

    def render(self, pod: Pod) -> bytes:
        namespace = pod.number % 100
        return self._template % (pod.number, namespace, pod.life, pod.number, pod.version, pod.sent)

    def start(self) -> None:
        self._writer.start()

    def stop(self) -> None:
        self._ended.set()
        self._writer.join()

    def _write(self) -> None:
        begun, written = time.monotonic(), 0
        while not self._ended.wait(TICK):
            due = int((time.monotonic() - begun) * self._rate)
            if due > written:
                with self.changed:
                    for i in range(written, due):
                        self._change(i)
                    self.changed.notify_all()
                written = due

    def _change(self, i: int) -> None:
        # The twentieth change creates the pod that the nineteenth deleted.
        step = i % 20
        number = ((i - 1 if step == 19 else i) * self._stride) % len(self.pods)
        kind = "DELETED" if step == 18 else "ADDED" if step == 19 else "MODIFIED"
        old = self.pods[number]
        pod = replace(
            old,
            version=self.version + 1,
            life=old.life + (kind == "ADDED"),
            sent=time.monotonic_ns(),
            alive=kind != "DELETED",
        )
        self.pods[number] = pod
        self.log.append((kind, pod))


class Connection:
    """One client's connection, served on its own thread."""

    def __init__(self, cluster: Cluster, connection: socket.socket) -> None:
        self._cluster = cluster
        self._socket = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        with self._socket, self._socket.makefile("rb") as reader:
            try:
                while line := reader.readline():
                    while reader.readline() not in (b"\r\n", b""):
                        pass
                    method, target, _ = line.decode().split()
                    url = urlsplit(target)
                    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
                    if not self._answer(method, url.path.rstrip("/"), query):
                        return
            except OSError:
                return

    def _answer(self, method: str, path: str, query: dict[str, str]) -> bool:
        """Answers a request. Returns whether the connection can be reused."""
        if path == "/api/v1/pods" and query.get("watch", "") not in ("", "0", "false"):
            self._watch(query)
            return False
        if path == "/api/v1/pods":
            self._list(query)
        elif method == "POST" and path == "/start":
            self._cluster.start()
            self._send_json({})
        elif method == "POST" and path == "/stop":
            self._cluster.stop()
            self._send_json({})
        elif path == "/stats":
            self._send_json(
                {"events": len(self._cluster.log), "requests": self._cluster.requests, "cpu": time.process_time()}
            )
        elif path == "/version":
            self._send_json({"major": "1", "minor": "37", "gitVersion": "v1.37.2", "platform": "linux/amd64"})
        else:
            self._send_json({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}, "404 Not Found")
        return True

    def _send_json(self, body: Any, status: str = "200 OK") -> None:
        self._send(json.dumps(body).encode(), status)

    def _send(self, body: bytes, status: str = "200 OK") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)

    def _list(self, query: dict[str, str]) -> None:
        cluster = self._cluster
        cluster.requests["list"] += 1
        with cluster.changed:
            version, start = cluster.version, 0
            if token := query.get("continue"):
                version, start = (int(part) for part in token.split("-"))
            limit = int(query.get("limit") or 0) or len(cluster.pods)
            page = [pod for pod in cluster.pods[start : start + limit] if pod.alive]
        end = start + limit
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if end < len(cluster.pods):
            metadata |= {"continue": f"{version}-{end}", "remainingItemCount": len(cluster.pods) - end}
        head = json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": metadata}).encode()
        self._send(head[:-1] + b',"items":[' + b",".join(map(cluster.render, page)) + b"]}")

    def _watch(self, query: dict[str, str]) -> None:
        cluster = self._cluster
        deadline = time.monotonic() + float(query.get("timeoutSeconds") or 3600)
        streams = query.get("sendInitialEvents") == "true"
        cluster.requests["watch_list" if streams else "watch"] += 1
        self._socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        place = int(query.get("resourceVersion") or 0) - FIRST_VERSION
        if streams:
            with cluster.changed:
                pods, place = list(cluster.pods), len(cluster.log)
            for pod in pods:
                if pod.alive:
                    self._event("ADDED", cluster.render(pod))
            self._bookmark(place, {"k8s.io/initial-events-end": "true"})
        self._follow(place, deadline)
        self._socket.sendall(b"0\r\n\r\n")

    def _follow(self, place: int, deadline: float) -> None:
        cluster = self._cluster
        bookmark = time.monotonic() + BOOKMARK_INTERVAL
        while (now := time.monotonic()) < deadline:
            with cluster.changed:
                until = min(deadline, bookmark) - now
                cluster.changed.wait_for(partial(cluster.has_more, place), max(0.0, until))
                changes = cluster.log[place:]
            for kind, pod in changes:
                self._event(kind, cluster.render(pod))
            place += len(changes)
            if time.monotonic() >= bookmark:
                self._bookmark(place, {})
                bookmark = time.monotonic() + BOOKMARK_INTERVAL

    def _bookmark(self, place: int, annotations: dict[str, str]) -> None:
        metadata = {"resourceVersion": str(FIRST_VERSION + place), "annotations": annotations}
        self._event("BOOKMARK", json.dumps({"kind": "Pod", "apiVersion": "v1", "metadata": metadata}).encode())

    def _event(self, kind: str, item: bytes) -> None:
        line = b'{"type":"%s","object":%s}\n' % (kind.encode(), item)
        self._socket.sendall(b"%x\r\n%s\r\n" % (len(line), line))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=1000.0, help="changes per second")
    parser.add_argument("--pod-bytes", type=int, default=5400)
    arguments = parser.parse_args()
    cluster = Cluster(arguments.pods, arguments.rate, arguments.pod_bytes)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(listener, cluster), daemon=True).start()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    # Exit together with the process that started this one.
    sys.stdin.read()


def accept(listener: socket.socket, cluster: Cluster) -> None:
    """Serves each connection on its own thread."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=Connection(cluster, connection).serve, daemon=True).start()


if __name__ == "__main__":
    main()
