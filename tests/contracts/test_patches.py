"""Merge patches, JSON patches and strategic merge patches."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.timeout(120)

CONFIGMAPS = "/api/v1/namespaces/{ns}/configmaps"
PODS = "/api/v1/namespaces/{ns}/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{ns}/deployments"
WIDGETS = "/apis/contracts.example.com/v1/namespaces/{ns}/widgets"

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

METADATA = {"name": "a", "labels": {"app": "web", "tier": "front"}, "annotations": {"note": "x"}}
CONFIGMAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": METADATA, "data": {"one": "1", "two": "2"}}
WIDGET = {
    "apiVersion": "contracts.example.com/v1",
    "kind": "Widget",
    "metadata": METADATA,
    "spec": {"color": "red", "list": [1, 2, 3], "nested": {"a": {"b": "c"}}},
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": METADATA,
    "spec": {
        "containers": [{"name": "main", "image": "example.com/app:1"}, {"name": "side", "image": "example.com/b:1"}]
    },
}


@pytest.fixture
def objects(servers):
    """Servers with one object of each kind, named "a"."""
    servers.ask("POST", CONFIGMAPS, CONFIGMAP)
    servers.ask("POST", WIDGETS, WIDGET)
    return servers


GOOD_ON_ALL = {
    "merge-change": (MERGE, {"metadata": {"labels": {"app": "db"}}}),
    "merge-remove": (MERGE, {"metadata": {"labels": {"app": None, "absent": None}}}),
    "merge-nothing": (MERGE, {}),
    "merge-system-fields": (MERGE, {"metadata": {"uid": None, "creationTimestamp": None, "selfLink": "x"}}),
    "merge-all-labels": (MERGE, {"metadata": {"labels": None}}),
    "json-add": (JSON, [{"op": "add", "path": "/metadata/labels/new", "value": "yes"}]),
    "json-replace": (JSON, [{"op": "replace", "path": "/metadata/labels/app", "value": "db"}]),
    "json-replace-absent": (JSON, [{"op": "replace", "path": "/metadata/labels/absent", "value": "x"}]),
    "json-remove": (JSON, [{"op": "remove", "path": "/metadata/labels/app"}]),
    "json-copy": (JSON, [{"op": "copy", "from": "/metadata/labels/app", "path": "/metadata/labels/copy"}]),
    "json-move": (JSON, [{"op": "move", "from": "/metadata/labels/app", "path": "/metadata/labels/moved"}]),
    "json-test": (
        JSON,
        [
            {"op": "test", "path": "/metadata/labels/app", "value": "web"},
            {"op": "add", "path": "/metadata/labels/app", "value": "db"},
        ],
    ),
    "json-escaped-key": (JSON, [{"op": "add", "path": "/metadata/labels/example.com~1key", "value": "yes"}]),
    "json-nothing": (JSON, []),
}


@pytest.mark.parametrize("path", [CONFIGMAPS, WIDGETS], ids=["configmap", "widget"])
@pytest.mark.parametrize("case", GOOD_ON_ALL)
def test_patch_is_applied(objects, path, case):
    """A patch changes the fields it names; it cannot change the server's own fields."""
    media, patch = GOOD_ON_ALL[case]
    assert objects.ask("PATCH", f"{path}/a", patch, media=media).status == 200
    assert objects.ask("GET", f"{path}/a").status == 200


GOOD_ON_WIDGETS = {
    "merge-nested": (MERGE, {"spec": {"nested": {"a": {"d": "e"}}}}),
    "merge-list": (MERGE, {"spec": {"list": [4]}}),
    "merge-null": (MERGE, {"spec": {"nested": None}}),
    "merge-null-inside-new": (MERGE, {"spec": {"fresh": {"kept": 1, "dropped": None}}}),
    "json-list-insert": (JSON, [{"op": "add", "path": "/spec/list/1", "value": 9}]),
    "json-list-append": (JSON, [{"op": "add", "path": "/spec/list/-", "value": 9}]),
    "json-list-remove": (JSON, [{"op": "remove", "path": "/spec/list/0"}]),
    "json-list-move": (JSON, [{"op": "move", "from": "/spec/list/0", "path": "/spec/list/2"}]),
    "json-nested": (JSON, [{"op": "replace", "path": "/spec/nested/a", "value": {"x": [{"y": 1}]}}]),
}


@pytest.mark.parametrize("case", GOOD_ON_WIDGETS)
def test_patch_of_lists_and_nested_fields(objects, case):
    """Merge patches replace lists; JSON patches change their items."""
    media, patch = GOOD_ON_WIDGETS[case]
    assert objects.ask("PATCH", f"{WIDGETS}/a", patch, media=media).status == 200


