"""A broadcaster sends one stream of events to any number of watchers."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from watch import Broadcaster, BroadcasterShutdownError, Event, EventType, FullChannelBehavior

DROP = FullChannelBehavior.DROP_IF_CHANNEL_FULL
WAIT = FullChannelBehavior.WAIT_IF_CHANNEL_FULL

FOO1 = Event(EventType.ADDED, ("foo", "hello world 1"))
BAR2 = Event(EventType.ADDED, ("bar", "hello world 2"))
FOO3 = Event(EventType.MODIFIED, ("foo", "goodbye world 3"))
BAR4 = Event(EventType.DELETED, ("bar", "hello world 4"))
TABLE = [FOO1, BAR2, FOO3, BAR4]


def fill(broadcaster):
    """Sends events until the incoming queue is full; returns how many were accepted."""
    count = 0
    while broadcaster.action_or_drop("ADDED", count):
        count += 1
    return count


@pytest.fixture
def blocked():
    """A waiting broadcaster whose only watcher does not read; one event is being delivered."""
    broadcaster = Broadcaster(0)
    idle = broadcaster.watch()
    broadcaster.action(*FOO1)
    yield broadcaster, idle
    idle.stop()
    broadcaster.shutdown()


def test_every_watcher_gets_every_event_in_order(run):
    """Go: TestBroadcaster. Two watchers, each read by its own thread, see all four events and then the end."""
    broadcaster = Broadcaster(0)
    readers = [run(list, broadcaster.watch()) for _ in range(2)]
    for event in TABLE:
        broadcaster.action(*event)
    broadcaster.shutdown()
    assert [reader.result() for reader in readers] == [TABLE, TABLE]


def test_stop_and_shutdown_end_the_streams():
    """Go: TestBroadcasterWatcherClose. Both streams have ended; stopping either again does nothing."""
    broadcaster = Broadcaster(0)
    stopped, other = broadcaster.watch(), broadcaster.watch()
    stopped.stop()
    broadcaster.shutdown()
    assert list(stopped) == list(other) == []
    stopped.stop()
    other.stop()


@pytest.mark.parametrize("attempt", range(10))
def test_a_watcher_may_be_stopped_while_it_is_delivered_to(run, attempt):
    """Go: TestBroadcasterWatcherStopDeadlock. The first receiver stops the other watcher, and no thread blocks."""
    broadcaster = Broadcaster(0)
    one, other = broadcaster.watch(), broadcaster.watch()
    first = threading.Lock()

    def consume(mine, others):
        for _ in mine:
            if first.acquire(blocking=False):
                others.stop()

    readers = [run(consume, one, other), run(consume, other, one)]
    broadcaster.action(*FOO1)
    run(broadcaster.shutdown).result()
    for reader in readers:
        reader.result()


def test_a_stop_ends_a_waiting_delivery(blocked, run):
    """Go: TestBroadcasterWatcherStopDeadlock.

    A stop ends a delivery that waits, and the other watchers get the rest.
    """
    broadcaster, idle = blocked
    reader = broadcaster.watch()
    broadcaster.action(*BAR2)
    idle.stop()
    assert reader.result_chan().get(timeout=10) == BAR2
    run(broadcaster.shutdown).result()


def test_a_full_channel_drops():
    """Go: TestBroadcasterDropIfChannelFull. Watchers with room for one event yield the first only, and then end."""
    broadcaster = Broadcaster(1, DROP)
    watchers = [broadcaster.watch() for _ in range(2)]
    broadcaster.action(*FOO1)
    broadcaster.action(*BAR2)
    broadcaster.shutdown()
    assert [list(watcher) for watcher in watchers] == [[FOO1], [FOO1]]


def test_on_drop_is_called_for_each_dropped_event():
    """`on_drop` is called once per event and watcher without room; a stopped watcher does not count."""
    dropped = []
    with Broadcaster(1, DROP, on_drop=dropped.append) as broadcaster:
        watchers = [broadcaster.watch() for _ in range(3)]
        watchers[2].stop()
        broadcaster.action(*FOO1)
        broadcaster.action(*BAR2)
    assert dropped == [BAR2, BAR2]


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda b: b.watch(), id="watch"),
        pytest.param(lambda b: b.watch_with_prefix([FOO1, BAR2]), id="watch_with_prefix"),
        pytest.param(lambda b: b.action(*FOO1), id="action"),
        pytest.param(lambda b: b.action_or_drop(*FOO1), id="action_or_drop"),
    ],
)
@pytest.mark.parametrize("behavior", [WAIT, DROP], ids=["wait", "drop"])
def test_use_after_shutdown_raises(use, behavior):
    """Go: TestBroadcasterWatchAfterShutdown, TestBroadcasterSendEventAfterShutdown. Every call raises and says why."""
    broadcaster = Broadcaster(0, behavior)
    broadcaster.shutdown()
    with pytest.raises(BroadcasterShutdownError, match=r"^broadcaster already stopped$"):
        use(broadcaster)


@pytest.mark.parametrize("attempt", range(20))
def test_watchers_may_be_stopped_at_the_moment_of_shutdown(run, attempt):
    """Go: TestBroadcasterShutdownRace. No thread hangs, and no channel is closed twice."""
    broadcaster = Broadcaster(1)
    watchers = [broadcaster.watch() for _ in range(2)]
    broadcaster.action(*FOO1)
    barrier = threading.Barrier(3)

    def at_once(function):
        barrier.wait(10)
        function()

    tasks = [run(at_once, function) for function in (broadcaster.shutdown, watchers[0].stop, watchers[1].stop)]
    for task in tasks:
        task.result()
    assert all(watcher.result_chan().closed for watcher in watchers)


def test_a_watcher_gets_only_what_is_accepted_after_it(blocked, run):
    """client-go source. A new watcher does not get events accepted before it, even if they are still queued."""
    broadcaster, idle = blocked
    broadcaster.action(*BAR2)
    late = run(list, broadcaster.watch())
    broadcaster.action(*FOO3)
    idle.stop()
    broadcaster.shutdown()
    assert late.result() == [FOO3]


def test_watch_does_not_wait_for_the_queue(blocked, run):
    """`watch` and `stop` return while delivery is blocked by another watcher."""
    broadcaster, _ = blocked
    run(broadcaster.watch).result().stop()
    run(broadcaster.watch_with_prefix, TABLE).result().stop()


def test_a_prefix_comes_first(run):
    """client-go source. The prefix is delivered in order, then live events."""
    broadcaster = Broadcaster(0)
    reader = run(list, broadcaster.watch_with_prefix(iter([FOO1, BAR2])))
    broadcaster.action(*FOO3)
    broadcaster.action(*BAR4)
    broadcaster.shutdown()
    assert reader.result() == TABLE


@pytest.mark.parametrize(
    ("queue_length", "prefix", "room"),
    [
        pytest.param(0, 3, 1, id="prefix-and-one"),
        pytest.param(10, 3, 7, id="queue-length"),
        pytest.param(4, 3, 1, id="equal"),
        pytest.param(0, 0, 1, id="empty-prefix"),
    ],
)
def test_a_watcher_with_a_prefix_has_room_for_it_and_one_more(queue_length, prefix, room):
    """client-go source. The channel holds max(queue length, length of the prefix + 1) events."""
    broadcaster = Broadcaster(queue_length, DROP)
    watcher = broadcaster.watch_with_prefix([FOO1] * prefix)
    for _ in range(20):
        broadcaster.action(*BAR2)
    broadcaster.shutdown()
    assert list(watcher) == [FOO1] * prefix + [BAR2] * room


@pytest.mark.parametrize(("length", "accepted"), [(None, 26), (25, 26), (3, 4), (0, 1)])
def test_action_or_drop_returns_whether_there_was_room(length, accepted):
    """client-go source. With a blocked watcher it accepts one event for delivery and as many as the queue holds."""
    broadcaster = Broadcaster(0) if length is None else Broadcaster(0, incoming_queue_length=length)
    watcher = broadcaster.watch()
    assert fill(broadcaster) == accepted
    assert broadcaster.action_or_drop(*FOO1) is False
    assert watcher.result_chan().get(timeout=10) == Event("ADDED", 0)
    watcher.stop()
    broadcaster.shutdown()


def test_shutdown_waits_until_every_event_is_delivered(blocked, run):
    """client-go source. Streams end after the accepted events, and shutdown returns only then."""
    broadcaster, idle = blocked
    for event in TABLE[1:]:
        broadcaster.action(*event)
    shutdown = run(broadcaster.shutdown)
    assert not shutdown.ends_within(0.05)
    assert not idle.result_chan().closed
    assert list(idle) == TABLE
    shutdown.result()


def test_shutdown_again_and_from_several_threads(blocked, run):
    """client-go source. Every call returns when all events are delivered; a later one does nothing."""
    broadcaster, idle = blocked
    shutdowns = [run(broadcaster.shutdown) for _ in range(3)]
    assert not any(shutdown.ends_within(0.02) for shutdown in shutdowns)
    assert list(idle) == [FOO1]
    for shutdown in shutdowns:
        shutdown.result()
    broadcaster.shutdown()


def test_what_is_buffered_can_be_read_after_shutdown():
    """client-go source. Shutdown waits until the channels hold the events, not until they are read."""
    broadcaster = Broadcaster(10)
    watcher = broadcaster.watch()
    for event in TABLE:
        broadcaster.action(*event)
    broadcaster.shutdown()
    assert list(watcher) == TABLE


def test_dropping_is_for_each_watcher_alone():
    """client-go source. A watcher whose channel is full loses the event; the others get it."""
    broadcaster = Broadcaster(1, DROP)
    full = broadcaster.watch_with_prefix([])
    roomy = broadcaster.watch_with_prefix(TABLE)
    drained = [roomy.result_chan().get() for _ in TABLE]
    broadcaster.action(*FOO1)
    broadcaster.action(*BAR2)
    broadcaster.shutdown()
    assert drained == TABLE
    assert list(full) == [FOO1]
    assert list(roomy) == [FOO1, BAR2]


def test_a_dropping_hand_off_reaches_a_reader_that_waits(run):
    """Without a queue an event reaches only the watchers whose reader is waiting."""
    broadcaster = Broadcaster(0, DROP)
    watcher, lost = broadcaster.watch(), broadcaster.watch()
    reader = run(watcher.result_chan().get)
    while not reader.ends_within(0.01):
        broadcaster.action(*FOO1)
    assert reader.result() == FOO1
    broadcaster.shutdown()
    assert list(lost) == []


def test_a_slow_watcher_keeps_the_others_waiting_until_it_reads_or_stops(run):
    """client-go source. When waiting, the second event is delivered only after every watcher took the first."""
    broadcaster = Broadcaster(0)
    slow, quick = broadcaster.watch(), broadcaster.watch()
    got = run(lambda: [quick.result_chan().get() for _ in range(3)])
    for event in (FOO1, BAR2, FOO3):
        broadcaster.action(*event)
    assert not got.ends_within(0.05)
    assert slow.result_chan().get(timeout=10) == FOO1
    assert not got.ends_within(0.05)
    slow.stop()
    assert got.result() == [FOO1, BAR2, FOO3]
    broadcaster.shutdown()


def test_action_waits_for_room(blocked, run):
    """`action` waits while the incoming queue is full."""
    broadcaster, idle = blocked
    accepted = 1 + fill(broadcaster)
    waiting = run(broadcaster.action, *BAR4)
    assert not waiting.ends_within(0.05)
    idle.result_chan().get(timeout=10)
    waiting.result()
    reader = run(list, idle)
    broadcaster.shutdown()
    assert reader.result()[-1] == BAR4
    assert len(reader.result()) == accepted


@pytest.mark.parametrize("length", [25, 0], ids=["queue", "no-queue"])
def test_an_action_that_waits_at_shutdown_is_still_delivered(length, run):
    """client-go source. An `action` that began before the shutdown is delivered before the streams end."""
    broadcaster = Broadcaster(0, incoming_queue_length=length)
    watcher = broadcaster.watch()
    accepted = fill(broadcaster)
    waiting = run(broadcaster.action, *BAR4)
    assert not waiting.ends_within(0.05)
    shutdown = run(broadcaster.shutdown)
    assert not shutdown.ends_within(0.05)
    with pytest.raises(BroadcasterShutdownError):
        broadcaster.action(*FOO1)
    got = list(watcher)
    assert len(got) == accepted + 1
    assert got[-1] == BAR4
    waiting.result()
    shutdown.result()


def test_all_watchers_see_one_order(run):
    """All watchers get the events of many threads in the same order, and those of one thread in the order sent."""
    broadcaster = Broadcaster(3)
    readers = [run(list, broadcaster.watch()) for _ in range(3)]

    def produce(thread):
        for number in range(50):
            broadcaster.action("ADDED", (thread, number))

    for producer in [run(produce, thread) for thread in range(4)]:
        producer.result()
    broadcaster.shutdown()
    one, *others = [[event.object for event in reader.result()] for reader in readers]
    assert all(other == one for other in others)
    for thread in range(4):
        assert [number for who, number in one if who == thread] == list(range(50))


def test_a_with_block_shuts_down():
    """Leaving the block delivers the accepted events and ends the watchers."""
    with Broadcaster(5) as broadcaster:
        watcher = broadcaster.watch()
        broadcaster.action(*FOO1)
    assert list(watcher) == [FOO1]
    with pytest.raises(BroadcasterShutdownError):
        broadcaster.watch()


def test_a_consumer_may_stop_its_own_watcher(run):
    """A stop from the reading thread ends its iteration, and lets delivery go on."""
    broadcaster = Broadcaster(0)
    watcher = broadcaster.watch()

    def consume():
        seen = []
        for event in watcher:
            seen.append(event)
            watcher.stop()
        return seen

    reader = run(consume)
    broadcaster.action(*FOO1)
    broadcaster.action(*BAR2)
    broadcaster.shutdown()
    assert reader.result() == [FOO1]


def test_nothing_is_kept_of_stopped_watchers_and_delivered_events():
    """An idle broadcaster refers neither to a stopped watcher's channel nor to the last event."""

    class Thing:
        pass

    broadcaster = Broadcaster(5)
    watcher, last = broadcaster.watch(), broadcaster.watch()
    broadcaster.action("ADDED", Thing())
    thing = weakref.ref(watcher.result_chan().get(timeout=10).object)
    last.result_chan().get(timeout=10)
    channel = weakref.ref(watcher.result_chan())
    watcher.stop()
    del watcher
    # When the next event is delivered, the delivery of the one before is over.
    broadcaster.action("ADDED", 1)
    last.result_chan().get(timeout=10)
    broadcaster.action("ADDED", 2)
    last.result_chan().get(timeout=10)
    gc.collect()
    assert channel() is None
    assert thing() is None
    broadcaster.shutdown()


