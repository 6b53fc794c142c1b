"""Shows the beginning of what a server sent, for messages."""

from __future__ import annotations

__all__ = ["printable", "quoted_beginning"]


def printable(raw: bytes, most: int = 100) -> str:
    """Returns the first characters of a text on one line, without control characters.

    Args:
        raw: the text; bytes that are not UTF-8 are shown as replacement characters.
        most: the most characters to return. If there are more, "..." follows.
    """
    # A character has at most four bytes. Ten times as many allow for the indentation of a page.
    text = " ".join(raw[: 40 * most].decode(errors="replace").split())
    text = "".join(char if char.isprintable() else "�" for char in text)
    return text if len(text) <= most else text[:most].rstrip() + "..."


def quoted_beginning(body: bytes) -> str:
    """Returns how a body begins that is not the expected JSON, as the end of a message; "" where nothing may be quoted.

    Pages and short texts are quoted. JSON and protobuf are not: they may hold the data of a Secret.
    """
    head = body[:1000].lstrip()
    if not head:
        return ""
    if not head.startswith(b"<") and (head.startswith(b"k8s\0") or any(mark in head for mark in b'{["')):
        return ""
    return f', beginning with "{printable(head)}"'
