"""Shows the beginning of what a server sent, for messages."""

from __future__ import annotations

__all__ = ["printable"]


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
