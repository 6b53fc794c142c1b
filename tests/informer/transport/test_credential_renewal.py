"""Credentials that change while an informer runs: token files, exec plugins, client certificates, and failing plugins."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import threading
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from informer import ApiError, ListWatch, SharedInformer, load_client
from informer.reflector.backoff import Backoff
from informer.transport.exec_plugin import ExecPluginError, run_exec_plugin
from informer.transport.transport import Transport, transport_for
from tests.support.waiting import DEADLINE, eventually

API = "client.authentication.k8s.io/v1"
OK = {"ok": True}
SECRET = "s3cr3t-t0k3n"
QUICK = Backoff(initial=0.02, maximum=0.05)
_UNAUTHORIZED = {"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "Unauthorized"}


def credential(**status: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": "ExecCredential", "status": status}


def in_seconds(seconds: float) -> str:
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


class Plugin:
    """An exec plugin that writes the contents of a file, counts its runs, and then runs the commands passed to `does`."""

    def __init__(self, folder: Path, server: str, **cluster: Any) -> None:
        self._folder, self._script = folder, folder / "plugin"
        self.does("exit 0")
        user = {"exec": {"apiVersion": API, "command": str(self._script), "interactiveMode": "Never"}}
        self.kubeconfig = folder / "config"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                    "clusters": [{"name": "k", "cluster": {"server": server, **cluster}}],
                    "users": [{"name": "u", "user": user}],
                }
            )
        )

    def does(self, commands: str) -> None:
        """Sets the commands that run after the answer was written."""
        new = self._folder / "plugin.new"
        new.write_text(
            f"#!/bin/sh\necho run >> {self._folder}/runs\ncat {self._folder}/answer 2>/dev/null\n{commands}\n"
        )
        new.chmod(0o755)
        new.replace(self._script)

    def gives(self, answer: Any) -> None:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        (self._folder / "answer").write_text(text)

    @property
    def runs(self) -> int:
        runs = self._folder / "runs"
        return len(runs.read_text().splitlines()) if runs.exists() else 0

    def client(self) -> Any:
        """A client as an informer without an api_client makes it."""
        return load_client(self.kubeconfig)


class Guarded:
    """A server that accepts only some bearer tokens, and answers with an empty list."""

    def __init__(self, serve: Any, *tokens: str) -> None:
        self.tokens = set(tokens)
        self.server = serve(self._handle)

    def _handle(self, request: Any, connection: Any) -> None:
        good = request.headers.get("authorization") in {f"Bearer {token}" for token in self.tokens}
        connection.answer(*((OK, 200) if good else (_UNAUTHORIZED, 401)))

    @property
    def sent(self) -> list[str | None]:
        return [request.headers.get("authorization") for request in self.server.requests]


# A plugin alone


@pytest.mark.parametrize(
    ("answer", "commands", "message"),
    [
        pytest.param(credential(token=SECRET), "exit 3", "ended with exit code 3", id="fails"),
        pytest.param(credential(token=SECRET), "kill -9 $$", "ended with exit code -9", id="is-killed"),
        pytest.param(credential(token=SECRET), "exec sleep 30", "did not end within 0.2 s and was killed", id="hangs"),
        pytest.param(SECRET * 100_000, "", "wrote more than 1048576 bytes, the limit, and was killed", id="much"),
        pytest.param(SECRET, "exec yes", "wrote more than 1048576 bytes, the limit", id="without-an-end"),
        pytest.param(f"token: {SECRET}", "", "did not write an ExecCredential in JSON", id="garbage"),
        pytest.param(
            json.dumps(credential(token=SECRET))[:-3], "", "did not write an ExecCredential in JSON", id="half"
        ),
        pytest.param("", "", r"in JSON \(it wrote 0 bytes\)", id="nothing"),
        pytest.param(f'["{SECRET}"]', "", "did not write an ExecCredential in JSON", id="a-list"),
        pytest.param(
            {"kind": SECRET, "apiVersion": API}, "", f"not write an ExecCredential of apiVersion {API}", id="other-kind"
        ),
        pytest.param(
            {**credential(token=SECRET), "apiVersion": SECRET},
            "",
            f"an ExecCredential of apiVersion {API}",
            id="other-version",
        ),
        pytest.param({**credential(), "status": SECRET}, "", "neither a token nor a client cert", id="no-status"),
        pytest.param(credential(token=[SECRET]), "", "returned a token that is not a string", id="token-is-a-list"),
        pytest.param(credential(clientKeyData=SECRET), "", "returned only one of", id="key-alone"),
        pytest.param(
            credential(token=SECRET, expirationTimestamp=SECRET),
            "",
            "expirationTimestamp that is not a time",
            id="no-time",
        ),
    ],
)
def test_a_failing_plugin_is_named_and_its_output_never_quoted(
    answer: Any, commands: str, message: str, tmp_path: Path
) -> None:
    """Neither the error nor its cause or context contains the output."""
    plugin = Plugin(tmp_path, "http://127.0.0.1:1")
    plugin.gives(answer)
    plugin.does(commands)
    section = {"command": str(tmp_path / "plugin"), "apiVersion": API}
    with pytest.raises(ExecPluginError, match=message) as caught:
        run_exec_plugin(section, timeout=0.2 if "sleep" in commands else 10)
    assert f"exec plugin '{tmp_path}/plugin'" in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))


def test_a_missing_plugin_is_reported_with_its_install_hint() -> None:
    """The kubeconfig's `installHint` is part of the message."""
    section = {"command": "/nowhere/plugin", "apiVersion": API, "installHint": "brew install plugin"}
    with pytest.raises(
        ExecPluginError, match=r"'/nowhere/plugin' cannot be run \(No such file.*\): brew install plugin"
    ):
        run_exec_plugin(section)


