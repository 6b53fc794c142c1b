"""Credentials from the official client's configuration: what is sent, and how often they are made."""

from __future__ import annotations

import datetime
import json
import logging
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from informer import ApiError
from informer.transport.transport import Transport

OK = {"ok": True}
_EXEC_API = "client.authentication.k8s.io/v1"
UNAUTHORIZED = {"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "Unauthorized"}


class Guarded:
    """A server that accepts only some tokens."""

    def __init__(self, serve: Any, *tokens: str, tls: Any = None) -> None:
        self.tokens = set(tokens)
        self.server = serve(self._handle, tls=tls)

    def _handle(self, request: Any, connection: Any) -> None:
        good = request.headers.get("authorization") in self.tokens
        connection.answer(*((OK, 200) if good else (UNAUTHORIZED, 401)))

    @property
    def sent(self) -> list[str | None]:
        return [request.headers.get("authorization") for request in self.server.requests]


def sent_by(serve: Any, **settings: Any) -> str | None:
    guarded = Guarded(serve)
    guarded.tokens = {None}  # type: ignore[arg-type]
    with pytest.raises(ApiError):
        Transport(guarded.server.client(**settings)).get_json("/")
    return guarded.sent[0]


# What is sent


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({"api_key": {"authorization": "Bearer t"}}, "Bearer t", id="token-with-its-prefix"),
        pytest.param({"api_key": {"BearerToken": "Bearer t"}}, "Bearer t", id="token-by-its-new-name"),
        pytest.param(
            {"api_key": {"authorization": "t"}, "api_key_prefix": {"authorization": "Bearer"}}, "Bearer t", id="prefix"
        ),
        pytest.param(
            {"api_key": {"BearerToken": "t"}, "api_key_prefix": {"BearerToken": "Bearer"}}, "Bearer t", id="new-prefix"
        ),
        pytest.param({"username": "u", "password": "p"}, "Basic dTpw", id="basic"),
        pytest.param({"api_key": {"authorization": "Bearer t\n"}}, "Bearer t", id="a-newline-behind-it"),
    ],
)
def test_credentials_go_into_the_authorization_header(serve: Any, settings: Any, expected: str) -> None:
    """Bearer tokens, api_key_prefix and basic authentication, as set for any version of the official client."""
    assert sent_by(serve, **settings) == expected


def test_without_credentials_nothing_is_sent(serve: Any) -> None:
    """The request is anonymous."""
    guarded = Guarded(serve)
    guarded.tokens = {None}  # type: ignore[arg-type]
    assert Transport(guarded.server.client()).get_json("/") == OK


def test_a_users_authorization_header_is_kept(serve: Any) -> None:
    """A header that was set on the client is used when the configuration has no credentials."""
    guarded = Guarded(serve, "Bearer mine")
    api_client = guarded.server.client()
    api_client.set_default_header("Authorization", "Bearer mine")
    assert Transport(api_client).get_json("/") == OK


def test_a_changed_token_is_used_for_the_next_request(serve: Any) -> None:
    """The configuration is read for each request."""
    guarded = Guarded(serve, "Bearer 1", "Bearer 2")
    api_client = guarded.server.client(api_key={"authorization": "Bearer 1"})
    transport = Transport(api_client)
    transport.get_json("/")
    api_client.configuration.api_key["authorization"] = "Bearer 2"
    transport.get_json("/")
    assert guarded.sent == ["Bearer 1", "Bearer 2"]


def test_a_malformed_token_is_refused_and_not_quoted(serve: Any) -> None:
    """A line break in a token makes the header invalid; the message does not contain the token."""
    guarded = Guarded(serve)
    transport = Transport(guarded.server.client(api_key={"authorization": "Bearer secret\r\nX: y"}))
    with pytest.raises(ConnectionError, match="malformed") as caught:
        transport.get_json("/")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert guarded.server.requests == []


# Hooks


def hooked(server: Any, hook: Any) -> Any:
    api_client = server.client(api_key={"authorization": "Bearer none"})
    api_client.configuration.refresh_api_key_hook = hook
    return api_client


def test_the_hook_runs_before_each_request(serve: Any) -> None:
    """The hook itself checks whether a token has expired."""
    guarded = Guarded(serve, "Bearer 1", "Bearer 2")
    count = 0

    def hook(configuration: Any) -> None:
        nonlocal count
        count += 1
        configuration.api_key["authorization"] = f"Bearer {count}"

    transport = Transport(hooked(guarded.server, hook))
    transport.get_json("/")
    transport.get_json("/")
    assert guarded.sent == ["Bearer 1", "Bearer 2"]


