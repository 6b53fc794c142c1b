"""The part of HTTP/1.1 that an API server needs: it parses requests and writes responses. No I/O.

Source: RFC 9110 and RFC 9112.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

__all__ = ["BadMessageError", "Head", "Request", "chunk", "parse_head", "response_head"]

LAST_CHUNK = b"0\r\n\r\n"
MAX_HEAD_BYTES = 65536
MAX_BODY_BYTES = 64 << 20
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"))


class BadMessageError(ValueError):
    """The bytes are not an HTTP request; the message says why."""


class Head(NamedTuple):
    """A request without its body."""

    method: str
    target: str
    headers: Mapping[str, str]  # keys are in lower case
    keep_alive: bool
    content_length: int
    chunked: bool

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for "100 Continue" before it sends the body."""
        return self.headers.get("expect", "").lower() == "100-continue"


class Request(NamedTuple):
    """A complete request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, head: Head, body: bytes) -> Request:
        """Joins a head and its body, and splits the target into path and query."""
        path, _, query = head.target.partition("?")
        return cls(head.method, unquote(path), dict(parse_qsl(query, keep_blank_values=True)), head.headers, body)


def parse_head(data: bytes) -> Head:
    """Parses a request line and headers; `data` ends before the empty line.

    Raises:
        BadMessageError: the lines are not an HTTP request.
    """
    lines = data.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[0] not in _METHODS or not parts[2].startswith("HTTP/1."):
        raise BadMessageError("malformed HTTP request line")
    method, target, protocol = parts
    if not target.startswith("/"):
        raise BadMessageError(f"malformed request target {target[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadMessageError("malformed HTTP header")
        name = name.lower()
        value = value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection if protocol != "HTTP/1.0" else "keep-alive" in connection
    coding = headers.get("transfer-encoding", "").lower()
    if coding not in ("", "chunked"):
        raise BadMessageError(f"unsupported transfer encoding {coding!r}")
    return Head(method, target, headers, keep_alive, _content_length(headers), coding == "chunked")


def _content_length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise BadMessageError("bad Content-Length")
    length = int(text)
    if length > MAX_BODY_BYTES:
        raise BadMessageError("the request's body is too long")
    return length


def response_head(status: int, headers: Mapping[str, str]) -> bytes:
    """Returns a response's status line and headers, with the empty line that ends them."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Returns one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)
