"""Makes text from servers, tenants and files safe for logs, messages and terminals.

The result is one line of bounded length, without control characters and without credentials.
"""

from __future__ import annotations

import re
import urllib.parse

__all__ = ["hide_secret", "printable", "quoted_beginning", "without_secrets"]

_MAX_SECRETS = 64
# Hiding shorter secrets would garble ordinary words, and such a secret is easy to guess anyway.
_SHORTEST_SECRET = 6
# Secrets shorter than this, such as passwords, are hidden only as whole words: "secret" does not hide a part of "secrets".
_SHORTEST_PART = 16
_HIDDEN = "[redacted]"
# Private keys, as PEM and as the base64 of PEM that kubeconfigs contain.
_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)|LS0tLS1CRUdJTi[\w+/=]*", re.DOTALL
)
_KEY_MARKS = ("PRIVATE KEY-----", "LS0tLS1CRUdJTi")

# The newest first. The tuple is replaced as a whole, without a lock. If two threads add a secret at once, one of the two may be
# lost until the next request adds it again.
_secrets: tuple[str, ...] = ()


def hide_secret(secret: str) -> None:
    """Makes `printable` and `without_secrets` hide a credential from now on. The newest 64 are remembered.

    Args:
        secret: a token, password or the like; one that is shorter than six characters is ignored.

    Threads: any.
    """
    global _secrets  # noqa: PLW0603
    secret = secret.strip()
    if len(secret) < _SHORTEST_SECRET:
        return
    for form in (urllib.parse.quote(secret, safe=""), secret):
        if form not in _secrets:
            _secrets = (form, *_secrets)[:_MAX_SECRETS]


def without_secrets(text: str) -> str:
    """Returns a text with "[redacted]" in place of private keys and of each credential that `hide_secret` was called with.

    The time grows with the length of the text, so callers bound text that a server sent.
    """
    found = [secret for secret in _secrets if secret in text]
    # The longest first: a shorter secret may be a part of it.
    for secret in sorted(found, key=len, reverse=True):
        if len(secret) >= _SHORTEST_PART:
            text = text.replace(secret, _HIDDEN)
        else:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _HIDDEN, text)
    if any(mark in text for mark in _KEY_MARKS):
        text = _KEY.sub(_HIDDEN, text)
    return text


def printable(raw: bytes | str, most: int = 100) -> str:
    """Returns the first characters of a text on one line, without control characters and without credentials.

    Controls, bidi controls, zero-width characters, line and paragraph separators, and lone surrogates become spaces or
    replacement characters.

    Args:
        raw: the text; bytes that are not UTF-8 are shown as replacement characters.
        most: the most characters to return. If there are more, "..." follows.
    """
    # A character has at most four bytes; ten times as many allow for the indentation of a page. Only the window is searched for
    # credentials, so it is longer by the longest of them: one that begins in the shown part is then in it as a whole.
    window = 40 * most + 4 * max(map(len, _secrets), default=0)
    text = raw[:window].decode(errors="replace") if isinstance(raw, bytes) else str.__str__(raw[:window])
    text = without_secrets(text)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else "�" for char in " ".join(text.split()))
    return text if len(text) <= most else text[:most].rstrip() + "..."


def quoted_beginning(body: bytes) -> str:
    """Returns ', beginning with "..."' for a message about a body that is not the expected JSON; "" if it must not be quoted.

    Web pages and plain texts are quoted. JSON and protobuf are not: they may hold the data of a Secret.
    """
    head = body[:1000].lstrip()
    if not head:
        return ""
    if not head.startswith(b"<") and (head.startswith(b"k8s\0") or any(mark in head for mark in b'{["')):
        return ""
    return f', beginning with "{printable(body)}"'
