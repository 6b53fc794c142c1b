"""An informer in the form of a watch, and waiting for conditions on it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from informer import (
    InformerWatcher,
    ListOptions,
    ListWatch,
    Object,
    ObjectList,
    informer_watcher,
    until_with_sync,
)
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE
from watch import (
    ApiError,
    BatchWatcher,
    Channel,
    ConditionError,
    Event,
    EventType,
    FakeWatcher,
    WatchClosedError,
    WatchTimeoutError,
)

Pod = Callable[..., dict[str, Any]]


def type_and_name(event: Event[Any]) -> tuple[str, str]:
    return str(event.type), event.object["metadata"]["name"]


@pytest.mark.parametrize("way", ["channel", "batches"])
def test_it_lists_and_follows(pod: Pod, way: str) -> None:
    """Go: TestNewInformerWatcher. Existing objects are ADDED events, then the changes come, until a stop with unread events."""
    source = FakeControllerSource()
    for name in ("pod-1", "pod-2", "pod-3"):
        source.add(pod(name))
    watcher = informer_watcher(source)
    assert isinstance(watcher, BatchWatcher)
    events: list[Event[Any]] = []

    def read(count: int) -> None:
        while len(events) < count:
            events.extend([watcher.result_chan().get(DEADLINE)] if way == "channel" else watcher.next_batch(DEADLINE))

    read(3)
    assert source.wait_for_watches()
    source.add(pod("pod-4"))
    source.modify(pod("pod-2"))
    source.delete(pod("pod-3"))
    read(6)
    assert sorted(map(type_and_name, events[:3])) == [("ADDED", "pod-1"), ("ADDED", "pod-2"), ("ADDED", "pod-3")]
    assert list(map(type_and_name, events[3:])) == [("ADDED", "pod-4"), ("MODIFIED", "pod-2"), ("DELETED", "pod-3")]
    assert len(watcher.store) == 3
    source.add(pod("unread"))
    assert watcher.informer.wait_for_resource_version("7", DEADLINE)
    watcher.stop()
    assert watcher.done.wait(DEADLINE)


def test_the_bookmark_that_ends_a_watch_list_is_not_shown() -> None:
    """Go: TestNewInformerWatcher. With WatchList the initial events and later ones come alike."""
    stream = FakeWatcher(maxsize=None)
    requests: list[ListOptions] = []

    def watch(options: ListOptions) -> FakeWatcher:
        requests.append(options)
        return stream

    def object_(name: str, version: int) -> dict[str, Any]:
        return {"metadata": {"name": name, "resourceVersion": str(version)}}

    def refuse(options: ListOptions) -> Any:
        raise AssertionError("nothing is to be listed")

    for number in (1, 2, 3):
        stream.add(object_(f"pod-{number}", number))
    end = {"annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": "3"}
    stream.action(EventType.BOOKMARK, {"metadata": end})
    with informer_watcher(ListWatch(refuse, watch)) as watcher:
        assert watcher.informer.wait_for_sync(DEADLINE)
        stream.add(object_("pod-4", 4))
        stream.modify(object_("pod-2", 5))
        stream.delete(object_("pod-3", 6))
        chan = watcher.result_chan()
        events = [type_and_name(chan.get(DEADLINE)) for _ in range(6)]
    assert sorted(events[:3]) == [("ADDED", "pod-1"), ("ADDED", "pod-2"), ("ADDED", "pod-3")]
    assert events[3:] == [("ADDED", "pod-4"), ("MODIFIED", "pod-2"), ("DELETED", "pod-3")]
    assert requests[0].send_initial_events
    assert watcher.done.wait(DEADLINE)


def test_a_missed_delete_gives_the_object_as_it_was_known() -> None:
    """Go: TestInformerWatcherDeletedFinalStateUnknown. A relist without the object makes a DELETED event with it."""
    secret = {"metadata": {"name": "secret1", "namespace": "ns1", "resourceVersion": "123"}}
    lists, watches = [0], [0]

    def list_func(options: Any) -> ObjectList[Any]:
        lists[0] += 1
        return ObjectList([secret], "1") if lists[0] == 1 else ObjectList([], "2")

    def watch_func(options: Any) -> FakeWatcher:
        watches[0] += 1
        watcher = FakeWatcher(maxsize=5)
        if options.resource_version == "1":
            watcher.error({"kind": "Status", "code": 410, "reason": "Gone", "message": "gone"})
            watcher.stop()
        return watcher

    watcher = informer_watcher(ListWatch(list_func, watch_func, supports_watch_list=False))
    first, second = (watcher.result_chan().get(DEADLINE) for _ in range(2))
    assert (type_and_name(first), type_and_name(second)) == (("ADDED", "secret1"), ("DELETED", "secret1"))
    assert second.object["metadata"]["resourceVersion"] == "123"
    assert lists[0] >= 2
    assert watches[0] >= 1
    watcher.stop()
    assert watcher.done.wait(DEADLINE)


def test_events_come_in_order_and_nothing_waits_for_their_reader(pod: Pod) -> None:
    """Go: TestEventProcessorOrdersEvents. A thousand changes are read in the order in which they were made."""
    source = FakeControllerSource()
    with informer_watcher(source) as watcher:
        assert watcher.informer.wait_for_sync(DEADLINE)
        assert source.wait_for_watches()
        for number in range(1000):
            source.add(pod(f"p{number}"))
        assert watcher.informer.wait_for_resource_version("1000", DEADLINE)
        chan = watcher.result_chan()
        assert [chan.get(DEADLINE).object["metadata"]["name"] for _ in range(1000)] == [f"p{n}" for n in range(1000)]
    assert watcher.done.wait(DEADLINE)


@pytest.mark.parametrize("unread", [0, 2], ids=["blocked-read", "blocked-write"])
def test_a_stop_ends_a_read_or_a_hand_off_under_way(pod: Pod, unread: int) -> None:
    """Go: TestEventProcessorExit. The pump thread ends, whatever it waits for."""
    source = FakeControllerSource()
    for number in range(1 + unread):
        source.add(pod(f"p{number}"))
    watcher = informer_watcher(source)
    chan = watcher.result_chan()
    chan.get(DEADLINE)
    watcher.stop()
    watcher.stop()
    assert watcher.done.wait(DEADLINE)
    assert list(chan) == []
    with pytest.raises(WatchClosedError):
        watcher.next_batch()


def test_a_stop_ends_a_wait_for_a_batch() -> None:
    """A waiting reader gets WatchClosedError; a time-out is a TimeoutError."""
    watcher = informer_watcher(FakeControllerSource())
    with pytest.raises(TimeoutError):
        watcher.next_batch(0)
    ended: Channel[bool] = Channel(None)

    def read() -> None:
        try:
            watcher.next_batch()
        except WatchClosedError:
            ended.put(True)

    reader = threading.Thread(target=read)
    reader.start()
    watcher.stop()
    assert ended.get(DEADLINE)
    reader.join(DEADLINE)
    assert watcher.done.wait(DEADLINE)


def test_done_waits_for_a_function_that_hangs() -> None:
    """`done` is not set while a list call has not returned."""
    entered, go = threading.Event(), threading.Event()

    def hang(options: Any) -> Any:
        entered.set()
        go.wait(DEADLINE)
        raise OSError

    watcher = informer_watcher(ListWatch(hang, hang, supports_watch_list=False))
    assert entered.wait(DEADLINE)
    watcher.stop()
    assert not watcher.done.wait(0.05)
    go.set()
    assert watcher.done.wait(DEADLINE)


def test_a_channel_that_is_first_asked_for_after_the_end_is_closed() -> None:
    """No thread is started for it."""
    watcher = informer_watcher(FakeControllerSource())
    watcher.stop()
    assert watcher.done.wait(DEADLINE)
    assert list(watcher.result_chan()) == []


def test_the_end_of_the_informer_is_the_end_of_the_watch() -> None:
    """Stopping the informer ends the channel too."""
    watcher = informer_watcher(FakeControllerSource())
    chan = watcher.result_chan()
    assert watcher.informer.wait_for_sync(DEADLINE)
    watcher.informer.stop()
    assert list(chan) == []
    assert watcher.done.wait(DEADLINE)


def test_an_object_that_the_model_cannot_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by its key, and the other objects come."""

    class Source(FakeControllerSource):
        @staticmethod
        def unwrap(obj: Any) -> Any:
            if obj.name == "bad":
                raise ValueError("secret words")
            return obj.to_dict()

        def list(self, options: Any = None) -> Any:
            page = super().list(options)
            return ObjectList([Object.from_dict(obj) for obj in page.items], page.resource_version)

    source = Source()
    for name in ("bad", "good"):
        source.add({"metadata": {"name": name}})
    with caplog.at_level(logging.ERROR), informer_watcher(source) as watcher:
        assert type_and_name(watcher.result_chan().get(DEADLINE)) == ("ADDED", "good")
    assert watcher.done.wait(DEADLINE)
    assert "left out bad: it does not decode" in caplog.text
    assert "secret words" not in caplog.text


