"""Bounds on what a reflector accepts: the number of objects, endless lists, and the server's Retry-After."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from informer import (
    ApiError,
    Backoff,
    Delta,
    DeltaType,
    Indexer,
    InformerError,
    InOrderFIFO,
    Reflector,
    Store,
    meta_namespace_key,
)
from informer.objects.entry import Undecodable
from informer.reflector.held_objects import HeldObjects
from informer.reflector.state import ReflectorState, Step
from tests.support.objects import pod
from tests.support.waiting import eventually
from watch import Event
from watch.concurrency import Signal

FAST = Backoff(initial=0.001, maximum=0.002)
TOO_MANY = "more than 2 objects: raise max_objects to accept them"


def reflect(source: Any, target: Any = None, **options: Any) -> Reflector:
    options.setdefault("backoff", FAST)
    return Reflector(source, Store() if target is None else target, name="pods", random=Random(1), **options)


def names(store: Store[Any]) -> list[str]:
    return sorted(obj["metadata"]["name"] for obj in store.list())


# The number of objects


def test_a_list_may_have_exactly_the_most_objects(script: Any) -> None:
    """One more fails the round, and nothing of the list is stored."""
    store: Store[Any] = Store()
    reflect(script.source([script.pods("1", "a", "b")]), store, max_objects=2).list_and_watch(Signal())
    assert names(store) == ["a", "b"]
    made = reflect(script.source([script.pods("2", "a", "b", "c")]), store, max_objects=2)
    with pytest.raises(InformerError, match=TOO_MANY):
        made.list_and_watch(Signal())
    assert names(store) == ["a", "b"]


def test_the_objects_of_all_pages_count(script: Any) -> None:
    """The list is given up at the first page that exceeds the bound; an empty page counts as one object."""
    pages = [script.pods("1", "a", continue_="C1"), script.pods("1", continue_="C2"), script.pods("1", "b")]
    source = script.source(pages)
    store: Store[Any] = Store()
    with pytest.raises(InformerError, match=TOO_MANY):
        reflect(source, store, max_objects=2, page_size=1).list_and_watch(Signal())
    assert len(source.list_calls) == 3
    assert names(store) == []
    reflect(script.source(pages), store, max_objects=3, page_size=1).list_and_watch(Signal())
    assert names(store) == ["a", "b"]


@pytest.mark.parametrize("watch_list", [False, True], ids=["list", "watch-list"])
def test_a_watch_may_bring_exactly_the_most_objects(script: Any, watch_list: bool) -> None:
    """One event per batch: adds and deletes count, updates do not; the third object at the same time is one too many."""
    initial = [script.added("a", "1"), script.bookmark("1", end="true")]
    steps = [
        [script.added("b", "2")],
        [script.modified("b", "3")],
        [script.deleted("a", "4")],
        [script.added("c", "5")],
        [script.modified("c", "6")],
        [script.added("d", "7")],
        [script.added("e", "8")],
    ]
    lists = [] if watch_list else [script.pods("1", "a")]
    watcher = script.watcher(*([initial] if watch_list else []), *steps, hang=True)
    store: Store[Any] = Store()
    source = script.source(lists, [watcher], supports_watch_list=watch_list)
    made = reflect(source, store, max_objects=2, watch_list=watch_list)
    with pytest.raises(InformerError, match=TOO_MANY):
        made.list_and_watch(Signal())
    assert names(store) == ["b", "c", "d"]
    assert made.last_sync_resource_version == "7"
    assert watcher.stopped.is_set()


def test_an_object_that_no_longer_decodes_does_not_count(script: Any) -> None:
    """It has left the cache, so one more object is accepted; a second one exceeds the limit."""
    left_out = Event("MODIFIED", Undecodable("b", "ns", "uid-b", "2", b"{}", ValueError("bad")))
    watcher = script.watcher([left_out], [script.added("c", "3")], [script.added("d", "4")], hang=True)
    store: Store[Any] = Store()
    made = reflect(script.source([script.pods("1", "a", "b")], [watcher]), store, max_objects=2, watch_list=False)
    with pytest.raises(InformerError, match=TOO_MANY):
        made.list_and_watch(Signal())
    assert made.last_sync_resource_version == "4"


def bad(kind: str, name: str, version: str) -> Event[Any]:
    return Event(kind, Undecodable(name, "ns", f"uid-{name}", version, b"{}", ValueError("bad")))


@pytest.mark.parametrize("target", ["store", "queue", "unknown"])
@pytest.mark.parametrize("way", ["deleted", "undecodable", "deleted and undecodable", "modified"])
def test_events_of_unknown_objects_do_not_lift_the_bound(script: Any, way: str, target: str) -> None:
    """A server deletes objects that do not exist, or modifies such that were never added."""
    store: Store[Any] = Store()
    steps = []
    for at in range(20):
        version = str(10 + 10 * at)
        ghost = {
            "deleted": [script.deleted(f"ghost-{at}", version)],
            "undecodable": [bad("MODIFIED", f"ghost-{at}", version), bad("ADDED", f"ghost-{at}", version)],
            "deleted and undecodable": [bad("DELETED", f"ghost-{at}", version)],
            "modified": [],
        }[way]
        grow = script.modified if way == "modified" else script.added
        steps.append([*ghost, grow(f"new-{at}", str(11 + 10 * at))])
    source = script.source([script.pods("1", "a")], [script.watcher(*steps, hang=True)])
    options: dict[str, Any] = {"max_objects": 5, "watch_list": False}
    if target == "queue":
        queue = InOrderFIFO()

        def drain() -> bool:
            queue.take(lambda run: store.apply(run[0]))
            return True

        made = Reflector(source, queue, name="pods", backoff=FAST, process=drain, count=store.records.count, **options)
    else:
        made = reflect(source, store if target == "store" else Unknown(store), **options)
    with pytest.raises(InformerError, match="more than 5 objects: raise max_objects"):
        made.list_and_watch(Signal())
    assert len(store) == 6


class Unknown:
    """A target that cannot tell what it holds."""

    def __init__(self, store: Store[Any]) -> None:
        self.replace, self.apply = store.replace, store.apply


@pytest.mark.parametrize("target", ["store", "unknown"])
def test_deletes_make_room_and_updates_take_none(script: Any, target: str) -> None:
    """As often as they come."""
    store: Store[Any] = Store()
    steps, version = [], 1
    for at in range(50):
        version += 4
        steps.append(
            [
                script.modified("a", str(version)),
                bad("ADDED", f"bad-{at}", str(version + 1)),
                script.added(f"b-{at}", str(version + 2)),
                script.deleted(f"b-{at}", str(version + 3)),
            ]
        )
    source = script.source([script.pods("1", "a")], [script.watcher(*steps)])
    made = reflect(source, store if target == "store" else Unknown(store), max_objects=1, watch_list=False)
    made.list_and_watch(Signal())
    assert names(store) == ["a"]
    assert made.last_sync_resource_version == str(version + 3)


def test_the_bound_holds_for_each_namespace() -> None:
    """Each namespace may have as many, and the objects of others do not count."""
    store: Indexer[Any] = Indexer()
    held = HeldObjects(2, "one", store.records.count, meta_namespace_key)
    held.listed([])
    for name, namespace, too_many in (
        ("a", "one", False), ("b", "two", False), ("c", "two", False), ("b", "one", False), ("c", "one", True)
    ):  # fmt: skip
        delta = Delta(DeltaType.UPDATED, pod(name, namespace=namespace))
        store.apply([delta])
        assert held.are_too_many_with([delta]) is too_many


def test_the_initial_events_of_a_watch_list_are_bounded(script: Any) -> None:
    """Nothing is stored."""
    store: Store[Any] = Store()
    events = [
        [script.added("a", "1"), script.added("b", "2")],
        [script.added("c", "3"), script.bookmark("3", end="true")],
    ]
    source = script.source([], [script.watcher(*events)], supports_watch_list=True)
    with pytest.raises(InformerError, match=TOO_MANY):
        reflect(source, store, max_objects=2).list_and_watch(Signal())
    assert names(store) == []


@pytest.mark.parametrize("watch_list", [False, True], ids=["list", "watch-list"])
def test_without_a_bound_every_object_is_accepted(script: Any, watch_list: bool) -> None:
    """`max_objects=None`, from lists, initial events and watches."""
    many = [f"p{i}" for i in range(50)]
    later = [[script.added(f"q{i}", str(100 + i))] for i in range(50)]
    store: Store[Any] = Store()
    if watch_list:
        initial = [*(script.added(name, "1") for name in many), script.bookmark("1", end="true")]
        source = script.source([], [script.watcher(initial, *later)], supports_watch_list=True)
    else:
        source = script.source([script.pods("1", *many)], [script.watcher(*later)])
    reflect(source, store, max_objects=None, watch_list=watch_list).list_and_watch(Signal())
    assert len(store) == 100


# Endless lists


@pytest.mark.parametrize("tokens", [["C1", "C1"], ["C1", "C2", "C2"]], ids=["second-page", "third-page"])
def test_a_repeated_token_fails_the_list(script: Any, tokens: list[str]) -> None:
    """Nothing is stored, and the next round begins with the first page."""
    pages = [script.pods("1", f"p{i}", continue_=token) for i, token in enumerate(tokens)]
    source = script.source([*pages, script.pods("2", "whole")])
    store: Store[Any] = Store()
    made = reflect(source, store, page_size=1)
    with pytest.raises(InformerError, match="the server sent the same continue token twice: its list would never end"):
        made.list_and_watch(Signal())
    assert names(store) == []
    assert len(source.list_calls) == len(tokens)
    made.list_and_watch(Signal())
    assert source.list_calls[-1].continue_ == ""
    assert names(store) == ["whole"]


def test_a_token_may_come_again_in_another_list() -> None:
    """Only the token that was just sent counts."""
    made = ReflectorState(watch_list=False, page_size=1)
    for _ in range(2):
        assert made.begin().step is Step.LIST
        assert made.page_received("C1") is not None
        assert made.page_received("") is None
        made.list_complete("5")


# Retry-After between rounds


@pytest.mark.parametrize(
    ("lists", "watches"),
    [
        pytest.param([ApiError(503, "ServiceUnavailable", "later", 7.0)], [], id="list"),
        pytest.param(["pods"], [ApiError(503, "ServiceUnavailable", "later", 7.0)], id="watch"),
    ],
)
def test_retry_after_is_the_least_wait_between_rounds(
    script: Any, run: Any, auto_clock: Any, monkeypatch: pytest.MonkeyPatch, lists: list[Any], watches: list[Any]
) -> None:
    """It is extended by jitter, so that clients with the same one do not return together."""
    monkeypatch.setattr("informer.reflector.waits.SYSTEM_CLOCK", auto_clock)
    answers = [script.pods("1") if each == "pods" else each for each in lists]
    source = script.source([*answers, script.pods("2")], watches, hang=True)
    made = reflect(source, clock=auto_clock)
    stop = Signal()
    task = run(made.run, stop)
    assert eventually(lambda: made.last_sync_resource_version == "2")
    stop.set()
    task.result()
    assert len(auto_clock.waits) == 1
    assert 7.0 <= auto_clock.waits[0] <= 7.002
