"""Objects that a model refuses, and objects of which only the metadata are requested, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from kubernetes import client

from informer import Backoff, Change, ListWatch, SharedInformer
from informer.record.reference import get_reference
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map, pod
from tests.support.waiting import DEADLINE, eventually
from watch import Channel, ListOptions

Follow = Callable[..., tuple[SharedInformer[Any], Channel[Change[Any]]]]

BOTH_WAYS = pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])


class Data(msgspec.Struct):
    value: str = ""


class Configuration(msgspec.Struct):
    data: Data


@pytest.fixture(params=["in_order", "delta"])
def queue(request: pytest.FixtureRequest) -> Any:
    """Each kind of queue."""
    return request.param


@pytest.fixture
def follow(server: EmbeddedAPIServer) -> Iterator[Follow]:
    """Starts informers with a channel of their changes; they are stopped when the test is over."""
    made: list[SharedInformer[Any]] = []

    def start(resource: str, options: dict[str, Any], **more: Any) -> tuple[SharedInformer[Any], Channel[Change[Any]]]:
        source = ListWatch.for_resource(server.api_client(), resource, **options)
        informer: SharedInformer[Any] = SharedInformer(source, backoff=Backoff(initial=0.01, maximum=0.05), **more)
        made.append(informer)
        changes: Channel[Change[Any]] = Channel(None)
        informer.add_event_handler(on_batch=lambda batch: [changes.put(change) for change in batch])
        informer.start()
        assert informer.wait_for_sync(DEADLINE)
        return informer, changes

    yield start
    for informer in made:
        informer.stop()


def of(change: Change[Any]) -> tuple[str, str, bool, str]:
    return change.watch_type, change.key, change.final_state_unknown, change.reason


def test_functions_for_deletes_can_tell_an_object_that_no_longer_decodes(
    server: EmbeddedAPIServer, follow: Follow, queue: str
) -> None:
    """The reason reaches plain, filtered, coalescing and async functions; for a deleted object it is empty."""
    for name in ("a", "b"):
        server.create(config_map(name, "n1", namespace="default"))
    informer, _ = follow("configmaps", {"model": Configuration}, queue=queue)
    calls: Channel[tuple[str, bool, str]] = Channel(None)

    def deleted(way: str, final_state_unknown: bool, reason: str) -> None:
        calls.put((way, final_state_unknown, reason))

    class OfAsyncio:
        async def on_delete(self, obj: Any, *, final_state_unknown: bool, reason: str = "none") -> None:
            deleted("async", final_state_unknown, reason)

    def plain(obj: Any, *, reason: str) -> None:
        deleted("plain", True, reason)

    def filtered(obj: Any, *, final_state_unknown: bool, reason: str) -> None:
        deleted("filtered", final_state_unknown, reason)

    def coalesced(obj: Any, *, final_state_unknown: bool, reason: str) -> None:
        deleted("coalesced", final_state_unknown, reason)

    informer.add_event_handler(on_delete=plain)
    informer.add_event_handler(on_delete=filtered, filter=lambda obj: obj.data.value == "n1")
    informer.add_event_handler(on_delete=coalesced, backlog="coalesce")

    async def main() -> list[tuple[str, bool, str]]:
        registration = informer.aio.add_event_handler(OfAsyncio())
        server.patch("configmaps", "a", {"data": {"value": 17}}, namespace="default")
        refused = [await asyncio.to_thread(calls.get, DEADLINE) for _ in range(4)]
        await registration.remove()
        return sorted(refused)

    reason = "no longer decodes"
    assert asyncio.run(main()) == [(way, True, reason) for way in ("async", "coalesced", "filtered", "plain")]
    server.delete("configmaps", "b", namespace="default")
    real = sorted(calls.get(DEADLINE) for _ in range(3))
    assert real == [("coalesced", False, ""), ("filtered", False, ""), ("plain", True, "")]


@BOTH_WAYS
def test_an_object_that_no_longer_decodes_is_told_apart(
    server: EmbeddedAPIServer, follow: Follow, queue: str, watch_list: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """By an event and by a relist; its real delete says nothing more, and a missed delete has no reason."""
    for name in ("a", "b", "c"):
        server.create(config_map(name, "n1", namespace="default"))
    informer, changes = follow("configmaps", {"model": Configuration}, queue=queue, watch_list=watch_list)
    assert {of(changes.get(DEADLINE))[1] for _ in range(3)} == {"default/a", "default/b", "default/c"}
    server.patch("configmaps", "a", {"data": {"value": 17}}, namespace="default")
    assert of(changes.get(DEADLINE)) == ("DELETED", "default/a", True, "no longer decodes")
    assert informer.decode_errors == 1
    assert (
        "left out default/a: it does not decode (ValidationError at data.value: Expected `str`, got `int`)"
        in caplog.text
    )
    server.delete("configmaps", "a", namespace="default")
    server.patch("configmaps", "b", {"data": {"value": "n2"}}, namespace="default")
    assert of(changes.get(DEADLINE)) == ("MODIFIED", "default/b", False, "")
    assert informer.decode_errors == 1

    server.faults.refuse_connections()
    server.faults.cut_connections()
    server.patch("configmaps", "b", {"data": {"value": 18}}, namespace="default")
    server.delete("configmaps", "c", namespace="default")
    server.compact()
    server.faults.accept_connections()
    found = sorted(of(changes.get(DEADLINE)) for _ in range(2))
    assert found == [("DELETED", "default/b", True, "no longer decodes"), ("DELETED", "default/c", True, "")]
    server.patch("configmaps", "b", {"data": {"value": "n3"}}, namespace="default")
    assert of(changes.get(DEADLINE)) == ("ADDED", "default/b", False, "")
    assert len(changes) == 0


@BOTH_WAYS
def test_what_an_official_model_refuses_is_left_out(
    server: EmbeddedAPIServer, follow: Follow, queue: str, watch_list: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and logged once, with the field's name; all others are there, in every reader."""
    root = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "s3cret"}
    good = root | {"metadata": {"name": "good", "namespace": "default"}, "eventTime": "2026-11-28T10:00:00.000000Z"}
    server.create(good)
    for name in ("listed", "watched"):
        if name == "watched":
            informer, changes = follow(
                "events.events.k8s.io", {"model": client.EventsV1Event}, queue=queue, watch_list=watch_list
            )
        server.create(root | {"metadata": {"name": name, "namespace": "default"}, "eventTime": None})
    server.create(good | {"metadata": {"name": "last", "namespace": "default"}})
    assert [changes.get(DEADLINE).key for _ in range(2)] == ["default/good", "default/last"]
    assert sorted(event.metadata.name for event in informer.store.list()) == ["good", "last"]
    assert informer.lister.get("last", "default").event_time.year == 2026
    assert len(informer.lister.list(namespace="default")) == 2
    with informer.events() as stream:
        assert {next(stream).object.metadata.name for _ in range(2)} == {"good", "last"}
    assert informer.decode_errors == 2
    for name in ("listed", "watched"):
        (line,) = [record.message for record in caplog.records if f"default/{name}" in record.message]
        assert "does not decode to EventsV1Event: ValidationError at eventTime" in line
    assert "s3cret" not in caplog.text


