"""A server that refuses everything, over TLS with another server's certificate: what an overloaded control plane looks like."""

from __future__ import annotations

import contextlib
import itertools
import json
import socketserver
import ssl
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import NamedTuple

from watch.concurrency import Lock, Worker


class Answer(NamedTuple):
    """A refusal, as kube-apiserver words it."""

    status: int
    retry_after: int | None

    def body(self) -> tuple[str, bytes]:
        """The content type and the bytes."""
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
    """Refuses all requests, each on a connection of its own.

    Args:
        certificate: of the server that it stands in for, a PEM file.
        key: the certificate's.

    Threads: any.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._lock = Lock()
        self._refused: list[tuple[float, Answer]] = []  # guarded by _lock, as is the next
        self._answers = itertools.cycle(PLAIN)
        refuser = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                refuser._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            # `server_close` waits for the threads otherwise.
            daemon_threads = False

            def finish_request(self, request, address) -> None:
                # The client may go away at any moment, in the handshake too.
                with contextlib.suppress(OSError):
                    request.settimeout(10)
                    with refuser._context.wrap_socket(request, server_side=True) as secure:
                        Handler(secure, address, self)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address: tuple[str, int] = self._server.server_address
        self._worker = Worker(lambda: self._server.serve_forever(0.05), "refuser").start()

    def begin(self, answers: Sequence[Answer]) -> None:
        """From now on it gives these answers in turn; those so far are forgotten."""
        with self._lock:
            self._answers = itertools.cycle(answers)
            self._refused.clear()

    def refused(self) -> list[tuple[float, Answer]]:
        """The answers since `begin`, and when each was given, by the monotonic clock."""
        with self._lock:
            return list(self._refused)

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._worker.join(10)
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self._lock:
            answer = next(self._answers)
            self._refused.append((time.monotonic(), answer))
        kind, body = answer.body()
        handler.send_response(answer.status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        if answer.retry_after is not None:
            handler.send_header("Retry-After", str(answer.retry_after))
        handler.end_headers()
        handler.wfile.write(body)
