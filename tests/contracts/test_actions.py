"""Requests that store nothing: reviews, impersonation, tokens, evictions, bindings; and the logs of pods."""

import pytest

from tests.contracts.kind_samples import CORE, SELECTOR, pod, spec

MERGE = "application/merge-patch+json"
PODS = f"{CORE}pods"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
AUTHENTICATION = "/apis/authentication.k8s.io/v1"
ACCESS = f"{AUTHORIZATION}/selfsubjectaccessreviews"
LIST_PODS = {"verb": "list", "resource": "pods", "namespace": "x"}


def _pod(name, **more):
    body = {"metadata": {"name": name, "labels": {"app": "web"}}, **pod()}
    return {**body, **more}


@pytest.fixture
def servers(shared_servers):
    return shared_servers


_SUBJECTS, _TOKENS = f"{AUTHORIZATION}/subjectaccessreviews", f"{AUTHENTICATION}/tokenreviews"
_PATH = {"verb": "get", "path": "/x"}
REVIEWS = {
    "access": (ACCESS, spec(resourceAttributes=LIST_PODS), 201),
    "access-whole": (ACCESS, {"metadata": {"creationTimestamp": None}, **spec(resourceAttributes=LIST_PODS)}, 201),
    "access-empty": (ACCESS, spec(), 422),
    "access-path": (ACCESS, spec(nonResourceAttributes=_PATH), 201),
    "subject": (_SUBJECTS, spec(user="admin", groups=["system:masters"], resourceAttributes=LIST_PODS), 201),
    "subject-nobody": (_SUBJECTS, spec(resourceAttributes=LIST_PODS), 422),
    "wrong-token": (_TOKENS, spec(token="wrong"), 201),
    "no-token": (_TOKENS, spec(), 400),
}


@pytest.mark.parametrize("case", REVIEWS)
def test_review(servers, case):
    """A review has an answer in its status, and is refused if it is not complete."""
    path, body, status = REVIEWS[case]
    assert servers.ask("POST", path, body).status == status


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ACCESS), ("GET", f"{ACCESS}/x"), ("POST", f"{ACCESS}/x"), ("DELETE", ACCESS)]
)
def test_review_can_only_be_created(servers, method, path):
    """Reviews are not stored, so they can be neither read nor deleted."""
    assert servers.ask(method, path, {} if method == "POST" else None).status in (404, 405)


def test_own_user(servers):
    """A client can ask who it is; its groups and uid depend on how the server authenticates."""
    answer = servers.ask("POST", f"{AUTHENTICATION}/selfsubjectreviews", {}, only=("kind", "metadata"))
    assert answer.status == 201


IMPERSONATIONS = {
    "user": ({"Impersonate-User": "bob"}, 201),
    "groups": ({"Impersonate-User": "bob", "Impersonate-Group": "system:masters", "Impersonate-Uid": "u"}, 201),
    "extra": ({"Impersonate-User": "bob", "Impersonate-Extra-Scopes": "view"}, 201),
    "account": ({"Impersonate-User": "system:serviceaccount:ns:robot"}, 201),
    "no-user": ({"Impersonate-Group": "x"}, 400),
}


@pytest.mark.parametrize("case", IMPERSONATIONS)
def test_impersonation(servers, case):
    """A request is carried out for the user whom its headers name."""
    headers, status = IMPERSONATIONS[case]
    path = f"{AUTHENTICATION}/selfsubjectreviews"
    assert servers.ask("POST", path, {}, headers=headers, any_message=status == 400).status == status


def test_token_of_an_account(servers):
    """A service account gets tokens, which the server accepts as the account's."""
    servers.ask("POST", f"{CORE}serviceaccounts", {"metadata": {"name": "robot"}})
    path = f"{CORE}serviceaccounts/robot/token"
    assert servers.ask("POST", path, {}, only=("kind", "metadata", "spec")).status == 201
    servers.keep("token", lambda body: body["status"]["token"])
    review = servers.ask("POST", f"{AUTHENTICATION}/tokenreviews", spec(token="{token}"), only=("kind", "metadata"))
    assert review.status == 201
    for side in servers.sides:
        assert side.last["status"]["user"]["username"] == side.filled("system:serviceaccount:{ns}:robot")
    assert servers.ask("POST", path, spec(expirationSeconds=10)).status == 422
    assert servers.ask("POST", f"{CORE}serviceaccounts/nope/token", {}).status == 404
    assert servers.ask("GET", path).status == 405


def _evict(servers, name, **more):
    body = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": name}, **more}
    return servers.ask("POST", f"{PODS}/{name}/eviction", body)


