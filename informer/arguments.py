"""Whether what a user passed can be called, said before anything is stored or started."""

from __future__ import annotations

from typing import Any

__all__ = ["check_callable"]


def check_callable(what: str, function: Any, *, or_none: bool = False) -> None:
    """Refuses what cannot be called.

    Args:
        what: the argument's name, for the message.
        function: what was passed.
        or_none: whether None will do.

    Raises:
        TypeError: it cannot be called; the message names the argument and what was passed.
    """
    if not callable(function) and not (or_none and function is None):
        raise TypeError(f"{what} must be callable, not {type(function).__name__}")
