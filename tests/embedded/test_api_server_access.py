"""Authentication and authorization of the embedded API server: tokens, rules, kubeconfig, TLS."""

from __future__ import annotations

import json
import shutil
import ssl
import stat
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from informer import ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map, namespace_object

PODS = "/api/v1/namespaces/x/pods"


@pytest.mark.parametrize("token", [None, "wrong", ""], ids=["none", "wrong", "empty"])
def test_request_without_a_valid_token_is_401(client_of, token):
    """Every path is answered with 401 and kube-apiserver's body."""
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
def test_tokens_are_taken_as_text_list_or_mapping(client_of, tokens):
    """One token, several tokens, or tokens with the names of their users."""
    with EmbeddedAPIServer(tokens=tokens) as server:
        assert client_of(server, "one")("GET", "/version").status == 200
        assert client_of(server, "on")("GET", "/version").status == 401


def test_tokens_can_be_rotated(client_of):
    """The old token is refused from then on; an open watch continues."""
    with EmbeddedAPIServer(tokens="old") as server:
        call = client_of(server, "old")
        stream = call.watch("/api/v1/namespaces?resourceVersion=" + server.resource_version)
        server.set_tokens("new")
        assert call("GET", "/version").status == 401
        assert client_of(server, "new")("GET", "/version").status == 200
        server.create(namespace_object("n"))
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
def test_forbidden_request_is_403(client_of, verb, resource, namespace, method, path, message):
    """The message is RBAC's, with the user of the token; `allow` removes the rule."""
    with EmbeddedAPIServer(tokens={"t": "bob"}) as server:
        call = client_of(server, "t")
        server.forbid(verb, resource, namespace=namespace)
        answer = call(method, path, {} if method == "PUT" else None)
        assert (answer.status, answer.json["reason"], answer.message) == (403, "Forbidden", message)
        server.allow(verb, resource)
        server.faults.short_watches()
        assert call(method, path, {} if method == "PUT" else None).status != 403


def test_rule_applies_to_its_verb_resource_and_namespace_only(server, call):
    """Other verbs, resources and namespaces stay allowed."""
    server.forbid("list", "pods", namespace="x")
    server.forbid("list", "nodes", namespace="")
    assert call("GET", PODS).status == 403
    assert call("GET", "/api/v1/nodes").status == 403
    for path in (f"{PODS}/p", "/api/v1/pods", "/api/v1/namespaces/y/pods", "/api/v1/namespaces/x/secrets"):
        assert call("GET", path).status != 403
    server.allow()
    assert call("GET", PODS).status == 200


def test_server_certificate_is_signed_by_its_own_authority(client_of):
    """A client that trusts the server's authority gets an answer; another client refuses the connection."""
    with EmbeddedAPIServer(tls=True) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert client_of(server)("GET", "/healthz").body == b"ok"
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(f"{server.url}/healthz", timeout=5, context=ssl.create_default_context())
        assert client_of(server)("GET", "/healthz").body == b"ok"


def test_plain_http_to_a_tls_port_gets_no_answer(client_of):
    """The client gets no answer, and the server continues."""
    with EmbeddedAPIServer(tls=True) as server:
        with pytest.raises((OSError, urllib.error.URLError)):
            urllib.request.urlopen(server.url.replace("https", "http"), timeout=5)
        assert client_of(server)("GET", "/healthz").body == b"ok"


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_api_client_is_configured(tls):
    """`api_client` sets address, authority and token; another token can be passed."""
    with EmbeddedAPIServer(tls=tls, tokens={"good": "alice"}) as server:
        with server.api_client() as api:
            assert len(client.CoreV1Api(api).list_namespace().items) == 4
        with server.api_client(token="bad") as api, pytest.raises(ApiException) as refused:
            client.CoreV1Api(api).list_namespace()
        assert refused.value.status == 401


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_kubeconfig_is_enough_for_the_official_client(tmp_path, tls):
    """The kubeconfig alone configures the official client."""
    with EmbeddedAPIServer(tls=tls, tokens={"good": "alice"}) as server:
        path = server.kubeconfig(tmp_path / "config")
        assert path.stat().st_mode & 0o777 == 0o600
        with config.new_client_from_config(str(path)) as api:
            assert len(client.CoreV1Api(api).list_namespace().items) == 4


