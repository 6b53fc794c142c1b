"""The part of HTTP/1.1 that an API server needs: it parses requests and writes responses. No I/O.

It is stricter than Go's HTTP server, behind which the real API server runs: what no client sends is refused.

Source: RFC 9110 and RFC 9112.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.client import responses
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

__all__ = ["BadMessageError", "Request", "parse_head", "response_head"]

END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
MAX_HEAD_BYTES = 1 << 20
MAX_BODY_BYTES = 64 << 20
_REQUEST_LINE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (/[^\x00-\x20\x7f]*) HTTP/(\d)\.(\d)\Z", re.ASCII)
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\x00-\x08\x0a-\x1f\x7f]*)\Z")
_HOST = re.compile(r"[A-Za-z0-9!$%&'()*+,\-.:;=\[\]_~]*\Z")
# int() refuses numbers of many thousand digits.
_LENGTH = re.compile(r"[0-9]{1,18}\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class BadMessageError(ValueError):
    """The bytes are not an HTTP request that can be answered.

    Attributes:
        status: the status code of the answer; the message says why.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Request(NamedTuple):
    """A request."""

    method: str
    path: str
    parameters: tuple[tuple[str, str], ...]  # of the query, in order
    query: Mapping[str, str]  # of a repeated parameter the first value
    headers: Mapping[str, str]  # keys are in lower case
    content_length: int
    chunked: bool
    is_http_1_0: bool = False
    body: bytes = b""

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to use the connection for another request."""
        connection = self.headers.get("connection", "").lower()
        return "keep-alive" in connection if self.is_http_1_0 else "close" not in connection

    def values(self, name: str) -> list[str]:
        """Returns the values of a parameter of the query."""
        return [value for each, value in self.parameters if each == name]


def parse_head(data: bytes) -> Request:
    """Parses a request line and headers; `data` ends before the empty line.

    Raises:
        BadMessageError: the lines are not an HTTP request.
    """
    line, *lines = data.decode("latin-1").replace("\r\n", "\n").split("\n")
    found = _REQUEST_LINE.match(line)
    if found is None:
        raise BadMessageError("malformed HTTP request line")
    method, target, major, minor = found.groups()
    if major != "1":
        raise BadMessageError("unsupported protocol version", 505)
    is_http_1_0 = minor == "0"
    path, _, query = target.partition("?")
    if _BAD_ESCAPE.search(path):
        raise BadMessageError(f"malformed request target {target[:80]!r}")
    headers = _headers(lines)
    if "host" not in headers and not is_http_1_0:
        raise BadMessageError("missing required Host header")
    if not _HOST.match(headers.get("host", "")):  # or there are two of them
        raise BadMessageError("malformed Host header")
    # HTTP/1.0 does not have transfer encodings: the header is ignored.
    coding = "" if is_http_1_0 else headers.get("transfer-encoding", "").lower()
    if coding not in ("", "chunked"):
        raise BadMessageError(f"unsupported transfer encoding {coding!r}", 501)
    length = headers.get("content-length", "0")
    if not _LENGTH.match(length):
        raise BadMessageError("bad Content-Length")
    if int(length) > MAX_BODY_BYTES:
        raise BadMessageError("the request's body is too long", 413)
    parameters = _parameters(query)
    # Reversed, since the first of several values counts.
    values = dict(reversed(parameters))
    return Request(method, unquote(path), parameters, values, headers, int(length), coding == "chunked", is_http_1_0)


def _headers(lines: list[str]) -> dict[str, str]:
    """Returns the headers by their names in lower case, with the values of repeated ones joined.

    A line that begins with white space continues the one before.
    """
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        if name and line[:1] in (" ", "\t"):
            headers[name] += f" {line.strip()}"
            continue
        found = _HEADER.match(line)
        if found is None:
            raise BadMessageError("malformed HTTP header")
        name, value = found[1].lower(), found[2].strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _parameters(query: str) -> tuple[tuple[str, str], ...]:
    """Splits a query; malformed parameters are left out, as Go does."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair and ";" not in pair]
    return tuple(
        (unquote_plus(name), unquote_plus(value))
        for name, _, value in pairs
        if not _BAD_ESCAPE.search(name) and not _BAD_ESCAPE.search(value)
    )


def response_head(status: int, headers: Mapping[str, str], *, is_http_1_0: bool = False) -> bytes:
    """Returns a response's status line and headers, with the empty line that ends them."""
    first = f"HTTP/1.{0 if is_http_1_0 else 1} {status} {responses.get(status, 'Unknown')}"
    lines = [first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")
