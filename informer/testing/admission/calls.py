"""Calls a webhook over HTTPS."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
from collections.abc import Mapping
from typing import Any

import msgspec
import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError, TimeoutError as HTTPTimeoutError

from informer.testing.admission.reviews import CallError
from informer.testing.storage.statuses import generic

__all__ = ["call_webhook"]

_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, */*",
    "User-Agent": "kube-apiserver-admission",
}
_NO_SERVICES = (
    "the embedded API server has no service network: give clientConfig.url with clientConfig.caBundle "
    "instead of clientConfig.service"
)


def call_webhook(config: Mapping[str, Any], timeout: int, review: Mapping[str, Any]) -> bytes:
    """Sends an AdmissionReview to a webhook and returns the body of its answer.

    Args:
        config: the webhook's clientConfig.
        timeout: in seconds.
        review: the AdmissionReview.

    Raises:
        CallError: the webhook cannot be reached, or answers with a failure.
    """
    url = config.get("url")
    if not url:
        raise CallError(f"failed to call webhook: {_NO_SERVICES}")
    url = f"{url}?timeout={timeout}s"
    try:
        context = _context(config.get("caBundle") or "")
        with urllib3.PoolManager(ssl_context=context, retries=False, timeout=urllib3.Timeout(total=timeout)) as http:
            answer = http.request("POST", url, body=msgspec.json.encode(review), headers=_HEADERS, redirect=False)
    except (HTTPError, OSError) as error:
        raise CallError(f'failed to call webhook: Post "{url}": {_cause_of(error)}') from error
    if not 200 <= answer.status < 300:
        raise CallError(f"failed to call webhook: {_failure_in(answer.status, answer.data)}")
    return answer.data


def _context(ca_bundle: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=base64.b64decode(ca_bundle).decode() or None)
    except (ValueError, ssl.SSLError) as error:
        raise CallError(f"could not get REST client: clientConfig.caBundle has no certificates: {error}") from error
    # As lenient as the real server, which takes authorities without key identifiers.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _cause_of(error: Exception) -> str:
    if isinstance(error, NewConnectionError):
        return f"dial tcp: connect: {str(error.__cause__ or error).lower()}"
    if isinstance(error, HTTPTimeoutError):
        return "context deadline exceeded"
    if isinstance(error, SSLError):
        return f"tls: failed to verify certificate: {error}"
    return str(error)


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
