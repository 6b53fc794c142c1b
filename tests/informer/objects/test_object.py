"""`Object`: lazily decoded, read-only, and safe with anything that a server sends."""

from __future__ import annotations

import copy
import dataclasses
import gc
import json
import pickle
import tracemalloc
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import given, strategies as st
from kubernetes.client import V1ManagedFieldsEntry, V1ObjectMeta, V1Pod

from informer import Object, strip_managed_fields

SECRET: dict[str, Any] = {
    "kind": "Secret",
    "apiVersion": "v1",
    "metadata": {
        "name": "token",
        "namespace": "shop",
        "uid": "u-1",
        "resourceVersion": "7",
        "generation": 3,
        "creationTimestamp": "2026-11-24T10:00:00Z",
        "deletionTimestamp": "2026-11-24T11:00:00Z",
        "labels": {"app.kubernetes.io/name": "web", "tier": "db"},
        "annotations": {"note": "x"},
        "ownerReferences": [{"kind": "Deployment", "name": "web", "uid": "u-0", "controller": True}],
        "managedFields": [{"manager": "kubectl"}],
    },
    "data": {"key": "hunter2", "more": {"deep": ["hunter2", {"x": 1}]}},
}


@pytest.fixture
def secret() -> Object:
    return Object.from_dict(SECRET)


# Reading


def test_identity_fields_are_attributes(secret: Object) -> None:
    """Name, namespace, uid and resourceVersion are decoded when the object is made."""
    assert (secret.name, secret.namespace, secret.uid, secret.resource_version) == ("token", "shop", "u-1", "7")


def test_metadata_are_decoded_on_demand(secret: Object) -> None:
    """Labels, annotations, owners, timestamps, generation, kind and apiVersion are decoded when they are read."""
    assert secret.labels == {"app.kubernetes.io/name": "web", "tier": "db"}
    assert secret.annotations == {"note": "x"}
    assert secret.owner_references == [{"kind": "Deployment", "name": "web", "uid": "u-0", "controller": True}]
    assert secret.creation_timestamp == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert secret.deletion_timestamp == datetime(2026, 11, 24, 11, tzinfo=UTC)
    assert secret.generation == 3
    assert (secret.kind, secret.api_version) == ("Secret", "v1")


def test_missing_fields_are_empty() -> None:
    """An object without metadata has empty labels, annotations and the like."""
    obj = Object.from_bytes(b"{}")
    assert (obj.name, obj.namespace, obj.uid, obj.resource_version, obj.kind, obj.api_version) == ("",) * 6
    assert (obj.labels, obj.annotations, obj.owner_references) == ({}, {}, [])
    assert (obj.creation_timestamp, obj.deletion_timestamp, obj.generation) == (None, None, None)


def test_an_object_is_a_mapping_of_its_top_level_fields(secret: Object) -> None:
    """It reads like a dict: keys, values, items, get, in, len, iteration, ** and pattern matching."""
    assert isinstance(secret, Mapping)
    assert secret["data"] == SECRET["data"]
    assert list(secret) == list(secret.keys()) == list(SECRET)
    assert dict(secret.items()) == dict(secret) == {**secret} == SECRET
    assert list(secret.values()) == list(SECRET.values())
    assert len(secret) == len(SECRET)
    assert "data" in secret
    assert "spec" not in secret
    assert secret.get("spec") is None
    assert secret.get("spec", 5) == 5
    with pytest.raises(KeyError, match="spec"):
        secret["spec"]
    match secret:
        case {"kind": "Secret", "data": {"key": value}}:
            assert value == "hunter2"
        case _:
            pytest.fail("it did not match")


@pytest.mark.parametrize("key", [5, None, ("metadata", "name"), "a.b", "\ud800", 'a"b', "a\\b", "\n", ""])
def test_unknown_keys_are_missing(secret: Object, key: Any) -> None:
    """Any key can be looked up; a path is not a key."""
    assert secret.get(key, "none") == "none"
    assert key not in secret
    with pytest.raises(KeyError):
        secret[key]


