"""Errors that end a command with one line and an exit code."""

from __future__ import annotations

import sys

from informer.errors import ApiError
from watch.printable import printable

__all__ = ["CommandError", "explain", "note", "warn"]

_MAX_MESSAGE = 1024  # characters


class CommandError(Exception):
    """Ends the command: its text is printed as one line, and the exit code is 2."""

    def __str__(self) -> str:
        return printable(super().__str__(), _MAX_MESSAGE)


def warn(text: object) -> None:
    """Prints a warning of one line to stderr."""
    note(f"warning: {text}")


def note(text: str) -> None:
    """Prints one line to stderr."""
    print(printable(text, _MAX_MESSAGE), file=sys.stderr, flush=True)  # noqa: T201


def explain(error: Exception, where: str, resource: str) -> str:
    """Returns one line about a failed list.

    Args:
        error: why it failed.
        where: the server's address.
        resource: such as "pods".
    """
    if isinstance(error, ApiError) and error.status == 401:
        return f"{where} does not accept these credentials (401 Unauthorized): cannot list {resource}"
    if isinstance(error, ApiError) and error.status == 403:
        return f"not allowed to list {resource} (403 Forbidden): {error.message}"
    return str(error)
