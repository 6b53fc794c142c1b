"""The parts of a shared informer: cache, indices, transform, resyncs, and which arguments it refuses."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from informer import (
    Change,
    DeltaType,
    IndexConflictError,
    ListWatch,
    NotFoundError,
    Object,
    ObjectList,
    SharedInformer,
    meta_namespace_index,
)
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE
from watch import ApiError, Channel, FakeClock, FakeWatcher

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]


def label_names(obj: Any) -> list[str]:
    return list(obj["metadata"]["labels"])


def names(objects: Any) -> list[str]:
    return sorted(obj["metadata"]["name"] for obj in objects)


# The cache


def test_indices_follow_what_is_stored(make_informer: Make, pod: Pod, queue: str) -> None:
    """Go: TestIndexer. An index from before the start and one added later find the same objects."""
    source = FakeControllerSource()
    source.add(pod("pod1", a="1", b="1"))
    source.add(pod("pod2", b="1"))
    informer = make_informer(source, queue=queue)
    informer.add_indexers({"labels": label_names})
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    assert names(informer.indexer.by_index("labels", "a")) == ["pod1"]
    assert source.wait_for_watches()
    source.add(pod("pod3", a="1"))
    assert informer.wait_for_resource_version("3", DEADLINE)
    assert names(informer.indexer.by_index("labels", "a")) == ["pod1", "pod3"]
    informer.add_indexers({"again": label_names})
    assert names(informer.lister.by_index("again", "a")) == ["pod1", "pod3"]
    for index in ("labels", "again"):
        assert sorted(informer.indexer.list_index_func_values(index)) == ["a", "b"]
    with pytest.raises(IndexConflictError):
        informer.add_indexers({"again": label_names})


def test_an_index_function_that_raises_leaves_its_object_out(
    make_informer: Make, recorder: Any, pod: Pod, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The object is cached and shown to handlers, but not indexed; the failure is counted and logged."""

    def odd(obj: Any) -> list[str]:
        if obj["metadata"]["name"] == "bad":
            raise ValueError("odd")
        return ["x"]

    source = FakeControllerSource()
    source.add(pod("bad"))
    source.add(pod("good"))
    informer = make_informer(source, queue=queue, indexers={"odd": odd})
    handler = recorder()
    registration = informer.add_event_handler(handler)
    with caplog.at_level(logging.ERROR):
        informer.start()
        assert registration.wait_for_sync(DEADLINE)
    assert names(informer.store.list()) == ["bad", "good"]
    assert names(informer.indexer.by_index("odd", "x")) == ["good"]
    assert len(handler.take(2)) == 2
    assert informer.index_errors == 1
    assert "index odd failed for ns/bad" in caplog.text


def test_the_lister_reads_the_cache(make_informer: Make, pod: Pod, queue: str) -> None:
    """It reads by name, label and namespace; `indexer` and `store` are the same cache."""
    source = FakeControllerSource()
    source.add(pod("a", app="web"))
    source.add(pod("b", namespace="other", app="db"))
    informer = make_informer(source, queue=queue, indexers={"namespace": meta_namespace_index})
    with informer:
        assert informer.wait_for_sync(DEADLINE)
        assert informer.indexer is informer.store
        assert names(informer.lister.list("app=web")) == ["a"]
        assert names(informer.lister.list(namespace="other")) == ["b"]
        assert informer.lister.get("a", "ns") is informer.store.get_by_key("ns/a")
        with pytest.raises(NotFoundError, match='pods "c" not found in namespace "ns"'):
            make_informer(source, name="pods").lister.get("c", "ns")


