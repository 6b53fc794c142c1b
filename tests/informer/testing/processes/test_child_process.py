"""Child processes that run beside the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from informer.testing.processes.child_process import ChildProcess
from tests.support.waiting import eventually
from watch.concurrency import Worker

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


@pytest.fixture
def shell(tmp_path):
    """Makes child processes that run shell scripts; they are killed after the test."""
    made = []

    def make(script):
        process = ChildProcess("program", ["/bin/sh", "-c", script], tmp_path / "log")
        made.append(process)
        return process

    yield make
    for process in made:
        process.kill()


def test_output_is_that_of_the_latest_run(shell):
    """The log file keeps the output of earlier runs, but `output` returns only that of the latest one."""
    process = shell("echo run $$; echo and errors >&2")
    process.start()
    assert process.wait(10)
    first = process.output()
    process.start()
    assert process.wait(10)
    assert process.output() != first
    assert process.last_lines().splitlines()[-1] == "  and errors"
    assert process.last_lines(1) == "  and errors"


def test_kill_ends_the_process_and_is_idempotent(shell):
    """When `kill` returns the process has ended; it can be killed twice and started again."""
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
    assert process.wait(0)
    process.start()
    assert process.is_running


def test_etcd_settings_of_the_environment_are_removed(shell, monkeypatch):
    """Variables that etcd reads as flags are removed from the environment; others are passed on."""
    monkeypatch.setenv("ETCD_NAME", "mine")
    monkeypatch.setenv("OTHER_NAME", "other")
    process = shell("echo [$ETCD_NAME] [$OTHER_NAME]")
    process.start()
    assert process.wait(10)
    assert process.output() == "[] [other]\n"


def test_frozen_process_continues_after_the_block(shell):
    """A frozen process does not run until the block ends."""
    process = shell("read line; echo never")
    with pytest.raises(RuntimeError, match="has not started, or has ended"), process.frozen():
        pass
    process = shell("sleep 0.1; echo done")
    process.start()
    with process.frozen():
        assert not process.wait(0.3)
    assert process.wait(10)
    assert process.output() == "done\n"


@on_linux
def test_process_dies_with_the_one_that_started_it(tmp_path):
    """When a test run is killed by SIGKILL, its child processes end too."""
    script = (
        "from pathlib import Path; from informer.testing.processes.child_process import ChildProcess; import threading\n"
        f"process = ChildProcess('program', ['/bin/sleep', '60'], Path({str(tmp_path / 'log')!r}))\n"
        "process.start(); print(process._process.pid, flush=True); threading.Event().wait(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        started = Path(f"/proc/{pid}/cmdline")
        assert eventually(lambda: b"sleep" in started.read_bytes().split(b"\0")[0])
        run.kill()
    # A zombie, which has no command line, has ended too.
    assert eventually(lambda: not started.exists() or not started.read_bytes())


@on_linux
def test_process_outlives_the_thread_that_started_it(shell):
    """A process that was started on another thread keeps running when that thread ends."""
    process = shell("exec sleep 60")
    assert Worker(process.start, "starter").start().join(10)
    assert not process.wait(0.2)


@on_linux
def test_process_has_its_own_session(shell):
    """Ctrl-C in the terminal does not reach the process, as it has its own session."""
    process = shell("exec sleep 60")
    process.start()
    assert eventually(lambda: "sleep" in Path(f"/proc/{process._process.pid}/comm").read_text())
    fields = Path(f"/proc/{process._process.pid}/stat").read_text().rpartition(")")[2].split()
    assert fields[3] == str(process._process.pid)