def test_many_threads_run_a_hook_one_at_a_time(serve: Any, run: Any) -> None:
    """The official client's hooks have no lock: many informers would run a plugin many times at once."""
    guarded = Guarded(serve, "Bearer 1")
    inside, most, runs = 0, 0, 0
    expired = True

    def hook(configuration: Any) -> None:
        nonlocal inside, most, runs, expired
        inside += 1
        most = max(most, inside)
        if expired:
            runs += 1
            threading.Event().wait(0.02)
            configuration.api_key["authorization"] = "Bearer 1"
            expired = False
        inside -= 1

    transport = Transport(hooked(guarded.server, hook))
    barrier = threading.Barrier(8)

    def ask() -> Any:
        barrier.wait(10)
        return transport.get_json("/")

    assert all(task.result() == OK for task in [run(ask) for _ in range(8)])
    assert (most, runs) == (1, 1)


@pytest.mark.parametrize("error", [OSError("token file is gone"), RuntimeError("plugin"), KeyError("user")], ids=repr)
def test_a_hook_that_raises_gives_a_connection_error(serve: Any, error: Exception) -> None:
    """A retry may succeed. The message contains the hook's error."""
    guarded = Guarded(serve)

    def hook(configuration: Any) -> None:
        raise error

    with pytest.raises(ConnectionError, match="no credentials for http") as caught:
        Transport(hooked(guarded.server, hook)).get_json("/")
    assert caught.value.__cause__ is error
    assert guarded.server.requests == []


# Refused credentials


def test_401_with_a_fixed_token_is_raised(serve: Any) -> None:
    """A token that cannot be renewed is sent once."""
    guarded = Guarded(serve)
    with pytest.raises(ApiError) as caught:
        Transport(guarded.server.client(api_key={"authorization": "Bearer old"})).get_json("/")
    assert caught.value.status == 401
    assert len(guarded.sent) == 1


def test_401_is_retried_exactly_once(serve: Any) -> None:
    """The credentials are renewed once per request; a second 401 is raised."""
    guarded = Guarded(serve)
    transport = Transport(hooked(guarded.server, lambda configuration: None))
    for count in (2, 4):
        with pytest.raises(ApiError) as caught:
            transport.get_json("/")
        assert caught.value.status == 401
        assert len(guarded.sent) == count


# Loaders of the official client


def kubeconfig(folder: Path, server: Any, user: dict[str, Any], **cluster: Any) -> Any:
    from kubernetes import client, config

    path = folder / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": {"server": server.url, **cluster}}],
                "users": [{"name": "u", "user": user}],
            }
        )
    )
    configuration = client.Configuration()
    config.load_kube_config(str(path), client_configuration=configuration)
    return client.ApiClient(configuration)


def plugin(folder: Path, *, expires: datetime.datetime | None = None) -> tuple[dict[str, Any], Path]:
    """An exec plugin that returns the token in a file, and counts its runs in another file."""
    token, runs, script = folder / "token", folder / "runs", folder / "plugin"
    status = {"token": "TOKEN"} | ({"expirationTimestamp": f"{expires:%Y-%m-%dT%H:%M:%SZ}"} if expires else {})
    answer = json.dumps({"apiVersion": _EXEC_API, "kind": "ExecCredential", "status": status})
    script.write_text(f"#!/bin/sh\necho run >> {runs}\necho '{answer}' | sed \"s/TOKEN/$(cat {token})/\"\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"apiVersion": _EXEC_API, "command": str(script)}}, token


def test_a_token_file_that_rotates_on_disk_is_read_again(serve: Any, tmp_path: Path) -> None:
    """The official client reads a kubeconfig's tokenFile only once, so that long runs end with 401."""
    guarded = Guarded(serve, "Bearer 1")
    file = tmp_path / "token"
    file.write_text("1\n")
    transport = Transport(kubeconfig(tmp_path, guarded.server, {"tokenFile": str(file)}))
    assert transport.get_json("/") == OK
    guarded.tokens = {"Bearer 2"}
    file.write_text("2\n")
    assert transport.get_json("/") == OK
    assert guarded.sent == ["Bearer 1", "Bearer 2"]


def test_a_token_file_in_a_cluster_is_read_again(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Any
) -> None:
    """A service account's token file is checked before each request, not once a minute as in the official client."""
    from kubernetes import client
    from kubernetes.config.incluster_config import InClusterConfigLoader

    guarded = Guarded(serve, "bearer 1", tls=authority.server_context("127.0.0.1"))
    file = tmp_path / "token"
    file.write_text("1")
    configuration = client.Configuration()
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(guarded.server.port)}
    InClusterConfigLoader(str(file), authority.path, environ=environment).load_and_set(configuration)
    transport = Transport(client.ApiClient(configuration))
    assert transport.get_json("/") == OK
    guarded.tokens = {"bearer 2"}
    file.write_text("2")
    assert transport.get_json("/") == OK
    assert guarded.sent == ["bearer 1", "bearer 2"]


