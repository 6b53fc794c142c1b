"""Errors of the official client's loaders: named by file, user and key, and never with a value."""

from __future__ import annotations

import base64
import json
import logging
import os
import tempfile
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from informer import ListWatch, SharedInformer, load_client
from informer.reflector.backoff import Backoff
from informer.transport.transport import Transport
from tests.support.waiting import eventually

SECRET = "s3cr3t"
UNAUTHORIZED = {"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "Unauthorized"}
OIDC = {
    "client-id": f"{SECRET}-id",
    "client-secret": f"{SECRET}-client",
    "refresh-token": f"{SECRET}-refresh",
    "idp-issuer-url": "http://127.0.0.1:1",
}


def token(expires: int) -> str:
    """An id-token as an identity provider makes it."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, {"exp": expires, "sub": SECRET})]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + f".{SECRET}"


EXPIRED, VALID = token(1), token(4_000_000_000)


def write(path: Path, server: str, provider: dict[str, Any]) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "alice"}}],
                "clusters": [{"name": "k", "cluster": {"server": server}}],
                "users": [{"name": "alice", "user": {"auth-provider": provider}}],
            }
        )
    )
    return path


def oidc(id_token: str, *without: str) -> dict[str, Any]:
    settings = {key: value for key, value in OIDC.items() if key not in without}
    return {"name": "oidc", "config": {"id-token": id_token, **settings}}


def shown_by(api_client: Any, caplog: pytest.LogCaptureFixture) -> str:
    """All that an informer shows of its first failure that is not the server's refusal."""
    informer: Any = SharedInformer(
        ListWatch.for_resource(api_client, "v1/pods"), backoff=Backoff(initial=0.02, maximum=0.05)
    )
    with caplog.at_level(logging.DEBUG), informer:
        assert eventually(lambda: isinstance(informer.sync_error(), ConnectionError))
        error = informer.sync_error()
    return "".join(traceback.format_exception(error)) + caplog.text


@pytest.mark.parametrize("missing", ["idp-issuer-url", "refresh-token", "client-secret"])
def test_an_expired_oidc_token_names_the_missing_key(
    missing: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And file and user. The official loader's message quotes the whole user."""
    path = write(tmp_path / "config", "http://127.0.0.1:1", oidc(EXPIRED, missing))
    shown = shown_by(load_client(path), caplog)
    assert f"the auth-provider of user 'alice' in {path} (oidc) gave no valid token" in shown
    assert f"it lacks {missing}" in shown
    assert SECRET not in shown
    assert EXPIRED not in shown


def test_an_oidc_token_that_is_valid_is_sent(serve: Any, tmp_path: Path) -> None:
    """The official client's loader makes it, as before."""
    server = serve(lambda _, connection: connection.answer({"ok": True}))
    api_client = load_client(write(tmp_path / "config", server.url, oidc(VALID)))
    assert Transport(api_client).get_json("/") == {"ok": True}
    assert server.requests[0].headers["authorization"] == f"Bearer {VALID}"


@pytest.mark.parametrize("missing", ["idp-issuer-url", "refresh-token"])
def test_a_loaded_configuration_that_fails_after_a_401_shows_no_value(
    missing: str, serve: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The user loaded it with the official loader while the token was valid; then the token expires."""
    server = serve(lambda _, connection: connection.answer(UNAUTHORIZED, 401))
    path = write(tmp_path / "config", server.url, oidc(VALID, missing))
    configuration: Any = client.Configuration()
    config.load_kube_config(str(path), client_configuration=configuration, persist_config=False)
    loader = next(
        cell.cell_contents
        for cell in configuration.refresh_api_key_hook.__closure__
        if hasattr(cell.cell_contents, "_load_authentication")
    )
    loader._user.value["auth-provider"]["config"]["id-token"] = EXPIRED
    shown = shown_by(client.ApiClient(configuration), caplog)
    assert f"the auth-provider of user 'alice' in {path} (oidc) gave no valid token" in shown
    assert f"it lacks {missing}" in shown
    assert SECRET not in shown


def test_a_users_hook_that_calls_a_loader_shows_no_value(
    serve: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The loader's message is left out wherever the loader was called."""
    path = write(tmp_path / "config", "http://127.0.0.1:1", oidc(EXPIRED, "refresh-token"))

    def hook(configuration: Any) -> None:
        try:
            config.load_kube_config(str(path), client_configuration=configuration)
        except Exception as error:
            raise RuntimeError(f"reloading failed: {error}") from error

    api_client = serve(lambda *_: None).client(api_key={"authorization": "Bearer t"})
    api_client.configuration.refresh_api_key_hook = hook
    shown = shown_by(api_client, caplog)
    assert "the official client's loader failed (RuntimeError)" in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        pytest.param({"name": SECRET, "config": {"x": SECRET}}, "is not supported: use an exec plugin", id="unknown"),
        pytest.param({"config": {"x": SECRET}}, "is not supported: use an exec plugin", id="unnamed"),
        pytest.param({"name": "oidc"}, "it lacks id-token, idp-issuer-url", id="empty"),
        pytest.param({"name": "oidc", "config": SECRET}, "it lacks id-token, idp-issuer-url", id="text"),
        pytest.param(
            {"name": "gcp", "config": {"access-token": SECRET, "expiry": SECRET}}, "it lacks cmd-path", id="gcp"
        ),
        pytest.param(oidc("no" + SECRET), "the identity provider did not renew the token", id="not-a-token"),
    ],
)
def test_an_auth_provider_that_cannot_work_is_refused(
    provider: dict[str, Any], message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without quoting its name or settings."""
    shown = shown_by(load_client(write(tmp_path / "config", "http://127.0.0.1:1", provider)), caplog)
    assert message in shown
    assert SECRET not in shown


def test_a_relative_plugin_lies_beside_the_users_file(serve: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """Of several files, not beside the cluster's: for a configuration that the official loader made, too."""
    server = serve(lambda _, connection: connection.answer(UNAUTHORIZED, 401))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    api = "client.authentication.k8s.io/v1"
    answer = {"apiVersion": api, "kind": "ExecCredential", "status": {"token": "t"}}
    user = {"name": "u", "user": {"exec": {"apiVersion": api, "command": "./plugin.sh", "interactiveMode": "Never"}}}
    whole = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server.url}}],
    }
    (tmp_path / "one" / "config").write_text(yaml.safe_dump(whole))
    (tmp_path / "two" / "config").write_text(yaml.safe_dump({"users": [user]}))
    # The official loader itself runs the first one at once, in the cluster's folder.
    for folder, name in (("one", "first"), ("two", "second")):
        script = tmp_path / folder / "plugin.sh"
        script.write_text(f'#!/bin/sh\necho \'{json.dumps(answer)}\' | sed s/:.\\"t\\"/:\\"{name}\\"/\n')
        script.chmod(0o755)
    configuration: Any = client.Configuration()
    paths = f"{tmp_path}/one/config:{tmp_path}/two/config"
    config.load_kube_config(paths, client_configuration=configuration)
    with pytest.raises(Exception, match="Unauthorized"):
        Transport(client.ApiClient(configuration)).get_json("/")
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer first", "Bearer second"]


