"""Decoders of users' types, above all of dataclasses in snake case."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, NotRequired, Optional, TypedDict

import msgspec
import pytest

from informer.objects.type_decoders import decoder_for


@dataclasses.dataclass
class Port:
    container_port: int
    host_ip: str = "0.0.0.0"


@dataclasses.dataclass(frozen=True)
class Container:
    name: str
    ports: tuple[Port, ...] = ()
    image_pull_policy: Literal["Always", "Never"] = "Always"


@dataclasses.dataclass(kw_only=True, slots=True)
class Spec:
    node_name: str | None = None
    containers: list[Container] = dataclasses.field(default_factory=list)
    by_name: dict[str, Optional[Port]] = dataclasses.field(default_factory=dict)  # noqa: UP045 - both spellings
    grace_period: Annotated[int, msgspec.Meta(ge=0)] = 30


@dataclasses.dataclass
class Pod:
    spec: Spec
    api_version: str = ""
    created_at: datetime | None = None
    node: str = dataclasses.field(init=False, default="")
    LIMIT: ClassVar[int] = 3

    def __post_init__(self) -> None:
        self.node = self.spec.node_name or "none"


def test_a_dataclass_in_snake_case_reads_the_apis_names() -> None:
    """Dataclasses nested in lists, tuples, dicts and unions are decoded too, with their defaults."""
    raw = (
        b'{"apiVersion":"v1","createdAt":"2026-11-24T10:00:00Z","spec":{"nodeName":"w","containers":[{"name":"c",'
        b'"ports":[{"containerPort":80},{"containerPort":81,"hostIp":"::"}],"imagePullPolicy":"Never"}],'
        b'"byName":{"a":{"containerPort":1},"b":null}}}'
    )
    pod = decoder_for(Pod)(raw)
    assert pod == Pod(
        Spec(
            node_name="w",
            containers=[Container("c", (Port(80), Port(81, "::")), "Never")],
            by_name={"a": Port(1), "b": None},
        ),
        "v1",
        datetime(2026, 11, 24, 10, tzinfo=UTC),
    )
    assert type(pod) is Pod
    assert type(pod.spec.containers[0].ports[0]) is type(pod.spec.by_name["a"]) is Port
    assert pod.node == "w"
    assert decoder_for(Pod)(b'{"spec":{}}') == Pod(Spec())


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"{}", "missing required field `spec`"),
        (b'{"spec":{"containers":[{}]}}', "missing required field `name`"),
        (b'{"spec":{"containers":[{"name":"c","ports":[{"containerPort":"80"}]}]}}', "Expected `int`, got `str`"),
        (b'{"spec":{"gracePeriod":-1}}', "Expected `int` >= 0"),
        (b'{"spec":{"containers":[{"name":"c","imagePullPolicy":"x"}]}}', "Invalid enum value"),
    ],
    ids=["missing", "missing inside", "another type", "constraint", "literal"],
)
def test_a_validation_error_names_the_place(raw: bytes, problem: str) -> None:
    """A missing field or one of another type raises ValidationError."""
    with pytest.raises(msgspec.ValidationError, match=problem):
        decoder_for(Pod)(raw)


class Meta(msgspec.Struct, rename="camel"):
    resource_version: str


@dataclasses.dataclass
class Mixed:
    metadata: Meta
    api_version: str


class Options(TypedDict):
    nodeName: str
    more: NotRequired[int]


@dataclasses.dataclass
class Plain:
    spec: Options
    kind: str = ""


class Whole(msgspec.Struct):
    spec: Plain


def test_a_dataclass_can_contain_structs_and_typed_dicts() -> None:
    """A nested type that uses the API's names is decoded directly."""
    mixed = decoder_for(Mixed)(b'{"metadata":{"resourceVersion":"7"},"apiVersion":"v1"}')
    assert mixed == Mixed(Meta("7"), "v1")
    assert decoder_for(Plain)(b'{"spec":{"nodeName":"w"},"kind":"Pod"}') == Plain({"nodeName": "w"}, "Pod")
    assert decoder_for(Options)(b'{"nodeName":"w","more":1}') == {"nodeName": "w", "more": 1}
    assert decoder_for(Whole)(b'{"spec":{"spec":{"nodeName":"w"}}}') == Whole(Plain({"nodeName": "w"}))


class Holds(msgspec.Struct):
    ports: list[Port]


class HoldsDeeper(TypedDict):
    spec: dict[str, Holds | None]


@pytest.mark.parametrize("kind", [Holds, HoldsDeeper])
def test_a_snake_case_dataclass_inside_another_kind_of_type_is_refused(kind: Any) -> None:
    """Its fields could not be renamed and would never be filled."""
    with pytest.raises(TypeError, match=f"{kind.__name__} contains a dataclass with fields in snake case"):
        decoder_for(kind)


@dataclasses.dataclass
class Tree:
    api_version: str
    child: Tree | None = None


@dataclasses.dataclass
class Loop:
    name: str
    child: Loop | None = None


class LoopStruct(msgspec.Struct, rename="camel"):
    api_version: str
    child: LoopStruct | None = None


def test_recursive_types() -> None:
    """They work when no name has to change, and are refused otherwise."""
    assert decoder_for(Loop)(b'{"name":"a","child":{"name":"b"}}') == Loop("a", Loop("b"))
    assert decoder_for(LoopStruct)(b'{"apiVersion":"1","child":{"apiVersion":"2"}}') == LoopStruct("1", LoopStruct("2"))
    with pytest.raises(TypeError, match="Tree contains itself: make it a msgspec"):
        decoder_for(Tree)


@pytest.mark.parametrize("kind", [dict, str, int, None, list[int], "Pod", Any, Container("c")], ids=repr)
def test_a_type_without_fields_is_refused(kind: Any) -> None:
    """Only a struct, a dataclass or a TypedDict can be decoded to."""
    with pytest.raises(TypeError, match=r"must be a msgspec.Struct, dataclass or TypedDict, not"):
        decoder_for(kind)


def test_unresolvable_annotations_are_refused() -> None:
    """A class inside a function cannot be found by its name: the message says where to define it."""

    @dataclasses.dataclass
    class Inner:
        node_name: str

    @dataclasses.dataclass
    class Outer:
        spec: Inner

    with pytest.raises(
        TypeError, match=r"cannot resolve an annotation of Outer .*'Inner'.* at the top level of its module"
    ):
        decoder_for(Outer)


def test_a_decoder_is_made_once() -> None:
    """Views of many objects share one decoder."""
    assert decoder_for(Pod) is decoder_for(Pod)
