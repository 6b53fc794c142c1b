"""HTTP/1.1 on the wire: which requests the server accepts, and how it refuses others."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from hypothesis import given, strategies as st

from informer.testing.http.messages import BadMessageError, parse_head, response_head
from tests.support.objects import config_map

MAPS = "/api/v1/namespaces/default/configmaps"


class Wire:
    """A plain connection to a server."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.makefile("rb")

    def send(self, *lines: str, body: bytes = b"") -> None:
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(self.file.readline(), 16):
                body += self.file.read(size)
                self.file.readline()
            self.file.readline()
        else:
            body = self.file.read(int(headers.get("content-length", 0)))
        return status, headers, body


@pytest.fixture
def wire(server) -> Iterator[Wire]:
    """A connection to `server`."""
    with connect(server) as wire:
        yield wire


@contextmanager
def connect(server) -> Iterator[Wire]:
    with ExitStack() as stack:
        url = urlsplit(server.url)
        sock = stack.enter_context(socket.create_connection((url.hostname, url.port), timeout=10))
        wire = Wire(sock)
        stack.callback(wire.file.close)
        yield wire


def test_connection_serves_several_requests(server, wire):
    """The connection stays open until the client sends `Connection: close`."""
    for _ in range(3):
        wire.send("GET /healthz HTTP/1.1", "Host: x")
        assert wire.answer()[::2] == (200, b"ok")
    wire.send("GET /healthz HTTP/1.1", "Host: x", "Connection: close")
    status, headers, _ = wire.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert wire.file.read() == b""
    assert server.connection_count == 1


def test_a_refusal_keeps_the_connection(wire):
    """The connection stays open after a refusal."""
    wire.send("GET /api/v1/nothing HTTP/1.1", "Host: x")
    assert wire.answer()[0] == 404
    wire.send("GET /healthz HTTP/1.1", "Host: x")
    assert wire.answer()[0] == 200


def test_a_stream_keeps_the_connection_when_it_ends_properly(server, wire):
    """A watch ends with the last chunk, and the next request uses the same connection."""
    server.faults.short_watches()
    wire.send(f"GET {MAPS}?watch=1 HTTP/1.1", "Host: x")
    assert wire.answer()[::2] == (200, b"")
    wire.send("GET /healthz HTTP/1.1", "Host: x")
    assert wire.answer()[0] == 200


