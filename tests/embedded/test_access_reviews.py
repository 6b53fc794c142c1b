"""What the embedded server answers about users and their rights, and the logs that tests give it."""

from __future__ import annotations

import pytest
from kubernetes import client

from informer.testing import EmbeddedAPIServer

ROBOT = "system:serviceaccount:default:robot"


@pytest.fixture
def server():
    with EmbeddedAPIServer(tokens={"a": "admin"}) as server:
        server.create({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "robot"}})
        yield server


@pytest.fixture
def api(server):
    with server.api_client() as api:
        yield api


def _may(api, **wanted):
    spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(**wanted))
    review = client.V1SelfSubjectAccessReview(spec=spec)
    return client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed


def test_review_follows_the_forbidden_requests(server, api):
    """A review says no to exactly what `forbid` refuses."""
    server.forbid("list", "deployments.apps", namespace="a")
    assert not _may(api, verb="list", resource="deployments", group="apps", namespace="a")
    assert _may(api, verb="list", resource="deployments", group="apps", namespace="b")
    assert _may(api, verb="get", resource="deployments", group="apps", namespace="a")
    server.allow()
    assert _may(api, verb="list", resource="deployments", group="apps", namespace="a")


def test_token_is_accepted_as_the_account_s(server, api):
    """A requested token names its service account, and is refused once it is not one of the server's."""
    core = client.CoreV1Api(api)
    token = core.create_namespaced_service_account_token("robot", "default", {"spec": {}}).status.token
    with server.api_client(token=token) as as_robot:
        user = client.AuthenticationV1Api(as_robot).create_self_subject_review({}).status.user_info
    assert user.username == ROBOT
    assert user.groups == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    with server.api_client(token=token + "x") as other, pytest.raises(client.ApiException, match="401"):
        client.CoreV1Api(other).list_namespaced_pod("default")


def test_impersonation_may_be_forbidden(server, api):
    """A user who may not impersonate gets 403, and otherwise acts as the other user."""
    api.set_default_header("Impersonate-User", ROBOT)
    review = client.AuthenticationV1Api(api).create_self_subject_review
    assert review({}).status.user_info.username == ROBOT
    server.forbid("impersonate", "serviceaccounts")
    with pytest.raises(client.ApiException, match='User \\\\"admin\\\\" cannot impersonate resource'):
        review({})
    server.allow()
    del api.default_headers["Impersonate-User"]


def test_log_of_a_test(server, api):
    """The log of a pod is the text that the test has set, in whole or its last lines."""
    containers = [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}, "spec": {"containers": containers}}
    server.create(pod)
    server.set_log("web", "one\ntwo\nthree\n", container="a")
    read = client.CoreV1Api(api).read_namespaced_pod_log
    assert read("web", "default", container="a") == "one\ntwo\nthree\n"
    assert read("web", "default", container="a", tail_lines=1) == "three\n"
    assert read("web", "default", container="a", limit_bytes=3) == "one"
    with pytest.raises(client.ApiException, match="choose one of: \\[a b\\]"):
        read("web", "default")
    server.set_log("web", "any\n")
    assert read("web", "default", container="b") == "any\n"


def test_calls_require_less_than_requests(server, api):
    """A test may create a pod that has only a name; a client may not, but it may change the test's pod."""
    server.create({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "bare"}})
    core = client.CoreV1Api(api)
    assert core.patch_namespaced_pod("bare", "default", {"metadata": {"labels": {"a": "b"}}}).spec is None
    with pytest.raises(client.ApiException, match=r"spec\.containers: Required value"):
        core.create_namespaced_pod("default", {"metadata": {"name": "other"}})
    server.create({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "partly"}, "spec": {"nodeName": "n"}})
    core.patch_namespaced_pod(
        "partly", "default", {"metadata": {"labels": {"a": "b"}}}, _preload_content=False
    ).release_conn()
    assert server.get("pods", "partly")["metadata"]["labels"] == {"a": "b"}
    server.patch("pods", "partly", {"spec": {"nodeName": "m"}})  # the test may also change what no client may
    assert server.get("pods", "partly")["spec"]["restartPolicy"] == "Always"
