"""Inline handlers: they are called on the reader's thread and otherwise behave like all handlers."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest

from informer import Change, ResourceEventHandler, SharedInformer
from informer.testing.fake_source import FakeControllerSource
from informer.workqueue import PriorityQueue, WorkQueue, enqueue_key, enqueue_owner
from tests.support.waiting import DEADLINE, Task, eventually
from watch import Channel, FakeClock

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]

READER = "informer-mine"


@pytest.fixture
def source(pod: Pod) -> FakeControllerSource:
    """A source with one pod."""
    source = FakeControllerSource()
    source.add(pod("a"))
    return source


def thread_name() -> str:
    return threading.current_thread().name


# Calls


def test_the_calls_are_those_of_every_handler(make_informer: Make, recorder: Any, pod: Pod, queue: str) -> None:
    """Initial adds, adds, updates, deletes and missed deletes come in order, early and late."""
    source = FakeControllerSource()
    source.add(pod("p1"))
    source.add(pod("p2"))
    informer = make_informer(source, queue=queue)
    first, second = recorder(), recorder()
    registration = informer.add_event_handler(first, inline=True)
    informer.start()
    assert source.wait_for_watches()
    source.add(pod("p3"))
    assert first.take(3) == [("add", "ns/p1", "1", True), ("add", "ns/p2", "2", True), ("add", "ns/p3", "3", False)]
    assert informer.add_event_handler(second, inline=True).wait_for_sync(DEADLINE)
    assert sorted(second.take(3)) == [("add", f"ns/p{n}", str(n), True) for n in (1, 2, 3)]
    source.modify(pod("p1"))
    source.delete(pod("p3"))
    assert first.take(2) == second.take(2) == [("update", "ns/p1", "4", "1"), ("delete", "ns/p3", "5", False)]
    source.delete_drop_watch(pod("p2"))
    source.reset_watch()
    assert first.take(1) == second.take(1) == [("delete", "ns/p2", "2", True)]
    assert (registration.backlog_size, registration.lag_seconds, registration.calls, registration.errors) == (
        0,
        0,
        6,
        0,
    )
    assert registration.has_synced()
    assert registration.busy_since is None


def test_the_reader_calls_once_the_cache_shows_the_batch(make_informer: Make, source: Any, pod: Pod) -> None:
    """The thread is the reader's, the cache has the new state, and the version counts as reached."""
    informer = make_informer(source, name="mine")
    seen: Channel[Any] = Channel(None)

    def note(obj: Any) -> None:
        version = obj["metadata"]["resourceVersion"]
        cached = informer.lister.get(obj["metadata"]["name"], "ns") is obj
        seen.put((thread_name(), cached, informer.has_synced(), informer.wait_for_resource_version(version, 0)))

    informer.add_event_handler(on_add=note, inline=True)
    informer.start()
    assert seen.get(DEADLINE) == (READER, True, True, True)
    assert source.wait_for_watches()
    source.add(pod("b"))
    assert seen.get(DEADLINE) == (READER, True, True, True)


def test_no_lock_is_held_during_a_call(make_informer: Make, source: Any) -> None:
    """Other threads use the informer in every way meanwhile."""
    informer = make_informer(source)
    done: Channel[Any] = Channel(None)

    def use_all() -> int:
        other = informer.add_event_handler(on_add=lambda _: None)
        late = informer.add_event_handler(on_add=lambda _: None, inline=True)
        assert other.wait_for_sync(DEADLINE)
        assert late.wait_for_sync(DEADLINE)
        informer.add_indexers({"name": lambda obj: [obj["metadata"]["name"]]})
        other.remove()
        late.remove()
        informer.events().close()
        informer.indexer.update(informer.lister.list()[0])
        return len(informer.lister.list()) + len(informer.handlers)

    informer.add_event_handler(on_add=lambda _: done.put(Task(use_all, ()).result()), inline=True)
    informer.start()
    assert done.get(DEADLINE) == 2


def test_filter_batches_and_errors(make_informer: Make, source: Any, pod: Pod) -> None:
    """`filter`, `on_batch` and `on_error` work as for any handler."""
    informer = make_informer(source)
    batches: Channel[list[Change]] = Channel(None)
    failed: Channel[Any] = Channel(None)

    def fail(batch: list[Change]) -> None:
        batches.put(batch)
        raise ValueError("refused")

    registration = informer.add_event_handler(
        on_batch=fail,
        on_error=lambda change, error: failed.put((change.key, str(error))),
        filter=lambda obj: "shown" in obj["metadata"]["labels"],
        inline=True,
    )
    informer.start()
    assert source.wait_for_watches()
    source.modify(pod("a", shown="yes"))
    assert failed.get(DEADLINE) == ("ns/a", "refused")
    source.modify(pod("a"))
    assert failed.get(DEADLINE) == ("ns/a", "refused")
    assert [change.type for _ in range(2) for change in batches.get(DEADLINE)] == ["Added", "Deleted"]
    assert eventually(lambda: (registration.calls, registration.errors) == (3, 2))


