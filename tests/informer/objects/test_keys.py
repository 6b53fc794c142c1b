"""Keys and metadata of objects in every form that users have them."""

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
    namespaced_name,
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
def test_metadata_of_every_form_of_object(obj: Any) -> None:
    """A dict, an `Object`, an official model and any value with `.metadata` work."""
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
def test_metadata_of_stored_forms(stored: Any) -> None:
    """`Entry` and `Undecodable`, which stand for an object in a cache or queue, have its key."""
    assert meta_namespace_key(stored) == "shop/web"
    assert metadata_of(stored) == Meta("web", "shop", "u-1", "7")
    assert (namespace_of(stored), uid_of(stored), resource_version_of(stored)) == ("shop", "u-1", "7")


def test_labels_of_an_entry_come_from_its_value() -> None:
    """An entry keeps four metadata fields; labels are read from its value."""
    assert labels_of(Entry("web", "shop", "u-1", "7", MODEL)) == {"app": "web"}


def test_cluster_scoped_object_has_its_name_as_key() -> None:
    """client-go source. Without a namespace the key is the name."""
    assert meta_namespace_key({"metadata": {"name": "node-1"}}) == "node-1"
    assert meta_namespace_key({"metadata": {"name": "node-1", "namespace": ""}}) == "node-1"
    assert meta_namespace_key({"metadata": {"name": "node-1", "namespace": None}}) == "node-1"


def test_explicit_key_is_its_own_key() -> None:
    """client-go source. An `ExplicitKey` is returned unchanged, whatever its text."""
    key = meta_namespace_key(ExplicitKey("q/w/e"))
    assert key == "q/w/e"
    assert type(key) is str


@pytest.mark.parametrize(
    "obj",
    ["a string", 5, None, [], {}, {"metadata": None}, object(), SimpleNamespace(metadata=None)],
    ids=["str", "int", "None", "list", "empty dict", "null metadata", "object", "None as metadata"],
)
def test_a_value_without_metadata_has_no_key(obj: Any) -> None:
    """client-go source. The error names the value's type."""
    with pytest.raises(KeyFuncError, match=f"type {type(obj).__name__}: object has no meta"):
        meta_namespace_key(obj)


@pytest.mark.parametrize(
    "metadata",
    [{}, {"name": ""}, {"name": 5}, {"name": None}, "text", 5, ["name"]],
    ids=["empty", "empty name", "number", "null", "text as metadata", "number as metadata", "list as metadata"],
)
def test_metadata_without_a_name_have_no_key(metadata: Any) -> None:
    """A key needs a name that is a string."""
    with pytest.raises(KeyFuncError, match="type dict: its metadata has no name"):
        meta_namespace_key({"metadata": metadata})


def test_a_key_error_shows_no_data() -> None:
    """Data of a Secret never appear in a message."""
    for secret in ({"data": {"token": "hunter2"}}, {"metadata": {"labels": {"x": "hunter2"}}, "data": "hunter2"}):
        with pytest.raises(KeyFuncError) as caught:
            meta_namespace_key(secret)
        assert "hunter2" not in str(caught.value)


def test_labels_of_a_value_without_metadata_raise() -> None:
    """An empty result would silently select the wrong objects."""
    with pytest.raises(KeyFuncError, match="type int has no metadata and so no labels"):
        labels_of(5)


@pytest.mark.parametrize("labels", [None, 5, ["a"], "a=b"], ids=["null", "number", "list", "text"])
def test_malformed_labels_are_empty(labels: Any) -> None:
    """Labels that are not a mapping are ignored."""
    assert labels_of({"metadata": {"name": "a", "labels": labels}}) == {}


def test_a_tombstone_has_the_key_that_it_carries() -> None:
    """Go: TestDeletionHandlingObjectToName. The object in it does not matter."""
    for obj in (POD, None, "nothing"):
        assert deletion_handling_meta_namespace_key(DeletedFinalStateUnknown("ns/name", obj)) == "ns/name"
    assert deletion_handling_meta_namespace_key(POD) == "shop/web"
    with pytest.raises(KeyFuncError):
        meta_namespace_key(DeletedFinalStateUnknown("ns/name", POD))


@pytest.mark.parametrize(
    ("key", "parts"), [("a/b", ("a", "b")), ("a", ("", "a")), ("", ("", "")), ("/a", ("", "a")), ("a/", ("a", ""))]
)
def test_split_returns_namespace_and_name(key: str, parts: tuple[str, str]) -> None:
    """client-go source. The namespace is the part before the only slash, or ""."""
    assert split_meta_namespace_key(key) == parts


def test_split_refuses_two_slashes() -> None:
    """client-go source. A key has at most one slash."""
    with pytest.raises(ValueError, match='unexpected key format: "a/b/c"'):
        split_meta_namespace_key("a/b/c")


def test_random_keys_split_only_with_at_most_one_slash() -> None:
    """Go: TestObjectNames. A text is a key if it has fewer than two slashes, and its parts make the text again."""
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
def test_splitting_reverses_making_a_key(name: str, namespace: str) -> None:
    """Splitting an object's key returns its namespace and name."""
    key = meta_namespace_key({"metadata": {"name": name, "namespace": namespace}})
    assert split_meta_namespace_key(key) == (namespace, name)


@pytest.mark.parametrize(("namespace", "text"), [("shop", "shop/web"), ("", "web")])
def test_namespaced_name_is_the_text_of_a_key(namespace: str, text: str) -> None:
    """Messages and keys name an object in the same way."""
    assert namespaced_name(namespace, "web") == text
    assert meta_namespace_key({"metadata": {"name": "web", "namespace": namespace}}) == text
