"""Objects in the form in which an informer stores them: transformed, reused, and bad ones set aside."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from informer import Indexer, ListWatch, Object, ObjectList, strip_managed_fields
from informer.controller.stored_source import stored_source
from informer.objects.entry import Entry, Undecodable
from watch import Event, ListOptions
from watch.fake import FakeWatcher

OPTIONS = ListOptions()


def pod(name: str = "a", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": "5"}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, **fields}


def source_of(*items: Any, **attributes: Any) -> Any:
    """Creates a list-watch with one page and one watch of these objects."""
    watch = [[Event("ADDED", item) for item in items]]

    def next_batch(timeout: float | None = None) -> list[Event[Any]]:
        return watch.pop()

    def list_func(options: ListOptions) -> ObjectList[Any]:
        return ObjectList(items, "7", "C1", 3, "shards")

    made: Any = ListWatch(list_func, lambda options: None)
    watcher: Any = FakeWatcher()
    watcher.next_batch = next_batch
    made.watch = lambda options: watcher
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def listed_and_watched(source: Any) -> tuple[list[Any], list[Any]]:
    return source.list(OPTIONS).items, [event.object for event in source.watch(OPTIONS).next_batch()]


def nothing_known(item: Any) -> Any:
    return item


def test_without_a_transform_objects_are_unchanged() -> None:
    """For the objects of a user's list-watch."""
    given = pod()
    for items in listed_and_watched(stored_source(source_of(given), None, nothing_known)):
        assert items[0] is given


def test_a_list_watch_with_entries_gives_entries() -> None:
    """Each item of a list is finished by the source as soon as it is parsed."""
    source = source_of()
    source.entries = lambda listed: source_of(listed(pod("a")))
    made = stored_source(source, lambda obj: "x", nothing_known)
    assert [item.object for item in made.list(OPTIONS).items] == ["x"]


@pytest.mark.parametrize("transform", [None, strip_managed_fields], ids=["as it is", "transformed"])
@pytest.mark.parametrize("has_entries", [False, True])
def test_a_list_reuses_stored_objects(has_entries: bool, transform: Any) -> None:
    """The new copy is freed as soon as it was parsed."""
    store: Indexer[Any] = Indexer()
    before = Object.from_dict(pod("a"))
    store.add(before)
    same, other = Object.from_dict(pod("a")), Object.from_dict(pod("b"))
    source = source_of(same, other)
    if has_entries:
        source.entries = lambda listed: source_of(listed(same), listed(other))
    items = stored_source(source, transform, store.records.same_as).list(OPTIONS).items
    assert items[0] is before
    assert items[1] is other


def test_a_watch_list_reuses_stored_objects() -> None:
    """Up to the end bookmark; later events have the objects that the server sent."""
    store: Indexer[Any] = Indexer()
    before = Object.from_dict(pod("a"))
    store.add(before)
    end = {"metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}
    batches = [[Event("ADDED", Object.from_dict(pod("a"))), Event("DELETED", Object.from_dict(pod("a")))]]
    batches += [[Event("BOOKMARK", end)], [Event("ADDED", Object.from_dict(pod("a")))]]
    source = source_of()
    source.watch(OPTIONS).next_batch = lambda timeout=None: batches.pop(0)
    made = stored_source(source, None, store.records.same_as)
    watcher: Any = made.watch(ListOptions(send_initial_events=True))
    added, deleted = watcher.next_batch()
    assert (added.object is before, deleted.object is before) == (True, False)
    watcher.next_batch()
    assert watcher.next_batch()[0].object is not before


@pytest.mark.parametrize("options", [OPTIONS, ListOptions(send_initial_events=True)], ids=["list", "watch list"])
def test_an_object_whose_transform_raises_is_not_replaced_by_the_stored_one(options: ListOptions) -> None:
    """It is an `Undecodable`, although the same state is stored."""
    store: Indexer[Any] = Indexer()
    store.add(Object.from_dict(pod("a")))
    made = stored_source(source_of(Object.from_dict(pod("a"))), lambda obj: None, store.records.same_as)
    watcher: Any = made.watch(options)
    for items in (made.list(options).items, [event.object for event in watcher.next_batch()]):
        assert type(items[0]) is Undecodable


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        pytest.param(pod(), pod(), id="dict"),
        pytest.param(Object.from_dict(pod()), Object.from_dict(pod()), id="object"),
        pytest.param(Entry("a", "ns", "uid-a", "5", {"x": 1}), {"x": 1}, id="entry-of-a-model"),
    ],
)
def test_the_result_of_the_transform_is_stored(given: Any, seen: Any) -> None:
    """Go: TestReflectorRespectStoreTransformer. Once per object, of lists and of watches."""
    calls: list[Any] = []

    def transform(obj: Any) -> Any:
        calls.append(obj)
        return "transformed"

    source = stored_source(source_of(given), transform, nothing_known)
    for items in listed_and_watched(source):
        assert items == [Entry("a", "ns", "uid-a", "5", "transformed")]
    assert calls == [seen, seen]


