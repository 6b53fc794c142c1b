"""Requests that few clients send: odd HTTP, and JSON that is nested very deeply."""

from __future__ import annotations

import json
from typing import Any

import pytest

NAMESPACE = "/api/v1/namespaces/{ns}"
MAPS = f"{NAMESPACE}/configmaps"
HOST = "Host: x\r\n{auth}\r\n"

# Users reported the first of these and the HTTP/1.0 watch below: a server that differs there misleads them.
ODD = {
    "HTTP/1.0 without Host": (200, f"GET {NAMESPACE} HTTP/1.0\r\n{{auth}}\r\n\r\n"),
    "HTTP/1.0 that keeps the connection": (
        200,
        f"GET {NAMESPACE} HTTP/1.0\r\nConnection: keep-alive\r\n{{auth}}\r\n\r\n",
    ),
    "missing Host": (400, f"GET {NAMESPACE} HTTP/1.1\r\n{{auth}}\r\n\r\n"),
    "two Hosts": (400, f"GET {NAMESPACE} HTTP/1.1\r\nHost: a\r\n{HOST}\r\n"),
    "malformed Host": (400, f"GET {NAMESPACE} HTTP/1.1\r\nHost: a b/\r\n{{auth}}\r\n\r\n"),
    "folded header": (200, f"GET {NAMESPACE} HTTP/1.1\r\n{HOST}X-A: b\r\n c\r\n\r\n"),
    "header folded by a tab": (200, f"GET {NAMESPACE} HTTP/1.1\r\n{HOST}X-A: b\r\n\tc\r\n\r\n"),
    "HTTP/1.2": (200, f"GET {NAMESPACE} HTTP/1.2\r\n{HOST}\r\n"),
    "chunks in HTTP/1.0": (
        400,
        f"POST {MAPS} HTTP/1.0\r\n{{auth}}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
    ),
    "empty Host": (200, f"GET {NAMESPACE} HTTP/1.1\r\nHost:\r\n{{auth}}\r\n\r\n"),
    "fold before the first header": (400, f"GET {NAMESPACE} HTTP/1.1\r\n X-A: b\r\n{HOST}\r\n"),
    "space before the colon": (400, f"GET {NAMESPACE} HTTP/1.1\r\n{HOST}X-A : b\r\n\r\n"),
    "space in a name": (400, f"GET {NAMESPACE} HTTP/1.1\r\n{HOST}X A: b\r\n\r\n"),
    "NUL in a value": (400, f"GET {NAMESPACE} HTTP/1.1\r\n{HOST}X-A: b\x00c\r\n\r\n"),
    "Latin-1 in a value": (200, f"GET {NAMESPACE} HTTP/1.1\r\n{HOST}X-A: b\xe9c\r\n\r\n"),
    "no colon": (400, f"GET {NAMESPACE} HTTP/1.1\r\n{HOST}X-A\r\n\r\n"),
    "lines that end with LF": (200, f"GET {NAMESPACE} HTTP/1.1\n{HOST}\n".replace("\r", "")),
    "one line that ends with LF": (200, f"GET {NAMESPACE} HTTP/1.1\r\nX-A: b\n{HOST}\r\n"),
    "method in lower case": (405, f"get {NAMESPACE} HTTP/1.1\r\n{HOST}\r\n"),
    "method named like a verb": (405, f"LIST {MAPS} HTTP/1.1\r\n{HOST}\r\n"),
    "method that is not a token": (400, f"G(T {NAMESPACE} HTTP/1.1\r\n{HOST}\r\n"),
    "HTTP/1.10": (400, f"GET {NAMESPACE} HTTP/1.10\r\n{HOST}\r\n"),
    "HTTP/2.0": (505, f"GET {NAMESPACE} HTTP/2.0\r\n{HOST}\r\n"),
    "target without slash": (400, f"GET api HTTP/1.1\r\n{HOST}\r\n"),
    "malformed escape": (400, f"GET {NAMESPACE}%zz HTTP/1.1\r\n{HOST}\r\n"),
    "malformed escape in the query": (200, f"GET {NAMESPACE}?pretty=%zz HTTP/1.1\r\n{HOST}\r\n"),
    "two slashes": (404, f"GET /api/v1//namespaces/{{ns}} HTTP/1.1\r\n{HOST}\r\n"),
    "two Content-Lengths": (400, f"POST {MAPS} HTTP/1.1\r\n{HOST}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
    "Content-Length with a sign": (400, f"POST {MAPS} HTTP/1.1\r\n{HOST}Content-Length: +2\r\n\r\n{{}}"),
    "unknown transfer encoding": (501, f"POST {MAPS} HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip\r\n\r\n"),
    "chunked twice": (
        501,
        f"POST {MAPS} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    "100 KiB of headers": (200, f"GET {NAMESPACE} HTTP/1.1\r\n{HOST}X-A: {'a' * 100_000}\r\n\r\n"),
    "2 MiB of headers": (431, f"GET {NAMESPACE} HTTP/1.1\r\n{HOST}X-A: {'a' * (2 << 20)}\r\n\r\n"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_http(servers, case):
    """Every server accepts it, or every server refuses it with the same status; they agree on closing the connection."""
    expected, text = ODD[case]
    answers = {side.name: side.send_raw(text) for side in servers.sides}
    shown = {(status.split()[1], status[:8], closed) for status, _, _, closed in answers.values()}
    assert {status for status, _, _ in shown} == {str(expected)}
    assert len(shown) == 1, answers


def test_http_1_0_watch_lasts_until_the_connection_ends(servers):
    """HTTP/1.0 does not know chunks: events come as they are, and the end of the connection ends the stream."""
    text = f"GET {MAPS}?watch=1&timeoutSeconds=1 HTTP/1.0\r\nConnection: keep-alive\r\n{{auth}}\r\n\r\n"
    servers.ask("POST", MAPS, {"metadata": {"name": "a"}})
    for side in servers.sides:
        status, headers, body, closed = side.send_raw(text)
        assert (status, headers.get("transfer-encoding"), closed) == ("HTTP/1.0 200", None, True)
        assert json.loads(body)["object"]["metadata"]["name"] == "a"


def deep(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * levels + "1" + closing * levels


DEEP: dict[str, tuple[str, str]] = {
    "objects": ("POST", '{"metadata":{"name":"b"},"data":' + deep(20_000) + "}"),
    "arrays": ("POST", '{"metadata":{"name":"b"},"data":' + deep(20_000, "[", "]") + "}"),
    "without end": ("POST", "[" * 100_000),
    "update": ("PUT", '{"metadata":{"name":"a"},"data":' + deep(20_000) + "}"),
    "merge": ("PATCH application/merge-patch+json", '{"data":' + deep(20_000) + "}"),
    "strategic": ("PATCH application/strategic-merge-patch+json", '{"data":' + deep(20_000) + "}"),
    "JSON patch": ("PATCH application/json-patch+json", '[{"op":"add","path":"/data","value":' + deep(20_000) + "}]"),
    "options of a deletion": ("DELETE", '{"dryRun":' + deep(20_000, "[", "]") + "}"),
}


@pytest.mark.parametrize("case", DEEP)
def test_deeply_nested_json_is_refused(servers, case):
    """400 and no other harm: 20,000 levels are too many for every server."""
    method, body = DEEP[case]
    method, _, media = method.partition(" ")
    servers.ask("POST", MAPS, {"metadata": {"name": "a"}})
    path = MAPS if method == "POST" else f"{MAPS}/a"
    answer: Any = servers.ask(method, path, body.encode(), media=media or "application/json", any_message=True)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert servers.ask("GET", f"{MAPS}/a").status == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 1),
        ("selfLink", 1),
        ("generation", "1"),
        ("creationTimestamp", 1),
        ("deletionGracePeriodSeconds", "1"),
        ("labels", []),
        ("annotations", {"a": 1}),
        ("finalizers", "a"),
        ("finalizers", [1]),
        ("ownerReferences", {}),
        ("ownerReferences", [1]),
        ("managedFields", 1),
    ],
)
def test_metadata_of_a_wrong_type_is_refused(servers, field, value):
    """400 for a create and an update, and the object stays as it was."""
    servers.ask("POST", MAPS, {"metadata": {"name": "a"}})
    body = {"metadata": {"name": "a", field: value}}
    assert servers.ask("POST", MAPS, body, any_message=True).status == 400
    assert servers.ask("PUT", f"{MAPS}/a", body, any_message=True).status == 400
    assert servers.ask("GET", f"{MAPS}/a").status == 200


def test_a_label_of_null_is_an_empty_label(servers):
    """As Go decodes it."""
    answer = servers.ask("POST", MAPS, {"metadata": {"name": "a", "labels": {"b": None}}})
    assert answer.body["metadata"]["labels"] == {"b": ""}


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([1], 400),
        ([{"op": 1}], 400),
        ([{"op": "add", "path": 1, "value": 1}], 400),
        ([{"op": "copy", "from": 1, "path": "/data"}], 400),
        ([{"op": "move", "from": "", "path": "/data"}], 422),
        ([{"op": "remove", "path": ""}], 422),
    ],
    ids=str,
)
def test_odd_operations_of_a_json_patch_are_refused(servers, operations, status):
    """400 for a value of the wrong type, 422 for an operation that cannot be done."""
    servers.ask("POST", MAPS, {"metadata": {"name": "a"}})
    media = "application/json-patch+json"
    assert servers.ask("PATCH", f"{MAPS}/a", operations, media=media, any_message=True).status == status


