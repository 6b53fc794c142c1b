"""Failures around a controller, and which of them end its run."""

from __future__ import annotations

import queue as stdlib_queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from informer import Controller, Delta, DeltaFIFO, DeltaType, Indexer, QueueClosedError
from informer.queues.fifo import FIFO
from informer.reflector.backoff import Backoff
from informer.testing import FakeControllerSource
from tests.support.objects import pod
from tests.support.waiting import DEADLINE
from watch import Channel, Event, FakeClock
from watch.concurrency import Signal
from watch.errors import ApiError

QUICK = Backoff(initial=0.001, maximum=0.01)
QueueMaker = Callable[[Indexer[Any]], FIFO]
RunningMaker = Callable[[Controller], AbstractContextManager[Any]]
Start = Callable[[Controller], Any]
CacheMaker = Callable[..., Any]


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("Just panic."), KeyboardInterrupt(), SystemExit(3), stdlib_queue.Empty(), QueueClosedError("x")],
    ids=lambda error: type(error).__name__,
)
def test_run_raises_the_exception_of_the_process_function(
    start: Start, make_queue: QueueMaker, error: BaseException
) -> None:
    """Go: TestPanicPropagated. The first exception of any type ends the run, and nothing is processed after it."""
    source = FakeControllerSource()
    source.add(pod("a"))
    fifo = make_queue(Indexer())
    calls: list[str] = []

    def process(deltas: list[Delta], _: bool) -> None:
        calls.append(str(deltas[0].type))
        if deltas[0].type is DeltaType.ADDED:
            raise error

    controller = Controller(fifo, source, process, backoff=QUICK)
    run = start(controller)
    assert source.wait_for_watches(1)
    source.add(pod("b"))
    run.join()
    assert run.error is error
    assert calls[-1] == "Added"
    assert fifo.is_closed()
    assert source.open_watches == 0
    fifo.add(pod("c"))
    controller.drain()
    assert calls[-1] == "Added"
    assert calls.count("Added") == 1
    assert controller.applied_resource_version == "1"


def test_run_raises_a_failure_before_the_first_list(make_queue: QueueMaker) -> None:
    """Items that were queued before the run may fail as well; then nothing is listed."""
    source = FakeControllerSource()
    fifo = make_queue(Indexer())
    fifo.add(pod("a"))

    def process(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Controller(fifo, source, process).run(Signal())
    assert source.list_calls == []


def test_a_failure_in_a_resync_ends_the_run(start: Start, make_cache: CacheMaker, make_queue: QueueMaker) -> None:
    """`run` raises an exception of the process function on the resync thread."""
    clock = FakeClock()
    source = FakeControllerSource()
    source.add(pod("a"))
    cache = make_cache(make_queue, source)

    def process(deltas: list[Delta], initial: bool) -> None:
        if deltas[0].type in (DeltaType.SYNC, DeltaType.SYNC_ALL):
            raise ZeroDivisionError(threading.current_thread().name)
        cache.process(deltas, initial)

    run = start(Controller(cache.queue, source, process, resync_period=60, clock=clock, backoff=QUICK))
    cache.take(1)
    assert clock.wait_for_waiters(1, DEADLINE)
    clock.step(60)
    run.join()
    assert isinstance(run.error, ZeroDivisionError)
    assert run.error.args != ("controller",)


def test_a_resync_gives_an_update_for_every_object(
    running: RunningMaker, make_cache: CacheMaker, make_queue: QueueMaker
) -> None:
    """client-go source. Once per period; old and new are the same object."""
    clock = FakeClock()
    source = FakeControllerSource()
    for name in "ab":
        source.add(pod(name))
    cache = make_cache(make_queue, source)
    shown: Channel[Any] = Channel(None)

    def process(deltas: list[Delta], initial: bool) -> None:
        for change in cache.indexer.apply(deltas, is_in_initial_list=initial):
            shown.put(
                (str(change.type), change.object["metadata"]["name"], change.is_sync, change.old is change.object)
            )

    controller = Controller(cache.queue, source, process, resync_period=60, clock=clock, backoff=QUICK)
    with running(controller):
        assert source.wait_for_watches(1)
        assert {shown.get(timeout=DEADLINE)[0] for _ in "ab"} == {"Added"}
        for _ in range(2):
            assert clock.wait_for_waiters(1, DEADLINE)
            clock.step(60)
            found = sorted(shown.get(timeout=DEADLINE) for _ in "ab")
            assert found == [("Updated", "a", True, True), ("Updated", "b", True, True)]
    assert len(shown) == 0


def test_an_object_without_a_key_does_not_affect_the_others(
    running: RunningMaker, make_queue: QueueMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """In a list and in events."""
    odd = {"kind": "Pod", "metadata": {"namespace": "x"}}

    class Odd(FakeControllerSource):
        def list(self, options: Any = None) -> Any:
            page = super().list(options)
            page.items = [odd, *page.items, odd]
            return page

    source = Odd()
    source.add(pod("a"))
    indexer: Indexer[Any] = Indexer()
    seen: Channel[str] = Channel(None)

    def process(deltas: list[Delta], initial: bool) -> None:
        for delta in deltas:
            items = delta.object.items if delta.type is DeltaType.REPLACED_ALL else [delta.object]
            for item in items:
                if isinstance(item, dict) and item is not odd and "name" in item["metadata"]:
                    seen.put(item["metadata"]["name"])

    fifo = make_queue(indexer)
    with running(Controller(fifo, source, process, backoff=QUICK)) as run:
        assert seen.get(timeout=DEADLINE) == "a"
        assert source.wait_for_watches(1)
        assert run.controller.has_synced()
        for watcher in source._watchers:
            watcher._channel.put(Event("ADDED", odd))
        source.add(pod("b"))
        assert seen.get(timeout=DEADLINE) == "b"
    if isinstance(fifo, DeltaFIFO):
        assert "an object was left out of a list: couldn't create key for object of type dict" in caplog.text


def test_failed_lists_and_watches_are_retried(
    running: RunningMaker, make_cache: CacheMaker, make_queue: QueueMaker
) -> None:
    """They do not end the controller."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.list_error = ApiError(500, "InternalError", "not now")
    cache = make_cache(make_queue, source)
    with running(cache.controller):
        assert cache.take(1)[0][1] == "a"
        assert source.wait_for_watches(1)
        source.watch_error = ConnectionResetError()
        source.reset_watch()
        assert source.wait_for_watches(1)
        source.add(pod("b"))
        assert cache.take(1)[0][1] == "b"
