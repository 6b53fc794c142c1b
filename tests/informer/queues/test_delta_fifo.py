"""The queue that groups deltas by key."""

from __future__ import annotations

import queue as stdlib_queue
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from informer import DeletedFinalStateUnknown, Delta, DeltaFIFO, DeltaType, KeyFuncError
from tests.support.waiting import DEADLINE, eventually
from watch.concurrency import Latch, Worker


class Thing(NamedTuple):
    """An object whose name is its key."""

    name: str
    value: int = 0
    metadata: Any = None


class Known:
    """A fixed set of known objects."""

    def __init__(self, *things: Thing) -> None:
        self.things = {thing.name: thing for thing in things}

    def list_keys(self) -> list[str]:
        return list(self.things)

    def get_by_key(self, key: str) -> Thing | None:
        return self.things.get(key)


Script = Callable[[DeltaFIFO], object]


def key_of(thing: Any) -> str:
    if not isinstance(thing, Thing):
        raise KeyFuncError("no key")
    return thing.name


def make(**options: Any) -> DeltaFIFO:
    return DeltaFIFO(key_of, **options)


def pops(fifo: DeltaFIFO, batch: int = 1) -> list[list[Delta]]:
    """Pops everything; returns the deltas of each key, in the order of popping."""
    popped: list[list[Delta]] = []
    while len(fifo):
        popped += [deltas for deltas, _ in fifo.pop_batch(list, batch)]
    return popped


def newest(popped: list[list[Delta]]) -> list[Any]:
    return [deltas[-1].object for deltas in popped]


def added(name: str, value: int) -> Delta:
    return Delta(DeltaType.ADDED, Thing(name, value))


def updated(name: str, value: int) -> Delta:
    return Delta(DeltaType.UPDATED, Thing(name, value))


def deleted(name: str, value: int) -> Delta:
    return Delta(DeltaType.DELETED, Thing(name, value))


def synced(name: str, value: int) -> Delta:
    return Delta(DeltaType.SYNC, Thing(name, value))


def replaced(name: str, value: int) -> Delta:
    return Delta(DeltaType.REPLACED, Thing(name, value))


def gone(name: str, value: int | None) -> Delta:
    last = None if value is None else Thing(name, value)
    return Delta(DeltaType.DELETED, DeletedFinalStateUnknown(name, last))


OBJ, V2 = Thing("foo", 2), Thing("foo", 3)

ONE_KEY: dict[str, tuple[bool, list[Script], list[Delta]]] = {
    "gone": (False, [lambda q: q.add(OBJ), lambda q: q.replace([], "0")], [added("foo", 2), gone("foo", 2)]),
    "listed, gone": (
        True,
        [lambda q: q.add(OBJ), lambda q: q.replace([OBJ], "0"), lambda q: q.replace([], "0")],
        [added("foo", 2), replaced("foo", 2), gone("foo", 2)],
    ),
    "deleted, gone": (
        False,
        [lambda q: q.add(OBJ), lambda q: q.delete(OBJ), lambda q: q.replace([], "0")],
        [added("foo", 2), deleted("foo", 2)],
    ),
    "listed twice, gone": (
        False,
        [
            lambda q: q.add(OBJ),
            lambda q: q.replace([OBJ], "0"),
            lambda q: q.replace([OBJ], "0"),
            lambda q: q.replace([], "0"),
        ],
        [added("foo", 2), synced("foo", 2), synced("foo", 2), gone("foo", 2)],
    ),
    "gone twice": (
        False,
        [lambda q: q.add(OBJ), lambda q: q.replace([], "0"), lambda q: q.replace([], "1")],
        [added("foo", 2), gone("foo", 2)],
    ),
    "deleted, back, gone": (
        False,
        [lambda q: q.add(OBJ), lambda q: q.delete(OBJ), lambda q: q.add(V2), lambda q: q.replace([], "0")],
        [added("foo", 2), deleted("foo", 2), added("foo", 3), gone("foo", 3)],
    ),
}


