"""Batches of deltas change the cache, and the changes are distributed in the same step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from informer import Change, DeletedFinalStateUnknown, Delta, DeltaType, Indexer, KeyFuncError, meta_namespace_key
from informer.controller.applier import Applier
from informer.queues.delta import ReplacedAll
from informer.rate_limited_log import rate_limited
from tests.support.objects import stored_pod as pod
from watch.concurrency import RLock


class Listening:
    """Records each batch, the content of the cache at that time, and whether the lock was held."""

    def __init__(self, indexer: Indexer[Any], *, takes_syncs: bool = True) -> None:
        self._takes_syncs = takes_syncs
        self.lock = RLock()
        self.batches: list[list[Change[Any]]] = []
        self.states: list[dict[str, str]] = []
        self._indexer = indexer

    def takes_syncs(self) -> bool:
        return self._takes_syncs

    def distribute(self, changes: Sequence[Change[Any]]) -> None:
        assert self.lock._is_owned()  # type: ignore[attr-defined]
        self.batches.append(list(changes))
        self.states.append({k: self._indexer.get_by_key(k)["metadata"]["resourceVersion"] for k in self._indexer})

    def summary(self) -> list[list[tuple[str, str, bool]]]:
        return [
            [(str(c.type), c.object["metadata"]["name"], c.is_in_initial_list) for c in batch] for batch in self.batches
        ]


@pytest.fixture
def indexer() -> Indexer[Any]:
    return Indexer()


@pytest.fixture
def listening(indexer: Indexer[Any]) -> Listening:
    return Listening(indexer)


@pytest.fixture
def applier(indexer: Indexer[Any], listening: Listening) -> Applier:
    return Applier(indexer, listening, meta_namespace_key, rate_limited(logging.getLogger("test.applier")))


def added(name: str, version: str = "1") -> list[Delta]:
    return [Delta(DeltaType.ADDED, pod(name, version))]


def test_a_batch_is_distributed_in_one_call_after_the_cache_has_it(applier: Applier, listening: Listening) -> None:
    """In order, and under the lock of the listeners."""
    applier.process(([*added("a"), Delta(DeltaType.UPDATED, pod("a", "2")), *added("b")], False))
    assert listening.summary() == [[("Added", "a", False), ("Updated", "a", False), ("Added", "b", False)]]
    assert listening.states == [{"ns/a": "2", "ns/b": "1"}]


def test_adds_of_the_initial_list_are_marked(applier: Applier, listening: Listening) -> None:
    """Each change says whether it belongs to the initial list."""
    applier.process((added("a") + added("b"), True))
    applier.process((added("c"), False))
    assert listening.summary() == [[("Added", "a", True), ("Added", "b", True)], [("Added", "c", False)]]


def test_several_deltas_of_a_key_are_applied_in_order(applier: Applier, listening: Listening) -> None:
    """Deltas that are grouped by key are applied one after another."""
    applier.process(([*added("a"), Delta(DeltaType.DELETED, pod("a", "2")), *added("a", "3")], False))
    assert listening.summary() == [[("Added", "a", False), ("Deleted", "a", False), ("Added", "a", False)]]
    assert listening.states == [{"ns/a": "3"}]


def test_an_object_without_a_key_does_not_affect_the_others(
    applier: Applier, indexer: Indexer[Any], listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, and logged without its data; the rest of its batch is applied."""
    secret = {"metadata": {"namespace": "d"}, "data": {"password": "hunter2"}}
    applier.process((added("gone") + added("stays"), False))
    applier.process(
        (
            [
                Delta(DeltaType.ADDED, secret),
                *added("a"),
                Delta(DeltaType.DELETED, DeletedFinalStateUnknown("ns/gone", None)),
                Delta(DeltaType.SYNC_ALL, None),
                Delta(DeltaType.DELETED, secret),
                Delta(DeltaType.BOOKMARK, "9"),
            ],
            False,
        )
    )
    assert listening.summary()[1] == [
        ("Added", "a", False),
        ("Deleted", "gone", False),
        ("Updated", "stays", False),
        ("Updated", "a", False),
    ]
    assert indexer.resource_version == "9"
    assert applier.rejected == 2
    assert "left out of the cache: couldn't create key for object of type dict" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_list_with_an_object_without_a_key_is_applied_without_it(
    applier: Applier, indexer: Indexer[Any], listening: Listening
) -> None:
    """Other objects are stored, and objects that the list lacks are deleted."""
    applier.process(([Delta(DeltaType.ADDED, pod("x", "1", namespace="one")), *added("y")], False))
    listed = ReplacedAll(
        [pod("a", "1", namespace="one"), {"metadata": {}}, None, pod("b", "1", namespace="one")], "7", "one"
    )
    applier.process(([Delta(DeltaType.REPLACED_ALL, listed)], True))
    assert listening.summary()[1] == [("Deleted", "x", False), ("Added", "a", True), ("Added", "b", True)]
    assert sorted(indexer.list_keys()) == ["ns/y", "one/a", "one/b"]
    assert indexer.resource_version == "7"
    assert applier.rejected == 2


