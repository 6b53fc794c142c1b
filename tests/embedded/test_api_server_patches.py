"""PATCH with JSON patch, merge patch, strategic merge patch and apply, over HTTP and as functions."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, strategies as st
from kubernetes import client

from informer.testing.storage.field_types import FieldType
from informer.testing.storage.patches import PatchError, json_patch, merge_patch, strategic_merge
from tests.support.objects import config_map

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=1), inner, max_size=3),
    max_leaves=8,
)


# Over HTTP


@pytest.fixture
def stored(server):
    """A ConfigMap to patch."""
    return server.create(config_map("a", labels={"app": "web"}) | {"data": {"k": "v", "l": "w"}})


@pytest.mark.parametrize(
    ("content_type", "patch", "data"),
    [
        (MERGE, {"data": {"k": None, "m": "x"}}, {"l": "w", "m": "x"}),
        (STRATEGIC, {"data": {"k": None, "m": "x"}}, {"l": "w", "m": "x"}),
        (JSON, [{"op": "remove", "path": "/data/k"}, {"op": "add", "path": "/data/m", "value": "x"}], {"l": "w", "m": "x"}),
        (JSON, [{"op": "replace", "path": "/data/new", "value": "x"}], {"k": "v", "l": "w", "new": "x"}),
        (JSON, [{"op": "test", "path": "/data/k", "value": "v"}, {"op": "move", "from": "/data/k", "path": "/data/z"}],
         {"l": "w", "z": "v"}),
    ],
    ids=["merge", "strategic", "json", "json replaces what is not there", "json test and move"],
)  # fmt: skip
def test_patch_changes_only_its_fields(stored, call, content_type, patch, data):
    """The answer is the changed object with a new resourceVersion; other fields stay."""
    answer = call("PATCH", f"{MAPS}/a", patch, content_type)
    assert answer.status == 200
    assert answer.json["data"] == data
    assert answer.json["metadata"]["labels"] == {"app": "web"}
    assert int(answer.json["metadata"]["resourceVersion"]) > int(stored["metadata"]["resourceVersion"])


def test_patch_without_a_change_is_not_a_write(stored, call):
    """The resourceVersion stays."""
    answer = call("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, MERGE)
    assert answer.json["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("content_type", "patch", "status", "message"),
    [
        ("application/json", {}, 415, "415: Unsupported Media Type"),
        (MERGE, "[1", 400, "invalid JSON patch"),
        (
            MERGE,
            [1],
            400,
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            JSON,
            {"op": "x"},
            400,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers",
        ),
        (
            JSON,
            [{"op": "test", "path": "/data/k", "value": "no"}],
            422,
            "the server rejected our request due to an error",
        ),
        (JSON, [{"op": "remove", "path": "/data/none"}], 422, "the server rejected our request due to an error"),
        (JSON, [{"op": "add", "path": "/none/x", "value": 1}], 422, "the server rejected our request due to an error"),
        (MERGE, {"metadata": {"name": "b"}}, 400, "the name of the object (b) does not match the name on the URL (a)"),
        (MERGE, {"metadata": {"resourceVersion": "1"}}, 409, 'Operation cannot be fulfilled on configmaps "a"'),
        (APPLY, {"apiVersion": "v1", "kind": "ConfigMap"}, 422, 'PatchOptions.meta.k8s.io "" is invalid: fieldManager'),
    ],
)
def test_invalid_patch_is_refused(stored, call, content_type, patch, status, message):
    """The code and message are kube-apiserver's, and the object is unchanged."""
    answer = call("PATCH", f"{MAPS}/a", patch, content_type)
    assert answer.status == status
    assert answer.message.startswith(message)
    assert call("GET", f"{MAPS}/a").json == stored


def test_apply_creates_and_changes(call):
    """Server-side apply creates a missing object, and removes what its manager does not apply any more; YAML is accepted."""
    body = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ap}\ndata: {x: "1"}\n'
    assert call("PATCH", f"{MAPS}/ap?fieldManager=me", body, APPLY).status == 201
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ap"}, "data": {"y": "2"}}
    answer = call("PATCH", f"{MAPS}/ap?fieldManager=me", body, APPLY)
    assert (answer.status, answer.json["data"]) == (200, {"y": "2"})


def test_method_calls_have_owners_if_they_name_them(server, call):
    """Objects that they create without a manager have no managedFields; the first apply gives them to "before-first-apply"."""
    made = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "m"}, "data": {"x": "1"}}
    assert "managedFields" not in server.create(made)["metadata"]
    assert "managedFields" not in server.patch("configmaps", "m", {"data": {"y": "1"}}, field_manager="me")["metadata"]
    answer = call("PATCH", f"{MAPS}/m?fieldManager=me", made | {"data": {"x": "2"}}, APPLY)
    assert (answer.status, '"before-first-apply" using v1: .data.x' in answer.message) == (409, True)
    named = server.create(made | {"metadata": {"name": "n"}}, field_manager="me")
    changed = server.patch("configmaps", "n", {"data": {"y": "1"}})
    assert [each["manager"] for each in named["metadata"]["managedFields"]] == ["me"]
    assert {each["manager"] for each in changed["metadata"]["managedFields"]} == {"me", "EmbeddedAPIServer"}


