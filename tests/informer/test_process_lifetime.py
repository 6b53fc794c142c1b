"""Processes that end or fork while informers run: each test is a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.forks import IN_CHILD
from tests.support.waiting import PROMPT

ROOT = Path(__file__).parents[2]

PRELUDE = """
import asyncio, os, signal, sys, threading, time
from informer import InformerForkedError, ListWatch, ObjectList, SharedInformer, stop_on_signals, wait_for_cache_sync
from informer.testing.fake_source import FakeControllerSource

def pod(name):
    return {"metadata": {"name": name, "namespace": "ns"}}

def started(**options):
    informer = SharedInformer(source, watch_list=False, **options)
    informer.start()
    assert informer.wait_for_sync(20)
    return informer

def last_word():
    print("over", time.monotonic(), flush=True)

source = FakeControllerSource()
source.add(pod("a"))
"""


class Outcome(NamedTuple):
    """The result of a program."""

    code: int
    output: str
    errors: str
    seconds: float
    """From its last word to its end."""


def start(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", PRELUDE + textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def outcome(process: subprocess.Popen[str]) -> Outcome:
    try:
        output, errors = process.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        pytest.fail(f"the program did not end: {process.communicate()}")
    ended = time.monotonic()
    last = [line for line in output.splitlines() if line.startswith("over ")]
    return Outcome(process.returncode, output, errors, ended - float(last[-1].split()[1]) if last else 0.0)


def run(program: str) -> Outcome:
    return outcome(start(program))


# The end of a process


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("informer = started()", id="idle"),
        pytest.param("informer = started(); stream = informer.events()", id="open-stream"),
        pytest.param("started(resync_period=1).add_event_handler(on_add=lambda obj: None)", id="resyncs"),
        pytest.param(
            """
            informer = started()
            entered = threading.Event()
            def block(obj):
                entered.set()
                threading.Event().wait()
            informer.add_event_handler(on_add=block)
            assert entered.wait(20)
            """,
            id="handler-that-blocks",
        ),
        pytest.param(
            """
            entered = threading.Barrier(6)
            def block(obj):
                entered.wait(20)
                threading.Event().wait()
            for _ in range(5):
                started().add_event_handler(on_add=block)
            entered.wait(20)
            """,
            id="five-handlers-that-block",
        ),
        pytest.param(
            """
            entered = threading.Event()
            def block(options):
                entered.set()
                threading.Event().wait()
            SharedInformer(ListWatch(block, block, supports_watch_list=False)).start()
            assert entered.wait(20)
            """,
            id="list-that-blocks",
        ),
        pytest.param(
            """
            async def main():
                informer = started()
                informer.aio.add_event_handler(on_add=lambda obj: asyncio.sleep(0))
                async for change in informer.aio.events():
                    return
            asyncio.run(main())
            """,
            id="asyncio",
        ),
        pytest.param(
            """
            informer = started()
            def busy():
                number = 0
                while True:
                    number += 1
                    source.add(pod(f"p{number % 50}"))
                    threading.Event().wait(0.0005)
            informer.add_event_handler(on_add=lambda obj: None, on_update=lambda old, new: None)
            threading.Thread(target=busy, daemon=True).start()
            """,
            id="busy",
        ),
    ],
)
def test_a_process_that_stops_nothing_ends_within_a_second(program: str) -> None:
    """An informer that is not stopped neither keeps the process alive nor writes on standard error."""
    ended = run(textwrap.dedent(program) + "\nlast_word()")
    assert (ended.code, ended.errors) == (0, "")
    assert ended.seconds < PROMPT


def test_a_process_that_ends_by_an_exception_shows_only_that() -> None:
    """The only traceback is the program's own, and the exit code is 1."""
    ended = run("""
        informer = started()
        informer.add_event_handler(on_add=lambda obj: threading.Event().wait())
        last_word()
        raise LookupError("the program's own")
    """)
    assert ended.code == 1
    assert ended.errors.startswith("Traceback")
    assert ended.errors.count("Traceback") == 1
    assert ended.seconds < PROMPT


