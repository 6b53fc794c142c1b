"""Informers of a real server over protobuf: every way to read and to narrow, refusals, expired versions, unknown fields."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from kubernetes import client

from informer import ApiError, ListWatch, index_by, strip_managed_fields
from informer.listwatch import encoding
from informer.objects.object import Object
from informer.objects.protobuf_object import ProtobufObject
from informer.protobuf import kinds
from informer.protobuf.plan import UnknownFieldError, plan_for
from tests.support.objects import config_map, custom_resource
from watch import Channel, EventType, ListOptions

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

BOTH_WAYS = pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])


@dataclass
class MetadataData:
    name: str
    labels: dict[str, str] | None = None


@dataclass
class PodData:
    metadata: MetadataData


class Metadata(msgspec.Struct):
    name: str
    labels: dict[str, str] = {}


class PodStruct(msgspec.Struct):
    metadata: Metadata
    kind: str


MODELS = {
    "object": (None, lambda pod: (pod.name, pod.labels.get("color"))),
    "dict": (dict, lambda pod: (pod["metadata"]["name"], pod["metadata"].get("labels", {}).get("color"))),
    "struct": (PodStruct, lambda pod: (pod.metadata.name, pod.metadata.labels.get("color"))),
    "dataclass": (PodData, lambda pod: (pod.metadata.name, (pod.metadata.labels or {}).get("color"))),
    "official": (client.V1Pod, lambda pod: (pod.metadata.name, (pod.metadata.labels or {}).get("color"))),
}


@pytest.mark.parametrize("model", MODELS)
@BOTH_WAYS
def test_handlers_get_every_change_in_every_model(namespace, informers, model, watch_list) -> None:
    """Adds, changes and deletes arrive in order, with the state before and after."""
    model_type, read = MODELS[model]
    namespace.create_pods("a", color="red")
    seen = Channel(None)
    informer = informers.start(namespace.list_watch(wire="protobuf", model=model_type), watch_list=watch_list)
    informer.add_event_handler(
        on_add=lambda obj: seen.put(("add", *read(obj))),
        on_update=lambda old, new: seen.put(("update", *read(old), *read(new)[1:])),
        on_delete=lambda obj: seen.put(("delete", *read(obj))),
    )
    namespace.label_pod("a", color="green")
    namespace.delete_pod("a")
    namespace.create_pods("b")
    assert [seen.get(10) for _ in range(5)] == [
        ("add", "a", "red"),
        ("update", "a", "red", "green"),
        ("update", "a", "green", "green"),  # a pod is marked for deletion first
        ("delete", "a", "green"),
        ("add", "b", None),
    ]
    reflector = informers.reflector(informer)
    assert (reflector.lists, reflector.watch_lists) == ((0, 1) if watch_list else (1, 0))


@BOTH_WAYS
def test_the_cache_equals_the_json_and_is_read_like_it(namespace, informers, watch_list) -> None:
    """Objects of lists, watch lists and watches are protobuf; indices, paths and owners are those of the JSON."""
    namespace.create_pods("a", "b", tier="web")
    informer = informers.start(
        namespace.list_watch(wire="protobuf"),
        watch_list=watch_list,
        indexers={"tier": index_by("metadata.labels.tier")},
    )
    namespace.create_pods("c", tier="db")
    namespace.label_pod("b", tier="db")
    informers.wait_until_equal(informer, namespace.cluster, namespace.pods)
    assert all(type(obj) is ProtobufObject for obj in informer.store.list())
    assert sorted(obj.name for obj in informer.store.by_index("tier", "db")) == ["b", "c"]
    for obj in informer.store.list():
        same = Object.from_dict(namespace.cluster.get(f"{namespace.pods}/{obj.name}"))
        for path in (
            "metadata.uid",
            "spec.containers",
            "status.qosClass",
            "spec.nothing",
            "spec.terminationGracePeriodSeconds",
        ):
            assert obj.at(path) == same.at(path)
        assert (obj.labels, obj.creation_timestamp, obj.form) == (same.labels, same.creation_timestamp, same.form)
        assert obj["spec"] == same["spec"]


def test_selectors_pages_and_namespaces(cluster, namespace, make_namespace, informers) -> None:
    """Selectors turn changes into adds and deletes; pages and several namespaces make one cache."""
    other = make_namespace()
    namespace.create_pods(*(f"pod-{number}" for number in range(7)), tier="web")
    other.create_pods("other", tier="db")
    both = informers.start(
        ListWatch.for_resource(cluster.api_client, "pods", namespace=[namespace.name, other.name], wire="protobuf"),
        page_size=3,
        watch_list=False,
    )
    informers.wait_until_equal(both, cluster, namespace.pods, other.pods)
    selected = informers.start(namespace.list_watch(wire="protobuf", label_selector="tier=web"))
    received = Channel(None)
    selected.add_event_handler(
        on_add=lambda obj: received.put(("add", obj.name)), on_delete=lambda obj: received.put(("delete", obj.name))
    )
    assert min(received.get(10) for _ in range(7)) == ("add", "pod-0")
    namespace.label_pod("pod-0", tier="db")
    namespace.label_pod("pod-0", tier="web")
    assert [received.get(10) for _ in range(2)] == [("delete", "pod-0"), ("add", "pod-0")]
    by_field = informers.start(namespace.list_watch(wire="protobuf", field_selector={"metadata.name": "pod-3"}))
    assert by_field.store.list_keys() == [f"{namespace.name}/pod-3"]


def test_transforms_and_managed_fields(namespace, informers) -> None:
    """Transforms get objects in protobuf; without managedFields they are smaller, and the rest is the same."""
    namespace.create_pods("a", tier="web")
    stripped = informers.start(namespace.list_watch(wire="protobuf"), transform=strip_managed_fields)
    dropped = informers.start(namespace.list_watch(wire="protobuf", drop_managed_fields=True))
    other = informers.start(
        namespace.list_watch(wire="protobuf"), transform=lambda obj: obj.without("spec.containers", "metadata.uid")
    )
    namespace.create_pods("b")

    def without(obj: dict[str, Any], *names: str) -> dict[str, Any]:
        return obj | {"metadata": {key: value for key, value in obj["metadata"].items() if key not in names}}

    listed = namespace.cluster.items(namespace.pods)
    smaller = {key: without(obj, "managedFields") for key, obj in listed.items()}
    for informer in (stripped, dropped):
        informer.wait_until(lambda informer=informer: informers.cached(informer) == smaller, 20)
        assert informers.cached(informer) == smaller
    other.wait_until(lambda: len(other.store) == 2, 20)
    for key, obj in informers.cached(other).items():
        expected = without(listed[key], "uid")
        expected["spec"] = {**expected["spec"], "containers": None}
        assert obj == expected


@BOTH_WAYS
def test_metadata_only_of_built_in_and_custom_resources(cluster, namespace, informers, watch_list) -> None:
    """Both come in protobuf, with the type of their resource and the metadata of the JSON."""
    group = f"g{uuid.uuid4().hex[:8]}.example.com"
    cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", custom_resource(group))
    path = namespace.path("widgets", f"{group}/v1")
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1}}
    started = informers.start(
        namespace.list_watch(f"widgets.{group}", metadata_only=True), synced=False, watch_list=watch_list
    )
    assert started.wait_for_sync(20)
    pods = informers.start(namespace.list_watch(metadata_only=True), watch_list=watch_list)
    cluster.create(path, widget)
    cluster.patch(f"{path}/one", {"metadata": {"labels": {"a": "b"}}})
    namespace.create_pods("a")
    for informer, where in ((started, path), (pods, namespace.pods)):
        expected = {
            key: {name: obj[name] for name in ("kind", "apiVersion", "metadata")}
            for key, obj in cluster.items(where).items()
        }
        informer.wait_until(lambda informer=informer, expected=expected: informers.cached(informer) == expected, 20)
        assert informers.cached(informer) == expected
        assert all(type(obj) is ProtobufObject for obj in informer.store.list())

    # The objects themselves do not exist in protobuf: they are read as JSON.
    whole = informers.start(namespace.list_watch(f"widgets.{group}", wire="protobuf"), watch_list=watch_list)
    cluster.create(path, {**widget, "metadata": {"name": "two"}})
    informers.wait_until_equal(whole, cluster, path)
    assert {type(obj) for obj in whole.store.list()} == {Object}


def test_resources_of_an_unknown_group_are_a_404(namespace) -> None:
    """A resource that the server does not have is the server's 404, over protobuf as over JSON."""
    list_watch = namespace.list_watch(f"things.{uuid.uuid4().hex[:8]}.example.com", wire="protobuf")
    with pytest.raises(ApiError) as caught:
        list_watch.list(ListOptions())
    assert caught.value.status == 404


