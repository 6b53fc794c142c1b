"""Starting and stopping a controller, and the versions that it reports."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from informer import Controller, Indexer, InOrderFIFO
from informer.queues.fifo import FIFO
from informer.reflector.backoff import Backoff
from informer.testing import FakeControllerSource
from tests.support.objects import pod
from tests.support.waiting import DEADLINE
from watch import Channel
from watch.concurrency import Signal, Worker

QUICK = Backoff(initial=0.001, maximum=0.01)
QueueMaker = Callable[[Indexer[Any]], FIFO]
RunningMaker = Callable[[Controller], AbstractContextManager[Any]]
Start = Callable[[Controller], Any]
CacheMaker = Callable[..., Any]


def test_it_runs_once(running: RunningMaker) -> None:
    """A second run raises, during the first one and after it."""
    controller = Controller(InOrderFIFO(), FakeControllerSource(), lambda *_: None)
    with running(controller), pytest.raises(RuntimeError, match="controller was started already"):
        controller.run(Signal())
    with pytest.raises(RuntimeError, match="controller was started already"):
        controller.run(Signal())


@pytest.mark.parametrize("how", ["signal", "event", "stop", "set before", "stopped before"])
def test_a_stop_event_or_stop_ends_the_run(how: str) -> None:
    """Also before the start. The queue is closed, and no watch stays open."""
    source = FakeControllerSource()
    fifo = InOrderFIFO()
    controller = Controller(fifo, source, lambda *_: None)
    stop = threading.Event() if how == "event" else Signal()
    if how == "set before":
        stop.set()
    elif how == "stopped before":
        controller.stop()
    worker = Worker(lambda: controller.run(stop), "controller").start()
    if "before" not in how:
        assert source.wait_for_watches(1)
        (controller.stop if how == "stop" else stop.set)()
    assert worker.join(DEADLINE)
    controller.stop()
    assert fifo.is_closed()
    assert source.open_watches == 0


def test_the_process_function_may_stop_it(start: Start) -> None:
    """The run ends after the process function has returned."""
    source = FakeControllerSource()
    controllers: list[Controller] = []
    controllers.append(Controller(InOrderFIFO(), source, lambda *_: controllers[0].stop()))
    run = start(controllers[0])
    run.join()
    assert run.error is None


def test_the_applied_version_is_set_before_on_processed_is_called(
    running: RunningMaker, make_cache: CacheMaker, make_queue: QueueMaker
) -> None:
    """Everything up to that version has been processed."""
    source = FakeControllerSource()
    source.add(pod("a"))
    cache = make_cache(make_queue, source)
    reached: Channel[tuple[str, int]] = Channel(None)
    controllers: list[Controller] = []

    def progress() -> None:
        reached.put((controllers[0].applied_resource_version, len(cache.indexer)))

    controllers.append(Controller(cache.queue, source, cache.process, on_processed=progress, backoff=QUICK))
    with running(controllers[0]):
        found = [("", 0)]
        while found[-1] != ("1", 1):
            found.append(reached.get(timeout=DEADLINE))
        assert source.wait_for_watches(1)
        source.add(pod("b"))
        while found[-1] != ("2", 2):
            found.append(reached.get(timeout=DEADLINE))
        source.delete_drop_watch(pod("a"))
        source.bookmark()
        while found[-1] != ("3", 2):
            found.append(reached.get(timeout=DEADLINE))
    assert controllers[0].last_sync_resource_version == "3"
