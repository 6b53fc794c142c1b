"""The memory of an object, part by part, and the temporary memory of a relist of unchanged objects.

    python benchmarks/memory.py                 # every table
    python benchmarks/memory.py objects         # bytes per object, by part, and what 50,000 updates add
    python benchmarks/memory.py relist          # 100,000 objects listed again
    python benchmarks/memory.py relist --pods 1000000 --only "list, a struct"
    python benchmarks/memory.py --quick         # few objects, one row per table, to check that it runs

Each row runs in its own process beside a server of 5.4 KB pods. Python reports the sizes of the parts: `body` is the
object's JSON or the model's result, `metadata` the four fields and their container, `entry` the key and its slot in the
cache, `indices` the indices. `resident` is the growth of the process over the first sync, per object; allocators round up.
`after updates` is the growth after the updates, measured after malloc has returned its free pages to the system. `free` is
the part that it could not return: holes. During the relist a thread calls `lister.get` a thousand times a second; `get` is the
time of one call, which includes waiting for the GIL.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from _memory import give_back_memory, memory
from _process import cpu_seconds, helper_process, percentile
from kubernetes import client
from lookup import Timed

from informer import (
    NAMESPACE_INDEX,
    Backoff,
    ListWatch,
    ResourceEventHandler,
    SharedInformer,
    index_by,
    meta_namespace_index,
    strip_managed_fields,
)
from informer.objects.entry import Entry

PATIENCE = 1800  # seconds
Row = dict[str, Any]
OBJECTS: dict[str, Row] = {
    "unchanged": {},
    "unchanged, no index": {"indices": 0},
    "unchanged, three indices": {"indices": 3},
    "strip_managed_fields": {"strip": True},
    "metadata_only": {"metadata_only": True},
    "a struct of one field": {"model": "struct"},
    "dict": {"model": "dict"},
    # Fewer events, since an official model is decoded for each call, which takes one millisecond.
    "official models": {"model": "official", "events": 5000},
}
RELISTS: dict[str, Row] = {
    "list, in order": {"watch_list": False},
    "list, by key": {"watch_list": False, "queue": "delta"},
    "watch list, in order": {},
    "watch list, by key": {"queue": "delta"},
    "list, strip_managed_fields": {"watch_list": False, "strip": True},
    "list, a struct of one field": {"watch_list": False, "model": "struct"},
    "list, metadata only in protobuf": {"watch_list": False, "metadata_only": True, "protobuf": True},
}


class Counter(ResourceEventHandler[Any]):
    """Counts calls."""

    def __init__(self) -> None:
        self.calls = 0

    def on_add(self, obj: Any) -> None:
        self.calls += 1

    def on_update(self, old: Any, new: Any) -> None:
        self.calls += 1

    def on_delete(self, obj: Any) -> None:
        self.calls += 1


def size_of(value: Any, seen: set[int]) -> int:
    """Returns the bytes of a value and of all values in it that are not in `seen`."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(size_of(key, seen) + size_of(below, seen) for key, below in value.items())
    if isinstance(value, (list, tuple)):
        return size + sum(size_of(below, seen) for below in value)
    if isinstance(value, msgspec.Struct):
        return size + sum(size_of(getattr(value, name), seen) for name in value.__struct_fields__)
    return size


def parts_of(indexer: Any) -> dict[str, float]:
    """Returns the bytes per object, by part."""
    items = indexer.records.copy()
    seen: set[int] = set()
    body = metadata = 0
    for item in items.values():
        content = item.object if type(item) is Entry else item.raw
        body += size_of(content, seen)
        metadata += sys.getsizeof(item)
        metadata += sum(size_of(getattr(item, name), seen) for name in ("name", "namespace", "uid", "resource_version"))
    # The copy has as many slots as the cache's own dict.
    entry = sys.getsizeof(items) + sum(size_of(key, seen) for key in items)
    indices = 0
    for index in indexer.records.indices:
        indices += sys.getsizeof(index._values) + sys.getsizeof(index.buckets)  # noqa: SLF001
        indices += sum(sys.getsizeof(bucket) + size_of(value, seen) for value, bucket in index.buckets.items())
    count = len(items)
    found = {"body": body, "metadata": metadata, "entry": entry, "indices": indices}
    return {name: size / count for name, size in found.items()}