def test_keys_that_json_escapes_are_found() -> None:
    """A key is found however the JSON escapes it."""
    obj = Object.from_dict({'a"b': 1, "c\\d": 2, "é": 3, "\n": {"x": 4}})
    assert (obj['a"b'], obj["c\\d"], obj["é"], obj.at(("\n", "x"))) == (1, 2, 3, 4)
    assert Object.from_bytes(b'{"meta\\u0064ata":{"name":"esc"}}')["metadata"] == {"name": "esc"}


def test_an_object_is_always_true() -> None:
    """Even an empty object is truthy."""
    assert Object.from_bytes(b"{}")


def test_at_takes_dotted_strings_and_tuples(secret: Object) -> None:
    """A path is a dotted string, or a tuple for keys with dots and for list indices."""
    assert secret.at("metadata.name") == "token"
    assert secret.at(("metadata", "labels", "app.kubernetes.io/name")) == "web"
    assert secret.at(("metadata", "ownerReferences", 0, "name")) == "web"
    assert secret.at(("data", "more", "deep", -1, "x")) == 1
    assert secret.at(("data",)) == SECRET["data"]


@pytest.mark.parametrize(
    "path",
    [
        "spec",
        "metadata.nothing",
        "metadata.name.more",
        "metadata.name.upper",
        "metadata.generation.real",
        "metadata.labels.app.kubernetes.io/name",
        "data.more.deep.0",
        ("data", 0),
        ("data", "more", "deep", 2),
        ("data", "more", "deep", -3),
        ("data", "more", "deep", 10**30),
        ("data", "more", "deep", 0, "x"),
        ("data", "\ud800"),
        ("kind", "__class__"),
    ],
    ids=str,
)
def test_at_returns_the_default_for_a_missing_value(secret: Object, path: Any) -> None:
    """Only JSON is searched: attributes of Python objects are not found."""
    assert secret.at(path) is None
    assert secret.at(path, default="none") == "none"


def test_at_returns_none_for_null() -> None:
    """A null is a value, so the default is not used."""
    assert Object.from_bytes(b'{"spec":{"nodeName":null}}').at("spec.nodeName", "none") is None


def test_remembering_the_place_of_the_metadata_changes_no_result(secret: Object) -> None:
    """Paths in the metadata give the same values before and after the first read."""
    before = [secret.at("metadata.name"), secret.at("metadata.labels"), secret.at("metadata")]
    assert secret.labels
    after = [secret.at("metadata.name"), secret.at("metadata.labels"), secret.at("metadata")]
    assert before == after == ["token", SECRET["metadata"]["labels"], SECRET["metadata"]]


def test_view_decodes_to_a_type_that_names_some_fields(secret: Object) -> None:
    """A struct, a dataclass (in snake case) or a TypedDict gets the fields that it names."""

    assert secret.view(Struct) == Struct(Meta("7"))
    assert secret.view(Versioned) == Versioned("v1", Versions("7"))
    assert secret.view(Named) == {"kind": "Secret"}


class Meta(msgspec.Struct, rename="camel"):
    resource_version: str


class Struct(msgspec.Struct):
    metadata: Meta


class Deployed(msgspec.Struct):
    spec: dict[str, Any]


@dataclasses.dataclass
class Versions:
    resource_version: str


@dataclasses.dataclass
class Versioned:
    api_version: str
    metadata: Versions


class Named(TypedDict):
    kind: str


def test_view_raises_when_the_object_does_not_fit(secret: Object) -> None:
    """The error names a missing field; another kind of type raises TypeError."""
    with pytest.raises(msgspec.ValidationError, match="spec"):
        secret.view(Deployed)
    with pytest.raises(TypeError, match=r"must be a msgspec.Struct, dataclass or TypedDict, not <class 'dict'>"):
        secret.view(dict)


def test_to_dict_returns_a_copy(secret: Object) -> None:
    """The copy is a plain dict; changing it changes nothing else."""
    mine = secret.to_dict()
    assert mine == SECRET
    assert type(mine["metadata"]["ownerReferences"][0]) is dict
    mine["metadata"]["labels"]["tier"] = "cache"
    assert secret.labels["tier"] == "db"
    assert secret.to_dict() == SECRET


