"""Checks of arguments that users pass, made before anything is stored or started."""

from __future__ import annotations

from typing import Any

__all__ = ["check_callable"]


def check_callable(what: str, function: Any, *, or_none: bool = False) -> None:
    """Checks that an argument is callable.

    Args:
        what: the argument's name, for the message.
        function: the argument.
        or_none: whether None is allowed too.

    Raises:
        TypeError: the argument is not callable; the message names it and its type.
    """
    if not callable(function) and not (or_none and function is None):
        raise TypeError(f"{what} must be callable, not {type(function).__name__}")