def test_a_plugin_that_needs_a_terminal_is_refused_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An informer's thread cannot ask a person."""
    monkeypatch.setattr("sys.stdin", None)
    section = {"command": "/bin/true", "apiVersion": API, "interactiveMode": "Always"}
    with pytest.raises(ExecPluginError, match="needs a terminal"):
        run_exec_plugin(section)


def test_a_plugin_gets_arguments_environment_and_cluster(tmp_path: Path) -> None:
    """With `provideClusterInfo` it also gets the cluster's extension for exec plugins."""
    script = tmp_path / "plugin"
    script.write_text('#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" > info\necho "$1 $MINE" > words\ncat answer\n')
    script.chmod(0o755)
    (tmp_path / "answer").write_text(json.dumps(credential(token="t", expirationTimestamp="2100-01-01T00:00:00.5Z")))
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}
    given = run_exec_plugin(
        {
            "command": "./plugin",
            "args": ["argument"],
            "env": [{"name": "MINE", "value": "value"}],
            "apiVersion": API,
            "provideClusterInfo": True,
        },
        cluster={"server": "https://there", "extensions": [extension]},
        folder=str(tmp_path),
    )
    assert (given.token, given.expires) == ("t", datetime(2100, 1, 1, microsecond=500_000, tzinfo=UTC))
    assert "t'" not in repr(given)
    assert (tmp_path / "words").read_text().split() == ["argument", "value"]
    info = json.loads((tmp_path / "info").read_text())
    assert (info["kind"], info["apiVersion"]) == ("ExecCredential", API)
    assert (info["spec"]["cluster"]["server"], info["spec"]["cluster"]["config"]) == (
        "https://there",
        {"audience": "a"},
    )


# A plugin behind requests