# Read-only

CHANGES: list[Callable[[Object], Any]] = [
    lambda o: o.__setitem__("spec", {}),
    lambda o: o.__delitem__("data"),
    lambda o: o["data"].__setitem__("key", "x"),
    lambda o: o["data"].__delitem__("key"),
    lambda o: o["data"].update(key="x"),
    lambda o: o["data"].pop("key"),
    lambda o: o["data"].popitem(),
    lambda o: o["data"].clear(),
    lambda o: o["data"].setdefault("new", 1),
    lambda o: o["data"].__ior__({"new": 1}),
    lambda o: o["data"]["more"]["deep"].append(1),
    lambda o: o["data"]["more"]["deep"].__setitem__(0, 1),
    lambda o: o["data"]["more"]["deep"].__delitem__(0),
    lambda o: o["data"]["more"]["deep"].__iadd__([1]),
    lambda o: o["data"]["more"]["deep"].__imul__(2),
    lambda o: o["data"]["more"]["deep"].extend([1]),
    lambda o: o["data"]["more"]["deep"].insert(0, 1),
    lambda o: o["data"]["more"]["deep"].pop(),
    lambda o: o["data"]["more"]["deep"].remove("hunter2"),
    lambda o: o["data"]["more"]["deep"].clear(),
    lambda o: o["data"]["more"]["deep"].reverse(),
    lambda o: o["data"]["more"]["deep"].sort(),
    lambda o: o["data"]["more"]["deep"][1].__setitem__("x", 2),
    lambda o: o.at("metadata.labels").__setitem__("a", "b"),
    lambda o: o.get("metadata")["labels"].__setitem__("a", "b"),
    lambda o: next(iter(o.values())) and list(o.values())[2].__setitem__("a", "b"),
    lambda o: dict(o.items())["metadata"].__setitem__("a", "b"),
    lambda o: o.labels.__setitem__("a", "b"),
    lambda o: o.annotations.__setitem__("a", "b"),
    lambda o: o.owner_references.append({}),
    lambda o: o.owner_references[0].__setitem__("name", "x"),
    lambda o: Object.from_bytes(b"{}").labels.__setitem__("a", "b"),
    lambda o: Object.from_bytes(b"{}").owner_references.append({}),
]


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_every_change_raises(secret: Object, change: Callable[[Object], Any]) -> None:
    """Every way to change an object, at any depth, raises and names `to_dict`."""
    with pytest.raises(TypeError, match=r"read-only: use to_dict\(\)"):
        change(secret)
    assert secret.to_dict() == SECRET


@pytest.mark.parametrize("name", ["name", "uid", "raw", "labels", "spec"])
def test_attributes_cannot_be_set(secret: Object, name: str) -> None:
    """No attribute can be set or deleted."""
    with pytest.raises(AttributeError):
        setattr(secret, name, "x")
    with pytest.raises(AttributeError):
        delattr(secret, name)


# Equality, copies, repr


def test_equal_by_uid_and_resource_version() -> None:
    """Objects with a uid are equal when uid and resourceVersion are, whatever else differs."""
    one = Object.from_dict({"metadata": {"uid": "u", "resourceVersion": "1"}, "spec": 1})
    same = Object.from_dict({"metadata": {"uid": "u", "resourceVersion": "1"}, "spec": 2})
    newer = Object.from_dict({"metadata": {"uid": "u", "resourceVersion": "2"}, "spec": 1})
    other = Object.from_dict({"metadata": {"uid": "v", "resourceVersion": "1"}, "spec": 1})
    assert one == same
    assert hash(one) == hash(same)
    assert one not in (newer, other)
    assert len({one, same, newer, other}) == 3


