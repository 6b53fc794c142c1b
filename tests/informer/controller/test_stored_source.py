"""What an informer stores of what a list-watch gives: transformed, and bad objects set aside."""

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
    """A list-watch with one page and one watch of these."""
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


def test_without_a_transform_objects_stay_as_they_come() -> None:
    """A user's list-watch gives its own objects."""
    given = pod()
    for items in listed_and_watched(stored_source(source_of(given), None, nothing_known)):
        assert items[0] is given


def test_a_list_watch_that_has_entries_gives_these() -> None:
    """Where the model is our own, its stored form is used, and each item is finished by the source as it comes."""
    source = source_of()
    source.entries = lambda listed: source_of(listed(pod("a")))
    made = stored_source(source, lambda obj: "x", nothing_known)
    assert [item.object for item in made.list(OPTIONS).items] == ["x"]


@pytest.mark.parametrize("transform", [None, strip_managed_fields], ids=["as it is", "transformed"])
@pytest.mark.parametrize("has_entries", [False, True])
def test_what_is_stored_already_stands_for_the_same_in_a_list(has_entries: bool, transform: Any) -> None:
    """The stored object comes out of the list, so that its second copy is gone as soon as it was read."""
    store: Indexer[Any] = Indexer()
    before = Object.from_dict(pod("a"))
    store.add(before)
    same, other = Object.from_dict(pod("a")), Object.from_dict(pod("b"))
    source = source_of(same, other)
    if has_entries:
        source.entries = lambda listed: source_of(listed(same), listed(other))
    items = stored_source(source, transform, store.stored_if_same).list(OPTIONS).items
    assert items[0] is before
    assert items[1] is other


