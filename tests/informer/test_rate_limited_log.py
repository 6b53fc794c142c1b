"""Loggers that bound the rate of their lines."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from informer.rate_limited_log import rate_limited

_log = logging.getLogger("limited")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The present time; the test changes it."""
    time = [100.0]
    monkeypatch.setattr("informer.rate_limited_log.time.monotonic", lambda: time[0])
    return time


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_burst_passes_in_each_period(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Further lines are counted; the number is logged before the first line of the next period."""
    limited = rate_limited(_log, burst=2, period=10)
    for i in range(5):
        limited.error("line %d", i)
    assert messages(caplog) == ["line 0", "line 1"]
    now[0] += 10
    limited.error("line %d", 5)
    assert messages(caplog)[2:] == ["3 more lines like this one were not logged within 10 s: line 1", "line 5"]


def test_nothing_extra_is_logged_after_a_quiet_period(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """No line was suppressed, so no number is logged."""
    limited = rate_limited(_log, burst=2, period=10)
    for _ in range(3):
        limited.error("line")
        now[0] += 10
    assert messages(caplog) == ["line"] * 3


def test_exception_is_shown(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """It is shown as by any other logger."""
    error = ValueError("bad")
    rate_limited(_log).warning("failed", exc_info=error)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_lines_below_the_level_do_not_count(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Debug lines that are not shown must not suppress the warning that follows."""
    caplog.set_level(logging.WARNING, "limited")
    limited = rate_limited(_log, burst=1, period=10)
    for _ in range(10):
        limited.debug("unseen")
    limited.warning("seen")
    assert messages(caplog) == ["seen"]


def test_threads_share_the_limit(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Ten threads with a hundred lines each: five lines."""
    limited = rate_limited(_log)
    threads = [threading.Thread(target=lambda: [limited.error("line") for _ in range(100)]) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert messages(caplog) == ["line"] * 5


def test_arguments_of_suppressed_lines_are_not_formatted(now: list[float]) -> None:
    """An object that is expensive to format costs nothing then."""

    class Shown:
        times = 0

        def __str__(self) -> str:
            self.times += 1
            return "x"

    shown: Any = Shown()
    limited = rate_limited(_log, burst=1)
    limited.error("%s", shown)
    once = shown.times
    for _ in range(5):
        limited.error("%s", shown)
    assert shown.times == once


def test_messages_are_counted_separately(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """A flood of one failure must not hide the first line of the next."""
    limited = rate_limited(_log, burst=1)
    for i in range(5):
        limited.error("flood %d", i)
    limited.error("something else")
    assert messages(caplog) == ["flood 0", "something else"]


def test_loggers_are_counted_separately(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """A flood from one informer must not suppress the lines of another one, which uses the same module's logger."""
    first, second = rate_limited(_log, burst=1), rate_limited(_log, burst=1)
    for _ in range(5):
        first.error("line")
    second.error("line")
    assert messages(caplog) == ["line", "line"]


def test_level_of_the_parent_may_change_later(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """The level is read at each call, though loggers outside of logging's tree are not told of changes."""
    limited = rate_limited(_log)
    caplog.set_level(logging.ERROR, "limited")
    limited.warning("hidden")
    caplog.set_level(logging.WARNING, "limited")
    limited.warning("shown")
    assert messages(caplog) == ["shown"]
    assert caplog.records[0].name == "limited"
