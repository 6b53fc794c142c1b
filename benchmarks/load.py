"""A large cache under steady change, with a handler that cannot keep up.

    python benchmarks/load.py                                # 100,000 pods, 1,000 changes per second, ten minutes
    python benchmarks/load.py --slow-backlog coalesce
    python benchmarks/load.py --pods 5000 --seconds 20 --every 5

There are three handlers. `fast` records the time from the write to its call. `batch` counts pods by namespace, one batch at
a time. `slow` takes some milliseconds per change, more than the interval between changes. The run checks that the slow
handler does not delay the others, and that memory grows by its backlog only. With backlog "all" that is every change, with
the state that it replaced; with "coalesce" the number of keys bounds it.

Columns: `waits` is the size of the backlog, computed from the bytes of a pod and a fixed overhead per change. `held` is the
growth of memory without `holes`, the memory that the C library keeps free between live objects. At the end, every pod in the
cache is compared with the server's, byte for byte. The last line is PASS if they are equal, each handler has seen the right
changes, and `held` never exceeded `waits` by more than a fixed amount.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import threading
import time
import urllib.request
from array import array
from collections import Counter
from typing import Any

import msgspec
from _memory import give_back_memory, memory
from _process import cpu_seconds, helper_process, percentile
from kubernetes import client

from informer import (
    NAMESPACE_INDEX,
    Change,
    DeltaType,
    ListWatch,
    ResourceEventHandler,
    SharedInformer,
    meta_namespace_index,
)


class Fast(ResourceEventHandler):
    """Records latencies in milliseconds; server and client both use CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self.latencies = array("f")  # four bytes each, so that the measurements do not add to the memory growth
        self.seen = 0

    def on_add(self, obj: Any, *, is_in_initial_list: bool) -> None:
        if not is_in_initial_list:
            self._note(obj)

    def on_update(self, old: Any, new: Any) -> None:
        self._note(new)

    def on_delete(self, obj: Any, *, final_state_unknown: bool) -> None:
        self._note(obj)

    def _note(self, obj: Any) -> None:
        now = time.monotonic_ns()
        self.seen += 1
        if sent := int(obj.annotations["example.com/sent"]):
            self.latencies.append((now - sent) / 1e6)

    def take(self) -> list[float]:
        latencies, self.latencies = self.latencies, array("f")
        return sorted(latencies)


class Slow(ResourceEventHandler):
    """Sleeps for each change after the initial list."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def on_add(self, obj: Any, *, is_in_initial_list: bool) -> None:
        if not is_in_initial_list:
            time.sleep(self._seconds)

    def on_update(self, old: Any, new: Any) -> None:
        time.sleep(self._seconds)

    def on_delete(self, obj: Any, *, final_state_unknown: bool) -> None:
        time.sleep(self._seconds)


class ByNamespace:
    """Counts pods by namespace, one batch at a time."""

    def __init__(self) -> None:
        self.pods: Counter[str] = Counter()

    def __call__(self, changes: list[Change[Any]]) -> None:
        for change in changes:
            if change.type is DeltaType.ADDED:
                self.pods[change.object.namespace] += 1
            elif change.type is DeltaType.DELETED:
                self.pods[change.object.namespace] -= 1


class Server:
    """A client of the paced server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def stats(self) -> Any:
        return json.load(urllib.request.urlopen(self.url + "/stats"))

    def post(self, path: str) -> None:
        urllib.request.urlopen(urllib.request.Request(self.url + path, method="POST")).read()

    def differences(self, store: Any) -> tuple[str, int, int]:
        """Returns the list's version, the number of the server's pods, and how many of these differ in the cache."""
        token, version, pods, wrong = "", "", 0, 0
        while True:
            page = msgspec.json.decode(
                urllib.request.urlopen(f"{self.url}/api/v1/pods?limit=500&continue={token}").read(), type=_List
            )
            version = page.metadata["resourceVersion"]
            for raw in page.items:
                metadata = msgspec.json.decode(raw, type=_Item).metadata
                cached = store.get_by_key(f"{metadata.namespace}/{metadata.name}")
                wrong += cached is None or cached.raw != bytes(raw)
                pods += 1
            token = page.metadata.get("continue", "")
            if not token:
                return version, pods, wrong


