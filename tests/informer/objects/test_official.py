"""Official model classes as models: what they refuse is known before an object is read."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from kubernetes import client

from informer import Object
from informer.objects.decode_errors import ModelError
from informer.objects.models import model_for
from informer.objects.official import OfficialModel

EVENT: dict[str, Any] = {"metadata": {"name": "e", "namespace": "shop"}, "eventTime": "2026-11-28T10:00:00.123456Z"}
POD: dict[str, Any] = {
    "metadata": {"name": "p", "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u"}]},
    "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}], "lifecycle": {"preStop": {"exec": {}}}}]},
}


def changed(obj: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copied: Any = json.loads(json.dumps(obj))
    *way, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
    at = copied
    for key in way:
        at = at[key]
    at[last] = value
    return copied  # type: ignore[no-any-return]


REFUSED = [
    (client.EventsV1Event, changed(EVENT, "eventTime", None), "eventTime"),
    (client.EventsV1Event, {"metadata": {"name": "e"}}, "eventTime"),
    (client.EventsV1Event, changed(EVENT, "eventTime", "s3cret"), "eventTime"),
    (client.EventsV1Event, changed(EVENT, "series", {"count": "s3cret"}), "series.count"),
    (client.V1Pod, changed(POD, "spec.containers", None), "spec.containers"),
    (client.V1Pod, changed(POD, "spec.containers.0.ports.0.containerPort", "s3cret"), "containerPort"),
    (client.V1Pod, changed(POD, "metadata.ownerReferences.0.uid", None), "uid"),
    (client.V1Pod, changed(POD, "metadata.creationTimestamp", "s3cret"), "creationTimestamp"),
    (client.V1Deployment, {"metadata": {"name": "d"}, "spec": {"selector": None, "template": {}}}, "spec.selector"),
    (client.V1CustomResourceDefinition, {"metadata": {"name": "d"}, "spec": None}, "spec"),
]


@pytest.mark.parametrize(("model", "obj", "field"), REFUSED, ids=[f"{m.__name__}-{f}" for m, _, f in REFUSED])
def test_what_a_model_refuses_is_known_before_it_is_read(model: Any, obj: dict[str, Any], field: str) -> None:
    """The error names the field, and shows no value."""
    stored = Object.from_dict(obj)
    codec = model_for(model)
    for refuse in (codec.wrap, codec.unwrap, lambda o: o.view(model)):
        with pytest.raises(ModelError) as raised:
            refuse(stored)
        assert f"does not decode to {model.__name__}" in str(raised.value)
        assert field in str(raised.value)
        assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("model", "obj"),
    [
        (client.EventsV1Event, EVENT),
        (client.V1Pod, POD),
        (client.V1Pod, changed(POD, "metadata.unknown", {"a": 1})),
        (client.V1Pod, changed(POD, "metadata.creationTimestamp", "2026-11-28T10:00:00+01:00")),
        (client.V1Secret, {"metadata": {"name": "s"}, "data": {"a": "dmFsdWU="}}),
        (client.V1ConfigMap, {"metadata": {"name": "s"}, "binaryData": {"a": "dmFsdWU="}}),
        (client.V1CustomResourceDefinition, {"metadata": {"name": "d"}, "spec": {"group": "g", "names": {}}}),
    ],
)
def test_the_check_refuses_what_the_class_refuses(model: Any, obj: dict[str, Any]) -> None:
    """The check and the class agree; it does not decide by itself what it does not know."""
    official = OfficialModel(model)
    raw = json.dumps(obj).encode()
    outcomes = []
    for function in (official.check, official.decode):
        try:
            function(raw)
            outcomes.append("accepted")
        except ModelError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_common_classes_have_a_fast_check() -> None:
    """Without one, each object would be made once when it arrives. A class that contains itself has none."""
    for model in (
        client.V1Pod,
        client.V1Node,
        client.V1Secret,
        client.V1Deployment,
        client.EventsV1Event,
        client.V1Job,
    ):
        assert OfficialModel(model)._check() is not None
    assert OfficialModel(client.V1CustomResourceDefinition)._check() is None


def test_view_takes_an_official_model() -> None:
    """As `model=V1Pod` does."""
    pod = Object.from_dict(POD).view(client.V1Pod)
    assert type(pod) is client.V1Pod
    assert pod.metadata.name == "p"
    assert pod.spec.containers[0].ports[0].container_port == 80


def test_an_object_is_not_made_when_it_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stored form is the `Object` itself."""
    codec = model_for(client.V1Pod)
    stored = Object.from_dict(POD)
    codec.wrap(stored)

    def refuse(*args: Any) -> Any:
        raise AssertionError("decoded")

    monkeypatch.setattr(OfficialModel, "decode", refuse)
    assert codec.wrap(stored) is stored
    assert not gc.is_tracked(stored)
