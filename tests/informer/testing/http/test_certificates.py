"""The certificates of the test kit's servers."""

from __future__ import annotations

import socket
import ssl

import pytest

from informer.testing.http.certificates import Certificates, make_certificates
from watch.concurrency import Worker


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    """An authority and a server certificate."""
    return make_certificates()


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str | None:
    """Connects a client to a server that it knows by `name`; returns the negotiated protocol."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as secure:
            secure.recv(1)

    ours.settimeout(10)
    theirs.settimeout(10)
    worker = Worker(serve, "tls-server").start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as secure:
            secure.send(b"!")
            return secure.selected_alpn_protocol()
    finally:
        ours.close()
        assert worker.join(10)


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost", "kubernetes", "kubernetes.default.svc"])
def test_a_client_that_trusts_the_authority_accepts_every_name(certificates: Certificates, name: str) -> None:
    """The strictest verification that OpenSSL offers accepts the server by each of its names, and negotiates HTTP/1.1."""
    client = ssl.create_default_context(cadata=certificates.authority.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert handshake(certificates.server_context(), client, name) == "http/1.1"


def test_two_authorities_do_not_trust_each_other(certificates: Certificates) -> None:
    """Every call makes a new authority."""
    other = ssl.create_default_context(cadata=make_certificates().authority.decode())
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = other.wrap_bio(ours, theirs, server_hostname="localhost")
    server = certificates.server_context().wrap_bio(theirs, ours, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    with pytest.raises(ssl.SSLCertVerificationError):
        client.do_handshake()
