"""Waiting until the caches show a controller's own writes."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from informer import ConsistencyStore, Indexer, ListWatch, SharedInformer
from informer.testing import FakeControllerSource
from tests.support.waiting import DEADLINE, Task


class Cache:
    """A cache whose resourceVersion the test sets."""

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
    """Without a write there is nothing to wait for."""
    assert consistency.ensure_ready("shop/web")


def test_an_owner_is_ready_once_the_cache_has_its_write(consistency: ConsistencyStore, pods: Cache) -> None:
    """Readiness starts when the cache reaches the write, and lasts even if a relist sets the cache back."""
    consistency.wrote_at("shop/web", "pods", "12")
    assert not consistency.ensure_ready("shop/web")
    pods.resource_version = "11"
    assert not consistency.ensure_ready("shop/web")
    pods.resource_version = "12"
    assert consistency.ensure_ready("shop/web")
    pods.resource_version = "5"
    assert consistency.ensure_ready("shop/web")


def test_versions_are_compared_as_numbers(consistency: ConsistencyStore, pods: Cache) -> None:
    """Version 9 is older than version 10."""
    consistency.wrote_at("shop/web", "pods", "9")
    assert consistency.ensure_ready("shop/web")
    consistency.wrote_at("shop/web", "pods", "100")
    pods.resource_version = "99"
    assert not consistency.ensure_ready("shop/web")


def test_the_newest_write_counts(consistency: ConsistencyStore, pods: Cache) -> None:
    """The newest of several writes decides, in whatever order they are recorded."""
    consistency.wrote_at("shop/web", "pods", "20")
    consistency.wrote_at("shop/web", "pods", "15")
    pods.resource_version = "17"
    assert not consistency.ensure_ready("shop/web")
    pods.resource_version = "20"
    assert consistency.ensure_ready("shop/web")


def test_every_resource_has_to_be_ready(consistency: ConsistencyStore, pods: Cache, nodes: Cache) -> None:
    """An owner that wrote two resources waits for both caches."""
    consistency.wrote_at("shop/web", "pods", "12")
    consistency.wrote_at("shop/web", "nodes", "13")
    pods.resource_version = "12"
    assert not consistency.ensure_ready("shop/web")
    nodes.resource_version = "13"
    assert consistency.ensure_ready("shop/web")


def test_owners_wait_for_their_own_writes_only(consistency: ConsistencyStore) -> None:
    """An owner that has to wait does not delay another owner."""
    consistency.wrote_at(("shop", "web"), "pods", "12")
    assert not consistency.ensure_ready(("shop", "web"))
    assert consistency.ensure_ready(("shop", "db"))


def test_clear_forgets_an_owner(consistency: ConsistencyStore) -> None:
    """A cleared owner is ready at once; clearing an unknown owner is harmless."""
    consistency.wrote_at("shop/web", "pods", "12")
    consistency.clear("shop/web")
    consistency.clear("shop/db")
    assert consistency.ensure_ready("shop/web")


@pytest.mark.parametrize("version", ["", None, "abc", "0"], ids=repr)
def test_a_cache_that_has_read_nothing_is_not_ready(consistency: ConsistencyStore, pods: Cache, version: Any) -> None:
    """A cache without a comparable resourceVersion has not reached any write."""
    pods.resource_version = version
    consistency.wrote_at("shop/web", "pods", "1")
    assert not consistency.ensure_ready("shop/web")


def test_a_write_recorded_during_the_check_is_kept(pods: Cache) -> None:
    """A newer write that is recorded while `ensure_ready` runs is still waited for."""

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
    """An unknown resource and a malformed resourceVersion raise at once."""
    with pytest.raises(KeyError, match=r"unknown resource 'secrets' \(known are: nodes, pods\)"):
        consistency.wrote_at("shop/web", "secrets", "1")
    for version in ("", "abc", None):
        with pytest.raises(ValueError, match="not a comparable resourceVersion"):
            consistency.wrote_at("shop/web", "pods", version)  # type: ignore[arg-type]
    assert consistency.ensure_ready("shop/web")


def test_stores_may_be_informers_stores_or_functions() -> None:
    """An informer, a store, a function, or an object with one of the two attributes is accepted, and nothing else."""
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


class Owner:
    """An owner that can be referred to weakly."""


@pytest.mark.parametrize("forget", ["ready", "clear"])
def test_an_owner_is_forgotten_with_its_last_write(consistency: ConsistencyStore, pods: Cache, forget: str) -> None:
    """A controller works on a million owners in its life: nothing of one stays after its writes were seen."""
    owner = Owner()
    alive = weakref.ref(owner)
    consistency.wrote_at(owner, "pods", "11")
    assert not consistency.ensure_ready(owner)
    pods.resource_version = "11"
    if forget == "ready":
        assert consistency.ensure_ready(owner)
    else:
        consistency.clear(owner)
    del owner
    gc.collect()
    assert alive() is None


def test_a_write_counts_in_its_own_namespace() -> None:
    """KEP-5647. An informer of several namespaces shows the write though the quiet ones have not reached its version."""
    source = FakeControllerSource(namespaces=["one", "two"])
    with SharedInformer(source, watch_list=False) as informer:
        consistency = ConsistencyStore({"pods": informer})
        assert informer.wait_for_sync(DEADLINE)
        assert source.wait_for_watches(2)
        written = source.add({"metadata": {"name": "a", "namespace": "one"}})
        version = written["metadata"]["resourceVersion"]
        consistency.wrote_at("by-object", "pods", written)
        consistency.wrote_at("by-namespace", "pods", version, namespace="one")
        consistency.wrote_at("by-version", "pods", version)
        assert informer.wait_until(lambda: consistency.ensure_ready("by-object"), DEADLINE)
        assert consistency.ensure_ready("by-namespace")
        assert not consistency.ensure_ready("by-version")
        source.bookmark()
        assert informer.wait_until(lambda: consistency.ensure_ready("by-version"), DEADLINE)
        with pytest.raises(ValueError, match="does not follow namespace 'three'"):
            consistency.wrote_at("web", "pods", "1", namespace="three")


def test_writes_in_different_namespaces_are_kept_apart() -> None:
    """A newer write elsewhere does not stand for an older one here."""
    source = FakeControllerSource(namespaces=["one", "two"])
    with SharedInformer(source, watch_list=False) as informer:
        consistency = ConsistencyStore({"pods": informer})
        assert informer.wait_for_sync(DEADLINE)
        assert source.wait_for_watches(2)
        consistency.wrote_at("web", "pods", "2", namespace="two")
        consistency.wrote_at("web", "pods", source.add({"metadata": {"name": "a", "namespace": "one"}}))
        assert informer.wait_for_resource_version("1", DEADLINE, namespace="one")
        assert not consistency.ensure_ready("web")
        source.add({"metadata": {"name": "b", "namespace": "two"}})
        assert informer.wait_until(lambda: consistency.ensure_ready("web"), DEADLINE)


def test_an_object_of_the_server_may_be_given_for_its_version(consistency: ConsistencyStore, pods: Cache) -> None:
    """With a store, too; its namespace then does not matter."""
    consistency.wrote_at("web", "pods", {"metadata": {"name": "a", "namespace": "x", "resourceVersion": "12"}})
    assert not consistency.ensure_ready("web")
    pods.resource_version = "12"
    assert consistency.ensure_ready("web")


@pytest.mark.parametrize("way", ["wrote_at", "ensure_ready", "clear"])
def test_each_method_waits_for_the_lock(consistency: ConsistencyStore, way: str) -> None:
    """Without the lock, a write that is recorded while its owner is forgotten could be lost."""
    calls: dict[str, tuple[Any, ...]] = {"wrote_at": ("web", "pods", "1"), "ensure_ready": ("web",), "clear": ("web",)}
    with consistency._lock:
        task = Task(getattr(consistency, way), calls[way])
        assert not task.ends_within(0.02)
    task.result()
