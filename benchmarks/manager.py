"""What a `Manager` costs, compared with the same parts wired by hand.

    python benchmarks/manager.py                    # 10,000 pods, 4 workers, 500 changes per second
    python benchmarks/manager.py --pods 1000 --seconds 1 --rounds 1

Both controllers have a cache, a `PriorityQueue`, `run_workers`, and a reconcile function that reads one annotation of the
pod. The hand-wired one calls `enqueue_key`, `ConsistencyStore` and the store itself, as docs/hand-wired-controller.md does.
They take turns, each in a process of its own; the table has medians. `start` is the time until every pod was reconciled.
`p50` and `p99` are of the time from the server's write to the call of reconcile. CPU is that of the whole process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from _process import cpu_seconds, helper_process, percentile
from kubernetes import client

from informer import ConsistencyStore, Object, SharedInformerFactory, strip_managed_fields, workqueue
from informer.runtime import Manager, Request

SIDES = ("by hand", "manager")


class Seen:
    """What a reconcile function has seen; single operations are atomic."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.latencies: list[float] = []

    def note(self, key: str, pod: Object | None) -> None:
        now = time.monotonic_ns()
        self.keys.add(key)
        if pod is not None and (sent := int(pod.annotations["example.com/sent"])):
            self.latencies.append((now - sent) / 1e6)


@contextmanager
def by_hand(api_client: client.ApiClient, workers: int, seen: Seen) -> Iterator[None]:
    queue: workqueue.PriorityQueue[str] = workqueue.PriorityQueue()
    factory = SharedInformerFactory(api_client, transform=strip_managed_fields)
    pods = factory.informer("pods")
    registration = pods.add_event_handler(workqueue.enqueue_key(queue))
    written = ConsistencyStore({"pods": pods})

    def reconcile(key: str) -> float | None:
        if not written.ensure_ready(key):
            return 1.0
        seen.note(key, pods.store.get_by_key(key))
        return None

    with factory:
        assert pods.wait_for_sync(60)
        assert registration.wait_for_sync(60)
        runner = threading.Thread(target=workqueue.run_workers, args=(queue, reconcile), kwargs={"workers": workers})
        runner.start()
        yield
        queue.shut_down()
        runner.join()


@contextmanager
def with_manager(api_client: client.ApiClient, workers: int, seen: Seen) -> Iterator[None]:
    manager = Manager(api_client, name="bench")

    @manager.controller("pods", workers=workers)
    def reconcile(request: Request) -> None:
        seen.note(request.key, request.object)

    with manager:
        yield


def measure(side: str, url: str, options: argparse.Namespace) -> dict[str, float]:
    """Runs one controller in this process."""
    seen = Seen()
    configuration = client.Configuration(host=url)
    begun, cpu = time.monotonic(), cpu_seconds()
    run = by_hand if side == "by hand" else with_manager
    with client.ApiClient(configuration) as api_client, run(api_client, options.workers, seen):
        while len(seen.keys) < options.pods:
            time.sleep(0.002)
        started = time.monotonic() - begun
        start_cpu = cpu_seconds() - cpu
        time.sleep(0.5)
        ask(url, "/start", "POST")
        cpu = cpu_seconds()
        time.sleep(options.seconds)
        cpu = cpu_seconds() - cpu
        ask(url, "/stop", "POST")
        time.sleep(0.2)
    latencies = sorted(seen.latencies)
    return {
        "start s": started,
        "start CPU us/object": start_cpu / options.pods * 1e6,
        "events": len(latencies),
        "p50 ms": percentile(latencies, 0.5),
        "p99 ms": percentile(latencies, 0.99),
        "CPU us/event": cpu / max(1, len(latencies)) * 1e6,
    }


def ask(url: str, path: str, method: str = "GET") -> Any:
    with urllib.request.urlopen(urllib.request.Request(url + path, method=method), timeout=10) as answer:
        return answer.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=500.0, help="changes per second")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long there are changes")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.url, options)))
        return
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(options.rounds):
        for side in SIDES:
            with helper_process("_paced_server.py", "--pods", str(options.pods), "--rate", str(options.rate)) as server:
                assert server.stdout is not None
                url = server.stdout.readline().strip()
                command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--url", url]
                found[side].append(
                    json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
                )
    print(f"| | {' | '.join(found[SIDES[0]][0])} |")
    print("| --- " * (len(found[SIDES[0]][0]) + 1) + "|")
    for side, rows in found.items():
        print(f"| {side} | {' | '.join(f'{statistics.median(row[name] for row in rows):.3g}' for name in rows[0])} |")


if __name__ == "__main__":
    main()