def test_equal_by_bytes_without_a_uid() -> None:
    """Objects without a uid are equal when their bytes are."""
    one, same = Object.from_bytes(b'{"a":1}'), Object.from_bytes(b'{"a":1}')
    other = Object.from_bytes(b'{"a":2}')
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != Object.from_dict({"metadata": {"uid": "u"}})
    assert one != {"a": 1}


def test_pickle_keeps_the_object_and_copies_are_the_object(secret: Object) -> None:
    """A pickle has the bytes. An object cannot change, so its copy is the object itself."""
    assert secret.labels
    again = pickle.loads(pickle.dumps(secret))
    assert again == secret
    assert again.raw == secret.raw
    assert again.labels == secret.labels
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret


def test_a_deep_copy_of_a_part_can_be_changed(secret: Object) -> None:
    """`copy.deepcopy` of a field returns plain dicts and lists."""
    part = copy.deepcopy(secret["data"])
    part["more"]["deep"][1]["x"] = 2
    assert secret.at(("data", "more", "deep", 1, "x")) == 1


@pytest.mark.parametrize("show", [repr, str, "{0}".format, "{0!r}".format, lambda o: f"{[o]} {{'o': o}}"])
def test_repr_names_the_object_and_shows_no_data(secret: Object, show: Callable[[Any], str]) -> None:
    """A log line with an object shows nothing of a Secret's data."""
    assert "shop/token" in show(secret)
    assert "Secret" in show(secret)
    assert "hunter2" not in show(secret)


def test_rich_shows_no_data(secret: Object) -> None:
    """The same holds for output of the rich library."""
    assert secret.__rich_repr__() == [("name", "token"), ("namespace", "shop"), ("resource_version", "7")]


# Making an object

