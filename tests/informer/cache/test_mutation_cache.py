"""A controller's own writes, shown before the cache has them."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client import V1ObjectMeta, V1Pod

from informer import DeletedFinalStateUnknown, Indexer, IndexNotFoundError, KeyFuncError, MutationCache, Object, Store
from tests.support.waiting import DEADLINE
from watch import FakeClock
from watch.concurrency import Worker

BY_NAME = {"by_name": lambda obj: [obj["metadata"]["name"]]}


def pod(uid: str, version: str, name: str = "pod", foo: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": version}, "foo": foo}


@pytest.mark.parametrize(("version", "shown"), [("2", "1"), ("3", "1"), ("1", "2")], ids=["same", "newer", "older"])
def test_a_write_that_the_store_has_is_forgotten(version: str, shown: str) -> None:
    """Go: TestMutationCacheOnAddOrUpdate. An object at least as new as the write replaces it."""
    store: Store[Any] = Store()
    cache = MutationCache(store)
    cache.mutation(pod("uid-1", "2"))
    cache.on_add_or_update(pod("uid-1", version))
    store.add(pod("uid-1", "1"))
    assert cache.get_by_key("pod") == pod("uid-1", shown)


@pytest.mark.parametrize(
    ("uid", "version", "exists"),
    [("uid-1", "1", False), ("uid-2", "3", False), ("uid-other", "1", True)],
    ids=["older state of the same", "newer state of another", "older state of another"],
)
@pytest.mark.parametrize("tombstone", [False, True], ids=["object", "tombstone"])
def test_a_deleted_object_is_not_shown(uid: str, version: str, exists: bool, tombstone: bool) -> None:
    """Go: TestMutationCacheOnDelete.

    The delete of the same object or a later one undoes the write; an earlier one does not.
    """
    store: Store[Any] = Store()
    store.add(pod("uid-1", "2"))
    cache = MutationCache(store, include_adds=True)
    cache.mutation(pod("uid-1", "3"))
    deleted = pod(uid, version)
    store.delete(deleted)
    cache.on_delete(DeletedFinalStateUnknown("pod", deleted) if tombstone else deleted)
    assert (cache.get_by_key("pod") is not None) is exists


def test_a_write_recorded_after_its_delete_is_not_shown() -> None:
    """Go: TestMutationCacheUpdateConcurrentDelete. A tombstone is kept for writes that are recorded late."""
    store: Store[Any] = Store()
    cache = MutationCache(store, ttl=3600, include_adds=True)
    cache.on_add_or_update(pod("uid-1", "2"))
    cache.on_delete(pod("uid-1", "2"))
    cache.mutation(pod("uid-1", "2"))
    assert cache.get_by_key("pod") is None
    cache.mutation(pod("uid-1", "9"))
    assert cache.get_by_key("pod") is None
    for version in ("1", "2"):
        cache.mutation(pod("uid-2", version))
        assert cache.get_by_key("pod") is None
    cache.mutation(pod("uid-2", "3"))
    assert cache.get_by_key("pod") == pod("uid-2", "3")


def test_a_write_recorded_after_a_recreate_is_not_shown() -> None:
    """Go: TestMutationCacheUpdateConcurrentRecreate. The store's newer object counts, and the write is forgotten."""
    store: Store[Any] = Store()
    cache = MutationCache(store, ttl=3600, include_adds=True)
    cache.on_add_or_update(pod("uid-1", "2"))
    cache.on_delete(pod("uid-1", "2"))
    store.add(pod("uid-2", "3"))
    cache.on_add_or_update(pod("uid-2", "3"))
    cache.mutation(pod("uid-1", "2"))
    assert cache.get_by_key("pod") == pod("uid-2", "3")
    store.delete(pod("uid-2", "3"))
    assert cache.get_by_key("pod") is None


def test_a_delete_undoes_an_add_that_the_store_never_had() -> None:
    """Go: TestMutationCacheOnDeleteClearsStaleMutation. Otherwise the object would be shown until its ttl is over."""
    cache = MutationCache(Store(), Indexer(indexers=BY_NAME), ttl=60, include_adds=True)
    cache.mutation(pod("uid-1", "2"))
    assert cache.by_index("by_name", "pod") == [pod("uid-1", "2")]
    cache.on_delete(pod("uid-1", "1"))
    assert cache.by_index("by_name", "pod") == []
    assert cache.get_by_key("pod") is None


