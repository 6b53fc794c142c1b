"""Measures how long an informer with default settings needs to notice a dead network path, on which packets vanish silently.

    sudo python benchmarks/dead_path.py            # Linux, as root; about 100 seconds

The server is in its own network namespace, behind a second one that plays the router. At some moment the router drops packets
instead of forwarding them. Meanwhile the server's state changes. Two cases run at the same time:

    "back"     the path drops everything for 60 s, and then works again
    "another"  packets of open connections are dropped for ever, while new connections work: like a firewall or load balancer
               that lost its state, or a second path that replaces the first

Prints, in seconds since the path died: when the informer noticed (it abandoned its watch), and when its cache equalled the
server's state again. Exit code 1: it noticed after more than 46 s, or the cache did not recover.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client

from informer import ListWatch, SharedInformer
from watch.concurrency import Worker

# Compared in whole seconds: the kernel rounds up four timers of 10 and 15 s, each by up to a quarter of a second.
MOST_SECONDS = 46
DEAD_SECONDS = 60.0
DEADLINE = 200.0


def run(*command: str) -> None:
    subprocess.run(command, check=True)


class Route:
    """A network path from this process over a router to a server; both have their own network namespace.

    Args:
        number: determines the addresses: 10.213.NUMBER.0/24.
    """

    def __init__(self, number: int) -> None:
        name = f"dead-{os.getpid()}-{number}"
        self._router, self._server = f"{name}-router", f"{name}-server"
        self._link = f"dead{os.getpid() % 100_000}x{number}"
        self._net = f"10.213.{number}"
        self.address = f"{self._net}.6"

    def lay(self) -> None:
        for namespace in (self._router, self._server):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "link", "add", self._link, "type", "veth", "peer", "name", "near", "netns", self._router)
        run(
            "ip",
            "-n",
            self._router,
            "link",
            "add",
            "far",
            "type",
            "veth",
            "peer",
            "name",
            "near",
            "netns",
            self._server,
        )
        run("ip", "address", "add", f"{self._net}.1/30", "dev", self._link)
        run("ip", "-n", self._router, "address", "add", f"{self._net}.2/30", "dev", "near")
        run("ip", "-n", self._router, "address", "add", f"{self._net}.5/30", "dev", "far")
        run("ip", "-n", self._server, "address", "add", f"{self.address}/30", "dev", "near")
        run("ip", "link", "set", self._link, "up")
        for namespace, device in ((self._router, "near"), (self._router, "far"), (self._server, "near")):
            run("ip", "-n", namespace, "link", "set", device, "up")
        run("ip", "route", "add", f"{self._net}.4/30", "via", f"{self._net}.2")
        run("ip", "-n", self._server, "route", "add", "default", "via", f"{self._net}.5")
        run(*self._in_router("sysctl", "-qw", "net.ipv4.ip_forward=1"))

    def drop_everything(self) -> None:
        self._rule("add", "from", "all")

    def pass_everything(self) -> None:
        self._rule("delete", "from", "all")

    def drop_connections(self, ports: list[int]) -> None:
        """Drops both directions of the connections with these client ports."""
        for port in map(str, ports):
            self._rule("add", "ipproto", "tcp", "sport", port)
            self._rule("add", "ipproto", "tcp", "dport", port)

    def command_at_server(self, program: str) -> list[str]:
        """Returns the command that runs a program of this directory in the server's namespace."""
        return ["ip", "netns", "exec", self._server, sys.executable, str(Path(__file__).with_name(program))]

    def remove(self) -> None:
        # Deleting a namespace deletes its links, and a link's other end.
        for namespace in (self._router, self._server):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "link", "delete", self._link], check=False, stderr=subprocess.DEVNULL)

    def _rule(self, verb: str, *what: str) -> None:
        # The router looks up a route for each packet; a blackhole route drops it silently.
        run("ip", "-n", self._router, "rule", verb, "priority", "100", *what, "blackhole")

    def _in_router(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self._router, *command]


