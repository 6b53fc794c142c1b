"""Clients that `load_client` makes: credentials, certificates, impersonation and overrides, for informers and official APIs."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from informer import KubeconfigError, ListWatch, SharedInformer, current_namespace, load_client
from informer.transport.transport import Transport, transport_for
from tests.support.forks import IN_CHILD
from tests.support.waiting import eventually

EXEC_API = "client.authentication.k8s.io/v1"
VERSION = {"major": "1", "minor": "37"} | dict.fromkeys(
    ("gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"), "x"
)

Ask = Callable[[Any], Any]
"""Sends a request with a client."""

ASK = pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda api_client: Transport(api_client).get_json("/version"), id="informer"),
        pytest.param(lambda api_client: client.VersionApi(api_client).get_code(), id="official"),
    ],
)


def write(path: Path, server: str, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
    context = {"cluster": "k", "user": "u", "namespace": "shop"}
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": context}],
                "clusters": [{"name": "k", "cluster": {"server": server, **cluster}}],
                "users": [{"name": "u", "user": user or {}}],
            }
        )
    )
    return path


def base64_of(text: str | bytes) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def answering(_: Any, connection: Any) -> None:
    connection.answer(VERSION)


@ASK
@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param({"token": "t"}, "Bearer t", id="token"),
        pytest.param({"username": "u", "password": "p"}, "Basic dTpw", id="password"),
        pytest.param({"tokenFile": "file"}, "Bearer f", id="token-file"),
        pytest.param({"tokenFile": "file", "token": "t"}, "Bearer f", id="token-file-before-token"),
        pytest.param({"tokenFile": "missing", "token": "t"}, "Bearer t", id="token-file-is-missing"),
        pytest.param({"exec": {"apiVersion": EXEC_API, "command": "./plugin"}}, "Bearer e", id="exec"),
        pytest.param({"exec": {"apiVersion": EXEC_API, "command": "/no"}, "token": "t"}, "Bearer t", id="token-first"),
        pytest.param({}, None, id="anonymous"),
    ],
)
def test_credentials_are_sent(user: dict[str, Any], expected: str | None, ask: Ask, serve: Any, tmp_path: Path) -> None:
    """By informers and by the official API classes."""
    server = serve(answering)
    (tmp_path / "file").write_text("f\n")
    answer = {"apiVersion": EXEC_API, "kind": "ExecCredential", "status": {"token": "e"}}
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    plugin.chmod(0o755)
    ask(load_client(write(tmp_path / "config", server.url, user)))
    assert server.requests[0].headers.get("authorization") == expected


@ASK
def test_inline_certificates_leave_no_file(
    ask: Ask, serve: Any, tmp_path: Path, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are used from memory. The client's key is in a file only while OpenSSL reads it."""
    seen: list[str] = []

    def handler(request: Any, connection: Any) -> None:
        seen.append(dict(field for part in connection.sock.getpeercert()["subject"] for field in part)["commonName"])
        connection.answer(VERSION)

    server = serve(handler, tls=authority.server_context("127.0.0.1", wants_client=True))
    pem = Path(authority.issue(name="alice")).read_text()
    end = pem.index("-----BEGIN EC PRIVATE KEY")
    user = {"client-certificate-data": base64_of(pem[:end]), "client-key-data": base64_of(pem[end:])}
    trusted = "# \u00e9\n" + Path(authority.path).read_text()
    path = write(tmp_path / "config", server.url, user, **{"certificate-authority-data": base64_of(trusted)})
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    ask(load_client(path))
    assert seen == ["alice"]
    assert list(temporary.iterdir()) == []


@ASK
def test_impersonation_is_sent(ask: Ask, serve: Any, tmp_path: Path) -> None:
    """Each group as a header of its own: a server takes "a, b" for one group."""
    server = serve(answering)
    user = {"token": "t", "as": "jane", "as-groups": ["a", "b"], "as-uid": "7", "as-user-extra": {"k": ["v", "w"]}}
    api_client = load_client(write(tmp_path / "config", server.url, user))
    api_client.set_default_header("X-Mine", "kept")
    ask(api_client)
    sent = server.requests[0].all_headers
    assert [(name, value) for name, value in sent if name.startswith("impersonate-")] == [
        ("impersonate-user", "jane"),
        ("impersonate-uid", "7"),
        ("impersonate-group", "a"),
        ("impersonate-group", "b"),
        ("impersonate-extra-k", "v"),
        ("impersonate-extra-k", "w"),
    ]
    assert ("x-mine", "kept") in sent