@BOTH_WAYS
@pytest.mark.parametrize(
    ("resource", "api_version", "kind", "body"),
    [
        ("pods", "v1", "Pod", pod("listed")),
        (
            "deployments.apps",
            "apps/v1",
            "Deployment",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "listed", "namespace": "default"},
                "spec": {
                    "selector": {"matchLabels": {"a": "b"}},
                    "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]},
                },
            },
        ),
    ],
    ids=["pods", "deployments"],
)
def test_metadata_only_objects_have_the_type_of_their_resource(
    server: EmbeddedAPIServer, follow: Follow, resource: str, api_version: str, kind: str, body: Any, watch_list: bool
) -> None:
    """In every form, from lists, watch lists and watches: references and events name the object by it."""
    server.create(body)
    informer, changes = follow(resource, {"metadata_only": True}, watch_list=watch_list)
    server.create(body | {"metadata": {"name": "watched", "namespace": "default"}})
    seen = [changes.get(DEADLINE).object for _ in range(2)]
    assert [obj.name for obj in seen] == ["listed", "watched"]
    assert informer.lister.get("watched", "default") is seen[1]
    for obj in seen:
        whole = obj.to_dict()
        assert (obj.kind, obj["kind"], whole["kind"], get_reference(obj)["kind"]) == (kind,) * 4
        assert (obj.api_version, whole["apiVersion"], get_reference(obj)["apiVersion"]) == (api_version,) * 3
        assert whole.keys() == {"kind", "apiVersion", "metadata"}


