"""Writing to standard output, which may be a pipe or a file."""

from __future__ import annotations

import os
from typing import TextIO

from informer.cli.errors import CommandError

__all__ = ["write_text"]


def write_text(out: TextIO, text: str) -> bool:
    """Writes text at once.

    Returns:
        Whether anyone reads it: False after the reader of a pipe has exited (`| head`).

    Raises:
        CommandError: the output cannot be written, for example because the disk is full.
    """
    try:
        out.write(text)
        out.flush()
    except BrokenPipeError:
        _discard(out)
        return False
    except OSError as error:
        _discard(out)
        raise CommandError(f"cannot write the output: {error.strerror}") from error
    return True


def _discard(out: TextIO) -> None:
    """Python writes what is still buffered when the process exits, and would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
