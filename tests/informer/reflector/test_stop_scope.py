"""The scope that aborts a reflector's request or watch when it is stopped."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from informer.reflector.stop_scope import StopScope
from watch import Channel, Event, ProxyWatcher, WatchClosedError
from watch.concurrency import Signal
from watch.errors import RequestCancelledError
from watch.fake import FakeWatcher
from watch.request_scope import current_scope

PATIENCE = 10.0


@pytest.fixture(params=[Signal, threading.Event], ids=["signal", "event"])
def stop(request: pytest.FixtureRequest) -> Any:
    """A stop event that calls back by itself, and a plain one."""
    return request.param()


def scope(stop: Any) -> StopScope:
    return StopScope(stop)


def test_a_stop_aborts_the_request() -> None:
    """The transport's function that closes the connection is called, and a later request is refused."""
    stop, closed = Signal(), []
    with scope(stop) as made, made.scope:
        current = current_scope()
        assert current is not None
        current.on_cancel(lambda: closed.append("connection"))
        stop.set()
        assert closed == ["connection"]
        with pytest.raises(RequestCancelledError):
            current.on_cancel(lambda: None)


def test_a_stop_ends_the_watch(stop: Any, run: Any) -> None:
    """A blocked read of the watch ends, and the watcher is stopped."""
    watcher: FakeWatcher[Any] = FakeWatcher(None)

    def read() -> None:
        with scope(stop) as made, made.watching(watcher) as pull, pytest.raises(WatchClosedError):
            reading.set()
            pull(None)

    reading = threading.Event()
    task = run(read)
    assert reading.wait(PATIENCE)
    stop.set()
    task.result()
    assert watcher.is_stopped()


def test_a_stop_ends_the_read_of_a_channel_that_stays_open(stop: Any, run: Any) -> None:
    """Stopping a `ProxyWatcher` does not close its channel, which belongs to the caller."""
    channel: Channel[Event[Any]] = Channel(None)
    reading = threading.Event()

    def read() -> None:
        with scope(stop) as made, made.watching(ProxyWatcher(channel)) as pull, pytest.raises(WatchClosedError):
            reading.set()
            pull(None)

    task = run(read)
    assert reading.wait(PATIENCE)
    stop.set()
    task.result()
    assert not channel.closed


def test_a_watcher_that_is_opened_after_the_stop_is_stopped() -> None:
    """A watch call may return just after the stop."""
    stop, watcher = Signal(), FakeWatcher[Any](None)
    with scope(stop) as made:
        stop.set()
        with made.watching(watcher):
            assert watcher.is_stopped()


def test_a_watch_is_open_within_its_block_only() -> None:
    """`is_watching` is True there; the watcher is stopped at the end, also after an exception."""
    watcher: FakeWatcher[Any] = FakeWatcher(None)
    with scope(Signal()) as made:
        assert not made.is_watching
        with pytest.raises(ZeroDivisionError), made.watching(watcher):
            assert made.is_watching
            raise ZeroDivisionError
        assert not made.is_watching
    assert watcher.is_stopped()


def test_events_are_read_while_there_is_no_stop() -> None:
    """`pull` returns a watcher's events in order."""
    watcher: FakeWatcher[Any] = FakeWatcher(None)
    with scope(Signal()) as made, made.watching(watcher) as pull:
        watcher.add("a")
        watcher.add("b")
        assert [event.object for event in pull(PATIENCE)] == ["a", "b"]


def test_a_stop_after_the_scope_does_nothing() -> None:
    """The scope withdraws its callback when its block ends."""
    stop = Signal()
    with scope(stop) as made:
        pass
    stop.set()
    assert not made.scope.cancelled