def test_an_exec_plugin_runs_once_for_many_threads(serve: Any, tmp_path: Path, run: Any) -> None:
    """Once at the start, and once more after its token is refused."""
    guarded = Guarded(serve, "Bearer 1")
    user, token = plugin(tmp_path)
    token.write_text("1")
    transport = Transport(kubeconfig(tmp_path, guarded.server, user))

    def runs() -> int:
        return len((tmp_path / "runs").read_text().splitlines())

    def all_ask() -> None:
        barrier = threading.Barrier(6)

        def ask() -> Any:
            barrier.wait(10)
            return transport.get_json("/")

        assert all(task.result() == OK for task in [run(ask) for _ in range(6)])

    all_ask()
    assert runs() == 1
    guarded.tokens = {"Bearer 2"}
    token.write_text("2")
    all_ask()
    assert runs() == 2


def test_an_exec_plugins_token_is_renewed_when_it_has_expired(serve: Any, tmp_path: Path) -> None:
    """The plugin says when its token expires; the server need not refuse it first."""
    guarded = Guarded(serve, "Bearer 1", "Bearer 2")
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    user, token = plugin(tmp_path, expires=past)
    token.write_text("1")
    transport = Transport(kubeconfig(tmp_path, guarded.server, user))
    token.write_text("2")
    assert transport.get_json("/") == OK
    assert guarded.sent == ["Bearer 2"]


def test_an_exec_plugin_that_fails_after_401_is_named(serve: Any, tmp_path: Path) -> None:
    """The plugin's failure is raised, not the 401 that caused its run."""
    guarded = Guarded(serve, "Bearer 1")
    user, token = plugin(tmp_path)
    token.write_text("1")
    transport = Transport(kubeconfig(tmp_path, guarded.server, user))
    assert transport.get_json("/") == OK
    guarded.tokens = set()
    (tmp_path / "plugin").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(ConnectionError, match=r"no credentials for http.*plugin' ended with exit code 3"):
        transport.get_json("/")


def test_a_username_and_password_of_a_kubeconfig_are_sent(serve: Any, tmp_path: Path) -> None:
    """As basic authentication."""
    guarded = Guarded(serve, "Basic dTpw")
    transport = Transport(kubeconfig(tmp_path, guarded.server, {"username": "u", "password": "p"}))
    assert transport.get_json("/") == OK


def test_a_client_certificate_of_a_kubeconfig_is_used(serve: Any, tmp_path: Path, authority: Any) -> None:
    """Certificate, key and authority are files that the kubeconfig names."""
    seen: list[Any] = []

    def handler(request: Any, connection: Any) -> None:
        seen.append(dict(field for part in connection.sock.getpeercert()["subject"] for field in part)["commonName"])
        connection.answer(OK)

    server = serve(handler, tls=authority.server_context("127.0.0.1", wants_client=True))
    pair = authority.issue(name="alice")
    user = {"client-certificate": pair, "client-key": pair}
    transport = Transport(kubeconfig(tmp_path, server, user, **{"certificate-authority": authority.path}))
    assert transport.get_json("/") == OK
    assert seen == ["alice"]


def test_no_token_is_ever_logged(serve: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not on success, refusal or failure, at any log level."""
    guarded = Guarded(serve, "Bearer s3cr3t-1")
    user, token = plugin(tmp_path)
    token.write_text("s3cr3t-1")
    with caplog.at_level(logging.DEBUG):
        transport = Transport(kubeconfig(tmp_path, guarded.server, user))
        transport.get_json("/")
        guarded.tokens = set()
        with pytest.raises(ApiError) as caught:
            transport.get_json("/")
    assert "s3cr3t" not in caplog.text
    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in json.dumps([str(vars(caught.value))])