def test_what_is_stored_already_stands_for_the_same_at_the_beginning_of_a_watch_list() -> None:
    """Up to the bookmark that ends the initial events; an event behind it is what the server sent."""
    store: Indexer[Any] = Indexer()
    before = Object.from_dict(pod("a"))
    store.add(before)
    end = {"metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}
    batches = [[Event("ADDED", Object.from_dict(pod("a"))), Event("DELETED", Object.from_dict(pod("a")))]]
    batches += [[Event("BOOKMARK", end)], [Event("ADDED", Object.from_dict(pod("a")))]]
    source = source_of()
    source.watch(OPTIONS).next_batch = lambda timeout=None: batches.pop(0)
    made = stored_source(source, None, store.stored_if_same)
    watcher: Any = made.watch(ListOptions(send_initial_events=True))
    added, deleted = watcher.next_batch()
    assert (added.object is before, deleted.object is before) == (True, False)
    watcher.next_batch()
    assert watcher.next_batch()[0].object is not before


@pytest.mark.parametrize("options", [OPTIONS, ListOptions(send_initial_events=True)], ids=["list", "watch list"])
def test_a_bad_object_is_not_taken_for_the_good_one_that_is_stored(options: ListOptions) -> None:
    """A state whose transform raises by now is set aside, though the same state is stored."""
    store: Indexer[Any] = Indexer()
    store.add(Object.from_dict(pod("a")))
    made = stored_source(source_of(Object.from_dict(pod("a"))), lambda obj: None, store.stored_if_same)
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
def test_a_transform_gets_what_the_model_gives_and_its_result_is_stored(given: Any, seen: Any) -> None:
    """Go: TestReflectorRespectStoreTransformer. Once an object, of lists and of watches."""
    calls: list[Any] = []

    def transform(obj: Any) -> Any:
        calls.append(obj)
        return "transformed"

    source = stored_source(source_of(given), transform, nothing_known)
    for items in listed_and_watched(source):
        assert items == [Entry("a", "ns", "uid-a", "5", "transformed")]
    assert calls == [seen, seen]


def test_a_result_keeps_who_it_is_though_it_has_no_metadata() -> None:
    """Go: TestStoreResourceVersionWithNonMetaTransform. Key, uid and version are those of the object that came."""
    source = stored_source(source_of(pod("b")), lambda obj: 5, nothing_known)
    (item,) = source.list(OPTIONS).items
    assert (item.name, item.namespace, item.uid, item.resource_version, item.object) == ("b", "ns", "uid-b", "5", 5)


def test_a_result_with_another_name_has_that_name() -> None:
    """Go: TestSharedInformerTransformer. A transform may rename; uid and version stay the server's."""

    def transform(obj: Any) -> Any:
        return {"metadata": {"name": obj["metadata"]["name"].upper(), "namespace": "other"}}

    (item,) = stored_source(source_of(pod("b")), transform, nothing_known).list(OPTIONS).items
    assert (item.name, item.namespace, item.uid, item.resource_version) == ("B", "other", "uid-b", "5")


def test_a_transform_that_changes_the_object_in_place_cannot_take_its_version() -> None:
    """Go: TestTransformingInformer. The version is read before the transform runs."""

    def transform(obj: Any) -> Any:
        obj["metadata"]["resourceVersion"] = ""
        return obj

    (item,) = stored_source(source_of(pod("b")), transform, nothing_known).list(OPTIONS).items
    assert item.resource_version == "5"


def test_an_object_for_an_object_needs_no_entry() -> None:
    """`strip_managed_fields` gives an `Object`, which says itself who it is."""
    given = Object.from_dict(pod("b", spec={}))
    given = Object.from_dict({**given.to_dict(), "metadata": {**given.to_dict()["metadata"], "managedFields": [{}]}})
    (item,) = stored_source(source_of(given), strip_managed_fields, nothing_known).list(OPTIONS).items
    assert type(item) is Object
    assert b"managedFields" not in item.raw


def test_an_object_that_lost_its_version_is_held_with_the_one_it_came_with() -> None:
    """Go: TestTransformingInformer. What the cache compares is the server's, not the transform's."""
    transform = lambda obj: obj.without("metadata.resourceVersion", "metadata.uid")  # noqa: E731
    (item,) = stored_source(source_of(Object.from_dict(pod("b"))), transform, nothing_known).list(OPTIONS).items
    assert (type(item), item.uid, item.resource_version, item.object.resource_version) == (Entry, "uid-b", "5", "")


@pytest.mark.parametrize("given", [pod("b"), Object.from_dict(pod("b")), SimpleNamespace(x=1), None], ids=str)
def test_a_transform_that_raises_sets_that_one_object_aside(given: Any) -> None:
    """One bad object stops nothing: it becomes an `Undecodable` with the exception."""
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


def test_what_did_not_decode_is_not_transformed() -> None:
    """A transform sees objects only."""
    bad = Undecodable("a", "ns", "", "", b"", ValueError())
    for items in listed_and_watched(stored_source(source_of(bad), lambda obj: pytest.fail("called"), nothing_known)):
        assert items == [bad]


def test_bookmarks_and_errors_are_not_transformed() -> None:
    """Their objects are no objects of the resource."""
    bookmark, error = Event("BOOKMARK", {"metadata": {"resourceVersion": "9"}}), Event("ERROR", {"code": 410})
    source = source_of()
    source.watch(OPTIONS).next_batch = lambda timeout=None: [bookmark, error]
    made: Any = stored_source(source, lambda obj: pytest.fail("called"), nothing_known)
    assert made.watch(OPTIONS).next_batch() == [bookmark, error]


def test_a_page_keeps_what_it_says_of_itself() -> None:
    """Version, continue token, remaining count and shard go along."""
    page = stored_source(source_of(pod()), lambda obj: obj, nothing_known).list(OPTIONS)
    assert (page.resource_version, page.continue_, page.remaining_item_count, page.shard_selector) == (
        "7",
        "C1",
        3,
        "shards",
    )


def test_a_page_may_lack_all_but_items_and_a_version() -> None:
    """A user's own page type is enough."""
    source = source_of()
    source.list = lambda options: SimpleNamespace(items=[pod()], resource_version="7")
    page = stored_source(source, lambda obj: obj, nothing_known).list(OPTIONS)
    assert (page.resource_version, page.continue_) == ("7", None)


def test_a_watch_of_none_stays_none() -> None:
    """It counts as a broken connection."""
    source = source_of()
    source.watch = lambda options: None
    assert stored_source(source, lambda obj: obj, nothing_known).watch(OPTIONS) is None


@pytest.mark.parametrize("pulled", [True, False])
def test_watchers_of_both_kinds_are_transformed_and_stopped(pulled: bool, script: Any) -> None:
    """One that is pulled, and one that has a channel only."""
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


def test_namespaces_and_what_else_a_source_has_shine_through() -> None:
    """`for_namespace`, `supports_watch_list` and the name are the source's."""
    asked: list[str] = []

    def for_namespace(namespace: str) -> Any:
        asked.append(namespace)
        return source_of(pod(namespace))

    source = source_of(namespaces=("a", "b"), for_namespace=for_namespace, supports_watch_list=False)
    made: Any = stored_source(source, lambda obj: "x", nothing_known)
    assert (made.namespaces, made.supports_watch_list, made.resource_name) == (("a", "b"), False, None)
    assert [item.object for item in made.for_namespace("b").list(OPTIONS).items] == ["x"]
    assert asked == ["b"]


def test_a_transform_that_returns_nothing_sets_the_object_aside() -> None:
    """A transform that forgot to return what it changed is told so, rather than that None is stored."""
    for items in listed_and_watched(stored_source(source_of(pod("a")), lambda obj: None, nothing_known)):
        assert type(items[0]) is Undecodable
        assert "the transform returned None" in str(items[0].error)


def test_a_transform_cannot_end_the_thread_that_reads() -> None:
    """SystemExit of a transform is a failure of that object, as an error with the cause."""

    def transform(obj: Any) -> Any:
        raise SystemExit(3)

    for items in listed_and_watched(stored_source(source_of(pod("a")), transform, nothing_known)):
        assert str(items[0].error) == "the transform raised SystemExit"
        assert isinstance(items[0].error.__cause__, SystemExit)