@pytest.fixture
def provider(serve: Any, authority: Any) -> Any:
    """An identity provider, over TLS."""

    def handler(request: Any, connection: Any) -> None:
        token_endpoint = f"https://{request.headers['host']}/token"
        renewed = {"access_token": "a", "token_type": "Bearer", "id_token": VALID, "refresh_token": "r"}
        connection.answer({"token_endpoint": token_endpoint} if request.method == "GET" else renewed)

    return serve(handler, tls=authority.server_context("127.0.0.1"))


def test_the_authority_of_an_identity_provider_is_in_no_file_of_the_loader(
    provider: Any, serve: Any, authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loader uses its file again under the same name, even if another user has made it anew."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    server = serve(lambda _, connection: connection.answer({"ok": True}))
    section = oidc(EXPIRED)
    pem = base64.b64encode(Path(authority.path).read_bytes()).decode()
    section["config"] |= {"idp-issuer-url": provider.url, "idp-certificate-authority-data": pem}
    api_client = load_client(write(tmp_path / "config", server.url, section))
    assert Transport(api_client).get_json("/") == {"ok": True}
    assert server.requests[0].headers["authorization"] == f"Bearer {VALID}"
    assert os.listdir(temporary) == []
    # A second time, with the settings as they were.
    source = api_client.configuration.refresh_api_key_hook.__closure__[0].cell_contents
    assert source._section["config"]["idp-certificate-authority-data"] == pem
    assert "idp-certificate-authority" not in source._section["config"]


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_an_identity_provider_is_verified_without_an_authority(
    provider: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By the machine's authorities: the loader would send the client secret to any server."""
    section = oidc(EXPIRED)
    section["config"]["idp-issuer-url"] = provider.url
    shown = shown_by(load_client(write(tmp_path / "config", "http://127.0.0.1:1", section)), caplog)
    assert "gave no valid token" in shown
    assert provider.requests == []
