"""Credentials that change while an informer runs: token files, exec plugins, client certificates, and plugins gone wrong."""

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

from informer import ApiError, ListWatch, SharedInformer
from informer.reflector.backoff import Backoff
from informer.transport.credential_sources import install
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
    """An exec plugin that writes what is in a file, counts its runs, and ends as it is told."""

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
        """What follows after its answer was written."""
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
        """A client as informers make it that were given none."""
        from kubernetes import client
        from kubernetes.config import kube_config

        configuration = client.Configuration()
        install(kube_config._get_kube_config_loader(filename=str(self.kubeconfig)), configuration)
        return client.ApiClient(configuration)


class Guarded:
    """A server that takes some bearer tokens only, and lists nothing."""

    def __init__(self, serve: Any, *tokens: str) -> None:
        self.tokens = set(tokens)
        self.server = serve(self._handle)

    def _handle(self, request: Any, connection: Any) -> None:
        good = request.headers.get("authorization") in {f"Bearer {token}" for token in self.tokens}
        connection.answer(*((OK, 200) if good else (_UNAUTHORIZED, 401)))

    @property
    def sent(self) -> list[str | None]:
        return [request.headers.get("authorization") for request in self.server.requests]


# A plugin by itself


@pytest.mark.parametrize(
    ("answer", "commands", "message"),
    [
        pytest.param(credential(token=SECRET), "exit 3", "ended with exit code 3", id="fails"),
        pytest.param(credential(token=SECRET), "kill -9 $$", "ended with exit code -9", id="is-killed"),
        pytest.param(credential(token=SECRET), "exec sleep 30", "gave nothing within 0.2 s and was killed", id="hangs"),
        pytest.param(
            SECRET * 100_000, "", "wrote more than 1048576 bytes, the most allowed, and was killed", id="much"
        ),
        pytest.param(SECRET, "exec yes", "wrote more than 1048576 bytes, the most", id="without-an-end"),
        pytest.param(f"token: {SECRET}", "", "did not write an ExecCredential in JSON", id="garbage"),
        pytest.param(
            json.dumps(credential(token=SECRET))[:-3], "", "did not write an ExecCredential in JSON", id="half"
        ),
        pytest.param("", "", r"in JSON \(0 bytes came\)", id="nothing"),
        pytest.param(f'["{SECRET}"]', "", "did not write an ExecCredential in JSON", id="a-list"),
        pytest.param({"kind": SECRET, "apiVersion": API}, "", f"not write an ExecCredential of {API}", id="other-kind"),
        pytest.param(
            {**credential(token=SECRET), "apiVersion": SECRET}, "", f"an ExecCredential of {API}", id="other-version"
        ),
        pytest.param({**credential(), "status": SECRET}, "", "neither a token nor a client cert", id="no-status"),
        pytest.param(credential(token=[SECRET]), "", "gave a token that is no text", id="token-is-a-list"),
        pytest.param(credential(clientKeyData=SECRET), "", "without the other", id="key-alone"),
        pytest.param(
            credential(token=SECRET, expirationTimestamp=SECRET),
            "",
            "expirationTimestamp that is no time",
            id="no-time",
        ),
    ],
)
def test_a_plugin_gone_wrong_is_named_and_never_quoted(
    answer: Any, commands: str, message: str, tmp_path: Path
) -> None:
    """A clear error; neither it nor what stands behind it has the output in it."""
    plugin = Plugin(tmp_path, "http://127.0.0.1:1")
    plugin.gives(answer)
    plugin.does(commands)
    section = {"command": str(tmp_path / "plugin"), "apiVersion": API}
    with pytest.raises(ExecPluginError, match=message) as caught:
        run_exec_plugin(section, timeout=0.2 if "sleep" in commands else 10)
    assert f"exec plugin '{tmp_path}/plugin'" in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))


def test_a_plugin_that_is_not_there_is_named_with_how_to_install_it() -> None:
    """`installHint` is what it is for."""
    section = {"command": "/nowhere/plugin", "apiVersion": API, "installHint": "brew install plugin"}
    with pytest.raises(
        ExecPluginError, match=r"'/nowhere/plugin' cannot be run \(No such file.*\): brew install plugin"
    ):
        run_exec_plugin(section)


def test_a_plugin_that_needs_a_terminal_is_refused_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An informer's thread can ask nobody."""
    monkeypatch.setattr("sys.stdin", None)
    section = {"command": "/bin/true", "apiVersion": API, "interactiveMode": "Always"}
    with pytest.raises(ExecPluginError, match="wants a terminal"):
        run_exec_plugin(section)


def test_a_plugin_is_told_what_it_may_want_to_know(tmp_path: Path) -> None:
    """Its arguments, environment, and where the kubeconfig asks for it the cluster with the extension that is its own."""
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
    assert (given.token, given.expires) == ("t", datetime(2100, 1, 1, tzinfo=UTC))
    assert "t'" not in repr(given)
    assert (tmp_path / "words").read_text().split() == ["argument", "value"]
    info = json.loads((tmp_path / "info").read_text())
    assert (info["kind"], info["apiVersion"]) == ("ExecCredential", API)
    assert (info["spec"]["cluster"]["server"], info["spec"]["cluster"]["config"]) == (
        "https://there",
        {"audience": "a"},
    )


