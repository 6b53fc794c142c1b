"""A shared informer works the same with either queue."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Literal

import pytest
from hypothesis import given, settings, strategies as st

from informer import SharedInformer
from informer.reflector.backoff import Backoff
from informer.testing import FakeControllerSource
from tests.support.objects import pod
from tests.support.waiting import DEADLINE
from watch import Channel, FakeClock
from watch.concurrency import Monitor

QUICK = Backoff(initial=0.001, maximum=0.01)
Kind = Literal["in_order", "delta"]
KINDS: tuple[Kind, Kind] = ("in_order", "delta")
both_kinds = pytest.mark.parametrize("kind", KINDS)


class Story:
    """Records the calls of a handler for each object."""

    def __init__(self) -> None:
        self.of: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self.state: dict[str, str] = {}  # what a reader of the story alone believes to be there
        self._monitor = Monitor()

    def _tell(self, obj: Any, what: tuple[Any, ...], version: str | None) -> None:
        name = obj["metadata"]["name"]
        with self._monitor:
            self.of[name].append(what)
            if version is None:
                del self.state[name]
            else:
                self.state[name] = version
            self._monitor.notify_all()

    def on_add(self, obj: Any, *, is_in_initial_list: bool) -> None:
        version = obj["metadata"]["resourceVersion"]
        assert obj["metadata"]["name"] not in self.state
        self._tell(obj, ("add", version, is_in_initial_list), version)

    def on_update(self, old: Any, new: Any) -> None:
        before, after = old["metadata"]["resourceVersion"], new["metadata"]["resourceVersion"]
        assert self.state[new["metadata"]["name"]] == before
        self._tell(new, ("update", before, after, old is new), after)

    def on_delete(self, obj: Any, *, final_state_unknown: bool) -> None:
        self._tell(obj, ("delete", obj["metadata"]["resourceVersion"], final_state_unknown), None)

    def wait_for(self, state: dict[str, str]) -> bool:
        with self._monitor:
            return self._monitor.wait_for(lambda: self.state == state, DEADLINE)


def versions_in(source: FakeControllerSource) -> dict[str, str]:
    return {obj["metadata"]["name"]: obj["metadata"]["resourceVersion"] for obj in source.objects().values()}


@both_kinds
def test_early_and_late_handlers_receive_every_change(kind: Kind) -> None:
    """client-go source. Initial adds, events, and the changes that a gap hid; a late handler gets adds for all objects."""
    source = FakeControllerSource()
    first, late = Story(), Story()
    source.add(pod("p1"))
    source.add(pod("p2"))
    informer = SharedInformer(source, queue=kind, backoff=QUICK)
    informer.add_event_handler(first)
    with informer:
        assert informer.wait_for_sync(DEADLINE)
        assert source.wait_for_watches(1)
        source.add(pod("p3"))
        assert first.wait_for(versions_in(source))
        informer.add_event_handler(late)
        assert late.wait_for(versions_in(source))
        source.modify(pod("p1"))
        source.delete(pod("p3"))
        assert first.wait_for(versions_in(source))
        source.delete_drop_watch(pod("p2"))
        source.modify_drop_watch(pod("p1"))
        source.add_drop_watch(pod("p4"))
        source.reset_watch()
        assert first.wait_for(versions_in(source))
        assert late.wait_for(versions_in(source))
        assert informer.wait_for_resource_version("8", DEADLINE)
        assert informer.indexer.resource_version == informer.last_sync_resource_version == "8"
    common = {
        "p1": [("update", "1", "4", False), ("update", "4", "7", False)],
        "p2": [("delete", "2", True)],
        "p3": [("delete", "5", False)],
        "p4": [("add", "8", False)],
    }
    assert first.of == {
        "p1": [("add", "1", True), *common["p1"]],
        "p2": [("add", "2", True), *common["p2"]],
        "p3": [("add", "3", False), *common["p3"]],
        "p4": common["p4"],
    }
    assert late.of == {
        "p1": [("add", "1", True), *common["p1"]],
        "p2": [("add", "2", True), *common["p2"]],
        "p3": [("add", "3", True), *common["p3"]],
        "p4": common["p4"],
    }


@both_kinds
def test_only_handlers_with_a_resync_period_are_resynced(kind: Kind) -> None:
    """client-go source. A resync is an update with the same object as old and as new."""
    clock = FakeClock()
    source = FakeControllerSource()
    source.add(pod("p1"))
    shown: Channel[bool] = Channel(None)
    quiet = Story()
    informer = SharedInformer(source, queue=kind, resync_period=60, clock=clock, backoff=QUICK)
    informer.add_event_handler(on_update=lambda old, new: shown.put(old is new))
    informer.add_event_handler(quiet, resync_period=0)
    with informer:
        assert source.wait_for_watches(1)
        for _ in range(2):
            assert clock.wait_for_waiters(1, DEADLINE)
            clock.step(60)
            assert shown.get(timeout=DEADLINE) is True
        source.add(pod("p2"))
        assert quiet.wait_for({"p1": "1", "p2": "2"})
    assert quiet.of["p1"] == [("add", "1", True)]


@both_kinds
def test_a_relist_of_the_same_objects_keeps_them(kind: Kind) -> None:
    """An object with the same uid and resourceVersion stays the same object in the store."""
    source = FakeControllerSource()
    source.add(pod("p1"))
    informer = SharedInformer(source, queue=kind, backoff=QUICK)
    with informer:
        assert informer.wait_for_sync(DEADLINE)
        assert source.wait_for_watches(1)
        before = informer.indexer.get_by_key("default/p1")
        source.add_drop_watch(pod("p2"))
        source.reset_watch()
        assert informer.wait_for_resource_version("2", DEADLINE)
        assert informer.indexer.get_by_key("default/p1") is before


@both_kinds
def test_an_object_without_a_key_does_not_affect_the_others(kind: Kind) -> None:
    """The key function raises or returns no key for some objects of lists and events."""

    def key_of(obj: Any) -> Any:
        name = obj["metadata"]["name"]
        return {"raises": lambda: 1 // 0, "none": lambda: None, "list": list}.get(name, lambda: name)()

    source = FakeControllerSource()
    for name in ("a", "raises", "none", "list", "b"):
        source.add(pod(name))
    informer = SharedInformer(source, queue=kind, key_func=key_of, backoff=QUICK)
    with informer:
        assert informer.wait_for_sync(DEADLINE)
        assert sorted(informer.indexer) == ["a", "b"]
        assert source.wait_for_watches(1)
        for name in ("raises", "none", "list", "c"):
            source.modify(pod(name))
            source.delete(pod(name if name != "c" else "a"))
        assert informer.wait_for_resource_version(source.resource_version, DEADLINE)
        assert sorted(informer.indexer) == ["b", "c"]
        source.reset_watch()
        source.add(pod("d"))
        assert informer.wait_for_resource_version(source.resource_version, DEADLINE)
        assert sorted(informer.indexer) == ["b", "c", "d"]
        assert informer.sync_error() is None


@both_kinds
def test_several_namespaces_sync_together(kind: Kind) -> None:
    """It has synced when every namespace has; a relist of one does not affect the others."""
    source = FakeControllerSource(namespaces=["one", "two"])
    story = Story()
    source.add(pod("a", "one"))
    source.add(pod("b", "two"))
    informer = SharedInformer(source, queue=kind, backoff=QUICK)
    registration = informer.add_event_handler(story)
    with informer:
        assert registration.wait_for_sync(DEADLINE)
        assert story.of == {"a": [("add", "1", True)], "b": [("add", "2", True)]}
        assert source.wait_for_watches(2)
        source.delete_drop_watch(pod("a", "one"))
        source.reset_watch()
        assert story.wait_for({"b": "2"})
        source.add(pod("c", "two"))
        assert story.wait_for({"b": "2", "c": "4"})
    assert story.of["a"][1:] == [("delete", "1", True)]


names = st.sampled_from("abc")
changes = st.tuples(
    st.sampled_from(["add", "modify", "delete", "add_drop_watch", "modify_drop_watch", "delete_drop_watch"]), names
)
resets = st.tuples(st.just("reset_watch"), st.just(""))


@both_kinds
@given(steps=st.lists(st.one_of(changes, changes, changes, resets), max_size=25))
@settings(max_examples=40)
def test_handler_and_store_end_with_the_state_of_the_source(kind: Kind, steps: list[tuple[str, str]]) -> None:
    """After any changes and gaps; each update continues from the last state of its object."""
    source = FakeControllerSource()
    story = Story()
    informer = SharedInformer(source, queue=kind, backoff=QUICK)
    informer.add_event_handler(story)
    with informer:
        for step, name in steps:
            if step == "reset_watch":
                source.reset_watch()
            elif (name in versions_in(source)) != step.startswith("add"):
                getattr(source, step)(pod(name))
        # The open watch does not get this last change. So it has to be followed by a list.
        assert source.wait_for_watches(1, DEADLINE)
        source.add_drop_watch(pod("last"))
        source.reset_watch()
        assert story.wait_for(versions_in(source)), (story.of, versions_in(source))
        assert {key: informer.indexer.get_by_key(key) for key in informer.indexer} == source.objects()
