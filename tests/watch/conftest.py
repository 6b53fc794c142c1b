"""For tests of watchers: a server whose every byte the test decides."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.support.http_servers import StreamServer


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(private + made.public_bytes(encoding))
    return path


@pytest.fixture
def make_server(certificate: Path) -> Iterator[Callable[..., tuple[StreamServer, Any]]]:
    """Starts servers of raw HTTP, whose every byte the test decides; each comes with a connection pool for it."""
    servers: list[StreamServer] = []
    pools: list[Any] = []

    def make(*, tls: bool = False, **options: Any) -> tuple[StreamServer, Any]:
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
        servers.append(StreamServer(context))
        port = servers[-1].port
        if tls:
            pools.append(urllib3.HTTPSConnectionPool("127.0.0.1", port, ca_certs=str(certificate), **options))
        else:
            pools.append(urllib3.HTTPConnectionPool("127.0.0.1", port, **options))
        return servers[-1], pools[-1]

    yield make
    for pool in pools:
        pool.close()
    for server in servers:
        server.close()


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def stream_server(request: pytest.FixtureRequest, make_server: Any) -> tuple[StreamServer, Any]:
    """A server and a pool for it, plain and over TLS."""
    made: tuple[StreamServer, Any] = make_server(tls=request.param)
    return made