# A plugin behind requests


def test_a_failing_plugin_is_what_an_informer_tells(
    serve: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In `sync_error()`, until it is mended; its output is nowhere."""
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
def test_many_requests_at_a_time_run_it_once(commands: str, serve: Any, tmp_path: Path, run: Any) -> None:
    """When there is no credential yet, and after a 401, whether it works or fails."""
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
        # After a refusal one runs it; the others' requests are refused again, or hear of it.
        assert all((answer in (ConnectionError, ApiError)) if fails else answer == OK for answer in answers)


@pytest.mark.parametrize(("seconds", "runs"), [(3600, 1), (-1, 3), (5, 3)], ids=["good", "over", "over-soon"])
def test_a_token_is_used_until_shortly_before_its_end(seconds: float, runs: int, serve: Any, tmp_path: Path) -> None:
    """The plugin says how long it is good; without asking the server."""
    guarded = Guarded(serve, "t")
    plugin = Plugin(tmp_path, guarded.server.url)
    plugin.gives(credential(token="t", expirationTimestamp=in_seconds(seconds)))
    transport = Transport(plugin.client())
    for _ in range(3):
        assert transport.get_json("/") == OK
    assert plugin.runs == runs


def test_the_official_client_on_the_same_configuration_has_the_token_too(serve: Any, tmp_path: Path) -> None:
    """A client that informers made is one like any other."""
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
    """Not when it is made: a plugin that hangs would hold up the program, and one that fails would be forgotten."""
    guarded = Guarded(serve, "t")
    plugin = Plugin(tmp_path, guarded.server.url)
    plugin.gives(credential(token="t"))
    monkeypatch.setattr("informer.transport.transport._defaults", [])
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(plugin.kubeconfig))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    transport = transport_for(None)
    assert plugin.runs == 0
    assert transport.get_json("/") == OK


# Client certificates


class CertificateServer:
    """A TLS server that tells the name in the client's certificate, and takes some names only."""

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
    """When it has run out or was refused; the official client keeps the first for ever."""
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
    path = Path(api_client.configuration.cert_file)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_plugins_certificate_is_gone_when_the_program_ends(tmp_path: Path, authority: Any) -> None:
    """The ssl module reads keys from files only; ours does not outlive the process."""
    plugin = Plugin(tmp_path, "https://127.0.0.1:1", **{"certificate-authority": authority.path})
    plugin.gives(credential(**pem_of(authority, "one")))
    program = (
        "from informer.transport.transport import transport_for\n"
        "transport = transport_for(None)\n"
        "try: transport.get_json('/')\n"
        "except ConnectionError: pass\n"
        "print(transport._configuration.cert_file)\n"
    )
    environment = {**os.environ, "KUBECONFIG": str(plugin.kubeconfig), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    path = Path(done.stdout.strip())
    assert path.name == "client.pem"
    assert path.parent.parent == tmp_path
    assert not path.parent.exists()


def test_a_certificate_file_that_changes_is_shown_from_the_next_connection_on(
    serve: Any, tmp_path: Path, authority: Any
) -> None:
    """Whoever renews the file need not tell anybody."""
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


def test_an_authority_file_that_changes_is_trusted_from_the_next_connection_on(
    serve: Any, tmp_path: Path, make_authority: Any
) -> None:
    """A cluster's new authority is there before the servers' new certificates; the old one is trusted no more."""
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


def test_certificates_within_a_kubeconfig_are_shown(serve: Any, tmp_path: Path, authority: Any) -> None:
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
    """A server that takes the token `one`, and a client whose kubeconfig names a token file."""
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
def test_a_token_file_that_cannot_be_read_leaves_the_last_token(
    state: str, token_file: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Go: cachingTokenSource in client-go transport/token_source.go. The last one may be good for long; the log says so."""
    assert token_file.transport.get_json("/") == OK
    if state == "missing":
        token_file.path.unlink()
    else:
        token_file.path.write_bytes(b"" if state == "empty" else b"\xff\xfe\x00")
    assert token_file.transport.get_json("/") == OK
    assert f"token file {token_file.path} cannot be read, the last token is used" in caplog.text
    token_file.guarded.tokens = {"two"}
    with pytest.raises(ConnectionError, match=f"the token file {token_file.path} cannot be read"):
        token_file.transport.get_json("/")
    token_file.path.write_text("two")
    assert token_file.transport.get_json("/") == OK


def test_a_projected_token_that_is_swapped_is_read_again(token_file: Any, tmp_path: Path) -> None:
    """A kubelet swaps a link to a folder: the file's path and the link's own times stay."""
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


def test_a_refused_token_that_did_not_change_is_sent_twice_and_no_more(token_file: Any) -> None:
    """401 is refreshed once; then the reflector backs off."""
    token_file.guarded.tokens = set()
    with pytest.raises(ApiError) as caught:
        token_file.transport.get_json("/")
    assert caught.value.status == 401
    assert token_file.guarded.sent == ["Bearer one"] * 2
