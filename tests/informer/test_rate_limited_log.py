"""Log lines at a bounded rate."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from informer.rate_limited_log import LimitedLog

_log = logging.getLogger("limited")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as the test moves it."""
    time = [100.0]
    monkeypatch.setattr("informer.rate_limited_log.time.monotonic", lambda: time[0])
    return time


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_few_lines_a_period_pass(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """The rest is counted, and told with the first line of the next period."""
    limited = LimitedLog(_log, burst=2, period=10)
    for i in range(5):
        limited.log(logging.ERROR, "line %d", i)
    assert messages(caplog) == ["line 0", "line 1"]
    now[0] += 10
    limited.log(logging.ERROR, "line %d", 5)
    assert messages(caplog)[2:] == ["3 more lines like the following were not logged", "line 5"]


def test_a_quiet_period_tells_nothing_extra(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing was held back, nothing is said of it."""
    limited = LimitedLog(_log, burst=2, period=10)
    for _ in range(3):
        limited.log(logging.ERROR, "line")
        now[0] += 10
    assert messages(caplog) == ["line"] * 3


def test_the_exception_goes_along(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """As with `Logger.log`."""
    error = ValueError("bad")
    LimitedLog(_log).log(logging.WARNING, "failed", exc_info=error)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_level_that_is_off_uses_up_nothing(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Debug lines that nobody sees must not hold back the warning that follows."""
    caplog.set_level(logging.WARNING, "limited")
    limited = LimitedLog(_log, burst=1, period=10)
    for _ in range(10):
        limited.log(logging.DEBUG, "unseen")
    limited.log(logging.WARNING, "seen")
    assert messages(caplog) == ["seen"]


def test_threads_share_the_bound(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Ten threads with a hundred lines each: five lines."""
    limited = LimitedLog(_log)
    threads = [
        threading.Thread(target=lambda: [limited.log(logging.ERROR, "line") for _ in range(100)]) for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert messages(caplog) == ["line"] * 5


def test_arguments_are_not_formatted_for_lines_that_are_held_back(now: list[float]) -> None:
    """What is expensive to show costs nothing when it is not shown."""

    class Shown:
        times = 0

        def __str__(self) -> str:
            self.times += 1
            return "x"

    shown: Any = Shown()
    limited = LimitedLog(_log, burst=1)
    limited.log(logging.ERROR, "%s", shown)
    once = shown.times
    for _ in range(5):
        limited.log(logging.ERROR, "%s", shown)
    assert shown.times == once


def test_one_kind_of_line_does_not_hold_back_another(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """A flood of one failure must not hide the first line of the next."""
    limited = LimitedLog(_log, burst=1)
    for i in range(5):
        limited.log(logging.ERROR, "flood %d", i)
    limited.log(logging.ERROR, "something else")
    assert messages(caplog) == ["flood 0", "something else"]
