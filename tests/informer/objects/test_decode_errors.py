"""Errors of objects that do not decode: the field's path is named, its value never."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypedDict

import msgspec
import pytest

from informer import Object
from informer.objects.decode_errors import describe_decode_error


class Spec(msgspec.Struct, rename="camel"):
    node_name: str
    replicas: int = 0
    mode: Literal["a", "b"] = "a"


class Struct(msgspec.Struct):
    spec: Spec
    data: dict[str, int] = {}


@dataclasses.dataclass
class Checked:
    name: str

    def __post_init__(self) -> None:
        raise ValueError(f"bad name {self.name}")


class Typed(TypedDict):
    spec: dict[str, int]


@pytest.mark.parametrize(
    ("model", "obj", "expected"),
    [
        (Struct, {"spec": {"nodeName": 5}}, "ValidationError at spec.nodeName: Expected `str`, got `int`"),
        (Struct, {"spec": {}}, "ValidationError at spec.nodeName: the required field is missing"),
        (Struct, {}, "ValidationError at spec: the required field is missing"),
        (Struct, {"spec": {"nodeName": "n", "mode": "s3cret"}}, "ValidationError at spec.mode"),
        (
            Struct,
            {"spec": {"nodeName": "n"}, "data": {"key": "s3cret"}},
            "ValidationError at data[...]: Expected `int`, got `str`",
        ),
        (Checked, {"name": "s3cret"}, "ValidationError"),
        (Typed, {"spec": {"a": "s3cret"}}, "ValidationError at spec[...]: Expected `int`, got `str`"),
    ],
)
def test_the_path_is_named_and_the_value_is_not(model: Any, obj: dict[str, Any], expected: str) -> None:
    """Types and field names come from the model; texts that may quote a value are left out."""
    with pytest.raises(msgspec.ValidationError) as raised:
        Object.from_dict(obj).view(model)
    assert describe_decode_error(raised.value) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("s3cret"), "RuntimeError"),
        (KeyError("s3cret"), "KeyError"),
        (
            ValueError("Invalid value for `event_time`, must not be `None`"),
            "ValueError at event_time: must not be null",
        ),
        (msgspec.ValidationError("s3cret - at `s3cret`"), "ValidationError"),
        (msgspec.ValidationError("s3cret\n - at `$.a`"), "ValidationError at a"),
    ],
)
def test_other_errors_are_named_by_their_type(error: Exception, expected: str) -> None:
    """A transform may raise anything, with the object in its text."""
    assert describe_decode_error(error) == expected


def test_pydantic_models() -> None:
    """As a model and in a view: by alias, checked against the resource's fields, described without values."""
    pydantic = pytest.importorskip("pydantic")
    from kubernetes.client import V1Pod

    from informer.objects.models import model_for

    class PodSpec(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        node_name: str = pydantic.Field(alias="nodeName")
        priority: int = 0

    class Pod(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        spec: PodSpec

    class Wrong(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        node_name: str

    good = Object.from_dict({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "other": 1}})
    codec = model_for(Pod, V1Pod)
    stored = codec.wrap(good)
    assert (stored.name, codec.unwrap(stored).spec.node_name) == ("p", "n")
    assert good.view(Pod).spec.node_name == "n"
    with pytest.raises(TypeError, match="Wrong has a field 'node_name', which V1Pod does not have"):
        model_for(Wrong, V1Pod)
    with pytest.raises(pydantic.ValidationError) as raised:
        codec.wrap(Object.from_dict({"spec": {"nodeName": "n", "priority": "s3cret"}}))
    assert describe_decode_error(raised.value) == "ValidationError at spec.priority (int_parsing)"