def test_clients_and_kubeconfigs_are_made_by_user_name(tmp_path):
    """`api_client` and `kubeconfig` take the name of a user; an unknown one is refused by name."""
    with EmbeddedAPIServer(tokens={"a-token": "alice", "b-token": "bob"}) as server:
        for name, token in (("alice", "a-token"), ("bob", "b-token")):
            for api in (server.api_client(name), server.api_client(user=name)):
                with api:
                    client.CoreV1Api(api).list_namespace()
                assert server.requests[-1].headers["authorization"] == f"Bearer {token}"
            written = json.loads(server.kubeconfig(tmp_path / "config", user=name).read_text())
            assert written["users"] == [{"name": name, "user": {"token": token}}]
        with pytest.raises(ValueError, match="no user 'eve': there are alice, bob"):
            server.api_client("eve")
        with pytest.raises(ValueError, match="no user 'eve'"):
            server.kubeconfig(tmp_path / "config", "eve")


def test_a_server_without_tokens_knows_one_user():
    """Every request is from "admin" then; another name is refused, since the server would not tell them apart."""
    with EmbeddedAPIServer() as server:
        with server.api_client("admin") as api:
            assert client.CoreV1Api(api).list_namespace().items
        with pytest.raises(ValueError, match="no user 'alice': there are admin"):
            server.api_client("alice")


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_kubeconfig_of_plain_http_skips_the_verification(tmp_path, tls):
    """`insecure-skip-tls-verify` stands in it for clients that refuse plain HTTP otherwise, and never beside an authority."""
    with EmbeddedAPIServer(tls=tls) as server:
        cluster = json.loads(server.kubeconfig(tmp_path / "config").read_text())["clusters"][0]["cluster"]
    assert cluster.get("insecure-skip-tls-verify", False) is not tls
    assert ("certificate-authority-data" in cluster) is tls


def test_informer_over_tls_with_a_token():
    """An informer of an HTTPS server with a token, configured as a user would."""
    with (
        EmbeddedAPIServer(tls=True, tokens="t") as server,
        server.api_client() as api,
        SharedInformer(ListWatch.for_resource(api, "configmaps")) as informer,
    ):
        assert informer.wait_for_sync(10)
        created = server.create(config_map("a"))
        assert informer.wait_for_resource_version(created["metadata"]["resourceVersion"], 10)
        assert informer.lister.get("a", "default").name == "a"


def test_a_kubeconfig_is_private_from_its_first_moment(tmp_path):
    """A symbolic link at its path is not followed, and a program that has the old file open does not see the token."""
    victim, link, old = (tmp_path / name for name in ("victim", "link", "old"))
    victim.write_text("precious")
    link.symlink_to(victim)
    old.write_text("old")
    old.chmod(0o644)
    with EmbeddedAPIServer(tokens={"s3cr3t": "alice"}) as server, old.open() as reader:
        for path in (link, old):
            server.kubeconfig(path)
            assert stat.S_IMODE(path.lstat().st_mode) == 0o600
            assert "s3cr3t" in path.read_text()
        assert reader.read() == "old"
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("remade", [True, False], ids=["made anew", "deleted"])
def test_an_authority_whose_folder_was_replaced_is_written_anew(remade, tmp_path, monkeypatch):
    """If another user recreates the folder with an authority of his own, the server writes its own to a new folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with EmbeddedAPIServer(tls=True) as server:
        with server.api_client() as first:
            folder = Path(first.configuration.ssl_ca_cert).parent
        shutil.rmtree(folder)
        if remade:
            folder.mkdir()
            folder.chmod(0o777)
            (folder / "ca.crt").write_text("theirs")
        with server.api_client() as api:
            assert Path(api.configuration.ssl_ca_cert).read_bytes() == server.ca_certificate
            assert client.CoreV1Api(api).list_namespace().items
        if remade:
            assert (folder / "ca.crt").read_text() == "theirs"


def test_answers_name_no_program_and_no_version(client_of):
    """Answers show neither the package's nor Python's name or version."""
    with EmbeddedAPIServer() as server:
        for path in ("/api/v1/pods", "/version", "/nowhere"):
            headers = {name.lower() for name in client_of(server)("GET", path).headers}
            assert not headers & {"server", "x-powered-by", "via"}