class Server:
    """The server at the end of the path, controlled through a pipe."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lock = threading.Lock()
        assert process.stdout is not None
        hello = json.loads(process.stdout.readline())
        self.port: int = hello["port"]
        self.ca: str = hello["ca"]

    def send(self, line: str) -> dict[str, str]:
        """Sends a command and returns the state after it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            print(line, file=self._process.stdin, flush=True)
            state: dict[str, str] = json.loads(self._process.stdout.readline())
            return state

    def write(self) -> None:
        for name in ("a", "b", f"c{time.monotonic_ns()}"):
            self.send(f"write {name}")


@contextmanager
def serving(number: int) -> Iterator[tuple[Route, Server]]:
    path = Route(number)
    try:
        path.lay()
        with subprocess.Popen(
            path.command_at_server("_dead_path_server.py"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        ) as process:
            try:
                yield path, Server(process)
            finally:
                process.terminate()
    finally:
        path.remove()


def ports_to(address: str) -> list[int]:
    """Returns the local ports of the TCP connections to an address."""
    ports = []
    peer = socket.inet_aton(address)[::-1].hex().upper()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, *_ = line.split()
        if remote.startswith(peer + ":"):
            ports.append(int(local.rpartition(":")[2], 16))
    return ports


def wait_until(condition: Callable[[], bool]) -> float:
    """Waits for a condition. Returns the time at which it was met, or infinity after the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            return float("inf")
        time.sleep(0.05)
    return time.monotonic()


class Case:
    """An informer whose network path dies.

    Args:
        name: "back" or "another".
        number: the number of its `Route`.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.noticed = self.right = float("inf")
        self.error: BaseException | None = None
        self._number = number

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self.error = error

    def _run(self) -> None:
        with serving(self._number) as (path, server), tempfile.NamedTemporaryFile("w", suffix=".pem") as ca:
            ca.write(server.ca)
            ca.flush()
            server.write()
            configuration = client.Configuration()
            configuration.host = f"https://{path.address}:{server.port}"
            configuration.ssl_ca_cert = ca.name
            configuration.tls_server_name = "localhost"
            configuration.proxy = None
            informer: Any = SharedInformer(ListWatch.for_resource(client.ApiClient(configuration), "configmaps"))
            with informer:
                assert informer.wait_for_sync(20), informer.sync_error()
                self._kill(path, server, informer)

    def _kill(self, path: Route, server: Server, informer: Any) -> None:
        def is_right() -> bool:
            return {obj.name: obj.resource_version for obj in informer.store.list()} == server.send("list")

        # The public API does not show a watch that resumes at once.
        (reflector,) = informer.controller.reflectors
        wait_until(lambda: informer.is_watching and is_right())
        watches = reflector.watches
        died = time.monotonic()
        if self.name == "back":
            path.drop_everything()
        else:
            path.drop_connections(ports_to(path.address))
        server.write()
        assert not is_right(), "the path is not dead"
        self.noticed = wait_until(lambda: not informer.is_watching or reflector.watches > watches) - died
        if self.name == "back":
            server.write()
            time.sleep(max(0.0, died + DEAD_SECONDS - time.monotonic()))
            path.pass_everything()
        self.right = wait_until(is_right) - died


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        print("skipped: needs Linux, root and the program ip to create network namespaces")
        return 0
    cases = [Case("back", 1), Case("another", 2)]
    workers = [Worker(case.run, case.name).start() for case in cases]
    for worker in workers:
        worker.join()
    print(f"{'case':10} {'noticed after s':>16} {'right after s':>14}")
    for case in cases:
        print(f"{case.name:10} {case.noticed:16.2f} {case.right:14.2f}" + (f"  {case.error!r}" if case.error else ""))
    print(f"(the path of the first case was back after {DEAD_SECONDS:g} s)")
    return 0 if all(round(case.noticed, 0) <= MOST_SECONDS and case.right < DEADLINE for case in cases) else 1


if __name__ == "__main__":
    sys.exit(main())