def test_custom_resources_refuse_strategic_merge(server, call):
    """415, since the server does not know how to merge the lists of a custom resource."""
    server.define("Widget")
    server.create({"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": "w"}})
    answer = call("PATCH", "/apis/example.com/v1/namespaces/default/widgets/w", {}, STRATEGIC)
    assert answer.status == 415
    assert "application/merge-patch+json" in answer.message


def test_the_official_clients_patch(server):
    """A dict is merged and a list applied as a JSON patch, whatever content type this version of the client sends."""
    server.create(
        {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", "image": "1"}]},
        }
    )
    with server.api_client() as api:
        core = client.CoreV1Api(api)
        core.patch_namespaced_pod("p", "default", {"metadata": {"labels": {"a": "b"}}})
        core.patch_namespaced_pod("p", "default", [{"op": "add", "path": "/metadata/labels/c", "value": "d"}])
        core.patch_namespaced_pod("p", "default", {"spec": {"containers": [{"name": "c", "image": "2"}]}})
    pod = server.get("pods", "p")
    assert pod["metadata"]["labels"] == {"a": "b", "c": "d"}
    assert [(each["name"], each["image"]) for each in pod["spec"]["containers"]] == [("c", "2")]


# As functions


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_rfc_7386(document, patch, result):
    """The cases in the appendix of RFC 7386."""
    assert merge_patch(document, patch) == result


@given(json_values, json_values)
def test_merge_patch_does_not_change_its_arguments(document, patch):
    """Applying the patch twice gives the same result as once."""
    before = copy.deepcopy((document, patch))
    once = merge_patch(document, patch)
    assert (document, patch) == before
    assert merge_patch(once, patch) == once


@pytest.mark.parametrize(
    ("document", "operations", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
        ({"foo": [1]}, [{"op": "add", "path": "/foo/-", "value": 2}], {"foo": [1, 2]}),
        ({"foo": ["bar", "qux"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar"]}),
        ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"a": 1}, [{"op": "add", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": None}], {"a": None}),
    ],
)
def test_json_patch_follows_rfc_6902(document, operations, result):
    """Cases in the appendix of RFC 6902."""
    assert json_patch(document, operations) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "add", "path": "/a"},
        {"op": "add", "path": "no/slash", "value": 1},
        {"op": "add", "value": 1},
        {"op": "remove", "path": ""},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "frobnicate", "path": "/a"},
        {"path": "/a"},
    ],
    ids=json.dumps,
)
def test_failing_json_patch_changes_nothing(operation):
    """It raises PatchError and undoes the operations before the failing one."""
    document = {"a": 1, "list": [1]}
    with pytest.raises(PatchError):
        json_patch(document, [{"op": "add", "path": "/b", "value": 2}, operation])
    assert document == {"a": 1, "list": [1]}


def merged_by(key: str | None) -> dict[str, str]:
    return {"x-kubernetes-patch-strategy": "merge", **({"x-kubernetes-patch-merge-key": key} if key else {})}


LISTS = {"containers": merged_by("name"), "ports": merged_by("port"), "finalizers": merged_by(None)}
SPEC = FieldType({"properties": {"spec": {"properties": LISTS}, **LISTS}}, {})
CONTAINERS = {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}}


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        (CONTAINERS, {"spec": {"containers": [{"name": "b", "image": "3"}]}},
         {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "3"}]}}),
        (CONTAINERS, {"spec": {"containers": [{"name": "c"}]}},
         {"spec": {"containers": [{"name": "c"}, {"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}}),
        (CONTAINERS, {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}},
         {"spec": {"containers": [{"name": "b", "image": "2"}]}}),
        (CONTAINERS, {"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}},
         {"spec": {"containers": [{"name": "z"}]}}),
        (CONTAINERS, {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
         {"spec": {"containers": [{"name": "b", "image": "2"}, {"name": "a", "image": "1"}]}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$patch": "replace", "d": 3}}, {"a": {"d": 3}}),
        ({"a": {"b": 1}}, {"a": {"$patch": "delete"}}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$retainKeys": ["c"], "c": 3}}, {"a": {"c": 3}}),
        ({"finalizers": ["a", "b"]}, {"finalizers": ["c", "a"]}, {"finalizers": ["c", "a", "b"]}),
        ({"finalizers": ["a", "b"]}, {"$deleteFromPrimitiveList/finalizers": ["a"]}, {"finalizers": ["b"]}),
        ({"args": ["a"]}, {"args": ["b"]}, {"args": ["b"]}),
        ({"ports": [{"port": 1, "name": "x"}]}, {"ports": [{"port": 1, "name": "y"}]}, {"ports": [{"port": 1, "name": "y"}]}),
        ({"a": 1}, {"a": None, "b": {"c": None}}, {"b": {}}),
    ],
)  # fmt: skip
def test_strategic_merge_of_built_in_kinds(document, patch, result):
    """Lists of objects merge by the field that identifies an item, and patch directives apply."""
    before = copy.deepcopy(document)
    assert strategic_merge(SPEC, document, patch) == result
    assert document == before


def test_strategic_merge_of_an_item_without_its_key_fails():
    """The error names the missing field."""
    with pytest.raises(PatchError, match="does not contain declared merge key: name"):
        strategic_merge(SPEC, {"containers": [{"name": "a"}]}, {"containers": [{"image": "x"}]})
