"""Paths: their forms, and the values at them in JSON, dicts and models."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st
from kubernetes.client import V1Container, V1ObjectMeta, V1Pod, V1PodSpec

from informer import Object, index_by
from informer.objects.entry import Entry
from informer.objects.paths import MISSING, camel_case, find_in_json, get_path, parse_path

KEYS = ["a", "b", "c.d", 'q"', "é", "\\"]


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("spec", ("spec",)),
        ("spec.nodeName", ("spec", "nodeName")),
        (("metadata", "labels", "a.b/c"), ("metadata", "labels", "a.b/c")),
        (("items", 0, -1), ("items", 0, -1)),
    ],
    ids=str,
)
def test_a_path_is_a_dotted_string_or_a_tuple(path: Any, keys: Any) -> None:
    """A string is split at its dots; a tuple is used unchanged."""
    assert parse_path(path) == keys


@pytest.mark.parametrize("path", [["a"], None, 5, b"a", ("a", 1.0), ("a", None), ("a", True)], ids=str)
def test_other_types_are_not_paths(path: Any) -> None:
    """The TypeError says what a path is."""
    with pytest.raises(TypeError, match="a path is a dotted string or a tuple of keys and list indices"):
        parse_path(path)


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", (), ("a", "")], ids=str)
def test_empty_keys_are_refused(path: Any) -> None:
    """An empty key is taken for a typing error."""
    with pytest.raises(ValueError, match="at least one key, and none may be empty"):
        parse_path(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "upper"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=12,
)
ways = st.lists(st.sampled_from([*KEYS, "upper", "real"]) | st.integers(-4, 4), min_size=1, max_size=4).map(tuple)


def walked(value: Any, keys: tuple[str | int, ...]) -> Any:
    for key in keys:
        try:
            if isinstance(key, int) != isinstance(value, list):
                return MISSING
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return MISSING
    return value


@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=4), ways)
def test_a_path_finds_what_indexing_the_dict_finds(value: dict[str, Any], keys: tuple[str | int, ...]) -> None:
    """JSON, the dict and an entry of either give the same value, or MISSING."""
    expected = walked(value, keys)
    raw = json.dumps(value).encode()
    for found in (
        find_in_json(raw, keys),
        get_path(value, keys),
        get_path(Object.from_bytes(raw), keys),
        get_path(Entry("n", "", "", "", value), keys),
    ):
        assert found == expected
        assert (found is MISSING) == (expected is MISSING)


class Container(msgspec.Struct, rename="camel"):
    image_name: str


class Spec(msgspec.Struct, rename="camel"):
    node_name: str = ""
    containers: list[Container] = []
    rest: str | msgspec.UnsetType = msgspec.UNSET


class Pod(msgspec.Struct):
    spec: Spec
    kind: str | None = None


@dataclasses.dataclass
class PlainSpec:
    node_name: str
    containers: list[Any]


@dataclasses.dataclass
class PlainPod:
    spec: PlainSpec
    kind: str | None = None


MODELS = {
    "dict": {"spec": {"nodeName": "w", "containers": [{"imageName": "i"}]}},
    "struct": Pod(Spec("w", [Container("i")])),
    "dataclass": PlainPod(PlainSpec("w", [{"imageName": "i"}])),
    "dict of structs": {"spec": Spec("w", [Container("i")])},
    "anything": SimpleNamespace(spec=SimpleNamespace(nodeName="w", containers=({"imageName": "i"},)), kind=None),
}


@pytest.mark.parametrize("obj", MODELS.values(), ids=MODELS.keys())
def test_paths_use_the_apis_names_in_every_model(obj: Any) -> None:
    """nodeName is found whatever the model calls it; a field that the model leaves empty is MISSING."""
    assert get_path(obj, ("spec", "nodeName")) == "w"
    assert get_path(obj, ("spec", "containers", 0, "imageName")) == "i"
    assert get_path(obj, ("spec", "containers", -1, "imageName")) == "i"
    for nowhere in (("kind",), ("spec", "rest"), ("spec", "nothing"), ("spec", "nodeName", "upper"), ("spec", 0)):
        assert get_path(obj, nowhere) is MISSING
    assert get_path(obj, ("spec", "__class__")) is MISSING
    assert index_by("spec.nodeName")(obj) == ["w"]


def test_paths_work_in_official_models() -> None:
    """Fields are found by the API's names; methods are not fields."""
    pod = V1Pod(
        metadata=V1ObjectMeta(name="a", labels={"app.x/y": "1"}),
        spec=V1PodSpec(node_name="w", containers=[V1Container(name="c", image="i")]),
    )
    assert get_path(pod, ("spec", "nodeName")) == "w"
    assert get_path(pod, ("spec", "containers", 0, "image")) == "i"
    assert get_path(pod, ("metadata", "labels", "app.x/y")) == "1"
    for nowhere in (("spec", "hostname"), ("spec", "to_dict"), ("spec", "attribute_map"), ("status", "phase")):
        assert get_path(pod, nowhere) is MISSING


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("w", ["w"]),
        ("", []),
        (None, []),
        (5, ["5"]),
        (1.5, ["1.5"]),
        (True, ["true"]),
        (False, ["false"]),
        (["a", 1, True, None, "", "b", ["c"], {"d": 1}], ["a", "1", "true", "b"]),
        ([], []),
        ({"a": 1}, []),
    ],
    ids=str,
)
def test_index_by_converts_values_to_text(value: Any, expected: list[str]) -> None:
    """Strings, numbers, booleans and lists of these are indexed; other values are not."""
    function = index_by("spec.x")
    assert function({"spec": {"x": value}}) == expected
    assert function(Object.from_dict({"spec": {"x": value}})) == expected


def test_index_by_leaves_out_objects_without_the_path() -> None:
    """Such an object is not in the index."""
    for obj in ({}, {"spec": None}, {"spec": "w"}, Object.from_bytes(b"{}"), None, "text"):
        assert index_by("spec.nodeName")(obj) == []


def test_index_by_refuses_a_malformed_path() -> None:
    """The error is raised where the index is defined."""
    with pytest.raises(ValueError, match="at least one key"):
        index_by("")
    with pytest.raises(TypeError, match="a path is"):
        index_by(["spec"])  # type: ignore[arg-type]


def test_index_by_has_a_readable_repr() -> None:
    """It shows the call that made it."""
    assert repr(index_by("spec.nodeName")) == "index_by('spec.nodeName')"


@pytest.mark.parametrize(
    ("name", "spelt"), [("node_name", "nodeName"), ("name", "name"), ("api_version", "apiVersion"), ("a_b_c", "aBC")]
)
def test_camel_case_is_the_apis_spelling(name: str, spelt: str) -> None:
    """Words after an underscore get a capital letter."""
    assert camel_case(name) == spelt


def test_missing_has_a_readable_repr() -> None:
    """It shows as MISSING in messages."""
    assert repr(MISSING) == "MISSING"
