"""`informer bench`: measures this library beside `watch.Watch` of the official client."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from informer.cli.errors import CommandError

__all__ = ["bench_clients"]

_CLIENTS = {"informer": "kube-informer", "watch": "watch.Watch"}
_SECONDS = 600


def bench_clients(cluster: bool, kubeconfig: str | None, context: str | None, pods: int, events: int) -> None:
    """Measures both clients and prints a table.

    Args:
        cluster: measure lists of the user's cluster; otherwise a server of pods and events.
        kubeconfig: of the user's cluster.
        context: of the user's cluster.
        pods: of the embedded server.
        events: of the embedded server.

    Raises:
        CommandError: a client failed.
    """
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        server = None
        settings: dict[str, Any] = {"kubeconfig": kubeconfig, "context": context, "events": 0}
        try:
            if not cluster:
                path = str(Path(folder) / "kubeconfig")
                with console.status(f"starting a server with {pods} pods and {events} events"):
                    server, version = _start_server(path, pods, events)
                settings = {"kubeconfig": path, "context": None, "events": events, "version": version}
            results = {}
            for client, name in _CLIENTS.items():
                with console.status(f"measuring {name}"):
                    results[name] = _measure({**settings, "client": client})
        finally:
            if server is not None:
                server.kill()
                server.communicate()
    console.print(_table(results))


def _start_server(kubeconfig: str, pods: int, events: int) -> tuple[subprocess.Popen[str], str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "informer.cli.bench_server", kubeconfig, str(pods), str(events)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # a Ctrl-C in the terminal is for this process, which ends the others
    )
    version = ""
    try:
        assert server.stdout is not None
        version = server.stdout.readline().strip()
    finally:
        if not version:
            server.kill()
            server.communicate()
    if not version:
        raise CommandError("the embedded server did not start")
    return server, version


def _measure(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "informer.cli.bench_client", json.dumps(settings)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        process_group=0,
    )
    if done.returncode:
        # Its last line is the error; log lines may be before it.
        error = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CommandError(f"{_CLIENTS[settings['client']]} failed: {error}")
    result: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("client")
    with_events = any(result["events_per_second"] for result in results.values())
    for heading in ("objects", "first sync", "memory per object", *(("events/s",) if with_events else ())):
        table.add_column(heading, justify="right")
    for name, result in results.items():
        cells = [f"{result['objects']:,}", f"{result['seconds']:.2f} s", f"{result['bytes_per_object'] / 1000:.1f} KB"]
        if with_events:
            cells.append(f"{result['events_per_second']:,.0f}")
        table.add_row(name, *cells)
    return table
