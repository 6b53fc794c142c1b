"""Waiting until conditions on a watch's events have come true."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest

from tests.support.objects import stored_pod as pod
from tests.support.waiting import DEADLINE
from watch import (
    ApiError,
    Channel,
    ConditionError,
    EmptyWatcher,
    Event,
    EventType,
    FakeWatcher,
    ListOptions,
    ProxyWatcher,
    RaceFreeFakeWatcher,
    StreamWatcher,
    WatchClosedError,
    WatchTimeoutError,
    list_watch_until,
    until,
    until_with_retry,
)
from watch.request_scope import current_scope

ADDED = Event(EventType.ADDED, pod("a", 6))
MODIFIED = Event(EventType.MODIFIED, pod("a", 7))


def is_added(event):
    return event.type == "ADDED"


def is_modified(event):
    return event.type == "MODIFIED"


def is_deleted(event):
    return event.type == "DELETED"


def never(event):
    return False


def something_bad(event):
    raise RuntimeError("something bad")


def fake(*events: Event[Any]) -> FakeWatcher[Any]:
    watcher: FakeWatcher[Any] = FakeWatcher(None)
    for event in events:
        watcher.action(*event)
    return watcher


@pytest.mark.parametrize("timeout", [60, None], ids=["TestUntil", "TestUntilTimeout"])
def test_returns_the_event_of_the_last_condition(timeout):
    """Go: TestUntil, TestUntilTimeout. It waits for ADDED, then MODIFIED, with and without a time-out."""
    assert until(fake(ADDED, MODIFIED), is_added, is_modified, timeout=timeout) == MODIFIED


def test_the_next_condition_is_tried_on_the_last_event():
    """Go: TestUntilMultipleConditions. One event can make several conditions true."""
    seen = []

    def note(event):
        seen.append(event)
        return True

    assert until(fake(ADDED), is_added, note, is_added, timeout=DEADLINE) == ADDED
    assert seen == [ADDED]


def test_a_condition_that_never_comes_true_times_out():
    """Go: TestUntilMultipleConditionsFail. The error carries the last event."""
    watcher = fake(ADDED)
    with pytest.raises(WatchTimeoutError, match=r"^timed out waiting for the condition$") as caught:
        until(watcher, is_added, is_added, is_deleted, timeout=0.05)
    assert caught.value.last_event == ADDED
    assert isinstance(caught.value, TimeoutError)
    assert watcher.is_stopped()


def test_a_condition_that_raises_ends_the_wait():
    """Go: TestUntilErrorCondition. The error has the exception's text, the exception as its cause, and the event."""
    watcher = fake(ADDED)
    with pytest.raises(ConditionError, match="something bad") as caught:
        until(watcher, is_added, something_bad, timeout=DEADLINE)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert caught.value.last_event == ADDED
    assert watcher.is_stopped()


def test_a_timeout_error_of_a_condition_is_a_condition_error():
    """A condition's own TimeoutError becomes a ConditionError."""

    def slow(event):
        raise TimeoutError

    with pytest.raises(ConditionError, match="TimeoutError"):
        until(fake(ADDED), slow, timeout=DEADLINE)


@pytest.mark.parametrize(
    ("events", "last"), [([], None), ([ADDED], ADDED), ([ADDED, MODIFIED], MODIFIED)], ids=["none", "one", "two"]
)
def test_a_stream_that_ends_early_raises(events, last):
    """client-go source. The error says that the watch closed, and carries the last event, or None."""
    watcher = fake(*events)
    watcher.stop()
    with pytest.raises(WatchClosedError, match=r"^watch closed before UntilWithoutRetry timeout$") as caught:
        until(watcher, is_deleted, timeout=DEADLINE)
    assert caught.value.last_event == last


def test_an_empty_watch_has_closed():
    """client-go source. A watch that has ended already raises the same error at once."""
    with pytest.raises(WatchClosedError):
        until(EmptyWatcher(), is_added)


