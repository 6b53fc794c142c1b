"""An informer of the pods of one namespace, in a process of its own: the counterpart of client_go/main.go with COUNT=1.

SERVER, CA_FILE, TOKEN and NAMESPACE configure it. For each line on standard input it prints a report as JSON: handler calls,
seconds until the first list was handled, CPU seconds since the start, resident MB, and objects in the cache.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from _process import cpu_seconds, rss_mb
from kubernetes import client

from informer import NAMESPACE_INDEX, ListWatch, ResourceEventHandler, SharedInformer, meta_namespace_index
from watch.concurrency import Worker


class Count(ResourceEventHandler):
    def __init__(self) -> None:
        self.calls = 0

    def on_add(self, obj: Any, *, is_in_initial_list: bool) -> None:
        self.calls += 1

    def on_update(self, old: Any, new: Any) -> None:
        self.calls += 1

    def on_delete(self, obj: Any, *, final_state_unknown: bool) -> None:
        self.calls += 1


def main() -> None:
    configuration = client.Configuration(host=os.environ["SERVER"])
    configuration.ssl_ca_cert = os.environ["CA_FILE"]
    configuration.api_key["authorization"] = f"Bearer {os.environ['TOKEN']}"
    pods = ListWatch.for_resource(client.ApiClient(configuration), "pods", namespace=os.environ["NAMESPACE"])
    informer = SharedInformer(pods, indexers={NAMESPACE_INDEX: meta_namespace_index})
    count, synced = Count(), 0.0
    registration = informer.add_event_handler(count)
    began, used = time.monotonic(), cpu_seconds()

    def note() -> None:
        nonlocal synced
        registration.wait_for_sync()
        synced = time.monotonic() - began

    informer.start()
    Worker(note, "first-list").start()
    for _ in sys.stdin:
        report = {"calls": count.calls, "synced_s": synced, "cpu_s": cpu_seconds() - used, "rss_mb": rss_mb()}
        print(json.dumps({**report, "objects": len(informer.store)}), flush=True)
    informer.stop()


if __name__ == "__main__":
    main()