def recurse() -> None:
    recurse()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, RecursionError])
def test_an_exception_never_stops_the_reader(
    make_informer: Make, source: Any, pod: Pod, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged and counted; the next changes reach the cache and all handlers."""
    informer = make_informer(source)
    others: Channel[str] = Channel(None)

    def fail(obj: Any) -> None:
        if error is RecursionError:
            recurse()
        raise error("mine")

    registration = informer.add_event_handler(on_add=fail, inline=True)
    informer.add_event_handler(on_add=lambda obj: others.put(obj["metadata"]["name"]), inline=True)
    informer.start()
    assert others.get(DEADLINE) == "a"
    assert source.wait_for_watches()
    source.add(pod("b"))
    assert others.get(DEADLINE) == "b"
    assert registration.errors == registration.calls == 2
    assert registration.has_synced()
    assert not informer.has_died
    assert "failed for the Added change of ns/b" in caplog.text


def test_a_resync_reaches_it(make_informer: Make, source: Any) -> None:
    """Each object comes as an update from itself to itself."""
    clock = FakeClock()
    informer = make_informer(source, clock=clock, resync_period=5)
    updates: Channel[Any] = Channel(None)
    registration = informer.add_event_handler(on_update=lambda old, new: updates.put(old is new), inline=True)
    informer.start()
    assert registration.wait_for_sync(DEADLINE)
    assert clock.wait_for_waiters(1, DEADLINE)
    clock.step(5)
    assert updates.get(DEADLINE) is True


def test_async_functions_are_refused(make_informer: Make, source: Any) -> None:
    """A thread makes the calls, and nothing would await the coroutines."""

    async def add(obj: Any) -> None: ...

    with pytest.raises(TypeError, match="async"):
        make_informer(source).add_event_handler(on_add=add, inline=True)  # type: ignore[arg-type]


def test_the_asyncio_view_awaits_an_inline_handler_as_any_other(make_informer: Make, source: Any) -> None:
    """`aio.add_event_handler` calls it on the event loop's thread."""
    import asyncio

    informer = make_informer(source)
    seen: list[str] = []

    class Noted(ResourceEventHandler[Any]):
        inline = True

        def on_add(self, obj: Any, *, is_in_initial_list: bool) -> None:
            seen.append(thread_name())

    async def main() -> None:
        async with informer.aio as view:
            assert await view.add_event_handler(Noted()).wait_for_sync(DEADLINE)

    asyncio.run(main())
    assert seen == [thread_name()]


# Which handlers are inline


def test_a_handler_may_ask_for_it_by_an_attribute(make_informer: Make, source: Any) -> None:
    """An attribute `inline` that is True counts, and nothing that only looks true, as an attribute of a mock does."""
    informer = make_informer(source, name="mine")
    names: Channel[str] = Channel(None)

    class Noted:
        inline = True

        def on_add(self, obj: Any) -> None:
            names.put(thread_name())

    mock = MagicMock()
    mock.on_batch.side_effect = lambda batch: names.put(thread_name())
    informer.add_event_handler(Noted())
    informer.add_event_handler(mock)
    informer.start()
    assert sorted(names.get(DEADLINE) for _ in range(2)) == [READER, "mine-handler"]


@pytest.mark.parametrize("make_queue", [WorkQueue, PriorityQueue])
def test_the_ready_handlers_of_the_work_queue_are_inline(
    make_informer: Make, source: Any, pod: Pod, make_queue: Callable[[], WorkQueue[str]]
) -> None:
    """No thread is started for them, and the key is queued when the cache shows the object."""
    informer = make_informer(source, name="mine")
    queue = make_queue()
    informer.add_event_handler(enqueue_key(queue))
    informer.add_event_handler(enqueue_owner(queue, "ReplicaSet"))
    informer.start()
    assert queue.get() == "ns/a"
    assert source.wait_for_watches()
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "set", "uid": "1", "controller": True}
    owned = pod("b")
    owned["metadata"]["ownerReferences"] = [owner]
    source.add(owned)
    assert {queue.get(), queue.get()} == {"ns/b", "ns/set"}
    assert "ns/b" in informer.indexer
    assert "mine-handler" not in {thread.name for thread in threading.enumerate()}


# Joining late


