"""A watcher that resumes broken watches."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes.client import V1ObjectMeta, V1Pod, V1Status, V1StatusDetails
from kubernetes.client.exceptions import ApiException

from informer import Object
from tests.support.waiting import DEADLINE, PROMPT
from watch import (
    ApiError,
    BatchWatcher,
    Channel,
    EmptyWatcher,
    Event,
    EventType,
    FakeClock,
    FakeWatcher,
    ListOptions,
    ProxyWatcher,
    RetryWatcher,
    StreamWatcher,
)
from watch.errors import RequestCancelledError
from watch.request_scope import current_scope


def added(version: int | str) -> Event[Any]:
    return Event(EventType.ADDED, {"metadata": {"name": "pod", "resourceVersion": str(version)}})


def error(code: int, reason: str = "", **details: Any) -> Event[Any]:
    return Event(EventType.ERROR, ApiError(code, reason, "", details=details or None).to_status())


GONE = error(410, "Gone")


def after(version: str, events: list[Event[Any]]) -> list[Event[Any]]:
    """The events of a history after a version; errors come only after an event that was requested."""
    sent: list[Event[Any]] = []
    for event in events:
        is_error = event.type == "ERROR"
        if sent if is_error else int(event.object["metadata"]["resourceVersion"]) > int(version):
            sent.append(event)
    return sent


class Server:
    """Opens watches on a history; the first calls may fail.

    Args:
        history: the events; every watch sends those after its version.
        failures: the exceptions of the first calls, or None for a watch function that returns None.
        closes_after: a watch ends after this number of events; with fewer, or None, it stays open.
    """

    def __init__(
        self, *history: Event[Any], failures: tuple[Exception | None, ...] = (), closes_after: int | None = None
    ) -> None:
        self.history = list(history)
        self.failures = list(failures)
        self.closes_after = closes_after
        self.calls: Channel[ListOptions] = Channel(None)
        self.opened: list[ProxyWatcher[Any]] = []

    def watch(self, options: ListOptions) -> ProxyWatcher[Any] | None:
        self.calls.put(options)
        if self.failures:
            failure = self.failures.pop(0)
            if failure is None:
                return None
            raise failure
        events = after(options.resource_version, self.history)
        channel: Channel[Any] = Channel(None)
        for event in events[: self.closes_after]:
            channel.put(event)
        if self.closes_after is not None and len(events) >= self.closes_after:
            channel.close()
        self.opened.append(ProxyWatcher(channel))
        return self.opened[-1]


class Calls:
    """A watch function as the list-watch of a RetryWatcher."""

    def __init__(self, function: Callable[[ListOptions], Any]) -> None:
        self.watch = function


@pytest.fixture
def retry():
    """Makes RetryWatchers without a delay. At the end all are stopped, and their threads have to end."""
    made: list[RetryWatcher[Any]] = []

    def make(version: str, source: Any, **options: Any) -> RetryWatcher[Any]:
        made.append(RetryWatcher(version, source, **{"min_restart_delay": 0, **options}))
        return made[-1]

    yield make
    for watcher in made:
        watcher.stop()
    assert all(watcher.done.wait(DEADLINE) for watcher in made)


def read(watcher: RetryWatcher[Any], count: int) -> list[Event[Any]]:
    return [watcher.result_chan().get(timeout=DEADLINE) for _ in range(count)]


def versions(events: list[Event[Any]]) -> list[str]:
    return [event.object["metadata"]["resourceVersion"] for event in events]


SPREAD = [added(5), added(6), added(7), added(11)]


@pytest.mark.parametrize(
    ("version", "server", "expected", "calls"),
    [
        pytest.param("1", lambda: Server(added(2), failures=(RuntimeError("test error"),)), ["2"], 2, id="call-fails"),
        pytest.param("1", lambda: Server(added(2), failures=(ApiError(410, "Expired"),)), ["2"], 2, id="call-gone"),
        pytest.param("1", lambda: Server(added(2), failures=(None,)), ["2"], 2, id="nil-watcher"),
        pytest.param("1", lambda: Server(added(2)), ["2"], 1, id="works"),
        pytest.param("1", lambda: Server(added(1), added(2)), ["2"], 1, id="skips-preceding"),
        pytest.param("3", lambda: Server(added(2)), [], 1, id="none-following"),
        pytest.param("5", lambda: Server(added(6), error(504, "Timeout"), added(7)), ["6", "7"], 2, id="timeout"),
        pytest.param(
            "5", lambda: Server(added(6), error(500, "InternalError"), added(7)), ["6", "7"], 2, id="internal"
        ),
        pytest.param("5", lambda: Server(added(6), error(666), added(7)), ["6", "7"], 2, id="unexpected-code"),
        pytest.param(
            "5", lambda: Server(added(6), Event("ERROR", object()), added(7)), ["6", "7"], 2, id="unexpected-type"
        ),
        pytest.param("5", lambda: Server(added(6), closes_after=1), ["6"], 2, id="1-closed"),
        pytest.param("4", lambda: Server(added(5), added(6), closes_after=1), ["5", "6"], 3, id="2-closed"),
        pytest.param("4", lambda: Server(added(5), added(7), closes_after=1), ["5", "7"], 3, id="nonconsecutive"),
        pytest.param("2", lambda: Server(added(5), added(7), closes_after=1), ["5", "7"], 3, id="from-lower"),
        pytest.param("2", lambda: Server(*SPREAD, closes_after=1), ["5", "6", "7", "11"], 5, id="4-closed"),
        pytest.param(
            "2",
            lambda: Server(added(1), added(2), *SPREAD, closes_after=1),
            ["5", "6", "7", "11"],
            5,
            id="skips-lower-or-equal",
        ),
        pytest.param(
            "1",
            lambda: Server(added(1), added(2), *SPREAD, closes_after=2),
            ["2", "5", "6", "7", "11"],
            3,
            id="2+2+1-items",
        ),
    ],
)
def test_recovers(retry, version, server, expected, calls):
    """Go: TestRetryWatcher. Every event after the version comes once, over any number of watch calls."""
    source = server()
    watcher = retry(version, source)
    assert versions(read(watcher, len(expected))) == expected
    asked = [source.calls.get(timeout=DEADLINE) for _ in range(calls)]
    assert asked[0].resource_version == version
    with pytest.raises(queue.Empty):
        watcher.result_chan().get(timeout=0.02)
    watcher.stop()
    assert watcher.done.wait(DEADLINE)
    assert len(source.calls) == 0


@pytest.mark.parametrize(
    "last",
    [GONE, error(0, "Expired"), error(401, "Unauthorized"), error(403, "Forbidden")],
    ids=["gone", "expired-without-code", "unauthorized", "forbidden"],
)
def test_a_final_error_is_passed_on(retry, last):
    """Go: TestRetryWatcher, "fails on Gone", "fails on Unauthorized". The error is passed on, and the watch ends."""
    source = Server(added(5), added(6), last, added(7), added(8))
    watcher = retry("5", source)
    assert list(watcher) == [added(6), last]
    assert watcher.done.wait(DEADLINE)
    assert len(source.calls) == 1


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (
            ApiError(401, "Unauthorized", "who are you"),
            {"code": 401, "reason": "Unauthorized", "message": "who are you"},
        ),
        (ApiError(403, "Forbidden", "unknown"), {"code": 403, "reason": "Forbidden", "message": "unknown"}),
        (ApiException(status=403, reason="Forbidden"), {"code": 403, "reason": "Forbidden"}),
    ],
    ids=["unauthorized", "forbidden", "official-exception"],
)
def test_a_refused_call_ends_it_with_the_status(retry, failure, status, caplog):
    """Go: TestRetryWatcher, "fails on Forbidden", "fails on Unauthorized". One ERROR event with the Status, then the end."""
    source = Server(added(6), failures=(failure,))
    (last,) = retry("5", source)
    assert last.type is EventType.ERROR
    assert last.object["kind"] == "Status"
    assert last.object | status == last.object
    assert len(source.calls) == 1
    assert "credentials" in caplog.text


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionRefusedError("refused"),
        TimeoutError("slow"),
        EOFError(),
        ApiError(500, "InternalError", "oops"),
        ApiError(404, "NotFound", "not yet"),
        ApiException(status=410, reason="Gone"),
        ValueError("a mistake"),
    ],
    ids=lambda failure: type(failure).__name__ + str(getattr(failure, "status", "")),
)
def test_any_other_failed_call_is_tried_again(retry, failure):
    """client-go source. After any other failure the next call begins at the same version."""
    source = Server(added(2), failures=(failure, failure))
    assert read(retry("1", source), 1) == [added(2)]
    assert [options.resource_version for options in (source.calls.get() for _ in range(3))] == ["1"] * 3


def test_finishes_with_unread_events():
    """Go: TestRetryWatcherToFinishWithUnreadEvents.

    Stopped twice before its event was read, the thread ends without delivering it.
    """
    source = Server(added(2))
    watcher = RetryWatcher("1", source)
    source.calls.get(timeout=DEADLINE)
    watcher.stop()
    watcher.stop()
    assert watcher.done.wait(PROMPT)
    assert list(watcher) == []


@pytest.mark.parametrize("version", ["", "0"])
def test_refuses_to_begin_without_a_version(version):
    """Go: TestNewRetryWatcher. For "" and "0" the server would choose where to begin."""
    with pytest.raises(
        ValueError, match=f'initial RV "{version}" is not supported due to issues with underlying WATCH'
    ):
        RetryWatcher(version, Server())


def test_bad_arguments_are_named():
    """A version that is not a string, and a negative delay, are refused."""
    with pytest.raises(TypeError, match="resource_version must be a string, not int"):
        RetryWatcher(5, Server())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="min_restart_delay must be 0 or more"):
        RetryWatcher("5", Server(), min_restart_delay=-1)


def test_retry_after_is_bounded(retry):
    """A Retry-After of an hour is cut to max_retry_after."""
    source = Server(added(2), failures=(ApiError(429, "TooManyRequests", "slow down", 3600.0),))
    assert read(retry("1", source, max_retry_after=0.01), 1) == [added(2)]
    with pytest.raises(ValueError, match="max_retry_after must be 0 or more seconds, not -1"):
        RetryWatcher("5", source, max_retry_after=-1)


def test_every_call_asks_from_the_last_version_with_bookmarks(retry):
    """client-go source. Only the resourceVersion differs from call to call."""
    source = Server(added(5), added(7), closes_after=1)
    read(retry("3", source), 2)
    asked = [source.calls.get(timeout=DEADLINE) for _ in range(3)]
    assert asked == [ListOptions(resource_version=rv, allow_watch_bookmarks=True) for rv in ("3", "5", "7")]


def test_bookmarks_are_not_delivered_but_resumed_from(retry):
    """client-go source. A BOOKMARK is not delivered, but the next call begins at its version."""
    bookmark = Event(EventType.BOOKMARK, {"metadata": {"resourceVersion": "9"}})
    source = Server(added(6), bookmark, added(10), closes_after=2)
    assert read(retry("5", source), 2) == [added(6), added(10)]
    assert [source.calls.get(timeout=DEADLINE).resource_version for _ in range(2)] == ["5", "9"]


def test_a_version_counts_only_once_its_event_was_delivered(retry):
    """client-go source. While an event is unread, no later watch is opened."""
    source = Server(added(6), added(7), closes_after=1)
    watcher = retry("5", source)
    assert source.calls.get(timeout=DEADLINE).resource_version == "5"
    with pytest.raises(queue.Empty):
        source.calls.get(timeout=0.05)
    assert read(watcher, 1) == [added(6)]
    assert source.calls.get(timeout=DEADLINE).resource_version == "6"


class WithoutVersion:
    pass


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"])
@pytest.mark.parametrize(
    "obj",
    [WithoutVersion(), {}, {"metadata": {}}, {"metadata": {"resourceVersion": ""}}, {"metadata": "odd"}, None, 3],
    ids=["no-field", "no-metadata", "no-version", "empty-version", "odd-metadata", "none", "number"],
)
def test_an_object_without_a_version_ends_it(retry, kind, obj):
    """client-go source. One ERROR event reports it, without the object's data, and ends the watch."""
    opened = FakeWatcher(None)
    opened.action(kind, obj)
    opened.action(*added(6))
    (last,) = retry("5", Calls(lambda options: opened))
    assert last.type is EventType.ERROR
    assert last.object["code"] == 500
    assert last.object["reason"] == "InternalError"
    assert "doesn't support resourceVersion" in last.object["message"]


