"""Fixtures for tests of watchers: a server that sends exactly the bytes that the test gives it."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from watch import Channel
from watch.concurrency import Latch, Lock, Worker

DEADLINE = 10.0


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


class Peer:
    """The server's end of one request. The head of the response was sent; the test sends the rest."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.finished = Latch()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def chunk(self, *bodies: bytes) -> None:
        self.send(b"".join(b"%x\r\n%s\r\n" % (len(body), body) for body in bodies))

    def finish(self) -> None:
        """Ends a chunked body; the connection then serves another request."""
        self.send(b"0\r\n\r\n")
        self.finished.open()

    def hang_up(self) -> None:
        """Closes the connection. Bytes that were sent before still arrive."""
        if isinstance(self.sock, ssl.SSLSocket):
            # Without the closing message of TLS.
            self.sock = socket.socket(fileno=self.sock.detach())
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.finished.open()

    def reset(self) -> None:
        """Closes the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock = socket.socket(fileno=self.sock.detach())
        self.sock.close()
        self.finished.open()

    def client_has_gone(self) -> bool:
        """Waits until the client has closed its end; returns False after the deadline."""
        self.sock.settimeout(DEADLINE)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True


class StreamServer:
    """Answers each request with the head of a response, and hands the connection to the test."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._head = CHUNKED
        self._peers: Channel[Peer] = Channel(None)
        self._lock = Lock()
        self._open: list[Peer] = []  # guarded by _lock
        self._workers = [Worker(self._accept, "stream-server").start()]

    def answer(self, pool: Any, head: bytes = CHUNKED) -> tuple[Any, Peer]:
        """Sends a request through a pool; returns the unread response and the server's end."""
        self._head = head
        response = pool.request("GET", "/watch", preload_content=False, retries=False)
        return response, self._peers.get(timeout=DEADLINE)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            peers = list(self._open)
        for peer in peers:
            peer.hang_up()
        for worker in self._workers:
            worker.join(DEADLINE)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._workers.append(Worker(lambda sock=sock: self._serve(sock), "stream-server-connection").start())

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            while self._serve_one(sock):
                pass
        except OSError:
            pass
        finally:
            sock.close()

    def _serve_one(self, sock: socket.socket) -> bool:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            data = sock.recv(65536)
            if not data:
                return False
            request += data
        peer = Peer(sock)
        with self._lock:
            self._open.append(peer)
        peer.send(self._head)
        self._peers.put(peer)
        peer.finished.wait()
        with self._lock:
            self._open.remove(peer)
        return peer.sock is sock


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
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
    """Starts servers that send the test's bytes; returns each with a connection pool for it."""
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
