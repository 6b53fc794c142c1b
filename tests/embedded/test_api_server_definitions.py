"""CustomResourceDefinitions: what creating, changing and deleting one does to the server."""

from __future__ import annotations

import pytest
from kubernetes import client, dynamic

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMES = [f"spec.names.{name}" for name in ("plural", "singular", "kind", "listKind")]
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


def widget(name, version="v1", **more):
    return {"apiVersion": f"example.com/{version}", "kind": "Widget", "metadata": {"name": name}, **more}


def test_new_definition_is_served_at_once(call):
    """A definition is created over HTTP; the answer has the conditions and the accepted names."""
    names = {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": versions}
    answer = call("POST", DEFINITIONS, {"metadata": {"name": "widgets.example.com"}, "spec": spec})
    assert answer.status == 201
    conditions = {each["type"]: each["status"] for each in answer.json["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert answer.json["status"]["acceptedNames"]["listKind"] == "WidgetList"
    (entry,) = call("GET", "/apis/example.com/v1").json["resources"]
    assert (entry["name"], entry["singularName"], entry["kind"], entry["namespaced"]) == (
        "widgets",
        "widget",
        "Widget",
        True,
    )
    assert (entry["shortNames"], entry["categories"]) == (["wd"], ["all"])
    assert call("POST", WIDGETS, widget("w")).status == 201


@pytest.mark.parametrize(
    ("name", "spec", "fields"),
    [
        (
            "foos.example.com",
            {},
            ["metadata.name", "spec.group", "spec.scope", "spec.versions", *NAMES, "status.storedVersions"],
        ),
        (
            "other.example.com",
            {
                "group": "example.com",
                "scope": "Namespaced",
                "names": {"plural": "foos", "kind": "Foo"},
                "versions": [{"name": "v1", "served": True, "storage": True}],
            },
            ["metadata.name", "spec.versions[0].schema.openAPIV3Schema"],
        ),
    ],
    ids=["empty", "another name"],
)
def test_incomplete_definition_is_refused(call, name, spec, fields):
    """422, with a cause for each missing field."""
    answer = call("POST", DEFINITIONS, {"metadata": {"name": name}, "spec": spec})
    assert answer.status == 422
    assert sorted(cause["field"] for cause in answer.json["details"]["causes"]) == sorted(fields)


def test_custom_objects_are_written_with_sorted_keys(server, call):
    """As in kube-apiserver: each item has its kind, and a list's metadata follows its items."""
    server.define("Widget")
    server.create(widget("w", spec={"b": 1, "a": 2}))
    stored = call("GET", f"{WIDGETS}/w")
    assert stored.body.startswith(b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"creationTimestamp":')
    assert b'"spec":{"a":2,"b":1}' in stored.body
    listed = call("GET", WIDGETS)
    assert list(listed.json) == ["apiVersion", "items", "kind", "metadata"]
    assert listed.json["metadata"] == {"continue": "", "resourceVersion": server.resource_version}
    assert (listed.json["kind"], listed.json["items"][0]) == ("WidgetList", stored.json)
    stream = call.watch(f"{WIDGETS}?allowWatchBookmarks=true")
    assert stream.event() == ("ADDED", stored.json)
    assert stream.event()[1].keys() == {"apiVersion", "kind", "metadata"}


def test_all_versions_show_the_same_objects(server, call):
    """Each version has its own apiVersion; the newest stable version is preferred."""
    server.define("Widget", versions=("v1", "v2beta1", "v2"))
    call("POST", WIDGETS, widget("one"))
    call("POST", WIDGETS.replace("v1", "v2"), widget("two", "v2"))
    for version in ("v1", "v2beta1", "v2"):
        listed = call("GET", WIDGETS.replace("v1", version)).json
        assert listed["apiVersion"] == f"example.com/{version}"
        assert {item["apiVersion"] for item in listed["items"]} == {f"example.com/{version}"}
        assert [item["metadata"]["name"] for item in listed["items"]] == ["one", "two"]
    group = call("GET", "/apis/example.com").json
    assert [each["version"] for each in group["versions"]] == ["v2", "v1", "v2beta1"]
    assert group["preferredVersion"]["version"] == "v2"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (
            {"apiVersion": "example.com/v1", "metadata": {"name": "w"}},
            400,
            "the object provided is unrecognized (must be of type Widget): Object 'Kind' is missing",
        ),
        (
            {"kind": "Widget", "metadata": {"name": "w"}},
            400,
            "the API version in the data () does not match the expected API version (example.com/v1)",
        ),
        (
            widget("w") | {"apiVersion": "example.com/v2"},
            400,
            "the API version in the data (example.com/v2) does not match the expected API version (example.com/v1)",
        ),
        (
            widget("w") | {"kind": "Foo"},
            422,
            'Foo.example.com "" is invalid: kind: Invalid value: "Foo": must be Widget',
        ),
    ],
    ids=["no kind", "no version", "another version", "another kind"],
)
def test_custom_object_needs_kind_and_api_version(server, call, body, status, message):
    """A built-in object may lack both."""
    server.define("Widget")
    answer = call("POST", WIDGETS, body)
    assert answer.status == status
    assert answer.message.startswith(message)


def test_update_of_a_custom_object_needs_a_resource_version(server, call):
    """Without one it is 422; a change of the spec increments the generation."""
    server.define("Widget")
    created = call("POST", WIDGETS, widget("w", spec={"n": 1})).json
    without = call("PUT", f"{WIDGETS}/w", widget("w", spec={"n": 2}))
    assert without.status == 422
    assert without.message.endswith("metadata.resourceVersion: Invalid value: 0: must be specified for an update")
    body = widget("w", spec={"n": 2})
    body["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"]
    assert call("PUT", f"{WIDGETS}/w", body).json["metadata"]["generation"] == 2
    assert call("PUT", f"{WIDGETS}/w", body).status == 409


def test_the_status_of_a_custom_resource(server, call):
    """With the subresource, the status endpoint leaves metadata alone too; without it, the status is an ordinary field."""
    server.define("Widget", status=True)
    server.define("Gadget", plural="gadgets")
    created = call("POST", WIDGETS, widget("w", spec={"n": 1}, status={"ok": True})).json
    assert "status" not in created
    created["status"] = {"ok": True}
    created["spec"] = {"n": 2}
    created["metadata"]["labels"] = {"a": "b"}
    updated = call("PUT", f"{WIDGETS}/w/status", created).json
    assert (updated["spec"], updated["status"]) == ({"n": 1}, {"ok": True})
    assert "labels" not in updated["metadata"]
    gadget = widget("g", status={"ok": True}) | {"kind": "Gadget"}
    path = WIDGETS.replace("widgets", "gadgets")
    assert call("POST", path, gadget).json["status"] == {"ok": True}
    assert call("GET", f"{path}/g/status").status == 404


def test_selectable_fields_of_a_custom_resource(server, call):
    """Lists and watches can select by the fields that the definition names."""
    server.define("Widget", selectable=[".spec.color"])
    server.create(widget("a", spec={"color": "red"}))
    server.create(widget("b", spec={"color": "blue"}))
    assert call("GET", f"{WIDGETS}?fieldSelector=spec.color%3Dred").names == ["a"]
    refused = call("GET", f"{WIDGETS}?fieldSelector=spec.size%3D1")
    assert (refused.status, refused.message) == (400, "field label not supported: spec.size")
    stream = call.watch(f"{WIDGETS}?fieldSelector=spec.color%3Dblue")
    server.patch("widgets.example.com", "a", {"spec": {"color": "blue"}})
    assert stream.events(2) == [("ADDED", "b"), ("ADDED", "a")]


def test_cluster_scoped_custom_resource(server, call):
    """Objects of a cluster-scoped resource have no namespace."""
    server.define("Zone", namespaced=False)
    zone = {"apiVersion": "example.com/v1", "kind": "Zone", "metadata": {"name": "z"}}
    created = call("POST", "/apis/example.com/v1/zones", zone).json
    assert "namespace" not in created["metadata"]
    assert call("GET", "/apis/example.com/v1/namespaces/default/zones").status == 404
    assert server.get("zones.example.com", "z") == created


def test_deleted_definition_deletes_its_objects(server, call):
    """Watches get a DELETED per object and end; then the path is 404, until the definition is created again."""
    server.define("Widget")
    for name in "ab":
        server.create(widget(name))
    stream = call.watch(WIDGETS)
    assert stream.events(2) == [("ADDED", "a"), ("ADDED", "b")]
    answer = call("DELETE", f"{DEFINITIONS}/widgets.example.com")
    assert answer.json["metadata"]["deletionTimestamp"]
    assert [(type, obj["metadata"]["name"]) for type, obj in stream.rest()] == [("DELETED", "a"), ("DELETED", "b")]
    for path in (WIDGETS, f"{WIDGETS}?watch=1", "/apis/example.com/v1", "/apis/example.com"):
        gone = call("GET", path)
        assert (gone.status, gone.body) == (404, b"404 page not found\n")
    server.define("Widget")
    assert call("GET", WIDGETS).names == []


def test_version_that_is_not_served_any_more_is_404(server, call):
    """An update of the definition changes which versions are served."""
    server.define("Widget", versions=("v1", "v2"))
    definition = server.get("customresourcedefinitions", "widgets.example.com")
    definition["spec"]["versions"][1]["served"] = False
    server.update(definition)
    assert call("GET", WIDGETS).status == 200
    assert call("GET", WIDGETS.replace("v1", "v2")).status == 404


def test_dynamic_client_finds_a_custom_resource(server):
    """Discovery is enough for the official dynamic client to use a custom resource."""
    server.define("Widget")
    with server.api_client() as api:
        resource = dynamic.DynamicClient(api).resources.get(api_version="example.com/v1", kind="Widget")
        resource.create(body=widget("w", spec={"n": 1}), namespace="default")
        assert resource.get(name="w", namespace="default").spec.n == 1
        custom = client.CustomObjectsApi(api)
        listed = custom.list_cluster_custom_object("example.com", "v1", "widgets")
        assert [item["metadata"]["name"] for item in listed["items"]] == ["w"]


def test_recreated_definition_has_no_history(server, call):
    """A resourceVersion from before is too old for a watch and for a list."""
    server.define("Widget")
    old = server.create(widget("w"))["metadata"]["resourceVersion"]
    server.delete("customresourcedefinitions", "widgets.example.com")
    server.define("Widget")
    ((type, status),) = call.watch(f"{WIDGETS}?resourceVersion={old}").rest()
    assert (type, status["code"]) == ("ERROR", 410)
    assert call("GET", f"{WIDGETS}?resourceVersion={old}&resourceVersionMatch=Exact").status == 410
