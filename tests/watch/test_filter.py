"""Watchers that filter, change or record another watcher's events."""

from __future__ import annotations

import threading

import pytest

from watch import (
    BatchWatcher,
    Channel,
    Event,
    EventType,
    FakeWatcher,
    ProxyWatcher,
    RaceFreeFakeWatcher,
    Recorder,
    StreamWatcher,
    WatchClosedError,
    filter_watch,
)

NAMES = ["foo", "bar", "baz", "qux", "zoo"]
EVENTS = [Event(EventType.ADDED, name) for name in NAMES]


def without_b(event):
    return None if event.object.startswith("b") else event


def everything(event):
    return event


def nothing(event):
    return None


def play(source):
    for name in NAMES:
        source.add(name)
    source.stop()


def recorded(*events, closed=True):
    """A watcher over events that are ready."""
    channel = Channel(None)
    for event in events:
        channel.put(event)
    if closed:
        channel.close()
    return ProxyWatcher(channel)


class Batches:
    """A decoder that returns batches."""

    def __init__(self, *batches):
        self._batches = list(batches)

    def decode_batch(self):
        if not self._batches:
            raise EOFError
        return self._batches.pop(0)

    def decode(self):
        raise AssertionError("decode_batch is there")

    def close(self):
        self._batches.clear()


@pytest.fixture(params=["pulled", "channel"])
def read(request):
    """Reads a watcher to its end, by iteration or through its channel."""
    return (lambda watcher: list(watcher)) if request.param == "pulled" else (lambda w: list(w.result_chan()))


def test_filter_leaves_out_what_the_function_drops(run, read):
    """Go: TestFilter. Of five events those whose object begins with "b" are left out; the end is passed on."""
    source = FakeWatcher()
    producer = run(play, source)
    assert [event.object for event in read(filter_watch(source, without_b))] == ["foo", "qux", "zoo"]
    producer.result()


def test_stop_is_passed_on_to_the_source(run, read):
    """Go: TestFilterStop. Events sent before the stop are delivered, then the filtered stream ends."""
    source = FakeWatcher()
    filtered = filter_watch(source, without_b)

    def produce():
        source.add("foo")
        filtered.stop()

    producer = run(produce)
    assert [event.object for event in read(filtered)] == ["foo"]
    producer.result()
    assert source.is_stopped()


def test_recorder_records_what_it_passes_on(run, read):
    """Go: TestRecorder. When the recorder was read to its end, events() returns the five events in order."""
    source = FakeWatcher()
    producer = run(play, source)
    recorder = Recorder(source)
    assert read(recorder) == EVENTS
    assert recorder.events() == EVENTS
    producer.result()


def test_the_function_may_replace_an_event(read):
    """client-go source. The event that the function returns is delivered."""
    filtered = filter_watch(recorded(*EVENTS), lambda event: Event("MODIFIED", event.object.upper()))
    assert read(filtered) == [Event(EventType.MODIFIED, name.upper()) for name in NAMES]


def test_recorder_records_before_it_passes_on(run):
    """client-go source. An event is recorded before the consumer gets it."""
    source = FakeWatcher()
    recorder = Recorder(source)
    producer = run(play, source)
    for count, event in enumerate(recorder):
        assert recorder.events()[count] == event
    producer.result()


def test_recorded_events_are_a_copy():
    """client-go source. Changing the list that events() returned changes no later result."""
    recorder = Recorder(recorded(*EVENTS))
    assert recorder.events() == []
    assert list(recorder) == EVENTS
    recorder.events().clear()
    assert recorder.events() == EVENTS


def test_batches_stay_batches():
    """A batch of the source becomes one batch; a batch without kept events is skipped."""
    stream = StreamWatcher(Batches(EVENTS[:3], EVENTS[1:3], EVENTS[3:]))
    filtered = filter_watch(stream, without_b)
    assert isinstance(filtered, BatchWatcher)
    assert filtered.next_batch() == [EVENTS[0]]
    assert filtered.next_batch() == EVENTS[3:]
    with pytest.raises(WatchClosedError):
        filtered.next_batch()


@pytest.mark.parametrize("make", [lambda w: filter_watch(w, everything), Recorder], ids=["filter", "recorder"])
def test_no_thread_until_the_channel_is_asked_for(make):
    """Iteration and batches run on the reader's thread. `result_chan` starts a thread, which ends with the watch."""
    before = threading.active_count()
    watcher = make(recorded(*EVENTS, closed=False))
    assert watcher.next_batch(0) == EVENTS
    with pytest.raises(TimeoutError):
        watcher.next_batch(0)
    assert threading.active_count() == before
    channel = watcher.result_chan()
    assert threading.active_count() == before + 1
    assert watcher.result_chan() is channel
    watcher.stop()
    assert list(channel) == []


