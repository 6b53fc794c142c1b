"""Objects in protobuf: they are read like the same objects in JSON."""

from __future__ import annotations

import copy
import itertools
import pickle
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from kubernetes import client

from informer.objects.label_selector import parse_selector
from informer.objects.object import Object, strip_managed_fields
from informer.objects.paths import MISSING, index_by, walk
from informer.objects.protobuf_object import ProtobufObject
from informer.protobuf import kinds
from informer.protobuf.edit import varint_bytes, without_fields, without_managed_fields
from informer.protobuf.kinds import Kind, kind_named, message_fields, metadata_kind
from informer.protobuf.plan import UnknownFieldError
from informer.testing.storage.protobuf_encoding import encode_message
from tests.support.protobuf import parts
from watch.protobuf_wire import BYTES, fields_in

POD = kind_named("v1", "Pod")
KINDS = sorted(kinds._table().kinds)
EXAMPLE: dict[str, Any] = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "u1",
        "resourceVersion": "7",
        "generation": 3,
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": {"app": "web", "app.kubernetes.io/name": "shop"},
        "annotations": {"note": "x" * 200},
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u0", "controller": True}
        ],
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
    },
    "spec": {
        "nodeName": "worker-1",
        "containers": [
            {"name": "main", "image": "nginx", "resources": {"limits": {"cpu": "100m"}}},
            {"name": "sidecar", "image": "envoy", "resources": {}, "ports": [{"containerPort": 80}]},
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    },
    "status": {"phase": "Running"},
}


def protobuf(obj: dict[str, Any], kind: Kind | None = POD) -> ProtobufObject:
    assert kind is not None
    return ProtobufObject.of(encode_message(obj, kind.message), kind)


def test_the_identity_and_the_whole_object_are_those_of_the_json() -> None:
    pod = protobuf(EXAMPLE)
    assert (pod.name, pod.namespace, pod.uid, pod.resource_version) == ("web", "shop", "u1", "7")
    assert (pod.kind, pod.api_version) == ("Pod", "v1")
    assert pod.to_dict() == EXAMPLE
    assert msgspec.json.decode(pod.to_json()) == EXAMPLE


def test_fields_are_read_as_from_json() -> None:
    pod, same = protobuf(EXAMPLE), Object.from_dict(EXAMPLE)
    for name in (
        "labels", "annotations", "owner_references", "creation_timestamp", "deletion_timestamp", "generation", "form",
    ):  # fmt: skip
        assert getattr(pod, name) == getattr(same, name), name
    for path in (
        "spec.nodeName",
        "spec.containers",
        "status.phase",
        "spec.replicas",
        "kind",
        "spec.volumes",
        "metadata.name",
    ):
        assert pod.at(path) == same.at(path), path
    assert pod.at(("spec", "containers", -1, "image")) == "envoy"
    assert pod.at(("spec", "volumes", 0, "emptyDir")) == {}
    assert pod.at(("metadata", "labels", "app.kubernetes.io/name")) == "shop"
    assert pod["spec"] == same["spec"]
    assert set(pod) == set(same)
    assert "spec" in pod
    assert "replicas" not in pod
    assert len(pod) == len(same)


def test_fields_are_read_only() -> None:
    with pytest.raises(TypeError, match="read-only: use to_dict"):
        protobuf(EXAMPLE)["spec"]["nodeName"] = "other"
    with pytest.raises(TypeError, match="read-only: use to_dict"):
        protobuf(EXAMPLE).labels["app"] = "other"


def test_selectors_and_index_functions_read_it() -> None:
    pod = protobuf(EXAMPLE)
    assert parse_selector("app=web,tier!=db").matches(pod.labels)
    assert index_by("spec.nodeName")(pod) == ["worker-1"]


class Spec(msgspec.Struct, rename="camel"):
    node_name: str | None = None


class PodStruct(msgspec.Struct):
    kind: str
    spec: Spec


@dataclass
class ContainerData:
    name: str
    image: str | None = None


@dataclass
class SpecData:
    containers: list[ContainerData]
    node_name: str | None = None


@dataclass
class PodData:
    spec: SpecData


class PodDict(TypedDict):
    metadata: dict[str, Any]


@pytest.mark.parametrize("model", [PodStruct, PodData, PodDict])
def test_a_view_equals_that_of_the_json(model: Any) -> None:
    assert protobuf(EXAMPLE).view(model) == Object.from_dict(EXAMPLE).view(model)


def test_a_view_of_an_official_model_equals_that_of_the_json() -> None:
    assert protobuf(EXAMPLE).view(client.V1Pod).to_dict() == Object.from_dict(EXAMPLE).view(client.V1Pod).to_dict()


