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
def test_a_reference_has_the_objects_type_and_identity(obj: Any) -> None:
    """client-go source. The result is the same for every form of object."""
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
def test_a_model_class_implies_its_type(obj: Any, api_version: str, kind: str) -> None:
    """Go: TestGetReferenceRefVersion. A model without a kind gets the kind and apiVersion of its class."""
    reference = get_reference(obj)
    assert (reference["apiVersion"], reference["kind"], reference["name"]) == (api_version, kind, "web")


def test_the_objects_own_type_comes_first() -> None:
    """Go: TestGetReferenceNilSchemeWithPopulatedGVK. The kind and apiVersion of an object are used as they are."""
    obj = {"apiVersion": "foo.group/v3", "kind": "Bar", "metadata": {"name": "a-name"}}
    assert get_reference(obj) == {"apiVersion": "foo.group/v3", "kind": "Bar", "name": "a-name"}
    pod = client.V1Pod(metadata=META, kind="Bar", api_version="foo.group/v3")
    assert get_reference(pod)["apiVersion"] == "foo.group/v3"


class Slim(msgspec.Struct):
    metadata: dict[str, str]


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        pytest.param({"metadata": {"name": "x"}}, "of type dict: it has no kind", id="dict"),
        pytest.param({"kind": "Pod", "metadata": {"name": "x"}}, "it has no apiVersion", id="dict-without-version"),
        pytest.param(Object.from_dict({"metadata": {"name": "x"}}), "of type Object: it has no kind", id="object"),
        pytest.param(Slim({"name": "x"}), "of type Slim: it has no kind", id="struct"),
        pytest.param(client.V1Scale(metadata=META), "of type V1Scale: it has no kind", id="unknown-model"),
        pytest.param({"kind": 5, "apiVersion": [], "metadata": {}}, "it has no kind", id="odd-type"),
    ],
)
def test_an_object_of_unknown_type_is_refused(obj: Any, message: str) -> None:
    """Go: TestGetReferenceNilScheme. The error says whether the kind or the apiVersion is missing."""
    with pytest.raises(ValueError, match=message):
        get_reference(obj)


def test_none_is_refused() -> None:
    """client-go source. None has an error of its own."""
    with pytest.raises(ValueError, match="can't reference a nil object"):
        get_reference(None)


def test_a_reference_is_copied() -> None:
    """client-go source. The copy has the field path, and no empty fields."""
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
    """client-go source. A partial reference has a field path."""
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
def test_other_values_are_refused_and_not_quoted(obj: Any) -> None:
    """A value without metadata that does not have the form of a reference raises TypeError."""
    with pytest.raises(TypeError) as caught:
        get_reference(obj)
    assert "reference" in str(caught.value)
    assert "hunter2" not in str(caught.value)