def test_metadata_only_objects_in_other_types_have_it_too(server: EmbeddedAPIServer, follow: Follow) -> None:
    """As a dict, and in the pages of a list-watch that is used by itself."""
    server.create(pod("a"))
    informer, _ = follow("pods", {"metadata_only": True, "model": dict})
    assert informer.by_key["default/a"]["kind"] == "Pod"
    source = ListWatch.for_resource(server.api_client(), "pods", metadata_only=True)
    page = source.list(ListOptions())
    assert [obj.kind for obj in page.items] == ["Pod"]
    watcher = source.watch(ListOptions(resource_version=page.resource_version))
    server.create(pod("b"))
    assert watcher.result_chan().get(DEADLINE).object.kind == "Pod"
    watcher.stop()


def test_a_model_of_another_kind_is_refused(server: EmbeddedAPIServer) -> None:
    """When it is given, if the resource is a built-in one; otherwise the first list says so."""
    api_client = server.api_client()
    for refuse in (
        lambda: ListWatch.for_resource(api_client, "pods", model=client.V1Deployment),
        lambda: ListWatch.for_resource(api_client, "pods", model=client.V1PodList),
        lambda: ListWatch.from_api(client.CoreV1Api(api_client).list_pod_for_all_namespaces, model=client.V1Node),
    ):
        with pytest.raises(
            TypeError, match=r"is of kind \w+, but pods are of kind Pod: pass the model class of that kind"
        ):
            refuse()
    ListWatch.for_resource(api_client, "events", model=client.CoreV1Event)
    ListWatch.for_resource(api_client, "apps/v1/Deployment", model=client.V1Deployment)
    source = ListWatch.for_resource(api_client, "customresourcedefinitions", model=client.V1CustomResourceDefinition)
    with SharedInformer(source) as informer:
        assert informer.wait_for_sync(DEADLINE)
    source = ListWatch.for_resource(api_client, "runtimeclasses.node.k8s.io", model=client.V1Pod)
    server.create(RUNTIME_CLASSES)
    with SharedInformer(source, backoff=Backoff(initial=0.01, maximum=0.05), watch_list=False) as informer:
        assert eventually(lambda: "is of kind Pod, but runtimeclasses.node.k8s.io" in str(informer.sync_error()))


@pytest.mark.parametrize(
    ("resource", "right", "wrong"),
    [
        ("events", client.CoreV1Event, client.EventsV1Event),
        ("v1/Event", client.CoreV1Event, client.EventsV1Event),
        ("events.events.k8s.io", client.EventsV1Event, client.CoreV1Event),
        ("events.k8s.io/v1/events", client.EventsV1Event, client.CoreV1Event),
    ],
)
def test_a_model_of_the_same_kind_in_another_group_is_refused(
    server: EmbeddedAPIServer, resource: str, right: type, wrong: type
) -> None:
    """The model is refused when it is given, since its class name says its group."""
    api_client = server.api_client()
    with pytest.raises(TypeError, match=rf"model={wrong.__name__} is of the API group \w+, but \S+ are of \S+: pass"):
        ListWatch.for_resource(api_client, resource, model=wrong)
    source = ListWatch.for_resource(api_client, resource, model=right)
    assert source.list(ListOptions()).items == []


def test_a_method_of_another_groups_events_is_refused(server: EmbeddedAPIServer) -> None:
    """`from_api` knows the group of its method."""
    api_client = server.api_client()
    for listing, wrong in (
        (client.CoreV1Api(api_client).list_event_for_all_namespaces, client.EventsV1Event),
        (client.EventsV1Api(api_client).list_event_for_all_namespaces, client.CoreV1Event),
    ):
        with pytest.raises(TypeError, match="is of the API group"):
            ListWatch.from_api(listing, model=wrong)


RUNTIME_CLASSES: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "runtimeclasses.node.k8s.io", "annotations": {"api-approved.kubernetes.io": "unapproved"}},
    "spec": {
        "group": "node.k8s.io",
        "scope": "Cluster",
        "names": {"plural": "runtimeclasses", "singular": "runtimeclass", "kind": "RuntimeClass"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def test_what_the_server_writes_is_compact(server: EmbeddedAPIServer, call: Any) -> None:
    """As a real server writes it: most tests then read the form that the fast ways of the parsers are made for."""
    server.create(pod("a"))
    for path in ("/api/v1/pods", "/api/v1/namespaces/default/pods/a", "/apis/apps/v1/deployments", "/apis"):
        body = call("GET", path).body
        assert body == msgspec.json.format(body, indent=-1).strip() + b"\n" * body.endswith(b"\n")
    assert call("GET", "/api/v1/pods").body.startswith(b'{"kind":"PodList","apiVersion":"v1","metadata":{')
    assert b'"items":[{"metadata":{"name":"a",' in call("GET", "/api/v1/pods").body