def test_an_informer_reports_a_failing_plugin(serve: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`sync_error()` returns the error. The plugin's output appears neither there nor in the log."""
    guarded = Guarded(serve, SECRET)
    plugin = Plugin(tmp_path, guarded.server.url)
    plugin.gives(f"oops {SECRET}")
    with caplog.at_level(logging.DEBUG):
        informer: Any = SharedInformer(ListWatch.for_resource(plugin.client(), "v1/pods"), backoff=QUICK)
        with informer:
            assert eventually(lambda: informer.sync_error() is not None)
            error = informer.sync_error()
    assert isinstance(error, ConnectionError)
    assert "did not write an ExecCredential in JSON" in str(error)
    assert str(tmp_path / "plugin") in str(error)
    assert SECRET not in "".join(traceback.format_exception(error)) + caplog.text
    assert guarded.sent == []


@pytest.mark.parametrize("commands", ["exit 0", "exit 1"], ids=["works", "fails"])
def test_concurrent_requests_run_a_plugin_once(commands: str, serve: Any, tmp_path: Path, run: Any) -> None:
    """Before the first credential and after a 401, whether the plugin works or fails."""
    guarded = Guarded(serve, "one")
    plugin = Plugin(tmp_path, guarded.server.url)
    transport = Transport(plugin.client())

    def all_ask() -> list[Any]:
        barrier = threading.Barrier(6)

        def ask() -> Any:
            barrier.wait(DEADLINE)
            try:
                return transport.get_json("/")
            except (ApiError, ConnectionError) as error:
                return type(error)

        return [task.result() for task in [run(ask) for _ in range(6)]]

    for runs, token in enumerate(("one", "two"), 1):
        plugin.gives(credential(token=token))
        guarded.tokens = {token}
        if token == "two" or commands == "exit 0":
            plugin.does(commands)
        answers = all_ask()
        assert plugin.runs == runs
        fails = token == "two" and commands == "exit 1"
        # After a refusal one thread runs the plugin; the others get its failure, or are refused again.
        assert all((answer in (ConnectionError, ApiError)) if fails else answer == OK for answer in answers)


@pytest.mark.parametrize(("seconds", "runs"), [(3600, 1), (-1, 3), (5, 3)], ids=["good", "over", "over-soon"])
def test_a_token_is_renewed_shortly_before_it_expires(seconds: float, runs: int, serve: Any, tmp_path: Path) -> None:
    """The plugin says when; the server need not refuse the token first."""
    guarded = Guarded(serve, "t")
    plugin = Plugin(tmp_path, guarded.server.url)
    plugin.gives(credential(token="t", expirationTimestamp=in_seconds(seconds)))
    transport = Transport(plugin.client())
    for _ in range(3):
        assert transport.get_json("/") == OK
    assert plugin.runs == runs


def test_the_official_client_shares_the_token(serve: Any, tmp_path: Path) -> None:
    """A plugin's token is written into the configuration."""
    guarded = Guarded(serve, "t")
    plugin = Plugin(tmp_path, guarded.server.url)
    plugin.gives(credential(token="t"))
    api_client = plugin.client()
    assert Transport(api_client).get_json("/") == OK
    assert api_client.configuration.auth_settings()["BearerToken"]["value"] == "Bearer t"
    assert plugin.runs == 1


def test_the_default_client_runs_the_plugin_with_the_first_request(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making the client runs no plugin: a plugin that hangs must not hang the program, nor its error be lost."""
    guarded = Guarded(serve, "t")
    plugin = Plugin(tmp_path, guarded.server.url)
    plugin.gives(credential(token="t"))
    monkeypatch.setattr("informer.transport.transport._defaults", [])
    monkeypatch.setenv("KUBECONFIG", str(plugin.kubeconfig))
    transport = transport_for(None)
    assert plugin.runs == 0
    assert transport.get_json("/") == OK


# Client certificates


class CertificateServer:
    """A TLS server that records the name in the client's certificate, and refuses some names."""

    def __init__(self, serve: Any, authority: Any) -> None:
        self.refused: set[str] = set()
        self.seen: list[str] = []
        self.server = serve(self._handle, tls=authority.server_context("127.0.0.1", wants_client=True))

    def _handle(self, request: Any, connection: Any) -> None:
        name = dict(field for part in connection.sock.getpeercert()["subject"] for field in part)["commonName"]
        self.seen.append(name)
        connection.answer(*((_UNAUTHORIZED, 401) if name in self.refused else (OK, 200)))


def pem_of(authority: Any, name: str) -> dict[str, str]:
    text = Path(authority.issue(name=name)).read_text()
    end = text.index("-----BEGIN EC PRIVATE KEY")
    return {"clientCertificateData": text[:end], "clientKeyData": text[end:]}


@pytest.mark.parametrize("how", ["expired", "refused"])
def test_a_plugins_client_certificate_is_renewed(how: str, serve: Any, tmp_path: Path, authority: Any) -> None:
    """When it has expired or was refused. The official client would keep the first one."""
    there = CertificateServer(serve, authority)
    plugin = Plugin(tmp_path, there.server.url, **{"certificate-authority": authority.path})
    over = in_seconds(-1 if how == "expired" else 3600)
    plugin.gives(credential(**pem_of(authority, "one"), expirationTimestamp=over))
    api_client = plugin.client()
    transport = Transport(api_client)
    assert transport.get_json("/") == OK
    plugin.gives(credential(**pem_of(authority, "two"), expirationTimestamp=in_seconds(3600)))
    if how == "refused":
        there.refused = {"one"}
    for _ in range(2):
        assert transport.get_json("/") == OK
    assert there.seen == (["one", "two", "two"] if how == "expired" else ["one", "one", "two", "two"])
    assert plugin.runs == 2


def test_a_plugins_certificate_leaves_no_file(tmp_path: Path, authority: Any) -> None:
    """The ssl module reads keys only from files; the file is deleted as soon as it was read."""
    plugin = Plugin(tmp_path, "https://127.0.0.1:1", **{"certificate-authority": authority.path})
    plugin.gives(credential(**pem_of(authority, "one")))
    program = (
        "import os\n"
        "from informer.transport.transport import transport_for\n"
        "transport = transport_for(None)\n"
        "try: transport.get_json('/')\n"
        "except ConnectionError: pass\n"
        "print(bool(transport._configuration.client_cert_data), os.listdir(os.environ['TMPDIR']))\n"
    )
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "KUBECONFIG": str(plugin.kubeconfig), "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "True []"


def test_a_changed_client_certificate_is_used_for_the_next_connection(
    serve: Any, tmp_path: Path, authority: Any
) -> None:
    """The process that renews the file need not notify the informer."""
    there = CertificateServer(serve, authority)
    shown = tmp_path / "client.pem"
    shown.write_text(Path(authority.issue(name="one")).read_text())
    transport = Transport(there.server.client(ssl_ca_cert=authority.path, cert_file=str(shown), key_file=str(shown)))
    assert transport.get_json("/") == OK
    new = tmp_path / "new.pem"
    new.write_text(Path(authority.issue(name="two")).read_text())
    new.replace(shown)
    assert transport.get_json("/") == OK
    assert there.seen == ["one", "two"]


def test_a_changed_authority_is_trusted_for_the_next_connection(
    serve: Any, tmp_path: Path, make_authority: Any
) -> None:
    """The old authority is not trusted any more."""
    old, new = make_authority(), make_authority()
    trusted = tmp_path / "ca.pem"
    trusted.write_text(Path(old.path).read_text())
    servers = [serve(lambda _, c: c.answer(OK), tls=each.server_context("127.0.0.1")) for each in (old, new)]
    transports = [Transport(server.client(ssl_ca_cert=str(trusted))) for server in servers]
    assert transports[0].get_json("/") == OK
    with pytest.raises(ConnectionError, match="certificate verify failed"):
        transports[1].get_json("/")
    trusted.write_text(Path(new.path).read_text())
    with pytest.raises(ConnectionError, match="certificate verify failed"):
        transports[0].get_json("/")
    assert transports[1].get_json("/") == OK


def test_certificates_embedded_in_a_kubeconfig_are_used(serve: Any, tmp_path: Path, authority: Any) -> None:
    """client-certificate-data, client-key-data and certificate-authority-data."""
    from kubernetes import client, config

    def data(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    there = CertificateServer(serve, authority)
    pem = pem_of(authority, "inline")
    user = {
        "client-certificate-data": data(pem["clientCertificateData"]),
        "client-key-data": data(pem["clientKeyData"]),
    }
    cluster = {"server": there.server.url, "certificate-authority-data": data(Path(authority.path).read_text())}
    configuration = client.Configuration()
    config.load_kube_config_from_dict(
        {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
        },
        client_configuration=configuration,
        temp_file_path=str(tmp_path),
    )
    assert Transport(client.ApiClient(configuration)).get_json("/") == OK
    assert there.seen == ["inline"]


# Token files


@pytest.fixture
def token_file(serve: Any, tmp_path: Path) -> Any:
    """A server that accepts the token `one`, and a client whose kubeconfig names a token file."""
    from kubernetes import client, config

    guarded = Guarded(serve, "one")
    (tmp_path / "token").write_text("one\n")
    path = tmp_path / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": {"server": guarded.server.url}}],
                "users": [{"name": "u", "user": {"tokenFile": "token"}}],
            }
        )
    )
    configuration = client.Configuration()
    config.load_kube_config(str(path), client_configuration=configuration)
    transport = Transport(client.ApiClient(configuration))
    return SimpleNamespace(path=tmp_path / "token", guarded=guarded, transport=transport)