REFUSED = {
    "nothing": b"",
    "null": b"null",
    "list": b"[]",
    "number": b"1",
    "text": b'"x"',
    "cut off": b'{"metadata":{"name":"a"',
    "more behind it": b'{"metadata":{}} {}',
    "two": b"{}{}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "not a number": b'{"x":NaN}',
    "invalid UTF-8": b'{"metadata":{"name":"a"},"data":"hunter2\xff"}',
    "invalid UTF-8 in the name": b'{"metadata":{"name":"\xff"}}',
    "invalid UTF-8 in a key": b'{"\xff":1}',
    "half a surrogate": b'{"data":"hunter2\\ud800"}',
    "nested too deeply": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_bytes_that_are_not_an_object_are_refused(raw: bytes) -> None:
    """The ValueError quotes nothing of the bytes."""
    with pytest.raises(ValueError, match="not a JSON object") as caught:
        Object.from_bytes(raw)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("raw", ["{}", None, 5, ["{}"]], ids=["str", "None", "int", "list"])
def test_a_value_that_is_not_a_buffer_is_refused(raw: Any) -> None:
    """The message names the value's type."""
    with pytest.raises(TypeError, match=f"JSON is bytes, not {type(raw).__name__}"):
        Object.from_bytes(raw)


@pytest.mark.parametrize("obj", [None, [], "x", 5], ids=["None", "list", "str", "int"])
def test_from_dict_refuses_other_types(obj: Any) -> None:
    """An object in API form is a mapping."""
    with pytest.raises(TypeError, match=f"API form is a dict, not {type(obj).__name__}"):
        Object.from_dict(obj)


def test_from_dict_refuses_what_json_cannot_express() -> None:
    """Other types raise TypeError; an endless nesting and half a surrogate pair raise ValueError."""
    with pytest.raises(TypeError, match="object"):
        Object.from_dict({"a": object()})
    with pytest.raises(TypeError, match="keys"):
        Object.from_dict({("a", "b"): 1})  # type: ignore[dict-item]
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(ValueError, match="contains itself"):
        Object.from_dict(endless)
    with pytest.raises(ValueError, match="surrogates"):
        Object.from_dict({"a": "\ud800"})


def test_from_dict_accepts_datetimes_and_objects(secret: Object) -> None:
    """Datetimes become text as the API writes it; an `Object` is returned unchanged."""
    time = datetime(2026, 11, 24, 10, tzinfo=UTC)
    obj = Object.from_dict({"metadata": {"creationTimestamp": time}})
    assert obj.at("metadata.creationTimestamp") == "2026-11-24T10:00:00Z"
    assert obj.creation_timestamp == time
    assert Object.from_dict(secret) is secret


def test_from_dict_keeps_a_copy() -> None:
    """Changing the dict afterwards does not change the object."""
    mine: dict[str, Any] = {"metadata": {"name": "a", "labels": {"x": "1"}}}
    obj = Object.from_dict(mine)
    mine["metadata"]["labels"]["x"] = "2"
    assert obj.labels == {"x": "1"}


@pytest.mark.parametrize("kind", [bytearray, memoryview, lambda raw: memoryview(b"junk" + raw)[4:]])
def test_the_bytes_of_any_other_buffer_are_copied(kind: Callable[[bytes], Any]) -> None:
    """A read buffer can be used again and is not kept alive."""
    buffer = kind(b'{"metadata":{"name":"a"}}')
    obj = Object.from_bytes(buffer)
    assert type(obj.raw) is bytes
    assert obj.raw == b'{"metadata":{"name":"a"}}'
    if isinstance(buffer, bytearray):
        buffer[:] = b"x" * len(buffer)
        assert obj.name == "a"


def test_an_object_keeps_no_read_buffer_alive() -> None:
    """An object that was cut out of a large read, or one of its labels, does not keep the read in memory."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        read = bytearray(4_000_000)
        raw = b'{"metadata":{"name":"a","labels":{"x":"1"}},"spec":{"n":1}}'
        read[: len(raw)] = raw
        obj = Object.from_bytes(memoryview(read)[: len(raw)])
        kept = [obj, obj.labels, obj.at("spec.n"), obj.without("spec")]
        del read
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(kept) == 4
    assert held < 100_000


# Malformed objects

ODD = {
    "null metadata": b'{"metadata":null}',
    "metadata a number": b'{"metadata":3}',
    "metadata a list": b'{"metadata":[{"name":"a"}]}',
}


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD.keys())
def test_malformed_metadata_are_empty(raw: bytes) -> None:
    """Metadata of another JSON type are ignored."""
    obj = Object.from_bytes(raw)
    assert (obj.name, obj.uid, obj.labels, obj.owner_references) == ("", "", {}, [])
    assert obj.to_dict() == json.loads(raw)


def test_a_malformed_field_hides_no_other_field() -> None:
    """A field with a value of the wrong type is empty; the other fields are read."""
    raw = (
        b'{"kind":5,"apiVersion":"v1","metadata":{"name":"a","uid":7,"resourceVersion":9,"namespace":"n",'
        b'"labels":{"a":1,"b":"x","c":null,"d":1e999},"annotations":["x"],"ownerReferences":{"a":1},'
        b'"creationTimestamp":"soon","deletionTimestamp":5,"generation":"x"}}'
    )
    obj = Object.from_bytes(raw)
    assert (obj.name, obj.namespace, obj.uid, obj.resource_version) == ("a", "n", "", "")
    assert (obj.labels, obj.annotations, obj.owner_references) == ({"b": "x"}, {}, [])
    assert (obj.creation_timestamp, obj.deletion_timestamp, obj.generation) == (None, None, None)
    assert repr(obj) == "<Object n/a resourceVersion=None>"


def test_the_last_of_duplicate_keys_counts() -> None:
    """As in Go and in Python's own decoder."""
    obj = Object.from_bytes(b'{"metadata":{"name":"a","uid":"u"},"x":1,"metadata":{"name":"b","name":"c"},"x":2}')
    assert (obj.name, obj.uid, obj["x"]) == ("c", "", 2)
    assert obj.to_dict() == {"metadata": {"name": "c"}, "x": 2}
    assert len(obj) == 2


def test_numbers_beyond_64_bits_keep_their_value() -> None:
    """Python's integers have no limit."""
    obj = Object.from_bytes(b'{"metadata":{"name":"a","generation":%d},"x":%d}' % (10**29, -(10**29)))
    assert (obj.generation, obj["x"], obj.to_dict()["x"]) == (10**29, -(10**29), -(10**29))


def test_a_number_too_large_for_a_float_raises_only_when_it_is_read() -> None:
    """The object can be stored. Reading the number raises a ValueError that does not quote it."""
    obj = Object.from_bytes(b'{"metadata":{"name":"a"},"x":1e999,"y":2}')
    assert (obj.name, obj["y"], obj.at("y")) == ("a", 2, 2)
    for ask in (lambda: obj["x"], lambda: obj.at("x"), obj.to_dict):
        with pytest.raises(ValueError, match="out of range"):
            ask()


def test_white_space_changes_nothing() -> None:
    """Any layout of the JSON gives the same values."""
    obj = Object.from_bytes(b' {\n "metadata" : { "name" : "a" , "labels" : { "x" : "1" } } , "spec" : [ 1 ] }\n')
    assert (obj.name, obj.labels, obj["spec"]) == ("a", {"x": "1"}, [1])
    assert obj.without("metadata.labels").to_dict() == {"metadata": {"name": "a"}, "spec": [1]}


def test_deeply_nested_objects_can_be_read() -> None:
    """What `from_bytes` accepts, `to_dict` returns, and `at` returns or explains."""
    obj = Object.from_bytes(b'{"metadata":{"name":"a"},"x":' + b"[" * 400 + b"]" * 400 + b"}")
    assert obj.to_dict()["x"]
    assert obj["x"] == obj.to_dict()["x"]


def test_text_beyond_ascii_is_kept() -> None:
    """UTF-8, escaped or not, is decoded as it was sent."""
    obj = Object.from_bytes('{"metadata":{"name":"ä","labels":{"x":"\\u00e4\\ud83d\\ude00"}},"y":"日本"}'.encode())
    assert (obj.name, obj.labels, obj["y"]) == ("ä", {"x": "ä😀"}, "日本")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_any_json_object_reads_as_its_dict(value: dict[str, Any]) -> None:
    """An object is a read-only view of exactly the dict that its JSON decodes to."""
    for raw in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False, indent=1).encode()):
        obj = Object.from_bytes(raw)
        assert obj.to_dict() == value
        assert dict(obj) == value
        assert list(obj) == list(value)
        for key, part in value.items():
            assert obj[key] == part
            assert obj.at((key,)) == part if key else True