def test_without_adds_the_store_decides_what_exists() -> None:
    """client-go source. Without `include_adds`, a key that is not in the store does not exist."""
    store: Indexer[Any] = Indexer(indexers=BY_NAME)
    cache = MutationCache(store, store)
    cache.mutation(pod("uid-1", "2"))
    assert cache.get_by_key("pod") is None
    assert cache.by_index("by_name", "pod") == []
    store.add(pod("uid-1", "1"))
    assert cache.get_by_key("pod") == pod("uid-1", "2")
    assert cache.by_index("by_name", "pod") == [pod("uid-1", "2")]


def test_with_adds_a_written_object_exists() -> None:
    """With `include_adds`, an object that the store has not seen yet is found by key and by index."""
    store: Indexer[Any] = Indexer(indexers=BY_NAME)
    cache = MutationCache(store, store, include_adds=True)
    cache.mutation(pod("uid-1", "2"))
    assert cache.get_by_key("pod") == pod("uid-1", "2")
    assert cache.by_index("by_name", "pod") == [pod("uid-1", "2")]
    assert cache.by_index("by_name", "other") == []


def test_the_newer_of_store_and_write_wins() -> None:
    """client-go source. Versions compare as integers; a write that is not newer is forgotten when it is read."""
    store: Store[Any] = Store()
    cache = MutationCache(store)
    store.add(pod("uid-1", "9"))
    cache.mutation(pod("uid-1", "10"))
    assert cache.get_by_key("pod") == pod("uid-1", "10")
    store.update(pod("uid-1", "11"))
    assert cache.get_by_key("pod") == pod("uid-1", "11")
    store.update(pod("uid-1", "8"))
    assert cache.get_by_key("pod") == pod("uid-1", "8")


def test_an_older_write_does_not_replace_a_newer_one() -> None:
    """client-go source. Writes may be recorded in any order; of the same version, the later one counts."""
    store: Store[Any] = Store()
    store.add(pod("uid-1", "1"))
    cache = MutationCache(store)
    cache.mutation(pod("uid-1", "10"))
    cache.mutation(pod("uid-1", "9"))
    assert cache.get_by_key("pod") == pod("uid-1", "10")
    cache.mutation(pod("uid-1", "10", foo="again"))
    assert cache.get_by_key("pod") == pod("uid-1", "10", foo="again")


def test_an_object_without_a_version_is_older_than_any_other() -> None:
    """client-go source. A missing resourceVersion counts as 0."""
    store: Store[Any] = Store()
    store.add(pod("uid-1", ""))
    cache = MutationCache(store)
    cache.mutation(pod("uid-1", "1"))
    assert cache.get_by_key("pod") == pod("uid-1", "1")
    store.add(pod("uid-1", "", name="other"))
    cache.mutation(pod("uid-1", "", name="other", foo="x"))
    assert cache.get_by_key("other") == pod("uid-1", "", name="other")


@pytest.mark.parametrize("version", ["abc", "-1", "1.5", " 1", "٣"])
def test_versions_that_are_not_integers_raise(version: str) -> None:
    """client-go source. The error names the object and shows the version."""
    store: Store[Any] = Store()
    cache = MutationCache(store)
    for tell in (cache.mutation, cache.on_add_or_update, cache.on_delete):
        with pytest.raises(ValueError, match="the resourceVersion of /pod is not an integer: ") as caught:
            tell(pod("uid-1", version))
        assert repr(version) in str(caught.value)
    store.add(pod("uid-1", version))
    with pytest.raises(ValueError, match="is not an integer"):
        cache.get_by_key("pod")


def test_an_object_without_a_key_raises() -> None:
    """The KeyFuncError reaches the caller that passed the object."""
    cache = MutationCache(Store())
    for tell in (cache.mutation, cache.on_add_or_update, cache.on_delete):
        with pytest.raises(KeyFuncError, match="type str"):
            tell("text")
    cache.on_delete(DeletedFinalStateUnknown("pod", None))


def test_by_index_needs_an_indexer_and_the_index() -> None:
    """client-go source. Without an indexer, or without the index, `by_index` raises IndexNotFoundError."""
    with pytest.raises(IndexNotFoundError, match="no indexer has been provided to the mutation cache"):
        MutationCache(Store()).by_index("by_name", "pod")
    with pytest.raises(IndexNotFoundError, match="Index with name nothing does not exist"):
        MutationCache(Store(), Indexer(indexers=BY_NAME), include_adds=True).by_index("nothing", "pod")