def test_the_cache_outlives_the_stop(make_informer: Make, pod: Pod) -> None:
    """It can still be read."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    with informer:
        assert informer.wait_for_sync(DEADLINE)
    assert names(informer.store.list()) == ["a"]
    assert informer.has_synced()


def test_several_namespaces_are_one_cache(make_informer: Make, recorder: Any, pod: Pod, queue: str) -> None:
    """Each namespace is listed and watched separately; the informer has synced when all have."""
    source = FakeControllerSource(namespaces=["one", "two"])
    source.add(pod("a", namespace="one"))
    source.add(pod("b", namespace="two"))
    source.add(pod("c", namespace="three"))
    informer = make_informer(source, queue=queue)
    handler = recorder()
    registration = informer.add_event_handler(handler)
    informer.start()
    assert registration.wait_for_sync(DEADLINE)
    assert sorted(call.key for call in handler.take(2)) == ["one/a", "two/b"]
    assert source.wait_for_watches(2)
    assert informer.is_watching
    source.delete(pod("b", namespace="two"))
    assert handler.take(1)[0][:2] == ("delete", "two/b")
    assert names(informer.store.list()) == ["a"]


def test_a_users_key_func_identifies_objects(make_informer: Make, recorder: Any, queue: str) -> None:
    """Objects need no metadata; changes and logs carry the function's keys."""
    watcher = FakeWatcher(maxsize=10)
    items = [{"id": "one", "v": 1}, {"no": "id"}]
    source = ListWatch(lambda options: ObjectList(items, "1"), lambda options: watcher, supports_watch_list=False)
    informer = make_informer(source, queue=queue, key_func=lambda obj: obj["id"])
    changes: Channel[Change] = Channel(None)
    informer.add_event_handler(on_batch=lambda batch: [changes.put(change) for change in batch], backlog="coalesce")
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    added = changes.get(DEADLINE)
    assert (added.type, added.key, added.object["v"]) == (DeltaType.ADDED, "one", 1)
    watcher.modify({"id": "one", "v": 2})
    watcher.delete({"id": "one"})
    watcher.add({"id": "two"})
    seen = [changes.get(DEADLINE)]
    while seen[-1].key != "two":
        seen.append(changes.get(DEADLINE))
    assert [(change.type, change.key) for change in seen[-2:]] == [(DeltaType.DELETED, "one"), (DeltaType.ADDED, "two")]
    assert informer.store.list_keys() == ["two"]


# The transform


@pytest.mark.parametrize("late", [False, True], ids=["constructor", "set_transform"])
def test_a_transform_makes_what_is_stored(make_informer: Make, pod: Pod, queue: str, late: bool) -> None:
    """Go: TestSharedInformerTransformer. Cache, handlers, streams and indices see the transform's result."""

    def shout(obj: Any) -> str:
        return str(obj["metadata"]["name"]).upper()

    source = FakeControllerSource()
    source.add(pod("pod1"))
    source.add(pod("pod2"))
    informer = make_informer(
        source,
        queue=queue,
        transform=None if late else shout,
        indexers={"first": lambda name: [name[0]]},
    )
    added: Channel[str] = Channel(None)
    informer.add_event_handler(on_add=added.put)
    stream = informer.events()
    if late:
        informer.set_transform(shout)
    informer.start()
    assert sorted(added.get(DEADLINE) for _ in range(2)) == ["POD1", "POD2"]
    assert sorted(next(stream).object for _ in range(2)) == ["POD1", "POD2"]
    assert sorted(informer.store.list()) == ["POD1", "POD2"]
    assert sorted(informer.indexer.by_index("first", "P")) == ["POD1", "POD2"]
    assert informer.lister.get("pod1", "ns") == "POD1"
    assert source.wait_for_watches()
    source.delete(pod("pod1"))
    assert next(stream).object == "POD1"
    assert informer.store.list() == ["POD2"]


def test_a_transform_may_change_the_name(make_informer: Make, recorder: Any, pod: Pod, queue: str) -> None:
    """The new name is the key, for adds, updates and deletes."""

    def rename(obj: Any) -> Any:
        return {"metadata": {**obj["metadata"], "name": "new-" + obj["metadata"]["name"]}}

    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source, queue=queue, transform=rename)
    handler = recorder()
    informer.add_event_handler(handler)
    informer.start()
    assert source.wait_for_watches()
    source.modify(pod("a"))
    source.delete(pod("a"))
    assert handler.take(3) == [
        ("add", "ns/new-a", "1", True),
        ("update", "ns/new-a", "2", "1"),
        ("delete", "ns/new-a", "3", False),
    ]
    assert informer.store.list_keys() == []