def test_a_result_without_metadata_keeps_the_identity_of_the_object() -> None:
    """Go: TestStoreResourceVersionWithNonMetaTransform. Key, uid and resourceVersion."""
    source = stored_source(source_of(pod("b")), lambda obj: 5, nothing_known)
    (item,) = source.list(OPTIONS).items
    assert (item.name, item.namespace, item.uid, item.resource_version, item.object) == ("b", "ns", "uid-b", "5", 5)


def test_a_transform_may_rename_an_object() -> None:
    """Go: TestSharedInformerTransformer. The uid and the resourceVersion stay the server's."""

    def transform(obj: Any) -> Any:
        return {"metadata": {"name": obj["metadata"]["name"].upper(), "namespace": "other"}}

    (item,) = stored_source(source_of(pod("b")), transform, nothing_known).list(OPTIONS).items
    assert (item.name, item.namespace, item.uid, item.resource_version) == ("B", "other", "uid-b", "5")


def test_a_transform_cannot_remove_the_version_in_place() -> None:
    """Go: TestTransformingInformer. The version is read before the transform runs."""

    def transform(obj: Any) -> Any:
        obj["metadata"]["resourceVersion"] = ""
        return obj

    (item,) = stored_source(source_of(pod("b")), transform, nothing_known).list(OPTIONS).items
    assert item.resource_version == "5"


def test_an_object_as_result_is_stored_without_an_entry() -> None:
    """An `Object`, as from `strip_managed_fields`, has its own metadata."""
    given = Object.from_dict(pod("b", spec={}))
    given = Object.from_dict({**given.to_dict(), "metadata": {**given.to_dict()["metadata"], "managedFields": [{}]}})
    (item,) = stored_source(source_of(given), strip_managed_fields, nothing_known).list(OPTIONS).items
    assert type(item) is Object
    assert b"managedFields" not in item.raw


def test_a_result_without_a_version_keeps_that_of_the_server() -> None:
    """Go: TestTransformingInformer. The cache compares the server's versions."""
    transform = lambda obj: obj.without("metadata.resourceVersion", "metadata.uid")  # noqa: E731
    (item,) = stored_source(source_of(Object.from_dict(pod("b"))), transform, nothing_known).list(OPTIONS).items
    assert (type(item), item.uid, item.resource_version, item.object.resource_version) == (Entry, "uid-b", "5", "")


@pytest.mark.parametrize("given", [pod("b"), Object.from_dict(pod("b")), SimpleNamespace(x=1), None], ids=str)
def test_an_object_whose_transform_raises_is_an_undecodable(given: Any) -> None:
    """It has the exception; other objects are not affected."""
    error = ValueError("bad")

    def transform(obj: Any) -> Any:
        if obj is given or obj == given:
            raise error
        return obj

    source = stored_source(source_of(pod("a"), given, pod("c")), transform, nothing_known)
    for items in listed_and_watched(source):
        assert [type(item) for item in items] == [Entry, Undecodable, Entry]
        assert items[1].error is error
        assert items[1].name == ("b" if given not in (None, SimpleNamespace(x=1)) else "")
        assert items[1].raw == (given.raw if isinstance(given, Object) else b"")