def make_informer(url: str, way: Row) -> SharedInformer[Any]:
    """Makes the informer of a row."""
    configuration = client.Configuration()
    configuration.host = url
    spec = msgspec.defstruct("Spec", [("nodeName", str)])
    models = {"struct": msgspec.defstruct("Pod", [("spec", spec)]), "dict": dict, "official": client.V1Pod}
    functions: list[Any] = [meta_namespace_index]
    functions += [index_by(("metadata", "labels", "app.kubernetes.io/name")), index_by("spec.nodeName")]
    names = [NAMESPACE_INDEX, "app", "node"]
    return SharedInformer(
        ListWatch.for_resource(
            client.ApiClient(configuration),
            "pods",
            model=models.get(way.get("model", "")),
            metadata_only=way.get("metadata_only", False),
            wire="protobuf" if way.get("protobuf") else "json",
        ),
        indexers=dict(zip(names[: way.get("indices", 1)], functions, strict=False)),
        transform=strip_managed_fields if way.get("strip") else None,
        queue=way.get("queue", "in_order"),
        watch_list=way.get("watch_list", "auto"),
        # No waits: the server's load is not measured here.
        backoff=Backoff(initial=0.001, maximum=0.001),
    )


class Server:
    """A client of the row's server process."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(self._url + path) as answer:
            return json.load(answer)

    def wait_for_watches(self, count: int) -> None:
        while self.ask("/stats")["watching"] < count:
            time.sleep(0.01)


def objects_row(
    informer: SharedInformer[Any], server: Server, handler: Counter, way: Row, before: float
) -> dict[str, float]:
    """Measures bytes per object by part, after the first sync and after the updates."""
    give_back_memory()
    synced = memory()
    row: dict[str, float] = parts_of(informer.indexer)
    row |= {"resident": (synced.resident - before) * 1e6 / way["pods"], "blocks": synced.blocks}
    server.wait_for_watches(1)
    server.ask("/start")
    wait_for(lambda: handler.calls == way["pods"] + way["events"])
    give_back_memory()
    after = memory()
    row |= {"after": (after.resident - before) * 1e6 / way["pods"], "free": after.free * 1e6 / way["pods"]}
    row["more blocks"] = (after.blocks - synced.blocks) / way["pods"]
    return row


def relist_row(
    informer: SharedInformer[Any], server: Server, handler: Counter, before: float, synced: dict[str, float]
) -> dict[str, float]:
    """Measures a relist, and how long a reader waits meanwhile."""
    server.wait_for_watches(1)
    wait_for(lambda: not any(registration.backlog_size for registration in informer.handlers))
    first = peak_mb()
    give_back_memory()
    steady, calls, cpu, begun = memory().resident, handler.calls, cpu_seconds(), time.monotonic()
    Path("/proc/self/clear_refs").write_text("5")
    over = threading.Event()
    pods = informer.lister.namespaced("ns-0")
    reader = Timed("reader", lambda: pods.get("app-0-00000000"), over, 0.001)
    server.ask("/expire")
    server.wait_for_watches(2)
    # The server counts a watch once it has sent the whole list. A change after that shows when the informer has it too.
    server.ask("/start")
    wait_for(lambda: informer.last_sync_resource_version == "1000001")
    row = {"first": first, "steady": steady, "peak": peak_mb(), "seconds": time.monotonic() - begun, **synced}
    over.set()
    reader.thread.join()
    row |= {"99 %": percentile(sorted(reader.calls), 0.99), "longest": max(reader.calls), "grown": steady - before}
    wait_for(lambda: handler.calls > calls)
    return row | {"cpu": cpu_seconds() - cpu, "calls": handler.calls - calls - 1}


def peak_mb() -> float:
    """Returns the peak of resident memory in MB, since the start or since 5 was written to clear_refs."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024 / 1e6


