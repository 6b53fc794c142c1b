"""Answers and bodies in protobuf: both servers choose the same format, and what they send is the same as in JSON."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.protobuf_bodies import request_body

MAPS = "/api/v1/namespaces/{ns}/configmaps"
PODS = "/api/v1/namespaces/{ns}/pods"
WIDGETS = "/apis/contracts.example.com/v1/namespaces/{ns}/widgets"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{ns}/deployments"
JSON, PROTOBUF = "application/json", "application/vnd.kubernetes.protobuf"
METADATA, METADATA_LIST = (
    f"{PROTOBUF};as=PartialObjectMetadata{end};g=meta.k8s.io;v=v1,{JSON};as=PartialObjectMetadata{end};g=meta.k8s.io;v=v1"
    for end in ("", "List")
)
EITHER = f"{PROTOBUF},{JSON}"
WATCH_LIST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}


def config_map(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, **more}, "data": {"a": "b"}}


def widget(name: str = "a") -> dict[str, Any]:
    return {"kind": "Widget", "apiVersion": "contracts.example.com/v1", "metadata": {"name": name}}


@pytest.fixture
def filled(servers: Any) -> Any:
    """The servers, with three ConfigMaps and a Widget."""
    for name in ("a", "b", "c"):
        servers.ask("POST", MAPS, config_map(name, labels={"app": name}))
    servers.ask("POST", WIDGETS, widget())
    return servers


@pytest.mark.parametrize("accept", [PROTOBUF, EITHER, f"{PROTOBUF};stream=watch", f"{JSON};q=0.5,{PROTOBUF}"])
def test_objects_and_lists_of_built_in_kinds_are_in_protobuf(filled, accept):
    for path in (MAPS, f"{MAPS}/a"):
        answer = filled.ask("GET", path, accept=accept)
        assert answer.headers["Content-Type"] == PROTOBUF
        same = filled.ask("GET", path).body
        assert answer.body == same


@pytest.mark.parametrize("accept", [f"{JSON},{PROTOBUF}", f"{PROTOBUF};q=0.5,{JSON}", "*/*", ""])
def test_clients_that_prefer_json_get_it(filled, accept):
    assert filled.ask("GET", MAPS, accept=accept).headers["Content-Type"] == JSON


def test_a_long_list_comes_in_pages(filled):
    first = filled.ask("GET", MAPS, query={"limit": "2"}, accept=PROTOBUF)
    assert first.body["metadata"]["remainingItemCount"] == 1
    filled.keep("next", lambda body: body["metadata"]["continue"])
    rest = filled.ask("GET", MAPS, query={"limit": "2", "continue": "{next}"}, accept=PROTOBUF)
    assert [item["metadata"]["name"] for item in rest.body["items"]] == ["c"]


def test_custom_resources_are_in_json_only(filled):
    for path in (WIDGETS, f"{WIDGETS}/a"):
        assert filled.ask("GET", path, accept=EITHER).headers["Content-Type"] == JSON
        refused = filled.ask("GET", path, accept=PROTOBUF, any_message=True)
        assert (refused.status, refused.headers["Content-Type"]) == (406, PROTOBUF)
    assert filled.watch(WIDGETS, 1, accept=EITHER, state=1).headers["Content-Type"] == JSON
    assert filled.watch(WIDGETS, 0, accept=PROTOBUF, any_message=True).status == 406


@pytest.mark.parametrize("path", [MAPS, WIDGETS], ids=["configmaps", "widgets"])
def test_metadata_of_any_kind_are_in_protobuf(filled, path):
    for where, accept in ((path, METADATA_LIST), (f"{path}/a", METADATA)):
        answer = filled.ask("GET", where, accept=accept)
        assert answer.headers["Content-Type"] == PROTOBUF
    events = filled.watch(path, 1, accept=METADATA, query={"fieldSelector": "metadata.name=a"}, state=1)
    assert events.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
    assert events.body[0]["object"]["kind"] == "PartialObjectMetadata"


@pytest.mark.parametrize("accept", [PROTOBUF, METADATA], ids=["whole", "metadata"])
def test_a_watch_is_in_protobuf(servers, accept):
    """All events, with the bookmark that ends the initial state."""
    servers.ask("POST", MAPS, config_map())

    def change() -> None:
        servers.ask("POST", MAPS, config_map("late"), accept=PROTOBUF)
        servers.ask("PATCH", f"{MAPS}/a", {"data": {"c": "d"}}, media="application/merge-patch+json", accept=PROTOBUF)
        servers.ask("DELETE", f"{MAPS}/a", accept=PROTOBUF)

    query = {**WATCH_LIST, "fieldSelector": "metadata.name!=kube-root-ca.crt"}
    answer = servers.watch(MAPS, 5, query=query, accept=accept, then=change)
    assert [event["type"] for event in answer.body] == ["ADDED", "BOOKMARK", "ADDED", "MODIFIED", "DELETED"]
    assert answer.headers["Content-Type"] == f"{PROTOBUF};stream=watch"


FORMATS = pytest.mark.parametrize(
    ("accept", "wanted"),
    # A client that requests metadata only gets refusals in JSON.
    [(PROTOBUF, PROTOBUF), (EITHER, PROTOBUF), (METADATA_LIST, JSON)],
    ids=["protobuf", "either", "metadata"],
)
REFUSED = [
    (404, "/api/v1/nothing", {}),
    (404, f"{MAPS}/none", {}),
    (400, MAPS, {"resourceVersion": "x"}),
    (400, MAPS, {"labelSelector": "!!"}),
    (422, MAPS, {"resourceVersionMatch": "Exact"}),
    (504, MAPS, {"resourceVersion": "99999999"}),
]


@FORMATS
def test_refusals_are_in_the_preferred_format(servers, accept, wanted):
    for status, path, query in REFUSED:
        answer = servers.ask("GET", path, query=query, accept=accept, any_message=True)
        assert (answer.status, answer.headers["Content-Type"]) == (status, wanted)


@FORMATS
def test_clients_without_rights_are_refused_in_the_preferred_format(without_rights, accept, wanted):
    for status, user in ((401, "wrong"), (403, "nobody")):
        answer = without_rights.ask("GET", MAPS, accept=accept, user=user)
        assert (answer.status, answer.headers["Content-Type"]) == (status, wanted)


def test_writes_are_in_protobuf(servers):
    """Create, update, scale and delete as client-go does them."""
    created = servers.ask("POST", MAPS, request_body(config_map()), media=PROTOBUF, accept=PROTOBUF)
    assert (created.status, created.headers["Content-Type"]) == (201, PROTOBUF)
    changed = request_body({**config_map(), "data": {"a": "c"}, "binaryData": {"d": "AAE="}})
    updated = servers.ask("PUT", f"{MAPS}/a", changed, media=PROTOBUF, accept=EITHER)
    assert (updated.body["data"], updated.body["binaryData"]) == ({"a": "c"}, {"d": "AAE="})
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}
    deleted = servers.ask("DELETE", f"{MAPS}/a", request_body(options), media=PROTOBUF, accept=PROTOBUF)
    assert (deleted.status, deleted.body["kind"]) == (200, "Status")
    assert servers.ask("GET", f"{MAPS}/a", accept=PROTOBUF).status == 404


def test_a_precondition_in_protobuf_is_checked(servers):
    servers.ask("POST", MAPS, config_map())
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}}
    answer = servers.ask(
        "DELETE", f"{MAPS}/a", request_body(options), media=PROTOBUF, accept=PROTOBUF, only=("reason",)
    )
    assert answer.status == 409


def test_the_scale_of_a_deployment_is_in_protobuf(servers):
    labels = {"matchLabels": {"a": "b"}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    servers.ask(
        "POST", DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": {"selector": labels, "template": template}}, like={}
    )
    scale = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "d"}, "spec": {"replicas": 3}}
    scale["metadata"] |= {"namespace": servers.sides[0].known["ns"]}  # type: ignore[operator]
    answer = servers.ask("PUT", f"{DEPLOYMENTS}/d/scale", request_body(scale), media=PROTOBUF, accept=PROTOBUF)
    assert answer.headers["Content-Type"] == PROTOBUF
    assert answer.body["spec"] == {"replicas": 3}
    assert servers.ask("GET", f"{DEPLOYMENTS}/d/scale", accept=EITHER).body["spec"] == {"replicas": 3}


WRONG = {
    "empty": b"",
    "not protobuf": b"garbage",
    "cut off": request_body(config_map())[:30],
    "unknown kind": b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Foo\x12\x05\x0a\x03\x0a\x01z\x1a\x00\x22\x00",
    "malformed": b"k8s\0garbage",
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_a_body_that_is_not_such_an_object_is_refused(servers, body):
    for method, path in (("POST", MAPS), ("PUT", f"{MAPS}/a")):
        answer = servers.ask(method, path, body, media=PROTOBUF, accept=PROTOBUF, any_message=True)
        assert (answer.status, answer.headers["Content-Type"]) == (400, PROTOBUF)


def test_an_unknown_media_type_is_refused_in_protobuf(servers):
    answer = servers.ask("POST", MAPS, b"x", media="application/x", accept=PROTOBUF)
    assert (answer.status, answer.headers["Content-Type"]) == (415, PROTOBUF)
    servers.ask("POST", MAPS, config_map())
    answer = servers.ask("PATCH", f"{MAPS}/a", request_body(config_map()), media=PROTOBUF, accept=PROTOBUF)
    assert answer.status == 415


def test_a_long_answer_is_compressed(servers):
    """A long list, and a watch that begins with the state; both are decoded here by the client's library."""
    for name in ("a", "b"):
        servers.ask("POST", MAPS, {**config_map(name), "data": {"a": "b" * 100_000}}, accept=PROTOBUF)
    headers = servers.ask("GET", MAPS, accept=PROTOBUF, gzip=True).headers
    assert headers == {"Content-Type": PROTOBUF, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    query = {**WATCH_LIST, "fieldSelector": "metadata.name!=kube-root-ca.crt"}
    answer = servers.watch(MAPS, 3, query=query, accept=PROTOBUF, state=2, gzip=True)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.body) == 3