def test_an_undecodable_is_not_transformed() -> None:
    """A transform is called with objects only."""
    bad = Undecodable("a", "ns", "", "", b"", ValueError())
    for items in listed_and_watched(stored_source(source_of(bad), lambda obj: pytest.fail("called"), nothing_known)):
        assert items == [bad]


def test_bookmarks_and_errors_are_not_transformed() -> None:
    """They have no object of the resource."""
    bookmark, error = Event("BOOKMARK", {"metadata": {"resourceVersion": "9"}}), Event("ERROR", {"code": 410})
    source = source_of()
    source.watch(OPTIONS).next_batch = lambda timeout=None: [bookmark, error]
    made: Any = stored_source(source, lambda obj: pytest.fail("called"), nothing_known)
    assert made.watch(OPTIONS).next_batch() == [bookmark, error]


def test_a_page_keeps_its_attributes() -> None:
    """Its version, continue token, remaining count and shard."""
    page = stored_source(source_of(pod()), lambda obj: obj, nothing_known).list(OPTIONS)
    assert (page.resource_version, page.continue_, page.remaining_item_count, page.shard_selector) == (
        "7",
        "C1",
        3,
        "shards",
    )


def test_a_page_needs_only_items_and_a_version() -> None:
    """A user's own type of page is accepted."""
    page_of_its_own = SimpleNamespace(items=[pod()], resource_version="7")
    source = ListWatch(lambda options: page_of_its_own, lambda options: None)
    page = stored_source(source, lambda obj: obj, nothing_known).list(OPTIONS)
    assert (page.resource_version, page.continue_) == ("7", None)


def test_a_watch_of_none_stays_none() -> None:
    """The reflector treats it as a broken connection."""
    source = source_of()
    source.watch = lambda options: None
    assert stored_source(source, lambda obj: obj, nothing_known).watch(OPTIONS) is None


@pytest.mark.parametrize("pulled", [True, False])
def test_watchers_of_both_kinds_are_transformed_and_stopped(pulled: bool, script: Any) -> None:
    """A watcher with batches, and one that has a channel only."""
    watcher: Any
    if pulled:
        watcher = script.watcher([Event("ADDED", pod())])
    else:
        watcher = FakeWatcher(None)
        watcher.add(pod())
    source = source_of()
    source.watch = lambda options: watcher
    made: Any = stored_source(source, lambda obj: "x", nothing_known).watch(OPTIONS)
    assert [event.object.object for event in made.next_batch(5)] == ["x"]
    made.stop()
    assert watcher.stopped.is_set() if pulled else watcher.is_stopped()


def test_attributes_of_the_source_are_kept() -> None:
    """`for_namespace`, `supports_watch_list` and the name."""
    asked: list[str] = []

    def for_namespace(namespace: str) -> Any:
        asked.append(namespace)
        return source_of(pod(namespace))

    source = source_of(namespaces=("a", "b"), for_namespace=for_namespace, supports_watch_list=False)
    made: Any = stored_source(source, lambda obj: "x", nothing_known)
    assert (made.namespaces, made.supports_watch_list, made.resource_name) == (("a", "b"), False, None)
    assert [item.object for item in made.for_namespace("b").list(OPTIONS).items] == ["x"]
    assert asked == ["b"]


def test_a_transform_that_returns_none_makes_an_undecodable() -> None:
    """None is not stored: the transform probably lacks a return statement."""
    for items in listed_and_watched(stored_source(source_of(pod("a")), lambda obj: None, nothing_known)):
        assert type(items[0]) is Undecodable
        assert "the transform returned None" in str(items[0].error)


def test_a_transform_cannot_end_the_reader_thread() -> None:
    """A SystemExit that it raises is an error of that object, with the cause."""

    def transform(obj: Any) -> Any:
        raise SystemExit(3)

    for items in listed_and_watched(stored_source(source_of(pod("a")), transform, nothing_known)):
        assert str(items[0].error) == "the transform raised SystemExit"
        assert isinstance(items[0].error.__cause__, SystemExit)