def test_eviction_and_budget(servers):
    """An eviction deletes a pod if its budget's status allows one more disruption, and counts it there."""
    for name in "abc":
        servers.ask("POST", PODS, _pod(name))
    assert _evict(servers, "a").status == 201
    assert servers.ask("GET", f"{PODS}/a").status == 404
    for name in "bc":
        ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
        servers.ask("PATCH", f"{PODS}/{name}/status", ready, media=MERGE, only=("kind",))
    budgets = "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets"
    servers.ask("POST", budgets, {"metadata": {"name": "p"}, **spec(minAvailable=1, selector=SELECTOR)})
    assert _evict(servers, "b").status == 429  # nothing has computed the budget's status yet
    for healthy, allowed, status in ((1, 0, 429), (2, 0, 429), (2, 1, 201)):
        state = {
            "observedGeneration": 1,
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": 1,
            "expectedPods": 2,
        }
        servers.ask("PATCH", f"{budgets}/p/status", {"status": state}, media=MERGE, only=("kind",))
        assert _evict(servers, "b", deleteOptions={"dryRun": ["All"]}).status == status
        assert _evict(servers, "b").status == status
    answer = servers.ask("GET", f"{budgets}/p", only=("kind", "spec"))
    assert (answer.status, len(answer.body)) == (200, 2)
    for side in servers.sides:
        status = side.last["status"]
        assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (0, ["b"])
    assert _evict(servers, "c").status == 429
    servers.ask("POST", budgets, {"metadata": {"name": "second"}, **spec(minAvailable=1, selector=SELECTOR)})
    assert _evict(servers, "c").status == 500
    assert servers.ask("POST", f"{PODS}/c/eviction", {"metadata": {"name": "x"}}).status == 400
    assert _evict(servers, "nope").status == 404


def test_binding(servers):
    """A binding assigns a pod to a node, once."""
    servers.ask("POST", PODS, _pod("bound"))
    servers.ask("POST", PODS, _pod("other"))
    to_node = {"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "n1"}}
    for metadata, status in (
        ({"name": "bound", "uid": "x"}, 409),
        ({"name": "bound", "resourceVersion": "1"}, 409),
        ({"name": "bound", "namespace": "x"}, 400),
        ({"name": "other"}, 400),
        ({}, 400),
    ):
        assert servers.ask("POST", f"{PODS}/bound/binding", {**to_node, "metadata": metadata}).status == status
    assert servers.ask("POST", f"{PODS}/bound/binding", to_node).status == 201
    assert servers.ask("GET", f"{PODS}/bound").body["spec"]["nodeName"] == "n1"
    assert servers.ask("POST", f"{PODS}/bound/binding", to_node).status == 409
    assert servers.ask("POST", f"{PODS}/nope/binding", {**to_node, "metadata": {"name": "nope"}}).status == 404
    body = {"metadata": {"name": "other"}, "target": {}}
    assert servers.ask("POST", f"{PODS}/other/binding", body).status == 500
    body = {"metadata": {"name": "other"}, "target": {"name": "n1"}}
    assert servers.ask("POST", f"{CORE}bindings", body).status == 201
    assert servers.ask("GET", f"{CORE}bindings").status == 405


def test_log_of_a_pod(servers):
    """A pod without a node has an empty log; a container that it does not have is a bad request."""
    servers.ask("POST", PODS, _pod("logged"))
    for path, query, status in (
        ("logged", {}, 204),
        ("nope", {}, 404),
        ("logged", {"container": "zz"}, 400),
    ):
        assert servers.ask("GET", f"{PODS}/{path}/log", query=query).status == status


def test_health_endpoints(servers):
    """The checks of a health endpoint have paths of their own."""
    for path in ("/livez", "/livez/ping", "/readyz/etcd", "/healthz/ping", "/livez/nope", "/readyz/informer-sync"):
        servers.ask("GET", path)
    for side in servers.sides:
        page = side.send("GET", "/readyz", {"verbose": ""}, None, {}, "admin").read().decode()
        assert "[+]ping ok\n" in page
        assert "[+]etcd ok\n" in page
        assert page.endswith("readyz check passed\n")


def test_discovery_names_actions(servers):
    """Discovery lists what can be done, with the same verbs."""
    for path in (AUTHORIZATION, AUTHENTICATION):
        servers.ask("GET", path, only=("kind", "groupVersion"))
        named = [{each["name"]: each for each in side.last["resources"]} for side in servers.sides]
        for resources in named[1:]:
            assert all(resources[name] == each for name, each in named[0].items())
