"""Locks, events and callbacks of a parent process in its forked child."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.support.forks import IN_CHILD
from watch import concurrency
from watch.concurrency import Latch, Lock, Monitor, OwnerProcess, RLock, Signal

# Another thread of the parent is inside `held` when the program forks.
HELD_BY_ANOTHER_THREAD = """
import threading
from watch.channel import Channel
from watch.concurrency import *

holding, release = threading.Event(), threading.Event()

def hold(enter):
    def run():
        with enter:
            holding.set()
            release.wait(30)
    threading.Thread(target=run, daemon=True).start()
    assert holding.wait(10)
"""


def run_forking(script: str) -> subprocess.CompletedProcess[str]:
    """Runs a program that forks, in a process without the threads of this one."""
    command = [sys.executable, "-c", IN_CHILD + script]
    return subprocess.run(command, timeout=50, check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("made", "held", "used"),
    [
        pytest.param("Lock()", "it", "it.acquire(timeout=5) or 1 / 0", id="lock"),
        pytest.param("RLock()", "it", "it.acquire(timeout=5) or 1 / 0", id="rlock"),
        pytest.param("Monitor()", "it", "it.acquire(timeout=5) or 1 / 0", id="monitor"),
        pytest.param("Monitor(RLock())", "it", "it.acquire(timeout=5) or 1 / 0", id="monitor-on-an-rlock"),
        pytest.param("Latch()", "it._event._cond", "(it.open(), it.wait(5) or 1 / 0)", id="latch"),
        pytest.param("Signal()", "it._cond", "(it.set(), it.wait(5) or 1 / 0)", id="signal"),
        pytest.param("Signal()", "it._callbacks_lock", "it.subscribe(print)()", id="signal-subscriptions"),
        pytest.param("Channel(1)", "it._monitor", "(it.put(7), it.get(5) == 7 or 1 / 0)", id="channel"),
    ],
)
def test_a_child_can_use_at_once_what_another_thread_held(made: str, held: str, used: str) -> None:
    """A lock that another thread holds at the fork is free in the child."""
    done = run_forking(f"{HELD_BY_ANOTHER_THREAD}\nit = {made}\nhold({held})\nos._exit(in_child(lambda: {used}))")
    assert done.returncode == 0, done.stderr


def test_the_parent_keeps_its_locks() -> None:
    """A fork unlocks nothing in the parent."""
    script = f"{HELD_BY_ANOTHER_THREAD}\nit = Lock()\nhold(it)\nin_child(lambda: None)\nos._exit(not it.locked())"
    assert run_forking(script).returncode == 0


def test_an_rlock_that_the_forking_thread_holds_stays_held() -> None:
    """The child's thread is still inside its `with` block and leaves it as usual."""
    script = """
from watch.concurrency import *
lock = RLock()
monitor = Monitor(lock)
def body():
    assert lock._is_owned()
    monitor.notify_all()
    lock.release()
    assert not lock._is_owned()
with lock:
    code = in_child(body)
os._exit(code)
"""
    done = run_forking(script)
    assert done.returncode == 0, done.stderr


def test_a_child_notifies_its_own_waiters_only() -> None:
    """A notification in the child wakes the child's waiter, not a waiter of the parent."""
    script = """
import threading
from watch.concurrency import *
monitor, entered = Monitor(), threading.Event()
def wait():
    with monitor:
        entered.set()
        monitor.wait(30)
threading.Thread(target=wait, daemon=True).start()
assert entered.wait(10)
with monitor:
    pass  # the thread waits now
def body():
    woken, waiting = Latch(), Latch()
    def wait_here():
        with monitor:
            waiting.open()
            if monitor.wait(10):
                woken.open()
    Worker(wait_here, "waiter").start()
    assert waiting.wait(10)
    with monitor:
        monitor.notify()
    assert woken.wait(5)
os._exit(in_child(body))
"""
    done = run_forking(script)
    assert done.returncode == 0, done.stderr


def test_functions_run_in_order_after_the_locks_and_none_stops_the_next() -> None:
    """Functions run in the child when its locks are free; an exception is logged, and the next one runs."""
    script = f"""{HELD_BY_ANOTHER_THREAD}
import logging
logging.basicConfig()
it, calls = Lock(), []
@in_forked_child
def first():
    assert it.acquire(timeout=5)
    calls.append(1)
    raise ValueError("of its own")
@in_forked_child
def second():
    calls.append(2)
hold(it)
def body():
    assert calls == [1, 2]
code = in_child(body)
os._exit(code or bool(calls))
"""
    done = run_forking(script)
    assert done.returncode == 0, done.stderr
    assert "of its own" in done.stderr


def test_a_grandchild_can_use_what_its_grandparent_held() -> None:
    """Locks and functions stay registered in a child, for its own children."""
    script = f"""{HELD_BY_ANOTHER_THREAD}
it, calls = Lock(), []
in_forked_child(lambda: calls.append(1))
hold(it)
def child():
    it.acquire()
    def grandchild():
        assert it.acquire(timeout=5)
        assert calls == [1, 1]
    assert in_child(grandchild) == 0
os._exit(in_child(child))
"""
    done = run_forking(script)
    assert done.returncode == 0, done.stderr


def test_a_child_watches_plain_events_on_a_thread_of_its_own() -> None:
    """The parent's watching thread does not exist in the child, which starts its own."""
    script = """
import threading
from watch.concurrency import Latch, on_set
on_set(threading.Event(), lambda: None)
def body():
    event, called = threading.Event(), Latch()
    on_set(event, called.open)
    event.set()
    assert called.wait(10)
os._exit(in_child(body))
"""
    done = run_forking(script)
    assert done.returncode == 0, done.stderr


def test_an_owner_process_tells_a_child_from_its_parent() -> None:
    """`is_current` is True in the process that made it, and False in a child."""
    assert OwnerProcess().is_current
    script = """
from watch.concurrency import OwnerProcess
owner = OwnerProcess()
def body():
    assert not owner.is_current
    assert OwnerProcess().is_current
os._exit(in_child(body) or not owner.is_current)
"""
    done = run_forking(script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("make", [Lock, RLock, Monitor, Signal, Latch])
def test_the_registry_keeps_no_lock_alive(make: Any) -> None:
    """A lock that has no other reference is freed, and its entry removed."""
    gc.collect()
    before = len(concurrency._locks)
    made = [make() for _ in range(100)]
    assert len(concurrency._locks) == before + 100
    del made
    gc.collect()
    assert len(concurrency._locks) <= before


def test_locks_are_made_and_dropped_on_many_threads_at_once(run: Any) -> None:
    """Threads may make and drop locks at the same time."""
    gc.collect()
    before = len(concurrency._locks)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait(10)
        for _ in range(5000):
            Lock()

    for task in [run(work) for _ in range(4)]:
        task.result()
    assert len(concurrency._locks) <= before + 8
