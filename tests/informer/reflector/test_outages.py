"""Outages of a server, as a reflector sees them: what it reports, whom it wakes, and what it requests afterwards."""

from __future__ import annotations

import logging
import threading
import time
from random import Random
from typing import Any

import pytest

from informer import ApiError, Backoff, InformerError, Reflector, Store
from tests.support.waiting import DEADLINE, eventually
from watch import Event
from watch.concurrency import Signal

FAST = Backoff(initial=0.001, maximum=0.002)
SLOW = Backoff(initial=60, maximum=60, jitter=0)
REFUSED = ConnectionRefusedError("refused")
TOO_LARGE = ApiError(
    504, "Timeout", "Too large resource version: 20", details={"causes": [{"reason": "ResourceVersionTooLarge"}]}
)
SERVER = "https://outages.example.com"


def reflect(source: Any, **options: Any) -> Reflector:
    options.setdefault("backoff", FAST)
    return Reflector(source, Store(), name="pods", random=Random(1), **options)


# The history goes back


@pytest.mark.parametrize("watch_list", [False, True], ids=["list", "watch-list"])
@pytest.mark.parametrize("outage", ["refused", "silent"])
def test_a_history_that_went_back_is_noticed_before_the_watch_is_resumed(
    script: Any, run: Any, caplog: pytest.LogCaptureFixture, outage: str, watch_list: bool
) -> None:
    """kubernetes#107457. One object is requested, "too large" comes, and the newest state takes the cache's place."""
    before = [script.added("kept", "5"), script.added("ghost", "20"), script.bookmark("20", end="true")]
    after = [script.added("kept", "5"), script.bookmark("9", end="true")]
    quiet = script.watcher(hang=True)
    lists: list[Any] = [TOO_LARGE, script.pods("9", "kept")]
    watches: list[Any] = [quiet] if outage == "silent" else [REFUSED]
    if watch_list:
        first = script.watcher(before, hang=outage == "silent")
        # Two watches without an event in a row would end the round.
        watches = [first, script.watcher(after, hang=True)] if outage == "silent" else [first, REFUSED, after]
    else:
        lists.insert(0, script.pods("20", "kept", "ghost"))
    source = script.source(lists, watches, supports_watch_list=watch_list, hang=True)
    made = reflect(source, silence_timeout=0.05 if outage == "silent" else 60.0)
    stop = Signal()
    with caplog.at_level(logging.WARNING):
        task = run(made.run, stop)
        assert eventually(lambda: made.last_sync_resource_version == "9")
        assert eventually(lambda: made.is_watching)
    assert made.target is not None
    confirmation = source.list_calls[0 if watch_list else 1]
    assert (confirmation.resource_version, confirmation.resource_version_match, confirmation.limit) == (
        "20",
        "NotOlderThan",
        1,
    )
    if watch_list:
        assert [call.resource_version for call in source.watch_calls if call.send_initial_events] == ["", ""]
    else:
        assert source.list_versions == ["0", "20", ""]
    assert "the server has gone back to before resourceVersion 20" in caplog.text
    stop.set()
    task.result()


def test_without_an_outage_nothing_is_confirmed(script: Any, auto_clock: Any) -> None:
    """Watches that the server ends are resumed at once, and there is one list in all."""

    def lasted(options: Any) -> Any:
        auto_clock.now += 400
        return [script.bookmark("2")]

    source = script.source([script.pods("1")], [lasted] * 5)
    reflect(source, clock=auto_clock).list_and_watch(Signal())
    assert len(source.list_calls) == 1
    assert len(source.watch_calls) == 6


# A watch list that cannot begin


def test_a_watch_list_that_cannot_begin_shows_the_error_of_the_list(script: Any, run: Any) -> None:
    """controller-runtime#1085. "Too large" at the newest state hides why; the list of the same round tells it."""
    why = ApiError(500, "InternalError", "conversion webhook for example.com/v1 failed: connection refused")
    source = script.source([why] * 50, [TOO_LARGE] * 100, supports_watch_list=True)
    errors: list[Exception] = []
    made = reflect(source, watch_error_handler=lambda reflector, error: errors.append(error))
    stop = Signal()
    task = run(made.run, stop)
    assert eventually(lambda: made.sync_error() is not None and "conversion webhook" in str(made.sync_error()))
    assert eventually(lambda: any("conversion webhook" in str(error) for error in errors))
    stop.set()
    task.result()


# Other informers of the server


@pytest.mark.parametrize(
    "failure",
    [REFUSED, TimeoutError("no answer"), ApiError(503, "ServiceUnavailable", "no backend")],
    ids=["refused", "time-out", "bad-gateway"],
)
def test_one_that_reaches_the_server_wakes_the_others(script: Any, run: Any, failure: Exception) -> None:
    """They wait between rounds and before a watch, for up to a minute; all try at once when the first gets an answer."""
    go = threading.Event()

    def when_up(options: Any) -> Any:
        assert go.wait(DEADLINE)
        return script.pods("1")

    first = script.source([failure, when_up], hang=True)
    between_rounds = script.source([failure, script.pods("1")], hang=True)
    # A 503 ends the round of a watch, too.
    before_watch = script.source([script.pods("1")] * 3, [failure], hang=True)
    others = [between_rounds, before_watch]
    stop = Signal()
    for source in (first, *others):
        source.server = SERVER
    tasks = [run(reflect(source, backoff=SLOW).run, stop) for source in others]
    assert eventually(lambda: between_rounds.calls and before_watch.watch_calls)
    tasks.append(run(reflect(first).run, stop))
    assert first.wait_for_calls(2)
    begun = time.monotonic()
    go.set()
    assert eventually(lambda: len(between_rounds.list_calls) == 2 and len(before_watch.watch_calls) == 2, 10)
    assert time.monotonic() - begun < 10
    stop.set()
    for task in tasks:
        task.result()


