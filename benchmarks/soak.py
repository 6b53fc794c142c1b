"""Faults of the network and of a real API server, one after the other in random order, for as long as it is told to.

    python benchmarks/soak.py --minutes 10              # backoff of 0.05 to 1 s, silence_timeout of 3 s, as in the tests
    python benchmarks/soak.py --minutes 10 --defaults   # what an informer has when nothing is said

Needs etcd and kube-apiserver (KUBEBUILDER_ASSETS). Four informers (list and watch lists, both queues) are behind a proxy that
fails, in front of a server on which pods are created, changed and deleted; the faults are those of tests/cluster/faults.

Prints, once a fault is over: how long each cache took to equal the server's list; connections and requests; memory and threads.
In the end a table of the recovery times by fault. Exit code 1: a cache was not the server's state in time, a handler was told
what cannot be, there were more requests than the waits allow, or memory or threads have grown.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from _process import rss_mb

from informer import Backoff
from informer.testing import ControlPlane
from tests.cluster.conftest import Cluster, Namespace
from tests.cluster.faults.faults import FAULTS
from tests.cluster.faults.scene import Recovery, Scene

# After so many faults pools, allocator and caches have what they keep.
WARM_UP = len(FAULTS)
MOST_GROWTH_MB = 10.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--defaults", action="store_true", help="the default backoff and silence_timeout")
    parser.add_argument("--seed", type=int, default=None, help="of the order and of the faults")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two writes")
    return parser.parse_args()


def in_random_order(random: Random) -> Iterator:
    """All faults, again and again, each time in another order."""
    while True:
        yield from random.sample(FAULTS, len(FAULTS))


class Sample:
    """What the process holds while nothing fails."""

    def __init__(self) -> None:
        self.rss = rss_mb()
        self.threads = threading.active_count()


def soak(scene: Scene, minutes: float, random: Random) -> tuple[dict[str, list[Recovery]], list[Sample], str | None]:
    """What became of each fault, what was held after each, and what went wrong."""
    begun, recoveries, samples = time.monotonic(), defaultdict(list), []
    print(
        f"{'after s':>8} {'fault':26} {'recovered after s':>24} {'conns':>6} {'reqs':>5} {'RSS MB':>7} {'threads':>7}"
    )
    for fault in in_random_order(random):
        passed = time.monotonic() - begun
        if passed > minutes * 60:
            return recoveries, samples, None
        try:
            recovery = scene.undergo(fault)
        except AssertionError as error:
            return recoveries, samples, f"{fault.__name__}: {error}"
        recoveries[fault.__name__].append(recovery)
        # Threads of handlers' and the refuser's that have ended are gone a moment later.
        scene.hold(0.2)
        samples.append(Sample())
        times = " ".join(f"{seconds:.2f}" for seconds in recovery.seconds)
        print(
            f"{passed:8.0f} {fault.__name__:26} {times:>24} {recovery.connections:6} {recovery.requests:5} "
            f"{samples[-1].rss:7.1f} {samples[-1].threads:7}",
            flush=True,
        )
    return recoveries, samples, None


def print_table(recoveries: dict[str, list[Recovery]]) -> None:
    print(f"\n{'fault':26} {'times':>5} {'min s':>7} {'median s':>8} {'max s':>7} {'connections':>12} {'requests':>9}")
    for name in sorted(recoveries):
        each = recoveries[name]
        seconds = [one for recovery in each for one in recovery.seconds]
        connections = max(recovery.connections for recovery in each)
        requests = max(recovery.requests for recovery in each)
        print(
            f"{name:26} {len(each):5} {min(seconds):7.2f} {statistics.median(seconds):8.2f} {max(seconds):7.2f} "
            f"{connections:12} {requests:9}"
        )
    print("(connections and requests: of four informers, the most of one fault)")


def growth(samples: list[Sample]) -> str | None:
    """What has grown between the first and the last third of what follows the warm-up."""
    steady = samples[WARM_UP:]
    third = len(steady) // 3
    if third < 2:
        print("too short to say anything of growth")
        return None
    first, last = steady[:third], steady[-third:]
    more = statistics.median(each.rss for each in last) - statistics.median(each.rss for each in first)
    threads = min(each.threads for each in last) - max(each.threads for each in first)
    print(f"growth over the last two thirds: {more:+.1f} MB, {max(threads, 0)} threads")
    if more > MOST_GROWTH_MB:
        return f"memory has grown by {more:.1f} MB"
    return f"{threads} more threads" if threads > 0 else None


def main() -> int:
    options = arguments()
    logging.basicConfig(level=logging.ERROR)
    seed = options.seed if options.seed is not None else Random().randrange(1_000_000)
    random = Random(seed)
    backoff, silence = (Backoff(), 150.0) if options.defaults else (Backoff(initial=0.05, maximum=1.0), 3.0)
    print(f"seed {seed}, backoff {backoff.initial:g} to {backoff.maximum:g} s, silence_timeout {silence:g} s")
    with ControlPlane() as plane:
        scene = Scene(
            Namespace(Cluster(plane)), backoff=backoff, silence_timeout=silence, random=random, pause=options.pause
        )
        try:
            scene.start()
            recoveries, samples, wrong = soak(scene, options.minutes, random)
        finally:
            scene.close()
    print_table(recoveries)
    wrong = wrong or growth(samples)
    print(f"FAILED: {wrong}" if wrong else "passed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
