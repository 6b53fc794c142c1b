"""Elections in programs that exit, and in processes that fork."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import NamedTuple

import pytest

PROGRAM = """
import os, signal, sys, threading, time
from informer.leaderelection import LeaderElectionRecord, LeaderElector
from watch import ApiError
from watch.concurrency import Worker
from informer.errors import InformerForkedError

class Lock:
    identity = "me"
    record = None
    def get(self, *, timeout):
        if self.record is None:
            raise ApiError(404, "NotFound")
        return self.record
    def create(self, record, *, timeout):
        self.record = record
        if not record.holder_identity:
            print("released", flush=True)
    update = create
    def record_event(self, text):
        print(text, flush=True)
    def describe(self):
        return "foo/bar"

started = threading.Event()

def task(stop):
    started.set()
    stop.wait()
    print("task ends", flush=True)

lock = Lock()
stop = threading.Event()

def elector(**options):
    options = {"on_started_leading": task, "on_stopped_leading": lambda: print("stopped", flush=True), **options}
    return LeaderElector(lock, **options)
"""


class Ended(NamedTuple):
    code: int
    lines: list[str]
    errors: str


def run_program(body: str) -> Ended:
    """Runs a program to its end."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout.splitlines(), done.stderr)


def test_a_program_that_exits_releases_its_lease() -> None:
    """Its task is stopped first. `run` is on a daemon thread that the program did not stop."""
    ended = run_program("""
        e = elector(release_on_cancel=True)
        Worker(lambda: e.run(stop), "run").start()
        assert started.wait(20)
    """)
    assert (ended.code, ended.errors) == (0, "")
    assert ended.lines == ["became leader", "task ends", "released", "stopped leading", "stopped"]


def test_a_task_that_does_not_end_delays_exit_by_one_second() -> None:
    """The lease is not released."""
    ended = run_program("""
        e = elector(release_on_cancel=True, on_started_leading=lambda stop: started.set() or threading.Event().wait())
        Worker(lambda: e.run(stop), "run").start()
        assert started.wait(20)
        begun = time.monotonic()
        from informer import process
        process._stop_all()
        assert 0.5 < time.monotonic() - begun < 5
        assert lock.record.holder_identity == "me"
        os._exit(0)
    """)
    assert (ended.code, ended.errors) == (0, "")


def test_sigterm_ends_a_run_on_the_main_thread() -> None:
    """The lease is released."""
    ended = run_program("""
        from informer import stop_on_signals
        stop = stop_on_signals()
        def end(stop):
            os.kill(os.getpid(), signal.SIGTERM)
            task(stop)
        elector(on_started_leading=end, release_on_cancel=True).run(stop)
    """)
    assert (ended.code, ended.errors) == (0, "")
    assert ended.lines == ["became leader", "task ends", "released", "stopped leading", "stopped"]


def test_sys_exit_in_the_task_ends_the_program() -> None:
    """SystemExit is raised by `run`, with its code."""
    ended = run_program("""
        elector(on_started_leading=lambda stop: sys.exit(7)).run(stop)
    """)
    assert ended.code == 7
    assert ended.lines[-1] == "stopped"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_does_not_lead() -> None:
    """The parent goes on leading. The child may make a new elector."""
    ended = run_program("""
        e = elector()
        runner = Worker(lambda: e.run(stop), "run").start()
        assert started.wait(20)
        pid = os.fork()
        if pid == 0:
            signal.alarm(15)
            code = 1
            try:
                assert not e.is_leader()
                # With any tolerance the check passes: the task does not run in the child.
                e.check(-1000.0)
                try:
                    e.run(stop)
                except InformerForkedError:
                    code = 0
                stop = threading.Event()
                begun = threading.Event()
                other = elector(on_started_leading=lambda s: begun.set())
                Worker(lambda: other.run(stop), "run").start()
                assert begun.wait(10)
                assert other.is_leader()
            except BaseException:
                import traceback
                traceback.print_exc()
                code = 1
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert e.is_leader()
        stop.set()
        assert runner.join(10)
    """)
    assert (ended.code, ended.errors) == (0, "")