def test_pipelined_requests_are_answered_in_order(wire):
    """Pipelined requests are answered in order."""
    wire.send("GET /healthz HTTP/1.1", "Host: x", body=b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
    assert wire.answer()[2] == b"ok"
    assert json.loads(wire.answer()[2])["major"] == "1"


def test_http_1_0_connection_is_closed(wire):
    """The connection is closed, except when the client asks to keep it."""
    wire.send("GET /healthz HTTP/1.0", "Connection: keep-alive")
    assert wire.answer()[0] == 200
    wire.send("GET /healthz HTTP/1.0")
    assert wire.answer()[0] == 200
    assert wire.file.read() == b""


def test_a_body_may_come_in_pieces(wire):
    """A body is read no matter how it is split into packets."""
    body = json.dumps(config_map("a")).encode()
    head = f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for piece in (head[:20], head[20:] + body[:10], body[10:]):
        wire.sock.sendall(piece)
    assert wire.answer()[0] == 201


def test_a_body_may_come_in_chunks(wire):
    """A chunked body, with a chunk extension."""
    body = json.dumps(config_map("a")).encode()
    wire.send(f"POST {MAPS} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", "Content-Type: application/json")
    wire.sock.sendall(b"5;x=y\r\n" + body[:5] + b"\r\n%X\r\n" % (len(body) - 5))
    wire.sock.sendall(body[5:] + b"\r\n0\r\n\r\n")
    assert wire.answer()[0] == 201
    wire.send("GET /healthz HTTP/1.1", "Host: x")
    assert wire.answer()[0] == 200


def test_expect_100_continue(wire):
    """`Expect: 100-continue`, as curl sends it for long bodies."""
    body = json.dumps(config_map("a")).encode()
    wire.send(f"POST {MAPS} HTTP/1.1", "Host: x", "Expect: 100-continue", f"Content-Length: {len(body)}")
    assert wire.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert wire.file.readline() == b"\r\n"
    wire.sock.sendall(body)
    assert wire.answer()[0] == 201


@pytest.mark.parametrize(
    "lines",
    [
        ["nonsense"],
        ["GET / HTTP/2"],
        ["GET  / HTTP/1.1"],
        ["GET example.com HTTP/1.1"],
        ["GET http://example.com/ HTTP/1.1"],
        ["OPTIONS * HTTP/1.1"],
        ["GET / HTTP/1.1", "no header"],
        ["GET / HTTP/1.1", " folded: x"],
        ["POST / HTTP/1.1", "Content-Length: many"],
        ["POST / HTTP/1.1", "Content-Length: -1"],
        ["POST / HTTP/1.1", "Content-Length: 2", "Content-Length: 2"],
    ],
    ids=lambda lines: lines[-1][:30],
)
def test_invalid_request_is_400(wire, lines):
    """400, and the connection is closed; the server continues."""
    wire.send(*lines)
    status, headers, body = wire.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert body.startswith(b"400 Bad Request: ")
    assert wire.file.read() == b""


def test_a_body_that_is_too_long_is_413(wire):
    """The server does not read it."""
    wire.send("POST / HTTP/1.1", "Host: x", "Content-Length: 99999999999")
    assert wire.answer()[0] == 413


def test_invalid_chunk_is_400(wire):
    """The size of a chunk has to be a number."""
    wire.send(f"POST {MAPS} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", body=b"xyz\r\n")
    assert wire.answer()[0] == 400


def test_a_body_whose_end_comes_late(wire):
    """The last line end of a chunked body may come with the next request."""
    wire.send(f"POST {MAPS} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", "Content-Type: application/json")
    body = json.dumps(config_map("a")).encode()
    wire.sock.sendall(b"%X\r\n%s\r\n0\r\n" % (len(body), body))
    assert wire.answer()[0] == 201
    wire.send("\r\nGET /healthz HTTP/1.1", "Host: x")
    assert wire.answer()[0] == 200


@pytest.mark.parametrize("begun", [b"", b"GET /heal", b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf"])
def test_server_survives_a_client_that_disconnects_early(server, begun):
    """The connection's thread ends without an answer, and the server continues."""
    with connect(server) as wire:
        wire.sock.sendall(begun)
    with connect(server) as wire:
        wire.send("GET /healthz HTTP/1.1", "Host: x")
        assert wire.answer()[0] == 200


def test_path_is_unquoted(server, wire):
    """Escapes in a path are decoded: role names may contain a colon or a space."""
    server.create({"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "system:a b"}})
    wire.send("GET /apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/system%3Aa%20b HTTP/1.1", "Host: x")
    assert wire.answer()[0] == 200


# Parsing and formatting


def test_the_head_of_a_request():
    """Names of headers are in lower case; values of repeated headers are joined."""
    head = parse_head(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: a\r\naccept:  b \r\nContent-Length: 3")
    assert (head.method, head.path, head.query, head.content_length) == ("GET", "/a", {"b": "c"}, 3)
    assert head.headers == {"host": "x", "accept": "a, b", "content-length": "3"}


@given(st.binary(max_size=80))
def test_parse_head_raises_no_other_error(data):
    """`parse_head` raises no error other than BadMessageError."""
    with suppress(BadMessageError):
        parse_head(data)


def test_the_head_of_a_response():
    """A status code without a known reason phrase is allowed."""
    assert response_head(200, {"A": "b"}) == b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    assert response_head(799, {}).startswith(b"HTTP/1.1 799 ")