@pytest.mark.parametrize("state", ["missing", "empty", "not-text"])
def test_an_unreadable_token_file_keeps_the_last_token(
    state: str, token_file: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Go: cachingTokenSource in client-go transport/token_source.go. A log line reports it; after a 401 it is an error."""
    assert token_file.transport.get_json("/") == OK
    if state == "missing":
        token_file.path.unlink()
    else:
        token_file.path.write_bytes(b"" if state == "empty" else b"\xff\xfe\x00")
    assert token_file.transport.get_json("/") == OK
    assert f"cannot read the token file {token_file.path}, using the last token" in caplog.text
    token_file.guarded.tokens = {"two"}
    with pytest.raises(ConnectionError, match=f"cannot read the token file {token_file.path}"):
        token_file.transport.get_json("/")
    token_file.path.write_text("two")
    assert token_file.transport.get_json("/") == OK


def test_a_projected_token_that_is_swapped_is_read_again(token_file: Any, tmp_path: Path) -> None:
    """The kubelet swaps a link to a folder: the file's path and the times of its own link do not change."""
    for name in ("one", "two"):
        (tmp_path / f"..{name}").mkdir()
        (tmp_path / f"..{name}" / "token").write_text(name)
    token_file.path.unlink()
    link = tmp_path / "..data"
    link.symlink_to("..one")
    token_file.path.symlink_to("..data/token")
    assert token_file.transport.get_json("/") == OK
    new = tmp_path / "..data_tmp"
    new.symlink_to("..two")
    new.replace(link)
    token_file.guarded.tokens = {"two"}
    assert token_file.transport.get_json("/") == OK
    assert token_file.guarded.sent == ["Bearer one", "Bearer two"]


def test_a_refused_token_is_sent_at_most_twice(token_file: Any) -> None:
    """The token file is read again once after a 401; then the reflector backs off."""
    token_file.guarded.tokens = set()
    with pytest.raises(ApiError) as caught:
        token_file.transport.get_json("/")
    assert caught.value.status == 401
    assert token_file.guarded.sent == ["Bearer one"] * 2
