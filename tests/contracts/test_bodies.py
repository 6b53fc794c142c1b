"""Request bodies that no well-behaved client sends, and bodies in YAML."""

from __future__ import annotations

import json
from typing import Any

import pytest

MAPS = "/api/v1/namespaces/{ns}/configmaps"
WIDGETS = "/apis/contracts.example.com/v1/namespaces/{ns}/widgets"
JSON, MERGE, STRATEGIC = (f"application/{name}+json" for name in ("json-patch", "merge-patch", "strategic-merge-patch"))
YAML = "application/yaml"

BOTH = pytest.mark.parametrize("path", [MAPS, WIDGETS], ids=["configmaps", "widgets"])


def new(path: str) -> dict[str, Any]:
    widget = {"apiVersion": "contracts.example.com/v1", "kind": "Widget"}
    return {**(widget if path == WIDGETS else {}), "metadata": {"name": "a"}}


CHUNKS = {
    "extension": "2;a=b\r\n{}\r\n0\r\n\r\n",
    "space behind the size": "2 \r\n{}\r\n0\r\n\r\n",
    "trailer": "2\r\n{}\r\n0\r\nX-A: b\r\n\r\n",
}


@pytest.mark.parametrize("case", CHUNKS)
def test_a_body_in_odd_chunks_is_read(servers, case):
    """The body, which has no name, gets 422, and the connection stays open."""
    head = (
        f"POST {MAPS} HTTP/1.1\r\nHost: x\r\n{{auth}}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
    )
    for side in servers.sides:
        status, headers, body, closed = side.send_raw(f"{head}\r\n\r\n{CHUNKS[case]}")
        assert (status, headers["content-type"]) == ("HTTP/1.1 422", "application/json"), side.name
        assert (json.loads(body)["code"], closed) == (422, False), side.name


METADATA = [
    ("name", 1),
    ("namespace", 1),
    ("uid", 1),
    ("resourceVersion", 1),
    ("selfLink", 1),
    ("generation", "1"),
    ("creationTimestamp", 1),
    ("creationTimestamp", "yesterday"),
    ("deletionTimestamp", "2026-11-28"),
    ("deletionGracePeriodSeconds", "1"),
    ("labels", []),
    ("labels", {"a": 1}),
    ("annotations", {"a": 1}),
    ("finalizers", "a"),
    ("finalizers", [1]),
    ("ownerReferences", {}),
    ("ownerReferences", [1]),
    ("managedFields", 1),
]


@BOTH
@pytest.mark.parametrize(("field", "value"), METADATA)
def test_a_patch_to_metadata_of_a_wrong_type_is_invalid(servers, path, field, value):
    """Such a patch gets 422, where a create or an update gets 400. The object does not change."""
    servers.ask("POST", path, new(path))
    merge = {"metadata": {field: value}}
    operations = [{"op": "add", "path": f"/metadata/{field}", "value": value}]
    patches = [(MERGE, merge), (JSON, operations), (STRATEGIC, merge)]
    for media, patch in patches if path == MAPS else patches[:2]:
        answer = servers.ask("PATCH", f"{path}/a", patch, media=media, only=("reason", "code"))
        assert (answer.status, answer.body) == (422, {"reason": "Invalid", "code": 422}), media
    assert servers.ask("GET", f"{path}/a").status == 200


@BOTH
@pytest.mark.parametrize("patch", [{"metadata": 1}, {"metadata": []}, {"kind": 1}, {"apiVersion": 1}], ids=str)
def test_a_patch_to_an_object_of_a_wrong_type_is_invalid(servers, path, patch):
    """kind and apiVersion of a wrong type get 422 too."""
    servers.ask("POST", path, new(path))
    assert servers.ask("PATCH", f"{path}/a", patch, media=MERGE, only=("reason",)).status == 422


@pytest.mark.parametrize(("field", "value"), [("creationTimestamp", "yesterday"), ("deletionTimestamp", "2026-11-28")])
def test_a_malformed_time_is_refused(servers, field, value):
    """A create and an update get 400."""
    servers.ask("POST", MAPS, {"metadata": {"name": "a"}})
    body = {"metadata": {"name": "a", field: value}}
    assert servers.ask("POST", MAPS, body, any_message=True).status == 400
    assert servers.ask("PUT", f"{MAPS}/a", body, any_message=True).status == 400


