"""A `RetryWatcher`, a watch without a cache, of the same servers: when it retries and when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer import ListWatch
from tests.support.waiting import DEADLINE
from watch import FakeClock, RetryWatcher


@pytest.fixture
def retry(scripted: Any, say: Any) -> Iterator[Callable[..., tuple[Any, RetryWatcher[Any]]]]:
    """Starts retry watchers of watches that follow a script, and stops them at the end of the test."""
    made: list[RetryWatcher[Any]] = []

    def start(*watches: Any, version: str = "5", delay: float = 0, **clock: Any) -> tuple[Any, RetryWatcher[Any]]:
        server = scripted([say.listed("1")], list(watches))
        source = ListWatch.for_resource(server.http.client(), "pods")
        made.append(RetryWatcher(version, source, min_restart_delay=delay, **clock))
        return server, made[-1]

    yield start
    for each in made:
        each.stop()
        assert each.done.wait(DEADLINE)


def names(watcher: RetryWatcher[Any], count: int) -> list[str]:
    events = [watcher.result_chan().get(timeout=DEADLINE) for _ in range(count)]
    return [event.object.name for event in events]


@pytest.mark.parametrize("version", ["", "0"])
def test_retry_watcher_rejects_the_initial_rv(retry: Any, version: str) -> None:
    """With "" or "0" the server chooses where the watch begins, so no later watch could resume it."""
    with pytest.raises(ValueError, match="initial RV"):
        retry(version=version)


def test_retry_watcher_ends_at_a_410_in_an_event(retry: Any, say: Any) -> None:
    """The 410 is delivered as the last event."""
    gone = say.line("ERROR", say.status(410, "Expired", "too old"))
    server, watcher = retry(say.watched(say.added("a", "7"), gone))
    events = list(watcher)
    assert [event.type for event in events] == ["ADDED", "ERROR"]
    assert events[-1].object["code"] == 410
    assert server.watch_versions == ["5"]


@pytest.mark.parametrize("code", [500, 504])
@pytest.mark.parametrize("where", ["event", "answer"])
def test_retry_watcher_retries_500_and_504_after_the_delay_of_the_details(
    retry: Any, say: Any, code: int, where: str
) -> None:
    """These are not delivered; the watch resumes at the same version after `retryAfterSeconds`."""
    failed = say.line("ERROR", say.status(code, "X", retryAfterSeconds=1))
    refused = say.refused(code, "X", retryAfterSeconds=1)
    first = [say.watched(say.added("a", "7"), *([failed] if where == "event" else []))]
    server, watcher = retry(
        *first, *([refused] if where == "answer" else []), say.watched(say.added("b", "8"), then="hang")
    )
    assert names(watcher, 2) == ["a", "b"]
    assert set(server.watch_versions[1:]) == {"7"}
    assert server.times[-1] - server.times[-2] >= 1.0


def test_retry_watcher_restarts_at_most_once_a_second(retry: Any, say: Any) -> None:
    """At least the restart delay lies between the beginnings of two watches."""
    clock = FakeClock()
    watches = [say.watched(say.added(f"p{i}", str(10 + i))) for i in range(3)]
    server, watcher = retry(*watches, delay=1.0, clock=clock)
    asked: list[list[str]] = []
    for number in range(3):
        assert names(watcher, 1) == [f"p{number}"]
        assert clock.wait_for_waiters(timeout=DEADLINE)
        clock.step(0.9)
        assert clock.wait_for_waiters(timeout=DEADLINE)
        asked.append(list(server.watch_versions))
        clock.step(0.1)
    assert asked == [["5"], ["5", "10"], ["5", "10", "11"]]


@pytest.mark.parametrize(("code", "reason"), [(401, "Unauthorized"), (403, "Forbidden")])
def test_retry_watcher_stops_on_401_and_403(retry: Any, say: Any, code: int, reason: str) -> None:
    """The watch ends with an ERROR event, where an informer would retry."""
    _, watcher = retry(say.watched(say.added("a", "7")), *[say.refused(code, reason, "no")] * 3)
    events = list(watcher)
    assert [event.type for event in events] == ["ADDED", "ERROR"]
    assert events[-1].object["code"] == code


def test_retry_watcher_aborts_at_an_object_without_rv(retry: Any, say: Any) -> None:
    """No other watch could resume after that event."""
    _, watcher = retry(say.watched(say.added("a", "7"), say.added("b", None), say.added("c", "8"), then="hang"))
    events = list(watcher)
    assert [event.type for event in events] == ["ADDED", "ERROR"]
    assert "doesn't support resourceVersion" in events[-1].object["message"]
