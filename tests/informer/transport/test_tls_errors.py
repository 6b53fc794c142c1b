"""The TLS errors that an informer reports: the likely cause, and what to change."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from informer import ListWatch, SharedInformer
from informer.reflector.backoff import Backoff
from informer.transport.transport import Transport
from tests.support.waiting import eventually

OK = {"ok": True}
QUICK = Backoff(initial=0.02, maximum=0.05)


def reported_by(api_client: Any, caplog: pytest.LogCaptureFixture, phrases: list[str]) -> str:
    """The text of `sync_error()`, once it and the log contain all of the phrases."""
    informer: Any = SharedInformer(ListWatch.for_resource(api_client, "v1/pods"), backoff=QUICK, watch_list=False)

    def is_reported() -> bool:
        # The connection may close before the reason for a refusal is read: the next attempt reports it.
        return all(phrase in str(informer.sync_error()) and phrase in caplog.text for phrase in phrases)

    with informer:
        assert eventually(is_reported), (informer.sync_error(), caplog.text)
        error = informer.sync_error()
    assert isinstance(error, ConnectionError)
    return str(error)


@pytest.mark.parametrize(
    ("served", "settings", "phrases"),
    [
        pytest.param(
            {}, {"ssl_ca_cert": "other"}, ["not signed by the authority in", "certificate-authority"], id="ca"
        ),
        pytest.param({}, {}, ["any of the authorities that this machine trusts", "ssl_ca_cert"], id="no-ca"),
        pytest.param(
            {"hosts": ("elsewhere.test",)},
            {"ssl_ca_cert": "its"},
            ["for another name", "tls-server-name"],
            id="host-name",
        ),
        pytest.param(
            {}, {"ssl_ca_cert": "its", "tls_server_name": "elsewhere.test"}, ["for another name"], id="tls-server-name"
        ),
        pytest.param({"expired": True}, {"ssl_ca_cert": "its"}, ["has expired", "renew", "clock"], id="expired"),
        pytest.param(
            {"wants_client": True},
            {"ssl_ca_cert": "its"},
            ["does not accept a connection without a client certificate"],
            id="no-client-certificate",
        ),
        pytest.param(
            {"wants_client": True},
            {"ssl_ca_cert": "its", "cert_file": "foreign", "key_file": "foreign"},
            ["does not accept the client certificate"],
            id="foreign-client-certificate",
        ),
        pytest.param(
            {}, {"ssl_ca_cert": "missing"}, ["certificate-authority", "missing.pem", "is missing"], id="ca-file-is-gone"
        ),
        pytest.param(
            {},
            {"ssl_ca_cert": "its", "cert_file": "missing", "key_file": "missing"},
            ["client-certificate", "missing.pem", "is missing"],
            id="client-file-is-gone",
        ),
    ],
)
def test_a_certificate_error_names_cause_and_remedy(
    served: Any,
    settings: dict[str, str],
    phrases: list[str],
    serve: Any,
    tmp_path: Path,
    make_authority: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`sync_error()` and the log name the resource, the server's address, the cause and what to change."""
    authority, other = make_authority(), make_authority()
    hosts = served.get("hosts", ("127.0.0.1",))
    options = {name: value for name, value in served.items() if name != "hosts"}
    server = serve(lambda _, connection: connection.answer(OK), tls=authority.server_context(*hosts, **options))
    names = {
        "other": other.path,
        "its": authority.path,
        "foreign": other.issue(name="foreign"),
        "missing": str(tmp_path / "missing.pem"),
    }
    with caplog.at_level(logging.WARNING):
        said = reported_by(
            server.client(**{name: names.get(value, value) for name, value in settings.items()}), caplog, phrases
        )
    assert said.startswith(f"failed to list pods: cannot reach {server.url}: ")
    assert server.requests == []


def test_a_server_without_tls_is_reported(serve: Any, run: Any) -> None:
    """The address says https, but the server answers the handshake with an HTTP error in plain text."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request\n")

        task = run(answer)
        address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        transport = Transport(serve(lambda *_: None).client(host=address))
        with pytest.raises(ConnectionError, match="does not speak TLS there"):
            transport.get_json("/")
        task.result()


@pytest.mark.parametrize(
    ("settings", "hosts"),
    [
        pytest.param({"ssl_ca_cert": "its"}, ("127.0.0.1",), id="verified"),
        pytest.param({"ssl_ca_cert": "its", "tls_server_name": "other.test"}, ("other.test",), id="tls-server-name"),
        pytest.param({"verify_ssl": False}, ("elsewhere.test",), id="insecure-skip-tls-verify"),
        pytest.param({"ssl_ca_cert": "its", "assert_hostname": False}, ("elsewhere.test",), id="any-name"),
    ],
)
def test_settings_can_relax_the_check_of_names(
    settings: dict[str, Any], hosts: tuple[str, ...], serve: Any, authority: Any
) -> None:
    """Another name, no check of the name, or no check at all, as configured."""
    server = serve(lambda _, connection: connection.answer(OK), tls=authority.server_context(*hosts))
    named = {name: authority.path if value == "its" else value for name, value in settings.items()}
    assert Transport(server.client(**named)).get_json("/") == OK


def test_only_insecure_skip_tls_verify_turns_verification_off(serve: Any, authority: Any) -> None:
    """Without it, and with false, certificates are verified."""
    from kubernetes import client, config

    def loaded(**cluster: Any) -> Any:
        configuration = client.Configuration()
        config.load_kube_config_from_dict(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": {"server": server.url, **cluster}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            },
            client_configuration=configuration,
        )
        return Transport(client.ApiClient(configuration))

    handler: Callable[[Any, Any], None] = lambda _, connection: connection.answer(OK)  # noqa: E731
    server = serve(handler, tls=authority.server_context("elsewhere.test"))
    assert loaded(**{"insecure-skip-tls-verify": True}).get_json("/") == OK
    for cluster in ({}, {"insecure-skip-tls-verify": False}):
        with pytest.raises(ConnectionError, match="certificate verify failed"):
            loaded(**cluster).get_json("/")
