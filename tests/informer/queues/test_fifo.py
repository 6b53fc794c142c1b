"""What both queues do, whatever their order."""

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
    """Makes a queue of either kind, for `Thing`s."""
    return lambda **options: request.param(key_of, **options)


def both(deltas: list[Delta], is_in_initial_list: bool) -> Pair:
    return deltas, is_in_initial_list


def names(pairs: list[Pair]) -> list[str]:
    return [delta.object.name for deltas, _ in pairs for delta in deltas]


def drain(fifo: FIFO) -> list[Pair]:
    return fifo.pop_batch(list, 10**6, timeout=0) if len(fifo) else []


# Popping


def test_pop_gives_deltas_and_returns_what_process_returns(make_queue: MakeQueue) -> None:
    """Pop hands over a list of deltas and a flag, and returns what the process function returned."""
    fifo = make_queue()
    fifo.add(Thing("a", 1))
    assert fifo.pop(both) == ([Delta(DeltaType.ADDED, Thing("a", 1))], False)
    fifo.update(Thing("a", 2))
    assert fifo.pop(lambda deltas, _: deltas[0].type) is DeltaType.UPDATED


def test_pop_batch_takes_what_is_there_up_to_a_limit(make_queue: MakeQueue) -> None:
    """A batch is as long as what waits, and no longer than asked for, in order."""
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


def test_take_gives_everything_at_once(make_queue: MakeQueue) -> None:
    """All deltas of all keys come in one run; an empty queue gives none, and nothing is waited for."""
    fifo = make_queue()
    assert taken(fifo) == []
    for name in "abc":
        fifo.add(Thing(name))
    fifo.update(Thing("c"))
    assert taken(fifo) == [(["a", "b", "c", "c"], False)]
    assert len(fifo) == 0


def test_take_tells_the_initial_list_from_what_follows(make_queue: MakeQueue) -> None:
    """A first list is a run of its own, and counts as handled once its run has been processed."""
    fifo = make_queue()
    fifo.replace([Thing("a")], "1")
    fifo.add(Thing("b"))
    flags: list[tuple[bool, bool]] = []
    fifo.take(lambda run: flags.append((run[1], fifo.has_synced())))
    assert flags == [(True, False), (False, False)]
    assert fifo.has_synced()


def test_take_limits_the_size_of_a_batch(make_queue: MakeQueue) -> None:
    """A long queue is processed a thousand items at a time, so that readers of a cache are not kept waiting."""
    fifo = make_queue()
    fifo.apply([Delta(DeltaType.ADDED, Thing(str(number))) for number in range(2500)])
    assert [len(names) for names, _ in taken(fifo)] == [1000, 1000, 500]


def test_what_is_queued_while_a_batch_is_processed_is_taken_too(make_queue: MakeQueue) -> None:
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


