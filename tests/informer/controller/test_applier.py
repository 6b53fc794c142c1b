"""What was popped changes the cache and is given out, as one step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from informer import Change, DeletedFinalStateUnknown, Delta, DeltaType, Indexer, KeyFuncError, meta_namespace_key
from informer.controller.applier import Applier
from informer.queues.delta import ReplacedAll
from informer.rate_limited_log import LimitedLog
from tests.support.objects import stored_pod as pod
from watch.concurrency import RLock


class Listening:
    """Records each batch, with what the cache held at that time and whether the lock was held."""

    def __init__(self, indexer: Indexer[Any]) -> None:
        self.lock = RLock()
        self.batches: list[list[Change[Any]]] = []
        self.states: list[dict[str, str]] = []
        self._indexer = indexer

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
    return Applier(indexer, listening, meta_namespace_key, LimitedLog(logging.getLogger("test.applier")))


def added(name: str, version: str = "1") -> list[Delta]:
    return [Delta(DeltaType.ADDED, pod(name, version))]


def test_a_batch_is_given_out_at_once_after_the_cache_has_it(applier: Applier, listening: Listening) -> None:
    """All of a pop is in the cache before listeners hear of it, in one call, in order."""
    applier.process(([*added("a"), Delta(DeltaType.UPDATED, pod("a", "2")), *added("b")], False))
    assert listening.summary() == [[("Added", "a", False), ("Updated", "a", False), ("Added", "b", False)]]
    assert listening.states == [{"ns/a": "2", "ns/b": "1"}]


def test_adds_of_the_initial_list_are_marked(applier: Applier, listening: Listening) -> None:
    """Each change tells whether it belongs to the initial list."""
    applier.process((added("a") + added("b"), True))
    applier.process((added("c"), False))
    assert listening.summary() == [[("Added", "a", True), ("Added", "b", True)], [("Added", "c", False)]]


def test_several_deltas_of_a_key_are_applied_in_order(applier: Applier, listening: Listening) -> None:
    """Deltas grouped by key are applied one after another."""
    applier.process(([*added("a"), Delta(DeltaType.DELETED, pod("a", "2")), *added("a", "3")], False))
    assert listening.summary() == [[("Added", "a", False), ("Deleted", "a", False), ("Added", "a", False)]]
    assert listening.states == [{"ns/a": "3"}]


def test_an_object_without_a_key_takes_no_other_with_it(
    applier: Applier, indexer: Indexer[Any], listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be stored is counted and logged without its data, and everything else of its batch is applied."""
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
    """One bad object of a list does not keep the others out, nor what the list says is gone in."""
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
def test_a_key_function_that_raises_or_makes_no_key_is_no_end(make: Callable[[], Any]) -> None:
    """Whatever a user's key function does to an object leaves out that object only."""

    def key_of(obj: Any) -> str:
        return make() if obj == "bad" else obj  # type: ignore[no-any-return]

    indexer: Indexer[Any] = Indexer(key_of)
    listening = Listening(Indexer())
    applier = Applier(indexer, listening, key_of, LimitedLog(logging.getLogger("test.applier")))
    applier.process(([Delta(DeltaType.ADDED, obj) for obj in ("a", "bad", "b")], False))
    assert sorted(indexer.list_keys()) == ["a", "b"]
    assert applier.rejected == 1
    with pytest.raises(KeyFuncError):
        indexer.add("bad")


def test_no_lock_is_held_while_an_index_function_runs(
    indexer: Indexer[Any], listening: Listening, applier: Applier
) -> None:
    """Not even where a batch has to be indexed once more, since an index came between."""
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


def test_an_index_added_meanwhile_has_what_is_applied(listening: Listening) -> None:
    """What an index function does to the store before a batch is committed counts, and it never runs under the lock."""
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
    applier = Applier(indexer, listening, meta_namespace_key, LimitedLog(logging.getLogger("test.applier")))
    applier.process((added("a", "5"), False))
    assert indexer.index_keys("version", "5") == indexer.index_keys("name", "a") == ["ns/a"]
    assert asked[0] == "name"
    assert "version" in asked
    assert listening.summary() == [[("Added", "a", False)]]
