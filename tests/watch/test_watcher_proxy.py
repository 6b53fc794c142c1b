"""Watchers over a channel that another object owns, and over none."""

from __future__ import annotations

import pytest

from watch import BatchWatcher, Channel, EmptyWatcher, Event, ProxyWatcher, WatchClosedError

EVENTS = [Event(kind, {"metadata": {"name": f"{i}"}}) for i, kind in enumerate(["ADDED", "MODIFIED", "DELETED"] * 2)]


@pytest.fixture
def channel():
    channel = Channel(10)
    for event in EVENTS:
        channel.put(event)
    return channel


def test_empty_watcher_has_ended():
    """Go: TestEmpty. The stream has ended before and after `stop`, which does not raise."""
    empty = EmptyWatcher()
    assert list(empty) == []
    empty.stop()
    empty.stop()
    assert list(empty) == []
    assert empty.result_chan().closed


def test_proxy_watcher_yields_the_channels_events_and_sets_stopped(channel):
    """Go: TestProxyWatcher. The channel's events come in order, and `stop`, called once or twice, sets `stopped`."""
    proxy = ProxyWatcher(channel)
    assert [channel.get() for _ in EVENTS] == EVENTS
    assert not proxy.stopped.is_set()
    proxy.stop()
    assert proxy.stopped.is_set()
    proxy.stop()


def test_proxy_watcher_does_not_close_the_channel(channel):
    """client-go source. Only the owner closes the channel; stopping() tells it that the consumer is done."""
    proxy = ProxyWatcher(channel)
    assert proxy.result_chan() is channel
    assert not proxy.stopping()
    proxy.stop()
    assert proxy.stopping()
    assert not channel.closed
    channel.put_nowait(Event("ADDED", "more"))
    assert len(channel) == len(EVENTS) + 1


def test_iteration_of_a_proxy_ends_with_the_channel(channel):
    """When the owner closes the channel, iteration yields the rest and ends."""
    channel.close()
    assert list(ProxyWatcher(channel)) == EVENTS


def test_iteration_of_a_stopped_proxy_gives_what_is_there(channel):
    """After a stop iteration yields what the channel holds and does not wait."""
    proxy = ProxyWatcher(channel)
    proxy.stop()
    assert list(proxy) == EVENTS


def test_stop_ends_an_iteration_that_waits(run):
    """A stop ends a wait at an open, empty channel."""
    proxy = ProxyWatcher(Channel())
    reader = run(list, proxy)
    assert not reader.ends_within(0.05)
    proxy.stop()
    assert reader.result() == []


def test_iteration_that_breaks_off_leaves_the_rest_in_the_channel(channel):
    """Events that an iteration left unread come in the next one."""
    proxy = ProxyWatcher(channel)
    first = next(iter(proxy))
    proxy.stop()
    assert [first, *proxy] == EVENTS


def test_next_batch_takes_all_that_is_there(channel):
    """A proxy is a BatchWatcher: one batch of all events, then a time-out, then the end."""
    proxy = ProxyWatcher(channel)
    assert isinstance(proxy, BatchWatcher)
    assert proxy.next_batch() == EVENTS
    with pytest.raises(TimeoutError):
        proxy.next_batch(0)
    proxy.stop()
    with pytest.raises(WatchClosedError):
        proxy.next_batch()


def test_stop_ends_a_next_batch_that_waits(run):
    """A stop ends a next_batch that waits."""
    proxy = ProxyWatcher(Channel())
    reader = run(proxy.next_batch)
    assert not reader.ends_within(0.05)
    proxy.stop()
    with pytest.raises(WatchClosedError):
        reader.result()