_MERGE, _STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
REFUSED: dict[str, tuple[str, Any, str, int]] = {
    "a text as JSON patch": ("configmaps/a", "x", "application/json-patch+json", 400),
    "a number as merge patch": ("configmaps/a", 1, _MERGE, 400),
    "nothing as apply": ("configmaps/a?fieldManager=m", None, "application/apply-patch+yaml", 400),
    "item without its key": ("pods/a", {"spec": {"containers": [{"image": "x"}]}}, _STRATEGIC, 500),
    "unknown directive": ("pods/a", {"$patch": "bad"}, _STRATEGIC, 500),
    "other tolerations": ("pods/a", {"spec": {"tolerations": [{"operator": "Exists"}]}}, _MERGE, 422),
    "malformed generateName": ("configmaps/a", {"metadata": {"generateName": "x."}}, _MERGE, 422),
}


@pytest.mark.parametrize("case", REFUSED)
def test_odd_patches_are_refused(servers, case):
    """With the real server's status and, unless it shows Go's maps, its message."""
    path, body, media, status = REFUSED[case]
    servers.ask("POST", MAPS, {"metadata": {"name": "a"}})
    servers.ask(
        "POST", f"{NAMESPACE}/pods", {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    )
    data = json.dumps(body).encode()
    query = {"dryRun": "All"} if "?" not in path else None
    request = ("PATCH", f"{NAMESPACE}/{path}", data)
    assert servers.ask(*request, media=media, query=query, any_message=status == 500).status == status


@pytest.mark.parametrize("changes", [{"kind": "Pod"}, {"apiVersion": "v2"}])
def test_a_patch_cannot_change_the_kind(servers, changes):
    """422: what it makes is not an object of the resource."""
    servers.ask("POST", MAPS, {"metadata": {"name": "a"}})
    assert (
        servers.ask("PATCH", f"{MAPS}/a", changes, media=_MERGE, any_message=True, only=("reason", "code")).status
        == 422
    )


@pytest.mark.parametrize(("version", "status"), [("x", 500), ("-1", 500), ("99999999", 504), ("1", 200)])
def test_the_version_that_a_get_wants(servers, version, status):
    """It has to be a number, and must not lie in the future."""
    servers.ask("POST", MAPS, {"metadata": {"name": "a"}})
    assert servers.ask("GET", f"{MAPS}/a", query={"resourceVersion": version}).status == status


def test_an_eviction_that_is_tried(servers):
    """With dryRun in the query the pod stays."""
    pods = f"{NAMESPACE}/pods"
    servers.ask("POST", pods, {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    eviction = {"metadata": {"name": "a"}}
    assert servers.ask("POST", f"{pods}/a/eviction", eviction, query={"dryRun": "All"}).status == 201
    assert servers.ask("GET", f"{pods}/a").status == 200
    wrong = {"metadata": {"name": "a", "namespace": "x"}}
    assert servers.ask("POST", f"{pods}/a/eviction", wrong).status == 400


def test_the_quality_of_a_pod_stays(servers):
    """Its status keeps the class that the server has given it."""
    path = f"{NAMESPACE}/pods/a"
    servers.ask(
        "POST", f"{NAMESPACE}/pods", {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    )
    answer = servers.ask("PUT", f"{path}/status", {"metadata": {"name": "a"}, "status": {"phase": "Running"}})
    assert answer.body["status"] == {"phase": "Running", "qosClass": "BestEffort"}


def test_the_scale_of_another_object(servers):
    """A Scale has to have the name in the path."""
    selector, template = (
        {"matchLabels": {"a": "b"}},
        {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    )
    path = "/apis/apps/v1/namespaces/{ns}/replicasets"
    servers.ask("POST", path, {"metadata": {"name": "a"}, "spec": {"selector": selector, "template": template}})
    assert servers.ask("PUT", f"{path}/a/scale", {"metadata": {"name": "b"}, "spec": {"replicas": 1}}).status == 400