def test_a_late_handler_is_not_called_by_the_thread_that_adds_it(make_informer: Make, source: Any, pod: Pod) -> None:
    """A caller may hold a lock that the handler takes; once it has caught up, the reader makes the calls."""
    informer = make_informer(source, name="mine")
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    lock = threading.Lock()
    names: Channel[str] = Channel(None)

    def note(obj: Any) -> None:
        with lock:
            names.put(thread_name())

    with lock:
        registration = informer.add_event_handler(on_add=note, inline=True)
        assert not registration.has_synced()
    assert registration.wait_for_sync(DEADLINE)
    assert names.get(DEADLINE) == "mine-handler"
    assert eventually(lambda: "mine-handler" not in {thread.name for thread in threading.enumerate()})
    assert source.wait_for_watches()
    source.add(pod("b"))
    assert names.get(DEADLINE) == READER


def test_changes_during_the_initial_adds_of_a_late_handler_follow_them(
    make_informer: Make, source: Any, pod: Pod, make_gate: Any
) -> None:
    """The reader does not wait for them: it leaves its changes to the thread that is calling the handler."""
    informer = make_informer(source)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    gate = make_gate()
    registration = informer.add_event_handler(gate, inline=True)
    assert gate.entered.get(DEADLINE) == "a"
    assert source.wait_for_watches()
    source.add(pod("b"))
    assert informer.wait_for_resource_version(source.resource_version, DEADLINE)
    assert (registration.backlog_size, registration.has_synced()) == (1, False)
    assert registration.lag_seconds > 0
    gate.go.set()
    assert [gate.left.get(DEADLINE) for _ in range(2)] == ["a", "b"]
    assert registration.wait_for_sync(DEADLINE)


