"""A 401: the message says which credentials were refused, from where they are, and the next step. No value is shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from informer import ApiError, SharedInformerFactory
from informer.testing import EmbeddedAPIServer
from informer.transport.client_loader import load_client
from informer.transport.transport import Transport
from tests.support.waiting import eventually

SECRET = "s3cr3t-value"
STATUS = {"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "Unauthorized"}


@pytest.fixture
def refusing(serve: Any) -> Any:
    """A server that refuses every request."""
    return serve(lambda _, connection: connection.answer(STATUS, 401))


def refusal(api_client: Any) -> str:
    with pytest.raises(ApiError) as caught:
        Transport(api_client).get_json("/api")
    assert (caught.value.status, caught.value.reason) == (401, "Unauthorized")
    said = str(caught.value)
    assert SECRET not in said
    assert said.startswith("401 Unauthorized: Unauthorized (the server does not accept ")
    return said


def kubeconfig(folder: Path, server: str, user: dict[str, Any]) -> str:
    path = folder / "config"
    whole = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "ann"}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "ann", "user": user}],
    }
    path.write_text(yaml.safe_dump(whole))
    return str(path)


def by_official_loader(path: str) -> Any:
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_kube_config(path, client_configuration=configuration, persist_config=False)
    return client.ApiClient(configuration)


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    """An exec plugin that always gives the same token."""
    path = tmp_path / "login-plugin"
    given = {
        "kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1",
        "spec": {"interactive": False},
        "status": {"token": SECRET},
    }
    path.write_text(f"#!/bin/sh\necho '{json.dumps(given)}'\n")
    os.chmod(path, 0o700)
    return str(path)


@pytest.mark.parametrize("load", [by_official_loader, load_client])
@pytest.mark.parametrize(
    ("user", "phrases"),
    [
        pytest.param({"token": SECRET}, ["the token of user 'ann' in", "renew it"], id="token"),
        pytest.param({"tokenFile": "token"}, ["the token in the file", "token: check that"], id="token-file"),
        pytest.param({"exec": "plugin"}, ["exec plugin", "login-plugin", "log in again"], id="exec"),
        pytest.param(
            {"username": "me", "password": SECRET}, ["the user name and password of user 'ann' in"], id="password"
        ),
        pytest.param({}, ["a request without credentials", "user 'ann' in", "has none"], id="none"),
    ],
)
def test_credentials_of_a_kubeconfig_are_named(
    user: dict[str, Any], phrases: list[str], load: Callable[..., Any], refusing: Any, tmp_path: Path, plugin: str
) -> None:
    """By kind, user and file; for plugins by their command."""
    if "exec" in user:
        user = {
            "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": plugin, "interactiveMode": "Never"}
        }
    (tmp_path / "token").write_text(SECRET)
    path = kubeconfig(tmp_path, refusing.url, user)
    if not user and load is by_official_loader:
        phrases = ["a request without credentials"]
    said = refusal(load(path))
    for phrase in phrases:
        assert phrase in said


def test_a_client_certificate_of_a_kubeconfig_is_named(serve: Any, authority: Any, tmp_path: Path) -> None:
    """The certificate was accepted in the TLS handshake, and its user is unknown."""
    server = serve(
        lambda _, connection: connection.answer(STATUS, 401),
        tls=authority.server_context("127.0.0.1", wants_client=True),
    )
    pem = authority.issue(name="me")
    said = refusal(server.client(ssl_ca_cert=authority.path, cert_file=pem, key_file=pem))
    assert f"the client certificate {pem}" in said
    user = {"client-certificate": pem, "client-key": pem}
    client = load_client(kubeconfig(tmp_path, server.url, user), ca_file=authority.path)
    assert "the client certificate of user 'ann' in" in refusal(client)


@pytest.mark.parametrize(
    ("settings", "phrase"),
    [
        pytest.param(
            {"api_key": {"authorization": f"Bearer {SECRET}"}}, "the token in the configuration's api_key", id="token"
        ),
        pytest.param(
            {"username": "me", "password": SECRET}, "the configuration's user name and password", id="password"
        ),
        pytest.param({}, "a request without credentials: load a kubeconfig", id="none"),
    ],
)
def test_credentials_of_a_users_configuration_are_named(settings: Any, phrase: str, refusing: Any) -> None:
    """Those that were set without a loader."""
    assert phrase in refusal(refusing.client(**settings))


def test_an_authorization_header_is_named(refusing: Any) -> None:
    """That of `set_default_header`."""
    client = refusing.client()
    client.set_default_header("Authorization", f"Bearer {SECRET}")
    assert "the Authorization header that was set on the ApiClient" in refusal(client)


def test_a_service_account_is_named(serve: Any, authority: Any, tmp_path: Path) -> None:
    """By the file of its token."""
    from kubernetes import client
    from kubernetes.config.incluster_config import InClusterConfigLoader

    token = tmp_path / "token"
    token.write_text(SECRET)
    configuration = client.Configuration()
    server = serve(lambda _, connection: connection.answer(STATUS, 401), tls=authority.server_context("127.0.0.1"))
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
    InClusterConfigLoader(str(token), authority.path, environ=environment).load_and_set(configuration)
    assert f"the service account's token in {token}" in refusal(client.ApiClient(configuration))


def test_an_informer_reports_the_refused_credentials() -> None:
    """In `sync_error()`, against the embedded server."""
    from kubernetes import client

    with EmbeddedAPIServer(tokens={"right": "ann"}) as server:
        configuration = client.Configuration(host=server.url)
        configuration.api_key["authorization"] = f"Bearer {SECRET}"
        factory = SharedInformerFactory(client.ApiClient(configuration))
        pods = factory.informer("pods")
        with factory:
            assert eventually(lambda: "does not accept the token in the configuration" in str(pods.sync_error()))
            assert SECRET not in str(pods.sync_error())
