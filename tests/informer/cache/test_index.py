"""Indices: which objects are found under which value, and what happens when an index function fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from informer import (
    NAMESPACE_INDEX,
    DeletedFinalStateUnknown,
    Delta,
    DeltaType,
    IndexConflictError,
    Indexer,
    IndexFuncError,
    IndexNotFoundError,
    Object,
    index_by,
    meta_namespace_index,
)
from informer.cache.index import Index
from informer.objects.entry import Entry, unwrap
from informer.queues.delta import ReplacedAll


class Item(NamedTuple):
    key: str
    value: str


def splitting() -> Indexer[Item]:
    return Indexer(lambda item: item.key, {"by_value": lambda item: item.value.split(",")})


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}}


def names(objects: list[Any]) -> set[str]:
    found = [obj["metadata"]["name"] for obj in objects]
    assert len(set(found)) == len(found)
    return set(found)


def test_index_values_are_listed_once() -> None:
    """Go: TestGetIndexFuncValues. Each value with an object is listed once."""
    indexer: Indexer[Any] = Indexer(indexers={"foo": lambda obj: [obj["metadata"]["labels"]["foo"]]})
    for name, value in (("one", "bar"), ("two", "bar"), ("tre", "biz")):
        indexer.add(pod(name, labels={"foo": value}))
    assert sorted(indexer.list_index_func_values("foo")) == ["bar", "biz"]


def test_an_object_is_found_under_each_of_its_values() -> None:
    """Go: TestMultiIndexKeys. An object is found under all of its values until they change or it is deleted."""
    indexer: Indexer[Any] = Indexer(
        indexers={"by_user": lambda obj: obj["metadata"]["annotations"]["users"].split(",")}
    )
    for name, users in (("one", "ernie,bert"), ("two", "bert,oscar"), ("tre", "ernie,elmo")):
        indexer.add(pod(name, annotations={"users": users}))
    expected = {"ernie": {"one", "tre"}, "bert": {"one", "two"}, "elmo": {"tre"}, "oscar": {"two"}, "elmo1": set()}
    assert {user: names(indexer.by_index("by_user", user)) for user in expected} == expected
    indexer.delete(pod("tre", annotations={"users": "ernie,elmo"}))
    assert names(indexer.by_index("by_user", "ernie")) == {"one"}
    assert indexer.by_index("by_user", "elmo") == []
    indexer.update(pod("two", annotations={"users": "oscar"}))
    assert names(indexer.by_index("by_user", "bert")) == {"one"}


def test_a_value_without_objects_leaves_nothing_behind() -> None:
    """Go: TestThreadSafeStoreDeleteRemovesEmptySetsFromIndex. Deleting the last object of a value removes the value."""
    indexer = splitting()
    indexer.add(Item("key", "value"))
    assert indexer.list_index_func_values("by_value") == ["value"]
    indexer.delete(Item("key", "value"))
    assert indexer.list_index_func_values("by_value") == []


def test_a_value_stays_while_it_has_an_object() -> None:
    """Go: TestThreadSafeStoreAddKeepsNonEmptySetPostDeleteFromIndex. A value keeps its other objects."""
    indexer = splitting()
    indexer.add(Item("one", "value"))
    indexer.add(Item("two", "value"))
    indexer.delete(Item("one", ""))
    assert indexer.index_keys("by_value", "value") == ["two"]


def test_changing_sets_of_values() -> None:
    """Go: TestThreadSafeStoreIndexingFunctionsWithMultipleValues. Each state of an object adds and removes values."""
    indexer = splitting()

    def keys(*values: str) -> list[list[str]]:
        return [indexer.index_keys("by_value", value) for value in values]

    indexer.add(Item("key1", "foo"))
    indexer.add(Item("key2", "bar"))
    assert keys("foo", "bar") == [["key1"], ["key2"]]
    indexer.update(Item("key2", "foo,bar"))
    assert keys("foo", "bar") == [["key1", "key2"], ["key2"]]
    indexer.update(Item("key1", "foo,bar"))
    assert keys("foo", "bar") == [["key1", "key2"], ["key1", "key2"]]
    indexer.add(Item("key3", "foo,bar,baz"))
    assert keys("foo", "bar", "baz") == [["key1", "key2", "key3"], ["key1", "key2", "key3"], ["key3"]]
    indexer.update(Item("key1", "foo"))
    assert keys("foo", "bar", "baz") == [["key1", "key2", "key3"], ["key2", "key3"], ["key3"]]
    indexer.update(Item("key2", "bar"))
    assert keys("foo", "bar", "baz") == [["key1", "key3"], ["key2", "key3"], ["key3"]]
    indexer.delete(Item("key1", ""))
    assert keys("foo", "bar", "baz") == [["key3"], ["key2", "key3"], ["key3"]]
    indexer.delete(Item("key3", ""))
    assert keys("foo", "bar", "baz") == [[], ["key2"], []]


@pytest.mark.parametrize(
    "ask",
    [
        lambda indexer: indexer.index("nothing", Item("a", "b")),
        lambda indexer: indexer.index_keys("nothing", "b"),
        lambda indexer: indexer.by_index("nothing", "b"),
        lambda indexer: indexer.list_index_func_values("nothing"),
    ],
    ids=["index", "index_keys", "by_index", "list_index_func_values"],
)
def test_an_unknown_index_is_an_error_everywhere(ask: Callable[[Indexer[Item]], object]) -> None:
    """client-go source, except that listing values raises too. The message lists the known indices."""
    indexer = splitting()
    with pytest.raises(IndexNotFoundError, match=r"Index with name nothing does not exist \(there are: by_value\)"):
        ask(indexer)
    with pytest.raises(IndexNotFoundError, match=r"Index with name nothing does not exist \(there are: none\)"):
        ask(Indexer(lambda item: item.key))


def test_keys_of_an_index_are_sorted() -> None:
    """client-go source. `index_keys` is sorted, in whatever order the objects were written."""
    indexer = splitting()
    for key in "cabed":
        indexer.add(Item(key, "x"))
    assert indexer.index_keys("by_value", "x") == ["a", "b", "c", "d", "e"]


def test_index_finds_what_shares_a_value() -> None:
    """client-go source. Every object that has a value in common is found, once; `obj` itself need not be stored."""
    indexer = splitting()
    for item in (Item("a", "x,y"), Item("b", "y,z"), Item("c", "z"), Item("d", "q")):
        indexer.add(item)
    assert sorted(indexer.index("by_value", Item("other", "x,y"))) == [Item("a", "x,y"), Item("b", "y,z")]
    assert sorted(indexer.index("by_value", Item("other", "y,z"))) == [
        Item("a", "x,y"),
        Item("b", "y,z"),
        Item("c", "z"),
    ]
    assert indexer.index("by_value", Item("other", "nothing")) == []


def test_namespace_index() -> None:
    """client-go source. The index is named "namespace"; cluster-scoped objects are under ""."""
    assert NAMESPACE_INDEX == "namespace"
    indexer: Indexer[Any] = Indexer(indexers={NAMESPACE_INDEX: meta_namespace_index})
    for obj in (pod("a", namespace="n"), Object.from_dict(pod("b", namespace="n")), pod("c")):
        indexer.add(obj)
    assert indexer.index_keys("namespace", "n") == ["n/a", "n/b"]
    assert indexer.index_keys("namespace", "") == ["c"]


# What index functions may give


@pytest.mark.parametrize(
    ("give", "expected"),
    [
        (lambda: (), []),
        (lambda: ["a"], ["a"]),
        (lambda: ["a", "b", "a"], ["a", "b"]),
        (lambda: ("a", "b"), ["a", "b"]),
        (lambda: {"a": 1, "b": 2}, ["a", "b"]),
        (lambda: iter(["a", "b"]), ["a", "b"]),
        (lambda: (letter for letter in "ab"), ["a", "b"]),
        (lambda: [""], [""]),
    ],
    ids=["none", "one", "twice the same", "tuple", "mapping", "iterator", "generator", "empty text"],
)
def test_an_index_function_may_return_any_iterable(give: Callable[[], Any], expected: list[Any]) -> None:
    """A value that occurs several times counts once."""
    indexer: Indexer[Any] = Indexer(indexers={"i": lambda obj: give()})
    indexer.add(pod("a"))
    assert indexer.list_index_func_values("i") == expected
    for value in expected:
        assert indexer.index_keys("i", value) == ["a"]


def fails(obj: Any) -> list[str]:
    raise ValueError("no such field")


def half_way(obj: Any) -> Iterator[str]:
    yield "a"
    raise ValueError("no such field")


BAD: list[tuple[Callable[[Any], Any], str]] = [
    (fails, "no such field"),
    (half_way, "no such field"),
    (lambda obj: "text", "the index function returned a value of type str, a list of strings is needed"),
    (lambda obj: 5, "the index function returned a value of type int, a list of strings is needed"),
    (lambda obj: None, "the index function returned None, a list is needed: return [] for an object without values"),
    (lambda obj: [5], "returned a value of type int, all values must be strings"),
    (lambda obj: [None], "returned a value of type NoneType, all values must be strings"),
    (lambda obj: ["a", None], "returned a value of type NoneType, all values must be strings"),
    (lambda obj: [["unhashable"]], "unhashable type: 'list'"),
    (lambda obj: [["a"], ["b"]], "unhashable type: 'list'"),
]
BAD_IDS = [
    "raises",
    "raises half-way",
    "text",
    "number",
    "None",
    "list with a number",
    "list with None",
    "list that ends with None",
    "unhashable",
    "unhashables",
]


@pytest.mark.parametrize(("function", "problem"), BAD, ids=BAD_IDS)
@pytest.mark.parametrize(
    "write",
    [
        lambda indexer: indexer.add(pod("b")),
        lambda indexer: indexer.update(pod("a", uid="new")),
        lambda indexer: indexer.replace([pod("b")], "9"),
        lambda indexer: indexer.apply([Delta(DeltaType.ADDED, pod("b")), Delta(DeltaType.DELETED, pod("a"))]),
    ],
    ids=["add", "update", "replace", "apply"],
)
def test_a_failing_index_function_fails_the_write(
    write: Callable[[Indexer[Any]], object], function: Callable[[Any], Any], problem: str
) -> None:
    """client-go source. The error has key, index and cause; the store and its indices do not change."""
    broken = False
    indexer: Indexer[Any] = Indexer(
        indexers={"good": lambda obj: ["x"], "bad": lambda obj: function(obj) if broken else ["y"]}
    )
    indexer.add(pod("a"))
    broken = True
    with pytest.raises(
        IndexFuncError, match=r'unable to calculate an index entry for key "[ab]" on index "bad": '
    ) as raised:
        write(indexer)
    assert problem in str(raised.value)
    assert raised.value.__cause__ is not None
    assert indexer.list() == indexer.by_index("good", "x") == indexer.by_index("bad", "y") == [pod("a")]
    assert indexer.resource_version == ""
    indexer.delete(pod("a"))
    assert indexer.list() == []


def test_index_of_an_object_whose_function_fails() -> None:
    """`index` raises if the index function fails for the given object."""
    broken = False
    indexer: Indexer[Any] = Indexer(indexers={"i": lambda obj: fails(obj) if broken else ["y"]})
    broken = True
    with pytest.raises(IndexFuncError, match='on index "i": no such field'):
        indexer.index("i", pod("a"))


@pytest.mark.parametrize(("function", "problem"), BAD, ids=BAD_IDS)
def test_with_an_error_handler_the_object_is_left_out_of_that_index(function: Any, problem: str) -> None:
    """As in an informer, the handler gets index, key and exception, and the write goes on."""
    reported: list[tuple[str, str, str]] = []
    indexer: Indexer[Any] = Indexer(
        indexers={"good": lambda obj: ["x"], "bad": function},
        on_index_error=lambda name, key, error: reported.append((name, key, str(error))),
    )
    indexer.replace([pod("a"), pod("b")], "1")
    indexer.add(pod("c"))
    assert sorted(indexer.index_keys("good", "x")) == ["a", "b", "c"]
    assert indexer.list_index_func_values("bad") == []
    assert [(name, key) for name, key, _ in reported] == [("bad", "a"), ("bad", "b"), ("bad", "c")]
    assert all(problem in text for _, _, text in reported)


def test_an_object_that_can_be_indexed_again_comes_back() -> None:
    """An object is left out of the index until its next state."""
    indexer: Indexer[Any] = Indexer(
        indexers={"node": lambda obj: [obj["node"]]}, on_index_error=lambda name, key, error: None
    )
    indexer.add(pod("a") | {"node": "w"})
    indexer.update(pod("a"))
    assert indexer.by_index("node", "w") == []
    indexer.update(pod("a") | {"node": "w"})
    assert indexer.index_keys("node", "w") == ["a"]


def test_an_object_that_cannot_be_unwrapped_is_left_out_of_indices() -> None:
    """The object is stored all the same; only indices that need its user form leave it out."""
    reported: list[tuple[str, str]] = []

    def unreadable(item: Any) -> Any:
        raise ValueError("does not decode")

    indexer: Indexer[Any] = Indexer(
        indexers={"own": lambda obj: ["x"], "path": index_by("spec.node"), NAMESPACE_INDEX: meta_namespace_index},
        unwrap=unreadable,
        on_index_error=lambda name, key, error: reported.append((name, key)),
    )
    indexer.add(Object.from_dict({"metadata": {"name": "a", "namespace": "n"}, "spec": {"node": "w"}}))
    assert list(indexer) == ["n/a"]
    assert reported == [("own", "n/a")]
    assert indexer.index_keys("path", "w") == indexer.index_keys(NAMESPACE_INDEX, "n") == ["n/a"]


# Which objects are asked


class Spec(msgspec.Struct):
    node: str


class Model(msgspec.Struct):
    spec: Spec


def test_ready_index_functions_need_no_metadata_in_a_model() -> None:
    """`index_by` and the namespace index read the stored form, whatever fields the model has."""
    indexer: Indexer[Any] = Indexer(
        indexers={NAMESPACE_INDEX: meta_namespace_index, "node": index_by("spec.node")}, unwrap=unwrap
    )
    indexer.add(Entry("a", "n", "u", "1", Model(Spec("w"))))
    assert indexer.by_index(NAMESPACE_INDEX, "n") == indexer.by_index("node", "w") == [Model(Spec("w"))]


def test_an_object_is_unwrapped_once_for_all_index_functions() -> None:
    """A model is decoded once per state, and not at all for the ready index functions."""
    shown: list[str] = []

    def show(item: Any) -> Any:
        shown.append(item.name)
        return item.to_dict()

    indexer: Indexer[Any] = Indexer(
        indexers={"node": index_by("spec.node"), NAMESPACE_INDEX: meta_namespace_index}, unwrap=show
    )
    indexer.add(Object.from_dict(pod("a")))
    assert shown == []
    indexer.add_indexers({"one": lambda obj: [obj["metadata"]["name"]], "two": lambda obj: ["x"]})
    assert shown == ["a"]
    indexer.add(Object.from_dict(pod("b")))
    assert shown == ["a", "b"]


def test_index_functions_are_called_once_per_state() -> None:
    """An index function is not called for objects that are deleted or unchanged."""
    asked: list[str] = []

    def value(obj: Any) -> list[str]:
        asked.append(obj["metadata"]["name"] + obj["metadata"]["resourceVersion"])
        return ["x"]

    indexer: Indexer[Any] = Indexer(indexers={"i": value})

    def asked_by(write: Callable[[], object]) -> list[str]:
        asked.clear()
        write()
        return asked

    a1, a2 = pod("a", uid="u", resourceVersion="1"), pod("a", uid="u", resourceVersion="2")
    b1 = pod("b", uid="v", resourceVersion="1")
    assert asked_by(lambda: indexer.add(a1)) == ["a1"]
    assert asked_by(lambda: indexer.update(a2)) == ["a2"]
    assert asked_by(lambda: indexer.replace([a2, b1], "3")) == ["b1"]
    assert asked_by(lambda: indexer.replace([dict(a2)], "4")) == []
    assert asked_by(lambda: indexer.delete(a2)) == []
    assert asked_by(lambda: indexer.delete(DeletedFinalStateUnknown("b", None))) == []
    assert asked_by(lambda: indexer.bookmark("9")) == []
    assert asked_by(indexer.resync) == []


def test_a_list_after_other_changes_of_its_batch_is_indexed_correctly() -> None:
    """A batch may delete an object and then list it again in the same state."""
    obj = pod("a", uid="u", resourceVersion="1")
    indexer: Indexer[Any] = Indexer(indexers={"i": lambda obj: ["x"]})
    indexer.add(obj)
    relist = Delta(DeltaType.REPLACED_ALL, ReplacedAll([dict(obj)], "3"))
    indexer.apply([Delta(DeltaType.DELETED, obj), Delta(DeltaType.BOOKMARK, "2"), relist, relist])
    assert indexer.index_keys("i", "x") == ["a"]


# Adding indices


def test_new_indices_contain_the_stored_objects() -> None:
    """client-go source. `add_indexers` on a store with objects indexes them before it returns."""
    indexer = splitting()
    indexer.add(Item("a", "x,y"))
    indexer.add_indexers({"by_key": lambda item: [item.key], "length": lambda item: [str(len(item.value))]})
    assert indexer.index_keys("by_key", "a") == indexer.index_keys("length", "3") == ["a"]
    indexer.add(Item("b", "z"))
    assert indexer.index_keys("by_key", "b") == ["b"]
    assert sorted(indexer.indexers) == ["by_key", "by_value", "length"]


def test_a_name_that_is_taken_adds_nothing() -> None:
    """client-go source. A conflict names the indices, and no index of the call is added."""
    indexer = splitting()
    function = indexer.indexers["by_value"]
    with pytest.raises(IndexConflictError, match=r"^indexer conflict: by_value$"):
        indexer.add_indexers({"new": lambda item: [], "by_value": lambda item: []})
    assert indexer.indexers == {"by_value": function}
    with pytest.raises(IndexNotFoundError):
        indexer.by_index("new", "x")


def test_an_index_function_that_fails_for_a_stored_object_adds_nothing() -> None:
    """No index of the call is added, writes go on, and the names stay free."""
    indexer = splitting()
    indexer.add(Item("a", "x"))
    with pytest.raises(IndexFuncError, match='for key "a" on index "bad": no such field'):
        indexer.add_indexers({"good": lambda item: ["x"], "bad": fails})
    assert list(indexer.indexers) == ["by_value"]
    indexer.add(Item("b", "y"))
    indexer.add_indexers({"good": lambda item: ["x"]})
    assert indexer.index_keys("good", "x") == ["a", "b"]


def test_an_index_function_has_to_be_callable() -> None:
    """`add_indexers` raises a TypeError at once."""
    with pytest.raises(TypeError, match="the index function of 'node' must be callable, not str"):
        Indexer(indexers={"node": "spec.nodeName"})  # type: ignore[dict-item]
    with pytest.raises(
        TypeError, match="indexers are a mapping of names to index functions, not a list: name the index"
    ):
        Indexer(indexers=[str])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the index function of 'node' must be callable, not NoneType"):
        splitting().add_indexers({"node": None})  # type: ignore[dict-item]


def test_indexers_is_a_copy() -> None:
    """Changing the returned mapping does not change any index."""
    indexer = splitting()
    indexer.indexers.clear()
    assert list(indexer.indexers) == ["by_value"]


def test_a_single_value_is_held_once() -> None:
    """Objects with the same single value share one tuple: a million pods are on few nodes."""
    index = Index("node", lambda obj: ["w"])
    for key in "ab":
        index.set(key, key, index.values_of(key, key, None))
    assert index.known_values("a") is index.known_values("b")