def test_refusals_come_in_protobuf_and_are_decoded(cluster, namespace) -> None:
    """403 and 400 have the server's message and reason; so do those of a watch."""
    with cluster.plane.api_client("nobody") as api_client:
        refused = ListWatch.for_resource(api_client, "pods", namespace=namespace.name, wire="protobuf")
        for call in (refused.list, refused.watch):
            with pytest.raises(ApiError, match=r'cannot (list|watch) resource "pods"') as caught:
                call(ListOptions())
            assert (caught.value.status, caught.value.reason) == (403, "Forbidden")
    invalid = namespace.list_watch(wire="protobuf", field_selector="spec.unknown=1")
    for call in (invalid.list, invalid.watch):
        with pytest.raises(ApiError, match=r"field label not supported: spec\.unknown") as caught:
            call(ListOptions())
        assert (caught.value.status, caught.value.reason) == (400, "BadRequest")


def test_an_expired_version_is_an_error_event_in_protobuf(unsteady, informers) -> None:
    """The ERROR event of a watch and the 410 of a list are decoded; the informer lists anew and misses nothing."""
    unsteady.create_pods("a")
    list_watch = unsteady.list_watch(wire="protobuf")
    informer = informers.start(list_watch)
    unsteady.create_pods("b")
    unsteady.cluster.plane.kill()
    unsteady.cluster.plane.compact()
    unsteady.cluster.plane.restart()
    unsteady.create_pods("c")
    informers.wait_until_equal(informer, unsteady.cluster, unsteady.pods)
    watcher = list_watch.watch(ListOptions(resource_version="1"))
    event = next(iter(watcher))
    watcher.stop()
    assert event.type is EventType.ERROR
    assert (event.object["code"], event.object["reason"], event.object["kind"]) == (410, "Expired", "Status")
    with pytest.raises(ApiError) as caught:
        list_watch.list(ListOptions(resource_version="1", resource_version_match="Exact"))
    assert caught.value.is_expired