BAD = {
    "json-test-fails": (JSON, [{"op": "test", "path": "/metadata/labels/app", "value": "db"}], 422),
    "json-absent-path": (JSON, [{"op": "remove", "path": "/metadata/labels/absent"}], 422),
    "json-no-such-parent": (JSON, [{"op": "add", "path": "/nowhere/at/all", "value": "x"}], 422),
    "json-is-an-object": (JSON, {"metadata": {}}, 400),
    "merge-is-a-list": (MERGE, [], 400),
    "merge-is-no-json": (MERGE, b"{nonsense", 400),
    "json-is-no-json": (JSON, b"[nonsense", 400),
    "other-name": (MERGE, {"metadata": {"name": "b"}}, 400),
    "other-namespace": (MERGE, {"metadata": {"namespace": "b"}}, 400),
    "other-uid": (MERGE, {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}}, 422),
    "old-version": (MERGE, {"metadata": {"resourceVersion": "1", "labels": {"n": "1"}}}, 409),
    "bad-label": (MERGE, {"metadata": {"labels": {"a b": "c"}}}, 422),
    "other-media": ("application/json", {"metadata": {}}, 415),
}


@pytest.mark.parametrize("path", [CONFIGMAPS, WIDGETS], ids=["configmap", "widget"])
@pytest.mark.parametrize("case", BAD)
def test_patch_is_refused(objects, path, case):
    """A patch that cannot be read or applied, or whose result is invalid, changes nothing."""
    media, patch, status = BAD[case]
    assert objects.ask("PATCH", f"{path}/a", patch, media=media, any_message=status in (400, 415)).status == status
    assert objects.ask("GET", f"{path}/a").body["metadata"]["labels"] == METADATA["labels"]


def test_strategic_patch_merges_by_key(objects):
    """A strategic merge patch merges maps like a merge patch, and a pod's containers by name."""
    patch = {"metadata": {"labels": {"app": None, "new": "yes"}}, "data": {"three": "3"}}
    assert objects.ask("PATCH", f"{CONFIGMAPS}/a", patch, media=STRATEGIC).status == 200
    objects.ask("POST", PODS, POD, like=POD)
    patch = {"spec": {"containers": [{"name": "side", "image": "example.com/b:2"}]}}
    changed = objects.ask("PATCH", f"{PODS}/a", patch, media=STRATEGIC, like=POD)
    images = [(each["name"], each["image"]) for each in changed.body["spec"]["containers"]]
    assert images == [("main", "example.com/app:1"), ("side", "example.com/b:2")]


def test_strategic_patch_of_a_custom_object_is_refused(objects):
    """A custom resource declares no merge keys, so a strategic merge patch is 415."""
    assert objects.ask("PATCH", f"{WIDGETS}/a", {"spec": {"color": "blue"}}, media=STRATEGIC).status == 415


def test_dry_run_of_a_patch_changes_nothing(objects):
    """The answer has the patched object, and nothing is stored."""
    patch = {"data": {"one": "changed"}}
    answer = objects.ask("PATCH", f"{CONFIGMAPS}/a", patch, media=MERGE, query={"dryRun": "All"})
    assert answer.body["data"]["one"] == "changed"
    assert objects.ask("GET", f"{CONFIGMAPS}/a").body["data"]["one"] == "1"


def test_a_strategic_patch_puts_new_items_first(objects):
    """Unless the patch gives their order: then items that it does not name stay before those that they preceded."""
    pods = f"{PODS}/a"
    objects.ask("POST", PODS, POD, like=POD["spec"])
    env = [{"name": name, "value": "1"} for name in "dabc"]
    ordered = {"$setElementOrder/finalizers": ["x.y/z", "x.y/a"], "finalizers": ["x.y/z"]}
    patches = [
        ({"metadata": {"finalizers": ["x.y/a", "x.y/b"]}}, ["x.y/a", "x.y/b"]),
        ({"metadata": {"finalizers": ["x.y/c", "x.y/b"]}}, ["x.y/c", "x.y/a", "x.y/b"]),
        ({"metadata": ordered}, ["x.y/z", "x.y/c", "x.y/a", "x.y/b"]),
    ]
    for patch, wanted in patches:
        answer = objects.ask("PATCH", pods, patch, media=STRATEGIC, like={})
        assert answer.body["metadata"]["finalizers"] == wanted
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}},
    }
    deployment["spec"]["template"]["spec"] = {"containers": [{"name": "main", "image": "a:1", "env": env[1:]}]}
    objects.ask("POST", DEPLOYMENTS, deployment, like={})
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [env[0], env[2]]}]}}}}
    answer = objects.ask("PATCH", f"{DEPLOYMENTS}/a", patch, media=STRATEGIC)
    container = answer.body["spec"]["template"]["spec"]["containers"][0]
    assert [each["name"] for each in container["env"]] == ["d", "a", "b", "c"]


def test_true_is_not_one(objects):
    """Nor is 1.0 the same as 1: each change counts, also inside lists and for server-side apply."""
    for generation, x in enumerate((1, True, 1, 1.0, [True], [1]), start=2):
        answer = objects.ask("PATCH", f"{WIDGETS}/a", {"spec": {"x": x}}, media=MERGE)
        assert answer.body["metadata"]["generation"] == generation
    applied = {**WIDGET, "metadata": {"name": "a"}, "spec": {"x": [True]}}
    answer = objects.ask(
        "PATCH", f"{WIDGETS}/a", applied, media="application/apply-patch+yaml", query={"fieldManager": "m"}
    )
    assert answer.status == 409
