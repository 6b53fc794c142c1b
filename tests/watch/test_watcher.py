"""Reading any watcher in batches, on the caller's thread."""

from __future__ import annotations

import threading

import pytest

from watch import Event, FakeWatcher, ProxyWatcher, WatchClosedError
from watch.concurrency import Signal
from watch.watcher import next_batch_of, puller

EVENTS = [Event("ADDED", number) for number in range(3)]


def test_a_batch_watchers_own_next_batch_is_used():
    """A BatchWatcher's own next_batch is used."""

    class Pulled(FakeWatcher):
        def next_batch(self, timeout=None):
            return [Event("ADDED", timeout)]

    assert puller(Pulled())(7) == [Event("ADDED", 7)]


def test_any_other_watcher_is_read_through_its_channel():
    """All events that are ready come in one batch; then a time-out, then the end."""
    fake = FakeWatcher(None)
    pull = puller(fake)
    for event in EVENTS:
        fake.action(*event)
    assert pull(None) == EVENTS
    with pytest.raises(TimeoutError):
        pull(0)
    fake.stop()
    with pytest.raises(WatchClosedError):
        pull(None)


def test_the_channel_is_asked_for_at_each_call():
    """The watcher is asked for its channel at each call, since it may have another one."""
    fake = FakeWatcher(None)
    pull = puller(fake)
    fake.stop()
    fake.reset()
    fake.add(1)
    assert pull(10) == [Event("ADDED", 1)]


@pytest.mark.parametrize("signal", [threading.Event, Signal], ids=["plain-event", "signal"])
def test_stop_ends_a_pull_that_waits(run, signal):
    """Setting the stop event ends the wait at a channel that stays open; ready events still come."""
    fake, stop = FakeWatcher(None), signal()
    pull = puller(fake, stop=stop)
    waiting = run(pull, None)
    assert not waiting.ends_within(0.05)
    stop.set()
    with pytest.raises(WatchClosedError):
        waiting.result()
    assert not fake.is_stopped()
    fake.add(1)
    assert pull(None) == [Event("ADDED", 1)]
    with pytest.raises(WatchClosedError):
        pull(None)


def test_next_batch_of_takes_offers_too(run):
    """A batch takes the event of a producer that waits at a hand-off."""
    fake = FakeWatcher()
    producer = run(fake.add, 1)
    assert next_batch_of(fake.result_chan(), 10) == [Event("ADDED", 1)]
    producer.result()
    with pytest.raises(TimeoutError):
        next_batch_of(ProxyWatcher(fake.result_chan()).result_chan(), 0.01)