def test_a_run_that_fails_counts_as_handled(make_queue: MakeQueue) -> None:
    """The exception comes out, and the batch is not taken again."""
    fifo = make_queue()
    fifo.replace([Thing("a")], "1")
    with pytest.raises(ZeroDivisionError):
        fifo.take(lambda run: 1 // 0)
    assert len(fifo) == 0
    assert fifo.has_synced()


def test_a_batch_has_at_least_one_item(make_queue: MakeQueue) -> None:
    """Asking for a batch of none is a mistake, and takes nothing."""
    fifo = make_queue()
    fifo.add(Thing("a"))
    with pytest.raises(ValueError, match="max_items must be at least 1, not 0"):
        fifo.pop_batch(list, 0)
    assert len(fifo) == 1


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_an_empty_queue_times_out(make_queue: MakeQueue, timeout: float) -> None:
    """A pop of an empty queue raises queue.Empty when its time is up, at once for 0."""
    fifo = make_queue()
    with pytest.raises(stdlib_queue.Empty):
        fifo.pop(both, timeout)
    with pytest.raises(stdlib_queue.Empty):
        fifo.pop_batch(list, timeout=timeout)


def test_what_process_raises_comes_out_and_the_item_is_gone(make_queue: MakeQueue) -> None:
    """A process function that raises has had its item: it does not come again."""
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
    """A process function may use the queue, and so may others meanwhile."""
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


def test_process_may_do_with_its_lists_what_it_likes(make_queue: MakeQueue) -> None:
    """What is popped belongs to the process function: the queue's books do not depend on it."""
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
    """client-go source. Closing loses nothing: what waits comes out, then pops fail, and adds are still taken."""
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


def test_close_wakes_everyone_who_waits(make_queue: MakeQueue) -> None:
    """Go: TestDeltaFIFO_PopShouldUnblockWhenClosed, TestRealFIFO_PopShouldUnblockWhenClosed. All blocked pops end."""
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


def test_has_synced_follows_client_gos_table(make_queue: MakeQueue) -> None:
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


def test_an_empty_first_list_has_synced_once_nothing_waits(make_queue: MakeQueue) -> None:
    """An empty first list is synced when what it put into the queue, if anything, was processed."""
    fifo = make_queue()
    fifo.replace([], "1")
    while len(fifo):
        assert not fifo.has_synced()
        assert fifo.pop(lambda _, initial: (initial, fifo.has_synced())) == (True, False)
    assert fifo.has_synced()


@pytest.mark.parametrize("kind", ["add", "update", "delete"])
def test_events_stand_for_a_first_list(make_queue: MakeQueue, kind: str) -> None:
    """client-go source. Anything added one by one, even a delete of nothing, makes it synced; a list later is no first."""
    fifo = make_queue()
    getattr(fifo, kind)(Thing("a"))
    assert fifo.has_synced()
    fifo.replace([Thing("b")], "2")
    assert fifo.has_synced()
    assert not any(initial for _, initial in drain(fifo))


def test_bookmarks_and_resyncs_stand_for_no_list(make_queue: MakeQueue) -> None:
    """client-go source. A bookmark or a resync alone does not make it synced."""
    fifo = make_queue()
    fifo.bookmark("5")
    fifo.resync()
    drain(fifo)
    assert not fifo.has_synced()
    fifo.replace([Thing("a")], "6")
    assert [initial for _, initial in drain(fifo)] == [True]
    assert fifo.has_synced()


def test_a_process_that_raises_counts_as_handled(make_queue: MakeQueue) -> None:
    """The first list is through when its process function has ended, even by raising."""
    fifo = make_queue()
    fifo.replace([Thing("a")], "1")

    def fail(*_: Any) -> None:
        assert not fifo.has_synced()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fifo.pop(fail)
    assert fifo.has_synced()


def test_only_the_first_list_is_initial(make_queue: MakeQueue) -> None:
    """Events behind the first list, and later lists, are not in it, whatever is popped with them."""
    fifo = make_queue()
    fifo.replace([Thing("a")], "1")
    fifo.add(Thing("b"))
    fifo.replace([Thing("a"), Thing("c"), Thing("b")], "2")
    flags = {deltas[0].object.name: initial for deltas, initial in drain(fifo) if isinstance(deltas[0].object, Thing)}
    assert flags.pop("a", True)
    assert not any(flags.values())


def test_each_expected_namespace_needs_its_list(make_queue: MakeQueue) -> None:
    """With several namespaces it has synced when the list of each was processed; later lists are not initial."""
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


def test_a_bookmark_comes_behind_everything_queued_before_it(make_queue: MakeQueue) -> None:
    """A bookmark stays behind what was queued before it, and its object is the resourceVersion."""
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


def test_equal_bookmarks_stay_two(make_queue: MakeQueue) -> None:
    """A bookmark is not folded into an equal one: each stands for its place."""
    fifo = make_queue()
    fifo.bookmark("7")
    fifo.add(Thing("a"))
    fifo.bookmark("7")
    assert [deltas[0].type for deltas, _ in drain(fifo)] == [DeltaType.BOOKMARK, DeltaType.ADDED, DeltaType.BOOKMARK]


# Transforms, keys


def test_each_object_is_transformed_once(make_queue: MakeQueue) -> None:
    """client-go source. A transform sees every object once, and no tombstone, bookmark or resync."""
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
    """What the transform raises comes out of the call, and nothing of its batch or list is queued."""

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


def test_key_of_takes_whatever_passes_through(make_queue: MakeQueue) -> None:
    """Go: TestDeltaFIFO_KeyOf, TestRealFIFO_KeyOf. An object, a tombstone and a list of deltas have a key."""
    fifo = make_queue()
    assert fifo.key_of(Thing("A")) == "A"
    assert fifo.key_of(DeletedFinalStateUnknown("B", None)) == "B"
    assert fifo.key_of([Delta(DeltaType.ADDED, Thing("x")), Delta(DeltaType.ADDED, Thing("C"))]) == "C"
    assert fifo.key_of([Delta(DeltaType.DELETED, DeletedFinalStateUnknown("D", None))]) == "D"
    with pytest.raises(ValueError, match="0 length Deltas object; can't get key"):
        fifo.key_of([])
    with pytest.raises(KeyFuncError):
        fifo.key_of("no thing")


def test_a_key_is_text() -> None:
    """A key function that raises, or makes no text, for an object of a batch keeps the whole batch out, and is named."""
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
    """`if queue` asks whether there is a queue, not whether anything waits."""
    fifo = make_queue()
    assert fifo
    assert len(fifo) == 0
    fifo.add(Thing("a"))
    assert len(fifo) == 1
    fifo.apply([])
    assert len(fifo) == 1


def test_batches_may_come_from_a_generator(make_queue: MakeQueue) -> None:
    """Whatever can be iterated once is a batch or a list."""
    fifo = make_queue()
    fifo.apply(Delta(DeltaType.ADDED, Thing(name)) for name in "ab")
    assert names(drain(fifo)) == ["a", "b"]
    fifo.replace((Thing(name) for name in "ab"), "1")
    assert len(fifo) > 0


# Threads


def test_each_adders_order_is_kept(make_queue: MakeQueue) -> None:
    """Go: TestDeltaFIFO_basic, TestRealFIFO_basic. Of several producers each one's objects come in its own order."""
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


def test_every_popper_finds_what_is_there(make_queue: MakeQueue) -> None:
    """A batch added at once wakes as many poppers as wait, and each item goes to one of them."""
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


def test_adders_and_poppers_at_once_lose_nothing(make_queue: MakeQueue) -> None:
    """Under several adders and poppers every object comes out, and the poppers end when it is closed and empty."""
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