# Waiting


def blocking() -> tuple[ListWatch[Any], threading.Event]:
    go = threading.Event()

    def hang(options: Any) -> Any:
        go.wait(DEADLINE)
        raise OSError("too late")

    return ListWatch(hang, hang, supports_watch_list=False), go


def is_added(event: Event[Any]) -> bool:
    return event.type == EventType.ADDED


def test_without_a_precondition_it_does_not_wait_for_the_sync() -> None:
    """Go: TestUntilWithSync. A list that blocks for ever is abandoned at the time-out."""
    source, go = blocking()
    begun = time.monotonic()
    with pytest.raises(WatchTimeoutError, match="timed out waiting for the condition") as caught:
        until_with_sync(source, lambda event: True, timeout=0.1)
    assert caught.value.last_event is None
    assert time.monotonic() - begun < 5
    go.set()


def test_with_a_precondition_it_waits_for_the_sync() -> None:
    """Go: TestUntilWithSync. The error says that the cache did not sync in time."""
    source, go = blocking()
    with pytest.raises(WatchTimeoutError, match="UntilWithSync: unable to sync caches: context deadline exceeded"):
        until_with_sync(source, lambda event: True, precondition=lambda store: True, timeout=0.1)
    go.set()


def test_a_precondition_that_is_true_ends_the_wait(pod: Pod) -> None:
    """Go: TestUntilWithSync. It is called with the synced store, and no condition is called."""
    source = FakeControllerSource()
    source.add(pod("first"))

    def fail(event: Event[Any]) -> bool:
        raise AssertionError("must not be called")

    assert until_with_sync(source, fail, precondition=lambda store: "ns/first" in store, timeout=DEADLINE) is None