def test_without_conditions_it_returns_none_and_stops_the_watch():
    """client-go source. Without conditions it returns None and reads no event."""
    watcher = fake(ADDED)
    assert until(watcher) is None
    assert watcher.is_stopped()


def interrupt(event):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("condition", "raised"),
    [
        pytest.param(is_added, None, id="met"),
        pytest.param(never, WatchTimeoutError, id="timed-out"),
        pytest.param(something_bad, ConditionError, id="raised"),
        pytest.param(interrupt, KeyboardInterrupt, id="interrupted"),
    ],
)
def test_the_watch_is_always_stopped(condition, raised):
    """client-go source. The watch is stopped in every case; KeyboardInterrupt passes through unchanged."""
    watcher = fake(ADDED)
    if raised is None:
        until(watcher, condition, timeout=0)
    else:
        with pytest.raises(raised):
            until(watcher, condition, timeout=0)
    assert watcher.is_stopped()


def test_a_watch_whose_channel_cannot_be_had_is_stopped():
    """A watcher that raises when it is read is stopped."""

    class Broken(FakeWatcher):
        def result_chan(self):
            raise OSError("no channel")

        def stop(self):
            stopped.append(True)

    stopped: list[bool] = []
    with pytest.raises(OSError, match="no channel"):
        until(Broken(), is_added)
    assert stopped == [True]


def test_a_timeout_of_zero_looks_at_ready_events_only():
    """A time-out of 0 looks at the events that are ready, and does not wait."""
    assert until(fake(ADDED, MODIFIED), is_added, is_modified, timeout=0) == MODIFIED
    with pytest.raises(WatchTimeoutError) as caught:
        until(fake(ADDED), is_added, is_modified, timeout=0)
    assert caught.value.last_event == ADDED
    with pytest.raises(WatchTimeoutError) as caught:
        until(fake(), is_added, timeout=0)
    assert caught.value.last_event is None


def test_a_negative_time_out_is_logged_and_taken_for_zero(caplog):
    """client-go source, ContextWithOptionalTimeout. It is logged as a mistake and treated as 0."""
    with caplog.at_level(logging.ERROR):
        assert until(fake(ADDED), is_added, timeout=-1) == ADDED
    assert "is negative" in caplog.text


class Endless(EmptyWatcher):
    """A watch in which another event is always ready."""

    def next_batch(self, timeout=None):
        return [ADDED]


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_the_time_is_up_though_events_come(timeout):
    """Events without end do not extend the time-out."""
    with pytest.raises(WatchTimeoutError) as caught:
        until(Endless(), never, timeout=timeout)
    assert caught.value.last_event == ADDED


def test_events_that_come_later_are_waited_for(run):
    """Conditions are called with events as they come, on the caller's thread."""
    watcher: FakeWatcher[Any] = FakeWatcher()
    threads = []

    def condition(event):
        threads.append(threading.get_ident())
        return is_modified(event)

    def produce():
        watcher.action(*ADDED)
        watcher.action(*MODIFIED)

    producer = run(produce)
    assert until(watcher, is_added, condition, timeout=DEADLINE) == MODIFIED
    assert set(threads) == {threading.get_ident()}
    producer.result()


def test_a_batch_watcher_is_read_in_batches_without_a_thread():
    """A BatchWatcher is read in batches, and no thread is started."""

    class Decoder:
        closed = False

        def decode_batch(self):
            return [ADDED, MODIFIED, Event("DELETED", pod("a", 8))]

        def decode(self):
            raise AssertionError

        def close(self):
            self.closed = True

    before = threading.active_count()
    decoder = Decoder()

    def pulled(event):
        return threading.active_count() == before and is_modified(event)

    # The later events of the same batch do not count.
    assert until(StreamWatcher(decoder), is_added, pulled) == MODIFIED
    assert decoder.closed


def test_a_condition_is_not_tried_on_events_before_its_turn():
    """A condition does not see the events before the one that made the condition ahead of it true."""
    with pytest.raises(WatchTimeoutError):
        until(fake(MODIFIED, ADDED), is_added, is_modified, timeout=0)