def test_a_failed_delivery_ends_every_watcher(monkeypatch, caplog, run):
    """When delivery itself fails, watchers end and producers get an error instead of waiting for ever."""
    broadcaster = Broadcaster(0, incoming_queue_length=0)
    watcher = broadcaster.watch()
    fail = threading.Event()

    def give(channel, event):
        assert fail.wait(10)
        raise ZeroDivisionError

    monkeypatch.setattr(broadcaster, "_deliver", give)
    broadcaster.action(*FOO1)
    waiting = run(broadcaster.action, *BAR2)
    assert not waiting.ends_within(0.05)
    fail.set()
    with pytest.raises(BroadcasterShutdownError):
        waiting.result()
    with pytest.raises(BroadcasterShutdownError):
        broadcaster.action(*FOO1)
    assert list(watcher) == []
    broadcaster.shutdown()
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "options", "named"),
    [
        ((-1,), {}, "queue_length"),
        ((0,), {"incoming_queue_length": -1}, "incoming_queue_length"),
        ((0, "sometimes"), {}, "sometimes"),
    ],
)
def test_bad_arguments_are_named(arguments, options, named):
    """A negative length or an unknown behaviour is refused, by name."""
    with pytest.raises(ValueError, match=named):
        Broadcaster(*arguments, **options)
