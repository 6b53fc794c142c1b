"""The project's urllib3 connections: what they add to urllib3's."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from informer.transport.transport import Transport


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_response_names_its_socket(serve: Any, authority: Any, tls: bool) -> None:
    """The body can be read from the socket, without the private attributes below http.client's reader."""

    def handler(request: Any, connection: Any) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    server = serve(handler, tls=authority.server_context("127.0.0.1") if tls else None)
    response = Transport(server.client(ssl_ca_cert=authority.path)).open("/", {})
    sock = response._fp.socket
    assert isinstance(sock, ssl.SSLSocket if tls else socket.socket)
    assert sock.getpeername() == ("127.0.0.1", server.port)
    read = response._fp.fp.peek()
    while len(read) < 5:
        read += sock.recv(5)
    assert read == b"hello"
    response.close()
