"""Replicas as processes share the pods of a real API server: are the parts complete and disjoint, and what does each cost?

    python benchmarks/shards.py --pods 50000 --changes 20000
    python benchmarks/shards.py --gate off               # the server sends all pods to all replicas

Needs etcd and kube-apiserver (KUBEBUILDER_ASSETS), and Linux. For 1, 2, 4 and 8 replicas there are as many shards. All replicas
list; then pods are changed, deleted and created. In the end the caches of all replicas together must equal the server's list,
no pod may be in two, and the last version of each changed pod must have been handled by exactly one replica: its owner. The
program ends with an error if that is not so. CPU and memory are the mean of the replicas, with the ratio to the run with one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from _ratio_plot import ratio_plot
from _shards import NAMESPACE, Pods, Process, check_assets, wait_until

from informer.testing import ControlPlane

COLUMNS = (
    "replicas",
    "pods each",
    "CPU list, s",
    "ratio",
    "CPU changes, us/event of all",
    "ratio",
    "memory, MB",
    "ratio",
)


def measure(kubeconfig: str, pods: Pods, replicas: int, changes: int) -> dict[str, float]:
    """Runs some replicas, checks them, and returns the means of their figures."""
    options: dict[str, Any] = {"namespace": NAMESPACE, "name": f"shards-{replicas}", "shards": replicas, "lease": 10}
    running = [Process(kubeconfig, **options) for _ in range(replicas)]
    try:
        before = [each.ask() for each in running]
        wait_until(lambda: all(len(each.ask()["owned"]) == 1 for each in running))
        listed = [each.ask("forget") for each in running]
        check_parts(pods, running)
        begun = [each.ask()["cpu"] for each in running]
        changed = pods.names[: changes * 7 // 10]
        pods.change(changed, f"to-{replicas}")
        gone = pods.names[len(changed) : len(changed) + changes // 10]
        pods.replace(gone)
        # The API server marks a pod before it deletes it.
        events = len(changed) + 3 * len(gone)
        wait_until(lambda: sum(each.ask()["events"] for each in running) >= events)
        ended = [each.ask()["cpu"] for each in running]
        handled = check_parts(pods, running)
        total = sum(each.ask()["events"] for each in running)
        if total != events or handled != len(changed) + len(gone):
            raise SystemExit(f"{events} events, but {total} were handled, and {handled} of the changed pods")
    finally:
        for each in running:
            each.stop()
    count = len(running)
    return {
        "pods": sum(each["objects"] for each in listed) / count,
        "list": sum(after["cpu"] - first["cpu"] for first, after in zip(before, listed, strict=True)) / count,
        "event": sum(after - first for first, after in zip(begun, ended, strict=True)) / count / events * 1e6,
        "memory": sum(after["rss_mb"] - first["rss_mb"] for first, after in zip(before, listed, strict=True)) / count,
    }


def check_parts(pods: Pods, running: list[Process]) -> int:
    """Ends the program unless the replicas have each pod exactly once; returns how many changed pods were handled."""
    expected = pods.versions()
    wait_until(lambda: merged(running)[0] == expected, 60)
    states, counts = merged(running)
    if states != expected or set(counts.values()) - {1}:
        raise SystemExit("the replicas do not have each pod exactly once")
    handled = Counter(
        uid
        for each in running
        for uid, version in each.ask("versions")["handled"].items()
        if expected.get(uid) == version
    )
    if set(handled.values()) - {1}:
        raise SystemExit("a pod was handled by two replicas")
    return len(handled)


def merged(running: list[Process]) -> tuple[dict[str, str], Counter[str]]:
    """Returns the versions of the pods in all caches, and how many caches have each."""
    caches = [each.ask("versions")["cached"] for each in running]
    return {uid: version for each in caches for uid, version in each.items()}, Counter(
        uid for each in caches for uid in each
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=50_000)
    parser.add_argument("--changes", type=int, default=20_000)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--gate", choices=("on", "off"), default="on", help="ShardedListAndWatch of the server")
    parser.add_argument("--plot", help="write a plot of the ratios to this file, as SVG")
    options = parser.parse_args()
    check_assets()
    with tempfile.TemporaryDirectory() as folder:
        gates = {"ShardedListAndWatch": options.gate == "on"}
        with ControlPlane(feature_gates=gates) as plane:
            kubeconfig = str(plane.kubeconfig(Path(folder) / "kubeconfig"))
            pods = Pods(plane, options.pods)
            rows = {}
            for n in options.replicas:
                rows[n] = measure(kubeconfig, pods, n, options.changes)
                print(n, rows[n], file=sys.stderr, flush=True)
    print("|", " | ".join(COLUMNS), "|")
    print("|", " | ".join("--:" for _ in COLUMNS), "|")
    first = rows[options.replicas[0]]
    for n, row in rows.items():
        cells = [str(n), f"{row['pods']:.0f}"]
        for name, form in (("list", ".2f"), ("event", ".1f"), ("memory", ".0f")):
            cells += [format(row[name], form), f"{row[name] / first[name]:.2f}"]
        print("|", " | ".join(cells), "|")
    if options.plot:
        names = {"list": "CPU of the first list", "event": "CPU of the changes", "memory": "memory"}
        Path(options.plot).write_text(ratio_plot(rows, names))


if __name__ == "__main__":
    main()
