"""A controller joins reflectors, a queue and a process function, without a thread that pops."""

from __future__ import annotations

import queue as stdlib_queue
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from informer import Controller, Delta, DeltaFIFO, DeltaType, Indexer, InOrderFIFO, ListWatch, QueueClosedError
from informer.backoff import Backoff
from informer.fifo import FIFO
from informer.testing import FakeControllerSource
from watch import Channel, Event, FakeClock, RaceFreeFakeWatcher
from watch.concurrency import Latch, Lock, Signal, Worker
from watch.errors import ApiError

QUICK = Backoff(initial=0.001, maximum=0.01)
WAIT = 10.0


def pod(name: str, namespace: str = "default", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, **metadata}}


def version_of(obj: Any) -> str:
    return obj["metadata"]["resourceVersion"]  # type: ignore[no-any-return]


class Running:
    """A controller on a thread of its own, and what came out of its run."""

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
        assert self._worker.join(WAIT), "run did not return"


@contextmanager
def running(controller: Controller) -> Iterator[Running]:
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
    """Makes a queue of either kind for a store."""
    if request.param == "in_order":
        return lambda indexer: InOrderFIFO()
    return lambda indexer: DeltaFIFO(known_objects=indexer, emit_replaced=True, bookmark_replaces=True)


class Cache:
    """A store kept by a controller; what changed goes to a channel."""

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
        return [self.changes.get(timeout=WAIT) for _ in range(count)]


# What it does


def test_it_lists_watches_and_processes(make_queue: QueueMaker) -> None:
    """What is there comes first and is initial, and what happens later follows."""
    source = FakeControllerSource()
    source.add(pod("a"))
    cache = Cache(make_queue, source)
    assert not cache.controller.has_synced()
    assert cache.controller.last_sync_resource_version == ""
    with running(cache.controller):
        assert cache.take(1) == [("Added", "a", "1", "1", True)]
        source.add(pod("b"))
        assert cache.take(1) == [("Added", "b", "2", "2", False)]
        source.modify(pod("a"))
        assert cache.take(1) == [("Updated", "a", "3", "3", False)]
        source.delete(pod("b"))
        assert cache.take(1) == [("Deleted", "b", "4", "absent", False)]
        assert cache.controller.has_synced()
    assert cache.controller.last_sync_resource_version == "4"
    assert cache.indexer.list() == source.list().items


REPLACES: list[tuple[list[tuple[str, str]], list[tuple[str, str]], str, list[tuple[str, str, str, str]]]] = [
    ([], [("pod-1", "1")], "1", [("Added", "pod-1", "1", "1")]),
    (
        [("pod-1", "1"), ("pod-3", "2")],
        [],
        "2",
        [("Deleted", "pod-1", "1", "absent"), ("Deleted", "pod-3", "2", "absent")],
    ),
    (
        [("pod-1", "1"), ("pod-2", "2"), ("pod-3", "3")],
        [("pod-1", "4"), ("pod-2", "5"), ("pod-4", "6")],
        "6",
        [
            ("Deleted", "pod-3", "3", "absent"),
            ("Updated", "pod-1", "4", "4"),
            ("Updated", "pod-2", "5", "5"),
            ("Added", "pod-4", "6", "6"),
        ],
    ),
]


@pytest.mark.parametrize(("before", "listed", "version", "expected"), REPLACES, ids=["add", "delete", "all"])
def test_a_list_deletes_first_and_the_store_is_new_when_it_is_told(
    make_queue: QueueMaker,
    before: list[tuple[str, str]],
    listed: list[tuple[str, str]],
    version: str,
    expected: list[tuple[str, str, str, str]],
) -> None:
    """Go: TestReplaceEvents. A list gives the same changes through either queue; each sees itself in the store.

    Through the in-order queue the deletes come first.
    """
    cache = Cache(make_queue, FakeControllerSource())
    for name, v in before:
        cache.indexer.add(pod(name, resourceVersion=v))
    cache.queue.replace([pod(name, resourceVersion=v) for name, v in listed], version)
    cache.controller.drain()
    found = [change[:4] for change in cache.take(len(expected))]
    if isinstance(cache.queue, InOrderFIFO):
        deletes = sum(change[0] == "Deleted" for change in expected)
        assert sorted(found[:deletes]) + found[deletes:] == expected
    else:
        assert sorted(found) == sorted(expected)
    assert cache.indexer.resource_version == version
    assert len(cache.changes) == 0