DELETE_OPTIONS: dict[str, tuple[str, bytes, int]] = {
    "dry run": (YAML, b"dryRun: [All]\n", 200),
    "with its type": (YAML, b"apiVersion: v1\nkind: DeleteOptions\ndryRun: [All]\n", 200),
    "JSON": (YAML, b'{"dryRun":["All"]}', 200),
    "with a charset": ("application/yaml; charset=utf-8", b"dryRun: [All]\n", 200),
    "two documents": (YAML, b"dryRun: [All]\n---\na: 1\n", 200),
    "a key that is a number": (YAML, b"1: 2\ndryRun: [All]\n", 200),
    "a key twice": (YAML, b"dryRun: []\ndryRun: [All]\n", 200),
    "an alias": (YAML, b"x: &a [All]\ndryRun: *a\n", 200),
    "a date": (YAML, b"x: 2001-01-01\ndryRun: [All]\n", 200),
    "malformed": (YAML, b"a: [\n", 400),
    "a list": (YAML, b"- a\n", 400),
    "a scalar": (YAML, b"a\n", 400),
    "a wrong type": (YAML, b"dryRun: All\n", 400),
    "a Python object": (YAML, b"dryRun: !!python/object:x {}\n", 400),
    "not a number": (YAML, b"x: .nan\ndryRun: [All]\n", 400),
    "another kind": (YAML, b"apiVersion: v1\nkind: ConfigMap\ndryRun: [All]\n", 400),
    "YAML as JSON": ("application/json", b"dryRun: [All]\n", 400),
    "text": ("text/plain", b"dryRun: [All]\n", 415),
    "another name of YAML": ("application/x-yaml", b"dryRun: [All]\n", 415),
}


@pytest.mark.parametrize("case", DELETE_OPTIONS)
def test_options_of_a_deletion_in_yaml(servers, case):
    """They are read like those in JSON. Each of these is a dry run or an error, so the object is not deleted."""
    media, body, status = DELETE_OPTIONS[case]
    servers.ask("POST", MAPS, {"metadata": {"name": "a"}})
    assert servers.ask("DELETE", f"{MAPS}/a", body, media=media, any_message=True).status == status
    assert servers.ask("GET", f"{MAPS}/a").status == 200
    assert servers.ask("DELETE", f"{MAPS}/a", b"{}\n", media=YAML).status == 200
    assert servers.ask("GET", f"{MAPS}/a").status == 404


@BOTH
def test_an_object_in_yaml(servers, path):
    """Creates and updates accept YAML."""
    head = b"apiVersion: contracts.example.com/v1\nkind: Widget\n" if path == WIDGETS else b""
    text = head + b"metadata:\n  name: a\n  labels: {b: c}\n"
    assert servers.ask("POST", path, text, media=YAML).status == 201
    servers.keep_version()
    changed = head + b"metadata:\n  name: a\n  annotations: {d: '1'}\n"
    if path == MAPS:
        assert servers.ask("PUT", f"{path}/a", changed, media=YAML).body["metadata"]["annotations"] == {"d": "1"}
    assert servers.ask("POST", path, head + b"metadata: [\n", media=YAML, any_message=True).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"metadata":{"name":"a"},"data":{"b":"\\ud83g"}}',
        b'{"metadata":{"name":"a"},"data":{"b":"\\ud800',
        b'{"metadata":{"name":"a"},"data":{"b":"\x01"}}',
        b'\xef\xbb\xbf{"metadata":{"name":"a"}}',
        '{"metadata":{"name":"a"}}'.encode("utf-16"),
    ],
    ids=["escape", "cut", "control", "byte order mark", "UTF-16"],
)
def test_malformed_json_is_refused(servers, body):
    """400, and not an object with what could be read."""
    assert servers.ask("POST", MAPS, body, any_message=True).status == 400


@pytest.mark.parametrize("form", ["", ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"])
def test_an_answer_in_yaml(servers, form):
    """An object, its metadata, a refusal; but not a watch."""
    servers.ask("POST", MAPS, {"metadata": {"name": "in-yaml"}, "data": {"a": "yes", "b": "1", "c": "x: y\n"}})
    path = f"{MAPS}/in-yaml"
    assert servers.ask("GET", path, accept=f"{YAML}{form}").headers["Content-Type"] == YAML
    assert servers.ask("GET", f"{path}-not", accept=f"{YAML}{form}").status == 404
    refused = servers.ask("GET", MAPS, query={"watch": "true"}, accept=YAML)
    assert (refused.status, refused.body["reason"]) == (406, "NotAcceptable")


def test_a_list_in_yaml(servers):
    """With its kind and the metadata of the list."""
    query = {"labelSelector": "in=yaml"}
    servers.ask("POST", MAPS, {"metadata": {"name": "listed", "labels": {"in": "yaml"}}})
    listed = servers.ask("GET", MAPS, query=query, accept=YAML)
    assert (listed.body["kind"], len(listed.body["items"])) == ("ConfigMapList", 1)
