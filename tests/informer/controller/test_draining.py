"""The thread that fills a controller's queue also empties it: nothing is processed twice or concurrently."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from informer import Controller, Delta, DeltaFIFO, DeltaType, Indexer, InOrderFIFO, ListWatch
from informer.queues.fifo import FIFO
from informer.reflector.backoff import Backoff
from informer.testing import FakeControllerSource
from tests.support.objects import pod
from tests.support.waiting import DEADLINE
from watch import Channel, RaceFreeFakeWatcher
from watch.concurrency import Latch, Lock, Worker

QUICK = Backoff(initial=0.001, maximum=0.01)
QueueMaker = Callable[[Indexer[Any]], FIFO]
RunningMaker = Callable[[Controller], AbstractContextManager[Any]]


def test_the_reader_thread_processes(running: RunningMaker, make_queue: QueueMaker) -> None:
    """No other thread pops."""
    source = FakeControllerSource()
    source.add(pod("a"))
    threads: set[str] = set()
    before = threading.active_count()
    seen = Latch()
    counts: list[int] = []

    def process(deltas: list[Delta], _: bool) -> None:
        threads.add(threading.current_thread().name)
        counts.append(threading.active_count())
        if any(delta.type is DeltaType.ADDED for delta in deltas):
            seen.open()

    with running(Controller(make_queue(Indexer()), source, process, backoff=QUICK)):
        assert source.wait_for_watches(1)
        source.add(pod("b"))
        assert seen.wait(DEADLINE)
    assert threads == {"controller"}
    assert max(counts) == before + 1


def test_items_queued_before_the_run_are_processed_first(running: RunningMaker, make_queue: QueueMaker) -> None:
    """Before the first list."""
    fifo = make_queue(Indexer())
    fifo.add(pod("early", resourceVersion="1"))
    source = FakeControllerSource()
    source.add(pod("listed"))
    processed: Channel[str] = Channel(None)
    with running(Controller(fifo, source, lambda deltas, _: processed.put(str(deltas[0].type)), backoff=QUICK)):
        assert processed.get(timeout=DEADLINE) == "Added"
        assert processed.get(timeout=DEADLINE) in ("ReplacedAll", "Replaced")


def test_several_draining_threads_process_one_at_a_time(make_queue: QueueMaker) -> None:
    """Each item is processed once."""
    busy = Lock()
    processed: list[str] = []

    def process(deltas: list[Delta], _: bool) -> None:
        assert busy.acquire(blocking=False), "processed by two threads at once"
        processed.append(deltas[0].object["metadata"]["name"])
        busy.release()

    fifo = make_queue(Indexer())
    controller = Controller(fifo, FakeControllerSource(), process)

    def work(who: int) -> None:
        for n in range(100):
            fifo.add(pod(f"{who}-{n}"))
            controller.drain()

    workers = [Worker(lambda n=n: work(n), f"adder-{n}").start() for n in range(4)]  # type: ignore[misc]
    assert all(worker.join(DEADLINE) for worker in workers)
    assert sorted(processed) == sorted(f"{who}-{n}" for who in range(4) for n in range(100))


def test_process_run_gets_everything_that_is_queued() -> None:
    """It is called once with the whole batch; `on_processed` is called once the batch counts as processed."""
    source = FakeControllerSource()
    batches: list[list[str]] = []
    fifo = InOrderFIFO()
    synced: list[bool] = []
    controller = Controller(
        fifo,
        source,
        process_run=lambda run: batches.append([delta.object["metadata"]["name"] for delta in run[0]]),
        on_processed=lambda: synced.append(fifo.has_synced()),
    )
    for name in "abc":
        fifo.add(pod(name))
    controller.drain()
    assert batches == [["a", "b", "c"]]
    assert synced == [True]


@pytest.mark.parametrize("functions", [{}, {"process": print, "process_run": print}], ids=["none", "both"])
def test_exactly_one_process_function_is_needed(functions: dict[str, Any]) -> None:
    """None and two are refused."""
    with pytest.raises(TypeError, match="pass either process or process_run"):
        Controller(InOrderFIFO(), FakeControllerSource(), **functions)


class OwnQueue:
    """A queue with only the methods of the protocol."""

    def __init__(self) -> None:
        self.items: list[tuple[str, Any]] = []
        self.closed = False

    def add(self, obj: Any) -> None:
        self.items.append(("add", obj["metadata"]["name"]))

    def update(self, obj: Any) -> None:
        self.items.append(("update", obj["metadata"]["name"]))

    def delete(self, obj: Any) -> None:
        self.items.append(("delete", obj["metadata"]["name"]))

    def replace(self, items: Iterable[Any], resource_version: str) -> None:
        self.items.append(("replace", resource_version))

    def resync(self) -> None:
        self.items.append(("resync", ""))

    def bookmark(self, resource_version: str) -> None:
        self.items.append(("bookmark", resource_version))

    def pop(self, process: Any, timeout: float | None = None) -> Any:
        raise NotImplementedError

    def pop_batch(self, process: Any, max_items: int = 1000, timeout: float | None = None) -> Any:
        items, self.items = self.items[:max_items], self.items[max_items:]
        return process([([Delta(DeltaType.SYNC, item)], False) for item in items])

    def has_synced(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def is_closed(self) -> bool:
        return self.closed

    def __len__(self) -> int:
        return len(self.items)


def test_a_queue_needs_only_the_methods_of_the_protocol(running: RunningMaker) -> None:
    """A user may implement `Queue`; the controller then calls `process`."""
    source = FakeControllerSource()
    fifo = OwnQueue()
    seen: Channel[Any] = Channel(None)
    with running(Controller(fifo, source, lambda deltas, _: seen.put(deltas[0].object), backoff=QUICK)):
        assert source.wait_for_watches(1)
        source.add(pod("a"))
        source.modify(pod("a"))
        source.delete(pod("a"))
        source.bookmark()
        assert [seen.get(timeout=DEADLINE) for _ in range(5)] == [
            ("replace", "0"),
            ("add", "a"),
            ("update", "a"),
            ("delete", "a"),
            ("bookmark", "3"),
        ]
    assert fifo.closed


def test_a_streamed_list_uses_the_queues_keys(running: RunningMaker, make_queue: QueueMaker) -> None:
    """Objects for which only the queue's key function has a key are stored from a watch list, too."""
    watcher: RaceFreeFakeWatcher[Any] = RaceFreeFakeWatcher()
    for obj in (("a", 1), ("b", 1), ("a", 2)):
        watcher.add(obj)
    end = {"resourceVersion": "7", "annotations": {"k8s.io/initial-events-end": "true"}}
    watcher.action("BOOKMARK", {"metadata": end})
    source: ListWatch[Any] = ListWatch(lambda _: pytest.fail("listed"), lambda _: watcher)
    is_delta = isinstance(make_queue(Indexer()), DeltaFIFO)
    fifo = (DeltaFIFO if is_delta else InOrderFIFO)(lambda pair: pair[0])
    store: Indexer[Any] = Indexer(lambda pair: pair[0])
    listed = Latch()

    def process(deltas: list[Delta], initial: bool) -> None:
        store.apply(deltas)
        if len(store) == 2:
            listed.open()

    with running(Controller(fifo, source, process, backoff=QUICK)):
        assert listed.wait(DEADLINE)
    assert sorted(store.list()) == [("a", 2), ("b", 1)]