@pytest.mark.parametrize(("emit_replaced", "script", "expected"), ONE_KEY.values(), ids=ONE_KEY)
@pytest.mark.parametrize("known", [None, Known()], ids=["no known objects", "empty known objects"])
def test_a_list_deletes_a_queued_object_that_it_lacks(
    known: Known | None, emit_replaced: bool, script: list[Script], expected: list[Delta]
) -> None:
    """Go: TestDeltaFIFOW_ReplaceMakesDeletionsForObjectsOnlyInQueue. One pop has its earlier deltas and the delete."""
    fifo = make(known_objects=known, emit_replaced=emit_replaced)
    for step in script:
        step(fifo)
    assert len(fifo) == 1
    assert fifo.pop(lambda deltas, _: deltas) == expected
    assert len(fifo) == 0


def test_changes_of_one_object_are_one_pop() -> None:
    """Go: TestDeltaFIFO_addUpdate."""
    fifo = make()
    fifo.add(Thing("foo", 10))
    fifo.update(Thing("foo", 12))
    fifo.delete(Thing("foo", 15))
    assert len(fifo) == 1
    assert fifo.pop(lambda deltas, _: deltas) == [added("foo", 10), updated("foo", 12), deleted("foo", 15)]
    with pytest.raises(stdlib_queue.Empty):
        fifo.pop(lambda deltas, _: deltas, timeout=0)


def test_transforms_see_each_object_once() -> None:
    """Go: TestDeltaFIFO_transformer. Tombstones are not transformed."""
    seen: list[Thing] = []

    def transform(thing: Thing) -> Thing:
        seen.append(thing)
        return thing._replace(value=thing.value + 100)

    fifo = make(transform=transform)
    fifo.add(Thing("foo", 10))
    fifo.add(Thing("bar", 11))
    fifo.update(Thing("foo", 12))
    fifo.delete(Thing("foo", 15))
    fifo.replace([], "0")
    fifo.add(Thing("bar", 16))
    fifo.replace([], "0")
    assert newest(pops(fifo)) == [Thing("foo", 115), DeletedFinalStateUnknown("bar", Thing("bar", 116))]
    assert [thing.value for thing in seen] == [10, 11, 12, 15, 16]


def test_keys_are_computed_before_transforms() -> None:
    """If one object of a batch or list has no key, none is transformed."""
    seen: list[Any] = []
    fifo = make(transform=seen.append)
    for call in (
        lambda: fifo.apply([added("a", 1), Delta(DeltaType.ADDED, "no thing")]),
        lambda: fifo.replace([Thing("a", 1), "no thing"], "1"),
    ):
        with pytest.raises(KeyFuncError):
            call()
    assert seen == []
    assert len(fifo) == 0


@pytest.mark.parametrize(
    ("known", "values"),
    [(None, [10, 15, 18]), (Known(Thing("foo", 5), Thing("bar", 6), Thing("baz", 7)), [10, 15, 18, 20])],
    ids=["no known objects", "known objects"],
)
def test_a_delete_of_an_unknown_object_is_not_queued(known: Known | None, values: list[int]) -> None:
    """Go: TestDeltaFIFO_enqueueingNoLister, TestDeltaFIFO_enqueueingWithLister."""
    fifo = make(known_objects=known)
    fifo.add(Thing("foo", 10))
    fifo.update(Thing("bar", 15))
    fifo.add(Thing("qux", 17))
    fifo.delete(Thing("qux", 18))
    fifo.delete(Thing("baz", 20))
    assert [thing.value for thing in newest(pops(fifo))] == values


def test_a_listed_object_that_is_queued_already_is_one_pop() -> None:
    """Go: TestDeltaFIFO_addReplace."""
    fifo = make()
    fifo.add(Thing("foo", 10))
    fifo.replace([Thing("foo", 15)], "15")
    assert pops(fifo) == [[added("foo", 10), synced("foo", 15)]]


