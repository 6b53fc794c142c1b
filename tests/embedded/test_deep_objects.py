"""Objects that are nested as deeply as an API server accepts: followed like any other, beside those of other tenants."""

from __future__ import annotations

import json
import logging
import pickle
from typing import Any

import msgspec
import pytest

from informer import ListWatch, Object, SharedInformer, index_by
from tests.support.informers import Recorder
from tests.support.objects import config_map, custom_resource
from tests.support.waiting import eventually

WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
MERGE = "application/merge-patch+json"
DEPTHS = pytest.mark.parametrize("levels", [1_200, 9_000])
WAYS = pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])


def deep(levels: int) -> bytes:
    """Returns nested fields, of which the innermost look like an object's own."""
    return b'{"a":' * levels + b'{"metadata":{"name":"x\\"}{"}}' + b"}" * levels


def widget(name: str, spec: bytes) -> bytes:
    head = b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"%b","labels":{"app":"web"}},"n":"1","spec":'
    return head % name.encode() + spec + b"}"


@pytest.fixture
def widgets(server, call):
    server.create(custom_resource("example.com"))
    return server


def send(call, method: str, path: str, body: bytes, media: str = "application/json") -> Any:
    answer = call(method, path, body, media)
    assert answer.status < 300, answer.body[:300]
    return answer


def assert_no_relist(server) -> None:
    """One list and one watch, or one watch list: a watch that ended would show as one more request."""
    verbs = [each.verb for each in server.requests if each.resource == "widgets.example.com" and each.method == "GET"]
    assert verbs in (["list", "watch"], ["watch_list"])


@DEPTHS
@WAYS
@pytest.mark.parametrize("metadata_only", [False, True], ids=["whole", "metadata-only"])
def test_a_deep_object_is_followed_like_any_other(widgets, call, caplog, levels, watch_list, metadata_only):
    """A deep object in the first list, in a watch, or after patches causes no relist and no delete."""
    send(call, "POST", WIDGETS, widget("old", deep(levels)))
    send(call, "POST", WIDGETS, widget("other", b"{}"))
    list_watch = ListWatch.for_resource(widgets.api_client(), "widgets.example.com", metadata_only=metadata_only)
    calls = Recorder()
    with SharedInformer(list_watch, watch_list=watch_list) as informer:
        informer.add_event_handler(calls)
        assert informer.wait_for_sync(20)
        assert sorted(call.key for call in calls.take(2)) == ["default/old", "default/other"]
        send(call, "POST", WIDGETS, widget("new", deep(levels)))
        send(call, "POST", WIDGETS, widget("patched", b'{"a":1}'))
        send(call, "PATCH", f"{WIDGETS}/patched", b'{"spec":{"a":%b}}' % deep(levels), MERGE)
        for number in range(3):
            for name in ("patched", "old", "other"):
                patch = b'{"n":"%d","metadata":{"labels":{"n":"%d"}}}' % (number, number)
                send(call, "PATCH", f"{WIDGETS}/{name}", patch, MERGE)
        send(call, "DELETE", f"{WIDGETS}/new", b"")
        taken = calls.take(2 + 1 + 9 + 1)
        assert [call.what for call in taken] == ["add", "add", *["update"] * 10, "delete"]
        assert [call.detail for call in taken[-1:]] == [False]
        assert_no_relist(widgets)
        found = informer.indexer.get_by_key("default/patched")
        assert dict(found.labels) == {"app": "web", "n": "2"}
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


class Spec(msgspec.Struct):
    spec: Any = None


@DEPTHS
@pytest.mark.parametrize("model", [Spec, dict], ids=["struct", "dict"])
def test_a_model_that_needs_the_deep_part_leaves_the_object_out_with_a_reason(widgets, call, caplog, levels, model):
    """The object is reported by name as one that does not decode; the watch and other objects are not affected."""
    send(call, "POST", WIDGETS, widget("old", deep(levels)))
    send(call, "POST", WIDGETS, widget("patched", b"{}"))
    list_watch = ListWatch.for_resource(widgets.api_client(), "widgets.example.com", model=model)
    errors: dict[str, str] = {}
    with SharedInformer(
        list_watch, on_decode_error=lambda metadata, raw, error: errors.update({metadata.name: str(error)})
    ) as informer:
        assert informer.wait_for_sync(20)
        send(call, "PATCH", f"{WIDGETS}/patched", b'{"spec":{"a":%b}}' % deep(levels), MERGE)
        send(call, "POST", WIDGETS, widget("new", b"{}"))
        assert eventually(lambda: informer.indexer.list_keys() == ["default/new"])
        assert_no_relist(widgets)
    assert errors == dict.fromkeys(
        ["old", "patched"], "the object is nested too deeply to decode: its attribute raw has the JSON"
    )