class Server:
    """A list-watch over a history of events. A watch sends those after its version, and stays open by default."""

    def __init__(self, *history: Event[Any], items: list[Any] | None = None, version: str = "5") -> None:
        self.history = history
        self.items = items or []
        self.version = version
        self.lists: list[ListOptions] = []
        self.watches: list[ListOptions] = []
        self.break_after: int | None = None

    def list(self, options: ListOptions) -> Any:
        self.lists.append(options)
        return Page(self.items, self.version)

    def watch(self, options: ListOptions) -> ProxyWatcher[Any]:
        self.watches.append(options)
        channel: Channel[Any] = Channel(None)
        later = [
            e for e in self.history if int(e.object["metadata"]["resourceVersion"]) > int(options.resource_version)
        ]
        for event in later[: self.break_after]:
            channel.put(event)
        if self.break_after is not None:
            channel.close()
        return ProxyWatcher(channel)


class Page:
    def __init__(self, items: list[Any], resource_version: str, continue_: str | None = None) -> None:
        self.items = items
        self.resource_version = resource_version
        self.continue_ = continue_


def test_until_with_retry_goes_on_over_a_broken_watch():
    """client-go source, Until. It resumes: each watch call here sends one event."""
    server = Server(ADDED, MODIFIED)
    server.break_after = 1
    assert until_with_retry("5", server, is_added, is_modified, timeout=DEADLINE) == MODIFIED
    assert [options.resource_version for options in server.watches] == ["5", "6"]


@pytest.mark.parametrize("version", ["", "0"])
def test_until_with_retry_refuses_an_unset_version(version):
    """client-go source. An initial resourceVersion of "" or "0" is an error."""
    with pytest.raises(ValueError, match=f'initial RV "{version}" is not supported'):
        until_with_retry(version, Server(), is_added)


def test_until_with_retry_times_out_with_the_last_event():
    """The time-out is for all of its watches together."""
    with pytest.raises(WatchTimeoutError) as caught:
        until_with_retry("5", Server(ADDED), is_added, is_modified, timeout=0.1)
    assert caught.value.last_event == ADDED


def test_until_with_retry_sees_the_error_that_ends_its_watch():
    """For an expired version the conditions see an ERROR event, and then the watch has closed."""
    gone = Event(EventType.ERROR, ApiError(410, "Expired", "too old resource version").to_status())

    class Expired(Server):
        def watch(self, options):
            channel: Channel[Any] = Channel(None)
            channel.put(gone)
            return ProxyWatcher(channel)

    with pytest.raises(WatchClosedError) as caught:
        until_with_retry("5", Expired(), is_added, timeout=DEADLINE)
    assert caught.value.last_event == gone
    assert until_with_retry("5", Expired(), lambda event: event.type == "ERROR") == gone


def test_list_watch_until_uses_the_listed_objects():
    """client-go source, ListWatchUntil. Listed objects count as ADDED; where they suffice, no watch is opened."""
    server = Server(items=[pod("a", 3), pod("b", 4)])
    found = list_watch_until(server, lambda event: event.object["metadata"]["name"] == "b", timeout=DEADLINE)
    assert found == Event(EventType.ADDED, pod("b", 4))
    assert server.watches == []


def test_list_watch_until_goes_on_watching_from_the_list():
    """client-go source, ListWatchUntil. After the list the conditions see the events after its version."""
    server = Server(ADDED, MODIFIED, items=[pod("a", 3)])
    assert list_watch_until(server, is_added, is_modified, timeout=DEADLINE) == MODIFIED
    assert server.watches == [ListOptions(resource_version="5", allow_watch_bookmarks=True)]


def test_list_watch_until_keeps_the_order_of_conditions():
    """A later condition waits for the one before it, though the last listed object would make it true."""
    server = Server(Event("MODIFIED", pod("x", 9)), items=[pod("a", 3)])
    met = []

    def second(event):
        met.append(event.object["metadata"]["name"])
        return True

    assert list_watch_until(server, is_modified, second, timeout=DEADLINE) == Event("MODIFIED", pod("x", 9))
    assert met == ["x"]


