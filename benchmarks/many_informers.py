"""Three hundred informers in one process: their cost at rest, and their requests when the API server restarts.

    python benchmarks/many_informers.py                         # 300 selectors on an embedded server in its own process
    python benchmarks/many_informers.py --of kinds              # 300 custom resources instead
    python benchmarks/many_informers.py --control-plane         # a real kube-apiserver (KUBEBUILDER_ASSETS)

Prints threads by kind, memory per informer, and CPU and wake-ups while nothing happens. For each restart it prints the
requests per half second while the server is down and after it is back, refused ones included, and the time until every cache
shows the objects that were written since.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from _process import context_switches, cpu_seconds, helper_process, percentile, rss_mb, threads_by_kind
from kubernetes import client

from informer import ListOptions, SharedInformer, SharedInformerFactory

GROUP = "many.example.com"


class Embedded:
    """The embedded server, in another process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self._url = process.stdout.readline().strip()

    def api_client(self) -> Any:
        configuration = client.Configuration()
        configuration.host = self._url
        return client.ApiClient(configuration)

    def down(self) -> None:
        self.ask("down")

    def up(self) -> None:
        self.ask("up")

    def ask(self, command: str = "count") -> tuple[int, int]:
        """Sends a command. Returns the number of connections and requests so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(command, file=self._process.stdin, flush=True)
        connections, requests = map(int, self._process.stdout.readline().split())
        return connections, requests


class Real:
    """A real control plane; its kube-apiserver is killed and restarted."""

    def __init__(self, plane: Any) -> None:
        self._plane = plane

    def api_client(self) -> Any:
        return self._plane.api_client()

    def down(self) -> None:
        self._plane.kill()

    def up(self) -> None:
        self._plane.restart()

    def ask(self) -> tuple[int, int]:
        """Returns zeros: a real server does not report these."""
        return 0, 0


@contextmanager
def server_of(arguments: argparse.Namespace) -> Iterator[Embedded | Real]:
    if arguments.control_plane:
        from informer.testing import ControlPlane

        with ControlPlane() as plane:
            yield Real(plane)
    else:
        with helper_process("_api_server.py") as process:
            yield Embedded(process)


class Attempts:
    """Records when requests were sent."""

    def __init__(self) -> None:
        self._times: list[tuple[float, str]] = []

    def note(self, options: ListOptions) -> ListOptions:
        verb = "list" if not options.timeout_seconds else "watch list" if options.send_initial_events else "watch"
        self._times.append((time.monotonic(), verb))
        return options

    def since(self, start: float, end: float = float("inf")) -> list[tuple[float, str]]:
        return [(at - start, verb) for at, verb in self._times if start <= at < end]

    def table(self, title: str, start: float, end: float) -> None:
        """Prints the number of requests by verb in each half second, and the most in 100 ms."""
        noted = self.since(start, end)
        halves = Counter((int(at * 2), verb) for at, verb in noted)
        tenths = Counter(int(at * 10) for at, _ in noted)
        print(f"{title}: {dict(Counter(verb for _, verb in noted))}")
        print(f"  {'s':>5} {'watch':>6} {'watch list':>10} {'list':>6} {'most in 100 ms':>14}")
        for half in sorted({half for half, _ in halves}):
            watches, watch_lists, lists = (halves[half, verb] for verb in ("watch", "watch list", "list"))
            most = max(tenths[half * 5 + tenth] for tenth in range(5))
            print(f"  {half / 2:5.1f} {watches:6} {watch_lists:10} {lists:6} {most:14}", flush=True)


class Objects:
    """One object per informer, written through the API."""

    def __init__(self, api: Any, count: int, kinds: bool) -> None:
        self._core, self._custom, self._kinds = client.CoreV1Api(api), client.CustomObjectsApi(api), kinds
        self._definitions = client.ApiextensionsV1Api(api)
        self.count = count

    def resource(self, number: int) -> tuple[str, dict[str, Any]]:
        """Returns the resource and the options of one informer."""
        if self._kinds:
            return f"many{number}s.{GROUP}", {}
        return "configmaps", {"label_selector": f"part=p{number}"}

    def define(self) -> None:
        for number in range(self.count if self._kinds else 0):
            plural, kind = f"many{number}s", f"Many{number}"
            schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            names = {"plural": plural, "singular": plural[:-1], "kind": kind}
            spec = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]}
            definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
            self._definitions.create_custom_resource_definition(
                {**definition, "metadata": {"name": f"{plural}.{GROUP}"}, "spec": spec}
            )

    def write(self, value: str) -> dict[int, str]:
        """Creates or changes every object. Returns their versions."""
        return {number: self._write(number, value) for number in range(self.count)}

    def _write(self, number: int, value: str) -> str:
        metadata = {"name": f"o{number}", "labels": {"part": f"p{number}", "value": value}}
        create = value == "first"
        if self._kinds:
            plural = f"many{number}s"
            body = {"apiVersion": f"{GROUP}/v1", "kind": f"Many{number}", "metadata": metadata}
            where = (GROUP, "v1", "default", plural)
            call: Callable[..., Any] = self._custom.create_namespaced_custom_object
            written = (
                call(*where, body)
                if create
                else self._custom.patch_namespaced_custom_object(*where, f"o{number}", {"metadata": metadata})
            )
            return str(written["metadata"]["resourceVersion"])
        if create:
            return str(
                self._core.create_namespaced_config_map("default", {"metadata": metadata}).metadata.resource_version
            )
        patched = self._core.patch_namespaced_config_map(f"o{number}", "default", {"metadata": metadata})
        return str(patched.metadata.resource_version)


def wait_until_right(
    informers: list[SharedInformer[Any]], versions: dict[int, str], timeout: float
) -> tuple[float, int]:
    """Waits until each cache holds the last state of its object. Returns the seconds, and the number of caches that do not."""
    begun = time.monotonic()
    wrong = set(versions)
    while wrong and time.monotonic() < begun + timeout:
        wrong = {n for n in wrong if [o.resource_version for o in informers[n].store.list()] != [versions[n]]}
        time.sleep(0.02 if wrong else 0)
    return time.monotonic() - begun, len(wrong)


def show_rest(informers: int, seconds: float) -> None:
    """Prints CPU and wake-ups while nothing happens except bookmarks."""
    # The CPU time is read inside the two counts of context switches, because counting uses CPU itself.
    switches, cpu = context_switches(), cpu_seconds()
    time.sleep(seconds)
    used, woken = cpu_seconds() - cpu, context_switches() - switches
    print(
        f"at rest for {seconds:.0f} s: {used * 1000:.0f} ms of CPU ({used / seconds:.3%} of a core), "
        f"{woken} wake-ups ({woken / seconds / informers:.3f} per second and informer)",
        flush=True,
    )


def show_restart(server: Embedded | Real, objects: Objects, informers: list[SharedInformer[Any]], attempts: Attempts,
                 arguments: argparse.Namespace, number: int) -> bool:  # fmt: skip
    """Stops the server, starts it again, and prints what the informers did."""
    connections, _ = server.ask()
    gone = time.monotonic()
    server.down()
    time.sleep(arguments.down)
    server.up()
    back = time.monotonic()
    versions = objects.write(f"after-{number}")
    written = time.monotonic()
    _, wrong = wait_until_right(informers, versions, 120)
    right = time.monotonic()
    time.sleep(2)
    end = time.monotonic()
    attempts.table(f"restart {number}: while it was down ({back - gone:.1f} s)", gone, back)
    attempts.table(f"restart {number}: after it was back", back, end)
    after = Counter(int(at / 0.1) for at, _ in attempts.since(back, end))
    print(
        f"restart {number}: every cache right {right - back:.1f} s after the server was back (written until "
        f"{written - back:.1f} s), wrong: {wrong}, most requests in 100 ms: {max(after.values(), default=0)}, "
        f"connections: {server.ask()[0] - connections}, threads: {dict(threads_by_kind())}",
        flush=True,
    )
    return wrong == 0


def run(server: Embedded | Real, arguments: argparse.Namespace) -> bool:
    """Starts the informers, lets them rest, and restarts the server. Returns whether all caches were right."""
    count = arguments.informers
    api, attempts = server.api_client(), Attempts()
    objects = Objects(server.api_client(), count, arguments.of == "kinds")
    objects.define()
    versions = objects.write("first")
    base, (opened, asked) = rss_mb(), server.ask()
    factory = SharedInformerFactory(api, tweak_list_options=attempts.note)
    informers = []
    for number in range(count):
        resource, options = objects.resource(number)
        informers.append(factory.informer(resource, **options))
        informers[-1].add_event_handler(on_add=Counter[str]().update)
    before, cpu = time.monotonic(), cpu_seconds()
    with factory:
        started = time.monotonic()
        _, wrong = wait_until_right(informers, versions, 120)
        synced, used = time.monotonic(), cpu_seconds() - cpu
        connections, requests = server.ask()
        attempts.table("start", before, synced)
        print(
            f"start: {count} informers started in {started - before:.2f} s, right after {synced - before:.2f} s, "
            f"{used:.2f} s of CPU, wrong: {wrong}, connections: {connections - opened}, requests, including "
            f"discovery: {requests - asked}, "
            f"{(rss_mb() - base) * 1000 / count:.0f} KB of memory per informer"
        )
        print(f"threads: {threading.active_count()}, {dict(threads_by_kind())}", flush=True)
        show_rest(count, arguments.rest)
        right = not wrong
        for number in range(1, arguments.restarts + 1):
            right = show_restart(server, objects, informers, attempts, arguments, number) and right
            show_rest(count, min(arguments.rest, 10))
        ages = sorted(informer.last_event_age or 0.0 for informer in informers)
        print(f"last_event_age: median {percentile(ages, 0.5):.1f} s, maximum {percentile(ages, 1):.1f} s")
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--informers", type=int, default=300)
    parser.add_argument("--of", choices=["selectors", "kinds"], default="selectors")
    parser.add_argument("--control-plane", action="store_true", help="a real kube-apiserver")
    parser.add_argument("--rest", type=float, default=30.0, help="seconds in which nothing happens")
    parser.add_argument("--restarts", type=int, default=2)
    parser.add_argument("--down", type=float, default=5.0, help="seconds for which the server is down")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with server_of(arguments) as server:
        right = run(server, arguments)
    sys.exit(0 if right else "a cache is wrong")


if __name__ == "__main__":
    main()
