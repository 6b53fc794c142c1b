"""Comparing messages with what a test expects, where "<...>" stands for a value that the test does not know."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.waiting import eventually


def matches(text: str, message: str) -> bool:
    """Whether a text is the message."""
    return re.fullmatch(".+".join(re.escape(part) for part in message.split("<...>")), text, re.DOTALL) is not None


def raised_by(call: Callable[[], object]) -> str:
    """Calls a function, which must raise; returns the message of its error."""
    with pytest.raises(Exception) as caught:
        call()
    error = caught.value
    # A KeyError shows the repr of its message.
    return str(error.args[0]) if isinstance(error, KeyError) else str(error)


def check_raised(call: Callable[[], object], message: str) -> None:
    """Calls a function, which must raise an error with this message."""
    said = raised_by(call)
    assert matches(said, message), said


def check_logged(caplog: pytest.LogCaptureFixture, message: str) -> None:
    """Waits until the message is logged at warning or above."""
    assert eventually(
        lambda: any(record.levelno >= 30 and matches(record.getMessage(), message) for record in list(caplog.records))
    ), (message, caplog.messages)


def ids(table: list[Any]) -> list[str]:
    """Returns an id for each row of a table: the end of the row's last column, the message."""
    return [re.sub(r"\W+", "-", str(row[-1]))[:50].strip("-") for row in table]