def test_next_batch_gives_up_in_time_though_events_come(run):
    """Events that are left out do not extend the time-out."""
    channel = Channel(None)
    filtered = filter_watch(ProxyWatcher(channel), nothing)
    ended = threading.Event()

    def produce():
        while not ended.wait(0.01):
            channel.put(EVENTS[0])

    producer = run(produce)
    with pytest.raises(TimeoutError):
        filtered.next_batch(0.1)
    ended.set()
    producer.result()


def test_next_batch_reads_the_channel_once_there_is_one():
    """After result_chan() batches come through the channel, so each event comes once and in order."""
    filtered = filter_watch(recorded(*EVENTS), everything)
    channel = filtered.result_chan()
    events = [channel.get(), *filtered.next_batch(10)]
    while True:
        try:
            events += filtered.next_batch(10)
        except WatchClosedError:
            break
    assert events == EVENTS


def test_an_iteration_that_breaks_off_is_gone_on_with():
    """Events of a batch that an iteration left unread come next, however they are read."""
    filtered = filter_watch(StreamWatcher(Batches(EVENTS)), everything)
    assert next(iter(filtered)) == EVENTS[0]
    assert next(iter(filtered)) == EVENTS[1]
    assert filtered.result_chan().get(timeout=10) == EVENTS[2]
    assert list(filtered) == EVENTS[3:]


def test_an_iteration_follows_to_the_channel():
    """A running iteration continues in order when the channel is asked for."""
    filtered = filter_watch(recorded(*EVENTS), everything)
    iterator = iter(filtered)
    first = next(iterator)
    filtered.result_chan()
    assert [first, *iterator] == EVENTS


def fails_at_baz(event):
    if event.object == "baz":
        raise LookupError("no such thing")
    return event


def test_a_function_that_raises_raises_for_its_event_only():
    """The events before it come first, then the reader gets the exception, then the later events."""
    filtered = filter_watch(recorded(*EVENTS), fails_at_baz)
    assert filtered.next_batch() == EVENTS[:2]
    with pytest.raises(LookupError, match="no such thing"):
        filtered.next_batch()
    assert filtered.next_batch() == EVENTS[3:]


def test_a_function_that_raises_ends_the_channel_with_an_error_event(caplog):
    """On the channel's thread the exception becomes an ERROR event with a Status, and the source is stopped."""
    source = RaceFreeFakeWatcher()
    for name in NAMES:
        source.add(name)
    *good, last = filter_watch(source, fails_at_baz).result_chan()
    assert good == EVENTS[:2]
    assert last.type == "ERROR"
    assert last.object["code"] == 500
    assert "no such thing" in last.object["message"]
    assert source.is_stopped()
    assert "LookupError" in caplog.text


def test_a_stop_ends_the_channels_thread_without_a_reader():
    """A stop ends the channel's thread while it waits for a reader; the events that it read can still be taken."""
    source = RaceFreeFakeWatcher()
    for name in NAMES:
        source.add(name)
    filtered = filter_watch(source, without_b)
    channel = filtered.result_chan()
    assert channel.get(timeout=10).object == "foo"
    filtered.stop()
    assert [event.object for event in channel] == ["qux", "zoo"]


def test_a_stop_ends_a_filter_whose_source_leaves_its_channel_open(run, read):
    """A stop ends the reading even where the source leaves its channel open."""

    class Open(FakeWatcher):
        def stop(self):
            pass

    filtered = filter_watch(Open(), everything)
    reader = run(read, filtered)
    assert not reader.ends_within(0.05)
    filtered.stop()
    assert reader.result() == []


def test_the_function_may_use_the_watcher(read):
    """The function may stop the watcher or ask for its channel without a deadlock."""

    def stops_at_baz(event):
        filtered.result_chan()
        if event.object == "baz":
            filtered.stop()
        return event

    filtered = filter_watch(recorded(*EVENTS, closed=False), stops_at_baz)
    assert read(filtered) == EVENTS


def test_filters_stack():
    """A filter over a recorder over a filter gets and records what the one below passes on."""
    recorder = Recorder(filter_watch(recorded(*EVENTS), without_b))
    outer = filter_watch(recorder, lambda event: event if "o" in event.object else None)
    assert [event.object for event in outer] == ["foo", "zoo"]
    assert [event.object for event in recorder.events()] == ["foo", "qux", "zoo"]