def test_a_resync_queues_known_objects_that_are_not_queued() -> None:
    """Go: TestDeltaFIFO_Resync, TestDeltaFIFO_ResyncNonExisting, TestDeltaFIFO_UpdateResyncRace."""
    for prepare, expected in (
        (lambda q: None, synced("foo", 5)),
        (lambda q: q.delete(Thing("foo", 10)), deleted("foo", 10)),
        (lambda q: q.update(Thing("foo", 6)), updated("foo", 6)),
    ):
        fifo = make(known_objects=Known(Thing("foo", 5)))
        prepare(fifo)  # type: ignore[no-untyped-call]
        fifo.resync()
        assert pops(fifo) == [[expected]]


def test_a_resync_without_known_objects_queues_nothing() -> None:
    """client-go source."""
    fifo = make()
    fifo.resync()
    assert len(fifo) == 0


def test_a_delete_of_a_queued_object_is_queued() -> None:
    """Go: TestDeltaFIFO_DeleteExistingNonPropagated. A queued object is known."""
    fifo = make(known_objects=Known())
    fifo.add(Thing("foo", 5))
    fifo.delete(Thing("foo", 6))
    assert pops(fifo) == [[added("foo", 5), deleted("foo", 6)]]


KNOWN = (Thing("foo", 5), Thing("bar", 6), Thing("baz", 7))
MANY_KEYS: dict[str, tuple[bool, bool, list[Script], list[list[Delta]]]] = {
    "deleted": (
        True,
        False,
        [lambda q: q.delete(Thing("baz", 10)), lambda q: q.replace([Thing("foo", 5)], "0")],
        [[deleted("baz", 10)], [synced("foo", 5)], [gone("bar", 6)]],
    ),
    "added": (
        True,
        False,
        [lambda q: q.add(Thing("baz", 10)), lambda q: q.replace([Thing("foo", 5)], "0")],
        [[added("baz", 10), gone("baz", 10)], [synced("foo", 5)], [gone("bar", 6)]],
    ),
    "deleted and back": (
        True,
        False,
        [
            lambda q: q.delete(Thing("bar", 6)),
            lambda q: q.add(Thing("bar", 100)),
            lambda q: q.replace([Thing("foo", 5)], "0"),
        ],
        [[deleted("bar", 6), added("bar", 100), gone("bar", 100)], [synced("foo", 5)], [gone("baz", 7)]],
    ),
    "two lists": (
        True,
        False,
        [
            lambda q: q.replace([Thing("bar", 100), Thing("foo", 5)], "0"),
            lambda q: q.replace([Thing("foo", 5)], "0"),
        ],
        [[synced("bar", 100), gone("bar", 100)], [synced("foo", 5), synced("foo", 5)], [gone("baz", 7)]],
    ),
    "nothing known": (
        False,
        False,
        [lambda q: q.add(Thing("baz", 10)), lambda q: q.replace([Thing("foo", 5)], "0")],
        [[added("baz", 10), gone("baz", 10)], [synced("foo", 5)]],
    ),
    "replaced": (
        True,
        True,
        [lambda q: q.delete(Thing("baz", 10)), lambda q: q.replace([Thing("foo", 6)], "0")],
        [[deleted("baz", 10)], [replaced("foo", 6)], [gone("bar", 6)]],
    ),
}


@pytest.mark.parametrize(("is_known", "emit_replaced", "script", "expected"), MANY_KEYS.values(), ids=MANY_KEYS)
@pytest.mark.parametrize("batch", [1, 1000])
def test_a_list_deletes_known_objects_that_it_lacks(
    batch: int, is_known: bool, emit_replaced: bool, script: list[Script], expected: list[list[Delta]]
) -> None:
    """Go: TestDeltaFIFO_ReplaceMakesDeletions, TestDeltaFIFO_ReplaceMakesDeletionsReplaced. In their newest state."""
    fifo = make(known_objects=Known(*KNOWN) if is_known else None, emit_replaced=emit_replaced)
    for step in script:
        step(fifo)
    assert pops(fifo, batch) == expected


