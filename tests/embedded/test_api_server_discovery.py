"""Health checks, version and discovery documents of the embedded API server."""

from __future__ import annotations

import pytest
from kubernetes import client, dynamic

from informer.testing import EmbeddedAPIServer
from informer.testing.server.routes import Route, route_of
from informer.testing.server.versions import ServerVersion

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_checks(call, path):
    """The three health checks answer "ok"."""
    answer = call("GET", path)
    assert (answer.status, answer.body) == (200, b"ok")


def test_version(client_of):
    """/version is the version that the server was made with."""
    with EmbeddedAPIServer(version="1.34") as server:
        document = client_of(server)("GET", "/version").json
    assert (document["major"], document["minor"], document["gitVersion"]) == ("1", "34", "v1.34.0")


def test_initial_namespaces(call):
    """The four namespaces of every cluster exist."""
    assert call("GET", "/api/v1/namespaces").names == ["default", "kube-node-lease", "kube-public", "kube-system"]


def test_groups_and_resources(call):
    """Every listed group lists its resources, each with its verbs."""
    assert call("GET", "/api").json["versions"] == ["v1"]
    groups = call("GET", "/apis").json
    assert groups["kind"] == "APIGroupList"
    names = [group["name"] for group in groups["groups"]]
    assert {"apps", "batch", "coordination.k8s.io", "events.k8s.io", "discovery.k8s.io"} <= set(names)
    for group in groups["groups"]:
        assert call("GET", f"/apis/{group['name']}").json["name"] == group["name"]
        version = group["preferredVersion"]["groupVersion"]
        resources = call("GET", f"/apis/{version}").json
        assert resources["groupVersion"] == version
        listed = [entry for entry in resources["resources"] if "/" not in entry["name"]]
        assert all("list" in entry["verbs"] or entry["verbs"] == ["create"] for entry in listed)
    core = {entry["name"]: entry for entry in call("GET", "/api/v1").json["resources"]}
    assert core["pods"]["kind"] == "Pod"
    assert core["pods"]["shortNames"] == ["po"]
    assert core["pods/status"]["verbs"] == ["get", "patch", "update"]
    assert core["nodes"]["namespaced"] is False
    apps = {entry["name"]: entry for entry in call("GET", "/apis/apps/v1").json["resources"]}
    assert apps["deployments/scale"]["kind"] == "Scale"


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/apis/apps/v9", "application/json"),
        ("/api/v2", "application/json"),
        ("/apis/foo.example.com", "text/plain; charset=utf-8"),
        ("/nothing", "text/plain; charset=utf-8"),
    ],
)
def test_unknown_paths(call, path, content_type):
    """404: a Status for an unknown version of a known group, plain text for other paths."""
    answer = call("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (404, content_type)


def test_aggregated_discovery(server, call):
    """kubectl requests aggregated discovery first."""
    server.define("Widget", status=True)
    answer = call("GET", "/apis", Accept=AGGREGATED)
    assert answer.headers["content-type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    groups = {item["metadata"]["name"]: item for item in answer.json["items"]}
    (widgets,) = groups["example.com"]["versions"][0]["resources"]
    assert (widgets["resource"], widgets["scope"], widgets["responseKind"]["kind"]) == (
        "widgets",
        "Namespaced",
        "Widget",
    )
    assert [each["subresource"] for each in widgets["subresources"]] == ["status"]
    (core,) = call("GET", "/api", Accept=AGGREGATED).json["items"]
    assert {"pods", "nodes"} <= {each["resource"] for each in core["versions"][0]["resources"]}


def test_the_official_client_discovers(server):
    """The official client's typed and dynamic discovery read the documents."""
    with server.api_client() as api:
        assert client.VersionApi(api).get_code().minor == "37"
        assert "apps" in [group.name for group in client.ApisApi(api).get_api_versions().groups]
        assert dynamic.DynamicClient(api).resources.get(api_version="apps/v1", kind="Deployment").name == "deployments"


@pytest.mark.parametrize(
    ("method", "path", "query", "route"),
    [
        ("GET", "/api/v1/pods", {}, ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods", {}, ("list", "", "v1", "pods", "a", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/b", {}, ("get", "", "v1", "pods", "a", "b", "")),
        ("GET", "/api/v1/namespaces/a/pods/b/status", {}, ("get", "", "v1", "pods", "a", "b", "status")),
        ("GET", "/api/v1/namespaces/a", {}, ("get", "", "v1", "namespaces", "", "a", "")),
        ("PUT", "/api/v1/namespaces/a/status", {}, ("update", "", "v1", "namespaces", "", "a", "status")),
        ("GET", "/apis/apps/v1/deployments", {"watch": "1"}, ("watch", "apps", "v1", "deployments", "", "", "")),
        ("GET", "/api/v1/watch/pods", {}, ("watch", "", "v1", "pods", "", "", "")),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", {},
         ("deletecollection", "apps", "v1", "deployments", "a", "", "")),
        ("PATCH", "/api/v1/nodes/n", {}, ("patch", "", "v1", "nodes", "", "n", "")),
        ("GET", "/apis/apps/v1", {}, ("get", "", "", "", "", "", "")),
        ("GET", "/version", {}, ("get", "", "", "", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/b/c/d", {}, ("get", "", "", "", "", "", "")),
    ],
)  # fmt: skip
def test_routes(method, path, query, route):
    """A path is read as a resource and what names it, or as a path without a resource."""
    assert route_of(method, path, query) == Route(path, *route)


@pytest.mark.parametrize("text", ["", "1", "one", "1.x"])
def test_text_that_is_not_a_version_is_refused(text):
    """ValueError quotes the text."""
    with pytest.raises(ValueError, match="not a version of Kubernetes"):
        ServerVersion.parse(text)


def test_version_with_a_patch():
    """A patch version and a leading "v" are accepted."""
    assert ServerVersion.parse("v1.37.2") == ServerVersion(1, 37)
