"""A server that refuses every request, with the certificate of the API server: it stands in for an overloaded control plane."""

from __future__ import annotations

import itertools
import json
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.http_servers import Connection, HTTPServer, Request
from watch.concurrency import Lock


class Answer(NamedTuple):
    """A refusal as kube-apiserver sends it; `retry_after` is in seconds."""

    status: int
    retry_after: int | None

    def body(self) -> tuple[str, bytes]:
        """Returns the content type and the bytes of the body."""
        if self.status == 429:
            return "text/plain; charset=utf-8", b"Too many requests, please try again later.\n"
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "the server is currently unable to handle the request",
            "reason": "ServiceUnavailable",
            "code": self.status,
        }
        return "application/json", json.dumps(status).encode()


PLAIN = (Answer(429, None), Answer(503, None))
WITH_RETRY_AFTER = (Answer(429, 1), Answer(503, 1))


class Refuser:
    """An HTTPS server that refuses every request and then closes the connection.

    Args:
        certificate: the certificate of the server that it stands in for, a PEM file.
        key: the certificate's private key, a PEM file.

    Threads: any thread may call its methods.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._lock = Lock()
        self._refused: list[tuple[float, Answer]] = []  # guarded by _lock, like _answers
        self._answers = itertools.cycle(PLAIN)
        self._server = HTTPServer(self._answer, context)
        self.address = ("127.0.0.1", self._server.port)

    def begin(self, answers: Sequence[Answer]) -> None:
        """Gives these answers in turn from now on, and forgets the refusals so far."""
        with self._lock:
            self._answers = itertools.cycle(answers)
            self._refused.clear()

    def refused(self) -> list[tuple[float, Answer]]:
        """Returns the answers since `begin`, each with the monotonic time at which it was given."""
        with self._lock:
            return list(self._refused)

    def close(self) -> None:
        """Closes all connections and stops serving."""
        self._server.close()

    def _answer(self, request: Request, connection: Connection) -> None:
        with self._lock:
            answer = next(self._answers)
            self._refused.append((time.monotonic(), answer))
        kind, body = answer.body()
        headers = {} if answer.retry_after is None else {"Retry_After": str(answer.retry_after)}
        connection.answer(body, answer.status, Content_Type=kind, **headers)
        connection.cut()
