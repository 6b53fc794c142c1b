"""The loggers of this project. Each message is one line of bounded length, without control characters or credentials."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from watch.printable import printable, without_secrets

__all__ = ["FIT_FOR_LOGS", "get_logger"]

_MAX_VALUE = 1024
"""The most characters of one value in a line, and of one line of a traceback."""
_MAX_PART = 64 * 1024
"""The most characters of one exception's text that are read."""
_HEADINGS = ("Traceback (most recent call last):", "During handling of the above", "The above exception was")
_MAX_LINES = (100, 200)
"""The most lines of a traceback that are kept: at its beginning and at its end."""


def get_logger(name: str) -> logging.Logger:
    """Returns a logger whose lines are fit for a log. All modules of this project get their loggers here.

    The filter is on the logger itself, so that it applies to every handler.

    Args:
        name: the module's `__name__`.
    """
    logger = logging.getLogger(name)
    logger.addFilter(FIT_FOR_LOGS)
    return logger


class _FitForLogs(logging.Filter):
    """Makes the values in a record printable: they may come from a server, a tenant or a user's function. Drops no record.

    `record.msg` stays a template, for handlers that group by it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        args: Any = record.args
        if isinstance(args, Mapping):
            record.args = {name: _fit(value) for name, value in args.items()}
        elif args:
            record.args = tuple(_fit(value) for value in args)
        else:
            record.msg = _fit(record.msg)
        if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None and not record.exc_text:
            parts = traceback.format_exception(*record.exc_info)
            shown = [without_secrets(part[:_MAX_PART]) for part in parts]
            record.exc_text = "\n".join(_bounded(_lines_of(shown, record.exc_info[1])))
            if shown != parts:
                # A handler that formats the exception by itself would show the credential, or an endless text.
                record.exc_info = None
        return True


FIT_FOR_LOGS = _FitForLogs()


class _Fit:
    """Wraps a value; its text is made printable when a handler formats the line."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __str__(self) -> str:
        return printable(str(self._value), _MAX_VALUE)

    def __repr__(self) -> str:
        return printable(repr(self._value), _MAX_VALUE)


def _fit(value: Any) -> Any:
    if value is None or isinstance(value, (int, float)):
        return value
    return printable(value, _MAX_VALUE) if isinstance(value, str) else _Fit(value)


def _lines_of(parts: Iterable[str], error: BaseException | None) -> Iterator[str]:
    """Yields the lines of a traceback. Those of an exception's text or note are indented: they must not pose as log lines."""
    flush = [*_HEADINGS]
    while error is not None and len(flush) < 20:
        flush += [type(error).__qualname__, f"{type(error).__module__}.{type(error).__qualname__}"]
        error = error.__cause__ or error.__context__
    for part in parts:
        for number, line in enumerate(part.strip("\n").split("\n")):
            bare = line.lstrip(" ")
            indent = line[: len(line) - len(bare)][:40]
            if not indent and (number or not line.startswith(tuple(flush))):
                indent = " " * 4
            yield indent + printable(bare, _MAX_VALUE)


def _bounded(lines: Iterator[str]) -> list[str]:
    kept = list(lines)
    first, last = _MAX_LINES
    left_out = len(kept) - first - last
    return kept if left_out <= 0 else [*kept[:first], f"    ... {left_out} lines ...", *kept[-last:]]