@pytest.fixture
def newer_server(monkeypatch) -> Iterator[None]:
    """The table lacks `immutable` of ConfigMaps, and the server seems newer than the table."""
    table = kinds._table()
    message = table.kinds["v1/ConfigMap"]
    fields = tuple(field for field in kinds.message_fields(message) if field.name != "immutable")
    older = kinds._Table(
        table.kubernetes, table.kinds, table.types | {message: msgspec.Raw(msgspec.json.encode(fields))}
    )
    monkeypatch.setattr(kinds, "_table", lambda: older)
    monkeypatch.setattr(encoding, "kubernetes_version", lambda: (1, 30))
    for cached in (plan_for, kinds.message_fields):
        cached.cache_clear()
    yield
    for cached in (plan_for, kinds.message_fields):
        cached.cache_clear()


@BOTH_WAYS
def test_an_unknown_field_in_a_list_has_it_repeated_as_json(
    namespace, informers, caplog, newer_server, watch_list
) -> None:
    """Nothing is lost, and one line of the log says so."""
    caplog.set_level(logging.INFO)
    for number in range(5):
        namespace.cluster.create(namespace.configmaps, config_map(f"a-{number}", "x"))
    namespace.cluster.create(namespace.configmaps, config_map("b") | {"immutable": True})
    seen = Channel(None)
    informer = informers.start(namespace.list_watch("configmaps", wire="protobuf"), watch_list=watch_list, page_size=2)
    informer.add_event_handler(on_add=lambda obj: seen.put(obj.name))
    informers.wait_until_equal(informer, namespace.cluster, namespace.configmaps)
    assert {type(obj) for obj in informer.store.list() if obj.name == "b"} == {Object}
    assert sorted(seen.get(10) for _ in range(6)) == [*(f"a-{number}" for number in range(5)), "b"]
    assert len(seen) == 0
    lines = [record.getMessage() for record in caplog.records if "read as JSON" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("configmaps are read as JSON from now on: ConfigMap has a field of number 4 that")
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_an_unknown_field_in_a_watch_goes_on_as_json(namespace, informers, caplog, newer_server) -> None:
    """The watch is resumed as JSON where it was, without a relist."""
    caplog.set_level(logging.INFO)
    cluster = namespace.cluster
    cluster.create(namespace.configmaps, config_map("a", "x"))
    informer = informers.start(namespace.list_watch("configmaps", wire="protobuf"), watch_list=False)
    seen = Channel(None)
    informer.add_event_handler(
        on_add=lambda obj: seen.put(("add", obj.name)), on_update=lambda old, new: seen.put(("update", new.name))
    )
    assert {type(obj) for obj in informer.store.list()} == {ProtobufObject}
    cluster.create(namespace.configmaps, config_map("b"))
    cluster.create(namespace.configmaps, config_map("c") | {"immutable": True})
    cluster.patch(f"{namespace.configmaps}/a", {"data": {"value": "y"}})
    cluster.create(namespace.configmaps, config_map("d"))
    informers.wait_until_equal(informer, cluster, namespace.configmaps)
    expected = [("add", "a"), ("add", "b"), ("add", "c"), ("update", "a"), ("add", "d")]
    assert [seen.get(10) for _ in expected] == expected
    assert informers.reflector(informer).lists == 1
    assert sum("read as JSON" in record.getMessage() for record in caplog.records) == 1
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_to_dict_refuses_an_object_with_an_unknown_field(namespace, monkeypatch, newer_server) -> None:
    """Where the server's version is not newer, so that nothing is searched, a dict without the field is not made."""
    monkeypatch.setattr(encoding, "kubernetes_version", lambda: (9, 9))
    namespace.cluster.create(namespace.configmaps, config_map("b", "x") | {"immutable": True})
    (obj,) = namespace.list_watch("configmaps", wire="protobuf").list(ListOptions()).items
    assert (type(obj), obj.name, obj.at("data.value")) == (ProtobufObject, "b", "x")
    with pytest.raises(UnknownFieldError, match="number 4"):
        obj.to_dict()
    with pytest.raises(UnknownFieldError, match="number 4"):
        obj.to_json()
