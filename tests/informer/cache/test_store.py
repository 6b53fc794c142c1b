"""The store: objects by key, batches and resourceVersions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from informer import (
    Change,
    DeletedFinalStateUnknown,
    Delta,
    DeltaType,
    ExplicitKey,
    Indexer,
    KeyFuncError,
    Object,
    Store,
)
from informer.objects.entry import Entry, unwrap
from informer.queues.delta import ReplacedAll


class Item(NamedTuple):
    id: str
    value: str


def pod(name: str, resource_version: str = "", uid: str = "", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": resource_version, "uid": uid}, **more}


STORES: dict[str, Callable[[Callable[[Any], str]], Store[Any]]] = {
    "store": Store,
    "indexer": Indexer,
    "indexer with an index": lambda key_func: Indexer(key_func, {"by_value": lambda item: [item.value]}),
}


@pytest.mark.parametrize("make", STORES.values(), ids=STORES.keys())
def test_a_store_holds_the_newest_of_each_key(make: Callable[[Callable[[Any], str]], Store[Any]]) -> None:
    """Go: TestCache. Add, update, delete, list and replace keep one object per key."""
    store = make(lambda item: item.id)
    store.add(Item("foo", "bar"))
    assert store.get(Item("foo", "")) == Item("foo", "bar")
    store.update(Item("foo", "baz"))
    assert store.get(Item("foo", "")) == Item("foo", "baz")
    assert store.get_by_key("foo") == Item("foo", "baz")
    store.delete(Item("foo", ""))
    assert store.get(Item("foo", "")) is None
    assert store.get_by_key("foo") is None
    for item in (Item("a", "b"), Item("c", "d"), Item("e", "e")):
        store.add(item)
    assert {item.value for item in store.list()} == {"b", "d", "e"}
    assert len(store.list()) == 3
    store.replace([Item("foo", "foo"), Item("bar", "bar")], "0")
    assert sorted(store.list()) == [Item("bar", "bar"), Item("foo", "foo")]


@pytest.mark.parametrize("make", STORES.values(), ids=STORES.keys())
def test_a_store_is_a_container_of_keys(make: Callable[[Callable[[Any], str]], Store[Any]]) -> None:
    """`len`, `in` and iteration concern keys; an empty store is not falsy."""
    store = make(lambda item: item.id)
    assert store
    assert len(store) == 0
    assert store.list() == store.list_keys() == []
    store.replace((Item(key, "x") for key in "abc"), "1")
    assert store
    assert len(store) == 3
    assert "a" in store
    assert "z" not in store
    assert sorted(store) == sorted(store.list_keys()) == ["a", "b", "c"]


def test_lists_are_copies() -> None:
    """A returned list belongs to its reader: later writes do not change it, and changing it does not change the store."""
    store = Store(lambda item: item.id)
    store.add(Item("a", "1"))
    keys, items, iterator = store.list_keys(), store.list(), iter(store)
    store.add(Item("b", "2"))
    assert (keys, items, list(iterator)) == (["a"], [Item("a", "1")], ["a"])
    items.clear()
    assert len(store.list()) == 2


def test_objects_of_every_kind_have_their_usual_key() -> None:
    """Without a key function, the key is "namespace/name"."""
    store: Store[Any] = Store()
    store.add({"metadata": {"name": "a", "namespace": "n"}})
    store.add(Object.from_dict({"metadata": {"name": "b", "namespace": "n"}}))
    store.add(ExplicitKey("c"))
    assert sorted(store) == ["c", "n/a", "n/b"]
    assert store.get(ExplicitKey("n/a")) == {"metadata": {"name": "a", "namespace": "n"}}
    store.delete(ExplicitKey("n/a"))
    assert sorted(store) == ["c", "n/b"]


def test_delete_takes_a_tombstone() -> None:
    """A `DeletedFinalStateUnknown` deletes the key it carries, whatever its object is."""
    store: Store[Any] = Store()
    store.add(pod("a"))
    store.delete(DeletedFinalStateUnknown("a", None))
    assert list(store) == []


def test_deleting_a_missing_object_does_nothing() -> None:
    """The second delete of an object does not raise."""
    store: Store[Any] = Store()
    store.delete(pod("a"))
    store.delete(DeletedFinalStateUnknown("a", None))
    assert list(store) == []


def test_resync_does_nothing() -> None:
    """client-go source. A reflector may write to a store as to a queue, so `resync` is a no-op."""
    store: Store[Any] = Store()
    store.add(pod("a", "1"))
    store.resync()
    assert store.list() == [pod("a", "1")]
    assert store.resource_version == "1"


# Keys


def failing(obj: Any) -> str:
    if obj in (3, 4):
        raise ValueError(f"no key for {obj}")
    return str(obj)


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.add(3),
        lambda store: store.update(3),
        lambda store: store.delete(3),
        lambda store: store.get(3),
        lambda store: store.replace([1, 3], "9"),
    ],
    ids=["add", "update", "delete", "get", "replace"],
)
def test_what_a_key_function_raises_is_the_cause_of_a_key_error(write: Callable[[Store[Any]], object]) -> None:
    """Go: TestKeyError. The KeyFuncError names the object's type and has the function's error as its cause."""
    store = Store(failing)
    store.add(7)
    with pytest.raises(KeyFuncError, match="couldn't create key for object of type int: no key for 3") as caught:
        write(store)
    assert isinstance(caught.value.__cause__, ValueError)
    assert store.list() == [7]
    assert store.resource_version == ""


def test_a_batch_with_a_failing_key_changes_nothing() -> None:
    """Go: TestCacheTransactionShouldIndexErrors. One object without a key fails the whole batch."""
    store = Store(failing)
    store.apply([Delta(DeltaType.ADDED, item) for item in (1, 2)])
    assert sorted(store) == ["1", "2"]
    for batch in ((5, 3, 6, 4), (3, 4)):
        with pytest.raises(KeyFuncError, match="no key for 3"):
            store.apply([Delta(DeltaType.DELETED, 1), *(Delta(DeltaType.ADDED, item) for item in batch)])
        assert sorted(store) == ["1", "2"]


@pytest.mark.parametrize("key", [None, 5, ["a"], ("a", "b"), b"a"], ids=repr)
def test_a_key_must_be_a_str(key: Any) -> None:
    """A key function that forgets to return raises at once: otherwise all objects would have the key None."""
    store: Store[Any] = Store(lambda obj: key)
    with pytest.raises(KeyFuncError, match=f"of type int: the key function returned a {type(key).__name__}, not a str"):
        store.add(1)
    assert store.list() == []


def test_key_errors_of_meta_namespace_key_are_not_wrapped() -> None:
    """`meta_namespace_key` raises a KeyFuncError itself."""
    with pytest.raises(KeyFuncError, match="type str: object has no meta") as caught:
        Store().add("text")
    assert caught.value.__cause__ is None


# Batches


def test_apply_returns_the_changes() -> None:
    """`apply` returns every change in order, with the state before it."""
    store: Store[Any] = Store()
    one, two, three = pod("a", "1", "u"), pod("a", "2", "u"), pod("b", "3", "v")
    changes = store.apply(
        [
            Delta(DeltaType.ADDED, one),
            Delta(DeltaType.UPDATED, two),
            Delta(DeltaType.REPLACED, three),
            Delta(DeltaType.SYNC, three),
            Delta(DeltaType.DELETED, pod("a", "4", "u")),
            Delta(DeltaType.DELETED, pod("a", "4", "u")),
            Delta(DeltaType.DELETED, DeletedFinalStateUnknown("b", None)),
            Delta(DeltaType.BOOKMARK, "9"),
        ],
        is_in_initial_list=True,
    )
    assert changes == [
        Change(DeltaType.ADDED, one, None, True),
        Change(DeltaType.UPDATED, two, one),
        Change(DeltaType.ADDED, three, None, True),
        Change(DeltaType.UPDATED, three, three, is_sync=True),
        Change(DeltaType.DELETED, pod("a", "4", "u")),
        Change(DeltaType.DELETED, three, None, False, True),
    ]
    assert [change.key for change in changes] == ["a", "a", "b", "b", "a", "b"]
    assert store.resource_version == "9"


def test_adding_a_stored_object_is_an_update() -> None:
    """What the store holds decides the type of the change, not the type of the delta."""
    store: Store[Any] = Store()
    store.add(pod("a", "1"))
    assert store.apply([Delta(DeltaType.ADDED, pod("a", "2"))]) == [
        Change(DeltaType.UPDATED, pod("a", "2"), pod("a", "1"))
    ]
    assert store.apply([Delta(DeltaType.UPDATED, pod("b", "2"))]) == [Change(DeltaType.ADDED, pod("b", "2"))]


def test_apply_takes_any_iterable() -> None:
    """A generator of deltas is accepted as a batch."""

    def deltas() -> Iterator[Delta]:
        yield Delta(DeltaType.ADDED, pod("a"))
        yield Delta(DeltaType.ADDED, pod("b"))

    store: Store[Any] = Store()
    assert len(store.apply(deltas())) == 2
    assert store.apply([]) == []


def test_replace_returns_deletes_first() -> None:
    """Objects missing from the list are deleted, with an unknown final state."""
    store: Store[Any] = Store()
    old, kept = pod("a", "1", "u"), pod("b", "2", "v")
    store.replace([old, kept], "2")
    new, changed = pod("c", "4", "w"), pod("b", "3", "v")
    replaced = Delta(DeltaType.REPLACED_ALL, ReplacedAll([new, changed], "5"))
    assert store.apply([replaced], is_in_initial_list=True) == [
        Change(DeltaType.DELETED, old, None, False, True),
        Change(DeltaType.ADDED, new, None, True),
        Change(DeltaType.UPDATED, changed, kept),
    ]
    assert store.resource_version == "5"


def test_replace_keeps_the_object_whose_state_is_the_same() -> None:
    """With the same uid and resourceVersion the old object stays, and the update has `is_sync`."""
    store: Store[Any] = Store()
    old = pod("a", "1", "u")
    store.add(old)
    again = pod("a", "1", "u")
    (change,) = store.apply([Delta(DeltaType.REPLACED_ALL, ReplacedAll([again], "5"))])
    assert store.get_by_key("a") is old
    assert change.is_sync
    assert change.object is old


@pytest.mark.parametrize(
    ("before", "after"),
    [(("1", ""), ("1", "")), (("", "u"), ("", "u")), (("1", "u"), ("1", "v")), (("1", "u"), ("2", "u"))],
    ids=["no uid", "no resourceVersion", "another uid", "another resourceVersion"],
)
def test_replace_stores_an_object_of_another_state(before: tuple[str, str], after: tuple[str, str]) -> None:
    """If uid or resourceVersion is missing or differs, the new object is stored."""
    store: Store[Any] = Store()
    store.add(pod("a", *before))
    new = pod("a", *after)
    store.replace([new], "5")
    assert store.get_by_key("a") is new


def test_the_later_of_two_objects_of_one_key_counts() -> None:
    """A list may have an object on two pages; the later one is stored, with one change."""
    store: Store[Any] = Indexer(indexers={"version": lambda obj: [obj["metadata"]["resourceVersion"]]})
    first, second, other = pod("a", "1", "u"), pod("a", "2", "u"), pod("b", "1", "v")
    replaced = Delta(DeltaType.REPLACED_ALL, ReplacedAll([first, other, second], "5"))
    assert store.apply([replaced]) == [Change(DeltaType.ADDED, second), Change(DeltaType.ADDED, other)]
    assert store.by_index("version", "2") == [second]  # type: ignore[attr-defined]
    assert store.by_index("version", "1") == [other]  # type: ignore[attr-defined]
    third = pod("a", "3", "u")
    replaced = Delta(DeltaType.REPLACED_ALL, ReplacedAll([first, third], "6"))
    assert store.apply([replaced]) == [
        Change(DeltaType.DELETED, other, None, False, True),
        Change(DeltaType.UPDATED, third, second),
    ]


def test_replace_of_one_namespace_leaves_the_others() -> None:
    """An informer of several namespaces keeps several lists in one store."""

    def of(namespace: str, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": namespace, "uid": name}}

    store: Indexer[Any] = Indexer(indexers={"name": lambda obj: [obj["metadata"]["name"]]})
    store.replace([of("n", "a"), of("m", "b")], "1")
    store.apply([Delta(DeltaType.REPLACED_ALL, ReplacedAll([of("n", "c")], "2", "n"))])
    assert sorted(store) == ["m/b", "n/c"]
    assert store.list_index_func_values("name") == ["c", "b"]


def test_sync_all_updates_every_object_to_itself() -> None:
    """A resync returns one update per object, with the same object as old and new."""
    store: Store[Any] = Store()
    store.replace([pod("a", "1"), pod("b", "2")], "2")
    changes = store.apply([Delta(DeltaType.SYNC_ALL, None)])
    assert changes == [
        Change(DeltaType.UPDATED, pod("a", "1"), pod("a", "1"), is_sync=True),
        Change(DeltaType.UPDATED, pod("b", "2"), pod("b", "2"), is_sync=True),
    ]
    assert [change.key for change in changes] == ["a", "b"]


# resourceVersion


def test_resource_version_is_empty_at_first() -> None:
    """Go: TestThreadSafeStoreRV "Initial state". A new store has no resourceVersion."""
    assert Store().resource_version == ""


def test_resource_version_is_that_of_the_last_write() -> None:
    """Go: TestThreadSafeStoreRV "Add Update and Delete". The last write with a resourceVersion sets the store's."""
    store: Store[Any] = Store(lambda obj: obj if isinstance(obj, str) else obj["metadata"]["name"])
    for write, expected in [
        (lambda: store.add(pod("key1", "10")), "10"),
        (lambda: store.add(pod("key3", "10")), "10"),
        (lambda: store.add(pod("key4", "20")), "20"),
        (lambda: store.delete(pod("key4", "30")), "30"),
        (lambda: store.add("a plain string"), "30"),
        (lambda: store.add(pod("key6", "40")), "40"),
        (lambda: store.delete(DeletedFinalStateUnknown("key6", pod("key6", "50"))), "40"),
        (
            lambda: store.apply([Delta(DeltaType.UPDATED, pod(f"key{rv}", rv)) for rv in ("40", "30", "50")]),
            "50",
        ),
        (lambda: store.apply([Delta(DeltaType.UPDATED, pod("a", "60")), Delta(DeltaType.UPDATED, "text")]), "60"),
    ]:
        write()
        assert store.resource_version == expected


