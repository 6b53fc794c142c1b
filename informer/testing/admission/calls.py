"""Calls webhooks over HTTPS."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from informer.testing.admission.reviews import CallError
from watch.concurrency import Lock

__all__ = ["WebhookCalls"]

_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, */*",
    "User-Agent": "kube-apiserver-admission",
}
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
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not the TLS layer, which the call still uses

    def call(self, config: Mapping[str, Any], timeout: int, review: Mapping[str, Any]) -> bytes:
        """Sends an AdmissionReview to a webhook and returns the body of its answer.

        Args:
            config: the webhook's clientConfig.
            timeout: for each step of the call, in seconds.
            review: the AdmissionReview.

        Raises:
            CallError: the webhook cannot be reached, or answers with a failure.
        """
        if not config.get("url"):
            raise CallError(f"failed to call webhook: {_NO_SERVICES}")
        url = f"{config['url']}?timeout={timeout}s"
        parts = urlsplit(url)
        context = _context(config.get("caBundle") or "")
        try:
            connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=context)
            with contextlib.closing(connection):
                connection.connect()
                with self._interruptible(connection.sock):
                    path = f"{parts.path or '/'}?{parts.query}"
                    connection.request("POST", path, msgspec.json.encode(review), _HEADERS)
                    answer = connection.getresponse()
                    status, body = answer.status, answer.read()
        except (http.client.HTTPException, OSError) as error:
            cause = "context deadline exceeded" if isinstance(error, TimeoutError) else error
            raise CallError(f'failed to call webhook: Post "{url}": {cause}') from error
        if not 200 <= status < 300:
            text = body[:500].decode(errors="replace").strip()
            raise CallError(f"failed to call webhook: it answers with the HTTP status {status}: {text}")
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


def _context(ca_bundle: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=base64.b64decode(ca_bundle).decode() or None)
    except (ValueError, ssl.SSLError) as error:
        raise CallError(f"could not get REST client: clientConfig.caBundle has no certificates: {error}") from error
    # As lenient as the real server, which takes authorities without key identifiers.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