def test_a_relist_tells_what_a_lost_watch_has_missed(make_queue: QueueMaker) -> None:
    """Go: TestResetWatch. After a disruption come the changes that were missed, none of them initial, and only these."""
    source = FakeControllerSource()
    source.add(pod("pod-1"))
    source.add(pod("same"))
    cache = Cache(make_queue, source)
    with running(cache.controller):
        assert sorted(cache.take(2)) == [("Added", "pod-1", "1", "1", True), ("Added", "same", "2", "2", True)]
        assert source.wait_for_watches(1)
        source.modify_drop_watch(pod("pod-1"))
        source.add_drop_watch(pod("pod-2"))
        source.reset_watch()
        assert sorted(cache.take(2)) == [("Added", "pod-2", "4", "4", False), ("Updated", "pod-1", "3", "3", False)]
        assert source.wait_for_watches(1)
    assert len(cache.changes) == 0
    assert cache.indexer.resource_version == cache.controller.last_sync_resource_version == "4"


def test_the_stores_version_is_that_of_the_last_event(make_queue: QueueMaker) -> None:
    """Go: TestStoreResourceVersion. The store's resourceVersion follows lists, events, deletes and bookmarks."""
    source = FakeControllerSource()
    source.add(pod("a"))
    cache = Cache(make_queue, source)
    seen: Channel[str] = Channel(None)
    cache.process = lambda deltas, initial: (  # type: ignore[method-assign]
        cache.indexer.apply(deltas),
        seen.put(f"{deltas[-1].type} {cache.indexer.resource_version}"),
    )
    cache.controller = Controller(cache.queue, source, cache.process, backoff=QUICK)
    with running(cache.controller):
        assert source.wait_for_watches(1)
        found = ""
        for change, expected in (
            (lambda: source.modify(pod("a")), "Updated 2"),
            (lambda: source.delete(pod("a")), "Deleted 3"),
            (lambda: (source.add_drop_watch(pod("b")), source.bookmark()), "Bookmark 4"),
        ):
            change()
            while not found.startswith(expected.split()[0]) or found == "Bookmark 1":
                found = seen.get(timeout=WAIT)
            assert found == expected


