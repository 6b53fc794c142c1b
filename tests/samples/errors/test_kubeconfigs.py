"""Messages of docs/errors.md about kubeconfigs and the credentials in them, each in full. None shows a value."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from informer.transport.client_loader import current_namespace, load_client
from informer.transport.exec_plugin import run_exec_plugin
from informer.transport.transport import Transport
from tests.support.messages import check_raised, ids

SECRET = "s3cr3t-value"
PEM = base64.b64encode(SECRET.encode()).decode()
API = "client.authentication.k8s.io/v1"
CLUSTER = {"name": "k", "cluster": {"server": "https://127.0.0.1:1"}}
BOTH = {"exec": {"apiVersion": API, "command": "x"}, "auth-provider": {"name": "oidc"}}


def kubeconfig(user: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A kubeconfig with one context, in which `changes` replace whole sections."""
    whole = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [CLUSTER],
        "users": [{"name": "u", "user": user or {}}],
    }
    return {**whole, **changes}


FILES: list[tuple[dict[str, Any], str]] = [
    (
        kubeconfig(**{"current-context": ""}),
        "PATH sets no current-context: run kubectl config use-context NAME, or name a context",
    ),
    (kubeconfig(contexts=[{"name": "c", "context": {}}]), "context 'c' in PATH names no cluster: add one"),
    (kubeconfig(clusters=[CLUSTER, CLUSTER]), "PATH has two clusters named 'k': delete or rename one"),
    (kubeconfig(clusters=[{"name": "k"}]), "cluster 'k' in PATH has no server: add its address"),
    (
        kubeconfig({"client-certificate-data": PEM}),
        "user 'u' in PATH has a client-certificate, but no client-key or client-key-data: add it",
    ),
    (kubeconfig(BOTH), "user 'u' in PATH has both exec and auth-provider: delete one"),
]


@pytest.mark.parametrize(("content", "message"), FILES, ids=ids(FILES))
def test_a_broken_kubeconfig_raises(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    """The message names the file and the entry, and says what to add or delete."""
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(content))
    check_raised(lambda: load_client(path), message.replace("PATH", str(path)))


def test_a_namespace_that_is_not_a_name_raises(tmp_path: Path) -> None:
    """The namespace is needed, for example, for the Lease of a manager."""
    path = tmp_path / "config"
    path.write_text(
        yaml.safe_dump(kubeconfig(contexts=[{"name": "c", "context": {"cluster": "k", "namespace": "A_b"}}]))
    )
    check_raised(
        lambda: current_namespace(path), "the namespace of context 'c' is not the name of a namespace: correct it"
    )


def test_a_file_that_does_not_exist_raises(tmp_path: Path) -> None:
    """The kubeconfig that the caller names, and the authority that replaces the kubeconfig's."""
    path = tmp_path / "missing"
    check_raised(lambda: load_client(path), f"the kubeconfig {path} does not exist: check the path")
    check_raised(
        lambda: load_client(host="https://a", ca_file=path),
        f"ca_file {path} is missing, or this process may not read it",
    )


def test_credentials_that_cannot_be_read_raise(tmp_path: Path) -> None:
    """The error of a request names the server, and then why there are no credentials for it."""
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(kubeconfig({"tokenFile": "missing"})))
    check_raised(
        lambda: Transport(load_client(path)).get_json("/"),
        f"no credentials for https://127.0.0.1:1: cannot read the token file {tmp_path}/missing: No such file or directory",
    )


SECTIONS: list[tuple[dict[str, Any], str]] = [
    (
        {"command": ""},
        "the exec section of the kubeconfig's user lacks a command or an apiVersion: add it",
    ),
    (
        {"interactiveMode": "Always"},
        "exec plugin 'PLUGIN' needs a terminal (interactiveMode: Always), which this process does not have",
    ),
    (
        {"env": [{"name": "A"}]},
        "the env of exec plugin 'PLUGIN' in the kubeconfig is malformed: entry 'A' has no value (null leaves it out)",
    ),
    (
        {"args": [7]},
        "args of exec plugin 'PLUGIN' in the kubeconfig has to be text: put numbers, true and false in quotes",
    ),
    (
        {},
        f"exec plugin 'PLUGIN' did not write an ExecCredential of apiVersion {API}, but another kind of object",
    ),
]