def test_the_error_for_an_object_without_a_version_keeps_its_data_secret(retry, caplog):
    """Neither the ERROR event nor the log has the object's content."""
    opened = FakeWatcher(None)
    opened.add({"kind": "Secret", "metadata": {"resourceVersion": ""}, "data": {"password": "c2VjcmV0"}})
    with caplog.at_level(logging.DEBUG):
        (last,) = retry("5", Calls(lambda options: opened))
    assert "c2VjcmV0" not in str(last) + caplog.text


def test_an_unknown_event_type_ends_it(retry):
    """client-go source. The ERROR event names the type."""
    opened = FakeWatcher(None)
    opened.action("SURPRISE", added(6).object)
    (last,) = retry("5", Calls(lambda options: opened))
    assert last.type is EventType.ERROR
    assert 'retryWatcher failed to recognize Event type "SURPRISE"' in last.object["message"]
    assert last.object["code"] == 500


def test_the_version_is_read_from_objects_of_any_type(retry):
    """The resourceVersion is read from objects of every supported type."""
    objects = [
        {"metadata": {"resourceVersion": "6"}},
        Object.from_dict({"metadata": {"name": "a", "resourceVersion": "7"}}),
        V1Pod(metadata=V1ObjectMeta(name="a", resource_version="8")),
    ]
    opened = FakeWatcher(None)
    for obj in objects:
        opened.add(obj)
    opened.stop()
    watches = [opened, FakeWatcher()]
    calls: Channel[str] = Channel(None)

    def watch(options):
        calls.put(options.resource_version)
        return watches.pop(0)

    assert [event.object for event in read(retry("5", Calls(watch)), 3)] == objects
    assert [calls.get(timeout=DEADLINE), calls.get(timeout=DEADLINE)] == ["5", "8"]