def test_a_process_that_exits_keeps_its_code() -> None:
    """The exit code of `sys.exit` in the main program is kept."""
    ended = run("informer = started(); last_word(); sys.exit(7)")
    assert (ended.code, ended.errors) == (7, "")


def test_the_exit_ends_handlers_before_modules_are_torn_down() -> None:
    """The call under way may finish, and no call follows."""
    ended = run("""
        informer = started()
        entered = threading.Event()
        def slow(obj):
            entered.set()
            time.sleep(0.3)
            print("finished", flush=True)
        informer.add_event_handler(on_add=slow)
        source.add(pod("b"))
        assert entered.wait(20)
        last_word()
    """)
    assert (ended.code, ended.errors) == (0, "")
    assert ended.output.count("finished") == 1


def test_at_the_exit_every_informer_stops_at_once() -> None:
    """While one informer hangs, the others do not go on."""
    ended = run("""
        def hang(obj):
            entered.release()
            threading.Event().wait()
        def slow(obj):
            entered.release()
            print("call", flush=True)
            time.sleep(0.15)
        entered = threading.Semaphore(0)
        for name in "bcdefghij":
            source.add(pod(name))
        for handler in [hang, hang, slow, hang, hang]:
            started().add_event_handler(on_add=handler)
            assert entered.acquire(timeout=20)
        last_word()
    """)
    assert (ended.code, ended.errors) == (0, "")
    assert ended.output.partition("over")[2].count("call") <= 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_a_run(number: int) -> None:
    """`run(stop_on_signals())` returns at the first signal, and the program goes on to its end."""
    process = start("""
        informer = SharedInformer(source, watch_list=False)
        informer.add_event_handler(on_add=lambda obj: print("ready", flush=True))
        informer.run(stop_on_signals())
        last_word()
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    ended = outcome(process)
    assert (ended.code, ended.errors) == (0, "")
    assert "over" in ended.output


def test_a_second_signal_ends_the_process() -> None:
    """It does what it does by default."""
    process = start("""
        stop = stop_on_signals()
        print("ready", flush=True)
        stop.wait()
        print("stopping", flush=True)
        threading.Event().wait()
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGTERM)
    assert outcome(process).code == -signal.SIGTERM


# Forks

