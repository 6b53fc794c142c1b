"""The part of HTTP/1.1 that an API server needs: it parses requests and writes responses. No I/O.

What is accepted and how the rest is refused follows Go's HTTP server, behind which the real API server runs.

Source: RFC 9110 and RFC 9112; net/http server.go, request.go and transfer.go of Go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

__all__ = ["BadMessageError", "Head", "Request", "chunk", "end_of_head", "parse_head", "response_head"]

LAST_CHUNK = b"0\r\n\r\n"
MAX_HEAD_BYTES = 1 << 20
MAX_BODY_BYTES = 64 << 20
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VERSION = re.compile(r"HTTP/(\d)\.(\d)\Z", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9!$%&'()*+,\-.:;=\[\]_~]*\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"https?://([^/?]*)", re.IGNORECASE)


class BadMessageError(ValueError):
    """The bytes are not an HTTP request that can be answered.

    Attributes:
        status: the status code of the answer; the message says why.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Head(NamedTuple):
    """A request without its body."""

    method: str
    target: str
    headers: Mapping[str, str]  # keys are in lower case
    keep_alive: bool
    content_length: int
    chunked: bool
    is_http_1_0: bool = False

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for "100 Continue" before it sends the body."""
        return "expect" in self.headers


class Request(NamedTuple):
    """A complete request."""

    method: str
    path: str
    query: Mapping[str, str]  # of a repeated parameter the first value
    headers: Mapping[str, str]
    body: bytes
    parameters: tuple[tuple[str, str], ...] = ()  # the query's, with repeated ones

    @classmethod
    def of(cls, head: Head, body: bytes) -> Request:
        """Joins a head and its body, and splits the target into path and query."""
        path, _, query = head.target.partition("?")
        parameters = _parameters(query)
        return cls(head.method, unquote(path), dict(reversed(parameters)), head.headers, body, parameters)

    def values(self, name: str) -> list[str]:
        """Returns the values of a parameter of the query."""
        return [value for each, value in self.parameters if each == name]


def _parameters(query: str) -> tuple[tuple[str, str], ...]:
    """Splits a query; malformed parameters are left out, as Go does."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair and ";" not in pair]
    return tuple(
        (unquote_plus(name), unquote_plus(value))
        for name, _, value in pairs
        if not _BAD_ESCAPE.search(name) and not _BAD_ESCAPE.search(value)
    )


def end_of_head(data: bytes) -> tuple[int, int]:
    """Returns where a head ends and where its body begins; (-1, -1) if the end has not come."""
    found = _END_OF_HEAD.search(data)
    return found.span() if found else (-1, -1)


def parse_head(data: bytes) -> Head:
    """Parses a request line and headers; `data` ends before the empty line.

    Raises:
        BadMessageError: the lines are not an HTTP request.
    """
    line, *lines = [each.removesuffix("\r") for each in data.decode("latin-1").split("\n")]
    method, target, is_http_1_0 = _request_line(line)
    headers = _headers(lines)
    target = _checked_target(method, target, headers, is_http_1_0=is_http_1_0)
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise BadMessageError("the server does not fulfil this expectation", 417)
    connection = headers.get("connection", "").lower()
    keep_alive = "keep-alive" in connection if is_http_1_0 else "close" not in connection
    # HTTP/1.0 does not have transfer encodings: the header is ignored.
    coding = "" if is_http_1_0 else headers.get("transfer-encoding", "").lower()
    if coding not in ("", "chunked"):
        raise BadMessageError(f"unsupported transfer encoding {coding!r}", 501)
    return Head(method, target, headers, keep_alive, _content_length(headers), coding == "chunked", is_http_1_0)


def _request_line(line: str) -> tuple[str, str, bool]:
    """Returns the method, the target, and whether the protocol is HTTP/1.0."""
    method, _, rest = line.partition(" ")
    target, _, protocol = rest.partition(" ")
    version = _VERSION.match(protocol)
    if not target or version is None or not _TOKEN.match(method):
        raise BadMessageError("malformed HTTP request line")
    if version[1] != "1":
        raise BadMessageError("unsupported protocol version", 505)
    return method, target, version[2] == "0"


def _headers(lines: list[str]) -> dict[str, str]:
    """Returns the headers by their names in lower case; a line that begins with white space continues the one before."""
    headers: dict[str, str] = {}
    last = ""
    for line in lines:
        if line[:1] in (" ", "\t") and last:
            headers[last] = f"{headers[last]} {line.strip()}"
            continue
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.match(name) or _CONTROL.search(value):
            raise BadMessageError("malformed HTTP header")
        last = name.lower()
        value = value.strip(" \t")
        if last == "host" and last in headers:
            raise BadMessageError("too many Host headers")
        if last == "content-length" and headers.get(last) == value:
            continue
        headers[last] = f"{headers[last]}, {value}" if last in headers else value
    return headers


def _checked_target(method: str, target: str, headers: Mapping[str, str], *, is_http_1_0: bool) -> str:
    """Returns the target without scheme and host."""
    host = headers.get("host")
    if host is None and not is_http_1_0:
        raise BadMessageError("missing required Host header")
    if not _HOST.match(host or ""):
        raise BadMessageError("malformed Host header")
    absolute = _ABSOLUTE.match(target)
    path = target[absolute.end() :] or "/" if absolute else target
    if path[:1] not in ("/", "?") and path != "*" and method != "CONNECT":
        raise BadMessageError(f"malformed request target {target[:80]!r}")
    if _CONTROL.search(path) or _BAD_ESCAPE.search(path.partition("?")[0]):
        raise BadMessageError(f"malformed request target {target[:80]!r}")
    return path


def _content_length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length", "0")
    # int() refuses numbers of many thousand digits.
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadMessageError("bad Content-Length")
    length = int(text)
    if length > MAX_BODY_BYTES:
        raise BadMessageError("the request's body is too long", 413)
    return length


def response_head(status: int, headers: Mapping[str, str], *, is_http_1_0: bool = False) -> bytes:
    """Returns a response's status line and headers, with the empty line that ends them."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    first = f"HTTP/1.{0 if is_http_1_0 else 1} {status} {phrase}"
    lines = [first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Returns one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)
