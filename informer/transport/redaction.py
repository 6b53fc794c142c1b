"""Registers the credentials of requests, so that they are redacted from messages and logs, also if a server repeats them."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterable, Mapping

from watch.printable import hide_secret

__all__ = ["hide_credential", "hide_credentials"]

_SECRET_NAME = re.compile(r"auth|cookie|key|password|secret|token", re.IGNORECASE)


def hide_credentials(headers: Mapping[str, str], parameters: Iterable[tuple[str, str]]) -> None:
    """Hides the credentials of a request from logs and messages. It is called for each request, since credentials are renewed.

    Args:
        headers: the request's headers. Those whose names contain a word such as "auth" or "token" are credentials.
        parameters: the query parameters that are credentials.
    """
    for name, value in headers.items():
        if _SECRET_NAME.search(name):
            hide_credential(value)
    for _, value in parameters:
        hide_secret(value)


def hide_credential(value: str) -> None:
    """Hides the credentials in a header's value, such as "Bearer abc", "Basic abc" or "session=abc; other=def"."""
    value = str(value)
    scheme, _, rest = value.strip().partition(" ")
    hide_secret(rest or scheme)
    for part in value.split(";"):
        hide_secret(part.partition("=")[2])
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            hide_secret(base64.b64decode(rest).decode().partition(":")[2])