@pytest.mark.parametrize(
    "failure",
    [
        ApiError(403, "Forbidden", "no"),
        ApiError(429, "TooManyRequests", "slow down", 60.0),
        ApiError(503, "ServiceUnavailable", "later", 60.0),
    ],
    ids=["forbidden", "throttled", "retry-after"],
)
def test_one_that_was_answered_keeps_its_wait(script: Any, run: Any, failure: Exception) -> None:
    """A refusal and a Retry-After do not change when another informer reaches the server."""
    waiting = script.source([failure, script.pods("1")], hang=True)
    other = script.source([REFUSED, script.pods("1")], hang=True)
    waiting.server = other.server = SERVER
    stop = Signal()
    tasks = [run(reflect(waiting, backoff=SLOW).run, stop)]
    assert waiting.wait_for_calls(1)
    tasks.append(run(reflect(other).run, stop))
    assert other.wait_for_calls(1, "watch")
    assert not eventually(lambda: len(waiting.calls) > 1, 1.0)
    stop.set()
    for task in tasks:
        task.result()


# Reports


def test_each_failure_within_a_round_reaches_the_error_handler(script: Any, run: Any) -> None:
    """Refused connections after the first list: one call of the handler per attempt, and a time since when."""
    errors: list[Exception] = []
    source = script.source([script.pods("1"), *[REFUSED] * 4, script.pods("1")], [REFUSED], hang=True)
    made = reflect(source, watch_error_handler=lambda reflector, error: errors.append(error))
    begun = time.time()
    assert made.failing_since is None
    stop, since = Signal(), []
    source_list = source.list

    def list_and_look(options: Any) -> Any:
        since.append(made.failing_since)
        return source_list(options)

    source.list = list_and_look
    task = run(made.run, stop)
    assert eventually(lambda: made.is_watching)
    assert [str(error) for error in errors] == [
        "failed to watch pods: refused",
        *["failed to list pods: refused"] * 4,
    ]
    assert since[0] is None
    # The time of the first failure stays.
    assert begun <= since[1] <= time.time()
    assert set(since[1:]) == {since[1]}
    assert eventually(lambda: made.sync_error() is None)
    assert made.failing_since is None
    stop.set()
    task.result()


def test_a_lasting_error_is_logged_twice_and_again_after_a_recovery(
    script: Any, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """kubernetes#142256. An absent resource must not fill the log; the number of suppressed lines is logged at the end."""
    absent = ApiError(404, "NotFound", "the server could not find the requested resource")
    source = script.source([*[absent] * 30, script.pods("1"), *[absent] * 30, script.pods("2")], hang=True)
    source._watches.extend([[Event("ERROR", {"code": 500})]])
    made = reflect(source)
    stop = Signal()
    with caplog.at_level(logging.WARNING):
        task = run(made.run, stop)
        assert eventually(lambda: made.last_sync_resource_version == "2")
        assert eventually(lambda: made.is_watching)
        stop.set()
        task.result()
    lines = [record.getMessage() for record in caplog.records if "could not find" in record.getMessage()]
    assert len([line for line in lines if line.startswith("pods: ")]) == 4
    assert len([line for line in lines if line.startswith("28 more lines like this one were not logged")]) == 2


def test_an_accepted_watch_counts_as_a_sign_of_the_server(script: Any, run: Any, monkeypatch: Any) -> None:
    """`last_event_age` does not grow through quiet watches that are opened again and again."""
    ages: list[float | None] = []
    now = [100.0]
    monkeypatch.setattr("informer.reflector.health.time.monotonic", lambda: now[0])

    def lasted(options: Any) -> Any:
        now[0] += 400
        ages.append(made.last_event_age)
        return [script.bookmark("2")] if len(ages) < 2 else script.watcher(hang=True)

    source = script.source([script.pods("1")], [lasted, lasted], hang=True)
    made = reflect(source)
    stop = Signal()
    task = run(made.run, stop)
    assert eventually(lambda: made.is_watching and len(ages) == 2)
    assert ages == [400.0, 400.0]
    assert eventually(lambda: made.last_event_age == 0.0)
    stop.set()
    task.result()


def test_a_callback_about_errors_that_raises_does_not_end_the_reflector(script: Any, run: Any) -> None:
    """It is logged, and the reflector goes on."""

    def fails() -> None:
        raise InformerError("no")

    source = script.source([REFUSED, script.pods("1")], hang=True)
    made = Reflector(source, Store(), name="pods", backoff=FAST, on_error_change=fails)
    stop = Signal()
    task = run(made.run, stop)
    assert eventually(lambda: made.is_watching)
    stop.set()
    task.result()