@pytest.mark.parametrize("include_adds", [False, True], ids=["without adds", "with adds"])
@pytest.mark.parametrize(
    ("stored", "written", "asked", "found", "found_with_adds"),
    [
        (("1", "a"), ("2", "a"), "a", ["2a"], ["2a"]),
        (("1", "a"), ("2", "b"), "a", [], []),
        (("1", "a"), ("2", "b"), "b", [], ["2b"]),
        (("2", "a"), ("1", "a"), "a", ["2a"], ["2a"]),
        (("2", "b"), ("1", "a"), "a", [], []),
    ],
    ids=["stays", "leaves", "arrives", "older write", "older write elsewhere"],
)
def test_a_write_that_changes_the_index(
    stored: tuple[str, str],
    written: tuple[str, str],
    asked: str,
    found: list[str],
    found_with_adds: list[str],
    include_adds: bool,
) -> None:
    """Go: TestMutationCacheByIndexMutationChangesIndex. Every returned object has the requested value."""
    store: Indexer[Any] = Indexer(indexers={"foo": lambda obj: [obj["foo"]]})
    store.add(pod("uid-1", stored[0], foo=stored[1]))
    cache = MutationCache(store, store, include_adds=include_adds)
    cache.mutation(pod("uid-1", written[0], foo=written[1]))
    objects = cache.by_index("foo", asked)
    assert [obj["metadata"]["resourceVersion"] + obj["foo"] for obj in objects] == (
        found_with_adds if include_adds else found
    )


def test_an_index_function_that_fails_for_a_write_leaves_it_out() -> None:
    """client-go source. The store's other objects are still found."""
    store: Indexer[Any] = Indexer(indexers={"foo": lambda obj: [obj["metadata"]["labels"]["foo"]]})
    labelled = pod("uid-1", "1", name="labelled")
    labelled["metadata"]["labels"] = {"foo": "a"}
    store.add(labelled)
    cache = MutationCache(store, store, include_adds=True)
    cache.mutation(pod("uid-2", "2"))
    assert cache.by_index("foo", "a") == [labelled]
    cache.mutation(pod("uid-1", "3", name="labelled"))
    assert cache.by_index("foo", "a") == []


def test_index_functions_run_without_a_lock() -> None:
    """Another thread can use the cache while an index function runs."""

    def foo(obj: Any) -> list[str]:
        if obj["foo"] == "written":
            worker = Worker(lambda: cache.get_by_key("pod"), "reader").start()
            assert worker.join(DEADLINE), "a lock was held while an index function ran"
        return ["x"]

    store: Indexer[Any] = Indexer(indexers={"foo": foo})
    store.add(pod("uid-1", "1"))
    cache = MutationCache(store, store, include_adds=True)
    cache.mutation(pod("uid-1", "2", foo="written"))
    cache.mutation(pod("uid-2", "2", name="new", foo="written"))
    assert len(cache.by_index("foo", "x")) == 2


def test_writes_are_remembered_for_a_time() -> None:
    """The default is five minutes; at exactly that age the write is still shown."""
    for ttl in (None, 60.0):
        clock = FakeClock()
        store: Store[Any] = Store()
        store.add(pod("uid-1", "1"))
        cache = MutationCache(store, clock=clock) if ttl is None else MutationCache(store, None, ttl, clock=clock)
        cache.mutation(pod("uid-1", "2"))
        clock.step(ttl or 300)
        assert cache.get_by_key("pod") == pod("uid-1", "2")
        clock.step(0.001)
        assert cache.get_by_key("pod") == pod("uid-1", "1")


def test_the_least_recently_used_write_is_evicted_first() -> None:
    """The default size is a hundred writes."""
    store: Store[Any] = Store()
    cache = MutationCache(store, include_adds=True)
    for number in range(100):
        cache.mutation(pod("uid", "1", name=f"pod-{number}"))
    assert cache.get_by_key("pod-0") is not None
    cache.mutation(pod("uid", "1", name="one-more"))
    assert cache.get_by_key("pod-0") is not None
    assert cache.get_by_key("pod-1") is None
    small = MutationCache(store, include_adds=True, size=1)
    small.mutation(pod("uid", "1", name="a"))
    small.mutation(pod("uid", "1", name="b"))
    assert small.get_by_key("a") is None
    assert small.get_by_key("b") is not None


