"""The project's urllib3 connections: the socket that they offer for reading a body."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from informer.transport.transport import Transport


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("head", "chunked", "length", "will_close"),
    [
        pytest.param(b"Content-Length: 5", False, 5, False, id="length"),
        pytest.param(b"Transfer-Encoding: chunked", True, None, False, id="chunked"),
        pytest.param(b"Connection: close", False, None, True, id="until-the-end"),
    ],
)
def test_a_response_offers_its_socket(
    serve: Any, authority: Any, tls: bool, head: bytes, chunked: bool, length: int | None, will_close: bool
) -> None:
    """`response_socket` has the socket, the framing of the body, and the bytes that were read along with the headers."""
    body = b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello"

    def handler(request: Any, connection: Any) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)
        if will_close:
            connection.cut()

    server = serve(handler, tls=authority.server_context("127.0.0.1") if tls else None)
    response = Transport(server.client(ssl_ca_cert=authority.path)).open("/", {})
    offered = response.response_socket
    assert isinstance(offered.sock, ssl.SSLSocket if tls else socket.socket)
    assert (offered.chunked, offered.length, offered.will_close) == (chunked, length, will_close)
    read = offered.buffered()
    while len(read) < len(body):
        read += offered.sock.recv(100)
    assert read == body
    response.close()


def test_a_connection_is_used_again_after_its_body_was_read_from_the_socket(serve: Any) -> None:
    """`end()` and `release_conn()` return the connection to its pool."""
    server = serve(lambda request, connection: connection.answer({"ok": True}))
    transport = Transport(server.client())
    for _ in range(3):
        response = transport.open("/", {})
        offered = response.response_socket
        left = offered.length - len(offered.buffered())
        while left:
            left -= len(offered.sock.recv(left))
        offered.end()
        response.release_conn()
    assert server.connections == 1
