"""Injects faults of the network and of a real API server, one after the other in random order, for some minutes.

    python benchmarks/soak.py --minutes 10              # backoff of 0.05 to 1 s, silence_timeout of 3 s, as in the tests
    python benchmarks/soak.py --minutes 10 --defaults   # an informer's default settings
    python benchmarks/soak.py --defaults --fresh --client-go PROGRAM    # compared with client-go, built from client_go/main.go

Needs etcd and kube-apiserver (KUBEBUILDER_ASSETS). Four informers (list and watch list, both queues) connect through a
faulty proxy to a server on which pods are created, changed and deleted. The faults are those of tests/cluster/faults.

After each fault it prints how long it took until each handler knew the server's state, the connections and requests, memory
and threads. At the end it prints the recovery times by fault. Those of client-go are for a streaming list and for list and
watch, both through the same proxy. An informer's waits grow from fault to fault, because only two quiet minutes reset them;
with --fresh all informers are new for each fault, which shows the effect of one fault alone.

Exit code 1: a cache did not reach the server's state in time, a handler got an impossible call, there were more requests
than the waits allow, or memory or threads have grown.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from _process import rss_mb

from informer import Backoff
from informer.testing import ControlPlane
from tests.cluster.conftest import Cluster, Namespace
from tests.cluster.faults.faults import FAULTS
from tests.cluster.faults.scene import Recovery, Scene
from watch.concurrency import Worker

# After this many faults, pools, allocator and caches have reached their steady size.
WARM_UP = len(FAULTS)
MOST_GROWTH_MB = 10.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--defaults", action="store_true", help="the default backoff and silence_timeout")
    parser.add_argument("--client-go", metavar="PROGRAM", help="a program to run behind the same proxy")
    parser.add_argument("--fresh", action="store_true", help="new informers for each fault")
    parser.add_argument("--seed", type=int, default=None, help="seed of the random order and of the faults")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two writes")
    return parser.parse_args()


def in_random_order(random: Random) -> Iterator[Callable[[Scene], object]]:
    """Yields all faults repeatedly, each time in another order."""
    while True:
        yield from random.sample(FAULTS, len(FAULTS))


class Sample:
    """Memory and threads of this process between two faults."""

    def __init__(self) -> None:
        self.rss = rss_mb()
        self.threads = threading.active_count()


class ClientGo:
    """client-go's informer in its own process; it prints its handler's calls.

    Args:
        program: built from client_go/main.go.
        scene: the server, proxy and namespace.
        watch_list: whether it starts with a streaming list.
    """

    def __init__(self, program: str, scene: Scene, *, watch_list: bool) -> None:
        self._lock = threading.Lock()
        self._state: dict[str, int] = {}  # guarded by _lock, as is the next
        self._reported_at = 0.0
        environment = {
            "SERVER": f"https://127.0.0.1:{scene.proxy.port}",
            "CA_FILE": str(scene.plane.ca_file),
            "TOKEN": scene.plane.token(),
            "NAMESPACE": scene.namespace.name,
            "KUBE_FEATURE_WatchListClient": str(watch_list).lower(),
        }
        self._process = subprocess.Popen(
            [program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._reader = Worker(self._read, "client-go").start()

    def recovery(self, state: dict[str, int], since: float) -> float:
        """Returns the seconds from a moment until the handler had reported a state, which must be final."""
        deadline = time.monotonic() + 300
        while True:
            with self._lock:
                if self._state == state:
                    return max(0.0, self._reported_at - since)
            if time.monotonic() > deadline:
                return float("inf")
            time.sleep(0.05)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(10)
        self._process.stdout.close()

    def _read(self) -> None:
        for line in self._process.stdout:
            what, name, version = line.split()
            with self._lock:
                self._reported_at = time.monotonic()
                if what == "delete":
                    self._state.pop(name, None)
                else:
                    self._state[name] = int(version)


class Soak:
    """One run of the benchmark.

    Args:
        plane: the server.
        options: the program's arguments.
        random: the source of all randomness.
    """

    def __init__(self, plane: ControlPlane, options: argparse.Namespace, random: Random) -> None:
        self._plane = plane
        self._options = options
        self._random = random
        self.recoveries: dict[str, list[Recovery]] = defaultdict(list)
        self.theirs: dict[str, list[float]] = defaultdict(list)  # client-go's recovery times
        self.samples: list[Sample] = []
        self.wrong = ""

    def run(self) -> None:
        head = f"{'after s':>8} {'fault':26} {'recovered after s':>24} {'conns':>6} {'reqs':>5} {'RSS MB':>7} {'threads':>7}"
        print(head + ("  client-go (streaming, list)" if self._options.client_go else ""))
        begun, faults = time.monotonic(), in_random_order(self._random)
        while not self.wrong and time.monotonic() - begun < self._options.minutes * 60:
            with self._scene() as (scene, others):
                for fault in faults:
                    self._undergo(scene, others, fault, time.monotonic() - begun)
                    if self.wrong or self._options.fresh or time.monotonic() - begun > self._options.minutes * 60:
                        break

    @contextmanager
    def _scene(self) -> Iterator[tuple[Scene, list[ClientGo]]]:
        options = self._options
        scene = Scene(
            Namespace(Cluster(self._plane)),
            **settings(defaults=options.defaults),
            random=self._random,
            pause=options.pause,
        )
        others: list[ClientGo] = []
        try:
            scene.start()
            if options.client_go:
                scene.others = 2
                others = [ClientGo(options.client_go, scene, watch_list=watch_list) for watch_list in (True, False)]
            yield scene, others
        finally:
            for other in others:
                other.close()
            scene.close()

    def _undergo(self, scene: Scene, others: list[ClientGo], fault: Callable[[Scene], object], passed: float) -> None:
        name = fault.__name__
        try:
            recovery = scene.undergo(fault)
        except AssertionError as error:
            self.wrong = f"{name}: {error}"
            return
        self.recoveries[name].append(recovery)
        state = scene.server_state()
        theirs = [other.recovery(state, recovery.ended) for other in others]
        self.theirs[name] += theirs
        # Ended threads of handlers and of the refuser disappear with a short delay.
        scene.hold(0.2)
        sample = Sample()
        self.samples.append(sample)
        times = " ".join(f"{seconds:.2f}" for seconds in recovery.seconds)
        print(
            f"{passed:8.0f} {name:26} {times:>24} {recovery.connections:6} {recovery.requests:5} "
            f"{sample.rss:7.1f} {sample.threads:7}" + "".join(f" {seconds:7.2f}" for seconds in theirs),
            flush=True,
        )


def settings(*, defaults: bool) -> dict[str, Any]:
    """Returns the informers' settings."""
    if defaults:
        return {"backoff": Backoff(), "silence_timeout": 150.0}
    return {"backoff": Backoff(initial=0.05, maximum=1.0), "silence_timeout": 3.0}


def print_table(recoveries: dict[str, list[Recovery]], theirs: dict[str, list[float]]) -> None:
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
        if theirs[name]:
            low, middle, high = min(theirs[name]), statistics.median(theirs[name]), max(theirs[name])
            print(f"{'  client-go':26} {len(theirs[name]) // 2:5} {low:7.2f} {middle:8.2f} {high:7.2f}")
    print(
        "(connections and requests: the maximum per fault, for four informers; connections include those of client-go)"
    )


def growth(samples: list[Sample]) -> str | None:
    """Returns what has grown between the first and the last third after the warm-up, or None."""
    steady = samples[WARM_UP:]
    third = len(steady) // 3
    if third < 2:
        print("too short to measure growth")
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
    print(f"seed {seed}, {settings(defaults=options.defaults)}")
    with ControlPlane() as plane:
        soak = Soak(plane, options, Random(seed))
        soak.run()
    print_table(soak.recoveries, soak.theirs)
    wrong = soak.wrong or growth(soak.samples)
    print(f"FAILED: {wrong}" if wrong else "passed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