def test_deletes_of_the_first_list_count_for_has_synced() -> None:
    """Go: TestDeltaFIFO_HasSyncedCorrectOnDeletion. The deletes that the first list causes belong to it."""
    fifo = make(known_objects=Known(*KNOWN))
    fifo.replace([Thing("foo", 5)], "0")
    for expected in ([synced("foo", 5)], [gone("bar", 6)], [gone("baz", 7)]):
        assert not fifo.has_synced()
        assert fifo.pop(lambda deltas, initial: (deltas, initial)) == (expected, True)
    assert fifo.has_synced()


def test_a_popped_key_queues_behind_the_others() -> None:
    """Go: TestDeltaFIFO_detectLineJumpers. A key keeps its place while it is queued, and gets a new one after a pop."""
    fifo = make()
    for name, value in (("foo", 10), ("bar", 1), ("foo", 11), ("foo", 13), ("zab", 30)):
        fifo.add(Thing(name, value))
    assert fifo.pop(lambda deltas, _: deltas[-1].object.value) == 13
    fifo.add(Thing("foo", 14))
    assert [thing.value for thing in newest(pops(fifo))] == [1, 30, 14]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (deleted("foo", 1), deleted("foo", 2), deleted("foo", 1)),
        (deleted("foo", 1), gone("foo", 2), deleted("foo", 1)),
        (gone("foo", 1), deleted("foo", 2), deleted("foo", 2)),
        (gone("foo", 1), gone("foo", 2), gone("foo", 2)),
    ],
    ids=["two deletes", "then a tombstone", "first a tombstone", "two tombstones"],
)
def test_two_deletes_in_a_row_are_one(first: Delta, second: Delta, kept: Delta) -> None:
    """client-go source. The older is kept, unless it is a tombstone."""
    fifo = make(known_objects=Known(Thing("foo", 0)))
    fifo.apply([first, second])
    assert pops(fifo) == [[kept]]


# Flags and batches


@pytest.mark.parametrize("batch", [1, 2, 3, 1000])
def test_only_the_keys_of_the_first_list_are_initial(batch: int) -> None:
    """Each key once, and none that is queued later, whatever the sizes of the pops."""
    fifo = make(bookmark_replaces=True)
    fifo.replace([Thing("a", 1), Thing("b", 2), Thing("a", 3)], "3")
    fifo.update(Thing("b", 4))
    fifo.add(Thing("c", 5))
    popped: list[tuple[Any, bool, bool]] = []
    while len(fifo):
        fifo.pop_batch(
            lambda pairs: popped.extend((deltas[-1].object, initial, fifo.has_synced()) for deltas, initial in pairs),
            batch,
        )
    assert [(thing, initial) for thing, initial, _ in popped] == [
        (Thing("a", 3), True),
        (Thing("b", 4), True),
        ("3", True),
        (Thing("c", 5), False),
    ]
    assert not any(synced for _, initial, synced in popped if initial)
    assert fifo.has_synced()


def test_a_key_of_the_first_list_is_initial_once() -> None:
    """An object of the first list that was popped is not initial when it is queued again."""
    fifo = make()
    fifo.replace([Thing("a", 1), Thing("b", 1)], "1")
    assert fifo.pop(lambda _, initial: initial)
    fifo.update(Thing("a", 2))
    assert fifo.pop_batch(lambda pairs: [(d[-1].object.name, i) for d, i in pairs]) == [("b", True), ("a", False)]


def test_a_second_list_does_not_delay_the_sync() -> None:
    """`has_synced` does not wait for its keys."""
    fifo = make()
    fifo.replace([Thing("a", 1)], "1")
    fifo.replace([Thing("a", 2), Thing("b", 2)], "2")
    assert fifo.pop(lambda deltas, initial: ([d.object.value for d in deltas], initial)) == ([1, 2], True)
    assert fifo.has_synced()
    assert fifo.pop(lambda _, initial: initial) is False


