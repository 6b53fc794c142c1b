"""Several namespaces: one reflector per namespace, one queue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from informer import Controller, Delta, DeltaType, Indexer, InOrderFIFO
from informer.queues.fifo import FIFO
from informer.reflector.backoff import Backoff
from informer.testing import FakeControllerSource
from tests.support.objects import pod
from tests.support.waiting import DEADLINE
from watch import Channel
from watch.concurrency import Latch
from watch.errors import ApiError

QUICK = Backoff(initial=0.001, maximum=0.01)
QueueMaker = Callable[[Indexer[Any]], FIFO]
RunningMaker = Callable[[Controller], AbstractContextManager[Any]]
Start = Callable[[Controller], Any]
CacheMaker = Callable[..., Any]


def test_several_namespaces_share_a_queue(
    running: RunningMaker, make_cache: CacheMaker, make_queue: QueueMaker
) -> None:
    """Each namespace has its own list and watch; it has synced once every list was processed."""
    source = FakeControllerSource(namespaces=["one", "two"])
    for namespace in ("one", "two", "three"):
        source.add(pod("a", namespace))
    cache = make_cache(make_queue, source)
    with running(cache.controller):
        assert sorted(cache.take(2)) == [("Added", "a", "1", "1", True), ("Added", "a", "2", "2", True)]
        assert source.wait_for_watches(2)
        assert cache.controller.has_synced()
        source.delete(pod("a", "one"))
        source.add(pod("b", "three"))
        source.add(pod("b", "two"))
        assert sorted(change[:2] for change in cache.take(2)) == [("Added", "b"), ("Deleted", "a")]
    assert sorted(cache.indexer) == ["two/a", "two/b"]


def test_a_relist_of_one_namespace_leaves_the_others_alone(
    running: RunningMaker, make_cache: CacheMaker, make_queue: QueueMaker
) -> None:
    """Objects that the list lacks are deleted in that namespace only."""
    source = FakeControllerSource(namespaces=["one", "two"])
    source.add(pod("a", "one"))
    source.add(pod("a", "two"))
    cache = make_cache(make_queue, source)
    with running(cache.controller):
        cache.take(2)
        assert source.wait_for_watches(2)
        source.delete_drop_watch(pod("a", "one"))
        source.add_drop_watch(pod("b", "one"))
        source.reset_watch()
        assert sorted(change[:2] for change in cache.take(2)) == [("Added", "b"), ("Deleted", "a")]
        assert source.wait_for_watches(2)
        assert sorted(cache.indexer) == ["one/b", "two/a"]
        assert len(cache.changes) == 0


def test_one_namespace_that_fails_does_not_stop_the_others(
    running: RunningMaker, make_cache: CacheMaker, make_queue: QueueMaker
) -> None:
    """It prevents the sync and a version, while the objects of the others stay current."""
    forbidden = Latch()

    class Restricted(FakeControllerSource):
        def for_namespace(self, namespace: str) -> Any:
            part = super().for_namespace(namespace)
            if namespace == "two":
                part.list = self.refuse  # type: ignore[method-assign]
            return part

        def refuse(self, options: Any) -> Any:
            forbidden.open()
            raise ApiError(403, "Forbidden", "pods is forbidden")

    source = Restricted(namespaces=["one", "two"])
    source.add(pod("a", "one"))
    cache = make_cache(make_queue, source, watch_error_handler=lambda *_: None)
    with running(cache.controller):
        assert cache.take(1)[0][:2] == ("Added", "a")
        assert source.wait_for_watches(1)
        source.add(pod("b", "one"))
        assert cache.take(1)[0] == ("Added", "b", "2", "2", False)
        assert forbidden.wait(DEADLINE)
        assert not cache.controller.has_synced()
        assert cache.controller.last_sync_resource_version == ""
        assert cache.controller.applied_resource_version == ""


def test_the_version_of_several_namespaces_is_the_lowest(running: RunningMaker) -> None:
    """Everything up to that version has been seen in every namespace."""
    source = FakeControllerSource(namespaces=["one", "two"])
    source.add(pod("a", "one"))
    progress: Channel[None] = Channel(None)
    controller = Controller(
        InOrderFIFO(), source, lambda *_: None, on_processed=lambda: progress.put(None), backoff=QUICK
    )
    versions = [""]

    def reach(version: str) -> None:
        while versions[-1] != version:
            progress.get(timeout=DEADLINE)
            versions.append(controller.applied_resource_version)

    with running(controller):
        assert source.wait_for_watches(2)
        reach("1")
        for _ in range(11):
            source.modify(pod("a", "one"))
        while controller.reflectors[0].target.applied_resource_version != "12":
            progress.get(timeout=DEADLINE)
        assert controller.applied_resource_version == "1"
        source.add(pod("a", "two"))
        reach("12")
        source.bookmark()
        reach("13")
    assert set(versions) == {"", "1", "12", "13"}
    assert controller.last_sync_resource_version == "13"


def test_a_failure_in_one_namespace_ends_the_run(start: Start) -> None:
    """`run` raises an exception of the process function on another reflector's thread, and every reflector ends."""
    source = FakeControllerSource(namespaces=["one", "two"])

    def process(deltas: list[Delta], _: bool) -> None:
        if deltas[0].type is DeltaType.ADDED:
            raise ZeroDivisionError(threading.current_thread().name)

    run = start(Controller(InOrderFIFO(), source, process, backoff=QUICK))
    assert source.wait_for_watches(2)
    source.add(pod("a", "two"))
    run.join()
    assert isinstance(run.error, ZeroDivisionError)
    assert run.error.args != ("controller",)
    assert source.open_watches == 0
