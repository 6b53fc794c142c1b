"""Connections on which an attacker in the network can read credentials: one warning per client and address."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from informer import load_client
from informer.transport.insecure_warnings import InsecureWarnings
from informer.transport.settings import ConnectionSettings
from informer.transport.transport import Transport
from tests.support.messages import matches

OK = {"ok": True}
VERSION = dict.fromkeys(
    ("major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"), "1"
)
TOKEN = {"api_key": {"authorization": "Bearer s3cr3t"}}


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def checked(caplog: pytest.LogCaptureFixture, host: str, *, verify: bool = True, token: bool = True) -> list[str]:
    """Sends three requests."""
    warnings = InsecureWarnings()
    for _ in range(3):
        warnings.check(ConnectionSettings(host, verify_ssl=verify), has_credentials=token)
    return warnings_of(caplog)


@pytest.mark.parametrize(
    "host",
    [
        "http://10.0.0.1:8080",
        "http://api.example",
        "http://[2001:db8::1]:80",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://127.0.0.1@api.example",
        "http://0x7f000001.example/127.0.0.1",
        "http://",
        "http://[",
    ],
)
def test_credentials_without_tls(host: str, caplog: pytest.LogCaptureFixture) -> None:
    """The warning is logged once, with the address, the danger and the remedy; not for requests without credentials."""
    (said,) = checked(caplog, host)
    assert matches(
        said,
        "credentials are sent to <...> without TLS: an attacker in the network can read and use them, and change answers. "
        "Write https:// in the server's address",
    )
    caplog.clear()
    assert checked(caplog, host, token=False) == []


@pytest.mark.parametrize(
    "host",
    ["http://127.0.0.1:8001", "http://127.9.9.9", "http://[::1]:8001", "http://localhost:8001", "http://LOCALHOST."],
)
def test_this_machine_needs_no_tls(host: str, caplog: pytest.LogCaptureFixture) -> None:
    """Requests to this machine, as to `kubectl proxy`, do not enter the network and are not warned of."""
    assert checked(caplog, host) == []


@pytest.mark.parametrize("token", [True, False])
def test_a_certificate_that_is_not_verified(token: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The warning also comes without credentials, since the answers can be an attacker's."""
    (said,) = checked(caplog, "https://user:s3cr3t@api.example", verify=False, token=token)
    assert said == (
        "the certificate of https://api.example is not verified (verify_ssl=False or insecure-skip-tls-verify): an attacker in "
        "the network can pose as the server, read credentials and Secrets, and change answers. Set ssl_ca_cert, or the "
        "kubeconfig's certificate-authority, to the cluster's authority"
    )


def test_each_address_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """If a configuration's host changes, the new address is warned of too."""
    warnings = InsecureWarnings()
    for host in ("https://a", "https://b", "https://a"):
        warnings.check(ConnectionSettings(host, verify_ssl=False), has_credentials=True)
    assert len(warnings_of(caplog)) == 2


def test_an_address_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """Control characters do not reach the log."""
    (said,) = checked(caplog, "http://a\n\x1b[31m\u202eb/" + "x" * 10_000)
    assert said.isprintable()
    assert len(said) < 1000


def test_requests_of_a_client(serve: Any, authority: Any, caplog: pytest.LogCaptureFixture) -> None:
    """All requests of a client share one warning; a second client has its own."""
    server = serve(lambda _, connection: connection.answer(OK), tls=authority.server_context("example.com"))
    for count in (1, 2):
        transport = Transport(server.client(verify_ssl=False, **TOKEN))
        for _ in range(3):
            assert transport.get_json("/") == OK
        assert len(warnings_of(caplog)) == count


def test_informers_and_official_apis_share_the_warning(
    serve: Any, authority: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A client of `load_client` warns once for informers and official APIs together."""
    server = serve(lambda _, connection: connection.answer(VERSION), tls=authority.server_context("example.com"))
    path = tmp_path / "config"
    cluster = {"server": server.url, "insecure-skip-tls-verify": True}
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": cluster}],
                "users": [{"name": "u", "user": {"token": "s3cr3t"}}],
            }
        )
    )
    api_client = load_client(path)
    client.VersionApi(api_client).get_code()
    assert Transport(api_client).get_json("/version") == VERSION
    client.VersionApi(api_client).get_code()
    (said,) = warnings_of(caplog)
    assert "is not verified" in said
    assert "s3cr3t" not in said