RAISES = """
def raises(action):
    try:
        action()
    except InformerForkedError:
        return
    raise AssertionError("nothing was raised")
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def run_forking(program: str) -> Outcome:
    return run(IN_CHILD + RAISES + textwrap.dedent(program))


@needs_fork
def test_every_use_in_a_forked_child_raises() -> None:
    """Reads, waits and additions raise, a stop is harmless, and nothing hangs."""
    ended = run_forking("""
        informer = started(indexers={"ns": lambda obj: ["ns"]})
        registration = informer.add_event_handler(on_add=lambda obj: None)
        stream = informer.events()
        lister, store = informer.lister, informer.store
        assert registration.wait_for_sync(20)

        def body():
            for action in [
                informer.has_synced, informer.wait_for_sync, informer.sync_error, informer.start,
                lambda: informer.last_sync_resource_version, lambda: informer.is_watching,
                lambda: informer.last_event_age, lambda: informer.handlers, informer.events,
                lambda: informer.wait_for_resource_version("1"), lambda: informer.run(threading.Event()),
                lambda: informer.add_event_handler(on_add=print), lambda: informer.add_indexers({}),
                lambda: informer.set_transform(None), lambda: informer.set_watch_error_handler(None),
                lambda: wait_for_cache_sync(informer), lambda: wait_for_cache_sync(registration),
                registration.has_synced, registration.wait_for_sync, lambda: registration.backlog_size,
                lambda: registration.lag_seconds, lambda: next(stream), lambda: stream.backlog_size,
                lister.list, lambda: lister.get("a", "ns"), lambda: lister.by_index("ns", "ns"),
                store.list, store.list_keys, lambda: store.get(pod("a")), lambda: store.get_by_key("ns/a"),
                lambda: len(store), lambda: "ns/a" in store, lambda: list(store), lambda: store.add(pod("b")),
                lambda: store.by_index("ns", "ns"), lambda: store.index_keys("ns", "ns"),
                lambda: store.list_index_func_values("ns"), lambda: store.resource_version,
            ]:
                raises(action)
            assert informer.stop() is True
            informer.remove_event_handler(registration)
            registration.remove()
            stream.close()

        assert in_child(body) == 0
        assert store.get_by_key("ns/a") and registration.has_synced() and next(stream).key == "ns/a"
        source.add(pod("b"))
        assert next(stream).key == "ns/b"
        assert informer.stop(20)
    """)
    assert (ended.code, ended.errors) == (0, "")


@needs_fork
def test_a_child_forked_under_load_hangs_nowhere() -> None:
    """Whatever locks the parent's threads hold at the fork, the child is not blocked by them."""
    ended = run_forking("""
        informer = started(resync_period=1)
        streams = [informer.events() for _ in range(3)]
        registrations = [informer.add_event_handler(on_batch=lambda batch: None) for _ in range(3)]
        over = threading.Event()

        def busy():
            number = 0
            while not over.is_set():
                number += 1
                source.add(pod(f"p{number % 20}"))

        def join_and_leave():
            while not over.is_set():
                informer.add_event_handler(on_add=lambda obj: None).remove(wait=False)

        def look():
            while not over.is_set():
                registrations[0].backlog_size, informer.store.list(), informer.wait_for_resource_version("1", 0.001)

        threads = [threading.Thread(target=target) for target in (busy, join_and_leave, look)]
        for thread in threads:
            thread.start()

        def body():
            for stream in streams:
                raises(lambda: next(stream))
                stream.close()
            for registration in registrations:
                raises(lambda: registration.backlog_size)
                registration.remove()
            raises(lambda: informer.store.list())
            raises(lambda: informer.wait_for_sync())
            raises(lambda: informer.add_event_handler(on_add=print))
            informer.stop(None)

        codes = [in_child(body) for _ in range(30)]
        over.set()
        for thread in threads:
            thread.join(20)
        assert codes == [0] * 30, codes
        assert informer.stop(20)
    """)
    assert (ended.code, ended.errors) == (0, "")


@needs_fork
def test_a_lock_held_at_the_fork_does_not_block_the_child() -> None:
    """No use of the informer in the child waits for a lock that another thread of the parent holds."""
    ended = run_forking("""
        informer = started()
        stream = informer.events()
        registration = informer.add_event_handler(on_add=lambda obj: None)
        subscription = registration.subscription
        held, go = threading.Barrier(2), threading.Event()

        def hold():
            life = informer._lifecycle
            with life._lock, informer._processor.lock, life._thread_group._lock, informer._waiters._monitor:
                with subscription._lock, subscription.backlog._lock:
                    held.wait(20)
                    go.wait(20)

        def body():
            raises(lambda: next(stream))
            raises(lambda: informer.wait_for_sync())
            raises(lambda: informer.events())
            raises(lambda: registration.backlog_size)
            raises(lambda: informer.set_transform(None))
            raises(lambda: informer.on_end(print))
            raises(lambda: informer.handlers)
            registration.remove()
            informer.remove_event_handler(registration)
            stream.close()
            assert informer.stop(None)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(20)
        code = in_child(body)
        go.set()
        holder.join(20)
        assert code == 0
        assert informer.stop(20)
    """)
    assert (ended.code, ended.errors) == (0, "")


@needs_fork
def test_a_child_may_leave_the_block_of_its_parents_informer() -> None:
    """A program that is forked within `with informer` ends normally in both processes."""
    ended = run_forking("""
        with SharedInformer(source, watch_list=False) as informer:
            assert informer.wait_for_sync(20)
            pid = os.fork()
            if pid == 0:
                signal.alarm(15)
        if pid == 0:
            sys.exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    """)
    assert (ended.code, ended.errors) == (0, "")