def test_the_stores_version_stands_still_without_metadata() -> None:
    """Go: TestStoreResourceVersionWithNonMetaTransform. Objects that tell no version leave the store's where it is."""
    source = FakeControllerSource()
    source.add(pod("a"))
    fifo = InOrderFIFO(transform=lambda obj: f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")
    indexer: Indexer[Any] = Indexer(lambda text: text)
    processed: Channel[str] = Channel(None)

    def process(deltas: list[Delta], _: bool) -> None:
        indexer.apply(deltas)
        processed.put(str(deltas[0].type))

    with running(Controller(fifo, source, process, backoff=QUICK)):
        assert processed.get(timeout=WAIT) == "ReplacedAll"
        assert source.wait_for_watches(1)
        source.modify(pod("a"))
        assert processed.get(timeout=WAIT) == "Updated"
        assert indexer.resource_version == "1"
        source.modify_drop_watch(pod("a"))
        source.reset_watch()
        assert processed.get(timeout=WAIT) == "ReplacedAll"
        assert indexer.resource_version == "3"
        assert indexer.list() == ["default/a"]


def test_hammering_it_breaks_nothing(make_queue: QueueMaker) -> None:
    """Go: TestHammerController. Whatever several writers do at once, the store ends with the source's state."""
    source = FakeControllerSource(pulled=False)
    cache = Cache(make_queue, source)

    def hammer(seed: int) -> None:
        chance = random.Random(seed)
        names: set[str] = set()
        for _ in range(100):
            name = f"{seed}-{chance.randrange(20)}"
            if name not in names:
                names.add(name)
                source.add(pod(name))
            elif chance.random() < 0.5:
                source.modify(pod(name))
            else:
                names.discard(name)
                source.delete(pod(name))

    assert not cache.controller.has_synced()
    with running(cache.controller):
        writers = [Worker(lambda n=n: hammer(n), f"writer-{n}").start() for n in range(3)]  # type: ignore[misc]
        assert all(writer.join(WAIT) for writer in writers)
        source.add(pod("last"))
        while cache.changes.get(timeout=WAIT)[1] != "last":
            pass
        assert cache.controller.has_synced()
    assert cache.controller.last_sync_resource_version == source.resource_version
    assert {key: cache.indexer.get_by_key(key) for key in cache.indexer} == source.objects()


def test_either_queue_tells_the_same_story() -> None:
    """The queues differ in order only: the same disruptions leave the same store and the same changes of each object."""

    def story(make: QueueMaker) -> tuple[dict[str, list[tuple[Any, ...]]], dict[str, Any]]:
        source = FakeControllerSource()
        for name in "abc":
            source.add(pod(name, uid=name))
        cache = Cache(make, source)
        with running(cache.controller):
            assert source.wait_for_watches(1)
            source.modify(pod("a", uid="a"))
            source.delete(pod("b", uid="b"))
            source.add(pod("d", uid="d"))
            changes = cache.take(6)
            source.modify_drop_watch(pod("a", uid="a"))
            source.delete_drop_watch(pod("c", uid="c"))
            source.delete_drop_watch(pod("d", uid="d"))
            source.add_drop_watch(pod("d", uid="another"))
            source.add_drop_watch(pod("e", uid="e"))
            source.reset_watch()
            changes += cache.take(4)
            assert source.wait_for_watches(1)
            assert len(cache.changes) == 0
        by_name: dict[str, list[tuple[Any, ...]]] = {}
        for change in changes:
            by_name.setdefault(change[1], []).append(change)
        return by_name, {key: cache.indexer.get_by_key(key) for key in cache.indexer}

    in_order = story(lambda indexer: InOrderFIFO())
    delta = story(lambda indexer: DeltaFIFO(known_objects=indexer, emit_replaced=True, bookmark_replaces=True))
    assert in_order == delta
    # One re-created under the same name within a gap is an update, as only the list was seen.
    assert [change[0] for change in in_order[0]["d"]] == ["Added", "Updated"]


@pytest.mark.parametrize("kind", ["in_order", "delta"])
def test_a_transform_decides_what_is_stored(kind: str) -> None:
    """Go: TestTransformingInformer. The store and every change have what the transform made, deletes included."""

    def transform(obj: dict[str, Any]) -> dict[str, Any]:
        metadata = {key: value for key, value in obj["metadata"].items() if key not in ("resourceVersion", "uid")}
        return {"metadata": metadata, "spec": {"hostname": "transformed"}}

    source = FakeControllerSource()
    source.add(pod("pod1", generation=1))
    source.modify(pod("pod1", generation=2))
    indexer: Indexer[Any] = Indexer()
    fifo = (
        InOrderFIFO(transform=transform)
        if kind == "in_order"
        else DeltaFIFO(known_objects=indexer, transform=transform)
    )
    told: Channel[tuple[str, Any, Any]] = Channel(None)

    def process(deltas: list[Delta], initial: bool) -> None:
        for change in indexer.apply(deltas, is_in_initial_list=initial):
            told.put((str(change.type), change.old, change.object))

    def made(name: str, generation: int) -> dict[str, Any]:
        return transform(pod(name, generation=generation))

    with running(Controller(fifo, source, process, backoff=QUICK)):
        assert told.get(timeout=WAIT) == ("Added", None, made("pod1", 2))
        assert source.wait_for_watches(1)
        for change, expected in (
            (lambda: source.add(pod("pod2", generation=1)), ("Added", None, made("pod2", 1))),
            (lambda: source.add(pod("pod3", generation=1)), ("Added", None, made("pod3", 1))),
            (lambda: source.modify(pod("pod2", generation=2)), ("Updated", made("pod2", 1), made("pod2", 2))),
            (lambda: source.delete(pod("pod1", generation=2)), ("Deleted", None, made("pod1", 2))),
        ):
            change()
            assert told.get(timeout=WAIT) == expected
    assert indexer.list() == [made("pod2", 2), made("pod3", 1)]


# Who drains


def test_whoever_adds_drains(make_queue: QueueMaker) -> None:
    """The process function runs on the thread that reads: there is none that pops."""
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
        assert seen.wait(WAIT)
    assert threads == {"controller"}
    assert max(counts) == before + 1


def test_what_waits_before_the_run_comes_first(make_queue: QueueMaker) -> None:
    """What a user put into the queue before the run is processed before the first list."""
    fifo = make_queue(Indexer())
    fifo.add(pod("early", resourceVersion="1"))
    source = FakeControllerSource()
    source.add(pod("listed"))
    processed: Channel[str] = Channel(None)
    with running(Controller(fifo, source, lambda deltas, _: processed.put(str(deltas[0].type)), backoff=QUICK)):
        assert processed.get(timeout=WAIT) == "Added"
        assert processed.get(timeout=WAIT) in ("ReplacedAll", "Replaced")


def test_deltas_come_one_pop_at_a_time_however_many_drain(make_queue: QueueMaker) -> None:
    """Several threads that drain at once never process at once, and process each item once."""
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
    assert all(worker.join(WAIT) for worker in workers)
    assert sorted(processed) == sorted(f"{who}-{n}" for who in range(4) for n in range(100))


def test_a_batch_function_gets_what_one_pop_brought() -> None:
    """process_batch sees a whole batch of events at once, and on_processed is told when it is done and counted."""
    source = FakeControllerSource()
    batches: list[list[int]] = []
    fifo = InOrderFIFO()
    told: list[bool] = []
    controller = Controller(
        fifo,
        source,
        process_batch=lambda pairs: batches.append([len(deltas) for deltas, _ in pairs]),
        on_processed=lambda: told.append(fifo.has_synced()),
    )
    for name in "abc":
        fifo.add(pod(name))
    controller.drain()
    assert batches == [[1, 1, 1]]
    assert told == [True]


@pytest.mark.parametrize("functions", [{}, {"process": print, "process_batch": print}], ids=["none", "both"])
def test_it_takes_one_process_function(functions: dict[str, Any]) -> None:
    """Without a process function, or with two, there is nothing to make."""
    with pytest.raises(TypeError, match="pass either process or process_batch"):
        Controller(InOrderFIFO(), FakeControllerSource(), **functions)


class OwnQueue:
    """A queue of a user's, with nothing but what the protocol asks for."""

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


def test_a_users_own_queue_will_do() -> None:
    """A queue needs only what the protocol names."""
    source = FakeControllerSource()
    fifo = OwnQueue()
    seen: Channel[Any] = Channel(None)
    with running(Controller(fifo, source, lambda deltas, _: seen.put(deltas[0].object), backoff=QUICK)):
        assert source.wait_for_watches(1)
        source.add(pod("a"))
        source.modify(pod("a"))
        source.delete(pod("a"))
        source.bookmark()
        assert [seen.get(timeout=WAIT) for _ in range(5)] == [
            ("replace", "0"),
            ("add", "a"),
            ("update", "a"),
            ("delete", "a"),
            ("bookmark", "3"),
        ]
    assert fifo.closed


def test_a_streamed_list_uses_the_queues_keys(make_queue: QueueMaker) -> None:
    """Objects that only the queue's key function has a key for come through a watch list too."""
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
        assert listed.wait(WAIT)
    assert sorted(store.list()) == [("a", 2), ("b", 1)]


# What goes wrong


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("Just panic."), KeyboardInterrupt(), SystemExit(3), stdlib_queue.Empty(), QueueClosedError("x")],
    ids=lambda error: type(error).__name__,
)
def test_what_the_process_function_raises_comes_out_of_run(make_queue: QueueMaker, error: BaseException) -> None:
    """Go: TestPanicPropagated. The first failure ends the run, whatever it is, and nothing is processed after it."""
    source = FakeControllerSource()
    source.add(pod("a"))
    fifo = make_queue(Indexer())
    calls: list[str] = []

    def process(deltas: list[Delta], _: bool) -> None:
        calls.append(str(deltas[0].type))
        if deltas[0].type is DeltaType.ADDED:
            raise error

    controller = Controller(fifo, source, process, backoff=QUICK)
    run = Running(controller)
    run.start()
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


