"""What keeps a reflector from syncing: errors with their context, the warning, and signs of life."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from informer import Backoff, Reflector, Store
from informer.errors import InformerError
from informer.rate_limited_log import rate_limited
from informer.reflector.counts import ReflectorCounts
from informer.reflector.health import Health, answer_of, describe_failure
from watch import ApiError, Event
from watch.concurrency import Signal

EXPIRED = ApiError(410, "Expired", "too old resource version")
FORBIDDEN = ApiError(403, "Forbidden", "no", 3.0, details={"name": "x"})


def health(clock: Any, on_failure: Any = None) -> Health:
    made = Health("pods", clock, rate_limited(logging.getLogger("informer.test")), ReflectorCounts(), on_failure)
    made.begin()
    return made


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        pytest.param(
            ApiError(404, "NotFound", "gone"), ApiError, "(it does not serve this resource", id="missing-resource"
        ),
        pytest.param(
            ApiError(404, "NotFound", "gone (is x?)"), ApiError, "gone (is x?; it does not serve", id="with-hint"
        ),
        pytest.param(ApiError(500, "", ""), ApiError, "the server gave no reason", id="no-message"),
        pytest.param(ConnectionRefusedError("x"), ConnectionRefusedError, "x", id="refused"),
        pytest.param(TimeoutError(), ConnectionError, "TimeoutError", id="no-text"),
        pytest.param(KeyError("x"), InformerError, "'x'", id="a-bug"),
    ],
)
def test_a_described_failure_keeps_its_base_class_and_its_cause(error: Exception, kind: type, text: str) -> None:
    """The text says what failed."""
    described = describe_failure(error, "list", "pods")
    assert isinstance(described, kind)
    assert "failed to list pods: " in str(described)
    assert text in str(described)
    assert ") (" not in str(described)
    assert described.__cause__ is error


def test_a_described_answer_keeps_what_the_server_said() -> None:
    """Status, reason, Retry-After and details are those of the answer."""
    described: Any = describe_failure(FORBIDDEN, "watch", "pods")
    assert (described.status, described.reason, described.retry_after, described.details) == (
        403,
        "Forbidden",
        3.0,
        {"name": "x"},
    )


def test_an_official_exception_is_an_answer() -> None:
    """The official client's `ApiException` becomes an `ApiError`; any other exception stays as it is."""
    from kubernetes.client import ApiException

    answer = answer_of(ApiException(status=410, reason="Gone"))
    assert isinstance(answer, ApiError)
    assert answer.is_expired
    other = ValueError("x")
    assert answer_of(other) is other


def test_the_error_lasts_until_the_next_sync(auto_clock: Any) -> None:
    """A recorded failure is counted by verb and kind, and is the error until a list is stored."""
    made = health(auto_clock)
    failure = made.record_failure(FORBIDDEN, "list")
    assert made.error is failure
    assert made._counts.errors == {("list", "403"): 1}
    made.record_sync()
    assert made.error is None


