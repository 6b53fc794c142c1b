"""A store used by many threads: readers see whole steps, and no lock is held while the user's functions run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from informer import (
    DeletedFinalStateUnknown,
    Delta,
    DeltaType,
    IndexConflictError,
    Indexer,
    IndexFuncError,
    IndexNotFoundError,
)
from informer.queues.delta import ReplacedAll
from tests.support.waiting import DEADLINE
from watch.channel import Channel
from watch.concurrency import Latch, Worker


def pod(name: str, version: str = "1", uid: str = "u", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": version}, **more}


@contextmanager
def threads(*targets: Callable[[], object]) -> Iterator[None]:
    """Runs functions on threads of their own beside the block, and raises at its end what one of them raised."""
    errors: list[BaseException] = []

    def guarded(target: Callable[[], object]) -> None:
        try:
            target()
        except BaseException as error:
            errors.append(error)

    workers = [Worker(lambda target=target: guarded(target), "test").start() for target in targets]  # type: ignore[misc]
    try:
        yield
    finally:
        ended = [worker.join(DEADLINE) for worker in workers]
    if errors:
        raise errors[0]
    assert all(ended)


def test_readers_see_the_old_or_the_new_list_and_never_a_mix() -> None:
    """Each read of the store or of an index shows exactly one of the lists."""
    names = [f"pod-{number}" for number in range(200)]
    lists = [[pod(name, str(round), round=str(round)) for name in names[: 100 + round]] for round in range(60)]
    indexer: Indexer[Any] = Indexer(indexers={"round": lambda obj: [obj["round"]]})
    indexer.replace(lists[0], "0")
    done = Latch()
    sizes = {str(number): len(items) for number, items in enumerate(lists)}

    def read() -> None:
        while not done.is_open:
            objects = indexer.list()
            rounds = {obj["round"] for obj in objects}
            assert len(rounds) == 1
            (round,) = rounds
            assert len(objects) == sizes[round]
            assert len(indexer.by_index("round", round)) in (0, sizes[round])
            assert len(indexer.list_index_func_values("round")) == 1

    with threads(read, read):
        try:
            for round, items in enumerate(lists):
                indexer.replace(items, str(round))
        finally:
            done.open()
    assert indexer.index_keys("round", "59") == sorted(names[:159])


@pytest.mark.parametrize(
    "read",
    [
        Indexer.list,
        Indexer.list_keys,
        lambda store: store.records.copy(),
        lambda store: store.by_index("namespace", "ns"),
        lambda store: store.index_keys("namespace", "ns"),
        lambda store: store.index("namespace", {"metadata": {"namespace": "ns"}}),
    ],
    ids=["list", "keys", "by key", "by index", "index keys", "index"],
)
def test_a_reader_takes_the_lock_only_while_a_batch_is_applied(read: Callable[[Indexer[Any]], Any]) -> None:
    """A thread that is suspended while it holds the lock delays readers only while the maps change."""
    store: Indexer[Any] = Indexer(indexers={"namespace": lambda obj: [obj["metadata"]["namespace"]]})
    store.add({"metadata": {"name": "a", "namespace": "ns"}})
    with store.records._lock:
        assert len(read(store)) == 1
    found: Channel[Any] = Channel(None)
    reader = Worker(lambda: found.put(read(store)), "reader")
    with store.records._lock:
        store.records._steps += 1
        reader.start()
        with pytest.raises(queue.Empty):
            found.get(0.05)
        store.records._steps += 1
    assert len(found.get(10)) == 1
    reader.join()


def test_readers_see_whole_batches() -> None:
    """A batch that moves a mark from one object to another is seen completely or not at all."""
    indexer: Indexer[Any] = Indexer(indexers={"marked": lambda obj: ["yes"] if obj["marked"] else []})
    indexer.replace([pod("a", marked=True), pod("b", marked=False)], "1")
    done = Latch()

    def read() -> None:
        while not done.is_open:
            assert len(indexer.by_index("marked", "yes")) == 1
            assert sum(obj["marked"] for obj in indexer.list()) == 1

    with threads(read, read):
        try:
            for turn in range(300):
                marked, other = ("a", "b") if turn % 2 else ("b", "a")
                indexer.apply(
                    [
                        Delta(DeltaType.UPDATED, pod(other, marked=False)),
                        Delta(DeltaType.UPDATED, pod(marked, marked=True)),
                    ]
                )
        finally:
            done.open()


class Probe:
    """An index function that makes another thread read and write while it runs."""

    def __init__(self, also: Callable[[], object] = lambda: None) -> None:
        self.indexer: Indexer[Any] | None = None
        self.calls = 0
        self._also = also
        self._busy = threading.local()
        self._number = 0

    def __call__(self, obj: Any) -> list[str]:
        if self.indexer is None or obj["metadata"]["name"].startswith("other"):
            return ["x"]
        self.calls += 1
        self._number += 1
        worker = Worker(lambda: self._use(self._number), "probe").start()
        assert worker.join(DEADLINE), "a lock was held while an index function ran"
        self._also()
        return ["x"]

    def _use(self, number: int) -> None:
        assert self.indexer is not None
        self.indexer.list()
        self.indexer.by_index("probe", "x")
        self.indexer.add(pod(f"other-{number}"))
        self.indexer.delete(DeletedFinalStateUnknown(f"other-{number}", None))


WRITES: dict[str, Callable[[Indexer[Any]], object]] = {
    "add": lambda indexer: indexer.add(pod("b")),
    "update": lambda indexer: indexer.update(pod("a", "2")),
    "replace": lambda indexer: indexer.replace([pod("b"), pod("a", "2")], "3"),
    "replace with the same": lambda indexer: indexer.replace([pod("b"), pod("a")], "3"),
    "apply": lambda indexer: indexer.apply([Delta(DeltaType.ADDED, pod("c")), Delta(DeltaType.DELETED, pod("a"))]),
    "index": lambda indexer: indexer.index("probe", pod("a")),
    "add_indexers": lambda indexer: indexer.add_indexers({"second": indexer.indexers["probe"]}),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_no_lock_is_held_while_an_index_function_runs(write: Callable[[Indexer[Any]], object]) -> None:
    """Another thread can read and write the store meanwhile."""
    probe = Probe()
    indexer: Indexer[Any] = Indexer(indexers={"probe": probe})
    indexer.add(pod("a"))
    probe.indexer = indexer
    write(indexer)
    assert probe.calls > 0
    probe.indexer = None
    for name in indexer.indexers:
        assert indexer.index_keys(name, "x") == sorted(indexer)


def test_no_lock_is_held_while_a_key_function_runs() -> None:
    """Another thread can read and write the store meanwhile."""
    indexer: Indexer[Any]

    def key_of(obj: Any) -> str:
        worker = Worker(lambda: (indexer.list(), indexer.bookmark("1")), "probe").start()
        assert worker.join(DEADLINE), "a lock was held while a key function ran"
        return str(obj)

    indexer = Indexer(key_of)
    indexer.add(1)
    indexer.replace([2, 3], "4")
    indexer.delete(2)
    assert indexer.get(3) == 3


def test_an_index_added_while_a_write_is_prepared_contains_it() -> None:
    """The write is prepared again, without holding a lock."""
    added = Latch()
    indexer: Indexer[Any]

    def add_another() -> None:
        if not added.is_open:
            added.open()
            indexer.add_indexers({"second": probe})

    probe = Probe(also=add_another)
    indexer = Indexer(indexers={"probe": probe})
    probe.indexer = indexer
    indexer.add(pod("b"))
    assert probe.calls > 1
    assert indexer.index_keys("second", "x") == indexer.index_keys("probe", "x") == ["b"]


def test_a_list_prepared_while_its_object_is_deleted_is_indexed_correctly() -> None:
    """A relist reuses the index values of stored objects; after another write it is prepared again."""
    gone = Latch()
    indexer: Indexer[Any]

    def take_away() -> None:
        if not gone.is_open:
            gone.open()
            indexer.delete(pod("a"))

    probe = Probe(also=take_away)
    indexer = Indexer(indexers={"probe": probe})
    indexer.add(pod("a"))
    probe.indexer = indexer
    changes = indexer.apply([Delta(DeltaType.REPLACED_ALL, ReplacedAll([pod("a"), pod("b")], "9"))])
    assert gone.is_open
    assert [(change.type, change.key) for change in changes] == [(DeltaType.ADDED, "a"), (DeltaType.ADDED, "b")]
    assert indexer.index_keys("probe", "x") == ["a", "b"]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda indexer: indexer.update(pod("a", "2", value="new")), {"a": "new", "b": "old"}),
        (lambda indexer: indexer.delete(pod("a")), {"b": "old"}),
        (lambda indexer: indexer.add(pod("c", value="new")), {"a": "old", "b": "old", "c": "new"}),
        (
            lambda indexer: indexer.replace([pod("a", value="old"), pod("c", value="new")], "9"),
            {"a": "old", "c": "new"},
        ),
        (lambda indexer: indexer.replace([], "9"), {}),
    ],
    ids=["update", "delete", "add", "replace", "replace by nothing"],
)
def test_writes_while_an_index_is_added_are_in_it(
    write: Callable[[Indexer[Any]], object], expected: dict[str, str]
) -> None:
    """The new index contains them when it becomes ready, and readers cannot use it before."""
    indexer: Indexer[Any] = Indexer()
    indexer.replace([pod("a", value="old"), pod("b", value="old")], "1")
    wrote = Latch()

    def value(obj: Any) -> list[str]:
        if not wrote.is_open:
            wrote.open()
            with threads(lambda: write(indexer)):
                pass
            assert "value" not in indexer.indexers
            with pytest.raises(IndexNotFoundError):
                indexer.by_index("value", "old")
        return [obj["value"]]

    indexer.add_indexers({"value": value})
    assert {key: obj["value"] for key, obj in zip(indexer, indexer.list(), strict=True)} == expected
    for text in ("old", "new"):
        assert indexer.index_keys("value", text) == sorted(key for key in expected if expected[key] == text)


def test_two_threads_that_add_the_same_index() -> None:
    """The second thread gets an IndexConflictError, even while the first index is not ready yet."""
    indexer: Indexer[Any] = Indexer()
    indexer.add(pod("a"))

    def value(obj: Any) -> list[str]:
        with (
            pytest.raises(IndexConflictError, match="indexer conflict: value"),
            threads(lambda: indexer.add_indexers({"value": lambda obj: []})),
        ):
            pass
        return ["x"]

    indexer.add_indexers({"value": value})
    assert indexer.index_keys("value", "x") == ["a"]


def test_an_index_that_could_not_be_added_does_not_affect_writers() -> None:
    """Objects written meanwhile stay, and later writes do not use the failed index."""
    indexer: Indexer[Any] = Indexer(indexers={"good": lambda obj: ["x"]})
    indexer.add(pod("a"))

    def value(obj: Any) -> list[str]:
        if obj["metadata"]["name"] == "a":
            with threads(lambda: indexer.add(pod("b"))):
                pass
            raise ValueError("odd")
        return ["x"]

    with pytest.raises(IndexFuncError, match="odd"):
        indexer.add_indexers({"value": value})
    indexer.add(pod("c"))
    assert indexer.index_keys("good", "x") == ["a", "b", "c"]
    assert list(indexer.indexers) == ["good"]


def test_writers_on_many_threads_lose_nothing() -> None:
    """Every write of every thread is in the store and in its index."""
    indexer: Indexer[Any] = Indexer(indexers={"half": lambda obj: [obj["half"]]})

    def write(number: int) -> None:
        for turn in range(100):
            indexer.add(pod(f"{number}-{turn}", half=str(turn % 2)))
            indexer.update(pod(f"{number}-{turn}", "2", half=str((turn + 1) % 2)))
            if turn % 5 == 0:
                indexer.delete(pod(f"{number}-{turn}"))

    with threads(*(lambda number=number: write(number) for number in range(4))):  # type: ignore[misc]
        pass
    assert len(indexer) == 4 * 80
    assert len(indexer.by_index("half", "0")) + len(indexer.by_index("half", "1")) == 320
    assert all(obj["metadata"]["resourceVersion"] == "2" for obj in indexer.list())


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.get_by_key("a"),
        lambda store: store.list(),
        lambda store: store.list_keys(),
        lambda store: store.by_index("all", "x"),
        lambda store: store.index_keys("all", "x"),
        lambda store: store.index("all", pod("a")),
        lambda store: store.list_index_func_values("all"),
        lambda store: store.resource_version,
        len,
        list,
        lambda store: "a" in store,
        lambda store: store.add(pod("b")),
        lambda store: store.delete(pod("a")),
        lambda store: store.replace([], "9"),
        lambda store: store.bookmark("9"),
        lambda store: store.add_indexers({"other": lambda obj: []}),
        lambda store: store.records.get("a"),
        lambda store: store.records.copy(),
        lambda store: store.records.sample(10),
    ],
)
def test_disabled_records_raise_on_every_use_and_take_no_lock(use: Callable[[Any], object]) -> None:
    """In a forked child a store must not hang on a lock that its parent holds, nor show a cache that no thread updates."""
    store: Indexer[Any] = Indexer(indexers={"all": lambda obj: ["x"]})
    store.replace([pod("a")], "1")
    lock = store.records._lock
    with lock:
        store.records.disable(lambda: LookupError("forked"))
        with pytest.raises(LookupError, match="forked"):
            use(store)


# Versions that may have been given out again


def test_doubted_versions_compare_the_content() -> None:
    """While versions are doubted, an object of the same uid and version with other content is an update, not a resync."""
    store: Indexer[Any] = Indexer(indexers={"value": lambda obj: [obj["value"]]})

    def thing(name: str, value: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "uid": name, "resourceVersion": "5"}, "value": value}

    store.replace([thing("changed", "old"), thing("same", "same")], "5")
    records = store.records
    again = [thing("changed", "new"), thing("same", "same")]
    assert records.same_as(again[0]) is store.get_by_key("changed")
    records.doubt_versions(True)
    assert records.same_as(again[0]) is again[0]
    assert records.same_as(again[1]) is store.get_by_key("same")
    changes = records.apply([Delta(DeltaType.REPLACED_ALL, ReplacedAll(again, "5"))])
    assert [(change.key, change.is_sync) for change in changes] == [("changed", False), ("same", True)]
    assert [obj["metadata"]["name"] for obj in store.by_index("value", "new")] == ["changed"]
    assert store.by_index("value", "old") == []
    records.doubt_versions(False)
    assert records.same_as(thing("changed", "newer")) is store.get_by_key("changed")
