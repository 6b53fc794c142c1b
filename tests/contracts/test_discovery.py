"""Health checks, version and discovery; authentication and authorization; paths that do not exist."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.timeout(120)

WIDGETS = "/apis/contracts.example.com/v1"


def differing(embedded, real):
    """Returns where the real server's descriptions differ from the embedded server's, or lack something."""
    return {
        name: {
            key: (value, real.get(name, {}).get(key))
            for key, value in described.items()
            if value != real.get(name, {}).get(key)
        }
        for name, described in embedded.items()
        if described != real.get(name)
    }


def resources(servers):
    """Returns each server's resources of a version by name, without the hash that differs between servers."""
    return [
        {
            resource["name"]: {key: value for key, value in resource.items() if key != "storageVersionHash"}
            for resource in side.last["resources"]
        }
        for side in servers.sides
    ]


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health(servers, path):
    """A running server answers "ok"."""
    assert servers.ask("GET", path).body == "ok"


def test_version(servers):
    """The version is the one that the embedded server emulates."""
    answer = servers.ask("GET", "/version", only=("major", "minor", "platform"))
    assert (answer.body["major"], answer.body["minor"]) == ("1", "37")


def test_core_versions(servers):
    """The versions of the core group, without the server's address."""
    answer = servers.ask("GET", "/api", only=("kind", "versions"))
    assert answer.body == {"kind": "APIVersions", "versions": ["v1"]}


def test_groups(servers):
    """The real server describes every group of the embedded server in the same way."""
    servers.ask("GET", "/apis", only=("kind", "apiVersion"))
    documents = [{group["name"]: group for group in side.last["groups"]} for side in servers.sides]
    for document in documents[1:]:
        for name, group in documents[0].items():
            assert group["preferredVersion"] == document[name]["preferredVersion"]
            # The embedded server need not serve older versions.
            assert all(version in document[name]["versions"] for version in group["versions"])
    assert "contracts.example.com" in documents[0]
    assert "apps" in documents[0]


@pytest.mark.parametrize("path", ["/apis/apps", "/apis/contracts.example.com"])
def test_one_group(servers, path):
    """The document of one group."""
    assert servers.ask("GET", path).body["kind"] == "APIGroup"


GROUP_VERSIONS = [
    "/api/v1",
    "/apis/apps/v1",
    "/apis/batch/v1",
    "/apis/coordination.k8s.io/v1",
    "/apis/events.k8s.io/v1",
    "/apis/discovery.k8s.io/v1",
    "/apis/networking.k8s.io/v1",
    "/apis/policy/v1",
    "/apis/rbac.authorization.k8s.io/v1",
    "/apis/scheduling.k8s.io/v1",
    "/apis/storage.k8s.io/v1",
    "/apis/apiextensions.k8s.io/v1",
]


@pytest.mark.parametrize("path", GROUP_VERSIONS)
def test_resources_of_a_version(servers, path):
    """The real server describes every resource of the embedded server in the same way."""
    servers.ask("GET", path, only=("kind", "groupVersion"))
    documents = resources(servers)
    assert documents[0]
    for document in documents[1:]:
        differing = {
            name: (each, document.get(name)) for name, each in documents[0].items() if each != document.get(name)
        }
        assert differing == {}


def test_resources_of_a_custom_group(servers):
    """Both servers describe the resources of a custom group in the same way."""
    servers.ask("GET", WIDGETS, only=("kind", "apiVersion", "groupVersion"))
    documents = resources(servers)
    assert set(documents[0]) == {"widgets", "widgets/status"}
    for document in documents[1:]:
        assert document == documents[0]


@pytest.mark.parametrize(
    "path",
    [
        "/nonsense",
        "/api/v2",
        "/api/v1/nonsense",
        "/api/v1/namespaces/default/nonsense",
        "/api/v1/namespaces/default/nonsense/a",
        "/apis/nonsense.example.com",
        "/apis/nonsense.example.com/v1",
        "/apis/nonsense.example.com/v1/things",
        "/apis/nonsense.example.com/v1/namespaces/default/things/a",
        "/apis/apps/v9",
        "/apis/apps/v9/deployments",
        "/apis/apps/v1/nonsense",
        f"{WIDGETS}/nonsense",
        "/apis/contracts.example.com/v9/widgets",
        f"{WIDGETS}/namespaces/default/widgets/absent",
        "/api/v1/namespaces/default/configmaps/absent",
        "/apis/apps/v1/namespaces/default/deployments/absent",
        "/api/v1/namespaces/absent",
        "/api/v1/nodes/absent",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_unknown_path_is_404(servers, method, path):
    """Unknown paths, groups, versions, resources and objects are 404, with the same body."""
    assert servers.ask(method, path).status == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v1/namespaces/default/configmaps/a", 405),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405),
        ("PATCH", "/api/v1/namespaces/default/configmaps", 405),
        ("DELETE", "/api/v1/configmaps", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("POST", f"{WIDGETS}/widgets", 404),
        ("DELETE", f"{WIDGETS}/widgets", 404),
        ("GET", f"{WIDGETS}/widgets/a", 404),
        ("PUT", f"{WIDGETS}/namespaces/default/widgets", 400),
        ("PATCH", f"{WIDGETS}/namespaces/default/widgets", 400),
    ],
)
def test_methods_that_are_not_allowed(servers, method, path, status):
    """A method that a path does not support is 405; for some, custom resources have other answers."""
    media = "application/merge-patch+json" if method == "PATCH" else "application/json"
    assert servers.ask(method, path, None if method in ("GET", "DELETE") else {}, media=media).status == status


@pytest.mark.parametrize("path", ["/api/v1/configmaps", "/apis", "/api/v1/namespaces/default/configmaps/a"])
def test_unknown_token_is_401(servers, path):
    """An unknown token is 401 on every path."""
    answer = servers.ask("GET", path, user="wrong")
    assert (answer.status, answer.body["reason"]) == (401, "Unauthorized")


FORBIDDEN = {
    "list": ("GET", "/api/v1/namespaces/{ns}/configmaps", {}),
    "list-cluster": ("GET", "/api/v1/configmaps", {}),
    "watch": ("GET", "/api/v1/namespaces/{ns}/configmaps", {"watch": "true"}),
    "get": ("GET", "/api/v1/namespaces/{ns}/configmaps/a", {}),
    "delete": ("DELETE", "/api/v1/namespaces/{ns}/configmaps/a", {}),
    "delete-all": ("DELETE", "/api/v1/namespaces/{ns}/configmaps", {}),
    "custom": ("GET", WIDGETS + "/namespaces/{ns}/widgets", {}),
    "apps": ("GET", "/apis/apps/v1/namespaces/{ns}/deployments/a", {}),
    "cluster-scoped": ("GET", "/api/v1/nodes/a", {}),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_forbidden_request_names_the_missing_right(without_rights, case):
    """A 403 names the user, the verb, the resource, its group and its namespace."""
    method, path, query = FORBIDDEN[case]
    answer = without_rights.ask(method, path, query=query, user="nobody")
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    assert 'User "nobody" cannot' in answer.body["message"]