@pytest.mark.parametrize("timeout", [None, DEADLINE], ids=["unlimited", "limited"])
def test_list_watch_until_reads_all_pages(timeout):
    """All pages of a list are read, and the watch begins at the first page's version."""

    class Paged(Server):
        def list(self, options):
            self.lists.append(options)
            return Page([pod("b", 4)], "later") if options.continue_ else Page([pod("a", 3)], "5", "token")

    server = Paged(MODIFIED)
    names: list[str] = []

    def collect(event):
        names.append(event.object["metadata"]["name"])
        return is_modified(event)

    assert list_watch_until(server, collect, timeout=timeout) == MODIFIED
    assert names == ["a", "b", "a"]
    assert [options.continue_ for options in server.lists] == ["", "token"]
    assert server.watches[0].resource_version == "5"


def test_list_watch_until_asks_for_no_page_that_it_does_not_need():
    """Where the first page suffices, no other page is requested."""

    class Paged(Server):
        def list(self, options):
            assert not options.continue_
            return Page([pod("a", 3)], "5", "token")

    assert list_watch_until(Paged(), is_added, timeout=DEADLINE) == Event("ADDED", pod("a", 3))


def test_list_watch_until_without_conditions_asks_nothing():
    """client-go source, ListWatchUntil. It returns None without a request."""
    server = Server()
    assert list_watch_until(server) is None
    assert server.lists == []


@pytest.mark.parametrize("timeout", [None, DEADLINE], ids=["unlimited", "limited"])
def test_a_list_that_fails_raises(timeout):
    """client-go source, ListWatchUntil. An error of the list is raised."""

    class Refusing(Server):
        def list(self, options):
            raise ApiError(403, "Forbidden", "no")

    with pytest.raises(ApiError, match="403 Forbidden: no"):
        list_watch_until(Refusing(), is_added, timeout=timeout)


def test_a_list_that_hangs_is_given_up():
    """When the time is up during the list, the request is cancelled and its thread ends."""

    class Hanging(Server):
        def list(self, options):
            cancelled = threading.Event()
            scope = current_scope()
            assert scope is not None
            withdraw = scope.on_cancel(cancelled.set)
            assert cancelled.wait(DEADLINE)
            withdraw()
            raise ConnectionError

    began = time.monotonic()
    with pytest.raises(WatchTimeoutError, match="timed out waiting for the condition"):
        list_watch_until(Hanging(), is_added, timeout=0.05)
    assert time.monotonic() - began < DEADLINE / 2


def test_list_watch_until_with_zero_looks_at_the_list_only():
    """A time-out of 0 waits for the list, looks at its objects, and opens no watch."""

    class Slow(Server):
        def list(self, options):
            threading.Event().wait(0.05)
            return super().list(options)

    server = Slow(MODIFIED, items=[pod("a", 3)])
    assert list_watch_until(server, is_added, timeout=0) == Event("ADDED", pod("a", 3))
    with pytest.raises(WatchTimeoutError) as caught:
        list_watch_until(server, is_modified, timeout=0)
    assert caught.value.last_event == Event("ADDED", pod("a", 3))
    assert server.watches == []


def test_list_watch_until_stops_at_a_condition_that_raises():
    """A condition that raises on a listed object ends the wait as on a watched event."""
    server = Server(items=[pod("a", 3)])
    with pytest.raises(ConditionError, match="something bad") as caught:
        list_watch_until(server, something_bad, timeout=DEADLINE)
    assert caught.value.last_event == Event("ADDED", pod("a", 3))


def test_a_race_free_fake_is_waited_for(run):
    """It wakes for events that are put without a hand-off, too."""
    watcher: RaceFreeFakeWatcher[Any] = RaceFreeFakeWatcher()
    waiting = run(lambda: until(watcher, is_added, timeout=DEADLINE))
    watcher.action(*ADDED)
    assert waiting.result() == ADDED