STATUSES = {
    "dict": {"kind": "Status", "code": 503, "details": {"retryAfterSeconds": 5}},
    "model": V1Status(code=503, details=V1StatusDetails(retry_after_seconds=5)),
    "exception": ApiError(503, "ServiceUnavailable", "", 5),
}


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES)
def test_a_restart_waits_as_long_as_the_status_asks(retry, status):
    """client-go source. After details.retryAfterSeconds = 5 the next call comes five seconds later."""
    clock = FakeClock()
    source = Server(added(6), Event("ERROR", status), added(7))
    watcher = retry("5", source, min_restart_delay=1, clock=clock)
    assert read(watcher, 1) == [added(6)]
    assert source.calls.get(timeout=DEADLINE).resource_version == "5"
    assert clock.wait_for_waiters(1, DEADLINE)
    clock.step(4.9)
    with pytest.raises(queue.Empty):
        source.calls.get(timeout=0.05)
    clock.step(0.2)
    assert source.calls.get(timeout=DEADLINE).resource_version == "6"
    assert read(watcher, 1) == [added(7)]


def test_a_failed_call_waits_as_long_as_the_server_asks(retry):
    """The Retry-After of a refused watch call delays the next call, as in client-go's transport."""
    clock = FakeClock()
    source = Server(failures=(ApiError(429, "TooManyRequests", "", 7),))
    retry("5", source, min_restart_delay=1, clock=clock)
    source.calls.get(timeout=DEADLINE)
    assert clock.wait_for_waiters(1, DEADLINE)
    clock.step(6.9)
    with pytest.raises(queue.Empty):
        source.calls.get(timeout=0.05)
    clock.step(0.2)
    source.calls.get(timeout=DEADLINE)


