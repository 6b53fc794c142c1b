"""Certificate files: they may disappear once they were read, and only a new content changes connections."""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from informer import ListWatch, SharedInformer
from informer.reflector.backoff import Backoff
from informer.transport.connection_pool import ConnectionPool
from informer.transport.settings import ConnectionSettings
from informer.transport.tls_context import CertificateFiles, Certificates
from informer.transport.tls_errors import explain_tls_error
from informer.transport.transport import Transport
from tests.support.waiting import eventually

OK = {"ok": True}


def data(path: str | Path) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode()


@pytest.fixture
def names() -> list[str]:
    """The names of the clients that connected."""
    return []


@pytest.fixture
def server(serve: Any, authority: Any, names: list[str]) -> Any:
    """A server that wants a client certificate and closes each connection after its answer."""

    def handler(request: Any, connection: Any) -> None:
        names.append(dict(part[0] for part in connection.sock.getpeercert()["subject"])["commonName"])
        connection.cut()
        connection.answer(OK, Connection="close")

    return serve(handler, tls=authority.server_context("127.0.0.1", wants_client=True))


def test_inline_certificates_outlive_the_official_loaders_files(
    server: Any, authority: Any, tmp_path: Path, names: list[str]
) -> None:
    """A program that cleans /tmp deletes them: each later connection uses what was read."""
    configuration: Any = client.Configuration()
    pair = data(authority.issue(name="alice"))
    cluster = {"server": server.url, "certificate-authority-data": data(authority.path)}
    config.load_kube_config_from_dict(
        {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": cluster}],
            "users": [{"name": "u", "user": {"client-certificate-data": pair, "client-key-data": pair}}],
        },
        client_configuration=configuration,
        temp_file_path=str(tmp_path / "temporary"),
    )
    transport = Transport(client.ApiClient(configuration))
    assert transport.get_json("/") == OK
    for path in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
        Path(path).unlink(missing_ok=True)
    (tmp_path / "temporary").rmdir()
    assert transport.get_json("/") == OK
    # Another setting makes a new pool, from the same contents.
    configuration.tls_server_name = "127.0.0.1"
    assert transport.get_json("/") == OK
    assert names == ["alice"] * 3


def test_an_informer_goes_on_without_its_certificate_files(serve: Any, authority: Any, tmp_path: Path) -> None:
    """Its watch is cut after the files were deleted."""
    lists = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": []}
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(Path(authority.path).read_bytes())

    def handler(request: Any, connection: Any) -> None:
        connection.cut()
        if "watch" in request.query:
            trusted.unlink(missing_ok=True)
            connection.begin()
            connection.end()
        else:
            connection.answer(lists, Connection="close")

    server = serve(handler, tls=authority.server_context("127.0.0.1"))
    api_client = server.client(ssl_ca_cert=str(trusted))
    informer: Any = SharedInformer(
        ListWatch.for_resource(api_client, "v1/pods"), watch_list=False, backoff=Backoff(initial=0.02, maximum=0.05)
    )
    with informer:
        assert eventually(lambda: sum("watch" in request.query for request in server.requests) >= 4)
        assert not trusted.exists()
        assert "missing" not in str(informer.sync_error())


@pytest.mark.parametrize("state", ["missing", "empty"])
def test_a_file_that_comes_back_with_another_content_is_used(state: str, authority: Any, tmp_path: Path) -> None:
    """While it is away, as during a rotation, the last content counts."""
    path = tmp_path / "ca.pem"
    path.write_text("one")
    files, settings = CertificateFiles(), ConnectionSettings("https://there", ssl_ca_cert=str(path))
    assert files.read(settings).authority == b"one"
    if state == "missing":
        path.unlink()
    else:
        path.write_text("")
    assert files.read(settings).authority == b"one"
    path.write_text("second")
    assert files.read(settings).authority == b"second"


def test_a_missing_file_that_was_read_is_not_blamed(tmp_path: Path) -> None:
    """A server that closes the connection has another reason."""
    settings = ConnectionSettings("https://there", ssl_ca_cert=str(tmp_path / "missing"))
    assert "is missing" not in explain_tls_error(ssl.SSLEOFError(8, "EOF occurred"), settings)
    assert "is missing" in explain_tls_error(FileNotFoundError(), settings)


