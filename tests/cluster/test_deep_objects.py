"""Objects that are nested more deeply than Python decodes, which any tenant who may create objects can send."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from informer import ListWatch, Object, SharedInformer
from tests.support.objects import custom_resource
from tests.support.waiting import DEADLINE, PROMPT, eventually
from watch import Channel

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

MERGE = "application/merge-patch+json"
WAYS = pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b'{"metadata":{"name":"\\"}{"}}' + b"}" * levels


def send(cluster: Any, method: str, path: str, body: bytes, media: str = "application/json") -> None:
    """Sends bytes, since `json` cannot write such nesting."""
    headers = cluster._headers | {"Content-Type": media}
    response = cluster._http.request(method, cluster.plane.url + path, body=body, headers=headers)
    assert response.status < 300, response.data[:300]


def check(
    cluster: Any, list_watch: Any, path: str, body: bytes, field: bytes, levels: int, *, watch_list: bool
) -> None:
    """Follows deep objects that are changed once a second, and objects of another tenant, whose updates arrive at once."""

    def named(name: str, value: bytes) -> bytes:
        return body % (name.encode(), value)

    for name, value in (("old", deep(levels)), ("patched", b"{}"), ("other", b"{}")):
        send(cluster, "POST", path, named(name, value))
    calls: Channel[tuple[str, str]] = Channel(None)

    def take(count: int) -> list[tuple[str, str]]:
        return sorted(calls.get(DEADLINE) for _ in range(count))

    with SharedInformer(list_watch, watch_list=watch_list) as informer:
        # The server's managedFields of such an object are as deep, so that its whole metadata cannot be decoded.
        informer.add_event_handler(
            on_add=lambda obj: calls.put(("add", obj.name)),
            on_update=lambda old, new: calls.put(("update", new.name)),
            on_delete=lambda obj: calls.put(("delete", obj.name)),
        )
        assert informer.wait_for_sync(30)
        assert take(3) == [("add", "old"), ("add", "other"), ("add", "patched")]
        # The data of a revision cannot be changed.
        if field == b"spec":
            send(cluster, "PATCH", f"{path}/patched", b'{"spec":{"z":%b}}' % deep(levels), MERGE)
        else:
            send(cluster, "PATCH", f"{path}/patched", b'{"revision":2}', MERGE)
        send(cluster, "POST", path, named("new", deep(levels)))
        assert take(2) == [("add", "new"), ("update", "patched")]
        for number in range(3):
            for name in ("old", "patched", "new", "other"):
                send(cluster, "PATCH", f"{path}/{name}", b'{"metadata":{"labels":{"n":"%d"}}}' % number, MERGE)
            begun = time.monotonic()
            assert take(4) == [("update", name) for name in ("new", "old", "other", "patched")]
            assert time.monotonic() - begun < PROMPT
        send(cluster, "DELETE", f"{path}/old", b"")
        assert take(1) == [("delete", "old")]
        assert eventually(lambda: len(informer.indexer) == 3)
        deep_names = {"new", "patched"} if field == b"spec" else {"new"}
        for obj in informer.indexer.list():
            assert isinstance(obj, Object)
            assert (dict(obj.labels), bool(obj.kind)) == ({"n": "2"}, True)
            assert (b'{"a":' * levels in obj.raw) == (obj.name in deep_names)
        assert informer.sync_error() is None


@pytest.mark.parametrize(
    ("levels", "watch_list"), [(1_200, True), pytest.param(9_000, False, marks=pytest.mark.thorough)]
)
def test_deep_custom_resources_are_followed(cluster: Any, namespace: Any, levels: int, watch_list: Any) -> None:
    """Deep objects of a custom resource that keeps unknown fields are followed."""
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
    """Deep objects of a built-in kind, in the `data` of a ControllerRevision, are followed."""
    body = b'{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"%b"},"revision":1,"data":%b}'
    list_watch = ListWatch.for_resource(cluster.api_client, "controllerrevisions.apps", namespace=namespace.name)
    path = namespace.path("controllerrevisions", "apps/v1")
    check(cluster, list_watch, path, body, b"data", levels, watch_list=watch_list)