def test_a_failure_before_the_first_list_comes_out_too(make_queue: QueueMaker) -> None:
    """What waits before the run may fail as well: then nothing is listed."""
    source = FakeControllerSource()
    fifo = make_queue(Indexer())
    fifo.add(pod("a"))

    def process(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Controller(fifo, source, process).run(Signal())
    assert source.list_calls == []


def test_a_failure_in_a_resync_ends_the_run(make_queue: QueueMaker) -> None:
    """What the process function raises on the thread that resyncs comes out of run on its own."""
    clock = FakeClock()
    source = FakeControllerSource()
    source.add(pod("a"))
    cache = Cache(make_queue, source)

    def process(deltas: list[Delta], initial: bool) -> None:
        if deltas[0].type in (DeltaType.SYNC, DeltaType.SYNC_ALL):
            raise ZeroDivisionError(threading.current_thread().name)
        cache.process(deltas, initial)

    run = Running(Controller(cache.queue, source, process, resync_period=60, clock=clock, backoff=QUICK))
    run.start()
    cache.take(1)
    assert clock.wait_for_waiters(1, WAIT)
    clock.step(60)
    run.join()
    assert isinstance(run.error, ZeroDivisionError)
    assert run.error.args != ("controller",)


def test_a_resync_shows_everything_and_changes_nothing(make_queue: QueueMaker) -> None:
    """client-go source. After each period every object is shown again, old and new being the same."""
    clock = FakeClock()
    source = FakeControllerSource()
    for name in "ab":
        source.add(pod(name))
    cache = Cache(make_queue, source)
    shown: Channel[Any] = Channel(None)

    def process(deltas: list[Delta], initial: bool) -> None:
        for change in cache.indexer.apply(deltas, is_in_initial_list=initial):
            shown.put(
                (str(change.type), change.object["metadata"]["name"], change.is_sync, change.old is change.object)
            )

    controller = Controller(cache.queue, source, process, resync_period=60, clock=clock, backoff=QUICK)
    with running(controller):
        assert source.wait_for_watches(1)
        assert {shown.get(timeout=WAIT)[0] for _ in "ab"} == {"Added"}
        for _ in range(2):
            assert clock.wait_for_waiters(1, WAIT)
            clock.step(60)
            found = sorted(shown.get(timeout=WAIT) for _ in "ab")
            assert found == [("Updated", "a", True, True), ("Updated", "b", True, True)]
    assert len(shown) == 0


def test_an_object_without_a_key_does_not_keep_others_out(
    make_queue: QueueMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a server lists or sends, the objects that make sense arrive."""
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
        assert seen.get(timeout=WAIT) == "a"
        assert source.wait_for_watches(1)
        assert run.controller.has_synced()
        for watcher in source._watchers:
            watcher._channel.put(Event("ADDED", odd))
        source.add(pod("b"))
        assert seen.get(timeout=WAIT) == "b"
    if isinstance(fifo, DeltaFIFO):
        assert "an object was left out of a list: couldn't create key for object of type dict" in caplog.text


def test_a_failing_watch_is_tried_again(make_queue: QueueMaker) -> None:
    """Failures of lists and watches end nothing."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.list_error = ApiError(500, "InternalError", "not now")
    cache = Cache(make_queue, source)
    with running(cache.controller):
        assert cache.take(1)[0][1] == "a"
        assert source.wait_for_watches(1)
        source.watch_error = ConnectionResetError()
        source.reset_watch()
        assert source.wait_for_watches(1)
        source.add(pod("b"))
        assert cache.take(1)[0][1] == "b"


# Start and stop


def test_it_runs_once() -> None:
    """A second run is a mistake, while the first goes on and after it has ended."""
    controller = Controller(InOrderFIFO(), FakeControllerSource(), lambda *_: None)
    with running(controller), pytest.raises(RuntimeError, match="controller was started already"):
        controller.run(Signal())
    with pytest.raises(RuntimeError, match="controller was started already"):
        controller.run(Signal())


@pytest.mark.parametrize("how", ["signal", "event", "stop", "set before", "stopped before"])
def test_it_stops(how: str) -> None:
    """Any stop event ends the run, as does stop(), before the start too; the queue is closed and no watch stays open."""
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
    assert worker.join(WAIT)
    controller.stop()
    assert fifo.is_closed()
    assert source.open_watches == 0


def test_the_process_function_may_stop_it() -> None:
    """A process function that stops the controller ends the run after itself."""
    source = FakeControllerSource()
    controllers: list[Controller] = []
    controllers.append(Controller(InOrderFIFO(), source, lambda *_: controllers[0].stop()))
    run = Running(controllers[0])
    run.start()
    run.join()
    assert run.error is None


# Versions


def test_a_version_is_told_once_it_is_reached(make_queue: QueueMaker) -> None:
    """Whoever is told of progress finds the version that was applied, with everything up to it processed."""
    source = FakeControllerSource()
    source.add(pod("a"))
    cache = Cache(make_queue, source)
    reached: Channel[tuple[str, int]] = Channel(None)
    controllers: list[Controller] = []

    def progress() -> None:
        reached.put((controllers[0].applied_resource_version, len(cache.indexer)))

    controllers.append(Controller(cache.queue, source, cache.process, on_processed=progress, backoff=QUICK))
    with running(controllers[0]):
        found = [("", 0)]
        while found[-1] != ("1", 1):
            found.append(reached.get(timeout=WAIT))
        assert source.wait_for_watches(1)
        source.add(pod("b"))
        while found[-1] != ("2", 2):
            found.append(reached.get(timeout=WAIT))
        source.delete_drop_watch(pod("a"))
        source.bookmark()
        while found[-1] != ("3", 2):
            found.append(reached.get(timeout=WAIT))
    assert controllers[0].last_sync_resource_version == "3"


# Several namespaces


def test_several_namespaces_share_a_queue(make_queue: QueueMaker) -> None:
    """Each namespace has a list and a watch of its own, and it has synced when it has all lists."""
    source = FakeControllerSource(namespaces=["one", "two"])
    for namespace in ("one", "two", "three"):
        source.add(pod("a", namespace))
    cache = Cache(make_queue, source)
    with running(cache.controller):
        assert sorted(cache.take(2)) == [("Added", "a", "1", "1", True), ("Added", "a", "2", "2", True)]
        assert source.wait_for_watches(2)
        assert cache.controller.has_synced()
        source.delete(pod("a", "one"))
        source.add(pod("b", "three"))
        source.add(pod("b", "two"))
        assert sorted(change[:2] for change in cache.take(2)) == [("Added", "b"), ("Deleted", "a")]
    assert sorted(cache.indexer) == ["two/a", "two/b"]


def test_a_relist_of_one_namespace_leaves_the_others_alone(make_queue: QueueMaker) -> None:
    """What one namespace's list does not have is deleted there only."""
    source = FakeControllerSource(namespaces=["one", "two"])
    source.add(pod("a", "one"))
    source.add(pod("a", "two"))
    cache = Cache(make_queue, source)
    with running(cache.controller):
        cache.take(2)
        assert source.wait_for_watches(2)
        source.delete_drop_watch(pod("a", "one"))
        source.add_drop_watch(pod("b", "one"))
        source.reset_watch()
        assert sorted(change[:2] for change in cache.take(2)) == [("Added", "b"), ("Deleted", "a")]
        assert source.wait_for_watches(2)
        assert sorted(cache.indexer) == ["one/b", "two/a"]
        assert len(cache.changes) == 0


def test_one_namespace_that_fails_does_not_stop_the_others(make_queue: QueueMaker) -> None:
    """A namespace that may not be listed keeps it from syncing, and the others current; no version is claimed."""
    forbidden = Latch()

    class Restricted(FakeControllerSource):
        def for_namespace(self, namespace: str) -> Any:
            part = super().for_namespace(namespace)
            if namespace == "two":
                part.list = self.refuse  # type: ignore[method-assign]
            return part

        def refuse(self, options: Any) -> Any:
            forbidden.open()
            raise ApiError(403, "Forbidden", "pods is forbidden")

    source = Restricted(namespaces=["one", "two"])
    source.add(pod("a", "one"))
    cache = Cache(make_queue, source, watch_error_handler=lambda *_: None)
    with running(cache.controller):
        assert cache.take(1)[0][:2] == ("Added", "a")
        assert source.wait_for_watches(1)
        source.add(pod("b", "one"))
        assert cache.take(1)[0] == ("Added", "b", "2", "2", False)
        assert forbidden.wait(WAIT)
        assert not cache.controller.has_synced()
        assert cache.controller.last_sync_resource_version == ""
        assert cache.controller.applied_resource_version == ""


def test_the_version_of_several_namespaces_is_the_lowest() -> None:
    """Everything up to the version told has been seen in every namespace."""
    source = FakeControllerSource(namespaces=["one", "two"])
    source.add(pod("a", "one"))
    progress: Channel[None] = Channel(None)
    controller = Controller(
        InOrderFIFO(), source, lambda *_: None, on_processed=lambda: progress.put(None), backoff=QUICK
    )
    versions = [""]

    def reach(version: str) -> None:
        while versions[-1] != version:
            progress.get(timeout=WAIT)
            versions.append(controller.applied_resource_version)

    with running(controller):
        assert source.wait_for_watches(2)
        reach("1")
        for _ in range(11):
            source.modify(pod("a", "one"))
        while controller._inlets[0].applied_resource_version != "12":
            progress.get(timeout=WAIT)
        assert controller.applied_resource_version == "1"
        source.add(pod("a", "two"))
        reach("12")
        source.bookmark()
        reach("13")
    assert set(versions) == {"", "1", "12", "13"}
    assert controller.last_sync_resource_version == "13"


def test_a_failure_in_any_namespace_ends_all() -> None:
    """What the process function raises on a second reflector's thread comes out of run, which ends every reflector."""
    source = FakeControllerSource(namespaces=["one", "two"])

    def process(deltas: list[Delta], _: bool) -> None:
        if deltas[0].type is DeltaType.ADDED:
            raise ZeroDivisionError(threading.current_thread().name)

    run = Running(Controller(InOrderFIFO(), source, process, backoff=QUICK))
    run.start()
    assert source.wait_for_watches(2)
    source.add(pod("a", "two"))
    run.join()
    assert isinstance(run.error, ZeroDivisionError)
    assert run.error.args != ("controller",)
    assert source.open_watches == 0
