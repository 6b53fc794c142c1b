"""Stores whose objects expire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from informer import DeletedFinalStateUnknown, ExpirationCache, KeyFuncError, TTLStore
from informer.cache.expiration_cache import TimestampedEntry, TTLPolicy
from tests.support.waiting import DEADLINE
from watch import FakeClock
from watch.concurrency import Worker


class Item(NamedTuple):
    id: str
    value: str


def key_of(item: Any) -> str:
    return item.id  # type: ignore[no-any-return]


class Policy:
    """Everything is expired but what never is."""

    def __init__(self, *never: str) -> None:
        self.never = set(never)

    def is_expired(self, entry: TimestampedEntry) -> bool:
        return key_of(entry.obj) not in self.never


def test_reading_an_expired_object_deletes_it() -> None:
    """Go: TestTTLExpirationBasic. Reading an expired object returns None and deletes it."""
    store = ExpirationCache(key_of, Policy())
    store.add(Item("foo", "bar"))
    assert store.list_keys() == ["foo"]
    assert store.get(Item("foo", "")) is None
    assert store.list_keys() == []


def test_an_expired_object_can_be_added_again() -> None:
    """Go: TestReAddExpiredItem. A new object of the same key has a time of its own."""
    policy = Policy()
    store = ExpirationCache(key_of, policy)
    store.add(Item("foo", "bar"))
    assert store.get_by_key("foo") is None
    store.add(Item("foo", "different_bar"))
    policy.never.add("foo")
    assert store.get_by_key("foo") == store.get(Item("foo", "")) == Item("foo", "different_bar")


def test_list_omits_and_deletes_expired_objects() -> None:
    """Go: TestTTLList. `list` returns the unexpired objects, and only these stay."""
    store = ExpirationCache(key_of, Policy("foo1"))
    store.replace([Item("foo", ""), Item("foo1", ""), Item("foo2", "")], "1")
    assert sorted(store.list_keys()) == ["foo", "foo1", "foo2"]
    assert store.list() == [Item("foo1", "")]
    assert store.list_keys() == ["foo1"]


@pytest.mark.parametrize(
    ("ttl", "age", "expired"),
    [(30, 30, False), (30, 0, False), (30, 30 + 1e-9, True), (0, 1e9, False), (-1, 1e9, False)],
)
def test_time_to_live(ttl: float, age: float, expired: bool) -> None:
    """Go: TestTTLPolicy. An object of exactly the age `ttl` has not expired; without a positive `ttl` objects never expire."""
    clock = FakeClock()
    policy = TTLPolicy(ttl, clock)
    entry = TimestampedEntry("obj", clock.monotonic())
    clock.step(age)
    assert policy.is_expired(entry) is expired


def test_writing_renews_an_objects_time() -> None:
    """client-go source. Storing an object renews its time and reading does not; `replace` renews all."""
    clock = FakeClock()
    store = TTLStore(key_of, 30, clock=clock)
    store.replace([Item("a", "1"), Item("b", "1")], "5")
    clock.step(20)
    assert store.get_by_key("b") == Item("b", "1")
    store.update(Item("a", "2"))
    clock.step(20)
    assert store.list_keys() == ["a", "b"]
    assert store.get_by_key("a") == Item("a", "2")
    assert store.get_by_key("b") is None
    store.replace([Item("a", "3"), Item("b", "3")], "6")
    clock.step(30)
    assert len(store.list()) == 2
    clock.step(1)
    assert store.list() == []


def test_an_expired_key_is_listed_until_its_object_is_read() -> None:
    """client-go source. `list_keys`, `len`, `in` and iteration neither hide nor delete expired objects."""
    store = ExpirationCache(key_of, Policy())
    store.add(Item("foo", "bar"))
    for _ in range(2):
        assert store.list_keys() == list(store) == ["foo"]
        assert len(store) == 1
        assert "foo" in store
    assert store.list() == []
    assert "foo" not in store
    assert len(store) == 0
    assert store


def test_it_behaves_like_a_store() -> None:
    """Deletes, tombstones, resourceVersions and resync work as in `Store`."""
    clock = FakeClock()
    store: TTLStore[Any] = TTLStore(lambda obj: obj["metadata"]["name"], 30, clock=clock)

    def pod(name: str, version: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "resourceVersion": version}}

    assert store.resource_version == ""
    store.add(pod("a", "1"))
    assert store.resource_version == "1"
    store.delete(pod("a", "2"))
    store.delete(pod("a", "2"))
    assert (store.list(), store.resource_version) == ([], "2")
    store.add(pod("b", "3"))
    store.delete(DeletedFinalStateUnknown("b", None))
    assert (store.list(), store.resource_version) == ([], "3")
    store.replace([pod("c", "4")], "9")
    assert store.resource_version == "9"
    store.bookmark("10")
    store.bookmark("")
    store.resync()
    assert (store.list(), store.resource_version) == ([pod("c", "4")], "10")


def test_a_policy_may_be_a_function() -> None:
    """The function gets the object and its timestamp."""
    clock = FakeClock(start=7.0)
    asked: list[TimestampedEntry] = []
    store = ExpirationCache(key_of, lambda entry: bool(asked.append(entry)), clock=clock)
    store.add(Item("a", "1"))
    assert store.get_by_key("a") == Item("a", "1")
    assert asked == [TimestampedEntry(Item("a", "1"), 7.0)]
    with pytest.raises(TypeError, match=r"policy must be a function or have is_expired\(entry\), not int"):
        ExpirationCache(key_of, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.add(5),
        lambda store: store.delete(5),
        lambda store: store.get(5),
        lambda store: store.replace([Item("b", ""), 5], "1"),
    ],
    ids=["add", "delete", "get", "replace"],
)
def test_an_object_without_a_key_changes_nothing(write: Callable[[Any], object]) -> None:
    """The KeyFuncError names the object's type."""
    store: ExpirationCache[Any] = ExpirationCache(key_of, lambda entry: False)
    store.add(Item("a", "1"))
    with pytest.raises(KeyFuncError, match="couldn't create key for object of type int"):
        write(store)
    assert store.list() == [Item("a", "1")]


def test_an_object_written_while_the_old_one_expires_stays() -> None:
    """The policy runs without a lock, and an expired object is deleted only if it is still stored."""
    store: ExpirationCache[Item]

    def is_expired(entry: TimestampedEntry) -> bool:
        if entry.obj.value == "old":
            worker = Worker(lambda: store.add(Item("a", "new")), "writer").start()
            assert worker.join(DEADLINE), "a lock was held while the policy ran"
        return entry.obj.value == "old"  # type: ignore[no-any-return]

    store = ExpirationCache(key_of, is_expired)
    store.add(Item("a", "old"))
    assert store.get_by_key("a") is None
    assert store.get_by_key("a") == Item("a", "new")
    store.add(Item("a", "old"))
    assert store.list() == []
    assert store.list() == [Item("a", "new")]
