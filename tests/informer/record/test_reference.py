"""References to objects."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from kubernetes import client

from informer import Object
from informer.record import get_partial_reference, get_reference

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "resourceVersion": "7", "labels": {"a": "b"}},
    "spec": {"nodeName": "node-1"},
}
REFERENCE = {
    "apiVersion": "v1",
    "kind": "Pod",
    "name": "web",
    "namespace": "shop",
    "uid": "u-1",
    "resourceVersion": "7",
}
NOW = datetime.now(UTC)
META = client.V1ObjectMeta(name="web", namespace="shop", uid="u-1", resource_version="7")


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(POD, id="dict"),
        pytest.param(Object.from_dict(POD), id="object"),
        pytest.param(client.V1Pod(metadata=META), id="model"),
        pytest.param(client.V1Pod(metadata=META, kind="Pod", api_version="v1"), id="model-with-type"),
        pytest.param(SimpleNamespace(kind="Pod", api_version="v1", metadata=META), id="anything"),
        pytest.param(
            SimpleNamespace(kind="Pod", apiVersion="v1", metadata=POD["metadata"]), id="anything-in-wire-names"
        ),
        pytest.param(REFERENCE, id="reference"),
        pytest.param(
            client.V1ObjectReference(
                api_version="v1", kind="Pod", name="web", namespace="shop", uid="u-1", resource_version="7"
            ),
            id="reference-model",
        ),
    ],
)
def test_a_reference_to_any_kind_of_object(obj: Any) -> None:
    """client-go source. A reference has an object's type and identity, whatever form the object has."""
    assert get_reference(obj) == REFERENCE


@pytest.mark.parametrize(
    ("obj", "api_version", "kind"),
    [
        (client.V1Pod(metadata=META), "v1", "Pod"),
        (client.V1Job(metadata=META), "batch/v1", "Job"),
        (client.V1ClusterRole(metadata=META), "rbac.authorization.k8s.io/v1", "ClusterRole"),
        (client.V1Lease(metadata=META), "coordination.k8s.io/v1", "Lease"),
        (client.CoreV1Event(metadata=META, involved_object=client.V1ObjectReference()), "v1", "Event"),
        (client.EventsV1Event(metadata=META, event_time=NOW), "events.k8s.io/v1", "Event"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "metadata") else value,
)
def test_a_models_class_tells_its_type(obj: Any, api_version: str, kind: str) -> None:
    """Go: TestGetReferenceRefVersion. An object without a kind has the type that its class stands for."""
    reference = get_reference(obj)
    assert (reference["apiVersion"], reference["kind"], reference["name"]) == (api_version, kind, "web")


def test_an_objects_own_type_counts() -> None:
    """Go: TestGetReferenceNilSchemeWithPopulatedGVK. The type that an object says itself is taken as it is."""
    obj = {"apiVersion": "foo.group/v3", "kind": "Bar", "metadata": {"name": "a-name"}}
    assert get_reference(obj) == {"apiVersion": "foo.group/v3", "kind": "Bar", "name": "a-name"}
    pod = client.V1Pod(metadata=META, kind="Bar", api_version="foo.group/v3")
    assert get_reference(pod)["apiVersion"] == "foo.group/v3"


class Slim(msgspec.Struct):
    metadata: dict[str, str]


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        pytest.param({"metadata": {"name": "x"}}, "of type dict: it has no kind", id="dict"),
        pytest.param({"kind": "Pod", "metadata": {"name": "x"}}, "it has no apiVersion", id="dict-without-version"),
        pytest.param(Object.from_dict({"metadata": {"name": "x"}}), "of type Object: it has no kind", id="object"),
        pytest.param(Slim({"name": "x"}), "of type Slim: it has no kind", id="struct"),
        pytest.param(client.V1Scale(metadata=META), "of type V1Scale: it has no kind", id="unknown-model"),
        pytest.param({"kind": 5, "apiVersion": [], "metadata": {}}, "it has no kind", id="odd-type"),
    ],
)
def test_a_type_that_nothing_tells(obj: Any, words: str) -> None:
    """Go: TestGetReferenceNilScheme. Where neither object nor class tells the type the error says what is missing."""
    with pytest.raises(ValueError, match=words):
        get_reference(obj)


def test_nothing_cannot_be_referenced() -> None:
    """client-go source. None is an error of its own."""
    with pytest.raises(ValueError, match="can't reference a nil object"):
        get_reference(None)


def test_a_reference_is_taken_as_it_is() -> None:
    """client-go source. Of a reference a copy is given back, its field path and whatever it lacks included."""
    given = {"kind": "Node", "name": "node-1", "fieldPath": "status", "uid": None, "namespace": ""}
    reference = get_reference(given)
    assert reference == {"kind": "Node", "name": "node-1", "fieldPath": "status"}
    reference["name"] = "other"
    assert given["name"] == "node-1"


@pytest.mark.parametrize(
    "obj",
    [
        client.V1PodList(items=[], metadata=client.V1ListMeta(resource_version="9")),
        {"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": [POD]},
    ],
    ids=["model", "dict"],
)
def test_a_reference_to_a_list(obj: Any) -> None:
    """client-go source. A list has a type and a resourceVersion, and no identity."""
    assert get_reference(obj) == {"apiVersion": "v1", "kind": "PodList", "resourceVersion": "9"}


def test_a_reference_to_a_part() -> None:
    """client-go source. A partial reference also says which part."""
    assert get_partial_reference(POD, "spec.containers{web}") == {**REFERENCE, "fieldPath": "spec.containers{web}"}
    assert get_partial_reference({**REFERENCE, "fieldPath": "old"}, "new")["fieldPath"] == "new"


@pytest.mark.parametrize(
    "obj",
    [
        "default/web",
        5,
        [POD],
        object(),
        {},
        {"name": "web"},
        {"kind": "Pod", "name": 5},
        {"kind": "Secret", "data": {"password": "hunter2"}},
        {"kind": "Pod", "metadata": None},
        client.V1Container(name="hunter2"),
        client.V1Secret(data={"password": "hunter2"}),
    ],
    ids=lambda obj: type(obj).__name__,
)
def test_what_is_neither_object_nor_reference(obj: Any) -> None:
    """What has neither metadata nor the form of a reference is refused, and nothing of it is quoted."""
    with pytest.raises(TypeError) as caught:
        get_reference(obj)
    assert "reference" in str(caught.value)
    assert "hunter2" not in str(caught.value)
