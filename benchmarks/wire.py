"""An informer over HTTP: the cost of each choice, each measured in its own process and compared with the first row.

    python benchmarks/wire.py                       # every table
    python benchmarks/wire.py transport handlers    # some of them
    python benchmarks/wire.py --quick               # few objects, to check that it runs

Columns: seconds from the start to the first call of any handler, and until the handlers have the first list; CPU seconds for
that; events per second, from the first event until every handler has the last one; CPU microseconds per event (and
informer); resident KB per object; and for the rows of `latency`, milliseconds from the server's write to the handler's call.
Ratios to a table's first row carry over to other machines; the other figures do not. Several informers start at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import ssl
import statistics
import subprocess
import sys
import time
import urllib.request
from typing import Any

import msgspec
from _process import cpu_seconds, helper_process, percentile, rss_mb
from kubernetes import client

from informer import NAMESPACE_INDEX, ListWatch, SharedInformer, index_by, meta_namespace_index, strip_managed_fields

PLAIN: dict[str, Any] = {}
TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "transport": {
        "plain": PLAIN,
        "TLS": {"tls": True},
        "list instead of watch list": {"watch_list": False},
        "list, gzip": {"watch_list": False, "gzip": True},
    },
    "slow link (4 MB/s)": {
        "list": {"watch_list": False, "bytes_per_second": 4e6, "pods": 2000, "events": 100},
        "list, gzip": {"watch_list": False, "gzip": True, "bytes_per_second": 4e6, "pods": 2000, "events": 100},
        "watch list": {"bytes_per_second": 4e6, "pods": 2000, "events": 100},
    },
    "queue": {"in_order": PLAIN, "delta": {"queue": "delta"}},
    "handlers": {
        "1": PLAIN,
        "1, on_batch": {"on_batch": True},
        "1, coalesce": {"backlog": "coalesce"},
        "1 that raises": {"raises": True},
        "10": {"handlers": 10},
        "50": {"handlers": 50},
    },
    "informers": {
        "1": {"pods": 1000, "events": 20000},
        "10": {"informers": 10, "pods": 1000, "events": 5000},
        "50": {"informers": 50, "pods": 1000, "events": 1000},
        "10 of 10,000 pods": {"informers": 10, "pods": 10_000, "events": 1000},
    },
    "objects": {
        "unchanged": PLAIN,
        "strip_managed_fields": {"strip": True},
        "a struct of one field": {"model": True},
        "two index_by": {"indices": True},
    },
    "latency": {
        "quiet, 1 handler": {"every": 0.002, "events": 1500},
        "quiet, 10 handlers": {"every": 0.002, "events": 1500, "handlers": 10},
        "5,000 events/s, 1 handler": {"every": 0.0002, "events": 15000},
        "5,000 events/s, 10 handlers": {"every": 0.0002, "events": 15000, "handlers": 10},
    },
}
DEFAULTS = {"pods": 10_000, "events": 50_000}
QUICK = {"pods": 200, "events": 300, "handlers": 2, "informers": 2}


class Handler:
    """Counts changes and records their latencies."""

    def __init__(self, events: int, *, latency: bool, raises: bool) -> None:
        self.left = events
        self.first: float | None = None
        self.latencies: list[float] = []
        self._latency = latency
        self._raises = raises

    def on_add(self, obj: Any) -> None:
        self.first = self.first or time.monotonic()

    def on_update(self, old: Any, new: Any) -> None:
        now = time.monotonic_ns()
        self.left -= 1
        if self._latency:
            self.latencies.append((now - int(new.annotations["example.com/note"][:19])) / 1e6)
        if self._raises:
            raise ValueError("this handler raises on purpose")

    def on_changes(self, changes: list[Any]) -> None:
        self.first = self.first or time.monotonic()
        self.left -= sum(change.type == "Updated" for change in changes)


def make_informers(url: str, authority: str, way: dict[str, Any], handlers: list[Handler]) -> list[Any]:
    """Makes and starts the informers of one row, and waits until they have synced."""
    configuration = client.Configuration()
    configuration.host, configuration.ssl_ca_cert = url, authority or None
    api_client = client.ApiClient(configuration)
    spec = msgspec.defstruct("Spec", [("nodeName", str)])
    model = msgspec.defstruct("Pod", [("spec", spec)]) if way.get("model") else None
    indexers = {NAMESPACE_INDEX: meta_namespace_index}
    if way.get("indices"):
        indexers |= {"node": index_by("spec.nodeName"), "account": index_by("spec.serviceAccountName")}
    informers, registrations = [], []
    for number in range(way.get("informers", 1)):
        informer = SharedInformer(
            ListWatch.for_resource(api_client, "pods", model=model, gzip=way.get("gzip", False)),
            indexers=indexers,
            queue=way.get("queue", "in_order"),
            watch_list=way.get("watch_list", "auto"),
            transform=strip_managed_fields if way.get("strip") else None,
        )
        count = way.get("handlers", 1)
        for handler in handlers[number * count : (number + 1) * count]:
            backlog = way.get("backlog", "all")
            if way.get("on_batch"):
                registrations.append(informer.add_event_handler(on_batch=handler.on_changes, backlog=backlog))
            else:
                functions = {"on_add": handler.on_add, "on_update": handler.on_update}
                registrations.append(informer.add_event_handler(**functions, backlog=backlog))
        informers.append(informer)
    for informer in informers:
        informer.start()
    for registration in registrations:
        assert registration.wait_for_sync(300)
    return informers


def run_row(url: str, authority: str, way: dict[str, Any]) -> dict[str, Any]:
    """Measures one row, in this process."""
    logging.getLogger("informer").setLevel(logging.CRITICAL)
    context = ssl.create_default_context(cafile=authority) if authority else None

    def ask(path: str) -> Any:
        with urllib.request.urlopen(url + path, context=context) as answer:
            return json.load(answer)

    count = way.get("handlers", 1) * way.get("informers", 1)
    latency = bool(way.get("every"))
    handlers = [Handler(way["events"], latency=latency, raises=way.get("raises", False)) for _ in range(count)]
    begun, cpu, rss = time.monotonic(), cpu_seconds(), rss_mb()
    informers = make_informers(url, authority, way, handlers)
    synced = time.monotonic()
    row = {"sync": synced - begun, "sync_cpu": cpu_seconds() - cpu}
    row["first"] = min(handler.first or synced for handler in handlers) - begun
    row["kb"] = (rss_mb() - rss) * 1000 / (way["pods"] * len(informers))
    while ask("/stats")["watching"] < len(informers):
        time.sleep(0.01)
    last = str(1_000_000 + way["events"])
    begun, cpu = time.monotonic(), cpu_seconds()
    ask("/start")
    coalesced = way.get("backlog") == "coalesce"
    while any(h.left for h in handlers) and not (coalesced and informers[0].last_sync_resource_version == last):
        time.sleep(0.005)
    events = way["events"] * len(informers)
    row |= {"rate": events / (time.monotonic() - begun), "cpu": (cpu_seconds() - cpu) * 1e6 / events}
    if latency:
        seen = sorted(value for handler in handlers for value in handler.latencies)
        row |= {"p50": percentile(seen, 0.5), "p99": percentile(seen, 0.99), "max": seen[-1]}
    for informer in informers:
        informer.stop()
    return row


def measure(way: dict[str, Any], rounds: int) -> dict[str, float]:
    """Returns the medians of some rounds, each with its own server and client processes."""
    arguments = ["--pods", str(way["pods"]), "--events", str(way["events"]), *(["--tls"] if way.get("tls") else [])]
    arguments += ["--every", str(way.get("every", 0)), "--bytes-per-second", str(way.get("bytes_per_second", 0))]
    rows: list[dict[str, float]] = []
    for _ in range(rounds):
        with helper_process("_burst_server.py", *arguments) as server:
            assert server.stdout is not None
            url, _, authority = server.stdout.readline().strip().partition(" ")
            command = [sys.executable, __file__, "--row", json.dumps([url, authority, way])]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def show_table(title: str, rows: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Measures and prints a table."""
    is_latency = any("every" in way for way in rows.values())
    print(
        f"\n### {title}\n\n| | first call s | sync s | sync CPU s | events/s | CPU us/event | ratio | KB/object |",
        end="",
    )
    print(" p50 ms | p99 ms | max ms |" if is_latency else "")
    print("| --- |" + " ---: |" * (10 if is_latency else 7))
    first = 0.0
    for name, options in rows.items():
        way = DEFAULTS | options
        if arguments.quick:
            way |= {key: min(value, way[key]) for key, value in QUICK.items() if key in way}
        row = measure(way, arguments.rounds)
        first = first or row["cpu"]
        print(
            f"| {name} | {row['first']:.2f} | {row['sync']:.2f} | {row['sync_cpu']:.2f} | {row['rate']:,.0f} |"
            f" {row['cpu']:.1f} | {row['cpu'] / first:.2f} | {row['kb']:.1f} |",
            f"{row['p50']:.2f} | {row['p99']:.2f} | {row['max']:.2f} |" if is_latency else "",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", default=[], help=f"some of: {', '.join(TABLES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few objects, one round")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(run_row(*json.loads(arguments.row))))
        return
    if arguments.quick:
        arguments.rounds = 1
    chosen = [title for title in TABLES if not arguments.tables or title.split(" (")[0] in arguments.tables]
    if not chosen:
        parser.error(f"no table is named {', '.join(arguments.tables)}; the tables are {', '.join(TABLES)}")
    for title in chosen:
        show_table(title, TABLES[title], arguments)


if __name__ == "__main__":
    main()
