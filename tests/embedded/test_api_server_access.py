"""Who may do what, over TLS too: tokens, rules, kubeconfig."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from informer import ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map

PODS = "/api/v1/namespaces/x/pods"


@pytest.mark.parametrize("token", [None, "wrong", ""], ids=["none", "wrong", "empty"])
def test_without_a_token_there_is_no_answer(client_of, token):
    """401 with the real server's body, for every path."""
    with EmbeddedAPIServer(tokens={"secret": "alice"}) as server:
        call = client_of(server, token)
        for path in ("/api/v1/pods", "/version"):
            answer = call("GET", path)
            assert answer.status == 401
            assert answer.json == {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": "Unauthorized",
                "reason": "Unauthorized",
                "code": 401,
            }
        assert client_of(server, "secret")("GET", "/api/v1/pods").status == 200


@pytest.mark.parametrize("tokens", ["one", ["one", "two"], {"one": "alice"}], ids=["text", "list", "mapping"])
def test_tokens_can_be_given_in_several_forms(client_of, tokens):
    """One, several, or with the names of their users."""
    with EmbeddedAPIServer(tokens=tokens) as server:
        assert client_of(server, "one")("GET", "/version").status == 200
        assert client_of(server, "on")("GET", "/version").status == 401


def test_tokens_can_be_rotated(client_of):
    """The old one is refused from then on; a watch that is open goes on."""
    with EmbeddedAPIServer(tokens="old") as server:
        call = client_of(server, "old")
        stream = call.watch("/api/v1/namespaces?resourceVersion=" + server.resource_version)
        server.set_tokens("new")
        assert call("GET", "/version").status == 401
        assert client_of(server, "new")("GET", "/version").status == 200
        server.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "n"}})
        assert stream.events(1) == [("ADDED", "n")]


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "method", "path", "message"),
    [
        ("list", "pods", None, "GET", PODS,
         'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "x"'),
        ("list", "pods", None, "GET", "/api/v1/pods",
         'pods is forbidden: User "bob" cannot list resource "pods" in API group "" at the cluster scope'),
        ("get", "pods", "x", "GET", f"{PODS}/p",
         'pods "p" is forbidden: User "bob" cannot get resource "pods" in API group "" in the namespace "x"'),
        ("watch", "deployments.apps", None, "GET", "/apis/apps/v1/deployments?watch=1",
         'deployments.apps is forbidden: User "bob" cannot watch resource "deployments" in API group "apps" at the '
         "cluster scope"),
        ("update", "pods/status", None, "PUT", f"{PODS}/p/status",
         'pods "p" is forbidden: User "bob" cannot update resource "pods/status" in API group "" in the namespace "x"'),
        ("*", "*", None, "DELETE", PODS,
         'pods is forbidden: User "bob" cannot deletecollection resource "pods" in API group "" in the namespace "x"'),
    ],
)  # fmt: skip
def test_what_is_forbidden_is_403(client_of, verb, resource, namespace, method, path, message):
    """In RBAC's words, with the user of the token; `allow` takes it back."""
    with EmbeddedAPIServer(tokens={"t": "bob"}) as server:
        call = client_of(server, "t")
        server.forbid(verb, resource, namespace=namespace)
        answer = call(method, path, {} if method == "PUT" else None)
        assert (answer.status, answer.json["reason"], answer.message) == (403, "Forbidden", message)
        server.allow(verb, resource)
        server.faults.short_watches()
        assert call(method, path, {} if method == "PUT" else None).status != 403


def test_a_rule_is_for_its_verb_resource_and_namespace(server, call):
    """And for nothing else."""
    server.forbid("list", "pods", namespace="x")
    server.forbid("list", "nodes", namespace="")
    assert call("GET", PODS).status == 403
    assert call("GET", "/api/v1/nodes").status == 403
    for path in (f"{PODS}/p", "/api/v1/pods", "/api/v1/namespaces/y/pods", "/api/v1/namespaces/x/secrets"):
        assert call("GET", path).status != 403
    server.allow()
    assert call("GET", PODS).status == 200


def test_tls_is_verified_by_the_servers_own_authority(client_of):
    """Who trusts it gets an answer, who does not refuses the connection."""
    with EmbeddedAPIServer(tls=True) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert client_of(server)("GET", "/healthz").body == b"ok"
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(f"{server.url}/healthz", timeout=5, context=ssl.create_default_context())
        assert client_of(server)("GET", "/healthz").body == b"ok"


def test_plain_http_to_a_tls_port_ends(client_of):
    """Without an answer, and the server goes on."""
    with EmbeddedAPIServer(tls=True) as server:
        with pytest.raises((OSError, urllib.error.URLError)):
            urllib.request.urlopen(server.url.replace("https", "http"), timeout=5)
        assert client_of(server)("GET", "/healthz").body == b"ok"


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_client_is_ready_to_use(tls):
    """`api_client` knows address, authority and token; another token can be given."""
    with EmbeddedAPIServer(tls=tls, tokens={"good": "alice"}) as server:
        with server.api_client() as api:
            assert len(client.CoreV1Api(api).list_namespace().items) == 4
        with server.api_client(token="bad") as api, pytest.raises(ApiException) as refused:
            client.CoreV1Api(api).list_namespace()
        assert refused.value.status == 401


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_kubeconfig_stands_for_itself(tmp_path, tls):
    """The official client can be configured by it alone."""
    with EmbeddedAPIServer(tls=tls, tokens={"good": "alice"}) as server:
        path = server.kubeconfig(tmp_path / "config")
        assert path.stat().st_mode & 0o777 == 0o600
        with config.new_client_from_config(str(path)) as api:
            assert len(client.CoreV1Api(api).list_namespace().items) == 4


def test_an_informer_over_tls_with_a_token():
    """The whole way, as a user would have it."""
    with (
        EmbeddedAPIServer(tls=True, tokens="t") as server,
        server.api_client() as api,
        SharedInformer(ListWatch.for_resource(api, "configmaps")) as informer,
    ):
        assert informer.wait_for_sync(10)
        created = server.create(config_map("a"))
        assert informer.wait_for_resource_version(created["metadata"]["resourceVersion"], 10)
        assert informer.lister.get("a", "default").name == "a"
