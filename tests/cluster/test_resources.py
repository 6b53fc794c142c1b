"""Built-in and custom resources, followed whole or in part: by selectors, metadata only, in pages, by shards."""

from __future__ import annotations

import dataclasses
import logging
import uuid

import pytest

from informer import ApiError, ListWatch
from tests.support.objects import custom_resource
from watch import Channel, ListOptions

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

BOTH_WAYS = pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])

TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "main", "image": "example.com/app:1"}]},
}
KINDS = {
    "deployments.apps": (
        "apps/v1",
        "deployments",
        {"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}},
        {"spec": {"replicas": 3}},
    ),
    "secrets": ("v1", "secrets", {"stringData": {"password": "hunter2"}}, {"stringData": {"password": "hunter3"}}),
    "leases.coordination.k8s.io": (
        "coordination.k8s.io/v1",
        "leases",
        {"spec": {"holderIdentity": "one", "leaseDurationSeconds": 15}},
        {"spec": {"holderIdentity": "two"}},
    ),
    "v1/events": (
        "v1",
        "events",
        {"involvedObject": {"kind": "Pod", "name": "a"}, "reason": "Started", "type": "Normal"},
        {"count": 2},
    ),
    "events.events.k8s.io": (
        "events.k8s.io/v1",
        "events",
        {
            "eventTime": "2026-11-24T10:00:00.000000Z",
            "reportingController": "example.com/controller",
            "reportingInstance": "one",
            "action": "Start",
            "reason": "Started",
            "type": "Normal",
        },
        {"metadata": {"annotations": {"seen": "yes"}}},
    ),
}


@pytest.mark.parametrize("resource", KINDS)
def test_built_in_resources_are_followed(namespace, informers, caplog, resource):
    """The cache equals the list through creation, change and deletion; no secret is logged."""
    caplog.set_level(logging.DEBUG)
    group_version, plural, body, change = KINDS[resource]
    path = namespace.path(plural, group_version)
    body = {"metadata": {"name": "first", "namespace": namespace.name}, **body}
    if resource == "v1/events":
        body["involvedObject"] = {**body["involvedObject"], "namespace": namespace.name}
    if resource == "events.events.k8s.io":
        body["regarding"] = {"kind": "Pod", "name": "a", "namespace": namespace.name}
    cluster = namespace.cluster
    cluster.create(path, body)
    informer = informers.start(namespace.list_watch(resource))
    informers.wait_until_equal(informer, cluster, path)
    cluster.patch(f"{path}/first", change)
    cluster.create(path, {**body, "metadata": {"name": "second", "namespace": namespace.name}})
    informers.wait_until_equal(informer, cluster, path)
    assert len(informer.store) == 2
    cluster.delete(f"{path}/first")
    informers.wait_until_equal(informer, cluster, path)
    assert "aHVudGVy" not in caplog.text + repr(informer.store.list())


class Follower:
    """An informer of a resource that is defined and withdrawn, with its handler's calls and its failures."""

    def __init__(self, informers, list_watch, *, watch_list):
        self.received = Channel(None)
        self.failures = Channel(None)
        self.informer = informers.start(
            list_watch,
            synced=False,
            watch_list=watch_list,
            watch_error_handler=lambda informer, error: self.failures.put(error),
        )
        self.informer.add_event_handler(
            on_add=lambda obj: self.received.put(("add", obj.name, obj["spec"]["size"])),
            on_update=lambda old, new: self.received.put(("update", new.name, new["spec"]["size"])),
            on_delete=lambda obj: self.received.put(("delete", obj.name)),
        )


def test_custom_resource_is_followed_whenever_it_is_defined(namespace, informers):
    """An informer started before its definition waits, follows the objects, loses them with the definition, and recovers."""
    # Both ways to list are in one test, because the server takes seconds to remove a definition.
    cluster = namespace.cluster
    group = f"g{uuid.uuid4().hex[:8]}.example.com"
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    path = namespace.path("widgets", f"{group}/v1")
    resource = f"widgets.{group}"
    followers = [
        Follower(informers, namespace.list_watch(resource), watch_list=watch_list) for watch_list in (False, True)
    ]
    for follower in followers:
        assert follower.failures.get(10).status == 404
        assert isinstance(follower.informer.sync_error(), ApiError)
        assert resource in str(follower.informer.sync_error())

    cluster.create(definitions, custom_resource(group))
    assert all(follower.informer.wait_for_sync(20) for follower in followers)
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1}}
    cluster.create(path, widget)
    cluster.patch(f"{path}/one", {"spec": {"size": 2}})
    for follower in followers:
        assert [follower.received.get(10) for _ in range(2)] == [("add", "one", 1), ("update", "one", 2)]
        informers.wait_until_equal(follower.informer, cluster, path)
        while len(follower.failures):
            follower.failures.get(0)

    cluster.delete(f"{definitions}/{resource}")
    for follower in followers:
        assert follower.received.get(20) == ("delete", "one")
        error = follower.failures.get(20)
        assert getattr(error, "status", None) == 404, repr(error)
        assert len(follower.informer.store) == 0
        assert follower.informer.sync_error() is not None

    cluster.create(definitions, custom_resource(group))
    informers.wait_until(lambda: all(follower.informer.sync_error() is None for follower in followers))
    cluster.create(path, widget)
    for follower in followers:
        assert follower.received.get(20) == ("add", "one", 1)


