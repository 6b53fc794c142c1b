"""Replicas of a sharded program are killed, stopped, paused and added at random: has each shard one owner, and soon one?

    python benchmarks/shard_chaos.py --minutes 10

Needs etcd and kube-apiserver (KUBEBUILDER_ASSETS), and Linux. Every replica is a process that says ten times a second which
shards it owns. The program ends with an error if two replicas say so of one shard at the same time, or if a shard has no owner
for longer than a lease and three retry periods; docs/scale.md derives that bound. Kills and pauses are at least that far
apart: a second fault within that time may leave a shard without an owner for another lease. After an error the program prints
what the replicas logged around the gap, and which of them got no CPU time.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from _shards import Process, check_assets, wait_until

from informer.testing import ControlPlane

# Two samples of a replica that are further apart are not joined: it may have been paused in between.
_JOINED = 0.3


class Span(NamedTuple):
    """A time for which a replica has said again and again that it owns a shard."""

    begin: float
    end: float
    owner: str


def spans_of(process: Process, shard: int) -> list[Span]:
    spans: list[Span] = []
    last: dict[str, Any] | None = None
    for sample in list(process.events):
        if sample["event"] != "owns":
            continue
        if shard in sample["owned"]:
            joins = last is not None and shard in last["owned"] and sample["at"] - last["at"] <= _JOINED
            begin = spans.pop().begin if joins else sample["at"]
            spans.append(Span(begin, sample["at"], process.identity))
        last = sample
    return spans


def longest_gap(processes: list[Process], shard: int, begin: float, end: float) -> tuple[float, float]:
    """Returns the longest time without an owner, and when it began; ends the program if there were two owners."""
    at, longest, since = begin, 0.0, begin
    former: Span | None = None
    for span in sorted(span for each in processes for span in spans_of(each, shard)):
        if former is not None and span.owner != former.owner and span.begin <= former.end:
            raise SystemExit(f"shard {shard} has two owners at {span.begin - begin:.2f} s: {former} and {span}")
        if span.begin - at > longest:
            longest, since = span.begin - at, at
        at = max(at, span.end)
        former = span if former is None or span.end > former.end else former
    return (end - at, at) if end - at > longest else (longest, since)


def print_story(processes: list[Process], begin: float, since: float, gap: float) -> None:
    """Prints what the replicas logged around a gap, and when one of them had no time to report."""
    lines: list[tuple[float, str]] = []
    for each in processes:
        last = None
        for event in list(each.events):
            at = event["at"]
            if event["event"] == "log":
                lines.append((at, f"{each.identity} {event['text']}"))
            elif event["event"] == "owns":
                if last is not None and at - last > _JOINED:
                    lines.append((last, f"{each.identity} did not report for {at - last:.2f} s"))
                last = at
    for at, text in sorted(lines):
        if since - 3 <= at <= since + gap + 3:
            print(f"{at - begin:8.2f} {text}")


class Chaos:
    """Runs replicas and does things to them."""

    def __init__(self, kubeconfig: str, options: argparse.Namespace) -> None:
        self.options = options
        self.kubeconfig = kubeconfig
        self.random = random.Random(options.seed)
        self.live: list[Process] = []
        self.all: list[Process] = []
        self.done: Counter[str] = Counter()
        self.pause = threading.Event()

    def add(self) -> None:
        options = {"namespace": "default", "name": "chaos", "shards": self.options.shards, "lease": self.options.lease}
        self.live.append(Process(self.kubeconfig, follow=False, **options))
        self.all.append(self.live[-1])

    def pick(self) -> Process:
        return self.live.pop(self.random.randrange(len(self.live)))

    def fault(self, patience: float) -> None:
        """Kills or pauses a replica, and waits for as long as a shard may be without an owner."""
        begun = time.monotonic()
        victim = self.pick()
        victim.events.append({"event": "log", "at": begun, "text": "is killed or paused"})
        if self.random.random() < 0.5:
            self.done["killed"] += 1
            victim.kill()
            self.add()
        else:
            self.done["paused"] += 1
            victim.signal(signal.SIGSTOP)
            self.pause.wait(self.random.uniform(0.2, 1.5) * self.options.lease)
            victim.signal(signal.SIGCONT)
            self.live.append(victim)
        self.pause.wait(max(0.0, begun + patience + 1 - time.monotonic()))

    def change(self) -> None:
        """Adds a replica, or asks one to stop."""
        if len(self.live) <= 3 or (len(self.live) < 6 and self.random.random() < 0.5):
            self.done["added"] += 1
            self.add()
        else:
            self.done["stopped"] += 1
            self.pick().begin_stop()
        self.pause.wait(self.random.uniform(0.5, 3.0))

    def owned(self) -> list[int]:
        return [
            len(owns[-1]["owned"]) for each in self.live if (owns := [e for e in each.events if e["event"] == "owns"])
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--shards", type=int, default=12)
    parser.add_argument("--lease", type=float, default=10, help="seconds")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    check_assets()
    patience = options.lease + 3 * options.lease / 8
    with tempfile.TemporaryDirectory() as folder, ControlPlane() as plane:
        chaos = Chaos(str(plane.kubeconfig(Path(folder) / "kubeconfig")), options)
        try:
            for _ in range(4):
                chaos.add()
            wait_until(lambda: sorted(chaos.owned()) == [options.shards // 4] * 4)
            begin = time.monotonic()
            while time.monotonic() < begin + options.minutes * 60:
                chaos.fault(patience)
                for _ in range(chaos.random.randrange(3)):
                    chaos.change()
            wait_until(lambda: sum(chaos.owned()) == options.shards and max(chaos.owned()) - min(chaos.owned()) <= 1)
            end = time.monotonic()
        finally:
            for each in chaos.all:
                each.kill()
        gaps = {i: longest_gap(chaos.all, i, begin, end) for i in range(options.shards)}
    worst, (gap, since) = max(gaps.items(), key=lambda item: item[1][0])
    print(f"{end - begin:.0f} s, {len(chaos.all)} replicas, {dict(chaos.done)}")
    print(
        f"no shard had two owners; the longest time without one was {gap:.1f} s (shard {worst}, at {since - begin:.0f} s)"
    )
    if gap > patience:
        print_story(chaos.all, begin, since, gap)
        sys.exit(f"that is longer than a lease and three retry periods, {patience:.1f} s")


if __name__ == "__main__":
    main()