def wait_for(condition: Callable[[], object]) -> None:
    """Waits for a condition, for at most half an hour."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition was not met within {PATIENCE} seconds")
        time.sleep(0.005)


def run_row(url: str, kind: str, way: Row) -> dict[str, float]:
    """Measures one row, in this process."""
    informer, handler = make_informer(url, way), Counter()
    give_back_memory()
    before, cpu, begun = memory().resident, cpu_seconds(), time.monotonic()
    registration = informer.add_event_handler(handler)
    with informer:
        assert registration.wait_for_sync(PATIENCE)
        synced = {"sync": time.monotonic() - begun, "sync CPU": cpu_seconds() - cpu}
        if kind == "objects":
            return objects_row(informer, Server(url), handler, way, before)
        return relist_row(informer, Server(url), handler, before, synced)


def measure(kind: str, way: Row) -> dict[str, float]:
    """Measures one row, with its own server and client processes."""
    arguments = ["--pods", str(way["pods"]), "--events", str(way["events"])]
    arguments += [f"--{name.replace('_', '-')}" for name in ("metadata_only", "protobuf") if way.get(name)]
    with helper_process("_burst_server.py", *arguments) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        command = [sys.executable, __file__, "--row", json.dumps([url, kind, way])]
        row: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return row


def show_objects(rows: dict[str, Row], pods: int, events: int) -> None:
    print(f"\n### bytes per object: {pods:,} pods, {events:,} updates\n")
    print(
        "| | body | metadata | entry | indices | sum | resident | after updates | of it free | more blocks per object |"
    )
    print("| --- |" + " ---: |" * 9)
    for name, way in rows.items():
        row = measure("objects", {**way, "pods": pods, "events": min(events, way.get("events", events))})
        parts = [row[part] for part in ("body", "metadata", "entry", "indices")]
        shown = [*parts, sum(parts), row["resident"], row["after"], row["free"]]
        cells = " | ".join(f"{value:,.0f}" for value in shown)
        print(f"| {name} | {cells} | {row['more blocks']:.2f} |", flush=True)


def show_relists(rows: dict[str, Row], pods: int) -> None:
    print(f"\n### a relist of {pods:,} unchanged pods\n")
    print(
        "| | first sync s | CPU s | peak MB | steady MB | bytes/object | relist s | CPU s | CPU us/object | peak MB | ratio |"
        " get 99 % ms | get longest ms | handler calls |"
    )
    print("| --- |" + " ---: |" * 13)
    for name, way in rows.items():
        row = measure("relist", {**way, "pods": pods, "events": 1})
        print(
            f"| {name} | {row['sync']:.1f} | {row['sync CPU']:.1f} | {row['first']:,.0f} | {row['steady']:,.0f} |"
            f" {row['grown'] * 1e6 / pods:,.0f} | {row['seconds']:.2f} | {row['cpu']:.2f} | {row['cpu'] * 1e6 / pods:.1f} |"
            f" {row['peak']:,.0f} | {row['peak'] / row['steady']:.2f} | {row['99 %']:.2f} | {row['longest']:.1f} |"
            f" {row['calls']:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help="objects, relist (default: both)")
    parser.add_argument("--pods", type=int, help="number of pods (default: 10,000 for objects, 100,000 for relist)")
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--only", default="", help="only rows whose name begins with this text")
    parser.add_argument("--quick", action="store_true", help="few objects, one row per table, to check that it runs")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(run_row(*json.loads(arguments.row))))
        return
    if arguments.quick:
        arguments.pods, arguments.events = 200, 300
    tables = arguments.tables or ["objects", "relist"]
    if not {"objects", "relist"}.issuperset(tables):
        parser.error("the tables are objects and relist")
    rows = 1 if arguments.quick else None
    objects, relists = (
        dict([(name, way) for name, way in table.items() if name.startswith(arguments.only)][:rows])
        for table in (OBJECTS, RELISTS)
    )
    if "objects" in tables:
        show_objects(objects, arguments.pods or 10_000, arguments.events)
    if "relist" in tables:
        show_relists(relists, arguments.pods or 100_000)


if __name__ == "__main__":
    main()
