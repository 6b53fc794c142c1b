"""The project's loggers: hostile values in every line, and a walk over the code for loggers that are made elsewhere."""

from __future__ import annotations

import ast
import io
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from informer.rate_limited_log import rate_limited
from tests.watch.test_printable import HOSTILE
from watch.logs import get_logger
from watch.printable import hide_secret

ROOT = Path(__file__).resolve().parents[2]
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


class Odd:
    """A value whose text and repr come from outside."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a plain handler of the project's loggers writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("informer")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


@hostile
@pytest.mark.parametrize("limited", [False, True], ids=["plain", "rate-limited"])
def test_a_line_is_one_printable_line(text: str, limited: bool, written: io.StringIO) -> None:
    """Each log line is one printable line, whatever its values and however they are formatted."""
    made = get_logger("informer.test_logs")
    log = rate_limited(made) if limited else made
    log.error("%s failed: %s", text, ValueError(text))
    log.error("%r of %r", text, Odd(text))
    log.error("%(name)s", {"name": text})
    log.error("%.100r is %d of %.1f", Odd(text), 3, 0.5)
    log.error(text)
    log.error(ValueError(text))
    lines = written.getvalue().split("\n")
    assert len(lines) == 7
    assert all(line.isprintable() for line in lines)
    assert all(line.startswith("ERROR ") for line in lines[:-1])


@hostile
def test_a_traceback_cannot_forge_a_line(text: str, written: io.StringIO) -> None:
    """A line break in an exception's text continues in an indented line. The traceback itself stays."""
    try:
        raise ValueError(f"{text}\nERROR forged\x1b[2J")
    except ValueError as error:
        error.add_note(f"note {text}\nERROR forged")
        get_logger("informer.test_logs").exception("failed")
    first, second, *lines, last = written.getvalue().split("\n")
    assert (first, second, last) == ("ERROR failed", "Traceback (most recent call last):", "")
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if line.startswith("ERROR")] == []
    assert any(line.lstrip().startswith("raise ValueError(") for line in lines)


def test_a_line_is_bounded(written: io.StringIO) -> None:
    """15 MB in a message, an exception or a traceback do not fill the disk."""
    log = rate_limited(get_logger("informer.test_logs"), burst=1, by_text=True)
    for number in range(64):
        hide_secret(f"rotated-token-{number:06}")
    begun = time.process_time()
    for _ in range(3):
        log.error(
            "failed: %s, %r", "x" * 15_000_000, ValueError("y" * 15_000_000), exc_info=ValueError("z\n" * 500_000)
        )
    log.start_over()
    assert len(written.getvalue()) < 10_000
    assert time.process_time() - begun < 3


def test_credentials_are_hidden(written: io.StringIO) -> None:
    """Credentials are hidden in values, in lines without values, and in tracebacks, which a handler cannot format again."""
    secret = "tok-" + "Lg7_" * 12
    hide_secret(secret)
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger("informer").addHandler(handler)
    log = rate_limited(get_logger("informer.test_logs"), burst=1)
    try:
        try:
            raise ValueError(f"Bearer {secret}")
        except ValueError as error:
            for _ in range(2):
                log.exception("failed with %r", error)
            log.start_over()
            log.error("%s%s", "x" * 190, secret)
            log.error("%s%s", "x" * 190, secret)
            log.start_over()
    finally:
        logging.getLogger("informer").removeHandler(handler)
    assert "tok-Lg7" not in written.getvalue()
    assert written.getvalue().count("[redacted]") >= 4
    assert not any(secret in repr(record.__dict__) for record in records)


def test_values_that_do_not_fit_do_not_raise(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with any logger, a mistake in a log call does not raise in its caller."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log: Any = get_logger("informer.test_logs")
    log.error("%s %s", *["one"])
    log.error("no traceback", exc_info=(None, None, None))
    assert "no traceback" in written.getvalue()


def test_a_logger_is_made_once() -> None:
    """`get_logger` returns the logger of that name, and adds the filter only once."""
    made = get_logger("informer.test_logs")
    assert get_logger("informer.test_logs") is made is logging.getLogger("informer.test_logs")
    assert len(made.filters) == 1


# The code


def _log_calls(tree: ast.AST) -> list[str]:
    """What makes or uses a logger without the filter."""
    names = {
        "getLogger",
        "Logger",
        "debug",
        "info",
        "warning",
        "error",
        "exception",
        "critical",
        "log",
        "getLoggerClass",
    }
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    used = [ast.unparse(func) for func in calls if isinstance(func, ast.Attribute) and func.attr in names]
    imported = [
        ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "logging"
    ]
    return [name for name in used if name.startswith("logging.")] + imported


def test_every_logger_has_the_filter() -> None:
    """No module makes a logger by itself, or logs to the root logger."""
    files = [path for package in ("informer", "watch") for path in (ROOT / package).rglob("*.py")]
    found = {
        f"{path.relative_to(ROOT)}: {call}"
        for path in files
        if path != ROOT / "watch/logs.py"
        for call in _log_calls(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set()
    assert _log_calls(ast.parse("import logging\nlogging.getLogger('x').error('y')")) != []


_FOREIGN = {"message", "reason", "namespace", "uid", "holder_identity", "kind", "api_version"}
# Values that were checked, or that are the user's own.
_OWN = {"named.kind", "item.kind"}


def _shown_in_errors(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The fields of foreign objects that an error's text shows as they are."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not ast.unparse(call.func).rpartition(".")[2].endswith("Error"):
            continue
        # An ApiError is printable by itself.
        if ast.unparse(call.func).endswith("ApiError"):
            continue
        for part in ast.walk(call):
            if isinstance(part, ast.FormattedValue) and part.conversion != ord("r"):
                value = part.value
                named = isinstance(value, ast.Attribute) and value.attr in _FOREIGN
                if (named or ".headers" in ast.unparse(value)) and ast.unparse(value) not in _OWN:
                    yield call.lineno, ast.unparse(value)


def test_errors_show_foreign_fields_printable() -> None:
    """A name, message or reason of an object or a Status is in an error's text by `printable` or as a repr."""
    files = [path for package in ("informer", "watch") for path in (ROOT / package).rglob("*.py")]
    found = {
        f"{path.relative_to(ROOT)}:{line}: {value}"
        for path in files
        if "testing" not in path.parts
        for line, value in _shown_in_errors(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set()