def test_restarts_are_a_delay_apart(retry):
    """client-go source. Watches that end at once are opened once per delay at most."""
    clock = FakeClock()
    source = Server(failures=(ConnectionError(),) * 3)
    retry("5", source, min_restart_delay=1, clock=clock)
    for _ in range(3):
        source.calls.get(timeout=DEADLINE)
        assert clock.wait_for_waiters(1, DEADLINE)
        clock.step(0.9)
        with pytest.raises(queue.Empty):
            source.calls.get(timeout=0.02)
        clock.step(0.2)
    source.calls.get(timeout=DEADLINE)


def test_the_delay_counts_from_the_start_of_the_attempt(retry):
    """client-go source. A watch that lasted longer than the delay is followed by the next one at once."""
    clock = FakeClock()
    opened = [FakeWatcher(), FakeWatcher()]
    calls: Channel[str] = Channel(None)

    def watch(options):
        calls.put(options.resource_version)
        return opened.pop(0)

    first, second = opened
    retry("5", Calls(watch), min_restart_delay=1, clock=clock)
    calls.get(timeout=DEADLINE)
    clock.step(1.5)
    first.stop()
    calls.get(timeout=DEADLINE)
    second.stop()


def test_the_default_delay_is_a_second():
    """client-go source. By default restarts are at least one second apart."""
    clock = FakeClock()
    source = Server(failures=(ConnectionError(),))
    with RetryWatcher("5", source, clock=clock) as watcher:
        source.calls.get(timeout=DEADLINE)
        assert clock.wait_for_waiters(1, DEADLINE)
        clock.step(0.99)
        with pytest.raises(queue.Empty):
            source.calls.get(timeout=0.05)
        clock.step(0.02)
        source.calls.get(timeout=DEADLINE)
    assert watcher.done.wait(DEADLINE)


def test_every_watch_is_stopped(retry):
    """Every watch is stopped when it ends, and the open one when the watcher is stopped."""
    source = Server(added(6), error(500), added(7), error(500), added(8))
    watcher = retry("5", source)
    read(watcher, 3)
    watcher.stop()
    assert watcher.done.wait(DEADLINE)
    assert len(source.opened) == 3
    assert all(opened.stopping() for opened in source.opened)


# Stopping, in every state


