"""The behaviour that all watchers share, those for tests included."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.waiting import DEADLINE, PROMPT
from watch import (
    ApiError,
    BatchWatcher,
    Broadcaster,
    Channel,
    ChannelClosedError,
    EmptyWatcher,
    Event,
    FakeWatcher,
    ProxyWatcher,
    RaceFreeFakeWatcher,
    Recorder,
    RetryWatcher,
    StreamWatcher,
    WatchClosedError,
    Watcher,
    filter_watch,
)
from watch.byte_source import NotReadyError

EVENTS = [
    Event(kind, {"metadata": {"name": "a", "resourceVersion": str(version)}})
    for version, kind in enumerate(["ADDED", "MODIFIED", "MODIFIED", "DELETED"], 2)
]
GONE = Event("ERROR", ApiError(410, "Expired", "too old").to_status())


@dataclass
class Subject:
    """A watcher, and the way to send events into it."""

    watcher: Watcher[Any]
    send: Callable[[Event[Any]], object]
    """Gives it an event; may wait for a reader."""
    end: Callable[[], object]
    """Ends it from the side of the producer."""
    last: list[Event[Any]] = field(default_factory=list)
    """What it then adds to the events sent."""
    clean_up: Callable[[], object] = lambda: None


class Decoder:
    """Returns the items of a channel one at a time."""

    def __init__(self) -> None:
        self.channel: Channel[Event[Any]] = Channel(None)

    def decode(self) -> Event[Any]:
        try:
            return self.channel.get()
        except ChannelClosedError:
            raise EOFError from None

    def close(self) -> None:
        self.channel.close()


class BatchDecoder(Decoder):
    """The same in batches, with time-outs."""

    takes_timeout = True

    def decode_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        try:
            return ProxyWatcher(self.channel).next_batch(timeout)
        except TimeoutError:
            raise NotReadyError from None
        except WatchClosedError:
            raise EOFError from None


class Source:
    """Opens the same watch again and again."""

    def __init__(self, watcher: Watcher[Any]) -> None:
        self._watcher = watcher

    def watch(self, options: Any) -> Watcher[Any]:
        return self._watcher


def fed(watcher: FakeWatcher[Any]) -> Subject:
    return Subject(watcher, lambda event: watcher.action(*event), watcher.stop)


def over(make: Callable[[Watcher[Any]], Watcher[Any]]) -> Callable[[], Subject]:
    """A watcher over a fake one."""

    def subject() -> Subject:
        below = fed(RaceFreeFakeWatcher())
        return Subject(make(below.watcher), below.send, below.end)

    return subject


def stream(make: type[Decoder], wrap: Callable[[Watcher[Any]], Watcher[Any]] = lambda watcher: watcher) -> Subject:
    decoder = make()
    return Subject(wrap(StreamWatcher(decoder)), decoder.channel.put, decoder.channel.close)


def proxy() -> Subject:
    channel: Channel[Event[Any]] = Channel(None)
    return Subject(ProxyWatcher(channel), channel.put, channel.close)


def retrying() -> Subject:
    below = RaceFreeFakeWatcher()
    watcher = RetryWatcher("1", Source(below), min_restart_delay=0)
    return Subject(
        watcher,
        lambda event: below.action(*event),
        lambda: below.action(*GONE),
        [GONE],
        lambda: watcher.done.wait(DEADLINE) or pytest.fail("not done"),
    )


def broadcast(queue_length: int) -> Subject:
    broadcaster = Broadcaster(queue_length)
    watcher = broadcaster.watch()
    return Subject(watcher, lambda event: broadcaster.action(*event), broadcaster.shutdown, [], broadcaster.shutdown)


def keep(event: Event[Any]) -> Event[Any]:
    return event


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "empty": lambda: Subject(EmptyWatcher(), lambda event: None, lambda: None),
    "fake": lambda: fed(FakeWatcher()),
    "buffered-fake": lambda: fed(FakeWatcher(10)),
    "race-free-fake": lambda: fed(RaceFreeFakeWatcher()),
    "proxy": proxy,
    "filter": over(lambda watcher: filter_watch(watcher, keep)),
    "filter-over-stream": lambda: stream(BatchDecoder, lambda watcher: filter_watch(watcher, keep)),
    "recorder": over(Recorder),
    "stream": lambda: stream(Decoder),
    "batch-stream": lambda: stream(BatchDecoder),
    "retry": retrying,
    "broadcast": lambda: broadcast(0),
    "buffered-broadcast": lambda: broadcast(10),
}


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    made = SUBJECTS[request.param]()
    yield made
    made.watcher.stop()
    made.clean_up()


@pytest.fixture
def send(subject: Subject, run: Any) -> Callable[..., Any]:
    """Sends events on another thread and then, if asked, ends the watch. A stop during it is expected."""

    def produce(events: list[Event[Any]], end: bool) -> None:
        with contextlib.suppress(ChannelClosedError):
            for event in events:
                subject.send(event)
            if end:
                subject.end()

    return lambda *events, end=False: run(produce, list(events), end)


def takes_events(subject: Subject) -> None:
    if isinstance(subject.watcher, EmptyWatcher):
        pytest.skip("has no events")


def by_iteration(watcher: Any) -> list[Event[Any]]:
    return list(watcher)


def by_channel(watcher: Any) -> list[Event[Any]]:
    return list(watcher.result_chan())


def by_batches(watcher: Any) -> list[Event[Any]]:
    if not isinstance(watcher, BatchWatcher):
        return list(watcher)
    events: list[Event[Any]] = []
    while True:
        try:
            batch = watcher.next_batch()
        except WatchClosedError:
            return events
        assert batch
        events += batch


readers = pytest.mark.parametrize("read", [by_iteration, by_channel, by_batches])


def test_it_is_a_watcher(subject):
    """Every watcher satisfies the protocol."""
    assert isinstance(subject.watcher, Watcher)


@readers
def test_it_yields_its_events_and_ends_with_its_source(subject, send, read):
    """Every way of reading gives each event once and in order, and ends when the source ends."""
    takes_events(subject)
    send(*EVENTS, end=True)
    assert read(subject.watcher) == EVENTS + subject.last


@readers
def test_reading_ends_after_a_stop(subject, read):
    """A reader that begins after a stop finds the end."""
    subject.watcher.stop()
    if isinstance(subject.watcher, ProxyWatcher) and read is by_channel:
        pytest.skip("its channel stays open")
    assert read(subject.watcher) == []


@readers
def test_a_stop_is_prompt_while_a_read_is_blocked(subject, run, read):
    """A stop ends a reader's wait for the first event at once."""
    if isinstance(subject.watcher, ProxyWatcher) and read is by_channel:
        pytest.skip("its channel stays open")
    reader = run(read, subject.watcher)
    if not isinstance(subject.watcher, EmptyWatcher):
        assert not reader.ends_within(0.05)
    began = time.monotonic()
    subject.watcher.stop()
    assert reader.result() == []
    assert time.monotonic() - began < PROMPT