def test_a_handler_that_cannot_get_a_thread_is_not_added(
    make_informer: Make, source: Any, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the system's, and the handler is never called."""
    informer = make_informer(source)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    assert source.wait_for_watches()

    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    called: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            informer.add_event_handler(on_add=called.append, inline=True)
    source.add(pod("b"))
    assert informer.wait_for_resource_version(source.resource_version, DEADLINE)
    assert (called, informer.handlers) == ([], [])


# Several namespaces


def test_two_readers_never_call_it_at_once(make_informer: Make, pod: Pod) -> None:
    """With several namespaces there are several readers; every change comes once, in its namespace's order."""
    namespaces = ["one", "two", "three"]
    source = FakeControllerSource(namespaces=namespaces)
    informer = make_informer(source)
    inside = threading.Semaphore(1)
    faults: list[str] = []
    seen: dict[str, list[int]] = {namespace: [] for namespace in namespaces}

    def note(obj: Any) -> None:
        if not inside.acquire(blocking=False):
            faults.append("two calls at once")
            return
        metadata = obj["metadata"]
        seen[metadata["namespace"]].append(int(metadata["name"]))
        time.sleep(0)
        inside.release()

    informer.add_event_handler(on_add=note, inline=True)
    informer.start()
    assert source.wait_for_watches(3)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(300):
            for namespace in namespaces:
                source.add(pod(str(number), namespace))
        assert eventually(lambda: all(len(each) == 300 for each in seen.values()))
    finally:
        sys.setswitchinterval(before)
    assert faults == []
    assert all(each == list(range(300)) for each in seen.values())


def with_a_call_under_way(make_informer: Make, pod: Pod, make_gate: Any) -> tuple[SharedInformer[Any], Any]:
    """Returns an informer and its handler: one reader is in a call with "a", and another has stored "b"."""
    source = FakeControllerSource(namespaces=["one", "two"])
    informer = make_informer(source)
    gate = make_gate()
    informer.add_event_handler(gate, inline=True)
    informer.start()
    assert source.wait_for_watches(2)
    source.add(pod("a", "one"))
    assert gate.entered.get(DEADLINE) == "a"
    source.add(pod("b", "two"))
    assert eventually(lambda: "two/b" in informer.indexer)
    return informer, gate


def test_a_reader_does_not_wait_for_a_call_on_another_readers_thread(
    make_informer: Make, pod: Pod, make_gate: Any
) -> None:
    """Its own namespace stays current in the cache; the other reader makes its calls, too."""
    _, gate = with_a_call_under_way(make_informer, pod, make_gate)
    assert not len(gate.entered)
    gate.go.set()
    assert [gate.left.get(DEADLINE) for _ in range(2)] == ["a", "b"]


# Slow handlers


def test_a_slow_handler_is_reported(
    make_informer: Make, source: Any, pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    """One line per period says which handler delayed the cache, and for how long."""
    informer = make_informer(source)

    def dawdle(obj: Any) -> None:
        threading.Event().wait(0.12)

    registration = informer.add_event_handler(on_add=dawdle, inline=True)
    informer.add_event_handler(on_add=lambda _: None, inline=True)
    with caplog.at_level(logging.WARNING, logger="informer"):
        informer.start()
        assert registration.wait_for_sync(DEADLINE)
        assert source.wait_for_watches()
        source.add(pod("b"))
        assert eventually(lambda: caplog.text.count("delayed the cache") == 2)
    (first, _) = [record for record in caplog.records if "delayed the cache" in record.getMessage()]
    assert "dawdle delayed the cache: it is called on the reader's thread (inline) and took 0.1" in first.getMessage()
    assert "for 1 changes; a handler that is slow or blocks needs inline=False" in first.getMessage()


def test_the_initial_adds_of_a_late_handler_delay_nothing(
    make_informer: Make, source: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """They come from a thread of their own, so that no line is logged."""
    informer = make_informer(source)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    registration = informer.add_event_handler(on_add=lambda _: threading.Event().wait(0.12), inline=True)
    assert registration.wait_for_sync(DEADLINE)
    assert "delayed the cache" not in caplog.text


# Removal and stop


def test_it_may_remove_itself(make_informer: Make, pod: Pod) -> None:
    """The rest of its batch is dropped."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.add(pod("b"))
    informer = make_informer(source)
    seen: Channel[str] = Channel(None)

    def note(obj: Any) -> None:
        seen.put(obj["metadata"]["name"])
        registration.remove()

    registration = informer.add_event_handler(on_add=note, inline=True)
    informer.start()
    assert source.wait_for_watches()
    source.add(pod("c"))
    assert informer.wait_for_resource_version(source.resource_version, DEADLINE)
    assert informer.stop(DEADLINE)
    assert len(seen) == 1
    assert informer.handlers == []
    assert registration.is_stopped()


def test_a_removal_waits_for_the_call_under_way(make_informer: Make, source: Any, make_gate: Any) -> None:
    """With `wait=False` it does not."""
    informer = make_informer(source)
    gate = make_gate()
    registration = informer.add_event_handler(gate, inline=True)
    informer.start()
    gate.entered.get(DEADLINE)
    registration.remove(wait=False)
    removal = Task(registration.remove, ())
    assert not removal.ends_within(0.05)
    gate.go.set()
    assert removal.ends_within()
    assert len(gate.left) == 1
    registration.remove()


def test_a_stop_does_not_outwait_a_call(make_informer: Make, source: Any, make_gate: Any) -> None:
    """`stop` returns False while the call runs, and True once it has ended."""
    informer = make_informer(source)
    gate = make_gate()
    informer.add_event_handler(gate, inline=True)
    informer.start()
    gate.entered.get(DEADLINE)
    assert informer.stop(0.05) is False
    gate.go.set()
    assert informer.stop(DEADLINE) is True


def test_it_may_stop_the_informer(make_informer: Make, pod: Pod) -> None:
    """The stop does not wait there, and the rest of the batch is dropped."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.add(pod("b"))
    informer = make_informer(source)
    results: Channel[bool] = Channel(None)
    informer.add_event_handler(on_add=lambda _: results.put(informer.stop(DEADLINE)), inline=True)
    informer.start()
    assert results.get(DEADLINE) is False
    assert informer.stop(DEADLINE) is True
    assert len(results) == 0
    assert not informer.has_died


def test_a_drain_delivers_what_waits(make_informer: Make, pod: Pod, make_gate: Any) -> None:
    """The batch under way is finished, also where other threads have brought more."""
    informer, gate = with_a_call_under_way(make_informer, pod, make_gate)
    assert informer.stop(0.05, drain=True) is False
    gate.go.set()
    assert informer.stop(DEADLINE, drain=True) is True
    assert [gate.left.get(DEADLINE) for _ in range(2)] == ["a", "b"]


def test_a_reader_that_fails_brings_what_it_applied_before(make_informer: Make, source: Any, pod: Pod) -> None:
    """The informer dies, and each handler has seen what the cache has."""
    informer = make_informer(source)
    seen: Channel[str] = Channel(None)
    registration = informer.add_event_handler(on_add=lambda obj: seen.put(obj["metadata"]["name"]), inline=True)
    informer.start()
    assert registration.wait_for_sync(DEADLINE)
    assert source.wait_for_watches()
    commit = informer.indexer.records.commit

    def commit_and_fail(*args: Any, **options: Any) -> Any:
        changes = commit(*args, **options)
        informer._processor.distribute(changes)
        raise MemoryError

    informer.indexer.records.commit = commit_and_fail  # type: ignore[method-assign]
    source.add(pod("b"))
    assert [seen.get(DEADLINE) for _ in range(2)] == ["a", "b"]
    assert eventually(lambda: informer.has_died)
