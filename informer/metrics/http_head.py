"""Parses the heads of HTTP requests and writes those of answers, as far as the metrics server needs it."""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

from informer.metrics.pages import Answer, Request, text_answer

__all__ = ["MAX_HEAD_BYTES", "Head", "format_head", "parse_head"]

# Prometheus sends about 500 bytes.
MAX_HEAD_BYTES = 8192

_END = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.[0-9]")


class Head(NamedTuple):
    """The parts of a request's head that the server uses."""

    method: str
    request: Request


def parse_head(raw: bytes | bytearray, known: int = 0) -> Head | Answer | None:
    """Reads the head of a request.

    Args:
        raw: the bytes received so far.
        known: how many of them an earlier call has searched for the end of the head.

    Returns:
        The head; the answer to bytes that are not a request; None while the head is incomplete.
    """
    end = _END.search(raw, max(0, known - 3), MAX_HEAD_BYTES)
    if end is None:
        if len(raw) < MAX_HEAD_BYTES:
            return None
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return text_answer(status, f"the request's head is too large: the limit is {MAX_HEAD_BYTES} bytes\n")
    line, *lines = raw[: end.start()].decode("latin-1").split("\n")
    found = _REQUEST_LINE.fullmatch(line.rstrip("\r"))
    if found is None:
        return text_answer(HTTPStatus.BAD_REQUEST, "not a request of HTTP/1.0 or HTTP/1.1\n")
    headers: dict[str, str] = {}
    for each in lines:
        name, _, value = each.partition(":")
        headers.setdefault(name.lower(), value.strip())
    path, _, query = found[2].partition("?")
    accept, encoding = headers.get("accept", ""), headers.get("accept-encoding", "")
    host, authorization = headers.get("host", ""), headers.get("authorization", "")
    return Head(found[1], Request(time.monotonic(), accept, encoding, query, path, host, authorization))


def format_head(answer: Answer) -> bytes:
    """Returns the head of an answer, after which the connection is closed. It does not say which software answers."""
    lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