def test_a_list_of_one_namespace_deletes_in_that_namespace_only() -> None:
    """Known objects of other namespaces stay."""
    in_a, in_b = {"namespace": "a"}, {"namespace": "b"}
    fifo = make(known_objects=Known(Thing("x", 1, in_a), Thing("y", 2, in_b)))
    fifo.add(Thing("z", 3, in_a))
    fifo.replace([], "9", namespace="a")
    assert {delta.object.key for deltas in pops(fifo) for delta in deltas if delta.type is DeltaType.DELETED} == {
        "x",
        "z",
    }


# Objects in process


def test_a_delete_of_an_object_in_process_is_queued() -> None:
    """The object is known, although the consumer has not stored it yet."""
    fifo = make(known_objects=Known())
    fifo.add(Thing("foo", 1))
    fifo.pop(lambda *_: fifo.delete(Thing("foo", 2)))
    assert pops(fifo) == [[deleted("foo", 2)]]


def test_a_list_deletes_an_object_in_process_that_it_lacks() -> None:
    """In its newest state, although the consumer has not stored it yet."""
    fifo = make(known_objects=Known(Thing("foo", 0)))
    fifo.update(Thing("foo", 1))
    fifo.add(Thing("bar", 1))
    fifo.pop_batch(lambda _: fifo.replace([], "9"))
    assert pops(fifo) == [[gone("foo", 1)], [gone("bar", 1)]]


def test_a_list_does_not_delete_an_object_again_whose_delete_is_in_process() -> None:
    """Although the consumer still has the object."""
    fifo = make(known_objects=Known(Thing("foo", 0)))
    fifo.delete(Thing("foo", 1))
    fifo.pop(lambda *_: fifo.replace([], "9"))
    assert len(fifo) == 0


def test_a_resync_leaves_out_objects_in_process() -> None:
    """The consumer's old state must not be queued behind the newer one that it is processing."""
    fifo = make(known_objects=Known(Thing("foo", 0), Thing("bar", 0)))
    fifo.update(Thing("foo", 1))
    fifo.pop(lambda *_: fifo.resync())
    assert pops(fifo) == [[synced("bar", 0)]]


def test_a_processed_object_is_known_only_if_the_consumer_has_it() -> None:
    """The queue forgets popped objects, even if the process function raises."""
    fifo = make(known_objects=Known())
    fifo.add(Thing("foo", 1))

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fifo.pop(fail)
    fifo.delete(Thing("foo", 2))
    fifo.replace([], "2")
    assert len(fifo) == 0


def test_the_batches_of_several_threads_are_in_process() -> None:
    """Each batch is known until its own thread has processed it."""
    fifo = make()
    fifo.add(Thing("foo", 1))
    fifo.add(Thing("bar", 1))
    taken, go_on = Latch(), Latch()

    def slow(*_: Any) -> None:
        taken.open()
        assert go_on.wait(5)

    popper = Worker(lambda: fifo.pop(slow), "popper").start()
    assert taken.wait(5)
    fifo.pop(lambda *_: None)
    fifo.delete(Thing("bar", 2))
    fifo.delete(Thing("foo", 2))
    go_on.open()
    assert popper.join(5)
    assert pops(fifo) == [[deleted("foo", 2)]]


@pytest.mark.parametrize("batch", [False, True], ids=["pop", "pop-batch"])
def test_a_resync_wakes_a_waiting_pop(run: Any, batch: bool) -> None:
    """As every other method that queues something."""
    fifo = make(known_objects=Known(Thing("a"), Thing("b")))
    waiting = Latch()

    def pop() -> Any:
        waiting.open()
        if batch:
            return [deltas for deltas, _ in fifo.pop_batch(list, timeout=DEADLINE)]
        return [fifo.pop(lambda deltas, initial: deltas, DEADLINE)]

    task = run(pop)
    assert waiting.wait(DEADLINE)
    # The thread counts itself once it waits, and only then has to be woken.
    assert eventually(lambda: fifo._poppers == 1)
    fifo.resync()
    assert task.ends_within(5), "the resync did not wake the pop"
    assert task.result()[0] == [Delta(DeltaType.SYNC, Thing("a"))]
