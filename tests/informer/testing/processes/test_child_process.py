"""Programs beside the tests, and the ports they get."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from informer.testing.processes.child_process import ChildProcess
from informer.testing.processes.ports import free_ports
from tests.eventually import eventually
from watch.concurrency import Worker

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into Linux's /proc")


@pytest.fixture
def shell(tmp_path):
    """Makes a process of a shell script, which is ended with the test."""
    made = []

    def make(script):
        process = ChildProcess("program", ["/bin/sh", "-c", script], tmp_path / "log")
        made.append(process)
        return process

    yield make
    for process in made:
        process.kill()


def test_output_is_that_of_the_last_run(shell):
    """What an earlier run wrote stays in the file, and is not taken for the present one's."""
    process = shell("echo run $$; echo and errors >&2")
    process.start()
    assert process.wait(10)
    first = process.output()
    process.start()
    assert process.wait(10)
    assert process.output() != first
    assert process.last_lines().splitlines()[-1] == "  and errors"
    assert process.last_lines(1) == "  and errors"


def test_kill_ends_it_and_is_harmless_afterwards(shell):
    """A killed process has ended when `kill` returns, and can be started again."""
    process = shell("exec sleep 60")
    process.kill()
    process.start()
    assert process.is_running
    assert not process.wait(0)
    with pytest.raises(RuntimeError, match="program has started already"):
        process.start()
    process.kill()
    process.kill()
    assert not process.is_running
    assert process.pid is None
    assert process.wait(0)
    process.start()
    assert process.is_running


def test_settings_of_the_shell_do_not_reach_it(shell, monkeypatch):
    """Variables that etcd would take for its flags are kept from it; others are passed on."""
    monkeypatch.setenv("ETCD_NAME", "mine")
    monkeypatch.setenv("OTHER_NAME", "other")
    process = shell("echo [$ETCD_NAME] [$OTHER_NAME]")
    process.start()
    assert process.wait(10)
    assert process.output() == "[] [other]\n"


def test_frozen_process_goes_on_when_thawed(shell):
    """A frozen process does not end by itself until it is thawed."""
    process = shell("read line; echo never")
    with pytest.raises(RuntimeError, match="has not started, or has ended"):
        process.freeze()
    process = shell("sleep 0.1; echo done")
    process.start()
    process.freeze()
    assert not process.wait(0.3)
    process.thaw()
    assert process.wait(10)
    assert process.output() == "done\n"


@on_linux
def test_process_dies_with_the_one_that_started_it(tmp_path):
    """When a test run is killed outright, what it has started does not live on."""
    script = (
        "from pathlib import Path; from informer.testing.processes.child_process import ChildProcess; import threading\n"
        f"process = ChildProcess('program', ['/bin/sleep', '60'], Path({str(tmp_path / 'log')!r}))\n"
        "process.start(); print(process.pid, flush=True); threading.Event().wait(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        started = Path(f"/proc/{pid}/cmdline")
        assert eventually(lambda: b"sleep" in started.read_bytes().split(b"\0")[0])
        run.kill()
    # One that nobody has waited for yet is dead too.
    assert eventually(lambda: not started.exists() or not started.read_bytes())


@on_linux
def test_process_outlives_the_thread_that_started_it(shell):
    """A process that was started on a thread lives on when that thread ends."""
    process = shell("exec sleep 60")
    assert Worker(process.start, "starter").start().join(10)
    assert not process.wait(0.2)


@on_linux
def test_process_is_out_of_the_terminals_reach(shell):
    """It is in a session of its own, so that Ctrl-C in the terminal does not end it."""
    process = shell("exec sleep 60")
    process.start()
    assert eventually(lambda: "sleep" in Path(f"/proc/{process.pid}/comm").read_text())
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    assert fields[3] == str(process.pid)


@on_linux
def test_ports_are_free_different_and_not_those_of_clients():
    """Free ports can be listened on, and lie outside the range that outgoing connections are given."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not [port for port in ports if first <= port <= last]
    for port in ports:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
