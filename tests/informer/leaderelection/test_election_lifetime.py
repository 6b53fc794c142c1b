"""Elections of programs that end, and of processes that are forked."""

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

def work(stop):
    started.set()
    stop.wait()
    print("work ends", flush=True)

lock = Lock()
stop = threading.Event()

def elector(**options):
    options = {"on_started_leading": work, "on_stopped_leading": lambda: print("stopped", flush=True), **options}
    return LeaderElector(lock, **options)
"""


class Ended(NamedTuple):
    code: int
    lines: list[str]
    errors: str


def run_program(body: str) -> Ended:
    """Runs a program to its end, which has to come soon."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout.splitlines(), done.stderr)


def test_a_program_that_ends_gives_its_lease_back() -> None:
    """Its work is told to end, and then another need not wait, though `run` was on a thread that nobody has stopped."""
    ended = run_program("""
        e = elector(release_on_cancel=True)
        Worker(lambda: e.run(stop), "run").start()
        assert started.wait(20)
    """)
    assert (ended.code, ended.errors) == (0, "")
    assert ended.lines == ["became leader", "work ends", "released", "stopped leading", "stopped"]


def test_work_that_does_not_end_delays_the_end_of_a_program_by_a_second() -> None:
    """And its lease is not given back."""
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


def test_a_program_is_ended_by_a_signal() -> None:
    """SIGTERM on the main thread, which waits in `run`."""
    ended = run_program("""
        from informer import stop_on_signals
        stop = stop_on_signals()
        def end(stop):
            os.kill(os.getpid(), signal.SIGTERM)
            work(stop)
        elector(on_started_leading=end, release_on_cancel=True).run(stop)
    """)
    assert (ended.code, ended.errors) == (0, "")
    assert ended.lines == ["became leader", "work ends", "released", "stopped leading", "stopped"]


def test_work_that_exits_ends_the_program() -> None:
    """`sys.exit` in there comes out of `run`, with its code."""
    ended = run_program("""
        elector(on_started_leading=lambda stop: sys.exit(7)).run(stop)
    """)
    assert ended.code == 7
    assert ended.lines[-1] == "stopped"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_lead() -> None:
    """The lease is its parent's, which goes on leading; a new elector may be made in the child."""
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
                # However long it is over, nothing of it goes on here.
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