def test_functions_of_the_user_that_exceed_the_stack_stop_nothing(widgets, call):
    """A RecursionError of a handler, an index function or a transform affects one object only."""

    def endless(obj: Any, *rest: Any) -> Any:
        if getattr(obj, "name", "") == "good":
            return obj if not rest else None
        return endless(obj, *rest)

    send(call, "POST", WIDGETS, widget("bad", b"{}"))
    list_watch = ListWatch.for_resource(widgets.api_client(), "widgets.example.com")
    indexers = {"endless": lambda obj: [endless(obj).name]}
    with SharedInformer(list_watch, indexers=indexers) as informer:
        informer.add_event_handler(on_add=endless, on_update=lambda old, new: endless(new))
        assert informer.wait_for_sync(20)
        send(call, "POST", WIDGETS, widget("good", b"{}"))
        assert eventually(lambda: [obj.name for obj in informer.indexer.by_index("endless", "good")] == ["good"])
        assert len(informer.indexer) == 2
    with SharedInformer(list_watch, transform=endless) as informer:
        assert informer.wait_for_sync(20)
        assert informer.indexer.list_keys() == ["default/good"]


@DEPTHS
def test_a_deep_object_in_the_server(widgets, call, levels):
    """The deep part is stored and sent unchanged. A patch of other parts is applied; a patch of the deep part is refused."""
    send(call, "POST", WIDGETS, widget("a", deep(levels)))
    assert deep(levels) in call("GET", f"{WIDGETS}/a").body
    assert deep(levels) in call("GET", WIDGETS).body
    send(
        call,
        "PATCH",
        f"{WIDGETS}/a",
        b'[{"op":"add","path":"/m","value":%b}]' % deep(levels),
        "application/json-patch+json",
    )
    applied = widget("a", b'{"z":1}')
    send(call, "PATCH", f"{WIDGETS}/a?fieldManager=f", applied, "application/apply-patch+yaml")
    body = call("GET", f"{WIDGETS}/a").body
    assert body.count(b'{"a":' * levels) == 2
    assert b'"z":1' in body
    refused = call("PATCH", f"{WIDGETS}/a", b'{"spec":%b}' % deep(levels), MERGE)
    assert refused.status == 400
    assert "nested too deeply" in refused.message
    send(call, "PATCH", f"{WIDGETS}/a", b'{"spec":null}', MERGE)
    version = Object.from_bytes(call("GET", f"{WIDGETS}/a").body).resource_version.encode()
    whole = widget("a", deep(levels)).replace(b'"name":"a",', b'"name":"a","resourceVersion":"%b",' % version)
    send(call, "PUT", f"{WIDGETS}/a", whole)
    send(call, "DELETE", f"{WIDGETS}/a", b"")


@DEPTHS
def test_revisions_with_deep_data_are_kept(server, call, levels):
    """Objects of a built-in kind with a free-form field are created, merged strategically, applied, and followed."""
    path = "/apis/apps/v1/namespaces/default/controllerrevisions"
    body = b'{"kind":"ControllerRevision","apiVersion":"apps/v1","metadata":{"name":"r"},"revision":1,"data":%b}'
    send(call, "POST", path, body % deep(levels))
    send(call, "PATCH", f"{path}/r", b'{"revision":2}', "application/strategic-merge-patch+json")
    list_watch = ListWatch.for_resource(server.api_client(), "controllerrevisions.apps")
    with SharedInformer(list_watch, indexers={"revision": index_by("revision")}) as informer:
        assert informer.wait_for_sync(20)
        (found,) = informer.indexer.by_index("revision", "2")
        assert deep(levels) in found.raw
        assert pickle.loads(pickle.dumps(found)) == found
        send(call, "PATCH", f"{path}/r", b'{"revision":3}', MERGE)
        assert eventually(lambda: informer.indexer.by_index("revision", "3"))


def test_a_config_map_beside_it_is_what_it_was(server):
    """An object in the process may be deep, too: a test can put it into the server as an Object."""
    raw = json.dumps(config_map("a")).encode()[:-1] + b',"x":' + deep(2_000) + b"}"
    server.create(Object.from_bytes(raw))
    assert server.get("configmaps", "a", namespace="default")["metadata"]["name"] == "a"
