"""Users' own types for objects: what is stored, what users see, and what is refused; and the names of official models."""

from __future__ import annotations

import dataclasses
from typing import Any, TypedDict

import msgspec
import pytest
from kubernetes import client
from kubernetes.client import V1JSONSchemaProps, V1Pod, V1Secret, models

from informer import Object
from informer.objects.entry import Entry
from informer.objects.models import ModelName, model_for, parse_model_name

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "u-1",
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-24T10:00:00Z",
        "labels": {"app": "web"},
    },
    "spec": {
        "nodeName": "worker-1",
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}],
    },
    "status": {"podIP": "10.0.0.1"},
}
OBJECT = Object.from_dict(POD)


class Spec(msgspec.Struct, rename="camel"):
    node_name: str


class Struct(msgspec.Struct):
    spec: Spec


@dataclasses.dataclass
class Port:
    container_port: int


@dataclasses.dataclass
class Container:
    name: str
    ports: list[Port]


@dataclasses.dataclass
class DataSpec:
    node_name: str
    containers: list[Container]


@dataclasses.dataclass
class Data:
    spec: DataSpec
    api_version: str


class TypedSpec(TypedDict):
    nodeName: str


class Typed(TypedDict):
    spec: TypedSpec


MODELS = {
    "dict": (dict, POD),
    "struct": (Struct, Struct(Spec("worker-1"))),
    "dataclass": (Data, Data(DataSpec("worker-1", [Container("c", [Port(80)])]), "v1")),
    "TypedDict": (Typed, {"spec": {"nodeName": "worker-1"}}),
}


@pytest.mark.parametrize("schema", [None, V1Pod], ids=["unchecked", "checked"])
@pytest.mark.parametrize(("model", "expected"), MODELS.values(), ids=MODELS.keys())
def test_a_model_is_stored_with_the_objects_metadata(model: Any, expected: Any, schema: Any) -> None:
    """Users see their own type. The stored entry has the metadata, which the type need not have."""
    codec = model_for(model, schema)
    stored = codec.wrap(OBJECT)
    assert type(stored) is Entry
    assert (stored.name, stored.namespace, stored.uid, stored.resource_version) == ("web", "shop", "u-1", "7")
    assert codec.unwrap(stored) == expected
    assert codec.unwrap(stored) is codec.unwrap(stored)
    assert codec.model is model
    assert not codec.identity


@pytest.mark.parametrize("model", [None, Object])
def test_without_a_model_objects_are_stored_as_object(model: Any) -> None:
    """`Object` is both what users see and what is stored."""
    codec = model_for(model)
    assert codec.identity
    assert codec.wrap(OBJECT) is codec.unwrap(OBJECT) is OBJECT


def test_an_official_model_is_decoded_when_it_is_read() -> None:
    """The `Object` is stored; each read makes a new model instance."""
    codec = model_for(V1Pod)
    stored = codec.wrap(OBJECT)
    assert stored is OBJECT
    first, second = codec.unwrap(stored), codec.unwrap(stored)
    assert type(first) is V1Pod
    assert first.metadata.name == "web"
    assert first.spec.containers[0].ports[0].container_port == 80
    assert first.metadata.creation_timestamp.year == 2026
    first.metadata.labels["app"] = "db"
    assert second.metadata.labels == {"app": "web"}


def test_an_official_model_made_by_a_transform_is_returned_unchanged() -> None:
    """The cache already holds a model instance, which needs no decoding."""
    codec = model_for(V1Pod)
    transformed = codec.unwrap(OBJECT)
    assert codec.unwrap(Entry("web", "shop", "u-1", "7", transformed)) is transformed


def test_a_decode_error_of_an_official_model_names_the_object() -> None:
    """The official client validates while it decodes. The error has the object's name and none of its data."""
    secret = {"metadata": {"name": "token", "namespace": "shop", "labels": ["hunter2"]}}
    with pytest.raises(ValueError, match="shop/token does not decode to V1Secret") as caught:
        model_for(V1Secret).unwrap(Object.from_dict(secret))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_an_object_that_does_not_fit_the_model_raises() -> None:
    """The informer handles the decode error."""
    for model in (Struct, Data, Typed):
        with pytest.raises(msgspec.ValidationError, match="spec"):
            model_for(model).wrap(Object.from_dict({"metadata": {"name": "a"}}))


@pytest.mark.parametrize(
    "model", ["Pod", 5, str, list, Any, list[Struct], Struct(Spec("w")), object], ids=lambda model: str(model)[:20]
)
def test_another_type_is_not_a_model(model: Any) -> None:
    """The message says which types are accepted."""
    with pytest.raises(
        TypeError, match=r"model must be None, dict, a msgspec.Struct, dataclass, TypedDict or an official"
    ):
        model_for(model)


class Misspelt(msgspec.Struct):
    spec: Spec
    stauts: Any = None


class SnakeStruct(msgspec.Struct):
    api_version: str = ""


@dataclasses.dataclass
class InnerSpec:
    node_names: str


@dataclasses.dataclass
class MisspeltInside:
    spec: InnerSpec


@dataclasses.dataclass
class MisspeltPort:
    containr_port: int