@pytest.mark.parametrize("make", [lambda: 1 // 0, lambda: None, list], ids=["raises", "none", "list"])
def test_a_key_function_that_fails_leaves_out_that_object_only(make: Callable[[], Any]) -> None:
    """It raises, or returns a key of another type."""

    def key_of(obj: Any) -> str:
        return make() if obj == "bad" else obj  # type: ignore[no-any-return]

    indexer: Indexer[Any] = Indexer(key_of)
    listening = Listening(Indexer())
    applier = Applier(indexer, listening, key_of, rate_limited(logging.getLogger("test.applier")))
    applier.process(([Delta(DeltaType.ADDED, obj) for obj in ("a", "bad", "b")], False))
    assert sorted(indexer.list_keys()) == ["a", "b"]
    assert applier.rejected == 1
    with pytest.raises(KeyFuncError):
        indexer.add("bad")


def test_no_lock_is_held_while_an_index_function_runs(
    indexer: Indexer[Any], listening: Listening, applier: Applier
) -> None:
    """Not even if a batch is prepared again because an index was added meanwhile."""
    asked: list[str] = []

    def value(obj: Any) -> list[str]:
        asked.append(obj["metadata"]["name"])
        assert not listening.lock._is_owned()  # type: ignore[attr-defined]
        if "late" not in indexer.indexers:
            indexer.add_indexers({"late": lambda obj: ["x"]})
        return ["x"]

    indexer.add_indexers({"early": value})
    applier.process((added("a"), False))
    assert asked == ["a", "a"]
    assert indexer.index_keys("late", "x") == indexer.index_keys("early", "x") == ["ns/a"]
    assert listening.summary() == [[("Added", "a", False)]]


def test_an_index_that_is_added_meanwhile_has_the_applied_objects(listening: Listening) -> None:
    """The batch is prepared again, and the index function does not run under the lock."""
    indexer: Indexer[Any] = Indexer()
    asked: list[str] = []

    def by_version(obj: Any) -> list[str]:
        assert not listening.lock._is_owned()  # type: ignore[attr-defined]
        asked.append("version")
        return [obj["metadata"]["resourceVersion"]]

    def by_name(obj: Any) -> list[str]:
        assert not listening.lock._is_owned()  # type: ignore[attr-defined]
        asked.append("name")
        if "version" not in indexer.indexers:
            indexer.add_indexers({"version": by_version})
        return [obj["metadata"]["name"]]

    indexer.add_indexers({"name": by_name})
    applier = Applier(indexer, listening, meta_namespace_key, rate_limited(logging.getLogger("test.applier")))
    applier.process((added("a", "5"), False))
    assert indexer.index_keys("version", "5") == indexer.index_keys("name", "a") == ["ns/a"]
    assert asked[0] == "name"
    assert "version" in asked
    assert listening.summary() == [[("Added", "a", False)]]


@pytest.mark.parametrize("takes_syncs", [False, True])
def test_a_list_of_unchanged_objects_makes_changes_only_for_listeners_that_take_them(
    indexer: Indexer[Any], takes_syncs: bool
) -> None:
    """A change for each of a million objects would take more memory than the relist."""
    listening = Listening(indexer, takes_syncs=takes_syncs)
    applier = Applier(indexer, listening, meta_namespace_key, rate_limited(logging.getLogger("test.applier")))
    unchanged = [pod("a", "1"), pod("b", "2")]
    for items in (unchanged, unchanged, [*unchanged, pod("c", "3")]):
        applier.process(([Delta(DeltaType.REPLACED_ALL, ReplacedAll(list(items), "9"))], False))
    again = [("Updated", "a", False), ("Updated", "b", False)] if takes_syncs else []
    assert listening.summary()[1:] == [again, [*again, ("Added", "c", False)]]
