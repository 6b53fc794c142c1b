"""A controller joins reflectors, a queue and a process function."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from informer import Controller, Delta, DeltaFIFO, Indexer, InOrderFIFO
from informer.queues.fifo import FIFO
from informer.reflector.backoff import Backoff
from informer.testing import FakeControllerSource
from tests.support.objects import pod
from tests.support.waiting import DEADLINE
from watch import Channel
from watch.concurrency import Worker

QUICK = Backoff(initial=0.001, maximum=0.01)
QueueMaker = Callable[[Indexer[Any]], FIFO]
RunningMaker = Callable[[Controller], AbstractContextManager[Any]]
CacheMaker = Callable[..., Any]


def test_it_lists_watches_and_processes(running: RunningMaker, make_cache: CacheMaker, make_queue: QueueMaker) -> None:
    """The objects of the list are initial; later events are not."""
    source = FakeControllerSource()
    source.add(pod("a"))
    cache = make_cache(make_queue, source)
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
def test_a_list_gives_its_changes_after_the_store_has_them(
    make_cache: CacheMaker,
    make_queue: QueueMaker,
    before: list[tuple[str, str]],
    listed: list[tuple[str, str]],
    version: str,
    expected: list[tuple[str, str, str, str]],
) -> None:
    """Go: TestReplaceEvents. The same changes through either queue; the in-order queue gives the deletes first."""
    cache = make_cache(make_queue, FakeControllerSource())
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


def test_a_relist_gives_the_changes_that_a_lost_watch_missed(
    running: RunningMaker, make_cache: CacheMaker, make_queue: QueueMaker
) -> None:
    """Go: TestResetWatch. Only these, and none of them is initial."""
    source = FakeControllerSource()
    source.add(pod("pod-1"))
    source.add(pod("same"))
    cache = make_cache(make_queue, source)
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


def test_the_stores_version_is_that_of_the_last_event(
    running: RunningMaker, make_cache: CacheMaker, make_queue: QueueMaker
) -> None:
    """Go: TestStoreResourceVersion. It follows lists, events, deletes and bookmarks."""
    source = FakeControllerSource()
    source.add(pod("a"))
    cache = make_cache(make_queue, source)
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
                found = seen.get(timeout=DEADLINE)
            assert found == expected


def test_objects_without_metadata_do_not_move_the_stores_version(running: RunningMaker) -> None:
    """Go: TestStoreResourceVersionWithNonMetaTransform."""
    source = FakeControllerSource()
    source.add(pod("a"))
    fifo = InOrderFIFO(transform=lambda obj: f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")
    indexer: Indexer[Any] = Indexer(lambda text: text)
    processed: Channel[str] = Channel(None)

    def process(deltas: list[Delta], _: bool) -> None:
        indexer.apply(deltas)
        processed.put(str(deltas[0].type))

    with running(Controller(fifo, source, process, backoff=QUICK)):
        assert processed.get(timeout=DEADLINE) == "ReplacedAll"
        assert source.wait_for_watches(1)
        source.modify(pod("a"))
        assert processed.get(timeout=DEADLINE) == "Updated"
        assert indexer.resource_version == "1"
        source.modify_drop_watch(pod("a"))
        source.reset_watch()
        assert processed.get(timeout=DEADLINE) == "ReplacedAll"
        assert indexer.resource_version == "3"
        assert indexer.list() == ["default/a"]


def test_concurrent_writers_end_with_the_state_of_the_source(
    running: RunningMaker, make_cache: CacheMaker, make_queue: QueueMaker
) -> None:
    """Go: TestHammerController."""
    source = FakeControllerSource()
    cache = make_cache(make_queue, source)

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
        assert all(writer.join(DEADLINE) for writer in writers)
        source.add(pod("last"))
        while cache.changes.get(timeout=DEADLINE)[1] != "last":
            pass
        assert cache.controller.has_synced()
    assert cache.controller.last_sync_resource_version == source.resource_version
    assert {key: cache.indexer.get_by_key(key) for key in cache.indexer} == source.objects()


def test_both_queues_give_the_same_changes(running: RunningMaker, make_cache: CacheMaker) -> None:
    """After the same disruptions the stores are equal, and so are the changes of each object."""

    def story(make: QueueMaker) -> tuple[dict[str, list[tuple[Any, ...]]], dict[str, Any]]:
        source = FakeControllerSource()
        for name in "abc":
            source.add(pod(name, uid=name))
        cache = make_cache(make, source)
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
    # An object that was deleted and created again within a gap is an update, since only the list was seen.
    assert [change[0] for change in in_order[0]["d"]] == ["Added", "Updated"]


@pytest.mark.parametrize("kind", ["in_order", "delta"])
def test_the_result_of_a_transform_is_stored(running: RunningMaker, kind: str) -> None:
    """Go: TestTransformingInformer. Every change has it, too, deletes included."""

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
    changes: Channel[tuple[str, Any, Any]] = Channel(None)

    def process(deltas: list[Delta], initial: bool) -> None:
        for change in indexer.apply(deltas, is_in_initial_list=initial):
            changes.put((str(change.type), change.old, change.object))

    def made(name: str, generation: int) -> dict[str, Any]:
        return transform(pod(name, generation=generation))

    with running(Controller(fifo, source, process, backoff=QUICK)):
        assert changes.get(timeout=DEADLINE) == ("Added", None, made("pod1", 2))
        assert source.wait_for_watches(1)
        for change, expected in (
            (lambda: source.add(pod("pod2", generation=1)), ("Added", None, made("pod2", 1))),
            (lambda: source.add(pod("pod3", generation=1)), ("Added", None, made("pod3", 1))),
            (lambda: source.modify(pod("pod2", generation=2)), ("Updated", made("pod2", 1), made("pod2", 2))),
            (lambda: source.delete(pod("pod1", generation=2)), ("Deleted", None, made("pod1", 2))),
        ):
            change()
            assert changes.get(timeout=DEADLINE) == expected
    assert indexer.list() == [made("pod2", 2), made("pod3", 1)]
