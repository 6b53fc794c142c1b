"""Finds out which version of Kubernetes a server runs."""

from __future__ import annotations

import re
import time
from typing import Any
from weakref import WeakKeyDictionary

from informer.transport.transport import Transport
from watch.concurrency import Lock
from watch.errors import ApiError

__all__ = ["Version", "server_version"]

Version = tuple[int, int]
"""Major and minor version, such as (1, 37)."""

# Seconds for which an answer counts, since a server may be upgraded while an informer runs. A failure is retried sooner.
_KEPT = 600.0
_FAILURE_KEPT = 60.0
_TIMEOUT = 5.0
_LEADING_DIGITS = re.compile(r"\d{1,4}")

# The version and until when it counts. Guarded by _lock, which is not held during a request: two threads may send one each.
_versions: WeakKeyDictionary[Transport, tuple[Version | None, float]] = WeakKeyDictionary()
_lock = Lock()


def server_version(transport: Transport) -> Version | None:
    """Returns a server's version; None if it cannot be found out. A version is cached for ten minutes, a failure for one.

    Raises:
        RequestCancelledError: the request's scope was cancelled.

    Threads: any; may block for one request.
    """
    now = time.monotonic()
    with _lock:
        version, until = _versions.get(transport, (None, 0.0))
    if now < until:
        return version
    try:
        version = _version_in(transport.send_json("GET", "/version", timeout=_TIMEOUT))
    except (ApiError, ConnectionError):
        # If the server is down or refuses requests, the list or watch that follows reports it.
        version = None
    with _lock:
        _versions[transport] = version, now + (_FAILURE_KEPT if version is None else _KEPT)
    return version


def _version_in(answer: Any) -> Version | None:
    fields = answer if isinstance(answer, dict) else {}
    # Cloud providers append a "+", as in "37+".
    numbers = [_LEADING_DIGITS.match(text) if isinstance(text := fields.get(name), str) else None for name in _FIELDS]
    major, minor = numbers
    return None if major is None or minor is None else (int(major[0]), int(minor[0]))


_FIELDS = ("major", "minor")
