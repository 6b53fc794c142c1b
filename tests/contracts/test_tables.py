"""Tables, as kubectl asks for them: columns and cells of built-in kinds and of custom resources."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.tables import OBJECTS, PATHS

pytestmark = pytest.mark.timeout(120)

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
# What kubectl sends.
KUBECTL = f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/contracts.example.com/v1/namespaces/{ns}/widgets"
MAPS = "/api/v1/namespaces/{ns}/configmaps"
WATCH_LIST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
COLUMNS = [
    {"name": "Color", "type": "string", "jsonPath": ".spec.color", "description": "The color."},
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
    {"name": "Ratio", "type": "number", "jsonPath": ".spec.ratio", "format": "float"},
    {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "First", "type": "string", "jsonPath": ".spec.list[0]"},
    {"name": "All", "type": "string", "jsonPath": ".spec.list[*]"},
    {"name": "Parts", "type": "string", "jsonPath": ".spec.parts"},
    {"name": "Labelled", "type": "string", "jsonPath": r".metadata.labels.example\.com/a"},
    {"name": "Since", "type": "date", "jsonPath": ".spec.since"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
GIZMOS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gizmos.{ns}.example.com"},
    "spec": {
        "group": "{ns}.example.com",
        "scope": "Namespaced",
        "names": {"plural": "gizmos", "singular": "gizmo", "kind": "Gizmo", "listKind": "GizmoList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": OPEN},
                "additionalPrinterColumns": COLUMNS,
            }
        ],
    },
}


def write(servers, kind: str, obj: dict[str, Any]) -> str:
    """Creates an object with its status; returns its path. The answers differ: the real server warns of more."""
    path = f"{PATHS[kind]}/{obj['metadata']['name']}"
    requests = [("POST", PATHS[kind], "application/json", {key: each for key, each in obj.items() if key != "status"})]
    if "status" in obj:
        requests.append(("PATCH", f"{path}/status", "application/merge-patch+json", {"status": obj["status"]}))
    for side in servers.sides:
        for method, where, media, body in requests:
            answer = side.send(method, where, None, body, {"Content-Type": media}, "admin")
            text = answer.read()
            assert answer.status in (200, 201), text
    return path


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, named in OBJECTS.items() for name in named])
def test_the_table_of_a_built_in_kind(servers, kind, name):
    obj = OBJECTS[kind][name]
    path = write(
        servers, kind, {**obj, "metadata": {"name": "{ns}-a" if kind in CLUSTER else "a", **obj.get("metadata", {})}}
    )
    answer = servers.ask("GET", path, accept=TABLE, query={"includeObject": "None"})
    assert len(answer.body["columnDefinitions"]) == len(answer.body["rows"][0]["cells"])
    if kind in CLUSTER:
        servers.ask("DELETE", path, only=("apiVersion",))


def filled(servers):
    for name in ("a", "b", "c"):
        servers.ask("POST", MAPS, {"metadata": {"name": name}, "data": {"a": "b"}}, only=("kind",))


def test_a_list_is_a_table(servers):
    filled(servers)
    query = {"fieldSelector": "metadata.name!=kube-root-ca.crt"}
    answer = servers.ask("GET", MAPS, accept=KUBECTL, query=query)
    assert [row["cells"][:2] for row in answer.body["rows"]] == [["a", 1], ["b", 1], ["c", 1]]
    assert servers.ask("GET", MAPS, accept=KUBECTL, query={"labelSelector": "a=b"}).body["rows"] == []


def test_a_table_comes_in_pages(servers):
    filled(servers)
    page = {"limit": "2"}
    answer = servers.ask("GET", MAPS, accept=KUBECTL, query=page)
    assert answer.body["metadata"] == {"resourceVersion": "<version>", "continue": "<token>", "remainingItemCount": 1}
    servers.keep("next", lambda body: body["metadata"]["continue"])
    assert len(servers.ask("GET", MAPS, accept=KUBECTL, query={**page, "continue": "{next}"}).body["rows"]) == 1


@pytest.mark.parametrize("include", ["", "None", "Metadata", "Object", "Other"])
@pytest.mark.parametrize("path", [MAPS, WIDGETS], ids=["built-in", "custom"])
def test_a_row_has_as_much_of_its_object_as_is_asked_for(servers, path, include):
    servers.ask("POST", WIDGETS, {**WIDGET, "metadata": {"name": "a"}}, only=("kind",))
    servers.ask("POST", MAPS, {"metadata": {"name": "a"}}, only=("kind",))
    answer = servers.ask("GET", f"{path}/a", accept=TABLE, query={"includeObject": include})
    assert answer.status == (400 if include == "Other" else 200)


def test_only_the_first_event_of_a_watch_has_the_columns(servers):
    filled(servers)
    query = {**WATCH_LIST, "fieldSelector": "metadata.name=a"}

    def change() -> None:
        servers.ask("PATCH", f"{MAPS}/a", {"data": {"c": "d"}}, media="application/merge-patch+json", only=("kind",))
        servers.ask("DELETE", f"{MAPS}/a", only=("kind",))

    events = servers.watch(MAPS, 4, query=query, accept=KUBECTL, then=change).body
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK", "MODIFIED", "DELETED"]
    assert [bool(event["object"]["columnDefinitions"]) for event in events] == [True, False, False, False]


@pytest.mark.parametrize(
    "accept",
    [
        "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=Table;v=v1;g=other.k8s.io",
        "application/json;as=Table;v=v3;g=meta.k8s.io",
    ],
)
def test_a_table_of_another_kind_is_refused(servers, accept):
    assert servers.ask("GET", MAPS, accept=accept, any_message=True).status == 406


def test_the_table_of_version_v1beta1(servers):
    answer = servers.ask("GET", MAPS, accept=TABLE.replace("v=v1", "v=v1beta1"), query={"labelSelector": "a=b"})
    assert answer.body["apiVersion"] == "meta.k8s.io/v1beta1"


def test_the_table_of_a_definition(servers):
    path = f"{DEFINITIONS}/widgets.contracts.example.com"
    answer = servers.ask("GET", path, accept=TABLE, query={"includeObject": "None"})
    assert answer.body["rows"][0]["cells"][1:3] == ["Namespaced", "v1(storage)"]


def test_a_custom_resource_without_columns_has_an_age(servers):
    servers.ask("POST", WIDGETS, {**WIDGET, "metadata": {"name": "a"}}, only=("kind",))
    columns = servers.ask("GET", WIDGETS, accept=TABLE).body["columnDefinitions"]
    assert [column["name"] for column in columns] == ["Name", "Age"]


def test_the_columns_of_a_custom_resource(servers):
    servers.ask("POST", DEFINITIONS, GIZMOS, only=("kind",))
    group = f"{servers.sides[0].known['ns']}.example.com"
    servers.wait_until_served(f"/apis/{group}/v1/gizmos")
    path = f"/apis/{group}/v1/namespaces/{{ns}}/gizmos"
    for name, spec in SPECS.items():
        metadata = {"name": name, "labels": {"example.com/a": "b"}}
        status = {"conditions": [{"type": "A", "status": "x"}, {"type": "Ready", "status": "True"}]}
        body = {"apiVersion": f"{group}/v1", "kind": "Gizmo", "metadata": metadata, "spec": spec, "status": status}
        assert servers.ask("POST", path, body, only=("kind",)).status == 201
    servers.ask("GET", path, accept=TABLE, query={"includeObject": "None"})
    servers.ask("DELETE", f"{DEFINITIONS}/gizmos.{{ns}}.example.com", only=("kind",))


WIDGET = {"apiVersion": "contracts.example.com/v1", "kind": "Widget"}
SPECS: dict[str, dict[str, Any]] = {
    "a": {
        "color": "red",
        "size": 3,
        "ratio": 0.5,
        "on": True,
        "list": ["x", "y"],
        "parts": {"b": 1, "a": [True, None]},
        "since": "2020-01-01T00:00:00Z",
    },
    "empty": {},
    "wrong": {"color": 7, "size": "x", "ratio": 2, "on": "yes", "list": "x", "parts": 1.5, "since": "yesterday"},
    "other": {"color": False, "size": 2.7, "ratio": None, "list": [], "since": 7, "parts": []},
}
CLUSTER = {kind for kind, path in PATHS.items() if "/namespaces/{ns}" not in path}