@pytest.mark.parametrize(("section", "message"), SECTIONS, ids=ids(SECTIONS))
def test_an_exec_section_that_does_not_work_raises(
    section: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the plugin's command, and nothing that the plugin wrote."""
    monkeypatch.setattr("sys.stdin", None)
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps({'kind': 'Secret', 'token': SECRET})}'\n")
    plugin.chmod(0o700)
    check_raised(
        lambda: run_exec_plugin({"command": str(plugin), "apiVersion": API, **section}),
        message.replace("PLUGIN", str(plugin)),
    )


STATUS = {"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "Unauthorized"}
ID_TOKEN = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, {"exp": 9999999999})
)
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "a request without credentials: user 'u' in PATH has none, so add some"),
    (
        {"exec": {"apiVersion": API, "command": "PLUGIN"}},
        "the credentials from exec plugin 'PLUGIN': log in again, and check that the plugin is for this cluster",
    ),
    (
        {"auth-provider": {"name": "oidc", "config": {"id-token": f"{ID_TOKEN}.x", "idp-issuer-url": "u"}}},
        "the token from the auth-provider of user 'u' in PATH: log in again",
    ),
]


@pytest.mark.parametrize(("user", "message"), REFUSED, ids=ids(REFUSED))
def test_refused_credentials_are_named(user: dict[str, Any], message: str, serve: Any, tmp_path: Path) -> None:
    """A server that answers with 401: which credentials it refused, and what to do."""
    server = serve(lambda _, connection: connection.answer(STATUS, 401))
    plugin, path = tmp_path / "plugin", tmp_path / "config"
    credential = {"kind": "ExecCredential", "apiVersion": API, "status": {"token": SECRET}}
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    plugin.chmod(0o700)
    content = kubeconfig(user, clusters=[{"name": "k", "cluster": {"server": server.url}}])
    path.write_text(yaml.safe_dump(content).replace("PLUGIN", str(plugin)))
    named = message.replace("PATH", str(path)).replace("PLUGIN", str(plugin))
    check_raised(
        lambda: Transport(load_client(path)).get_json("/api"),
        f"401 Unauthorized: Unauthorized (the server does not accept {named})",
    )


def test_a_refused_client_certificate_is_named(serve: Any, authority: Any) -> None:
    """The message names a client certificate of a configuration that no loader made."""
    tls = authority.server_context("127.0.0.1", wants_client=True)
    server = serve(lambda _, connection: connection.answer(STATUS, 401), tls=tls)
    pem = authority.issue(name="me")
    api_client = server.client(ssl_ca_cert=authority.path, cert_file=pem, key_file=pem)
    check_raised(
        lambda: Transport(api_client).get_json("/api"),
        "401 Unauthorized: Unauthorized (the server does not accept the client certificate "
        f"{pem}: renew it, or use one that the cluster has signed)",
    )


def test_a_loader_of_the_official_client_that_fails(serve: Any, tmp_path: Path) -> None:
    """A loader that fails to renew the token is reported without its own message, which could quote the user's credentials."""
    server = serve(lambda _, connection: connection.answer(STATUS, 401))
    user = {"auth-provider": {"name": "oidc", "config": {"id-token": f"{ID_TOKEN}.x", "idp-issuer-url": "u"}}}
    configuration: Any = client.Configuration()
    content = kubeconfig(user, clusters=[{"name": "k", "cluster": {"server": server.url}}])
    config.load_kube_config_from_dict(content, client_configuration=configuration, persist_config=False)
    loader = next(
        cell.cell_contents
        for cell in configuration.refresh_api_key_hook.__closure__
        if hasattr(cell.cell_contents, "_load_authentication")
    )
    loader._user = 7
    check_raised(
        lambda: Transport(client.ApiClient(configuration)).get_json("/api"),
        f"no credentials for {server.url}: the official client's loader failed for user 'u' in the loaded kubeconfig "
        "(TypeError)",
    )