@BOTH_WAYS
def test_label_selector_turns_changes_into_adds_and_deletes(namespace, informers, watch_list):
    """An object that starts to match is an add, one that stops matching a delete of its previous state."""
    namespace.create_pods("match", tier="web")
    namespace.create_pods("other", tier="db")
    received = Channel(None)
    informer = informers.start(namespace.list_watch(label_selector="tier in (web, api)"), watch_list=watch_list)
    assert [obj.name for obj in informer.store.list()] == ["match"]
    informer.add_event_handler(
        on_add=lambda obj: received.put(("add", obj.name)),
        on_update=lambda old, new: received.put(("update", new.name)),
        on_delete=lambda obj, *, final_state_unknown: received.put(("delete", obj.name, final_state_unknown)),
    )
    assert received.get(10) == ("add", "match")
    namespace.label_pod("other", tier="api")
    namespace.label_pod("match", tier="api")
    namespace.label_pod("match", tier=None)
    assert [received.get(10) for _ in range(3)] == [("add", "other"), ("update", "match"), ("delete", "match", False)]
    assert [obj.name for obj in informer.store.list()] == ["other"]


@BOTH_WAYS
def test_field_selector_follows_a_status(namespace, informers, watch_list):
    """Pods enter and leave the cache by a field of their status, which is written through the subresource."""
    namespace.create_pods("a", "b")
    informer = informers.start(namespace.list_watch(field_selector="status.phase=Running"), watch_list=watch_list)
    assert informer.store.list() == []
    status = {"status": {"phase": "Running"}}
    running = namespace.cluster.patch(f"{namespace.pods}/a/status", status)["metadata"]["resourceVersion"]
    assert informer.wait_for_resource_version(running, 10)
    assert [(obj.name, obj.at("status.phase")) for obj in informer.store.list()] == [("a", "Running")]
    namespace.cluster.patch(f"{namespace.pods}/a/status", {"status": {"phase": "Succeeded"}})
    assert informer.wait_until(lambda: informer.store.list() == [], 10)


@BOTH_WAYS
def test_metadata_only(namespace, informers, watch_list):
    """With `metadata_only` objects have their whole metadata, and neither spec nor status."""
    namespace.create_pods("a", color="red")
    informer = informers.start(namespace.list_watch(metadata_only=True), watch_list=watch_list)
    version = namespace.create_pods("b", color="blue")[0]["metadata"]["resourceVersion"]
    assert informer.wait_for_resource_version(version, 10)
    cached = informers.cached(informer)
    listed = namespace.cluster.items(namespace.pods)
    assert {key: item["metadata"] for key, item in cached.items()} == {
        key: item["metadata"] for key, item in listed.items()
    }
    assert {item["kind"] for item in cached.values()} == {"Pod"}
    assert {key for item in cached.values() for key in item} == {"apiVersion", "kind", "metadata"}
    namespace.delete_pod("a")
    assert informer.wait_until(lambda: [obj.name for obj in informer.store.list()] == ["b"], 10)


@pytest.fixture(scope="module")
def crowd(make_namespace):
    """A namespace with 500 pods."""
    namespace = make_namespace()
    namespace.create_pods(*(f"pod-{i:03}" for i in range(500)))
    return namespace


def from_etcd(options):
    """Returns options for a list from etcd: the watch cache ignores limits."""
    return options if options.continue_ else dataclasses.replace(options, resource_version="")


def test_large_list_is_paged(crowd, informers):
    """500 pods at 50 per page are ten lists of one resourceVersion, and the cache holds them all."""
    pages = []

    def list_page(options):
        page = inner.list(from_etcd(options))
        pages.append(page)
        return page

    inner = crowd.list_watch()
    informer = informers.start(ListWatch(list_page, inner.watch), watch_list=False, page_size=50)
    assert [len(page.items) for page in pages] == [50] * 10
    assert len({page.resource_version for page in pages}) == 1
    assert informers.reflector(informer).lists == 10
    informers.wait_until_equal(informer, crowd.cluster, crowd.pods)
    assert len(informer.store) == 500


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@BOTH_WAYS
def test_large_first_list_is_complete(crowd, informers, watch_list, gzip):
    """500 pods come in one list or one watch list, compressed or not, and none is missing."""
    informer = informers.start(crowd.list_watch(gzip=gzip), watch_list=watch_list)
    assert len(informer.store) == 500
    informers.wait_until_equal(informer, crowd.cluster, crowd.pods)


@BOTH_WAYS
def test_shards_are_disjoint_and_complete(crowd, informers, watch_list):
    """With a shard selector (KEP-5866) two informers each hold their part of the objects by uid, together all of them."""
    middle = "0x8000000000000000"
    ranges = [("0x0000000000000000", middle), (middle, "0x10000000000000000")]
    parts = []
    for start, end in ranges:
        selector = f"shardRange(object.metadata.uid, '{start}', '{end}')"
        list_watch = crowd.list_watch().tweaked(
            lambda options, selector=selector: dataclasses.replace(options, shard_selector=selector)
        )
        assert list_watch.list(ListOptions()).shard_selector == selector
        informer = informers.start(list_watch, watch_list=watch_list)
        parts.append(set(informer.store.list_keys()))
    assert all(len(part) > 100 for part in parts)
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == 500
