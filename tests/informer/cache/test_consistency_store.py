"""Reading one's own writes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from informer import ConsistencyStore, Indexer, ListWatch, SharedInformer


class Cache:
    """A cache that is as far as it is told."""

    def __init__(self, resource_version: Any = "") -> None:
        self.resource_version = resource_version


@pytest.fixture
def pods() -> Cache:
    return Cache("10")


@pytest.fixture
def nodes() -> Cache:
    return Cache("10")


@pytest.fixture
def consistency(pods: Cache, nodes: Cache) -> ConsistencyStore:
    return ConsistencyStore({"pods": pods, "nodes": nodes})


def test_an_owner_that_wrote_nothing_is_ready(consistency: ConsistencyStore) -> None:
    """There is nothing to wait for."""
    assert consistency.ensure_ready("shop/web")


def test_ready_once_the_cache_has_what_was_written(consistency: ConsistencyStore, pods: Cache) -> None:
    """Not before, and for good after, also when a relist takes the cache back."""
    consistency.wrote_at("shop/web", "pods", "12")
    assert not consistency.ensure_ready("shop/web")
    pods.resource_version = "11"
    assert not consistency.ensure_ready("shop/web")
    pods.resource_version = "12"
    assert consistency.ensure_ready("shop/web")
    pods.resource_version = "5"
    assert consistency.ensure_ready("shop/web")


def test_versions_are_compared_as_numbers(consistency: ConsistencyStore, pods: Cache) -> None:
    """9 is before 10."""
    consistency.wrote_at("shop/web", "pods", "9")
    assert consistency.ensure_ready("shop/web")
    consistency.wrote_at("shop/web", "pods", "100")
    pods.resource_version = "99"
    assert not consistency.ensure_ready("shop/web")


def test_the_newest_write_counts(consistency: ConsistencyStore, pods: Cache) -> None:
    """Whatever the order in which they are told."""
    consistency.wrote_at("shop/web", "pods", "20")
    consistency.wrote_at("shop/web", "pods", "15")
    pods.resource_version = "17"
    assert not consistency.ensure_ready("shop/web")
    pods.resource_version = "20"
    assert consistency.ensure_ready("shop/web")


def test_every_resource_has_to_be_ready(consistency: ConsistencyStore, pods: Cache, nodes: Cache) -> None:
    """A cache that has arrived does not make up for another."""
    consistency.wrote_at("shop/web", "pods", "12")
    consistency.wrote_at("shop/web", "nodes", "13")
    pods.resource_version = "12"
    assert not consistency.ensure_ready("shop/web")
    nodes.resource_version = "13"
    assert consistency.ensure_ready("shop/web")


def test_owners_wait_for_their_own_writes_only(consistency: ConsistencyStore) -> None:
    """One that has to wait keeps no other."""
    consistency.wrote_at(("shop", "web"), "pods", "12")
    assert not consistency.ensure_ready(("shop", "web"))
    assert consistency.ensure_ready(("shop", "db"))


def test_clear_forgets_an_owner(consistency: ConsistencyStore) -> None:
    """An owner that is gone waits for nothing; clearing one that is not known is harmless."""
    consistency.wrote_at("shop/web", "pods", "12")
    consistency.clear("shop/web")
    consistency.clear("shop/db")
    assert consistency.ensure_ready("shop/web")


@pytest.mark.parametrize("version", ["", None, "abc", "0"], ids=repr)
def test_a_cache_that_has_read_nothing_is_not_ready(consistency: ConsistencyStore, pods: Cache, version: Any) -> None:
    """As long as it cannot say how far it is."""
    pods.resource_version = version
    consistency.wrote_at("shop/web", "pods", "1")
    assert not consistency.ensure_ready("shop/web")


def test_a_write_while_it_is_asked_is_still_waited_for(pods: Cache) -> None:
    """A newer write that comes between looking and forgetting is not forgotten."""

    def reached() -> str:
        if reading:
            reading.pop()
            consistency.wrote_at("shop/web", "pods", "50")
        return "20"

    reading = [True]
    consistency = ConsistencyStore({"pods": reached})
    consistency.wrote_at("shop/web", "pods", "20")
    consistency.ensure_ready("shop/web")
    assert not consistency.ensure_ready("shop/web")


def test_bad_writes_are_refused(consistency: ConsistencyStore) -> None:
    """A resource that is not known, and what is no resourceVersion, are told at once."""
    with pytest.raises(KeyError, match=r"unknown resource 'secrets' \(known are: nodes, pods\)"):
        consistency.wrote_at("shop/web", "secrets", "1")
    for version in ("", "abc", None):
        with pytest.raises(ValueError, match="not a comparable resourceVersion"):
            consistency.wrote_at("shop/web", "pods", version)  # type: ignore[arg-type]
    assert consistency.ensure_ready("shop/web")


def test_what_tells_how_far_a_cache_is() -> None:
    """An informer, a store, a function, or anything with one of the two attributes; nothing else."""
    informer: SharedInformer[Any] = SharedInformer(ListWatch(lambda options: None, lambda options: None))
    indexer: Indexer[Any] = Indexer()
    indexer.bookmark("7")
    stores = {"a": informer, "b": indexer, "c": lambda: "7", "d": SimpleNamespace(resource_version="7")}
    consistency = ConsistencyStore(stores)
    for resource, ready in (("a", False), ("b", True), ("c", True), ("d", True)):
        consistency.wrote_at(resource, resource, "7")
        assert consistency.ensure_ready(resource) is ready
    with pytest.raises(TypeError, match="the store for 'pods' must be an informer, a store or a function, not dict"):
        ConsistencyStore({"pods": {}})
