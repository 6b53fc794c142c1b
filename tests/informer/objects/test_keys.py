"""Keys and metadata of every kind of object that users have."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st
from kubernetes.client import V1ObjectMeta, V1Pod

from informer import (
    DeletedFinalStateUnknown,
    ExplicitKey,
    KeyFuncError,
    Object,
    deletion_handling_meta_namespace_key,
    meta_namespace_key,
    split_meta_namespace_key,
)
from informer.objects.entry import Entry, Undecodable
from informer.objects.keys import (
    Meta,
    annotations_of,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)

POD = {
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "u-1",
        "resourceVersion": "7",
        "labels": {"app": "web"},
        "annotations": {"note": "x"},
    }
}
MODEL = V1Pod(
    metadata=V1ObjectMeta(
        name="web",
        namespace="shop",
        uid="u-1",
        resource_version="7",
        labels={"app": "web"},
        annotations={"note": "x"},
    )
)
KINDS = {
    "dict": POD,
    "Object": Object.from_dict(POD),
    "official model": MODEL,
    "metadata as a dict": SimpleNamespace(metadata=POD["metadata"]),
    "metadata by the API's names": SimpleNamespace(
        metadata=SimpleNamespace(
            name="web",
            namespace="shop",
            uid="u-1",
            resourceVersion="7",
            labels={"app": "web"},
            annotations={"note": "x"},
        )
    ),
}


@pytest.mark.parametrize("obj", KINDS.values(), ids=KINDS.keys())
def test_every_kind_of_object_tells_its_metadata(obj: Any) -> None:
    """A dict, an `Object`, an official model and anything with `.metadata` are all understood."""
    assert meta_namespace_key(obj) == "shop/web"
    assert metadata_of(obj) == Meta("web", "shop", "u-1", "7")
    assert (name_of(obj), namespace_of(obj), uid_of(obj), resource_version_of(obj)) == ("web", "shop", "u-1", "7")
    assert dict(labels_of(obj)) == {"app": "web"}
    assert dict(annotations_of(obj)) == {"note": "x"}


@pytest.mark.parametrize(
    "stored",
    [Entry("web", "shop", "u-1", "7", POD), Undecodable("web", "shop", "u-1", "7", b"", ValueError("odd"))],
    ids=["entry", "undecodable"],
)
def test_stored_forms_tell_their_metadata(stored: Any) -> None:
    """What stands in a cache or queue for an object has its key."""
    assert meta_namespace_key(stored) == "shop/web"
    assert metadata_of(stored) == Meta("web", "shop", "u-1", "7")
    assert (namespace_of(stored), uid_of(stored), resource_version_of(stored)) == ("shop", "u-1", "7")


def test_labels_of_an_entry_are_those_of_what_it_holds() -> None:
    """An entry keeps four fields; its labels are the object's."""
    assert labels_of(Entry("web", "shop", "u-1", "7", MODEL)) == {"app": "web"}


def test_cluster_scoped_object_has_its_name_as_key() -> None:
    """client-go source. Without a namespace the key is the name."""
    assert meta_namespace_key({"metadata": {"name": "node-1"}}) == "node-1"
    assert meta_namespace_key({"metadata": {"name": "node-1", "namespace": ""}}) == "node-1"
    assert meta_namespace_key({"metadata": {"name": "node-1", "namespace": None}}) == "node-1"


def test_explicit_key_is_its_own_key() -> None:
    """client-go source. An `ExplicitKey` is returned as it is, whatever it looks like."""
    key = meta_namespace_key(ExplicitKey("q/w/e"))
    assert key == "q/w/e"
    assert type(key) is str


@pytest.mark.parametrize(
    "obj",
    ["a string", 5, None, [], {}, {"metadata": None}, object(), SimpleNamespace(metadata=None)],
    ids=["str", "int", "None", "list", "empty dict", "null metadata", "object", "None as metadata"],
)
def test_what_has_no_metadata_is_refused_by_its_type(obj: Any) -> None:
    """client-go source. Something without metadata has no key; the error names its type."""
    with pytest.raises(KeyFuncError, match=f"type {type(obj).__name__}: object has no meta"):
        meta_namespace_key(obj)