def test_resource_version_of_a_replace_is_the_lists() -> None:
    """Go: TestThreadSafeStoreRV "Replace". The list's own resourceVersion counts, not that of its items."""
    store: Store[Any] = Store()
    store.add(pod("a", "10"))
    store.replace([pod("b", "40"), pod("c", "30")], "50")
    assert store.resource_version == "50"


def test_resource_version_of_a_delete_is_the_objects() -> None:
    """Go: TestThreadSafeStoreRV "Delete". A delete sets the store's resourceVersion as every write does."""
    store: Store[Any] = Store()
    store.add(pod("a", "10"))
    store.delete(pod("a", "20"))
    assert store.resource_version == "20"


def test_resource_version_goes_back_by_a_list_only() -> None:
    """An older object or bookmark does not take it back. The delete of a missing object counts."""
    store: Store[Any] = Store()
    store.add(pod("a", "20"))
    for older in ("19", "3"):
        store.add(pod("a", older))
        store.update(pod("a", older))
        store.delete(pod("a", older))
        store.bookmark(older)
        assert store.resource_version == "20"
    store.delete(pod("nothing", "77"))
    store.bookmark("")
    assert store.resource_version == "77"
    store.replace([], "5")
    assert store.resource_version == "5"


@pytest.mark.parametrize("version", ["a", "05", "-3", "", "1" * 5000])
def test_a_version_that_cannot_be_compared_counts_if_it_is_the_last(version: str) -> None:
    """Unless it is "": other servers' versions are opaque. A longer number is newer, however long."""
    store: Store[Any] = Store()
    store.bookmark("20")
    store.bookmark(version)
    assert store.resource_version == (version or "20")


def test_of_a_batch_the_last_version_is_compared() -> None:
    """Once per batch, not per object."""
    store: Store[Any] = Store()
    store.bookmark("20")
    store.apply([Delta(DeltaType.ADDED, pod(name, version)) for name, version in (("a", "30"), ("b", "10"))])
    assert store.resource_version == "20"
    store.apply([Delta(DeltaType.ADDED, pod(name, version)) for name, version in (("a", "10"), ("b", "30"))])
    assert store.resource_version == "30"


# Stored forms


def test_readers_see_the_users_form() -> None:
    """Every reader gets unwrapped objects; `records` gives the stored ones."""
    store: Indexer[Any] = Indexer(indexers={"v": lambda obj: [obj["v"]]}, unwrap=unwrap)
    entry = Entry("a", "n", "u", "1", {"v": "x"})
    store.add(entry)
    seen = {"v": "x"}
    assert store.get_by_key("n/a") == store.get(entry) == seen
    assert store.list() == store.by_index("v", "x") == store.index("v", seen) == [seen]
    assert store.records.get("n/a") is entry
    assert store.records.objects() == store.records.by_index("v", "x") == [entry]
    assert store.records.show([entry]) == [seen]
    assert store.resource_version == "1"
