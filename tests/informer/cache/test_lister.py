"""Listers: reading the cache by name, labels and index."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from kubernetes.client import V1ObjectMeta, V1Pod

from informer import (
    NAMESPACE_INDEX,
    Indexer,
    IndexNotFoundError,
    KeyFuncError,
    NotFoundError,
    Object,
    meta_namespace_index,
)
from informer.cache.lister import Lister
from informer.objects.entry import Entry, unwrap
from informer.objects.label_selector import NOTHING, parse_selector


def pod(name: str, namespace: str = "", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}}


def names(objects: list[Any]) -> list[str]:
    return sorted(obj["metadata"]["name"] for obj in objects)


@pytest.fixture(params=[False, True], ids=["without the namespace index", "with the namespace index"])
def indexer(request: pytest.FixtureRequest) -> Indexer[Any]:
    """Objects of two namespaces and of none; with and without a namespace index, the answers are the same."""
    indexer: Indexer[Any] = Indexer(indexers={"app": lambda obj: [obj["metadata"]["labels"].get("app", "none")]})
    if request.param:
        indexer.add_indexers({NAMESPACE_INDEX: meta_namespace_index})
    for obj in (
        pod("name-foo", "ns-foo", app="web"),
        pod("name-foo1", "ns-foo", app="db"),
        pod("name-bar", "ns-bar", app="web"),
        pod("name-foo1", app="node"),
    ):
        indexer.add(obj)
    return indexer


@pytest.mark.parametrize(
    ("count", "labelled", "selector", "expected"),
    [(5_000, 500, "match=true", 500), (10_000, 0, None, 10_000), (10_000, 0, "match=true", 0)],
    ids=["some", "everything", "none"],
)
def test_list_all(count: int, labelled: int, selector: str | None, expected: int) -> None:
    """Go: TestListAll. A selector returns the objects whose labels match; no selector returns all."""
    indexer: Indexer[Any] = Indexer()
    items = [pod(f"pod-{n}", "ns", **({"match": "true"} if n < labelled else {"match": "no"})) for n in range(count)]
    indexer.replace(items, "1")
    assert len(Lister(indexer).list(selector)) == expected


def test_get_in_a_namespace(indexer: Indexer[Any]) -> None:
    """Go: TestNamespaceGetMethod. A namespaced lister reads its namespace, and its error names object and namespace."""
    lister = Lister(indexer, "pods").namespaced("ns-foo")
    assert lister.get("name-foo1") == pod("name-foo1", "ns-foo", app="db")
    with pytest.raises(NotFoundError, match='pods "name-bar" not found in namespace "ns-foo"'):
        lister.get("name-bar")
    assert Lister(indexer).get("name-foo1", "ns-foo") == lister.get("name-foo1")
    assert Lister(indexer).get("name-foo1", namespace="ns-foo") == lister.get("name-foo1")


def test_get_without_a_namespace_is_of_cluster_scoped_objects(indexer: Indexer[Any]) -> None:
    """Go: TestListerGetMethod. A bare name only finds an object without a namespace."""
    lister = Lister(indexer, "nodes")
    assert lister.get("name-foo1") == pod("name-foo1", app="node")
    with pytest.raises(NotFoundError, match=r'^nodes "name-foo" not found$'):
        lister.get("name-foo")


def test_list_returns_all(indexer: Indexer[Any]) -> None:
    """Go: TestListerListMethod. The list has the objects of every namespace and belongs to the caller."""
    lister = Lister(indexer)
    everything = lister.list()
    assert names(everything) == ["name-bar", "name-foo", "name-foo1", "name-foo1"]
    everything.clear()
    assert len(lister.list()) == 4


def test_list_by_namespace_and_labels(indexer: Indexer[Any]) -> None:
    """An object must match both; the namespace "" means all namespaces."""
    lister = Lister(indexer)
    assert names(lister.list(namespace="ns-foo")) == ["name-foo", "name-foo1"]
    assert names(lister.list("app=web")) == ["name-bar", "name-foo"]
    assert names(lister.list({"app": "web"}, "ns-bar")) == ["name-bar"]
    assert names(lister.list("app in (web,db),app!=db", namespace="ns-foo")) == ["name-foo"]
    assert len(lister.list(namespace="")) == 4
    assert lister.list(namespace="nothing") == []
    mine = lister.namespaced("ns-foo")
    assert names(mine.list()) == names(mine.list(namespace="")) == ["name-foo", "name-foo1"]
    assert names(mine.list("app=web")) == ["name-foo"]


def test_the_selector_of_nothing_does_not_read_the_store() -> None:
    """client-go source. The selector that matches nothing returns an empty list at once."""
    assert Lister(None).list(NOTHING) == []  # type: ignore[arg-type]


def test_a_malformed_selector_raises(indexer: Indexer[Any]) -> None:
    """The error is raised even if there are no objects to select from."""
    for lister in (Lister(indexer), Lister(Indexer())):
        with pytest.raises(ValueError, match="cannot read the label selector"):
            lister.list("=web")


def test_by_index(indexer: Indexer[Any]) -> None:
    """Returns the objects under a value, of the lister's namespace if it has one."""
    lister = Lister(indexer)
    assert names(lister.by_index("app", "web")) == ["name-bar", "name-foo"]
    assert names(lister.namespaced("ns-foo").by_index("app", "web")) == ["name-foo"]
    assert lister.by_index("app", "nothing") == []
    for asked in (lister, lister.namespaced("ns-foo")):
        with pytest.raises(IndexNotFoundError, match="nothing"):
            asked.by_index("nothing", "x")