def test_an_informer_sends_impersonation(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default client, too."""
    server = serve(lambda _, connection: connection.answer({}, 403))
    path = write(tmp_path / "config", server.url, {"as": "jane", "as-groups": ["a", "b"]})
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr("informer.transport.transport._defaults", [])
    with SharedInformer(ListWatch.for_resource(None, "v1/pods")):  # type: ignore[arg-type]
        assert eventually(lambda: server.requests)
    groups = [value for name, value in server.requests[0].all_headers if name == "impersonate-group"]
    assert (server.requests[0].headers["impersonate-user"], groups) == ("jane", ["a", "b"])


def test_overrides_replace_the_kubeconfigs_settings(serve: Any, tmp_path: Path, authority: Any) -> None:
    """Address, authority, verification, expected name and User-Agent; the user stays."""
    server = serve(answering, tls=authority.server_context("other.test"))
    path = write(tmp_path / "config", "https://nowhere.test", {"token": "t"}, **{"certificate-authority-data": "eA=="})
    for settings in ({"ca_file": authority.path, "tls_server_name": "other.test"}, {"verify_ssl": False}):
        api_client = load_client(path, host=server.url, user_agent="mine/1", **settings)  # type: ignore[arg-type]
        assert Transport(api_client).get_json("/version") == VERSION
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer t"] * 2
    assert {request.headers["user-agent"] for request in server.requests} == {"mine/1"}
    with pytest.raises(KubeconfigError, match="ca_file /nowhere is missing"):
        load_client(path, ca_file="/nowhere")


def test_an_address_is_enough(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any kubeconfig. One that is named has to exist all the same."""
    server = serve(answering)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "")
    assert Transport(load_client(host=server.url)).get_json("/version") == VERSION
    with pytest.raises(KubeconfigError, match="does not exist"):
        load_client(tmp_path / "missing", host=server.url)


def test_the_current_namespace_is_the_contexts(tmp_path: Path) -> None:
    """As kubectl without -n."""
    assert current_namespace(write(tmp_path / "config", "https://a")) == "shop"


def test_a_proxy_url_is_used_whatever_no_proxy_says(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY belongs to the proxies of the environment."""
    proxy = serve(answering)
    monkeypatch.setenv("NO_PROXY", "*")
    path = write(tmp_path / "config", "http://server.test", **{"proxy-url": proxy.url})
    assert Transport(load_client(path)).get_json("/version") == VERSION
    assert proxy.requests[0].target == "http://server.test/version"


def test_an_informer_reports_that_no_cluster_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sync_error()` names the path and what to do."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nonexistent"))
    monkeypatch.setattr("informer.transport.transport._defaults", [])
    informer: Any = SharedInformer(ListWatch.for_resource(None, "v1/pods"))  # type: ignore[arg-type]
    with informer:
        assert eventually(lambda: informer.sync_error() is not None)
        error = str(informer.sync_error())
    assert f"{tmp_path}/nonexistent (named by KUBECONFIG) does not exist" in error
    assert "Create a kubeconfig" in error


def test_a_client_without_a_host_says_so() -> None:
    """As made before, or without, `load_kube_config()`."""
    informer: Any = SharedInformer(ListWatch.for_resource(client.ApiClient(client.Configuration(host="")), "v1/pods"))
    with informer:
        assert eventually(lambda: informer.sync_error() is not None)
        error = str(informer.sync_error())
    assert "the ApiClient has no host: call load_kube_config(), or pass None" in error


def test_a_changed_token_file_is_read_by_the_default_client(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Any
) -> None:
    """In a pod: the kubelet rotates the service account's token."""
    server = serve(answering, tls=authority.server_context("127.0.0.1"))
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("one")
    (account / "ca.crt").write_bytes(Path(authority.path).read_bytes())
    monkeypatch.setattr("informer.kubeconfig.find.SERVICE_ACCOUNT", account)
    monkeypatch.setattr("informer.transport.transport._defaults", [])
    for name, value in (("HOME", str(tmp_path)), ("KUBECONFIG", ""), ("KUBERNETES_SERVICE_HOST", "127.0.0.1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    assert transport_for().get_json("/version") == VERSION
    (account / "token").write_text("two")
    os.utime(account / "token", ns=(1, 1))
    assert transport_for().get_json("/version") == VERSION
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer one", "Bearer two"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_uses_the_official_api(serve: Any, tmp_path: Path) -> None:
    """With connections of its own: a web server makes its client before it forks its workers."""
    server = serve(answering)
    program = (
        IN_CHILD
        + "from kubernetes import client\n"
        + "from informer import load_client\n"
        + f"api_client = load_client({str(write(tmp_path / 'config', server.url))!r})\n"
        + "ask = client.VersionApi(api_client).get_code\n"
        + "ask()\n"
        + "code = in_child(ask)\n"
        + "ask()\n"
        + "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (len(server.requests), server.connections) == (3, 2)