def test_a_view_skips_what_it_does_not_name() -> None:
    pod = protobuf(EXAMPLE)
    # An unknown field in the status, which the type does not name.
    broken = ProtobufObject.of(pod.raw + b"\x1a\x03\xf8\xff\x01", pod.protobuf_kind)
    assert broken.view(PodStruct).spec.node_name == "worker-1"


def test_pickles_copies_and_equality() -> None:
    pod = protobuf(EXAMPLE)
    again = pickle.loads(pickle.dumps(pod))
    assert again == pod
    assert again.to_dict() == EXAMPLE
    assert copy.deepcopy(pod) is pod
    assert hash(again) == hash(pod)
    assert repr(pod) == "<Pod shop/web resourceVersion=7>"


def test_managed_fields_are_removed_and_the_rest_stays() -> None:
    smaller = strip_managed_fields(protobuf(EXAMPLE))
    expected = copy.deepcopy(EXAMPLE)
    del expected["metadata"]["managedFields"]
    assert smaller.to_dict() == expected
    assert len(smaller.raw) < len(protobuf(EXAMPLE).raw)
    assert strip_managed_fields(smaller) is smaller


@given(st.randoms(use_true_random=False), st.integers(0, 2), st.booleans())
def test_managed_fields_are_removed_wherever_they_stand(random: Any, managers: int, twice: bool) -> None:
    metadata = {**EXAMPLE["metadata"], "managedFields": [{"manager": f"manager {n}"} for n in range(managers)]}
    whole = encode_message({**EXAMPLE, "metadata": metadata}, POD.message)
    first = next(fields_in(whole))
    ends = [first.start, *(field.end for field in fields_in(whole, first.start, first.end))]
    fields = [whole[start:end] for start, end in itertools.pairwise(ends)]
    if random.random() < 0.7:
        random.shuffle(fields)
    shuffled = b"".join(fields)
    again = whole[: first.end] if twice else b""
    raw = b"\x0a" + varint_bytes(len(shuffled)) + shuffled + again + whole[first.end :]
    expected = without_fields(raw, POD.message, {"metadata": {"managedFields": None}})
    assert without_managed_fields(raw, POD.message) == expected
    assert (expected == raw) is (not managers)


@pytest.mark.parametrize(
    "path",
    [
        ("metadata", "labels", "app"),
        ("metadata", "annotations"),
        ("spec", "containers", 0, "image"),
        ("spec", "containers", -1, "ports"),
        ("spec", "nodeName"),
        ("metadata", "labels", "missing"),
        ("spec", "containers", 5),
    ],
)
def test_without_a_path(path: tuple[Any, ...]) -> None:
    assert protobuf(EXAMPLE).without(path).to_dict() == Object.from_dict(EXAMPLE).without(path).to_dict()


def test_an_empty_list_is_left_out_since_protobuf_cannot_express_it() -> None:
    assert protobuf(EXAMPLE).without(("spec", "volumes", 0)).at("spec.volumes") is None


def test_without_the_identity_or_the_type() -> None:
    assert protobuf(EXAMPLE).without("metadata.uid").uid == ""
    assert "kind" not in protobuf(EXAMPLE).without("kind").to_dict()


def test_an_unknown_field_is_reported_and_never_lost_in_silence() -> None:
    raw = protobuf(EXAMPLE).raw + b"\xc2\x3e\x01x"  # field 1000
    pod = ProtobufObject.of(raw, POD)
    assert pod.name == "web"
    assert pod.at("spec.nodeName") == "worker-1"
    with pytest.raises(UnknownFieldError, match=r'Pod has a field of number 1000 .*use wire="json"'):
        pod.to_dict()


def test_an_unknown_field_within_a_part_is_reported() -> None:
    spec = b"\xc2\x3e\x01x"
    with pytest.raises(UnknownFieldError, match="PodSpec has a field of number 1000"):
        ProtobufObject.of(b"\x0a\x00\x12" + bytes([len(spec)]) + spec, POD).to_dict()


def test_metadata_only_objects_have_the_kind_of_their_resource() -> None:
    kind = metadata_kind("example.com/v1", "Widget")
    obj = protobuf({"metadata": EXAMPLE["metadata"]}, kind)
    assert obj.to_dict() == {"kind": "Widget", "apiVersion": "example.com/v1", "metadata": EXAMPLE["metadata"]}


