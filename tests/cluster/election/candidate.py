"""One of several processes that elect a leader. It logs continually whether it believes that it leads.

    python candidate.py KUBECONFIG NAMESPACE NAME IDENTITY LOG WALL_OFFSET LEASE RENEW RETRY RELEASE

Each line of LOG has the time by the machine's monotonic clock, and two digits: 1 if `is_leader()` was true, and 1 if the stop
event of the task was not set. The task writes a line every `LOOK` seconds; there are no lines while it does not run. SIGTERM
ends the process in good order.
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

# Seconds between two lines.
LOOK = 0.002


class WrongClock(LeaseClock):
    """The clock of a host whose time of day is wrong."""

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
    # Unbuffered, and one write per line, so that no line is lost when the process is killed.
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def task(stop: threading.Event) -> None:
        while True:
            # The time is read first: the states must not be older than the time of their line.
            now = time.monotonic()
            leads, is_working = elector.is_leader(), not stop.is_set()
            os.write(file, b"%.6f %d%d\n" % (now, leads, is_working))
            if not is_working:
                return
            time.sleep(LOOK)

    elector = LeaderElector(
        LeaseLock(api_client(kubeconfig), namespace, name, identity),
        lease_duration=float(lease),
        renew_deadline=float(renew),
        retry_period=float(retry),
        on_started_leading=task,
        on_stopped_leading=lambda: None,
        release_on_cancel=release == "1",
        clock=WrongClock(float(wall_offset)),
    )
    stop = stop_on_signals()
    while not stop.is_set():
        elector.run(stop)


if __name__ == "__main__":
    main()
