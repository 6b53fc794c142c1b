"""Loggers that bound the rate of their lines."""

from __future__ import annotations

import gc
import logging
import threading
from typing import Any

import pytest

from informer.rate_limited_log import rate_limited
from tests.support.waiting import eventually

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
    assert messages(caplog)[2:] == ["3 more lines like this one were not logged: line 1", "line 5"]


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


# The line about suppressed lines


def test_the_number_of_suppressed_lines_is_logged_when_the_period_ends(caplog: pytest.LogCaptureFixture) -> None:
    """No further line is needed; a later one is not preceded by the number again."""
    limited = rate_limited(_log, burst=2, period=0.1)
    for i in range(5):
        limited.error("line %d", i)
    assert eventually(lambda: len(caplog.records) == 3)
    assert messages(caplog) == ["line 0", "line 1", "3 more lines like this one were not logged: line 1"]
    assert caplog.records[2].levelno == logging.ERROR
    limited.error("line %d", 5)
    assert messages(caplog)[3:] == ["line 5"]


def test_all_loggers_share_one_thread_that_ends(caplog: pytest.LogCaptureFixture) -> None:
    """It ends when every number is logged, and starts again for the next one."""
    for _ in range(2):
        caplog.clear()
        loggers = [rate_limited(_log, burst=1, period=0.1) for _ in range(20)]
        for limited in loggers:
            for _ in range(3):
                limited.warning("line")
        assert len(summary_threads()) == 1
        assert eventually(lambda: len([text for text in messages(caplog) if text.startswith("2 more lines")]) == 20)
        assert eventually(lambda: not summary_threads())


def test_a_logger_that_is_gone_does_not_keep_the_thread() -> None:
    """Its number is lost, as its informer is."""
    limited = rate_limited(_log, burst=1, period=3600)
    for _ in range(3):
        limited.warning("line")
    assert summary_threads()
    del limited
    gc.collect()
    assert eventually(lambda: not summary_threads())


def test_start_over_logs_the_numbers_and_begins_a_period(caplog: pytest.LogCaptureFixture) -> None:
    """For a logger whose subject has ended or recovered; its thread ends, too."""
    limited = rate_limited(_log, burst=1, period=3600)
    for _ in range(3):
        limited.warning("line")
    limited.start_over()
    limited.warning("line")
    assert messages(caplog) == ["line", "2 more lines like this one were not logged: line", "line"]
    assert eventually(lambda: not summary_threads())
    limited.start_over()
    assert len(caplog.records) == 3


def test_lines_may_be_counted_by_their_text(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Then the arguments are part of the message; a line whose arguments do not fit is counted by its format."""
    limited = rate_limited(_log, burst=1, by_text=True)
    for name in ("a", "b", "a", "b", "a"):
        limited.warning("%s failed", name)
    assert messages(caplog) == ["a failed", "b failed"]
    limited.start_over()
    assert [text.partition(" ")[0] for text in messages(caplog)[2:]] == ["2", "1"]


def test_the_number_of_messages_that_are_counted_is_bounded(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """The oldest is forgotten."""
    limited = rate_limited(_log, burst=1, by_text=True)
    for i in range(150):
        limited.warning("line %d", i)
    limited.warning("line %d", 149)
    limited.warning("line %d", 0)
    assert len(caplog.records) == 151


def summary_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "informer-log-summaries"]
