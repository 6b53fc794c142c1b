"""An informer's changes as an iterator."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from informer import Change, DeltaType, EventStream, SharedInformer
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE
from watch import Channel

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]


def started(make_informer: Make, pod: Pod, *names: str, **options: Any) -> tuple[FakeControllerSource, Any]:
    source = FakeControllerSource()
    for name in names:
        source.add(pod(name))
    informer = make_informer(source, **options)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    assert source.wait_for_watches()
    return source, informer


def take(stream: EventStream[Any], count: int) -> list[tuple[str, str]]:
    return [(str(change.type), change.key) for change in islice(stream, count)]


def test_a_stream_begins_with_the_cached_objects(make_informer: Make, pod: Pod, queue: str) -> None:
    """It yields an initial add per object, then the changes, in order."""
    source, informer = started(make_informer, pod, "a", "b", queue=queue)
    with informer.events() as stream:
        first, second = next(stream), next(stream)
        assert {first.key, second.key} == {"ns/a", "ns/b"}
        assert first.is_in_initial_list
        assert second.is_in_initial_list
        source.modify(pod("a"))
        updated = next(stream)
        assert (updated.type, updated.old["metadata"]["resourceVersion"]) == (DeltaType.UPDATED, "1")
        source.delete(pod("b"))
        assert (next(stream).type, len(informer.store)) == (DeltaType.DELETED, 1)


@pytest.mark.parametrize("early", [True, False], ids=["before-the-start", "after-the-sync"])
def test_a_stream_may_leave_out_the_cached_objects(make_informer: Make, pod: Pod, queue: str, early: bool) -> None:
    """With `initial=False` only later changes come, whether the stream was made before or after the first list."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source, queue=queue)
    early_stream = informer.events(initial=False)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    assert source.wait_for_watches()
    stream = early_stream if early else informer.events(initial=False)
    source.add(pod("b"))
    assert next(stream).key == "ns/b"
    source.modify(pod("a"))
    assert next(stream).key == "ns/a"


def test_a_stream_before_the_start_gets_the_first_list(make_informer: Make, pod: Pod) -> None:
    """The reader waits for the start, and then gets the objects of the list."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    stream = informer.events()
    informer.start()
    change = next(stream)
    assert (change.type, change.key, change.is_in_initial_list) == (DeltaType.ADDED, "ns/a", True)


@pytest.mark.parametrize("way", ["close", "stop", "drain"])
def test_a_stream_ends(make_informer: Make, pod: Pod, way: str) -> None:
    """A waiting reader returns at once, and the stream stays ended."""
    _, informer = started(make_informer, pod)
    stream = informer.events()
    over: Channel[list[Change]] = Channel(None)
    reader = threading.Thread(target=lambda: over.put(list(stream)))
    reader.start()
    if way == "close":
        stream.close()
    else:
        informer.stop(drain=way == "drain")
    assert over.get(DEADLINE) == []
    reader.join(DEADLINE)
    with pytest.raises(StopIteration):
        next(stream)
    stream.close()


def test_closing_drops_what_was_taken_too(make_informer: Make, pod: Pod) -> None:
    """When the reader has begun a batch, the rest of it is dropped."""
    _, informer = started(make_informer, pod, "a", "b", "c")
    stream = informer.events()
    next(stream)
    assert stream.backlog_size == 2
    assert stream.lag_seconds > 0
    stream.close()
    assert (stream.backlog_size, stream.lag_seconds) == (0, 0)
    assert list(stream) == []


def test_a_stop_drops_what_waits_unless_it_drains(make_informer: Make, pod: Pod) -> None:
    """With drain the reader still gets the waiting changes, without it none."""
    for drain, expected in ((True, 3), (False, 0)):
        _, informer = started(make_informer, pod, "a", "b", "c")
        stream = informer.events()
        informer.stop(drain=drain)
        assert len(list(stream)) == expected


def test_a_slow_reader_gets_the_newest_state(make_informer: Make, pod: Pod, queue: str) -> None:
    """By default waiting changes are folded per key; with "all" every change comes."""
    source, informer = started(make_informer, pod, "a", queue=queue)
    folded, complete = informer.events(), informer.events(backlog="all")
    for _ in range(5):
        source.modify(pod("a"))
    source.add(pod("last"))
    assert informer.wait_for_resource_version("7", DEADLINE)
    assert (folded.backlog_size, complete.backlog_size) == (2, 7)
    first = next(folded)
    assert (first.type, first.object["metadata"]["resourceVersion"]) == (DeltaType.ADDED, "6")
    assert take(complete, 7)[-1] == ("Added", "ns/last")


def test_a_filter_shows_an_object_as_it_comes_and_goes(make_informer: Make, pod: Pod) -> None:
    """An object that does not pass is not shown; one that stops passing is a delete."""
    source, informer = started(make_informer, pod, "a")
    stream = informer.events(filter=lambda obj: "show" in obj["metadata"]["labels"], backlog="all")
    source.modify(pod("a", show="yes"))
    source.modify(pod("a"))
    assert take(stream, 2) == [("Added", "ns/a"), ("Deleted", "ns/a")]


def test_a_filter_that_raises_concerns_one_change(make_informer: Make, pod: Pod) -> None:
    """The exception comes out of the iteration, and the next step goes on behind that change."""
    _, informer = started(make_informer, pod, "bad", "good")

    def keep(obj: Any) -> bool:
        if obj["metadata"]["name"] == "bad":
            raise ValueError("odd")
        return True

    stream = informer.events(filter=keep)
    with pytest.raises(ValueError, match="odd"):
        next(stream)
    assert next(stream).key == "ns/good"


def test_a_stream_that_was_left_collects_nothing(make_informer: Make, pod: Pod) -> None:
    """A stream that is garbage-collected without a close is removed with the next batch."""
    source, informer = started(make_informer, pod, "a")
    for _ in informer.events(backlog="all"):
        break
    gc.collect()
    (subscription,) = informer._processor.listeners()
    source.add(pod("b"))
    assert informer.wait_for_resource_version("2", DEADLINE)
    assert informer._processor.listeners() == ()
    assert subscription.backlog_size == 0


def test_misuse_of_streams_is_refused(make_informer: Make) -> None:
    """The error names the filter that cannot be called, or the backlog that does not exist."""
    informer = make_informer(FakeControllerSource())
    odd: Any = "yes"
    with pytest.raises(TypeError, match="filter must be callable, not str"):
        informer.events(filter=odd)
    with pytest.raises(ValueError, match="backlog must be"):
        informer.events(backlog=odd)
