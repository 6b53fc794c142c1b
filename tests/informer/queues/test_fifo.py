"""What both queues have in common."""

from __future__ import annotations

import queue as stdlib_queue
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from informer import DeletedFinalStateUnknown, Delta, DeltaFIFO, DeltaType, InOrderFIFO, KeyFuncError, QueueClosedError
from informer.queues.fifo import FIFO
from watch.concurrency import Latch, Lock, Worker


class Thing(NamedTuple):
    """An object whose name is its key."""

    name: str
    value: int = 0


def key_of(obj: Any) -> str:
    if not isinstance(obj, Thing):
        raise KeyFuncError(f"no key for a {type(obj).__name__}")
    return obj.name


Pair = tuple[list[Delta], bool]
MakeQueue = Callable[..., FIFO]


@pytest.fixture(params=[InOrderFIFO, DeltaFIFO], ids=["in_order", "delta"])
def make_queue(request: pytest.FixtureRequest) -> MakeQueue:
    """Creates a queue of either kind, for `Thing`s."""
    return lambda **options: request.param(key_of, **options)


def both(deltas: list[Delta], is_in_initial_list: bool) -> Pair:
    return deltas, is_in_initial_list


def names(pairs: list[Pair]) -> list[str]:
    return [delta.object.name for deltas, _ in pairs for delta in deltas]


def drain(fifo: FIFO) -> list[Pair]:
    return fifo.pop_batch(list, 10**6, timeout=0) if len(fifo) else []


# Popping


def test_pop_returns_the_result_of_process(make_queue: MakeQueue) -> None:
    """`process` is called with a list of deltas and a flag."""
    fifo = make_queue()
    fifo.add(Thing("a", 1))
    assert fifo.pop(both) == ([Delta(DeltaType.ADDED, Thing("a", 1))], False)
    fifo.update(Thing("a", 2))
    assert fifo.pop(lambda deltas, _: deltas[0].type) is DeltaType.UPDATED


def test_pop_batch_takes_everything_up_to_a_limit(make_queue: MakeQueue) -> None:
    """In order of arrival."""
    fifo = make_queue()
    for name in "abcde":
        fifo.add(Thing(name))
    assert names(fifo.pop_batch(list, 2)) == ["a", "b"]
    assert len(fifo) == 3
    assert names(fifo.pop_batch(list, 3)) == ["c", "d", "e"]
    assert len(fifo) == 0


def taken(fifo: FIFO) -> list[tuple[list[str], bool]]:
    runs: list[tuple[list[str], bool]] = []
    fifo.take(lambda run: runs.append(([delta.object.name for delta in run[0]], run[1])))
    return runs


def test_take_passes_everything_in_one_run(make_queue: MakeQueue) -> None:
    """With an empty queue nothing is called, and nothing is waited for."""
    fifo = make_queue()
    assert taken(fifo) == []
    for name in "abc":
        fifo.add(Thing(name))
    fifo.update(Thing("c"))
    assert taken(fifo) == [(["a", "b", "c", "c"], False)]
    assert len(fifo) == 0


def test_take_passes_the_initial_list_as_a_run_of_its_own(make_queue: MakeQueue) -> None:
    """It has synced once that run was processed."""
    fifo = make_queue()
    fifo.replace([Thing("a")], "1")
    fifo.add(Thing("b"))
    flags: list[tuple[bool, bool]] = []
    fifo.take(lambda run: flags.append((run[1], fifo.has_synced())))
    assert flags == [(True, False), (False, False)]
    assert fifo.has_synced()


def test_take_limits_the_size_of_a_batch(make_queue: MakeQueue) -> None:
    """A long queue is processed 1000 items at a time, so that readers of the cache do not wait long."""
    fifo = make_queue()
    fifo.apply([Delta(DeltaType.ADDED, Thing(str(number))) for number in range(2500)])
    assert [len(names) for names, _ in taken(fifo)] == [1000, 1000, 500]


def test_take_includes_items_that_are_queued_meanwhile(make_queue: MakeQueue) -> None:
    """A resync on another thread may add to the queue; the thread that processes takes that as well."""
    fifo = make_queue()
    fifo.add(Thing("a"))
    seen: list[str] = []

    def process(run: Any) -> None:
        seen.extend(delta.object.name for delta in run[0])
        if len(seen) == 1:
            fifo.add(Thing("b"))

    fifo.take(process)
    assert seen == ["a", "b"]


