"""Watchers for tests."""

from __future__ import annotations

from typing import Any

import pytest

from watch import ChannelClosedError, ChannelFullError, Event, EventType, FakeWatcher, RaceFreeFakeWatcher

SCRIPT = [
    Event(EventType.ADDED, "foo"),
    Event(EventType.MODIFIED, "qux"),
    Event(EventType.MODIFIED, "bar"),
    Event(EventType.DELETED, "bar"),
    Event(EventType.ERROR, "error: blah"),
]

both = pytest.mark.parametrize("make", [FakeWatcher, RaceFreeFakeWatcher], ids=["fake", "race-free"])


def play(fake: FakeWatcher[Any]) -> None:
    fake.add("foo")
    fake.action(EventType.MODIFIED, "qux")
    fake.modify("bar")
    fake.delete("bar")
    fake.error("error: blah")
    fake.stop()


def test_fake_yields_what_it_is_given_then_ends(run):
    """Go: TestFake. Every call sends one event, which is read before the call returns; stop ends the stream."""
    fake = FakeWatcher()
    producer = run(play, fake)
    assert list(fake) == SCRIPT
    producer.result()


def test_race_free_fake_buffers_events_for_a_later_reader():
    """Go: TestRaceFreeFake. Events are buffered, and can be read after stop."""
    fake = RaceFreeFakeWatcher()
    play(fake)
    assert list(fake) == SCRIPT


@both
def test_stop_and_reset(make):
    """client-go source. `stop` is idempotent and shown by is_stopped; `reset` opens a new stream."""
    fake = make()
    before = fake.result_chan()
    assert not fake.is_stopped()
    fake.stop()
    fake.stop()
    assert fake.is_stopped()
    assert before.closed
    fake.reset()
    assert not fake.is_stopped()
    assert fake.result_chan() is not before
    assert not fake.result_chan().closed


@both
def test_reset_of_an_open_fake_ends_the_stream_that_readers_have(make, run):
    """A reader of the stream before a reset does not wait for ever."""
    fake = make()
    reader = run(list, fake.result_chan())
    fake.reset()
    assert reader.result() == []
    fake.stop()


def test_reset_keeps_the_size():
    """A reset keeps the size of the buffer."""
    fake = FakeWatcher(2)
    fake.reset()
    fake.add(1)
    fake.add(2)
    assert len(fake.result_chan()) == 2
    fake.stop()


def test_race_free_fake_ignores_actions_after_stop():
    """client-go source. After stop the methods that send do nothing."""
    fake = RaceFreeFakeWatcher()
    fake.stop()
    play(fake)
    assert list(fake) == []


def test_race_free_fake_raises_when_it_is_full():
    """client-go source. Without a reader the 101st event raises "channel full"."""
    fake = RaceFreeFakeWatcher()
    for number in range(100):
        fake.add(number)
    with pytest.raises(ChannelFullError, match=r"^channel full$"):
        fake.add(100)
    fake.stop()
    assert [event.object for event in fake] == list(range(100))


def test_race_free_fake_of_another_size():
    """The size of the buffer can be chosen."""
    fake = RaceFreeFakeWatcher(1)
    fake.add(1)
    with pytest.raises(ChannelFullError):
        fake.add(2)
    fake.stop()


def test_fake_of_size_n_blocks_at_the_next_event(run):
    """client-go source. n events are accepted without a reader; the next call waits."""
    fake = FakeWatcher(2)
    fake.add(1)
    fake.add(2)
    third = run(fake.add, 3)
    assert not third.ends_within(0.05)
    assert fake.result_chan().get() == Event(EventType.ADDED, 1)
    third.result()
    fake.stop()
    assert [event.object for event in fake] == [2, 3]


def test_unbounded_fake_never_blocks():
    """Without a bound all events are accepted at once."""
    fake = FakeWatcher(None)
    for number in range(1000):
        fake.add(number)
    fake.stop()
    assert len(list(fake)) == 1000


@pytest.mark.parametrize("action", ["add", "modify", "delete", "error"])
def test_fake_refuses_actions_after_stop(action):
    """Sending an event after stop raises in the test that sends it."""
    fake = FakeWatcher()
    fake.stop()
    with pytest.raises(ChannelClosedError):
        getattr(fake, action)("foo")


def test_stop_frees_a_waiting_action(run):
    """A call that waits for a reader raises when the watcher is stopped; its event was not sent."""
    fake = FakeWatcher()
    waiting = run(fake.add, "foo")
    assert not waiting.ends_within(0.05)
    fake.stop()
    with pytest.raises(ChannelClosedError):
        waiting.result()
    assert list(fake) == []


def test_any_type_is_sent():
    """An unknown type is passed on as the given string, a known one as an EventType."""
    fake = RaceFreeFakeWatcher()
    fake.action("SOMETHING", 1)
    fake.action("ADDED", 2)
    fake.stop()
    unknown, known = fake
    assert unknown == Event("SOMETHING", 1)
    assert known.type is EventType.ADDED
