"""A store and one handler, which is called on the thread that keeps the store current."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from informer import Change, Controller, IndexNotFoundError, ResourceEventHandler, new_informer
from informer.testing import FakeControllerSource
from tests.support.objects import pod
from tests.support.waiting import DEADLINE
from watch import Channel, Event
from watch.concurrency import Signal, Worker


def key_of(obj: Any) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


@contextmanager
def running(controller: Controller) -> Iterator[None]:
    stop = Signal()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            controller.run(stop)
        except BaseException as error:
            errors.append(error)

    worker = Worker(run, "controller").start()
    try:
        yield
    finally:
        stop.set()
        assert worker.join(DEADLINE)
    if errors:
        raise errors[0]


class Handler(ResourceEventHandler[Any]):
    """Puts its calls into a channel."""

    def __init__(self) -> None:
        self.calls: Channel[tuple[Any, ...]] = Channel(None)

    def on_add(self, obj: Any, *, is_in_initial_list: bool) -> None:
        self.calls.put(("add", obj["metadata"]["name"], is_in_initial_list))

    def on_update(self, old: Any, new: Any) -> None:
        versions = (old["metadata"]["resourceVersion"], new["metadata"]["resourceVersion"])
        self.calls.put(("update", new["metadata"]["name"], *versions))

    def on_delete(self, obj: Any, *, final_state_unknown: bool) -> None:
        self.calls.put(("delete", obj["metadata"]["name"], final_state_unknown))

    def take(self, count: int) -> list[tuple[Any, ...]]:
        return [self.calls.get(timeout=DEADLINE) for _ in range(count)]


def test_a_handler_may_delete_each_added_object() -> None:
    """Go: Example, ExampleNewInformer. It is then called with exactly these deletes."""
    source = FakeControllerSource()
    deleted: Channel[str] = Channel(None)

    class Deleting:
        def on_add(self, obj: Any) -> None:
            source.delete(obj)

        def on_delete(self, obj: Any) -> None:
            deleted.put(key_of(obj))

    store, controller = new_informer(source, Deleting())
    names = ["a-hello", "b-controller", "c-framework"]
    source.add(pod(names[0]))
    with running(controller):
        for name in names[1:]:
            source.add(pod(name))
        found = [deleted.get(timeout=DEADLINE) for _ in names]
    assert sorted(found) == [f"default/{name}" for name in names]
    assert len(store) == len(deleted) == 0


def test_each_update_continues_from_the_last_state() -> None:
    """Go: TestUpdate. Every object ends deleted."""
    source = FakeControllerSource()
    allowed = {("from", "to"), ("to", "to"), ("from", "from")}
    updates: list[tuple[str, str]] = []
    deleted: Channel[str] = Channel(None)

    class Watching:
        def on_update(self, old: Any, new: Any) -> None:
            updates.append((old["metadata"]["labels"]["check"], new["metadata"]["labels"]["check"]))

        def on_delete(self, obj: Any) -> None:
            deleted.put(key_of(obj))

    def labelled(name: str, check: str) -> dict[str, Any]:
        return pod(name, labels={"check": check})

    def write(who: int) -> None:
        for n in range(20):
            name = f"{who}-{n}"
            source.add(labelled(name, "from"))
            source.modify(labelled(name, "to"))
            source.modify(labelled(name, "to"))
            source.delete(labelled(name, "to"))

    store, controller = new_informer(source, Watching())
    with running(controller):
        assert source.wait_for_watches(1)
        writers = [Worker(lambda n=n: write(n), f"writer-{n}").start() for n in range(3)]  # type: ignore[misc]
        assert all(writer.join(DEADLINE) for writer in writers)
        found = {deleted.get(timeout=DEADLINE) for _ in range(60)}
    assert found == {f"default/{who}-{n}" for who in range(3) for n in range(20)}
    assert set(updates) == {("from", "to"), ("to", "to")}
    assert set(updates) <= allowed
    assert len(store) == 0


def test_run_raises_the_exception_of_the_handler() -> None:
    """Go: TestPanicPropagated. The handler is called on the thread of the controller."""
    source = FakeControllerSource()
    source.add(pod("a"))

    class Panicking:
        def on_add(self, obj: Any) -> None:
            raise ZeroDivisionError("Just panic.")

    _, controller = new_informer(source, Panicking())
    with pytest.raises(ZeroDivisionError, match=r"^Just panic\.$"):
        controller.run(Signal())


def test_a_delete_found_by_a_list_has_an_unknown_final_state() -> None:
    """client-go source. A delete that was seen as an event has a known one."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    handler = Handler()
    store, controller = new_informer(source, handler)
    with running(controller):
        assert handler.take(3) == [("add", "a", True), ("add", "b", True), ("add", "c", True)]
        assert source.wait_for_watches(1)
        source.delete(pod("a"))
        assert handler.take(1) == [("delete", "a", False)]
        source.delete_drop_watch(pod("b"))
        source.modify_drop_watch(pod("c"))
        source.reset_watch()
        assert handler.take(2) == [("delete", "b", True), ("update", "c", "3", "6")]
    assert store.list_keys() == ["default/c"]
    assert len(handler.calls) == 0