@needs_fork
def test_a_handler_may_fork() -> None:
    """In the child the handler is not called again; in the parent everything goes on."""
    ended = run_forking("""
        source.add(pod("b"))
        seen, codes, parent = [], [], os.getpid()
        informer = SharedInformer(source, watch_list=False)

        def fork(obj):
            if os.getpid() != parent:
                os._exit(3)  # called again in the child
            seen.append(obj["metadata"]["name"])
            if len(seen) == 1:
                pid = os.fork()
                if pid == 0:
                    signal.alarm(15)
                    raises(informer.has_synced)
                    # The thread of this call is the only one in the child, and the process ends with it.
                    return
                codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        registration = informer.add_event_handler(on_add=fork)
        with informer:
            assert registration.wait_for_sync(30)
        assert (seen, codes) == (["a", "b"], [0]), (seen, codes)
    """)
    assert (ended.code, ended.errors) == (0, "")


@needs_fork
def test_a_handler_may_fork_while_another_thread_holds_a_lock() -> None:
    """The handler's thread, and with it the child, ends without waiting for a lock of the parent."""
    ended = run_forking("""
        codes = []
        held, go = threading.Event(), threading.Event()
        informer = SharedInformer(source, watch_list=False)

        def hold():
            life = informer._lifecycle
            with life._lock, informer._processor.lock, life._thread_group._lock, informer._waiters._monitor:
                held.set()
                go.wait(20)

        def fork(obj):
            holder.start()
            held.wait(20)
            pid = os.fork()
            if pid == 0:
                signal.alarm(15)
                return
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            go.set()

        holder = threading.Thread(target=hold)
        registration = informer.add_event_handler(on_add=fork)
        with informer:
            assert go.wait(20)
            holder.join(20)
            assert registration.wait_for_sync(20)
        assert codes == [0], codes
    """)
    assert (ended.code, ended.errors) == (0, "")


@needs_fork
def test_an_informer_made_before_the_fork_may_start_in_the_child() -> None:
    """An informer that was not started belongs to the child."""
    ended = run_forking("""
        informer = SharedInformer(source, watch_list=False)
        registration = informer.add_event_handler(on_add=lambda obj: None)

        def body():
            with informer:
                assert registration.wait_for_sync(10)
                assert len(informer.store) == 1

        assert in_child(body) == 0
        with informer:
            assert registration.wait_for_sync(10)
    """)
    assert (ended.code, ended.errors) == (0, "")


@needs_fork
def test_a_child_may_have_informers_of_its_own() -> None:
    """The parent's informers, unusable there, do not keep the child from starting others."""
    ended = run_forking("""
        from tests.support.waiting import eventually

        informer = started()
        stop = threading.Event()
        runner = threading.Thread(target=SharedInformer(source, watch_list=False).run, args=(stop,))
        runner.start()

        def body():
            mine = SharedInformer(FakeControllerSource(), watch_list=False)
            stop = threading.Event()
            runner = threading.Thread(target=mine.run, args=(stop,))
            runner.start()
            # Waiting before the start is logged as a likely mistake.
            assert eventually(mine.is_started)
            assert mine.wait_for_sync(10)
            stop.set()
            runner.join(10)
            assert not runner.is_alive()

        assert in_child(body) == 0
        stop.set()
        runner.join(10)
        assert not runner.is_alive()
    """)
    assert (ended.code, ended.errors) == (0, "")


@needs_fork
def test_a_child_forked_by_an_inline_handler_reads_nothing() -> None:
    """In the child the reader's thread ends after the call: it sends no request, and calls no handler."""
    ended = run_forking("""
        parent, children, sent = os.getpid(), [], threading.Event()

        def fork(obj):
            if obj["metadata"]["name"] == "b" and os.getpid() == parent:
                pid = os.fork()
                children.append(pid)
                if pid == 0:
                    signal.alarm(15)
                    for name in ("list", "watch"):
                        setattr(source, name, lambda options: os._exit(7))
                sent.set()

        def never_in_the_child(obj):
            if os.getpid() != parent:
                os._exit(8)

        informer = started()
        informer.add_event_handler(on_add=fork, inline=True)
        informer.add_event_handler(on_add=never_in_the_child, inline=True)
        assert source.wait_for_watches()
        source.add(pod("b"))
        assert sent.wait(20)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
        source.add(pod("c"))
        assert informer.wait_for_resource_version(source.resource_version, 20)
        assert informer.stop(20)
    """)
    assert (ended.code, ended.errors) == (0, "")
