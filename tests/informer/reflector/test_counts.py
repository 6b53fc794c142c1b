"""Counters of a reflector's lists, watches and errors, and the kinds of errors."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from informer.errors import InformerError
from informer.reflector.counts import ReflectorCounts, error_kind
from informer.reflector.health import describe_failure
from watch.errors import ApiError
from watch.stream_watcher import report_error


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class OfficialError(Exception):
    """An error in the official client's form."""

    status = 403
    reason = "Forbidden"
    body = b""
    headers: dict[str, str] = {}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ApiError(401, "Unauthorized", ""), "401"),
        (ApiError(410, "Gone", ""), "410"),
        (ApiError(0, "Expired", ""), "410"),
        (ApiError(0, "TooManyRequests", ""), "429"),
        (ApiError(503, "", ""), "503"),
        (ApiError(200, "", ""), "other"),
        (ApiError(10**9, "", ""), "other"),
        (ApiError.from_status(report_error(ValueError("x"))), "decode"),
        (OfficialError(), "403"),
        (ConnectionRefusedError("x"), "refused"),
        (TimeoutError("x"), "timeout"),
        (ConnectionResetError("x"), "connection"),
        (OSError("x"), "connection"),
        (ssl.SSLError("x"), "tls"),
        (caused_by(ConnectionError("x"), ssl.SSLError("y")), "tls"),
        (InformerError("x"), "other"),
        (KeyError("x"), "other"),
    ],
    ids=repr,
)
def test_errors_have_one_of_few_kinds(error: Exception, kind: str) -> None:
    """An error with its context has the same kind, except that a time-out becomes a ConnectionError."""
    assert error_kind(error) == kind
    assert error_kind(describe_failure(error, "list", "pods")) == kind or kind == "timeout"


def test_a_circle_of_causes_is_not_followed_for_ever() -> None:
    """Only the first causes are looked at."""
    first, second = ConnectionError("1"), ConnectionError("2")
    first.__cause__, second.__cause__ = second, first
    assert error_kind(first) == "connection"


def counts(*steps: tuple[Any, ...]) -> ReflectorCounts:
    made = ReflectorCounts()
    for name, *values in steps:
        keywords = {"with_list": values.pop()} if name == "watch_opened" else {}
        getattr(made, name)(*values, **keywords)
    return made


LIST = ("list_complete", 1.0, 10)
STREAM, WATCH, END = ("watch_opened", True), ("watch_opened", False), ("watch_ended", 5.0, 3)


@pytest.mark.parametrize(
    ("steps", "relists", "reconnects"),
    [
        ((), 0, 0),
        ((LIST, WATCH), 0, 0),
        ((LIST, WATCH, END, WATCH, END, WATCH), 0, 2),
        ((LIST, WATCH, END, LIST, WATCH), 1, 0),
        ((LIST, END, WATCH), 0, 0),
        ((STREAM, LIST, END), 0, 0),
        ((STREAM, LIST, END, WATCH, END), 0, 1),
        ((STREAM, END, LIST, WATCH), 0, 0),
        ((STREAM, LIST, END, STREAM, LIST, END, WATCH), 1, 1),
    ],
    ids=[
        "nothing",
        "a list and its watch",
        "two reconnects",
        "a relist",
        "the watch call fails once",
        "a streamed list is its own watch",
        "reconnect after a streamed list",
        "a list in place of a stream",
        "a streamed relist",
    ],
)
def test_relists_and_reconnects_are_counted(steps: tuple[Any, ...], relists: int, reconnects: int) -> None:
    """A relist is a list after the first one; a reconnect is a watch after a watch."""
    made = counts(*steps)
    assert (made.relists, made.reconnects) == (relists, reconnects)


def test_durations_are_summed_up() -> None:
    """Each sum comes with the number of values. The end of a watch that was not open is not counted."""
    made = counts(END, LIST, WATCH, END, END, LIST)
    assert (made.watch_seconds.count, made.watch_seconds.total, made.watch_events.total) == (1, 5.0, 3)
    assert (made.list_seconds.count, made.list_seconds.total, made.list_items.total) == (2, 2.0, 20)


def test_errors_are_counted_by_verb_and_kind() -> None:
    """Each pair has a count of its own."""
    made = counts(("failed", "list", "410"), ("failed", "list", "410"), ("failed", "follow", "silence"))
    assert made.errors == {("list", "410"): 2, ("follow", "silence"): 1}