def test_objects_of_every_kind_are_selected_by_their_labels() -> None:
    """Dicts, `Object`s and official models are selected by their labels."""
    indexer: Indexer[Any] = Indexer()
    indexer.add(pod("a", "n", app="web"))
    indexer.add(Object.from_dict(pod("b", "n", app="web")))
    indexer.add(V1Pod(metadata=V1ObjectMeta(name="c", namespace="n", labels={"app": "web"})))
    indexer.add(V1Pod(metadata=V1ObjectMeta(name="d", namespace="n")))
    lister = Lister(indexer)
    assert len(lister.list("app=web", "n")) == 3
    assert len(lister.list("!app", "n")) == 1


class Spec(msgspec.Struct):
    node: str


@pytest.mark.parametrize("index", [{}, {NAMESPACE_INDEX: meta_namespace_index}], ids=["scan", "index"])
def test_models_without_metadata_are_selected_by_namespace_but_not_by_labels(index: Any) -> None:
    """The namespace comes from the stored form; selecting by labels raises an error that says what to do."""
    indexer: Indexer[Any] = Indexer(indexers={**index, "node": lambda spec: [spec.node]}, unwrap=unwrap)
    indexer.add(Entry("a", "n", "u", "1", Spec("w")))
    indexer.add(Entry("b", "m", "u", "1", Spec("w")))
    lister = Lister(indexer)
    assert lister.get("a", "n") == Spec("w")
    assert lister.list(namespace="n") == [Spec("w")]
    assert lister.namespaced("n").list() == lister.namespaced("n").by_index("node", "w") == [Spec("w")]
    assert lister.list() == [Spec("w"), Spec("w")]
    with pytest.raises(KeyFuncError, match="object of type Spec has no metadata and so no labels"):
        lister.list("app=web")


def namespaced() -> Indexer[Any]:
    """An index of namespaced objects only."""
    indexer: Indexer[Any] = Indexer()
    for number in range(3):
        indexer.add(pod(f"p{number}", "shop", app="web"))
    return indexer


@pytest.mark.parametrize("where", [None, "shop"])
def test_a_miss_before_the_first_list_says_so(where: str | None) -> None:
    """Not found in an empty cache does not mean deleted (kube-rs#1226)."""
    synced = False
    indexer: Indexer[Any] = Indexer()
    lister = Lister(indexer, "pods", has_synced=lambda: synced)
    for each in (lister, lister.namespaced("shop")):
        with pytest.raises(NotFoundError, match=r'pods "p0" not found.*: the cache has not synced.*wait_for_sync'):
            each.get("p0", where)
    with pytest.raises(NotFoundError, match="the cache has not synced"):
        lister.get("shop/p0")
    synced = True
    with pytest.raises(NotFoundError, match=r'pods "p0" not found( in namespace "shop")?$'):
        lister.get("p0", where)


def test_a_missing_namespace_is_named() -> None:
    """The objects are in namespaces, so a bare name can find none."""
    lister = Lister(namespaced(), "pods", has_synced=lambda: True)
    with pytest.raises(NotFoundError, match=r'pods "p0" not found: pods are namespaced: give namespace='):
        lister.get("p0")


def test_a_key_is_taken_where_no_namespace_is_given() -> None:
    """With one, the message says that a name has no slash."""
    lister = Lister(namespaced(), "pods")
    assert lister.get("shop/p0") == lister.get("p0", "shop")
    with pytest.raises(NotFoundError, match=r'pods "shop/p9" not found$'):
        lister.get("shop/p9")
    with pytest.raises(NotFoundError, match='a name has no "/"'):
        lister.get("shop/p0", namespace="shop")
    with pytest.raises(NotFoundError, match='a name has no "/"'):
        lister.namespaced("shop").get("shop/p0")


def test_a_namespace_given_as_label_selector_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    """The first argument is a label selector; the name of a namespace is a valid one, which matches nothing here."""
    lister = Lister(namespaced(), "pods")
    assert lister.list("shop") == []
    assert (
        "no pods have a label 'shop', which is also the name of a namespace: did you mean list(namespace='shop')?"
        in (caplog.text)
    )
    caplog.clear()
    assert lister.list("other") == lister.list("tier=db") == []
    assert names(lister.list("app")) == ["p0", "p1", "p2"]
    assert caplog.text == ""


def test_label_selector_is_the_name_of_the_argument() -> None:
    """As everywhere else; text, a mapping and a parsed selector mean the same."""
    lister = Lister(namespaced())
    for selector in ("app=web", {"app": "web"}, parse_selector("app=web")):
        assert names(lister.list(label_selector=selector)) == ["p0", "p1", "p2"]


def test_a_listers_repr_says_its_state_and_counts() -> None:
    """The resource, the namespace, how many objects it reads, and whether the cache has synced."""
    lister = Lister(namespaced(), "pods", has_synced=lambda: False)
    assert repr(lister) == "<Lister pods: 3 objects, not synced>"
    assert repr(Lister(namespaced(), "pods").namespaced("none")) == "<Lister pods in namespace none: 0 objects>"