# Removing fields


def test_without_removes_paths(secret: Object) -> None:
    """Several paths at once; the original object does not change."""
    less = secret.without("metadata.managedFields", "data", ("metadata", "labels", "tier"))
    expected = copy.deepcopy(SECRET)
    del expected["data"], expected["metadata"]["managedFields"], expected["metadata"]["labels"]["tier"]
    assert less.to_dict() == expected
    assert less.labels == {"app.kubernetes.io/name": "web"}
    assert (less.name, less.uid, less.resource_version) == ("token", "u-1", "7")
    assert secret.to_dict() == SECRET


def test_without_returns_the_object_itself_when_there_is_nothing_to_remove(secret: Object) -> None:
    """Missing paths cost no copy."""
    assert secret.without("spec", "metadata.nothing", "kind.more") is secret
    assert secret.without() is secret


@pytest.mark.parametrize(
    ("path", "identity"),
    [
        ("metadata.name", ("", "shop", "u-1", "7")),
        ("metadata.uid", ("token", "shop", "", "7")),
        ("metadata", ("", "", "", "")),
    ],
)
def test_without_updates_the_identity_fields(secret: Object, path: str, identity: tuple[str, ...]) -> None:
    """The four decoded fields follow the new JSON."""
    less = secret.without(path)
    assert (less.name, less.namespace, less.uid, less.resource_version) == identity


