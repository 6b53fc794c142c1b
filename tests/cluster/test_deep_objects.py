"""Objects that are nested more deeply than Python decodes, which any tenant who may create objects can send."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from informer import ListWatch, Object, SharedInformer
from tests.support.informers import Recorder
from tests.support.objects import custom_resource
from tests.support.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

MERGE = "application/merge-patch+json"
WAYS = pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b'{"metadata":{"name":"\\"}{"}}' + b"}" * levels


def send(cluster: Any, method: str, path: str, body: bytes, media: str = "application/json") -> int:
    """Sends bytes, since `json` writes no such nesting; returns the answer's status."""
    headers = cluster._headers | {"Content-Type": media}
    response = cluster._http.request(method, cluster.plane.url + path, body=body, headers=headers)
    assert response.status < 300 or response.status in (400, 413), response.data[:300]
    return int(response.status)


def check(
    cluster: Any, list_watch: Any, path: str, body: bytes, field: bytes, levels: int, *, watch_list: bool
) -> None:
    """Follows deep objects that are changed once a second, and objects of another tenant, whose updates arrive at once."""

    def named(name: str, value: bytes) -> bytes:
        return body % (name.encode(), value)

    for name, value in (("old", deep(levels)), ("patched", b"{}"), ("other", b"{}")):
        send(cluster, "POST", path, named(name, value))
    calls = Recorder()
    with SharedInformer(list_watch, watch_list=watch_list) as informer:
        informer.add_event_handler(calls)
        assert informer.wait_for_sync(30)
        assert sorted(call.key.rpartition("/")[2] for call in calls.take(3)) == ["old", "other", "patched"]
        assert send(cluster, "PATCH", f"{path}/patched", b'{"%b":{"z":%b}}' % (field, deep(levels)), MERGE) == 200
        send(cluster, "POST", path, named("new", deep(levels)))
        assert [call.what for call in calls.take(2)] == ["update", "add"]
        for number in range(3):
            for name in ("old", "patched", "new", "other"):
                send(cluster, "PATCH", f"{path}/{name}", b'{"metadata":{"labels":{"n":"%d"}}}' % number, MERGE)
            begun = time.monotonic()
            assert [call.what for call in calls.take(4)] == ["update"] * 4
            assert time.monotonic() - begun < 1.5
        send(cluster, "DELETE", f"{path}/old", b"")
        assert [call.what for call in calls.take(1)] == ["delete"]
        assert eventually(lambda: len(informer.indexer) == 3)
        for obj in informer.indexer.list():
            assert isinstance(obj, Object)
            assert (dict(obj.labels), bool(obj.kind)) == ({"n": "2"}, True)
            assert (b'{"a":' * levels in obj.raw) == (obj.name != "other")
        assert informer.sync_error() is None


@WAYS
@pytest.mark.parametrize("levels", [1_200, 9_000])
def test_deep_custom_resources_are_followed(cluster: Any, namespace: Any, levels: int, watch_list: Any) -> None:
    """Objects of a custom resource that keeps unknown fields."""
    group = f"deep{uuid.uuid4().hex[:8]}.example.com"
    cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", custom_resource(group))
    path = namespace.path("widgets", f"{group}/v1")
    body = b'{"apiVersion":"%b/v1","kind":"Widget","metadata":{"name":"%%b"},"spec":%%b}' % group.encode()

    def is_served() -> bool:
        answer = cluster._http.request("GET", cluster.plane.url + path, headers=cluster._headers)
        return bool(answer.status == 200)

    assert eventually(is_served)
    list_watch = ListWatch.for_resource(cluster.api_client, f"widgets.{group}", namespace=namespace.name)
    check(cluster, list_watch, path, body, b"spec", levels, watch_list=watch_list)


@WAYS
@pytest.mark.parametrize("levels", [1_200, 9_000])
def test_deep_revisions_are_followed(cluster: Any, namespace: Any, levels: int, watch_list: Any) -> None:
    """The `data` of a ControllerRevision: a built-in kind."""
    body = b'{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"%b"},"revision":1,"data":%b}'
    list_watch = ListWatch.for_resource(cluster.api_client, "controllerrevisions.apps", namespace=namespace.name)
    path = namespace.path("controllerrevisions", "apps/v1")
    check(cluster, list_watch, path, body, b"data", levels, watch_list=watch_list)