def test_conditions_see_existing_objects_and_changes(pod: Pod) -> None:
    """Go: TestUntilWithSync. After a precondition that is false, the events decide."""
    source = FakeControllerSource()
    source.add(pod("first"))
    event = until_with_sync(source, is_added, precondition=lambda store: False, timeout=DEADLINE)
    assert event is not None
    assert type_and_name(event) == ("ADDED", "first")

    def delete(event: Event[Any]) -> bool:
        source.wait_for_watches()
        source.delete(pod("first"))
        return True

    event = until_with_sync(source, delete, lambda event: event.type == EventType.DELETED, timeout=DEADLINE)
    assert event is not None
    assert type_and_name(event) == ("DELETED", "first")


def test_when_it_returns_the_informer_has_ended(pod: Pod) -> None:
    """client-go source. No thread is left, whether it returns or raises."""
    source = FakeControllerSource()
    source.add(pod("a"))
    before = set(threading.enumerate())

    def fail(*args: Any) -> bool:
        raise ValueError("odd")

    assert until_with_sync(source, is_added, timeout=DEADLINE) is not None
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConditionError, match="odd") as caught:
        until_with_sync(source, fail, timeout=DEADLINE)
    assert isinstance(caught.value.__cause__, ValueError)
    assert set(threading.enumerate()) <= before
    with pytest.raises(ValueError, match="odd"):
        until_with_sync(source, is_added, precondition=fail, timeout=DEADLINE)
    assert set(threading.enumerate()) <= before


def test_failed_lists_are_waited_out(pod: Pod) -> None:
    """A server that refuses for a while only delays the result."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.list_error = ApiError(500, "InternalError", "on fire")
    event = until_with_sync(source, is_added, timeout=DEADLINE)
    assert event is not None


def test_no_conditions_are_met_at_once() -> None:
    """Without conditions it returns None."""
    assert until_with_sync(FakeControllerSource(), timeout=DEADLINE) is None


def test_informer_watcher_returns_an_informer_watcher() -> None:
    """The function makes an `InformerWatcher`."""
    with informer_watcher(FakeControllerSource()) as watcher:
        assert type(watcher) is InformerWatcher
    assert watcher.done.wait(DEADLINE)