def test_a_file_that_was_never_there_is_an_error(tmp_path: Path) -> None:
    """But not for a server without TLS."""
    missing = str(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        CertificateFiles().read(ConnectionSettings("https://there", ssl_ca_cert=missing))
    assert CertificateFiles().read(ConnectionSettings("http://there", ssl_ca_cert=missing)) == Certificates()


def test_the_same_content_in_another_file_keeps_the_connections(authority: Any, tmp_path: Path) -> None:
    """The official client writes a certificate anew when its file has disappeared, under another name."""
    configuration: Any = client.Configuration(host="https://there")
    configuration.ssl_ca_cert = authority.path
    pool = ConnectionPool(configuration)
    first = pool.current()
    other = tmp_path / "other.pem"
    other.write_bytes(Path(authority.path).read_bytes())
    configuration.ssl_ca_cert = str(other)
    assert pool.current() is first
    os.utime(other, ns=(1, 1))
    assert pool.current() is first
    other.write_bytes(other.read_bytes() * 2)
    assert pool.current() is not first


def test_an_encrypted_key_is_refused(serve: Any, authority: Any, tmp_path: Path) -> None:
    """OpenSSL would ask for its password on the terminal, and the informer's thread would wait."""
    server = serve(lambda _, connection: connection.answer(OK), tls=authority.server_context("127.0.0.1"))
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----\n")
    files = {"cert_file": authority.issue(name="alice"), "key_file": str(key)}
    with pytest.raises(ConnectionError, match="the client key is encrypted with a password: use one that is not"):
        Transport(server.client(ssl_ca_cert=authority.path, **files)).get_json("/")


@pytest.mark.parametrize("part", ["authority", "certificate", "key"])
def test_certificates_that_cannot_be_used_are_named(part: str, serve: Any, authority: Any, tmp_path: Path) -> None:
    """The message names the files, and no content."""
    server = serve(lambda _, connection: connection.answer(OK), tls=authority.server_context("127.0.0.1"))
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("s3cr3t")
    pair = authority.issue(name="alice")
    paths = {"authority": authority.path, "certificate": pair, "key": pair} | {part: str(garbage)}
    api_client = server.client(ssl_ca_cert=paths["authority"], cert_file=paths["certificate"], key_file=paths["key"])
    with pytest.raises(ConnectionError, match="the certificate files cannot be used") as caught:
        Transport(api_client).get_json("/")
    assert str(garbage) in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in repr(Certificates(b"s3cr3t", b"s3cr3t", b"s3cr3t"))


# Another user of the machine


def test_a_client_key_is_in_no_temporary_file(
    server: Any, authority: Any, tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file would be needed, the key stays in memory. A key of its own, and one within the certificate."""
    made: list[str] = []
    real = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", lambda *args, **options: made.append("") or real(*args, **options))
    pair = Path(authority.issue(name="alice")).read_bytes()
    for key in (pair, None):
        api_client = server.client(ssl_ca_cert=authority.path)
        api_client.configuration.client_cert_data, api_client.configuration.client_key_data = pair, key
        assert Transport(api_client).get_json("/") == OK
    assert names == ["alice"] * 2
    if hasattr(os, "memfd_create"):
        assert made == []


@pytest.mark.parametrize("name", ["ssl_ca_cert", "cert_file", "key_file"])
@pytest.mark.parametrize("kind", ["silent pipe", "endless device", "folder", "null character"])
def test_a_path_that_leads_to_something_else(name: str, kind: str, authority: Any, tmp_path: Path) -> None:
    """The reader is not blocked, its memory not filled: the error names the file, and the informer stops in time."""
    path = {"endless device": "/dev/zero", "folder": str(tmp_path), "null character": "a\0b"}.get(
        kind, str(tmp_path / "pipe")
    )
    pair = authority.issue(name="alice")
    settings = {"ssl_ca_cert": authority.path, "cert_file": pair, "key_file": pair, name: path}
    configuration: Any = client.Configuration(host="https://127.0.0.1:1")
    for setting, value in settings.items():
        setattr(configuration, setting, value)
    with contextlib.ExitStack() as held:
        if kind == "silent pipe":
            os.mkfifo(path)
            held.callback(os.close, os.open(path, os.O_RDWR))
        informer: Any = SharedInformer(ListWatch.for_resource(client.ApiClient(configuration), "v1/pods"))
        informer.start()
        assert eventually(lambda: informer.sync_error() is not None)
        failure = str(informer.sync_error())
        assert informer.stop(2) is True
    words = {
        "silent pipe": f"the file {path} of the configuration cannot be used: it is a pipe or device",
        "endless device": "the file /dev/zero of the configuration cannot be used: it has more than 8388608 bytes, the limit",
        "folder": "directory",
        "null character": "its path has a character that a path cannot have",
    }
    assert words[kind] in failure