@pytest.mark.parametrize("how", ["raises", "exits", "returns nothing"])
def test_a_transform_that_fails_costs_one_object(
    make_informer: Make, recorder: Any, pod: Pod, queue: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is counted, logged without the object's data and passed to `on_decode_error`; a cached object is removed."""

    def transform(obj: Any) -> Any:
        if obj["metadata"]["labels"].get("secret"):
            if how == "exits":
                raise SystemExit(obj["metadata"]["labels"])
            if how == "raises":
                raise ValueError(obj["metadata"]["labels"])
            return None
        return obj

    failures: Channel[tuple[str, str, str, bytes, Exception]] = Channel(None)
    source = FakeControllerSource()
    source.add(pod("bad", secret="hunter2"))
    source.add(pod("good"))
    informer = make_informer(
        source,
        queue=queue,
        transform=transform,
        on_decode_error=lambda meta, raw, error: failures.put(
            (meta.namespace, meta.name, meta.resource_version, raw, error)
        ),
    )
    handler = recorder()
    registration = informer.add_event_handler(handler)
    with caplog.at_level(logging.DEBUG):
        informer.start()
        assert registration.wait_for_sync(DEADLINE)
        assert handler.take(1) == [("add", "ns/good", "2", True)]
        assert failures.get(DEADLINE)[:4] == ("ns", "bad", "1", b"")
        assert source.wait_for_watches()
        source.modify(pod("good", secret="hunter2"))
        assert handler.take(1) == [("delete", "ns/good", "2", True)]
        source.modify(pod("good"))
        assert handler.take(1) == [("add", "ns/good", "4", False)]
    assert informer.decode_errors == 2
    assert isinstance(failures.get(DEADLINE)[4], Exception)
    assert "left out ns/bad" in caplog.text
    assert "hunter2" not in caplog.text


def test_on_decode_error_may_fail_too(make_informer: Make, pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    """Its exception is logged, and the informer goes on."""

    def fail(*args: Any) -> Any:
        raise SystemExit

    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source, transform=fail, on_decode_error=fail)
    with caplog.at_level(logging.ERROR):
        informer.start()
        assert informer.wait_for_sync(DEADLINE)
    assert "on_decode_error of informer" in caplog.text
    assert len(informer.store) == 0


def test_the_watch_error_handler_is_called_and_may_fail(make_informer: Make, caplog: pytest.LogCaptureFixture) -> None:
    """It gets the informer and the error; its own exception is logged, and the informer goes on."""
    failures: Channel[tuple[Any, Exception]] = Channel(None)

    def handler(informer: Any, error: Exception) -> None:
        failures.put((informer, error))
        raise SystemExit

    source = FakeControllerSource()
    source.list_error = ApiError(403, "Forbidden", "not yours")
    informer = make_informer(source, watch_error_handler=handler)
    with caplog.at_level(logging.ERROR):
        informer.start()
        assert informer.wait_for_sync(DEADLINE)
    source_of_failure, error = failures.get(DEADLINE)
    assert source_of_failure is informer
    assert isinstance(error, ApiError)
    assert error.status == 403
    assert "watch_error_handler of informer" in caplog.text


# Resyncs and relists


def resync(informer: SharedInformer[Any], clock: FakeClock, seconds: float) -> None:
    """Moves the clock once the resync timer waits for it."""
    assert clock.wait_for_waiters(1, DEADLINE)
    clock.step(seconds)


def test_resyncs_reach_the_handlers_that_are_due(make_informer: Make, recorder: Any, pod: Pod, queue: str) -> None:
    """Go: TestListenerResyncPeriods. Handlers of 0, 2 and 3 s see every object again never, at 2 s and at 3 s."""
    source, clock = FakeControllerSource(), FakeClock()
    source.add(pod("pod1"))
    source.add(pod("pod2"))
    informer = make_informer(source, queue=queue, clock=clock, resync_period=1)
    never, two, three = recorder(), recorder(), recorder()
    registrations = [informer.add_event_handler(h, resync_period=p) for h, p in ((never, 0), (two, 2), (three, 3))]
    informer.start()
    assert all(registration.wait_for_sync(DEADLINE) for registration in registrations)
    for handler in (never, two, three):
        assert len(handler.take(2)) == 2
    again = [("update", "ns/pod1", "1", "1"), ("update", "ns/pod2", "2", "2")]
    resync(informer, clock, 1)
    resync(informer, clock, 1)
    assert sorted(two.take(2)) == again
    assert (never.is_idle, two.is_idle, three.is_idle) == (True, True, True)
    resync(informer, clock, 1)
    assert sorted(three.take(2)) == again
    assert (never.is_idle, two.is_idle, three.is_idle) == (True, True, True)


def test_a_resync_shows_one_object_as_old_and_new(make_informer: Make, pod: Pod, queue: str) -> None:
    """client-go source. Both are the cached object itself, also behind a transform."""
    source, clock = FakeControllerSource(), FakeClock()
    source.add(pod("a"))
    informer = make_informer(source, queue=queue, clock=clock, resync_period=1, transform=lambda obj: [obj])
    updates: Channel[tuple[Any, Any]] = Channel(None)
    registration = informer.add_event_handler(on_update=lambda old, new: updates.put((old, new)))
    informer.start()
    assert registration.wait_for_sync(DEADLINE)
    resync(informer, clock, 1)
    old, new = updates.get(DEADLINE)
    assert old is new is informer.store.get_by_key("ns/a")


def test_without_resyncs_of_its_own_an_informer_has_none(make_informer: Make, recorder: Any, pod: Pod) -> None:
    """client-go source. If the informer's period is 0, handlers' periods have no effect."""
    source, clock = FakeControllerSource(), FakeClock()
    source.add(pod("a"))
    informer = make_informer(source, clock=clock, resync_period=0)
    handler = recorder()
    registration = informer.add_event_handler(handler, resync_period=1)
    informer.start()
    assert registration.wait_for_sync(DEADLINE)
    handler.take(1)
    clock.step(5)
    assert source.wait_for_watches()
    source.add(pod("b"))
    assert handler.take(1)[0].key == "ns/b"


def test_a_relist_shows_unchanged_objects_only_to_handlers_that_resync(
    make_informer: Make, recorder: Any, pod: Pod, queue: str
) -> None:
    """Go: TestSharedInformerWatchDisruption. An unchanged resourceVersion counts as a resync; changes go to all."""
    source, clock = FakeControllerSource(), FakeClock()
    source.add(pod("pod1"))
    source.add(pod("pod2"))
    informer = make_informer(source, queue=queue, clock=clock, resync_period=1)
    plain, resyncing = recorder(), recorder()
    registrations = [informer.add_event_handler(plain, resync_period=0), informer.add_event_handler(resyncing)]
    informer.start()
    assert all(registration.wait_for_sync(DEADLINE) for registration in registrations)
    assert len(plain.take(2)) == len(resyncing.take(2)) == 2
    assert source.wait_for_watches()
    source.add_drop_watch(pod("pod3"))
    source.modify_drop_watch(pod("pod2"))
    resync(informer, clock, 1)
    assert {call[:3] for call in resyncing.take(2)} == {("update", "ns/pod1", "1"), ("update", "ns/pod2", "2")}
    assert plain.is_idle
    source.reset_watch()
    assert {call[:3] for call in plain.take(2)} == {("update", "ns/pod2", "4"), ("add", "ns/pod3", "3")}
    assert {call[:3] for call in resyncing.take(3)} == {
        ("update", "ns/pod1", "1"),
        ("update", "ns/pod2", "4"),
        ("add", "ns/pod3", "3"),
    }
    assert plain.is_idle
    assert resyncing.is_idle


def test_a_relist_before_the_first_resync_counts_as_one(
    make_informer: Make, recorder: Any, pod: Pod, queue: str
) -> None:
    """client-go source. Handlers with a period see every object; the others see changes only."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source, queue=queue, clock=FakeClock(), resync_period=60)
    plain, resyncing = recorder(), recorder()
    registrations = [informer.add_event_handler(plain, resync_period=0), informer.add_event_handler(resyncing)]
    informer.start()
    assert all(registration.wait_for_sync(DEADLINE) for registration in registrations)
    assert len(plain.take(1)) == len(resyncing.take(1)) == 1
    assert source.wait_for_watches()
    source.add_drop_watch(pod("b"))
    source.reset_watch()
    assert sorted(resyncing.take(2)) == [("add", "ns/b", "2", False), ("update", "ns/a", "1", "1")]
    assert plain.take(1) == [("add", "ns/b", "2", False)]
    assert plain.is_idle


def test_a_relist_of_the_same_keeps_the_objects(make_informer: Make, pod: Pod, queue: str) -> None:
    """Objects that readers hold stay shared with the cache while their state is the same."""
    source = FakeControllerSource()
    source.add(pod("same"))
    source.add(pod("new"))
    informer = make_informer(source, queue=queue)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    held = informer.store.get_by_key("ns/same")
    assert source.wait_for_watches()
    source.modify_drop_watch(pod("new"))
    source.reset_watch()
    assert informer.wait_for_resource_version("3", DEADLINE)
    assert informer.store.get_by_key("ns/same") is held


# What is refused


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"queue": "plain"}, ValueError, 'queue must be "in_order" or "delta", not \'plain\''),
        ({"resync_period": -1}, ValueError, "resync_period must be 0 or more seconds, not -1"),
        ({"watch_list": "maybe"}, ValueError, "watch_list must be"),
        ({"page_size": -1}, ValueError, "page_size"),
        ({"max_objects": 0}, ValueError, "max_objects must be 1 or more"),
        ({"watch_timeout": (5, 1)}, ValueError, "watch_timeout"),
        ({"silence_timeout": 0}, ValueError, "silence_timeout"),
        ({"transform": 3}, TypeError, "transform must be callable, not int"),
        ({"transform": asyncio.sleep}, TypeError, "transform is an async function"),
        ({"key_func": None}, TypeError, "key_func must be callable, not NoneType"),
        ({"watch_error_handler": 3}, TypeError, "watch_error_handler must be callable, not int"),
        ({"on_decode_error": 3}, TypeError, "on_decode_error must be callable, not int"),
        ({"indexers": {"x": 3}}, TypeError, "index function of 'x' must be callable"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_invalid_arguments_are_refused(options: Any, error: type[Exception], text: str) -> None:
    """The error is raised when the informer is made, not when it starts."""
    with pytest.raises(error, match=text):
        SharedInformer(FakeControllerSource(), **options)


@pytest.mark.parametrize("source", [None, print, "pods", ListWatch], ids=["none", "function", "name", "class"])
def test_what_cannot_list_and_watch_is_refused(source: Any) -> None:
    """The message says how to make a list-watch."""
    with pytest.raises(TypeError, match=r"does not list and watch: pass ListWatch\.for_resource"):
        SharedInformer(source)


def test_names_are_those_of_the_resource(make_informer: Make) -> None:
    """Without a name, an informer and its threads are named after the resource."""
    assert make_informer(FakeControllerSource()).name == "informer"
    assert make_informer(FakeControllerSource(), name="mine").name == "mine"

    class Things(FakeControllerSource):
        resource_name = "things.example.com"

    informer = make_informer(Things())
    assert informer.name == "things.example.com"
    with informer:
        assert "informer-things.example.com" in [thread.name for thread in threading.enumerate()]


def test_objects_of_the_list_watch_are_stored_as_they_are(make_informer: Make) -> None:
    """Without model and transform the cache holds the very objects."""
    obj = Object.from_dict({"metadata": {"name": "a", "resourceVersion": "1"}})
    source = ListWatch(
        lambda options: ObjectList([obj], "1"), lambda options: FakeWatcher(maxsize=1), supports_watch_list=False
    )
    with make_informer(source) as informer:
        assert informer.wait_for_sync(DEADLINE)
        assert informer.store.get_by_key("a") is obj


def test_an_informers_repr_says_its_state_and_counts(make_informer: Make, pod: Pod) -> None:
    """Its name, whether it has started, synced and stopped, and how many objects and handlers it has."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source, name="pods")
    assert repr(informer) == "<SharedInformer pods: not started, 0 objects, 0 handlers>"
    informer.add_event_handler(on_add=print)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    assert repr(informer) == "<SharedInformer pods: synced, 1 objects, 1 handlers>"
    assert repr(informer.lister) == "<Lister pods: 1 objects>"
    informer.stop()
    assert repr(informer).startswith("<SharedInformer pods: stopped, synced, 1 objects, ")