def test_an_expired_watch_is_not_an_error(auto_clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A 410 is counted but neither kept nor logged as a warning; any other ERROR event is both."""
    made = health(auto_clock)
    with caplog.at_level(logging.INFO):
        made.record_error_event(EXPIRED)
        assert made.error is None
        assert caplog.text == ""
        made.record_error_event(FORBIDDEN)
    assert made.error is FORBIDDEN
    assert "pods: the watch ended: 403" in caplog.text
    assert made._counts.errors == {("follow", "410"): 1, ("follow", "403"): 1}


def test_a_failed_round_is_reported_to_the_handler_or_else_to_the_log(
    auto_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With a handler, the log stays silent."""
    reported: list[Exception] = []
    health(auto_clock, reported.append).report(FORBIDDEN)
    assert reported == [FORBIDDEN]
    assert caplog.text == ""
    health(auto_clock).report(FORBIDDEN)
    assert "pods: 403 Forbidden: no" in caplog.text


def test_a_handler_that_raises_is_logged(auto_clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Its exception does not reach the reflector."""

    def fail(error: Exception) -> None:
        raise RuntimeError("mine")

    health(auto_clock, fail).report(FORBIDDEN)
    assert "pods: the watch error handler failed" in caplog.text
    assert "RuntimeError: mine" in caplog.text


def test_a_missing_sync_is_logged_once_after_ten_seconds(auto_clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The warning has the cause. It comes when it is due, within a wait that is longer."""
    made = health(auto_clock)
    made.record_failure(FORBIDDEN, "list")
    made.wait(auto_clock, Signal(), 9.0)
    assert caplog.text == ""
    made.wait(auto_clock, Signal(), 60.0)
    assert auto_clock.waits == [9.0, 1.0, 59.0]
    assert "pods: not synced after 10 s: 403 Forbidden: failed to list pods: no" in caplog.text
    made.record_failure(FORBIDDEN, "list")
    assert caplog.text.count("not synced") == 1


def test_a_sync_in_time_is_not_followed_by_a_warning(auto_clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Later failures are reported per round, and do not count as a missing sync."""
    made = health(auto_clock)
    made.record_sync()
    made.wait(auto_clock, Signal(), 60.0)
    made.record_failure(FORBIDDEN, "list")
    assert auto_clock.waits == [60.0]
    assert "not synced" not in caplog.text


def test_a_stop_ends_a_wait_without_a_warning(auto_clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A reflector that is stopped before ten seconds have passed says nothing."""
    stop = Signal()
    stop.set()
    health(auto_clock).wait(auto_clock, stop, 60.0)
    assert auto_clock.waits == [10.0]
    assert caplog.text == ""


def test_the_age_counts_from_the_last_activity(auto_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is None until the server has sent something, and is measured by the system's clock."""
    now = 100.0
    monkeypatch.setattr("informer.reflector.health.time.monotonic", lambda: now)
    made = health(auto_clock)
    assert made.last_event_age is None
    assert made.record_activity() == 100.0
    now = 107.0
    assert made.last_event_age == 7.0


# Seen through a reflector


def test_a_reflector_reports_its_state(script: Any, run: Any) -> None:
    """`is_watching`, `sync_error` and `last_event_age`: at first, while failing, while watching, and at the end."""
    looks: list[Any] = []
    errors = [ApiError(403, "Forbidden", "pods is forbidden")]

    def look(made: Reflector) -> Any:
        error = made.sync_error()
        return made.is_watching, None if error is None else str(error), made.last_event_age is not None

    def second_list(options: Any) -> Any:
        looks.append(look(made))
        return script.pods("1")

    def watch(options: Any) -> Any:
        looks.append(look(made))
        return script.watcher(in_watch, lambda: stop.set() or [script.bookmark("3")])

    def in_watch() -> list[Event[Any]]:
        looks.append(look(made))
        return [script.bookmark("2")]

    stop = Signal()
    source = script.source([*errors, second_list, script.pods("1")], [ConnectionRefusedError("refused"), watch])
    made = Reflector(source, Store(), name="pods", backoff=Backoff(initial=0.001, maximum=0.001))
    assert look(made) == (False, None, False)
    run(made.run, stop).result()
    assert looks == [
        (False, "403 Forbidden: failed to list pods: pods is forbidden", False),
        (False, "failed to watch pods: refused", True),
        (True, None, True),
    ]
    assert look(made) == (False, None, True)


def test_the_cause_is_logged_after_ten_seconds_without_a_sync(
    script: Any, auto_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the server's message."""
    forbidden = ApiError(403, "Forbidden", 'pods is forbidden: User "x" cannot list resource "pods"')

    def fails(options: Any) -> Any:
        auto_clock.now += 6
        raise forbidden

    stop = Signal()
    reported: list[Exception] = []

    def handler(reflector: Reflector, error: Exception) -> None:
        reported.append(error)
        if len(reported) == 4:
            stop.set()

    made = Reflector(
        script.source([fails] * 4),
        Store(),
        name="pods",
        clock=auto_clock,
        backoff=Backoff(initial=0, maximum=0),
        watch_error_handler=handler,
    )
    with caplog.at_level(logging.WARNING):
        made.run(stop)
    assert caplog.text.count("pods: not synced after 12 s: ") == 1
    assert 'User "x" cannot list' in caplog.text


def test_the_cause_is_logged_in_time_within_a_long_wait(
    script: Any, auto_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A Retry-After of one minute does not delay the line."""
    at: list[float] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "not synced" in record.getMessage():
                at.append(auto_clock.now)

    handler = Handler()
    logging.getLogger("informer.reflector.health").addHandler(handler)
    try:
        throttled = ApiError(429, "TooManyRequests", "be patient", 60.0)
        source = script.source(watches=[throttled, [script.bookmark("1", end="true")]], supports_watch_list=True)
        Reflector(source, Store(), name="pods", clock=auto_clock, backoff=Backoff(jitter=0)).list_and_watch(Signal())
    finally:
        logging.getLogger("informer.reflector.health").removeHandler(handler)
    assert at == [10.0]
    assert auto_clock.now == 60.0
    assert "pods: not synced after 10 s: 429 TooManyRequests: failed to watch pods: be patient" in caplog.text


def test_lists_and_bookmarks_count_as_activity(script: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`last_event_age` is small right after a page of a list, or a bookmark."""
    now = [100.0]
    monkeypatch.setattr("informer.reflector.health.time.monotonic", lambda: now[0])
    ages: list[float | None] = []
    stop = Signal()

    def second_page(options: Any) -> Any:
        now[0] += 5
        ages.append(made.last_event_age)
        return script.pods("")

    def bookmark() -> list[Event[Any]]:
        now[0] += 30
        ages.append(made.last_event_age)
        return [script.bookmark("2")]

    def end() -> list[Event[Any]]:
        now[0] += 1
        ages.append(made.last_event_age)
        stop.set()
        return [script.bookmark("3")]

    source = script.source(
        [script.pods("1", "a", continue_="C"), second_page], [lambda options: script.watcher(bookmark, end)]
    )
    made = Reflector(source, Store())
    made.run(stop)
    assert ages == [5, 30, 1]
