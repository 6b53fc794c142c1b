"""The queue that keeps the order of arrival."""

from __future__ import annotations

import queue as stdlib_queue
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from informer import DeletedFinalStateUnknown, Delta, DeltaType, InOrderFIFO
from informer.queues.delta import ReplacedAll


class Thing(NamedTuple):
    """An object whose name is its key."""

    name: str
    value: int = 0


Script = Callable[[InOrderFIFO], object]


def make(**options: Any) -> InOrderFIFO:
    return InOrderFIFO(lambda thing: thing.name, **options)


def drained(fifo: InOrderFIFO, batch: int = 1000) -> list[tuple[Delta, bool]]:
    """Pops everything; returns each delta with its flag. Every pair has one delta."""
    popped = []
    while len(fifo):
        for deltas, initial in fifo.pop_batch(list, batch):
            (delta,) = deltas
            popped.append((delta, initial))
    return popped


def deltas_of(fifo: InOrderFIFO) -> list[Delta]:
    return [delta for delta, _ in drained(fifo)]


def added(name: str, value: int = 0) -> Delta:
    return Delta(DeltaType.ADDED, Thing(name, value))


def updated(name: str, value: int = 0) -> Delta:
    return Delta(DeltaType.UPDATED, Thing(name, value))


def deleted(name: str, value: int = 0) -> Delta:
    return Delta(DeltaType.DELETED, Thing(name, value))


def replaced(version: str, *items: Thing, namespace: str | None = None) -> Delta:
    return Delta(DeltaType.REPLACED_ALL, ReplacedAll(list(items), version, namespace))


def bookmark(version: str) -> Delta:
    return Delta(DeltaType.BOOKMARK, version)


SYNC_ALL = Delta(DeltaType.SYNC_ALL, None)
FOO, FOO2, BAR = Thing("foo", 1), Thing("foo", 2), Thing("bar", 3)

SCRIPTS: dict[str, tuple[list[Script], list[Delta]]] = {
    "an empty list": ([lambda q: q.replace([], "123")], [replaced("123")]),
    "an object, then an empty list": (
        [lambda q: q.add(FOO), lambda q: q.replace([], "123")],
        [added("foo", 1), replaced("123")],
    ),
    "several lists": (
        [
            lambda q: q.add(FOO),
            lambda q: q.replace([FOO], "10"),
            lambda q: q.replace([FOO], "20"),
            lambda q: q.replace([], "56"),
        ],
        [added("foo", 1), replaced("10", FOO), replaced("20", FOO), replaced("56")],
    ),
    "a bookmark, then a list": (
        [lambda q: q.bookmark("123"), lambda q: q.replace([], "1234")],
        [bookmark("123"), replaced("1234")],
    ),
    "a delete, then a list": (
        [lambda q: q.delete(FOO), lambda q: q.replace([FOO2], "2")],
        [deleted("foo", 1), replaced("2", FOO2)],
    ),
    "deleted and back, then a list": (
        [lambda q: q.add(FOO), lambda q: q.delete(FOO), lambda q: q.add(FOO2), lambda q: q.replace([], "9")],
        [added("foo", 1), deleted("foo", 1), added("foo", 2), replaced("9")],
    ),
    "changes of one object": (
        [lambda q: q.add(FOO), lambda q: q.update(FOO2), lambda q: q.delete(Thing("foo", 15))],
        [added("foo", 1), updated("foo", 2), deleted("foo", 15)],
    ),
    "several objects": (
        [lambda q: q.add(FOO), lambda q: q.update(BAR), lambda q: q.add(Thing("qux", 17)), lambda q: q.update(FOO2)],
        [added("foo", 1), updated("bar", 3), added("qux", 17), updated("foo", 2)],
    ),
    "a delete of an unknown object": ([lambda q: q.delete(Thing("baz", 20))], [deleted("baz", 20)]),
    "two deletes": ([lambda q: q.delete(FOO), lambda q: q.delete(FOO2)], [deleted("foo", 1), deleted("foo", 2)]),
    "a tombstone": (
        [lambda q: q.delete(DeletedFinalStateUnknown("foo", FOO))],
        [Delta(DeltaType.DELETED, DeletedFinalStateUnknown("foo", FOO))],
    ),
    "a resync": ([lambda q: q.resync()], [SYNC_ALL]),
    "an object, then a resync": ([lambda q: q.add(FOO), lambda q: q.resync()], [added("foo", 1), SYNC_ALL]),
    "a delete, then a resync": ([lambda q: q.delete(FOO), lambda q: q.resync()], [deleted("foo", 1), SYNC_ALL]),
    "a list of one namespace": (
        [lambda q: q.replace([FOO], "5", namespace="a")],
        [replaced("5", FOO, namespace="a")],
    ),
    "a batch": (
        [lambda q: q.apply([added("a"), bookmark("3"), updated("b")]), lambda q: q.apply([deleted("a")])],
        [added("a"), bookmark("3"), updated("b"), deleted("a")],
    ),
}


