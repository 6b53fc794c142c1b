"""Reading the resourceVersion of an object of any type."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any

import msgspec
import pytest
from kubernetes.client import V1ObjectMeta, V1Pod

from informer import Object
from informer.objects.entry import Entry
from watch.retry_watcher import resource_version_of


@dataclass
class Flat:
    resource_version: str


class Meta(msgspec.Struct):
    resourceVersion: str


class Pod(msgspec.Struct):
    metadata: Meta


class Odd:
    """An object with another attribute of that name."""

    def resource_version(self) -> str:
        return "a method"

    metadata: Any = {"resourceVersion": "7"}


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param({"metadata": {"resourceVersion": "7"}}, id="dict"),
        pytest.param(MappingProxyType({"metadata": MappingProxyType({"resourceVersion": "7"})}), id="mapping"),
        pytest.param(Object.from_dict({"metadata": {"name": "a", "resourceVersion": "7"}}), id="object"),
        pytest.param(V1Pod(metadata=V1ObjectMeta(resource_version="7")), id="official-model"),
        pytest.param(SimpleNamespace(metadata={"resourceVersion": "7"}), id="metadata-dict"),
        pytest.param(Pod(Meta("7")), id="struct"),
        pytest.param(Flat("7"), id="attribute"),
        pytest.param(Entry("a", "", "", "7", {"metadata": {}}), id="entry"),
        pytest.param(Odd(), id="method"),
    ],
)
def test_it_is_found(obj):
    """It is read from mappings in API form, models, and other objects with such an attribute."""
    assert resource_version_of(obj) == "7"


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param({"metadata": {}}, id="dict"),
        pytest.param({"metadata": {"resourceVersion": None}}, id="null"),
        pytest.param({"metadata": {"resourceVersion": 7}}, id="number"),
        pytest.param(V1Pod(metadata=V1ObjectMeta()), id="official-model"),
        pytest.param(Object.from_dict({"metadata": {"name": "a"}}), id="object"),
        pytest.param(Flat(""), id="attribute"),
    ],
)
def test_an_unset_one_is_empty(obj):
    """An object with a place for it, but no string there, gives ""."""
    assert resource_version_of(obj) == ""


@pytest.mark.parametrize(
    "obj",
    [None, 7, "text", b"bytes", [], {}, {"metadata": None}, {"metadata": "text"}, object(), V1Pod()],
    ids=[
        "none",
        "int",
        "str",
        "bytes",
        "list",
        "no-metadata",
        "null-metadata",
        "odd-metadata",
        "object",
        "no-model-metadata",
    ],
)
def test_an_object_without_a_place_for_it_gives_none(obj):
    """An object without a place for it gives None."""
    assert resource_version_of(obj) is None