def test_the_store_has_the_state_that_the_handler_is_called_with() -> None:
    """client-go source. After each event, not only after each batch."""
    source = FakeControllerSource()
    seen: Channel[tuple[str, str | None]] = Channel(None)

    class Looking:
        def on_add(self, obj: Any) -> None:
            self.on_update(obj, obj)

        def on_update(self, old: Any, new: Any) -> None:
            stored = store.get_by_key(key_of(new))
            seen.put((new["metadata"]["resourceVersion"], stored["metadata"]["resourceVersion"]))

        def on_delete(self, obj: Any) -> None:
            seen.put((obj["metadata"]["resourceVersion"], store.get_by_key(key_of(obj))))

    store, controller = new_informer(source, Looking())
    with running(controller):
        assert source.wait_for_watches(1)
        for _ in range(20):
            source.add(pod("a"))
            source.modify(pod("a"))
            source.delete(pod("a"))
        found = [seen.get(timeout=DEADLINE) for _ in range(60)]
    expected = [(str(n), str(n) if n % 3 else None) for n in range(1, 61)]
    assert found == expected


def test_a_relist_of_the_same_objects_calls_nothing() -> None:
    """Objects with the same resourceVersion stay the same in the store."""
    source = FakeControllerSource()
    source.add(pod("a"))
    handler = Handler()
    store, controller = new_informer(source, handler)
    with running(controller):
        assert handler.take(1) == [("add", "a", True)]
        before = store.get_by_key("default/a")
        assert source.wait_for_watches(1)
        source.reset_watch()
        assert source.wait_for_list_calls(2)
        assert source.wait_for_watches(1)
        source.add(pod("b"))
        assert handler.take(1) == [("add", "b", False)]
        assert store.get_by_key("default/a") is before


def test_with_a_resync_period_every_object_is_updated_again() -> None:
    """client-go source. Once per period, with the same object as old and new."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.add(pod("b"))
    handler = Handler()
    _, controller = new_informer(source, handler, resync_period=0.01)
    with running(controller):
        assert handler.take(2) == [("add", "a", True), ("add", "b", True)]
        for _ in range(3):
            assert sorted(handler.take(2)) == [("update", "a", "1", "1"), ("update", "b", "2", "2")]


def test_a_handler_may_lack_functions() -> None:
    """client-go source. Changes for which it has no function are skipped."""
    source = FakeControllerSource()
    source.add(pod("a"))
    deleted: Channel[str] = Channel(None)

    class OnlyDeletes:
        def on_delete(self, obj: Any) -> None:
            deleted.put(key_of(obj))

    _, controller = new_informer(source, OnlyDeletes())
    with running(controller):
        assert source.wait_for_watches(1)
        source.modify(pod("a"))
        source.delete(pod("a"))
        assert deleted.get(timeout=DEADLINE) == "default/a"


def test_on_batch_is_called_once_per_list() -> None:
    """A handler with `on_batch` gets all changes of a list in one call."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    batches: Channel[list[Change[Any]]] = Channel(None)

    class Batches:
        def on_batch(self, changes: list[Change[Any]]) -> None:
            batches.put(changes)

    _, controller = new_informer(source, Batches())
    with running(controller):
        assert [change.object["metadata"]["name"] for change in batches.get(timeout=DEADLINE)] == ["a", "b", "c"]
        assert source.wait_for_watches(1)
        source.add(pod("d"))
        assert [change.is_in_initial_list for change in batches.get(timeout=DEADLINE)] == [False]