@pytest.mark.parametrize(("script", "expected"), SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_deltas_are_popped_in_the_order_of_arrival(script: list[Script], expected: list[Delta], batch: int) -> None:
    """Go: TestRealFIFO_ReplaceAtomic, TestRealFIFO_ResyncAtomic, TestRealFIFO_addUpdate, TestRealFIFO_enqueueingNoLister.

    Every event is a delta, a list one REPLACED_ALL without deletes, a resync one SYNC_ALL.
    """
    fifo = make()
    for step in script:
        step(fifo)
    assert len(fifo) == len(expected)
    assert [delta for delta, _ in drained(fifo, batch)] == expected


def test_a_list_after_an_add_is_one_pop() -> None:
    """Go: TestRealFIFO_ReplaceAtomicPop. The add is popped first, then the whole list."""
    fifo = make()
    fifo.add(Thing("foo", 10))
    fifo.replace([Thing("foo", 15)], "20")
    assert fifo.pop(lambda deltas, _: deltas) == [added("foo", 10)]
    assert fifo.pop(lambda deltas, _: deltas) == [replaced("20", Thing("foo", 15))]
    with pytest.raises(stdlib_queue.Empty):
        fifo.pop(lambda deltas, _: deltas, timeout=0)


def test_an_empty_first_list_has_to_be_processed() -> None:
    """client-go source. Until then, the list is initial and the queue has not synced."""
    fifo = make()
    fifo.replace([], "1")
    assert not fifo.has_synced()
    assert fifo.pop(lambda _, initial: (initial, fifo.has_synced())) == (True, False)
    assert fifo.has_synced()


def test_a_batch_has_all_types_of_deltas_in_order() -> None:
    """Go: TestRealFIFO_PopMultipleDeltaInBatch."""
    fifo = make()
    fifo.add(Thing("a"))
    fifo.add(Thing("b"))
    fifo.bookmark("4")
    fifo.add(Thing("c"))
    fifo.replace([], "9")
    fifo.resync()
    fifo.add(Thing("c", 2))
    fifo.add(Thing("c", 3))
    expected = [
        added("a"),
        added("b"),
        bookmark("4"),
        added("c"),
        replaced("9"),
        SYNC_ALL,
        added("c", 2),
        added("c", 3),
    ]
    assert [pair[0][0] for pair in fifo.pop_batch(list, 3)] == expected[:3]
    assert [pair[0][0] for pair in fifo.pop_batch(list, 1000)] == expected[3:]


@pytest.mark.parametrize("batch", [1, 2, 3, 1000])
@pytest.mark.parametrize("updates", [0, 1, 3])
@pytest.mark.parametrize("items", [0, 1, 3])
def test_only_the_first_list_is_initial(items: int, updates: int, batch: int) -> None:
    """Go: TestRealFIFO_PopMultipleDeltaInBatch. Even if it is popped together with other deltas."""
    fifo = make()
    fifo.replace([Thing(str(n)) for n in range(items)], "1")
    for n in range(updates):
        fifo.update(Thing(str(n), 1))
    fifo.replace([], "2")
    assert [initial for _, initial in drained(fifo, batch)] == [True] + [False] * (updates + 1)


def test_a_list_is_copied() -> None:
    """The caller may change its list after `replace`."""
    items = [FOO]
    fifo = make()
    fifo.replace(items, "1")
    items.clear()
    assert deltas_of(fifo) == [replaced("1", FOO)]


def test_a_batch_is_copied() -> None:
    """The caller may change its batch after `apply`."""
    batch = [added("a")]
    fifo = make()
    fifo.apply(batch)
    batch.clear()
    assert deltas_of(fifo) == [added("a")]


def test_transforms_keep_the_order() -> None:
    """Go: TestRealFIFO_transformer. Adds, updates, deletes and lists are transformed, each object once."""
    seen: list[Thing] = []

    def transform(thing: Thing) -> Thing:
        seen.append(thing)
        return thing._replace(value=-thing.value)

    fifo = make(transform=transform)
    fifo.add(Thing("foo", 10))
    fifo.add(Thing("bar", 11))
    fifo.update(Thing("foo", 12))
    fifo.delete(Thing("foo", 15))
    fifo.replace([], "1")
    fifo.add(Thing("bar", 16))
    fifo.replace([Thing("bar", 17)], "2")
    assert deltas_of(fifo) == [
        added("foo", -10),
        added("bar", -11),
        updated("foo", -12),
        deleted("foo", -15),
        replaced("1"),
        added("bar", -16),
        replaced("2", Thing("bar", -17)),
    ]
    assert [thing.value for thing in seen] == [10, 11, 12, 15, 16, 17]


def test_objects_without_keys_are_queued() -> None:
    """Go: TestRealFIFO_PopBrokenItemsInBatch. The queue computes no keys."""

    def no_key(_: Any) -> str:
        raise AssertionError

    fifo = InOrderFIFO(no_key)
    for value in (1, 3, 2):
        fifo.add(value)
    fifo.replace([4], "1")
    assert [delta.object for delta in deltas_of(fifo)[:3]] == [1, 3, 2]


def test_the_first_list_of_every_namespace_is_initial() -> None:
    """Events and later lists between them are not."""
    fifo = make()
    fifo.expect_namespaces(["a", "b"])
    fifo.replace([FOO], "1", namespace="a")
    fifo.update(FOO2)
    fifo.replace([FOO2], "3", namespace="a")
    fifo.replace([BAR], "4", namespace="b")
    assert not fifo.has_synced()
    assert [initial for _, initial in drained(fifo, 3)] == [True, False, False, True]
    assert fifo.has_synced()


# What counts as a first list


@pytest.mark.parametrize(
    ("deltas", "synced"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([Delta(DeltaType.BOOKMARK, "5")], False, id="a-bookmark"),
        pytest.param([Delta(DeltaType.BOOKMARK, "5"), Delta(DeltaType.BOOKMARK, "6")], False, id="bookmarks"),
        pytest.param([added("a")], True, id="an-add"),
        pytest.param([Delta(DeltaType.BOOKMARK, "5"), added("a")], True, id="a-bookmark-and-an-add"),
        pytest.param([added("a"), Delta(DeltaType.BOOKMARK, "5")], True, id="an-add-and-a-bookmark"),
    ],
)
def test_only_an_object_counts_as_an_empty_first_list(deltas: list[Delta], synced: bool) -> None:
    """Go: TestRealFIFO_HasSynced. Bookmarks and empty batches say nothing about the objects that exist."""
    fifo = make()
    fifo.apply(deltas)
    assert fifo.has_synced() is synced
    assert len(fifo) == len(deltas)
    fifo.replace([Thing("b")], "7")
    assert fifo.has_synced() is synced
    drained(fifo)
    assert fifo.has_synced()
