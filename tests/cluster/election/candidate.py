"""One of several processes that elect a leader; it writes down what it believes of itself, all the time.

    python candidate.py KUBECONFIG NAMESPACE NAME IDENTITY LOG WALL_OFFSET LEASE RENEW RETRY RELEASE

Each line of LOG is a moment of the machine's monotonic clock, and two digits: whether `is_leader()` said so then, and whether
the stop event of the work was not set. Lines come from the work, as often as it looks; none come while nobody works here.
SIGTERM ends it in good order.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from informer import stop_on_signals
from informer.leaderelection import LeaderElector, LeaseClock, LeaseLock

# Seconds between two looks of the work.
LOOK = 0.002


class WrongClock(LeaseClock):
    """Of a host on which somebody has set another time of day."""

    def __init__(self, offset: float) -> None:
        self._offset = offset

    def wall(self) -> float:
        return super().wall() + self._offset


def api_client(kubeconfig: str) -> Any:
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_kube_config(kubeconfig, client_configuration=configuration)
    configuration.proxy = None
    return client.ApiClient(configuration)


def main() -> None:
    kubeconfig, namespace, name, identity, log, wall_offset, lease, renew, retry, release = sys.argv[1:]
    # Each line is one write, so that nothing is lost when the process is killed.
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def work(stop: threading.Event) -> None:
        while True:
            # In this order: neither may be younger than the moment that stands before it.
            now = time.monotonic()
            leads, goes_on = elector.is_leader(), not stop.is_set()
            os.write(file, b"%.6f %d%d\n" % (now, leads, goes_on))
            if not goes_on:
                return
            time.sleep(LOOK)

    elector = LeaderElector(
        LeaseLock(api_client(kubeconfig), namespace, name, identity),
        lease_duration=float(lease),
        renew_deadline=float(renew),
        retry_period=float(retry),
        on_started_leading=work,
        on_stopped_leading=lambda: None,
        release_on_cancel=release == "1",
        clock=WrongClock(float(wall_offset)),
    )
    stop = stop_on_signals()
    while not stop.is_set():
        elector.run(stop)


if __name__ == "__main__":
    main()