def test_the_claims_of_a_stateful_set_have_their_type() -> None:
    claim = {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "metadata": {"name": "data"},
        "spec": {},
        "status": {},
    }
    found = protobuf({"spec": {"volumeClaimTemplates": [claim]}}, kind_named("apps/v1", "StatefulSet"))
    assert found.at(("spec", "volumeClaimTemplates", 0, "kind")) == "PersistentVolumeClaim"
    assert found.at(("spec", "volumeClaimTemplates", 0, "metadata", "name")) == "data"


@pytest.mark.parametrize(
    "raw", [b"\x0a", b"\x0a\x05ab", b"\x0a\x02\x0a\x09", b"\x0b\x01", b"\xff" * 11, b"\x0a\x03\x0a\x01\xff"]
)
def test_bytes_that_are_not_an_object_raise_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):
        ProtobufObject.of(raw, POD)


def test_a_message_nested_too_deeply_raises_a_clear_error() -> None:
    schema = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps"
    number = next(field.number for field in message_fields(schema) if field.name == "not")
    message = b""
    for _ in range(3000):
        message = varint_bytes(number << 3 | BYTES) + varint_bytes(len(message)) + message
    obj = ProtobufObject("x", "", "u", "1", message, -1, Kind("v1", "Schema", schema))
    with pytest.raises(ValueError, match="nested too deeply to be decoded; raw has its bytes"):
        obj.to_dict()


def field_bytes(number: int, value: bytes) -> bytes:
    return varint_bytes(number << 3 | BYTES) + varint_bytes(len(value)) + value


@pytest.mark.parametrize("levels", [1_200, 9_000])
@pytest.mark.parametrize("own", [POD, metadata_kind("v1", "Pod")], ids=["whole", "metadata"])
def test_json_in_a_message_may_be_as_deep_as_a_server_accepts(own: Kind, levels: int) -> None:
    """The managedFields that a tenant wrote: the object's fields are read as those of any other; a copy may be refused."""
    deep = b'{"f:a":' * levels + b"{}" + b"}" * levels
    entry = field_bytes(1, b"kubectl") + field_bytes(7, field_bytes(1, deep))
    owner = field_bytes(1, b"Foo") + field_bytes(3, b"own") + field_bytes(4, b"u1")
    metadata = field_bytes(1, b"web") + field_bytes(13, owner) + field_bytes(17, entry)
    found = ProtobufObject.of(field_bytes(1, metadata), own)
    assert found["metadata"]["name"] == "web"
    assert found["metadata"]["ownerReferences"][0]["name"] == "own"
    assert found.at(("metadata", "managedFields", 0, "manager")) == "kubectl"
    value = found["metadata"]["managedFields"][0]["fieldsV1"]
    for _ in range(levels):
        value = value["f:a"]
    assert value == {}
    assert "metadata" in found
    assert "metadata" in list(found)
    assert len(found) == len(list(found))
    assert found.without("metadata.managedFields").to_dict()["metadata"]["name"] == "web"
    # How many levels the decoder takes depends on the version of Python.
    try:
        copied = found.to_dict()["metadata"]["name"]
    except ValueError as error:
        copied = str(error)
    assert copied in ("web", "the object is nested too deeply to be decoded; raw has its bytes")


# Every kind of the table


def paths_in(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at and "" not in at else []
    if isinstance(value, dict):
        found += [path for key, below in value.items() if key for path in paths_in(below, (*at, key))]
    elif isinstance(value, list):
        found += [path for index, below in enumerate(value) for path in paths_in(below, (*at, index))]
    return found


@given(name=st.sampled_from(KINDS), data=st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_read_is_written_again_and_every_path_is_found(name: str, data: st.DataObject) -> None:
    api_version, _, kind_name = name.rpartition("/")
    kind = kind_named(api_version, kind_name)
    drawn = data.draw(parts(kind.message))
    obj = protobuf(drawn, kind)
    whole = obj.to_dict()
    assert encode_message(whole, kind.message) == obj.raw
    for path in paths_in(whole)[:60]:
        assert obj.find(path) == walk(whole, path), path
    assert obj.find(("spec", "nothing", "there")) in (MISSING, walk(whole, ("spec", "nothing", "there")))


@given(raw=st.binary(max_size=60), name=st.sampled_from(KINDS))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_an_object_or_a_value_error(raw: bytes, name: str) -> None:
    api_version, _, kind_name = name.rpartition("/")
    kind = kind_named(api_version, kind_name)
    try:
        obj = ProtobufObject.of(raw, kind)
        obj.at("metadata.labels.app")
        obj.without("metadata.managedFields")
        obj.to_dict()
    except ValueError:
        pass
