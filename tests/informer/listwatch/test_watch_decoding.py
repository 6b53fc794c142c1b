"""Objects of another type than requested, in a watch: reported, left out, and without effect on the cache."""

from __future__ import annotations

import json
from typing import Any

import pytest

from informer import ListWatch, SharedInformer
from informer.listwatch.watch_decoding import UnexpectedTypeError, checked_decoder, json_heads
from informer.objects.entry import Undecodable
from informer.objects.object import Object
from tests.support.waiting import DEADLINE
from watch import Channel


def obj(kind: str | None, name: str, version: str, api_version: str | None = "v1", **fields: Any) -> dict[str, Any]:
    head = {"kind": kind, "apiVersion": api_version}
    metadata = {"name": name, "namespace": "ns", "uid": f"u-{name}", "resourceVersion": version}
    return {**{key: value for key, value in head.items() if value is not None}, "metadata": metadata, **fields}


def event(what: str, of: dict[str, Any]) -> bytes:
    return json.dumps({"type": what, "object": of}, separators=(",", ":")).encode() + b"\n"


def list_watch(api_client: Any, way: str, **options: Any) -> Any:
    if way == "from_api":
        from kubernetes import client

        return ListWatch.from_api(client.CoreV1Api(api_client).list_pod_for_all_namespaces, **options)
    return ListWatch.for_resource(api_client, way, **options)


def followed(serve: Any, events: list[bytes], way: str = "pods", **options: Any) -> tuple[SharedInformer[Any], Any]:
    """Returns an informer that has applied these events and reached version 99, and what it reported as left out."""

    def handler(request: Any, connection: Any) -> None:
        if "watch" in request.query:
            connection.begin()
            connection.chunk(*events, event("BOOKMARK", obj("Pod", "", "99")))
            connection.hang()
            return
        body = {
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": "5"},
            "items": [obj("Pod", "a", "5")],
        }
        connection.answer(body)

    told: Channel[tuple[Any, bytes, Exception]] = Channel(None)
    informer: SharedInformer[Any] = SharedInformer(
        list_watch(serve(handler).client(), way, **options),
        watch_list=False,
        on_decode_error=lambda *left_out: told.put(left_out),
        name="expecting",
    )
    with informer:
        assert informer.wait_for_resource_version("99", DEADLINE)
    return informer, told


@pytest.mark.parametrize("way", ["pods", "v1/pods", "from_api"])
@pytest.mark.parametrize("model", [None, dict], ids=["object", "dict"])
@pytest.mark.parametrize(("kind", "api_version"), [("Node", "v1"), ("Pod", "v2"), ("Status", "v1")])
def test_an_object_of_another_type_is_left_out(
    serve: Any, caplog: pytest.LogCaptureFixture, way: str, model: Any, kind: str, api_version: str
) -> None:
    """Go: TestReflectorHandleWatchEventTypes and client-go's expectedType. It is reported, and the cache does not change."""
    others = [event(what, obj(kind, "a", "7", api_version, data="hidden")) for what in ("MODIFIED", "DELETED", "ADDED")]
    informer, told = followed(serve, [*others, event("ADDED", obj("Pod", "b", "8"))], way, model=model)
    versions = {
        key: informer.store.get_by_key(key)["metadata"]["resourceVersion"] for key in informer.store.list_keys()
    }
    assert versions == {"ns/a": "5", "ns/b": "8"}
    assert informer.decode_errors == 3
    errors = [told.get(DEADLINE)[2] for _ in others]
    assert all(type(error) is UnexpectedTypeError for error in errors)
    assert str(errors[0]) == f"a watch of v1, Kind=Pod delivered an object of {api_version}, Kind={kind}"
    assert "UnexpectedTypeError" in caplog.text
    assert "hidden" not in caplog.text


@pytest.mark.parametrize(
    "came",
    [
        pytest.param(event("ADDED", obj("Pod", "b", "8")), id="as a server writes it"),
        pytest.param(event("ADDED", {"apiVersion": "v1", **obj("Pod", "b", "8")}), id="the version first"),
        pytest.param(event("ADDED", {"metadata": {}, **obj("Pod", "b", "8")}), id="in the end"),
        pytest.param(event("ADDED", obj("Pod", "b", "8")).replace(b":", b" : "), id="with spaces"),
        pytest.param(event("ADDED", obj("Pod", "b", "8", None)), id="the kind alone"),
        pytest.param(event("ADDED", obj(None, "b", "8", None)), id="without a type"),
    ],
)
def test_an_object_of_the_type_or_without_one_is_stored(serve: Any, came: bytes) -> None:
    """The order and spacing of the JSON keys make no difference."""
    informer, _ = followed(serve, [came])
    assert informer.store.list_keys() == ["ns/a", "ns/b"]
    assert informer.decode_errors == 0


def test_metadata_only_has_another_type(serve: Any) -> None:
    """With `metadata_only` the objects are PartialObjectMetadata."""
    partial = obj("PartialObjectMetadata", "b", "8", "meta.k8s.io/v1")
    informer, _ = followed(serve, [event("ADDED", partial)], metadata_only=True)
    assert "ns/b" in informer.store.list_keys()


def test_how_objects_begin() -> None:
    """Both orders of kind and apiVersion, quoted as in JSON."""
    assert json_heads("apps/v1", "Deployment") == (
        b'{"kind":"Deployment","apiVersion":"apps/v1",',
        b'{"apiVersion":"apps/v1","kind":"Deployment",',
    )


def test_invalid_json_is_left_to_the_decoder() -> None:
    """It raises as for any other object, and an `Undecodable` has no name of a cached object."""
    decode = checked_decoder("v1", "Pod", Object.from_bytes)
    with pytest.raises(ValueError, match="object"):
        decode(b"[]")
    left_out = decode(b'{"kind":"Node","metadata":{"name":"a"}}')
    assert type(left_out) is Undecodable
    assert (left_out.name, left_out.resource_version) == ("", "")
