"""A forked child does not show its parent's objects, and does not hang on locks of its parent's threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.forks import IN_CHILD

ROOT = Path(__file__).parents[3]

PRELUDE = """
import socket, threading, urllib.request
from prometheus_client import CollectorRegistry, generate_latest
from informer import ListWatch, ObjectList, SharedInformer
from informer.metrics import install, make_app, serve
from informer.testing.fake_source import FakeControllerSource
from informer.workqueue import WorkQueue

registry = CollectorRegistry()
collector = install(registry)
source = FakeControllerSource()
source.add({"metadata": {"name": "a", "namespace": "ns"}})

def started(name):
    informer = SharedInformer(source, name=name, watch_list=False)
    informer.start()
    assert informer.wait_for_sync(20)
    return informer

def shown():
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]

def page(app, path):
    said = []
    body = b"".join(app({"PATH_INFO": path, "REQUEST_METHOD": "GET"}, lambda status, headers: said.append(status)))
    return said[0][:3], body.decode()
"""


def run(program: str) -> None:
    code = IN_CHILD + PRELUDE + textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def test_a_child_can_scrape_and_shows_only_its_own_objects() -> None:
    """Locks that the parent's threads held at the fork do not block it. Informers that the child starts are shown."""
    run("""
    informer = started("parents")
    queue = WorkQueue(name="q", metrics_provider=collector)
    assert any("parents" in line for line in shown())
    assert any('"q"' in line for line in shown())

    def body():
        assert shown() == ["informer_metrics_read_errors_total 0.0"], shown()
        childs = started("childs")
        assert 'informer_store_objects{name="childs"} 1.0' in shown()
        assert install(registry) is collector
        childs.stop(10)

    # In the child these locks stay locked for ever.
    with collector._lock, queue._lock, informer.indexer.records._lock:
        assert in_child(body) == 0
    assert any("parents" in line for line in shown())
    informer.stop(10)
    """)


def test_a_parents_informer_is_not_ready_in_a_child() -> None:
    """Only where it was chosen; without a choice the child has no informer to wait for."""
    run("""
    informer = started("parents")
    named, all_of_them = make_app(registry=registry, informers=[informer]), make_app(registry=registry)
    assert page(named, "/readyz") == ("200", "ok\\n")

    def body():
        status, text = page(named, "/readyz")
        assert status == "503", text
        assert text == (
            "informer parents: not synced: informer parents was started before this process was forked: "
            "start one in the child instead\\n"
        ), text
        assert page(named, "/healthz") == ("200", "ok\\n")
        assert page(all_of_them, "/readyz") == ("200", "ok\\n")

    assert in_child(body) == 0
    informer.stop(10)
    """)


def test_the_port_stays_the_parents() -> None:
    """The child closes its copy of the listening socket, and may serve on a port of its own."""
    run("""
    server = serve(0, "127.0.0.1", registry=registry)
    port = server.port

    def body():
        server.stop()
        with serve(0, "127.0.0.1", registry=registry) as own:
            assert urllib.request.urlopen(f"http://127.0.0.1:{own.port}/healthz", timeout=10).status == 200
        # The parent still answers.
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10).status == 200

    assert in_child(body) == 0
    forked, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(15)
        os.write(tell, b".")
        signal.pause()
    os.read(forked, 1)
    server.stop(10)
    with socket.create_server(("127.0.0.1", port)):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    """)