def test_a_handler_without_functions_is_refused() -> None:
    """When the informer is created."""
    with pytest.raises(TypeError, match="object is not a handler: it has none of on_add"):
        new_informer(FakeControllerSource(), object())


def test_the_store_has_the_requested_indices() -> None:
    """Go: TestTypedIndexer. Another index raises an error."""
    source = FakeControllerSource()
    source.add(pod("a", labels={"app": "web"}))
    source.add(pod("b", labels={"app": "db"}))
    handler = Handler()
    store, controller = new_informer(source, handler, indexers={"app": lambda obj: [obj["metadata"]["labels"]["app"]]})
    with running(controller):
        handler.take(2)
        assert [key_of(obj) for obj in store.by_index("app", "web")] == ["default/a"]
        assert store.index_keys("app", "db") == ["default/b"]
        with pytest.raises(IndexNotFoundError):
            store.by_index("colour", "web")


def test_bad_objects_are_logged_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """An object without a key is not stored; one whose index function fails is left out of that index."""
    source = FakeControllerSource()
    source.add(pod("a", labels={"app": "web"}))
    source.add(pod("unlabelled"))
    handler = Handler()
    store, controller = new_informer(source, handler, indexers={"app": lambda obj: [obj["metadata"]["labels"]["app"]]})
    with running(controller), caplog.at_level(logging.ERROR):
        assert handler.take(2) == [("add", "a", True), ("add", "unlabelled", True)]
        assert source.wait_for_watches(1)
        for watcher in source._watchers:
            watcher._channel.put(Event("ADDED", {"metadata": {"labels": {}}}))
            watcher._channel.put(Event("ADDED", None))
        source.add(pod("b", labels={"app": "web"}))
        assert handler.take(1) == [("add", "b", False)]
        assert [key_of(obj) for obj in store.by_index("app", "web")] == ["default/a", "default/b"]
    assert "index app failed for default/unlabelled" in caplog.text
    assert "an object was left out of the cache" in caplog.text


def test_several_namespaces_are_one_store() -> None:
    """It has synced, and the handler was called for everything, once every namespace was listed."""
    source = FakeControllerSource(namespaces=["one", "two"])
    source.add(pod("a", "one"))
    source.add(pod("a", "two"))
    handler = Handler()
    store, controller = new_informer(source, handler)
    assert not controller.has_synced()
    with running(controller):
        assert handler.take(2) == [("add", "a", True)] * 2
        assert source.wait_for_watches(2)
        assert controller.has_synced()
        assert sorted(store) == ["one/a", "two/a"]


def test_duplicates_in_a_list_are_one_object() -> None:
    """The last state counts, and the object is added once."""

    class Doubled(FakeControllerSource):
        def list(self, options: Any = None) -> Any:
            page = super().list(options)
            for item in list(page.items):
                page.items.append({"metadata": {**item["metadata"], "resourceVersion": "100"}})
            return page

    source = Doubled()
    source.add(pod("a"))
    handler = Handler()
    store, controller = new_informer(source, handler)
    with running(controller):
        assert handler.take(1) == [("add", "a", True)]
        stored = store.get_by_key("default/a")
        assert stored is not None
        assert stored["metadata"]["resourceVersion"] == "100"
        assert source.wait_for_watches(1)
        source.add(pod("b"))
        assert handler.take(1) == [("add", "b", False)]