def test_a_stop_is_prompt_between_events(subject, send, run):
    """A stop ends a reader's wait for a further event at once."""
    takes_events(subject)
    send(EVENTS[0])
    iterator = iter(subject.watcher)
    assert next(iterator) == EVENTS[0]
    rest = run(list, iterator)
    assert not rest.ends_within(0.05)
    subject.watcher.stop()
    assert rest.result() == []


def test_stop_is_idempotent_and_from_any_thread(subject, run):
    """Many threads may stop a watcher, at once and again."""
    barrier = threading.Barrier(4)

    def stop() -> None:
        barrier.wait(DEADLINE)
        subject.watcher.stop()

    for task in [run(stop) for _ in range(4)]:
        task.result()
    subject.watcher.stop()
    assert list(subject.watcher) == []


def test_a_stop_leaves_nothing_waiting_though_events_were_not_read(subject, send):
    """client-go source. A stop without a read ends the waits of producers and of the watcher's own threads."""
    producer = send(*EVENTS)
    subject.watcher.result_chan()
    subject.watcher.stop()
    producer.result()


def test_the_reader_may_stop_it(subject, send):
    """A stop within an iteration ends it, at the latest after the events that are ready."""
    takes_events(subject)
    producer = send(*EVENTS)
    seen = []
    for event in subject.watcher:
        seen.append(event)
        subject.watcher.stop()
    assert seen == EVENTS[: len(seen)]
    assert seen
    producer.result()


def test_a_with_block_stops_it(subject):
    """A `with` block gives the watcher itself, and stops it, also after an exception."""
    with pytest.raises(LookupError), subject.watcher as entered:
        assert entered is subject.watcher
        raise LookupError
    assert list(subject.watcher) == []


def test_the_channel_is_always_the_same(subject):
    """Every call, also after a stop, returns the same channel."""
    channel = subject.watcher.result_chan()
    assert subject.watcher.result_chan() is channel
    subject.watcher.stop()
    assert subject.watcher.result_chan() is channel


def test_the_channel_is_closed_at_the_end(subject, send):
    """When the last event was taken, the channel is closed."""
    takes_events(subject)
    send(EVENTS[0], end=True)
    channel = subject.watcher.result_chan()
    assert list(channel) == [EVENTS[0], *subject.last]
    assert channel.closed


def test_an_iteration_that_breaks_off_loses_nothing(subject, send):
    """Events that one iteration left unread come in the next, even if they came in one batch."""
    takes_events(subject)
    producer = send(*EVENTS, end=True)
    if isinstance(subject.watcher, BatchWatcher):
        producer.result()
    assert [next(iter(subject.watcher)), *subject.watcher] == EVENTS + subject.last


def test_batches_tell_a_time_out_from_the_end(subject, send):
    """next_batch raises TimeoutError while events may come, and WatchClosedError at the end."""
    if not isinstance(subject.watcher, BatchWatcher):
        pytest.skip("cannot be pulled")
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError):
            subject.watcher.next_batch(timeout)
    send(EVENTS[0])
    assert subject.watcher.next_batch(DEADLINE) == [EVENTS[0]]
    subject.watcher.stop()
    for _ in range(2):
        with pytest.raises(WatchClosedError):
            subject.watcher.next_batch(DEADLINE)


def test_batches_follow_on_an_iteration(subject, send):
    """Events that came in one batch with an iterated one come next from next_batch or the channel."""
    takes_events(subject)
    if not isinstance(subject.watcher, BatchWatcher):
        pytest.skip("cannot be pulled")
    send(*EVENTS, end=True).result()
    events = [next(iter(subject.watcher))]
    assert events + by_batches(subject.watcher) == EVENTS + subject.last