def test_a_failed_run_counts_as_processed(make_queue: MakeQueue) -> None:
    """The exception is raised, and the batch is not taken again."""
    fifo = make_queue()
    fifo.replace([Thing("a")], "1")
    with pytest.raises(ZeroDivisionError):
        fifo.take(lambda run: 1 // 0)
    assert len(fifo) == 0
    assert fifo.has_synced()


def test_a_batch_size_below_one_is_refused(make_queue: MakeQueue) -> None:
    """Nothing is taken."""
    fifo = make_queue()
    fifo.add(Thing("a"))
    with pytest.raises(ValueError, match="max_items must be at least 1, not 0"):
        fifo.pop_batch(list, 0)
    assert len(fifo) == 1


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_an_empty_queue_times_out(make_queue: MakeQueue, timeout: float) -> None:
    """queue.Empty is raised when the time is up, at once for a time-out of 0."""
    fifo = make_queue()
    with pytest.raises(stdlib_queue.Empty):
        fifo.pop(both, timeout)
    with pytest.raises(stdlib_queue.Empty):
        fifo.pop_batch(list, timeout=timeout)


def test_an_exception_of_process_is_raised_and_the_item_is_removed(make_queue: MakeQueue) -> None:
    """The item is not popped again."""
    fifo = make_queue()
    fifo.add(Thing("a"))
    fifo.add(Thing("b"))

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fifo.pop(fail)
    with pytest.raises(ZeroDivisionError):
        fifo.pop_batch(fail)
    assert len(fifo) == 0


def test_process_runs_without_the_lock(make_queue: MakeQueue) -> None:
    """A process function may use the queue, and so may other threads meanwhile."""
    fifo = make_queue()
    fifo.add(Thing("a"))
    fifo.add(Thing("b"))

    def process(deltas: list[Delta], _: bool) -> str:
        other = Worker(lambda: fifo.add(Thing("c")), "other").start()
        assert other.join(5)
        fifo.update(Thing("d"))
        inner = fifo.pop(lambda more, _: more[0].object.name, timeout=0)
        return f"{deltas[0].object.name}{inner}{len(fifo)}"

    assert fifo.pop(process) == "ab2"


def test_process_may_change_its_lists(make_queue: MakeQueue) -> None:
    """The popped lists belong to the process function."""
    fifo = make_queue()
    fifo.replace([Thing("a")], "1")

    def spoil(pairs: list[Pair]) -> None:
        for deltas, _ in pairs:
            deltas.clear()
        pairs.clear()

    fifo.pop_batch(spoil)
    assert fifo.has_synced()


# Closing


def test_a_closed_queue_drains_and_then_refuses(make_queue: MakeQueue) -> None:
    """client-go source. Queued items can still be popped, then pops raise; adds are still accepted."""
    fifo = make_queue()
    fifo.add(Thing("a"))
    assert not fifo.is_closed()
    fifo.close()
    fifo.close()
    assert fifo.is_closed()
    assert names([fifo.pop(both)]) == ["a"]
    for timeout in (None, 0, 1):
        with pytest.raises(QueueClosedError, match=f"^{type(fifo).__name__}: manipulating with closed queue$"):
            fifo.pop(both, timeout)
    fifo.add(Thing("b"))
    assert names(drain(fifo)) == ["b"]


def test_close_wakes_every_waiting_thread(make_queue: MakeQueue) -> None:
    """Go: TestDeltaFIFO_PopShouldUnblockWhenClosed, TestRealFIFO_PopShouldUnblockWhenClosed."""
    fifo = make_queue()
    ended: list[int] = []

    def wait(number: int) -> None:
        with pytest.raises(QueueClosedError):
            fifo.pop(both)
        ended.append(number)

    workers = [Worker(lambda n=n: wait(n), f"popper-{n}").start() for n in range(10)]  # type: ignore[misc]
    fifo.close()
    assert all(worker.join(5) for worker in workers)
    assert sorted(ended) == list(range(10))


# Synced


def test_has_synced_follows_the_table_of_client_go(make_queue: MakeQueue) -> None:
    """Go: TestRealFIFO_HasSynced. Nothing: not synced; an add alone: synced; a list: once all of it was processed."""
    assert not make_queue().has_synced()
    fifo = make_queue()
    fifo.add(Thing("a"))
    assert fifo.has_synced()
    fifo = make_queue()
    fifo.replace([Thing("a"), Thing("b")], "1")
    assert not fifo.has_synced()
    while len(fifo):
        assert not fifo.has_synced()
        assert fifo.pop(lambda _, initial: (initial, fifo.has_synced())) == (True, False)
    assert fifo.has_synced()


def test_an_empty_first_list_has_to_be_processed_if_it_queues_anything(make_queue: MakeQueue) -> None:
    """A `DeltaFIFO` queues nothing for it, an `InOrderFIFO` one delta."""
    fifo = make_queue()
    fifo.replace([], "1")
    while len(fifo):
        assert not fifo.has_synced()
        assert fifo.pop(lambda _, initial: (initial, fifo.has_synced())) == (True, False)
    assert fifo.has_synced()


@pytest.mark.parametrize("kind", ["add", "update", "delete"])
def test_an_event_counts_as_a_first_list(make_queue: MakeQueue, kind: str) -> None:
    """client-go source. Even the delete of an unknown object; a list after it is not a first one."""
    fifo = make_queue()
    getattr(fifo, kind)(Thing("a"))
    assert fifo.has_synced()
    fifo.replace([Thing("b")], "2")
    assert fifo.has_synced()
    assert not any(initial for _, initial in drain(fifo))


def test_bookmarks_and_resyncs_do_not_count_as_a_first_list(make_queue: MakeQueue) -> None:
    """client-go source."""
    fifo = make_queue()
    fifo.bookmark("5")
    fifo.resync()
    drain(fifo)
    assert not fifo.has_synced()
    fifo.replace([Thing("a")], "6")
    assert [initial for _, initial in drain(fifo)] == [True]
    assert fifo.has_synced()


def test_a_failed_process_counts_for_has_synced(make_queue: MakeQueue) -> None:
    """The first list is processed when its process function has ended, even by raising."""
    fifo = make_queue()
    fifo.replace([Thing("a")], "1")

    def fail(*_: Any) -> None:
        assert not fifo.has_synced()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fifo.pop(fail)
    assert fifo.has_synced()


def test_only_the_first_list_is_initial(make_queue: MakeQueue) -> None:
    """Later events and lists are not, even if they are popped in the same batch."""
    fifo = make_queue()
    fifo.replace([Thing("a")], "1")
    fifo.add(Thing("b"))
    fifo.replace([Thing("a"), Thing("c"), Thing("b")], "2")
    flags = {deltas[0].object.name: initial for deltas, initial in drain(fifo) if isinstance(deltas[0].object, Thing)}
    assert flags.pop("a", True)
    assert not any(flags.values())


def test_every_expected_namespace_needs_its_list(make_queue: MakeQueue) -> None:
    """It has synced when the list of each was processed; later lists are not initial."""
    fifo = make_queue()
    fifo.expect_namespaces(["one", "two"])
    fifo.replace([Thing("a")], "1", namespace="one")
    assert all(initial for _, initial in drain(fifo))
    fifo.add(Thing("b"))
    assert [initial for _, initial in drain(fifo)] == [False]
    fifo.replace([Thing("a")], "2", namespace="one")
    assert not any(initial for _, initial in drain(fifo))
    assert not fifo.has_synced()
    fifo.replace([Thing("c")], "3", namespace="two")
    assert not fifo.has_synced()
    assert all(initial for _, initial in drain(fifo))
    assert fifo.has_synced()


# Bookmarks


def test_a_bookmark_keeps_its_place(make_queue: MakeQueue) -> None:
    """It is popped after everything that was queued before it; its object is the resourceVersion."""
    fifo = make_queue()
    fifo.replace([Thing("a"), Thing("b")], "1")
    fifo.update(Thing("a", 2))
    fifo.bookmark("7")
    fifo.add(Thing("c"))
    fifo.bookmark("8")
    deltas = [delta for some, _ in drain(fifo) for delta in some]
    marks = [at for at, delta in enumerate(deltas) if delta.type is DeltaType.BOOKMARK]
    assert [deltas[at].object for at in marks] == ["7", "8"]
    late = deltas.index(Delta(DeltaType.ADDED, Thing("c")))
    assert deltas.index(Delta(DeltaType.UPDATED, Thing("a", 2))) < marks[0] < late < marks[1]


def test_equal_bookmarks_are_not_merged(make_queue: MakeQueue) -> None:
    """Each marks its own place."""
    fifo = make_queue()
    fifo.bookmark("7")
    fifo.add(Thing("a"))
    fifo.bookmark("7")
    assert [deltas[0].type for deltas, _ in drain(fifo)] == [DeltaType.BOOKMARK, DeltaType.ADDED, DeltaType.BOOKMARK]


# Transforms, keys


def test_each_object_is_transformed_once(make_queue: MakeQueue) -> None:
    """client-go source. Tombstones, bookmarks and resyncs are not transformed."""
    seen: list[Any] = []

    def transform(thing: Thing) -> Thing:
        seen.append(thing)
        return thing._replace(value=thing.value + 100)

    fifo = make_queue(transform=transform)
    fifo.add(Thing("a", 1))
    fifo.update(Thing("a", 2))
    fifo.delete(Thing("a", 3))
    fifo.delete(DeletedFinalStateUnknown("b", Thing("b", 4)))
    fifo.replace([Thing("c", 5), Thing("d", 6)], "1")
    fifo.bookmark("2")
    fifo.resync()
    fifo.apply([Delta(DeltaType.ADDED, Thing("e", 7)), Delta(DeltaType.BOOKMARK, "3")])
    popped = [delta.object for deltas, _ in drain(fifo) for delta in deltas]
    assert [thing.value for thing in seen] == [1, 2, 3, 5, 6, 7]
    things = [o for o in popped if isinstance(o, Thing)]
    things += [item for o in popped if hasattr(o, "items") for item in o.items]
    assert sorted(thing.value for thing in things) == [101, 102, 103, 105, 106, 107]


@pytest.mark.parametrize("kind", ["add", "update", "delete", "apply", "replace"])
def test_a_transform_that_raises_queues_nothing(make_queue: MakeQueue, kind: str) -> None:
    """The exception is raised, and nothing of the batch or list is queued."""

    def transform(thing: Thing) -> Thing:
        if thing.value:
            raise ZeroDivisionError
        return thing

    fifo = make_queue(transform=transform)
    good, bad = Thing("a"), Thing("b", 1)
    calls: dict[str, Callable[[], None]] = {
        "apply": lambda: fifo.apply([Delta(DeltaType.ADDED, good), Delta(DeltaType.UPDATED, bad)]),
        "replace": lambda: fifo.replace([good, bad], "1"),
    }
    with pytest.raises(ZeroDivisionError):
        calls.get(kind, lambda: getattr(fifo, kind)(bad))()
    assert len(fifo) == 0
    assert not fifo.has_synced()


def test_key_of_accepts_objects_tombstones_and_deltas(make_queue: MakeQueue) -> None:
    """Go: TestDeltaFIFO_KeyOf, TestRealFIFO_KeyOf."""
    fifo = make_queue()
    assert fifo.key_of(Thing("A")) == "A"
    assert fifo.key_of(DeletedFinalStateUnknown("B", None)) == "B"
    assert fifo.key_of([Delta(DeltaType.ADDED, Thing("x")), Delta(DeltaType.ADDED, Thing("C"))]) == "C"
    assert fifo.key_of([Delta(DeltaType.DELETED, DeletedFinalStateUnknown("D", None))]) == "D"
    with pytest.raises(ValueError, match="0 length Deltas object; can't get key"):
        fifo.key_of([])
    with pytest.raises(KeyFuncError):
        fifo.key_of("no thing")


def test_a_key_has_to_be_a_str() -> None:
    """If the key function raises or returns another type, nothing is queued. The error has the type of the object."""
    for made, problem in (
        (list, "returned a list, not a str"),
        (lambda: None, "returned a NoneType, not a str"),
        (lambda: 1 // 0, "by zero"),
    ):
        fifo = DeltaFIFO(lambda thing, made=made: made() if thing.value else thing.name)  # type: ignore[misc]
        with pytest.raises(KeyFuncError, match=f"object of type Thing: .*{problem}"):
            fifo.apply([Delta(DeltaType.ADDED, Thing("a")), Delta(DeltaType.ADDED, Thing("b", 1))])
        with pytest.raises(KeyFuncError, match=problem):
            fifo.replace([Thing("a"), Thing("b", 1)], "1")
        with pytest.raises(KeyFuncError, match=problem):
            InOrderFIFO(lambda thing, made=made: made()).key_of(Thing("a"))  # type: ignore[misc]
        assert len(fifo) == 0
        assert not fifo.has_synced()


def test_a_queue_is_never_falsy(make_queue: MakeQueue) -> None:
    """`if queue` tests whether there is a queue, not whether it is empty."""
    fifo = make_queue()
    assert fifo
    assert len(fifo) == 0
    fifo.add(Thing("a"))
    assert len(fifo) == 1
    fifo.apply([])
    assert len(fifo) == 1


def test_batches_may_come_from_a_generator(make_queue: MakeQueue) -> None:
    """A batch or list is iterated once."""
    fifo = make_queue()
    fifo.apply(Delta(DeltaType.ADDED, Thing(name)) for name in "ab")
    assert names(drain(fifo)) == ["a", "b"]
    fifo.replace((Thing(name) for name in "ab"), "1")
    assert len(fifo) > 0


# Threads


def test_the_order_of_each_producer_is_kept(make_queue: MakeQueue) -> None:
    """Go: TestDeltaFIFO_basic, TestRealFIFO_basic. Several threads add."""
    fifo = make_queue()
    adders = [
        Worker(lambda who=who: [fifo.add(Thing(f"{who}{n}", n)) for n in range(500)], f"adder-{who}").start()  # type: ignore[misc]
        for who in "ab"
    ]
    popped: list[Thing] = []
    while len(popped) < 1000:
        fifo.pop_batch(lambda pairs: popped.extend(delta.object for deltas, _ in pairs for delta in deltas), 7, 10)
    assert all(adder.join(5) for adder in adders)
    for who in "ab":
        assert [thing.value for thing in popped if thing.name[0] == who] == list(range(500))


def test_a_batch_wakes_every_waiting_thread(make_queue: MakeQueue) -> None:
    """Each item goes to one of the threads that pop."""
    fifo = make_queue()
    waiting = [Latch() for _ in range(4)]
    popped: list[str] = []
    lock = Lock()

    def take(number: int) -> None:
        waiting[number].open()
        name = fifo.pop(lambda deltas, _: deltas[0].object.name, timeout=10)
        with lock:
            popped.append(name)

    poppers = [Worker(lambda n=n: take(n), f"popper-{n}").start() for n in range(4)]  # type: ignore[misc]
    assert all(latch.wait(5) for latch in waiting)
    fifo.apply([Delta(DeltaType.ADDED, Thing(name)) for name in "abcd"])
    assert all(popper.join(10) for popper in poppers)
    assert sorted(popped) == ["a", "b", "c", "d"]


def test_concurrent_adds_and_pops_lose_nothing(make_queue: MakeQueue) -> None:
    """Every object is popped, and the popping threads end when the queue is closed and empty."""
    fifo = make_queue()
    popped: list[str] = []
    lock = Lock()

    def add(who: int) -> None:
        for n in range(0, 200, 4):
            fifo.apply([Delta(DeltaType.ADDED, Thing(f"{who}-{n + i}")) for i in range(4)])

    def take() -> None:
        while True:
            try:
                found = names(fifo.pop_batch(list, 3))
            except QueueClosedError:
                return
            with lock:
                popped.extend(found)

    poppers = [Worker(take, f"popper-{n}").start() for n in range(3)]
    adders = [Worker(lambda n=n: add(n), f"adder-{n}").start() for n in range(3)]  # type: ignore[misc]
    assert all(adder.join(10) for adder in adders)
    fifo.close()
    assert all(popper.join(10) for popper in poppers)
    assert sorted(popped) == sorted(f"{who}-{n}" for who in range(3) for n in range(200))