class LeftOpen(FakeWatcher):
    """A watcher whose `stop` leaves its channel open."""

    def stop(self):
        pass


@pytest.mark.parametrize("opened", [ProxyWatcher(Channel()), LeftOpen()], ids=["pulled", "through-its-channel"])
def test_stop_while_a_watch_is_read(retry, run, opened):
    """A stop ends the thread at once, even if the watch sends no events and its stop leaves the channel open."""
    called = threading.Event()

    def watch(options):
        called.set()
        return opened

    watcher = retry("5", Calls(watch))
    assert called.wait(DEADLINE)
    reader = run(list, watcher)
    assert not reader.ends_within(0.05)
    watcher.stop()
    assert reader.result() == []
    assert watcher.done.wait(PROMPT)


def test_stop_while_a_stream_is_read(retry):
    """A stop closes a stream whose decoder is waiting."""

    class Decoder:
        def __init__(self):
            self.closed = threading.Event()
            self.blocked = threading.Event()

        def decode(self):
            self.blocked.set()
            assert self.closed.wait(DEADLINE)
            raise EOFError

        def close(self):
            self.closed.set()

    decoder = Decoder()
    stream = StreamWatcher(decoder)
    assert isinstance(stream, BatchWatcher)
    watcher = retry("5", Calls(lambda options: stream))
    assert decoder.blocked.wait(DEADLINE)
    watcher.stop()
    assert watcher.done.wait(PROMPT)
    assert decoder.closed.is_set()


def test_stop_while_a_request_is_under_way(retry, caplog):
    """A stop cancels a request that waits for its connection or answer, and no other request follows."""
    waiting = threading.Event()
    calls = []

    def watch(options):
        calls.append(options)
        cancelled = threading.Event()
        scope = current_scope()
        assert scope is not None
        withdraw = scope.on_cancel(cancelled.set)
        waiting.set()
        assert cancelled.wait(DEADLINE)
        withdraw()
        raise RequestCancelledError("given up")

    watcher = retry("5", Calls(watch))
    assert waiting.wait(DEADLINE)
    watcher.stop()
    assert watcher.done.wait(PROMPT)
    assert list(watcher) == []
    assert len(calls) == 1
    assert caplog.text == ""


def test_stop_while_a_watch_function_blocks_that_ignores_its_scope(retry):
    """`stop` returns and iteration ends at once; a watcher that the function returns later is stopped."""
    go_on = threading.Event()
    called = threading.Event()
    late = ProxyWatcher(Channel())

    def watch(options):
        called.set()
        assert go_on.wait(DEADLINE)
        return late

    watcher = retry("5", Calls(watch))
    assert called.wait(DEADLINE)
    watcher.stop()
    assert list(watcher) == []
    assert not watcher.done.is_set()
    go_on.set()
    assert watcher.done.wait(DEADLINE)
    assert late.stopping()


def test_stop_during_a_delay():
    """A stop ends the delay before the next call."""
    source = Server(failures=(ApiError(429, "TooManyRequests", "", 3600),))
    watcher = RetryWatcher("5", source, min_restart_delay=3600)
    source.calls.get(timeout=DEADLINE)
    watcher.stop()
    assert watcher.done.wait(PROMPT)


def test_stop_from_within_the_watch_function(retry):
    """The watch function may stop the watcher."""
    made: Channel[RetryWatcher[Any]] = Channel(1)

    def watch(options):
        made.get(timeout=DEADLINE).stop()
        return FakeWatcher()

    watcher = retry("5", Calls(watch))
    made.put(watcher)
    assert watcher.done.wait(DEADLINE)
    assert list(watcher) == []


def test_failing_sources_are_tried_again(retry, caplog):
    """A source that fails, at opening, reading or stopping, counts as a broken watch, and is logged."""

    class FailsAtRead(EmptyWatcher):
        def result_chan(self):
            raise RuntimeError("cannot be read")

    class FailsAtStop(EmptyWatcher):
        def stop(self):
            raise RuntimeError("cannot be stopped")

    good = FakeWatcher(None)
    good.action(*added(6))
    sources = [object(), FailsAtRead(), FailsAtStop(), good]
    assert read(retry("5", Calls(lambda options: sources.pop(0))), 1) == [added(6)]
    assert "cannot be read" in caplog.text
    assert "cannot be stopped" in caplog.text


def test_a_function_that_exits_its_thread_ends_it(retry):
    """SystemExit of the watch function ends the watch for its readers."""

    def watch(options):
        raise SystemExit

    watcher = retry("5", Calls(watch))
    assert list(watcher) == []
    assert watcher.done.wait(DEADLINE)
