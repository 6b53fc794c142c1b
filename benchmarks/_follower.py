"""An informer of the pods of one namespace, in a process of its own: the counterpart of client_go/main.go with COUNT=1.

SERVER, CA_FILE, TOKEN and NAMESPACE configure it. MODE is JSON: `source` has arguments of `ListWatch.for_resource`, `informer`
those of `SharedInformer`, `handler` those of `add_event_handler`; `json_only` requests metadata as JSON, `paged` lists the
newest state in pages, and `struct` reads pods to a struct. For each line on standard input it prints a report as JSON: handler
calls, seconds until the first list was handled, CPU seconds since the start, resident MB and their growth, and objects in the
cache; for the line "sizes" the bytes of the objects, too.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from typing import Any

import msgspec
from _process import cpu_seconds, rss_mb
from kubernetes import client

from informer import NAMESPACE_INDEX, ListWatch, Object, ResourceEventHandler, SharedInformer, meta_namespace_index
from watch.concurrency import Worker
from watch.options import ListOptions


class Count(ResourceEventHandler):
    def __init__(self) -> None:
        self.calls = 0

    def on_add(self, obj: Any, *, is_in_initial_list: bool) -> None:
        self.calls += 1

    def on_update(self, old: Any, new: Any) -> None:
        self.calls += 1

    def on_delete(self, obj: Any, *, final_state_unknown: bool) -> None:
        self.calls += 1


class Spec(msgspec.Struct, rename="camel", gc=False):
    node_name: str = ""


class Status(msgspec.Struct, rename="camel", gc=False):
    phase: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")


class Pod(msgspec.Struct, gc=False):
    spec: Spec
    status: Status


def newest_in_pages(options: ListOptions) -> ListOptions:
    """Lists at "0" come in one answer, whatever their limit; those of the newest state in pages."""
    return options.with_(resource_version="") if options.resource_version == "0" and options.limit else options


def source(mode: dict[str, Any]) -> Any:
    configuration = client.Configuration(host=os.environ["SERVER"])
    configuration.ssl_ca_cert = os.environ["CA_FILE"]
    configuration.api_key["authorization"] = f"Bearer {os.environ['TOKEN']}"
    arguments = dict(mode.get("source", {}))
    if mode.get("struct"):
        arguments["model"] = Pod
    api_client = client.ApiClient(configuration)
    pods: Any = ListWatch.for_resource(api_client, "pods", namespace=os.environ["NAMESPACE"], **arguments)
    if mode.get("json_only"):
        pods._request.encoding.protobuf = False  # noqa: SLF001 - no option of users
    return pods.tweaked(newest_in_pages) if mode.get("paged") else pods


def main() -> None:
    mode = json.loads(os.environ.get("MODE", "{}"))
    informer = SharedInformer(
        source(mode), indexers={NAMESPACE_INDEX: meta_namespace_index}, **mode.get("informer", {})
    )
    count, synced = Count(), 0.0
    registration = informer.add_event_handler(count, **mode.get("handler", {}))
    gc.collect()
    began, used, resident = time.monotonic(), cpu_seconds(), rss_mb()

    def note() -> None:
        nonlocal synced
        registration.wait_for_sync()
        synced = time.monotonic() - began

    informer.start()
    Worker(note, "first-list").start()
    for line in sys.stdin:
        report = {"calls": count.calls, "synced_s": synced, "cpu_s": cpu_seconds() - used, "rss_mb": rss_mb()}
        report |= {"growth_mb": report["rss_mb"] - resident, "objects": len(informer.store)}
        if line.strip() == "sizes":
            report["raw_bytes"] = sum(len(obj.raw) for obj in informer.store.list() if isinstance(obj, Object))
        print(json.dumps(report), flush=True)
    informer.stop()


if __name__ == "__main__":
    main()