def test_strip_managed_fields_accepts_every_form_of_object(secret: Object) -> None:
    """The transform works on everything that models and list-watches return."""
    assert strip_managed_fields(secret).at("metadata.managedFields") is None
    mine = copy.deepcopy(SECRET)
    assert "managedFields" not in strip_managed_fields(mine)["metadata"]
    pod = V1Pod(metadata=V1ObjectMeta(name="a", managed_fields=[V1ManagedFieldsEntry(manager="x")]))
    assert strip_managed_fields(pod).metadata.managed_fields is None
    for other in (SimpleNamespace(metadata=None), {"metadata": None}, "text", None):
        assert strip_managed_fields(other) is other


# Memory


def pod_of_6600_bytes(number: int) -> bytes:
    metadata = {
        "name": f"web-{number:06}",
        "namespace": "shop",
        "uid": f"6f1f3c1e-0000-4000-8000-{number:012}",
        "resourceVersion": str(1_000_000 + number),
        "labels": {"app": "web", "pod-template-hash": "6d4cf56db6"},
        "annotations": {"note": "x" * 200},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6d4cf56db6", "uid": "u"}],
    }
    body = {"nodeName": f"node-{number % 50}", "filler": "y" * 5_800}
    raw = json.dumps({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": body}).encode()
    assert 6_300 < len(raw) < 6_700
    return raw


def test_an_object_costs_its_bytes_and_less_than_461_bytes_more() -> None:
    """For a pod of 6.6 KB. Reading fields of the object adds nothing."""
    count = 500
    raws = [pod_of_6600_bytes(number) for number in range(count)]
    size = sum(map(len, raws))
    Object.from_bytes(raws[0])
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        objects = [Object.from_bytes(memoryview(raw)) for raw in raws]
        for obj in objects:
            assert obj.labels["app"] == "web"
            assert obj.at("spec.nodeName")
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert (held - size) / count <= 461


def test_the_garbage_collector_does_not_trace_objects(secret: Object) -> None:
    """A cache of a million objects does not slow the garbage collector down."""
    assert secret.labels
    assert not gc.is_tracked(secret)
    assert not gc.is_tracked(secret.without("data"))


def test_objects_share_the_string_of_their_namespace() -> None:
    """A million objects in one namespace hold one string for it."""
    first, second = (Object.from_bytes(b'{"metadata":{"name":"%d","namespace":"interned"}}' % n) for n in (1, 2))
    assert first.namespace is second.namespace


# Items of lists


def test_a_list_item_gets_the_kind_of_the_list() -> None:
    """An item's own kind and apiVersion stay; missing ones are added."""
    bare = Object.from_list_item(memoryview(b'{"metadata":{"name":"a"}}'), "v1", "Pod")  # type: ignore[arg-type]
    assert (bare.kind, bare.api_version, bare.name) == ("Pod", "v1", "a")
    assert bare.to_dict() == {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}
    own = Object.from_list_item(b'{"kind":"Node","apiVersion":"v2","metadata":{"name":"a"}}', "v1", "Pod")
    assert (own.kind, own.api_version) == ("Node", "v2")
    none = Object.from_list_item(b'{"metadata":{"name":"a"}}', "", "")
    assert none.to_dict() == {"metadata": {"name": "a"}}


@pytest.mark.parametrize("raw", [b"null", b"[]", b"{", b'{"metadata":', b"1", b'{"x":"\xff"}'])
def test_a_list_item_that_is_not_an_object_is_refused(raw: bytes) -> None:
    """It raises ValueError."""
    with pytest.raises(ValueError, match="not a JSON object"):
        Object.from_list_item(raw, "v1", "Pod")


@pytest.mark.parametrize("name", ["metadata", "spec", "status", "data"])
def test_the_attributes_of_models_are_hinted_at(name: str) -> None:
    """`pod.metadata.name` says how an `Object` is read; such an attribute still does not exist."""
    obj: Any = Object.from_dict({"metadata": {"name": "web"}, "spec": {}})
    assert not hasattr(obj, name)
    assert getattr(obj, name, 5) == 5
    with pytest.raises(AttributeError) as raised:
        getattr(obj, name)
    assert str(raised.value).startswith(
        f'an informer.Object has no attribute {name!r}: read obj["{name}"] or obj.at("{name}.'
    )
    assert "model=" in str(raised.value)
