"""How many operations per second each kind of work queue performs.

    python benchmarks/workqueue.py                  # a hundred thousand keys, one thread
    python benchmarks/workqueue.py --keys 1000000

`add` adds keys one by one, `add_all` a thousand at a time, as handlers do. `cycle` adds, gets and finishes each key; `with
metrics` is the same for a queue with a name and metrics. `4 workers` has four threads that process keys while another adds
them. `run_workers` calls a function that does nothing with each key.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from typing import Any

from informer.workqueue import (
    DelayingQueue,
    PriorityQueue,
    QueueMetrics,
    RateLimitingQueue,
    ShutDownError,
    WorkQueue,
    run_workers,
)


class Provider:
    def queue_started(self, metrics: QueueMetrics) -> None: ...

    def queue_ended(self, metrics: QueueMetrics) -> None: ...


def rate(count: int, function: Callable[[], object]) -> str:
    begun = time.perf_counter()
    function()
    return f"{count / (time.perf_counter() - begun):12,.0f}"


def each(function: Callable[[Any], object], keys: list[str]) -> None:
    for key in keys:
        function(key)


def cycle(queue: WorkQueue[str], keys: list[str]) -> None:
    for key in keys:
        queue.add(key)
        queue.done(queue.get())


def with_workers(queue: WorkQueue[str], keys: list[str]) -> None:
    def work() -> None:
        while True:
            try:
                key = queue.get()
            except ShutDownError:
                return
            queue.done(key)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    each(queue.add, keys)
    queue.shut_down_with_drain()
    for thread in threads:
        thread.join()


def processed(queue: RateLimitingQueue[str], keys: list[str]) -> None:
    queue.add_all(keys)
    queue.shut_down()
    run_workers(queue, {}.get, workers=4)


def measure(kind: type[Any], keys: list[str]) -> list[str]:
    count = len(keys)
    queue = kind()
    found = [rate(count, lambda: each(queue.add, keys)), rate(count, lambda: each(lambda _: queue.get(), keys))]
    found.append(rate(count, lambda: each(queue.done, keys)))

    def add_all() -> None:
        for start in range(0, count, 1000):
            queue.add_all(keys[start : start + 1000])

    found.append(rate(count, add_all))
    found.append(rate(count, lambda: cycle(kind(), keys)))
    found.append(rate(count, lambda: cycle(kind(name="bench", metrics_provider=Provider()), keys)))
    found.append(rate(count, lambda: with_workers(kind(), keys)))
    if issubclass(kind, RateLimitingQueue):
        found.append(rate(count, lambda: processed(kind(), keys)))
    if issubclass(kind, DelayingQueue):
        later = kind()
        found.append(rate(count, lambda: each(lambda key: later.add_after(key, 1000), keys)))
        later.shut_down()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=100_000)
    options = parser.parse_args()
    keys = [f"namespace-{n % 50}/pod-{n}" for n in range(options.keys)]
    columns = ("add", "get", "done", "add_all", "cycle", "with metrics", "4 workers", "run_workers", "add_after")
    print(" " * 18 + "".join(f"{column:>13}" for column in columns) + "   (per second)")
    for kind in (WorkQueue, DelayingQueue, RateLimitingQueue, PriorityQueue):
        found = measure(kind, keys)
        if not issubclass(kind, RateLimitingQueue):
            found.insert(7, f"{'':12}")
        print(f"{kind.__name__:18}" + " ".join(["", *found]))


if __name__ == "__main__":
    main()