class _List(msgspec.Struct):
    metadata: dict[str, Any]
    items: list[msgspec.Raw]


class _Metadata(msgspec.Struct):
    name: str
    namespace: str


class _Item(msgspec.Struct):
    metadata: _Metadata


class Collections:
    """Records the longest run of the cycle collector."""

    def __init__(self) -> None:
        self._longest = self._begun = 0.0
        gc.callbacks.append(self._called)

    def _called(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.monotonic()
        else:
            self._longest = max(self._longest, time.monotonic() - self._begun)

    def take_ms(self) -> float:
        longest, self._longest = self._longest, 0.0
        return longest * 1000


# Overhead of a waiting change beside its pod's bytes: the change, its batch, the object's four fields, the allocator.
CHANGE_BYTES = 800
# Other allowed growth: buffers, events in process, and the measurements.
OTHER_MB = 40.0

HEADER = (
    f"{'s':>4} {'RSS MB':>7} {'grown':>6} {'held':>6} {'waits':>6} {'holes':>6} {'blocks':>9} {'cache':>7} "
    f"{'backlog fast/batch/slow':>24} "
    f"{'lag s fast/batch/slow':>22} {'age s':>6} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7} {'events/s':>8} "
    f"{'us/event':>8} {'gc ms':>6} {'threads':>7}"
)


class Table:
    """Prints one line per interval, with the changes since the previous line."""

    def __init__(
        self, informer: SharedInformer[Any], registrations: dict[str, Any], fast: Fast, pod_bytes: float
    ) -> None:
        self._informer, self._registrations, self._fast, self._pod_bytes = informer, registrations, fast, pod_bytes
        self._collections = Collections()
        self.base = memory()
        self._begun = self._last = time.monotonic()
        self._cpu, self._seen = cpu_seconds(), fast.seen
        self.all_latencies = array("f")
        self.excess = 0.0
        """The most MB by which memory growth has exceeded the backlog."""
        print(HEADER, flush=True)

    def line(self) -> None:
        now, cpu, seen = time.monotonic(), cpu_seconds(), self._fast.seen
        latencies = self._fast.take()
        self.all_latencies.extend(latencies)
        events = max(1, seen - self._seen)
        each = list(self._registrations.values())
        sizes = "/".join(str(registration.backlog_size) for registration in each)
        lags = "/".join(f"{registration.lag_seconds:.2f}" for registration in each)
        used, waits = memory(), each[-1].backlog_size * (self._pod_bytes + CHANGE_BYTES) / 1e6
        held = used.held - self.base.held
        self.excess = max(self.excess, held - waits)
        print(
            f"{now - self._begun:4.0f} {used.resident:7.0f} {used.resident - self.base.resident:6.0f} {held:6.0f} "
            f"{waits:6.0f} {used.free:6.0f} {used.blocks:9} {len(self._informer.store):7} {sizes:>24} {lags:>22} "
            f"{self._informer.last_event_age or 0:6.2f} {percentile(latencies, 0.5):7.2f} {percentile(latencies, 0.99):7.2f} "
            f"{percentile(latencies, 1):7.1f} {events / (now - self._last):8.0f} {(cpu - self._cpu) * 1e6 / events:8.0f} "
            f"{self._collections.take_ms():6.1f} {threading.active_count():7}",
            flush=True,
        )
        self._last, self._cpu, self._seen = now, cpu, seen


def run(server: Server, arguments: argparse.Namespace) -> bool:
    """Fills the cache, starts the changes, prints the table and checks. Returns whether everything was right."""
    configuration = client.Configuration()
    configuration.host = server.url
    informer: SharedInformer[Any] = SharedInformer(
        ListWatch.for_resource(client.ApiClient(configuration), "pods"),
        indexers={NAMESPACE_INDEX: meta_namespace_index},
    )
    fast, by_namespace = Fast(), ByNamespace()
    registrations = {
        "fast": informer.add_event_handler(fast),
        "batch": informer.add_event_handler(on_batch=by_namespace),
        "slow": informer.add_event_handler(Slow(arguments.slow_ms / 1000), backlog=arguments.slow_backlog),
    }
    begun = time.monotonic()
    with informer:
        assert all(registration.wait_for_sync(300) for registration in registrations.values()), informer.sync_error()
        pod_bytes = sum(len(pod.raw) for pod in informer.store.list()[:1000]) / min(1000, len(informer.store))
        print(
            f"synced {len(informer.store)} pods of {pod_bytes:.0f} bytes in {time.monotonic() - begun:.1f} s",
            flush=True,
        )
        server.post("/start")
        table = Table(informer, registrations, fast, pod_bytes)
        for _ in range(round(arguments.seconds / arguments.every)):
            time.sleep(arguments.every)
            table.line()
        server.post("/stop")
        stopped = time.monotonic()
        version, pods, wrong = server.differences(informer.store)
        while (wrong or len(informer.store) != pods) and time.monotonic() < stopped + 30:
            assert informer.wait_for_resource_version(version, 30)
            version, pods, wrong = server.differences(informer.store)
        table.line()
        counted = sum(by_namespace.pods.values())
        ordered = array("f", sorted(table.all_latencies))
        stats = server.stats()
        print(
            f"write to fast handler: p50 {percentile(ordered, 0.5):.2f} ms, p99 {percentile(ordered, 0.99):.2f} ms, "
            f"p99.9 {percentile(ordered, 0.999):.2f} ms, max {percentile(ordered, 1):.1f} ms of {len(ordered)}\n"
            f"server: {stats['events']} changes, requests {stats['requests']}, {stats['cpu']:.0f} s of CPU\n"
            f"cache: {len(informer.store)} pods, server: {pods}, different: {wrong}, counted by the batch handler: "
            f"{counted}, seen by the fast handler: {fast.seen}"
        )
        backlog = registrations["slow"].backlog_size
        before = memory()
        registrations["slow"].remove()
        give_back_memory()
        after = memory()
        # `held` does not apply here: after trimming, free memory is not resident any more.
        base = table.base
        print(
            f"slow handler removed with {backlog} waiting: {before.resident:.0f} MB, now {after.resident:.0f} MB; allocated by "
            f"the C library {before.used:.0f} and {after.used:.0f} MB, {base.used:.0f} at the beginning; small blocks "
            f"{before.blocks} and {after.blocks}, {base.blocks} at the beginning"
        )
        # With "coalesce", at most a delete and an add may wait per key.
        bounded = arguments.slow_backlog == "all" or backlog <= 2 * arguments.pods
        same = wrong == 0 and len(informer.store) == pods == counted and fast.seen == stats["events"]
        print(
            f"the cache and what was seen: {'right' if same else 'WRONG'}; memory grew by at most {table.excess:.0f} MB "
            f"beyond what waited ({OTHER_MB:.0f} allowed)"
        )
    return same and bounded and not table.excess > OTHER_MB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=1000.0, help="changes per second")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two lines of the table")
    parser.add_argument(
        "--slow-ms", type=float, default=5.0, help="milliseconds that the slow handler takes per change"
    )
    parser.add_argument("--slow-backlog", choices=["all", "coalesce"], default="all")
    arguments = parser.parse_args()
    with helper_process("_paced_server.py", "--pods", str(arguments.pods), "--rate", str(arguments.rate)) as process:
        assert process.stdout is not None
        right = run(Server(process.stdout.readline().strip()), arguments)
    print("PASS" if right else "FAIL", flush=True)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
