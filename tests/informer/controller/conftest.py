"""Fixtures for the tests of controllers: queues of either kind, a cache, and a running controller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from informer import Controller, Delta, DeltaFIFO, Indexer, InOrderFIFO
from informer.queues.fifo import FIFO
from informer.reflector.backoff import Backoff
from tests.support.waiting import DEADLINE
from watch import Channel
from watch.concurrency import Signal, Worker

QUICK = Backoff(initial=0.001, maximum=0.01)


def version_of(obj: Any) -> str:
    return obj["metadata"]["resourceVersion"]  # type: ignore[no-any-return]


class Running:
    """A controller that runs on a thread of its own, and the exception of its run."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.stop = Signal()
        self.error: BaseException | None = None
        self._worker = Worker(self._run, "controller")

    def _run(self) -> None:
        try:
            self.controller.run(self.stop)
        except BaseException as error:
            self.error = error

    def start(self) -> None:
        self._worker.start()

    def join(self) -> None:
        assert self._worker.join(DEADLINE), "run did not return"


@contextmanager
def _running(controller: Controller) -> Iterator[Running]:
    run = Running(controller)
    run.start()
    try:
        yield run
    finally:
        run.stop.set()
        run.join()
    assert run.error is None


QueueMaker = Callable[[Indexer[Any]], FIFO]


@pytest.fixture(params=["in_order", "delta"])
def make_queue(request: pytest.FixtureRequest) -> QueueMaker:
    """Creates a queue of either kind for a store."""
    if request.param == "in_order":
        return lambda indexer: InOrderFIFO()
    return lambda indexer: DeltaFIFO(known_objects=indexer, emit_replaced=True, bookmark_replaces=True)


class Cache:
    """A store that a controller keeps current; its changes are put into a channel."""

    def __init__(self, make_queue: QueueMaker, source: Any, **options: Any) -> None:
        self.indexer: Indexer[Any] = Indexer()
        self.queue = make_queue(self.indexer)
        self.changes: Channel[tuple[Any, ...]] = Channel(None)
        self.controller = Controller(self.queue, source, self.process, backoff=QUICK, **options)

    def process(self, deltas: list[Delta], is_in_initial_list: bool) -> None:
        for change in self.indexer.apply(deltas, is_in_initial_list=is_in_initial_list):
            if not change.is_sync:
                at_callback = self.indexer.get_by_key(change.key)
                self.changes.put(
                    (
                        str(change.type),
                        change.object["metadata"]["name"],
                        version_of(change.object),
                        "absent" if at_callback is None else version_of(at_callback),
                        change.is_in_initial_list,
                    )
                )

    def take(self, count: int) -> list[tuple[Any, ...]]:
        return [self.changes.get(timeout=DEADLINE) for _ in range(count)]


@pytest.fixture
def start() -> Callable[[Controller], Running]:
    """Starts a controller on a thread of its own; the test has to stop it."""

    def started(controller: Controller) -> Running:
        run = Running(controller)
        run.start()
        return run

    return started


@pytest.fixture
def running() -> Callable[[Controller], AbstractContextManager[Running]]:
    """Runs a controller for a `with` block; its run must not raise."""
    return _running


@pytest.fixture
def make_cache() -> Callable[..., Cache]:
    """Creates a cache from a maker of queues and a source."""
    return Cache
