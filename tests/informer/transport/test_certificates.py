"""Which server certificates are accepted: those that kubectl accepts, on every version of Python."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from informer import SharedInformerFactory
from informer.testing import EmbeddedAPIServer
from informer.testing.http.certificates import Certificates, make_minimal_certificates
from informer.transport.connection_pool import ConnectionPool
from informer.transport.transport import Transport
from tests.support.waiting import DEADLINE

OK = {"ok": True}

# What the certificate authorities of clusters leave out, each refused by Python 3.13 in its default, strict mode.
KINDS: dict[str, Callable[..., Certificates]] = {
    "full": lambda **options: make_minimal_certificates(key_usage=True, key_identifiers=True, critical=True, **options),
    "eks-no-key-identifiers": lambda **options: make_minimal_certificates(key_usage=True, critical=True, **options),
    "gke-no-key-usage": lambda **options: make_minimal_certificates(key_identifiers=True, critical=True, **options),
    "constraints-not-critical": lambda **options: make_minimal_certificates(
        key_usage=True, key_identifiers=True, **options
    ),
    "microk8s-none-of-them": make_minimal_certificates,
}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Callable[..., Certificates]:
    """Makes certificates of one kind."""
    return KINDS[request.param]


@pytest.fixture
def https(serve: Any, tmp_path: Path) -> Callable[..., tuple[Any, Path]]:
    """Starts a server with certificates; returns it, and a file with their authority."""

    def start(certificates: Certificates) -> tuple[Any, Path]:
        file = tmp_path / "authority.pem"
        file.write_bytes(certificates.authority)
        return serve(lambda _, connection: connection.answer(OK), tls=certificates.server_context()), file

    return start


def failure(server: Any, **settings: Any) -> str:
    with pytest.raises(ConnectionError) as caught:
        Transport(server.client(**settings)).get_json("/")
    assert server.requests == []
    return str(caught.value)


@pytest.mark.parametrize("given", ["file", "data"])
def test_certificates_of_clusters_are_accepted(make: Any, https: Any, given: str) -> None:
    """Those without key identifiers, key usage or critical constraints; by file or as data."""
    certificates = make()
    server, file = https(certificates)
    settings = {"ssl_ca_cert": str(file)} if given == "file" else {"ca_cert_data": certificates.authority.decode()}
    assert Transport(server.client(**settings)).get_json("/") == OK


def test_an_expired_certificate_is_refused(make: Any, https: Any) -> None:
    """Lenient about extensions does not mean lenient about time."""
    server, file = https(make(expired=True))
    assert "has expired" in failure(server, ssl_ca_cert=str(file))


def test_a_certificate_for_another_host_is_refused(make: Any, https: Any) -> None:
    """The host name is verified, or the tls-server-name in its place."""
    server, file = https(make(hosts=["elsewhere.test"]))
    assert "for another name" in failure(server, ssl_ca_cert=str(file))
    assert Transport(server.client(ssl_ca_cert=str(file), tls_server_name="elsewhere.test")).get_json("/") == OK


def test_a_certificate_of_an_unknown_authority_is_refused(make: Any, https: Any, tmp_path: Path) -> None:
    """An authority of the same name with another key, or the authorities of this machine."""
    server, _ = https(make())
    other = tmp_path / "other.pem"
    other.write_bytes(make().authority)
    assert "certificate verify failed" in failure(server, ssl_ca_cert=str(other))
    assert "not signed by" in failure(server)


def test_a_rotated_authority_is_trusted_from_then_on(make: Any, https: Any) -> None:
    """The file of the authority is read again when it changes; the old authority is not trusted any more."""
    first = make()
    server, file = https(first)
    transport = Transport(server.client(ssl_ca_cert=str(file)))
    assert transport.get_json("/") == OK
    rotated, _ = https(make())
    # `https` has written the new authority to the same file.
    assert Transport(rotated.client(ssl_ca_cert=str(file))).get_json("/") == OK
    with pytest.raises(ConnectionError, match="certificate verify failed"):
        transport.get_json("/")
    file.write_bytes(first.authority)
    assert transport.get_json("/") == OK


def test_a_chain_may_end_at_an_intermediate_authority(serve: Any, tmp_path: Path) -> None:
    """Go accepts a chain that ends at any trusted certificate, and so does Python 3.13."""
    import trustme

    root = trustme.CA()
    intermediate = root.create_child_ca()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    intermediate.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path / "intermediate.pem"
    file.write_bytes(intermediate.cert_pem.bytes())
    server = serve(lambda _, connection: connection.answer(OK), tls=context)
    assert Transport(server.client(ssl_ca_cert=str(file))).get_json("/") == OK


@pytest.mark.parametrize("settings", [{}, {"verify_ssl": False}, {"proxy": "https://127.0.0.1:1"}], ids=str)
def test_no_context_is_strict(settings: dict[str, Any], authority: Any) -> None:
    """Neither for servers nor for https:// proxies, while chain and host name are verified unless that is turned off."""
    from kubernetes.client import Configuration

    configuration: Any = Configuration(host="https://127.0.0.1:1")
    configuration.ssl_ca_cert = authority.path
    for name, value in settings.items():
        setattr(configuration, name, value)
    pool: Any = ConnectionPool(configuration).current()
    contexts = [pool.connection_pool_kw["ssl_context"]]
    if "proxy" in settings:
        contexts.append(pool.proxy_config.ssl_context)
    for context in contexts:
        assert not context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.check_hostname is (context.verify_mode == ssl.CERT_REQUIRED) is configuration.verify_ssl


def test_an_encrypted_client_key_is_an_error(serve: Any, authority: Any, tmp_path: Path) -> None:
    """OpenSSL would ask for its password on the terminal, and wait."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = tmp_path / "key.pem"
    key.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    server = serve(lambda _, connection: connection.answer(OK), tls=authority.server_context("127.0.0.1"))
    said = failure(server, ssl_ca_cert=authority.path, cert_file=authority.issue(name="me"), key_file=str(key))
    assert "the client key is encrypted" in said


def test_the_embedded_server_serves_minimal_certificates() -> None:
    """An informer syncs with them."""
    with EmbeddedAPIServer(tls="minimal") as server, server.api_client() as api_client:
        server.create({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}})
        factory = SharedInformerFactory(api_client)
        pods = factory.informer("pods")
        with factory:
            assert pods.wait_for_sync(DEADLINE)
            assert pods.store.list_keys() == ["default/web"]


def test_python_refuses_minimal_certificates_in_strict_mode(https: Any) -> None:
    """So the tests above show something: the same certificates fail with the flag that Python 3.13 sets."""
    import socket

    server, file = https(make_minimal_certificates())
    context = ssl.create_default_context(cafile=str(file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", server.port)) as sock,
        pytest.raises(ssl.SSLCertVerificationError),
        context.wrap_socket(sock, server_hostname="127.0.0.1"),
    ):
        pass
