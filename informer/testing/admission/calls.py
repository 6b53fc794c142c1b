"""Calls webhooks over HTTPS."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from typing_extensions import override

from informer.testing.admission.reviews import CallError
from informer.testing.storage.statuses import generic
from watch.concurrency import Lock

__all__ = ["WebhookCalls"]

_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, */*",
    "User-Agent": "kube-apiserver-admission",
}
_MOST_BYTES = 3 << 20  # of an answer
_NO_SERVICES = (
    "the embedded API server has no service network: give clientConfig.url with clientConfig.caBundle "
    "instead of clientConfig.service"
)


class WebhookCalls:
    """Sends AdmissionReviews to webhooks. Threads: any."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sockets: set[socket.socket] = set()  # of the calls under way; guarded by _lock
        self._closed = False  # guarded by _lock

    def close(self) -> None:
        """Interrupts the calls under way, and refuses others. Idempotent."""
        with self._lock:
            self._closed = True
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def call(self, config: Mapping[str, Any], timeout: int, review: Mapping[str, Any]) -> bytes:
        """Sends an AdmissionReview to a webhook and returns the body of its answer.

        Args:
            config: the webhook's clientConfig.
            timeout: in seconds, for the call as a whole.
            review: the AdmissionReview.

        Raises:
            CallError: the webhook cannot be reached, or answers with a failure.
        """
        url = config.get("url")
        if not url:
            raise CallError(f"failed to call webhook: {_NO_SERVICES}")
        url = f"{url}?timeout={timeout}s"
        context = _context(config.get("caBundle") or "")
        parts = urlsplit(url)
        connection = http.client.HTTPSConnection(parts.netloc)
        try:
            timed = _TimedSocket(connection.host, connection.port, context, timeout)
            with timed.sock, self._interruptible(timed.sock):
                connection.sock = timed
                connection.request("POST", f"{parts.path or '/'}?{parts.query}", msgspec.json.encode(review), _HEADERS)
                answer = connection.getresponse()
                status, body = answer.status, answer.read(_MOST_BYTES + 1)
        except (http.client.HTTPException, OSError) as error:
            raise CallError(f'failed to call webhook: Post "{url}": {_cause_of(error)}') from error
        if len(body) > _MOST_BYTES:
            raise CallError(f"failed to call webhook: the answer is longer than {_MOST_BYTES} bytes")
        if not 200 <= status < 300:
            raise CallError(f"failed to call webhook: {_failure_in(status, body)}")
        return body

    @contextlib.contextmanager
    def _interruptible(self, sock: socket.socket) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise ConnectionAbortedError("the API server is stopped")
            self._sockets.add(sock)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(sock)


class _TimedSocket(io.RawIOBase):
    """A TLS connection whose time-out is for everything together: connecting, sending and receiving."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout
        plain = socket.create_connection((host, port), timeout)
        try:
            plain.settimeout(self._left())
            self.sock = context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        self.sock.settimeout(self._left())
        return self.sock.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        """Sends bytes."""
        rest = memoryview(data)
        while rest:
            self.sock.settimeout(self._left())
            rest = rest[self.sock.send(rest) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Returns a reader, as `http.client` wants it."""
        return io.BufferedReader(self)

    @override
    def close(self) -> None:
        # The response of `http.client` flushes its reader later, so the reader must not count as closed.
        self.sock.close()


def _context(ca_bundle: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=base64.b64decode(ca_bundle).decode() or None)
    except (ValueError, ssl.SSLError) as error:
        raise CallError(f"could not get REST client: clientConfig.caBundle has no certificates: {error}") from error
    # As lenient as the real server, which takes authorities without key identifiers.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _cause_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "context deadline exceeded"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {error.verify_message}"
    return str(error) or type(error).__name__


def _failure_in(status: int, body: bytes) -> str:
    """Returns the message of an HTTP failure, as the real server's client words it."""
    text = body.decode(errors="replace").strip()
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict) and found.get("kind") == "Status" and found.get("message"):
            return str(found["message"])
    if status >= 500 and text:
        return f"an error on the server ({json.dumps(text)}) has prevented the request from succeeding"
    return str(generic(status).message)