@pytest.mark.parametrize(
    "metadata",
    [{}, {"name": ""}, {"name": 5}, {"name": None}, "text", 5, ["name"]],
    ids=["empty", "empty name", "number", "null", "text as metadata", "number as metadata", "list as metadata"],
)
def test_metadata_without_a_name_make_no_key(metadata: Any) -> None:
    """A key needs a name that is text."""
    with pytest.raises(KeyFuncError, match="type dict: its metadata has no name"):
        meta_namespace_key({"metadata": metadata})


def test_a_key_error_shows_nothing_of_the_object() -> None:
    """What a Secret holds is never in a message."""
    for secret in ({"data": {"token": "hunter2"}}, {"metadata": {"labels": {"x": "hunter2"}}, "data": "hunter2"}):
        with pytest.raises(KeyFuncError) as caught:
            meta_namespace_key(secret)
        assert "hunter2" not in str(caught.value)


def test_labels_of_an_object_without_metadata_are_refused() -> None:
    """Objects whose type has no metadata cannot be told by their labels: silence would select the wrong ones."""
    with pytest.raises(KeyFuncError, match="type int has no metadata and so no labels"):
        labels_of(5)


@pytest.mark.parametrize("labels", [None, 5, ["a"], "a=b"], ids=["null", "number", "list", "text"])
def test_odd_labels_are_none(labels: Any) -> None:
    """Labels that are no mapping count as none."""
    assert labels_of({"metadata": {"name": "a", "labels": labels}}) == {}


def test_tombstone_knows_its_key() -> None:
    """Go: TestDeletionHandlingObjectToName. A tombstone's key is the one it carries, whatever its object is."""
    for obj in (POD, None, "nothing"):
        assert deletion_handling_meta_namespace_key(DeletedFinalStateUnknown("ns/name", obj)) == "ns/name"
    assert deletion_handling_meta_namespace_key(POD) == "shop/web"
    with pytest.raises(KeyFuncError):
        meta_namespace_key(DeletedFinalStateUnknown("ns/name", POD))


@pytest.mark.parametrize(
    ("key", "parts"), [("a/b", ("a", "b")), ("a", ("", "a")), ("", ("", "")), ("/a", ("", "a")), ("a/", ("a", ""))]
)
def test_split_gives_namespace_and_name(key: str, parts: tuple[str, str]) -> None:
    """client-go source. A key has at most one slash, before which stands the namespace."""
    assert split_meta_namespace_key(key) == parts


def test_split_refuses_two_slashes() -> None:
    """client-go source. A key with more than one slash is none."""
    with pytest.raises(ValueError, match='unexpected key format: "a/b/c"'):
        split_meta_namespace_key("a/b/c")


def test_random_keys_split_only_with_one_slash_at_most() -> None:
    """Go: TestObjectNames. A text is a key if and only if it has fewer than two slashes, and its parts make it again."""
    generator = random.Random(17)
    for _ in range(500):
        text = "".join(generator.choices("abcdefghi/", k=10))
        if text.count("/") > 1:
            with pytest.raises(ValueError, match="unexpected key format"):
                split_meta_namespace_key(text)
            continue
        namespace, name = split_meta_namespace_key(text)
        again = f"{namespace}/{name}" if namespace else name
        assert again == text.removeprefix("/")


@given(st.text(st.characters(exclude_characters="/"), min_size=1), st.text(st.characters(exclude_characters="/")))
def test_a_key_gives_back_what_it_was_made_of(name: str, namespace: str) -> None:
    """Splitting an object's key gives its namespace and name."""
    key = meta_namespace_key({"metadata": {"name": name, "namespace": namespace}})
    assert split_meta_namespace_key(key) == (namespace, name)