def test_a_write_that_is_looked_up_but_not_shown_is_not_used() -> None:
    """Looking up a write whose object the store lacks does not show it, and does not keep it longer than newer writes."""
    store: Store[Any] = Store()
    cache = MutationCache(store, size=2)
    cache.mutation(pod("uid", "2", name="a"))
    cache.mutation(pod("uid", "2", name="b"))
    assert cache.get_by_key("a") is None
    cache.mutation(pod("uid", "2", name="c"))
    for name in ("a", "b"):
        store.add(pod("uid", "1", name=name))
    shown = {name: cache.get_by_key(name)["metadata"]["resourceVersion"] for name in ("a", "b")}
    assert shown == {"a": "1", "b": "2"}


def test_objects_of_every_kind() -> None:
    """`Object`s and official models work as dicts do."""
    store: Store[Any] = Store()
    cache = MutationCache(store)
    store.add(Object.from_dict(pod("uid-1", "1")))
    newer = V1Pod(metadata=V1ObjectMeta(name="pod", uid="uid-1", resource_version="2"))
    cache.mutation(newer)
    assert cache.get_by_key("pod") is newer
    cache.on_add_or_update(Object.from_dict(pod("uid-1", "2")))
    assert cache.get_by_key("pod") == Object.from_dict(pod("uid-1", "1"))


class Interrupted(Indexer[Any]):
    """A store in which something happens right after it was read."""

    def __init__(self) -> None:
        super().__init__(indexers={"foo": lambda obj: [obj["foo"]]})
        self.then: Any = None

    def get_by_key(self, key: str) -> Any:
        return self._and_then(super().get_by_key(key))

    def by_index(self, name: str, value: str) -> list[Any]:
        return self._and_then(super().by_index(name, value))

    def _and_then(self, found: Any) -> Any:
        then, self.then = self.then, None
        if then is not None:
            then()
        return found


@pytest.mark.parametrize("forgets", ["handler", "second reader"])
@pytest.mark.parametrize("stored", [None, "1"], ids=["created", "updated"])
@pytest.mark.parametrize("way", ["get_by_key", "by_index"])
def test_an_event_during_a_read_hides_nothing(forgets: str, stored: str | None, way: str) -> None:
    """The cache is read, then it gets the written state and the write is forgotten: the read still shows that state."""
    store = Interrupted()
    if stored is not None:
        store.add(pod("uid-1", stored, foo="a"))
    cache = MutationCache(store, store, include_adds=True)
    written = pod("uid-1", "2", foo="a")
    cache.mutation(written)

    def event() -> None:
        store.add(written)
        if forgets == "handler":
            cache.on_add_or_update(written)
        else:
            assert cache.get_by_key("pod") == written

    store.then = event
    shown = cache.get_by_key("pod") if way == "get_by_key" else cache.by_index("foo", "a")
    assert shown == (written if way == "get_by_key" else [written])
    assert store.then is None


@pytest.mark.parametrize("way", ["get_by_key", "by_index"])
def test_a_delete_during_a_read_is_shown(way: str) -> None:
    """The tombstone counts, although the read had found the write before."""
    store = Interrupted()
    store.add(pod("uid-1", "1", foo="a"))
    cache = MutationCache(store, store, include_adds=True)
    cache.mutation(pod("uid-1", "2", foo="a"))

    def event() -> None:
        store.delete(pod("uid-1", "3", foo="a"))
        cache.on_delete(pod("uid-1", "3", foo="a"))

    store.then = event
    assert not (cache.get_by_key("pod") if way == "get_by_key" else cache.by_index("foo", "a"))


def test_a_write_that_is_shown_is_evicted_last() -> None:
    """Reading by index marks what it shows as used, and `peek`s at the rest; a newer write of a key marks it too."""
    store: Indexer[Any] = Indexer(indexers={"foo": lambda obj: [obj["foo"]]})
    for name in ("a", "b", "c"):
        store.add(pod("uid", "1", name=name, foo=name))
    cache = MutationCache(store, store, size=3)
    for name in ("a", "b", "c"):
        cache.mutation(pod("uid", "2", name=name, foo=name))
    assert cache.by_index("foo", "a") == [pod("uid", "2", name="a", foo="a")]
    cache.mutation(pod("uid", "3", name="b", foo="b"))
    cache.mutation(pod("uid", "2", name="d", foo="d"))
    shown = {name: cache.get_by_key(name)["metadata"]["resourceVersion"] for name in ("a", "b", "c")}
    assert shown == {"a": "2", "b": "3", "c": "1"}