@dataclasses.dataclass
class MisspeltContainer:
    ports: list[MisspeltPort]


@dataclasses.dataclass
class MisspeltSpec:
    containers: tuple[MisspeltContainer, ...]


@dataclasses.dataclass
class MisspeltDeep:
    spec: MisspeltSpec | None = None


class TypedStatus(TypedDict):
    podIp: str


class MisspeltTyped(TypedDict):
    status: TypedStatus


@dataclasses.dataclass
class Address:
    pod_ip: str


@dataclasses.dataclass
class OddlySpelt:
    status: Address


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (Misspelt, "Misspelt has a field 'stauts', which V1Pod does not have: did you mean 'status'"),
        (SnakeStruct, "SnakeStruct has a field 'api_version', which V1Pod does not have: did you mean 'apiVersion'"),
        (MisspeltInside, "MisspeltInside.spec has a field 'node_names', which V1PodSpec does not have: .*'nodeName'"),
        (MisspeltDeep, r"MisspeltDeep.spec.containers.ports has a field 'containr_port'.*V1ContainerPort"),
        (MisspeltTyped, "MisspeltTyped.status has a field 'podIp', which V1PodStatus does not have: .*'podIP'"),
        (OddlySpelt, "OddlySpelt.status has a field 'pod_ip', which V1PodStatus does not have: .*'podIP'"),
    ],
    ids=["struct", "snake_case struct", "dataclass", "deep", "TypedDict", "capitals"],
)
def test_an_unknown_field_name_is_refused(model: Any, problem: str) -> None:
    """A misspelt field would stay empty: the error names it and suggests a similar name."""
    with pytest.raises(TypeError, match=problem):
        model_for(model, V1Pod)
    model_for(model)


class Props(msgspec.Struct, rename="camel"):
    any_of: list[Props] = []
    min_length: int = 0


class MisspeltProps(msgspec.Struct, rename="camel"):
    any_of: list[MisspeltProps] = []
    min_lenght: int = 0


def test_recursive_types_are_checked() -> None:
    """The check of a type and a schema that contain themselves ends."""
    model_for(Props, V1JSONSchemaProps)
    with pytest.raises(TypeError, match=r"MisspeltProps has a field 'minLenght', .* did you mean 'minLength'"):
        model_for(MisspeltProps, V1JSONSchemaProps)


@dataclasses.dataclass
class Computed:
    spec: DataSpec
    where: str = dataclasses.field(init=False, default="")

    def __post_init__(self) -> None:
        self.where = self.spec.node_name


def test_fields_with_init_false_are_not_checked() -> None:
    """A dataclass can have fields that it fills itself."""
    codec = model_for(Computed, V1Pod)
    assert codec.unwrap(codec.wrap(OBJECT)).where == "worker-1"


API_CLASSES = [name for name in dir(client) if name.endswith("Api")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("V1Pod", ModelName("", "v1", "Pod")),
        ("V1PodList", ModelName("", "v1", "PodList")),
        ("V1beta1DeviceClass", ModelName("", "v1beta1", "DeviceClass")),
        ("V2HorizontalPodAutoscaler", ModelName("", "v2", "HorizontalPodAutoscaler")),
        ("CoreV1Event", ModelName("core", "v1", "Event")),
        ("EventsV1EventList", ModelName("events", "v1", "EventList")),
        ("ResourceV1ResourceClaim", ModelName("resource", "v1", "ResourceClaim")),
        ("V1CSIDriver", ModelName("", "v1", "CSIDriver")),
        ("VersionInfo", None),
        ("V1", None),
        ("Pod", None),
        ("dict", None),
    ],
)
def test_a_model_name_is_split_into_group_hint_version_and_kind(name: str, expected: ModelName | None) -> None:
    """The group hint is in small letters, "" when the name has none; other names give None."""
    assert parse_model_name(name) == expected


def test_every_official_model_name_is_split_without_loss() -> None:
    """The three parts give back the class's name; a group hint is the first word of a group that the client has."""
    # The official client loads its classes when they are read: dir() lists them, vars() does not.
    official_models = [name for name in dir(models) if hasattr(getattr(models, name), "attribute_map")]
    assert len(official_models) > 500
    for name in official_models:
        found = parse_model_name(name)
        if name == "VersionInfo":
            assert found is None
            continue
        assert found is not None, name
        assert found.group_hint.capitalize() + found.version.capitalize() + found.kind == name
        assert not found.group_hint or any(api.startswith(found.group_hint.capitalize()) for api in API_CLASSES), name


@pytest.mark.parametrize(
    ("name", "group", "fits"),
    [
        ("V1Pod", "", True),
        ("V1Pod", "apps", True),
        ("CoreV1Event", "", True),
        ("CoreV1Event", "events.k8s.io", False),
        ("EventsV1Event", "events.k8s.io", True),
        ("EventsV1Event", "", False),
        ("ResourceV1ResourceClaim", "resource.k8s.io", True),
    ],
)
def test_a_group_hint_excludes_other_groups(name: str, group: str, fits: bool) -> None:
    """A name without a hint fits every group."""
    found = parse_model_name(name)
    assert found is not None
    assert found.fits_group(group) is fits
