"""One replica of a sharded program, for shards.py and shard_chaos.py: owns shards and follows the pods of each.

Reads its options as JSON from the first argument. Writes a line of JSON to its standard output for each start and end of a
shard, with the time of the system's clock that all processes share. For each line that it reads it writes one with what it
has seen: its objects, handled events, CPU time and memory. Without pods to follow, it writes ten times a second what it owns.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from typing import Any

from _process import cpu_seconds, rss_mb

from informer import ListWatch, SharedInformer, load_client
from informer.sharding import ShardedListWatch, ShardElector
from watch.concurrency import Lock

_output = Lock()


def say(**fields: Any) -> None:
    with _output:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()


class Said(logging.Handler):
    """Writes each log line, with the time of the system's clock."""

    def emit(self, record: logging.LogRecord) -> None:
        say(event="log", at=time.monotonic(), text=record.getMessage())


class Replica:
    """Follows the pods of the shards that it owns."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.client = load_client(options["kubeconfig"])
        self.informers: dict[int, SharedInformer[Any]] = {}
        self.handled: dict[str, str] = {}  # the last version that a handler has seen of each pod, by uid
        self.events = 0
        self.stop = threading.Event()

    def run_shard(self, shard: int, over: threading.Event) -> None:
        begun = time.monotonic()
        if not self.options["follow"]:
            over.wait()
            return
        source = ListWatch.for_resource(self.client, "pods", namespace=self.options["namespace"])
        pods: SharedInformer[Any] = SharedInformer(ShardedListWatch(source, shard, self.options["shards"]))
        pods.add_event_handler(on_batch=self.handle)
        with pods:
            pods.wait_for_sync(300)
            self.informers[shard] = pods
            say(event="started", shard=shard, at=begun)
            over.wait()
            del self.informers[shard]

    def handle(self, changes: list[Any]) -> None:
        for change in changes:
            if not change.is_in_initial_list:
                self.events += 1
                self.handled[change.object.uid] = change.object.resource_version

    def answer(self, command: str) -> None:
        informers = dict(self.informers)
        fields: dict[str, Any] = {
            "cpu": cpu_seconds(),
            "rss_mb": rss_mb(),
            "events": self.events,
            "owned": sorted(informers),
            "objects": sum(len(each.store) for each in informers.values()),
        }
        if command == "versions":
            fields["cached"] = {
                obj.uid: obj.resource_version for each in informers.values() for obj in each.store.list()
            }
            fields["handled"] = self.handled
        elif command == "forget":
            self.handled, self.events = {}, 0
        say(event="state", **fields)

    def report(self, elector: ShardElector, thread: threading.Thread) -> None:
        """Writes what this process owns, until the elector has ended."""
        pause = threading.Event()
        while thread.is_alive():
            at = time.monotonic()
            owned = sorted(elector.owned)
            # After a pause in between it would not be known when that was.
            if time.monotonic() - at < 0.05:
                say(event="owns", at=at, owned=owned)
            pause.wait(0.1)

    def run(self) -> None:
        options = self.options
        elector = ShardElector(
            self.client,
            options["namespace"],
            options["name"],
            shards=options["shards"],
            identity=options["identity"],
            on_shard_started=self.run_shard,
            on_shard_stopped=lambda shard: say(event="stopped", shard=shard, at=time.monotonic()),
            lease_duration=options["lease"],
            renew_deadline=options["lease"] * 2 / 3,
            retry_period=options["lease"] / 8,
        )
        thread = threading.Thread(target=elector.run, args=(self.stop,))
        thread.start()
        if not options["follow"]:
            threading.Thread(target=self.report, args=(elector, thread), daemon=True).start()
        for line in sys.stdin:
            if line.strip() == "stop":
                break
            self.answer(line.strip())
        self.stop.set()
        thread.join()


if __name__ == "__main__":
    if not json.loads(sys.argv[1])["follow"]:
        logging.getLogger("informer").addHandler(Said())
        logging.getLogger("informer").setLevel(logging.DEBUG)
    Replica(json.loads(sys.argv[1])).run()
