"""The asyncio view: streams, handlers, waits, and cleaning up when loops and tasks end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from informer import AsyncInformer, Change, DeltaType, SharedInformer
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE
from watch import ApiError, Channel

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(main, DEADLINE)

    return asyncio.run(limited())


def key_of(obj: Any) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


class Calls:
    """An async handler that remembers its calls."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def on_add(self, obj: Any, *, is_in_initial_list: bool) -> None:
        await asyncio.sleep(0)
        await self.queue.put(("initial" if is_in_initial_list else "add", key_of(obj)))

    async def on_update(self, old: Any, new: Any) -> None:
        await self.queue.put(("update", key_of(new)))

    async def on_delete(self, obj: Any) -> None:
        await self.queue.put(("delete", key_of(obj)))

    async def take(self, count: int) -> list[tuple[str, str]]:
        return [await self.queue.get() for _ in range(count)]


class Slow:
    """A function for adds that waits for `go` in each call."""

    def __init__(self) -> None:
        self.entered, self.go = asyncio.Event(), asyncio.Event()
        self.done: list[str] = []

    async def __call__(self, obj: Any) -> None:
        self.entered.set()
        await self.go.wait()
        self.done.append(key_of(obj))


async def eventually(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.002)


def others() -> list[str]:
    """Returns the names of the tasks besides the test's own."""
    mine = {asyncio.current_task()}
    return [task.get_name() for task in asyncio.all_tasks() - mine if task.get_name().startswith("informer-")]


# Streams


def test_a_stream_yields_initial_adds_and_changes(make_informer: Make, pod: Pod, queue: str) -> None:
    """`async for` yields them, filtered, until the stream is closed."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source, queue=queue)

    async def main() -> None:
        async with informer.aio as aio, aio.events() as stream:
            assert isinstance(aio, AsyncInformer)
            first = await stream.__anext__()
            assert (first.type, first.key, first.is_in_initial_list) == (DeltaType.ADDED, "ns/a", True)
            fresh = aio.events(initial=False, filter=lambda obj: obj["metadata"]["name"] != "b")
            assert await aio.wait_for_sync()
            await asyncio.to_thread(source.wait_for_watches)
            source.add(pod("b"))
            source.delete(pod("a"))
            seen = [await stream.__anext__() for _ in range(2)]
            assert [(change.type, change.key) for change in seen] == [
                (DeltaType.ADDED, "ns/b"),
                (DeltaType.DELETED, "ns/a"),
            ]
            assert (await fresh.__anext__()).key == "ns/a"
            assert (fresh.backlog_size, fresh.lag_seconds) == (0, 0)

    run(main())
    assert informer.is_stopped()


@pytest.mark.parametrize("way", ["close", "aclose", "stop", "drain"])
def test_a_stream_ends(make_informer: Make, pod: Pod, way: str) -> None:
    """A waiting reader returns at once; waiting changes are dropped, unless the stop drains."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)

    async def main() -> None:
        waiting, full = informer.aio.events(initial=False), informer.aio.events()
        reader = asyncio.create_task(_collect(waiting))
        await asyncio.sleep(0)
        for stream in (waiting, full):
            if way == "close":
                stream.close()
            elif way == "aclose":
                await stream.aclose()
        if way in ("stop", "drain"):
            assert await informer.aio.stop(drain=way == "drain")
        assert await reader == []
        assert len(await _collect(full)) == (3 if way == "drain" else 0)
        assert await _collect(full) == []

    run(main())


async def _collect(stream: Any) -> list[Change]:
    return [change async for change in stream]


def test_a_filter_that_raises_concerns_one_change(make_informer: Make, pod: Pod) -> None:
    """The exception comes out of the iteration, and the next step goes on behind that change."""
    source = FakeControllerSource()
    source.add(pod("bad"))
    source.add(pod("good"))
    informer = make_informer(source)

    def keep(obj: Any) -> bool:
        if obj["metadata"]["name"] == "bad":
            raise ValueError("odd")
        return True

    async def main() -> None:
        async with informer.aio as aio:
            stream = aio.events(filter=keep)
            with pytest.raises(ValueError, match="odd"):
                await stream.__anext__()
            assert (await stream.__anext__()).key == "ns/good"

    run(main())


def test_a_stream_that_was_left_collects_nothing(make_informer: Make, pod: Pod) -> None:
    """A stream that is garbage-collected without a close is removed with the next batch."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    informer.start()

    async def main() -> None:
        async for _ in informer.aio.events():
            break
        gc.collect()
        await asyncio.to_thread(source.wait_for_watches)
        source.add(pod("b"))
        assert await informer.aio.wait_for_resource_version("2")

    run(main())
    assert informer._processor.listeners() == ()


def test_a_cancelled_wait_loses_no_change(make_informer: Make, pod: Pod) -> None:
    """A wait for the next change may be cancelled, as `asyncio.wait_for` does it: the next wait yields that change."""
    source = FakeControllerSource()
    names = [f"p{number:03}" for number in range(300)]
    for name in names:
        source.add(pod(name))
    informer = make_informer(source)

    async def main() -> list[str]:
        seen = []
        async with informer.aio as aio, aio.events() as stream:
            assert await aio.wait_for_sync()
            for _ in range(2 * len(names)):
                waiting = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0)  # it has a change, has given way, or waits
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    seen.append((await waiting).key.removeprefix("ns/"))
        return seen

    assert sorted(run(main())) == names


def test_a_busy_stream_lets_others_run(make_informer: Make, pod: Pod) -> None:
    """With thousands of waiting changes the loop's other tasks still have their turns."""
    source = FakeControllerSource()
    for number in range(2000):
        source.add(pod(f"p{number}"))
    informer = make_informer(source)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)

    async def main() -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        async for change in informer.aio.events(backlog="all"):
            if change.key == "ns/p1999":
                break
        task.cancel()
        assert turns > 5

    run(main())


# Handlers


def test_handlers_are_called_on_the_loop(make_informer: Make, pod: Pod, queue: str) -> None:
    """Async and plain functions are called one after another on the loop's thread, before and after the start."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source, queue=queue)

    async def main() -> None:
        calls, late = Calls(), Calls()
        threads: set[threading.Thread] = set()
        registration = informer.aio.add_event_handler(calls)
        informer.aio.add_event_handler(on_add=lambda obj: threads.add(threading.current_thread()))
        assert not registration.has_synced()
        async with informer.aio as aio:
            assert await registration.wait_for_sync()
            assert await calls.take(1) == [("initial", "ns/a")]
            assert await aio.add_event_handler(late).wait_for_sync()
            await asyncio.to_thread(source.wait_for_watches)
            source.add(pod("b"))
            source.modify(pod("a"))
            source.delete(pod("a"))
            expected = [("add", "ns/b"), ("update", "ns/a"), ("delete", "ns/a")]
            assert await calls.take(3) == expected
            assert await late.take(4) == [("initial", "ns/a"), *expected]
            assert (registration.backlog_size, registration.lag_seconds, registration.errors) == (0, 0, 0)
            assert threads == {threading.current_thread()}
        assert others() == []

    run(main())


def test_an_async_handler_gets_batches(make_informer: Make, pod: Pod) -> None:
    """An async `on_batch` gets filtered batches, and `on_error` gets each change of a failed one."""
    source = FakeControllerSource()
    for name in ("a", "b", "hidden"):
        source.add(pod(name))
    informer = make_informer(source)

    async def main() -> None:
        batches: asyncio.Queue[list[str]] = asyncio.Queue()
        missed: list[str] = []

        async def take(batch: list[Change]) -> None:
            await batches.put([change.key for change in batch])
            raise ValueError("no batch")

        async def on_error(change: Change, error: BaseException) -> None:
            await asyncio.sleep(0)
            missed.append(f"{change.key}: {error}")

        async with informer.aio as aio:
            registration = aio.add_event_handler(
                on_batch=take, on_error=on_error, filter=lambda obj: obj["metadata"]["name"] != "hidden"
            )
            assert await registration.wait_for_sync()
            assert await batches.get() == ["ns/a", "ns/b"]
            assert missed == ["ns/a: no batch", "ns/b: no batch"]
            assert registration.errors == 1

    run(main())


def test_an_async_handler_that_raises_goes_on(make_informer: Make, pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    """Each failure is logged with its key and passed to `on_error`, and the handler syncs all the same."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.add(pod("b"))
    informer = make_informer(source)

    async def main() -> None:
        failed: list[str] = []

        async def fail(obj: Any) -> None:
            raise ValueError("odd")

        def on_error(change: Change, error: BaseException) -> None:
            failed.append(change.key)
            raise RuntimeError("on_error too")

        async with informer.aio as aio:
            registration = aio.add_event_handler(on_add=fail, on_error=on_error)
            assert await registration.wait_for_sync()
            assert failed == ["ns/a", "ns/b"]
            assert registration.errors == 2

    with caplog.at_level(logging.ERROR):
        run(main())
    assert "failed for the Added change of ns/a" in caplog.text
    assert "on_error of handler" in caplog.text


def test_a_cancellation_within_a_handler_is_a_failure(make_informer: Make, pod: Pod) -> None:
    """If something that a handler awaits is cancelled, that call fails, and the handler goes on."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.add(pod("b"))
    informer = make_informer(source)

    async def main() -> None:
        async def wait_for_cancelled(obj: Any) -> None:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

        async with informer.aio as aio:
            registration = aio.add_event_handler(on_add=wait_for_cancelled)
            assert await registration.wait_for_sync()
            assert registration.errors == 2

    run(main())


def test_a_removed_handler_is_not_called_again(make_informer: Make, pod: Pod) -> None:
    """The removal waits for the call under way, the rest of its batch is dropped, and no task is left."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source)

    async def main() -> None:
        slow = Slow()
        async with informer.aio as aio:
            registration = aio.add_event_handler(on_add=slow)
            await slow.entered.wait()
            assert registration.backlog_size == 2
            assert registration.lag_seconds > 0
            removal = asyncio.create_task(registration.remove())
            await eventually(lambda: registration.backlog_size == 0)
            assert not removal.done()
            slow.go.set()
            await removal
            await registration.remove()
            assert slow.done == ["ns/a"]
            assert others() == []
            assert not registration.has_synced()
            assert not await registration.wait_for_sync()

    run(main())


def test_a_handler_may_remove_itself(make_informer: Make, pod: Pod) -> None:
    """The removal does not wait for the handler's own call."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.add(pod("b"))
    informer = make_informer(source)

    async def main() -> None:
        calls: list[str] = []
        left = asyncio.Event()

        async def leave(obj: Any) -> None:
            calls.append(key_of(obj))
            await registration.remove()
            left.set()

        async with informer.aio as aio:
            registration = aio.add_event_handler(on_add=leave)
            await left.wait()
            await eventually(lambda: others() == [])
            assert calls == ["ns/a"]

    run(main())


# Waiting


def test_waits_do_not_block_the_loop(make_informer: Make, pod: Pod) -> None:
    """Waits for the sync and for versions end when they are reached, at a time-out and at the stop."""
    source = FakeControllerSource()
    informer = make_informer(source)

    async def main() -> None:
        aio = informer.aio
        assert not await aio.wait_for_sync(0)
        assert not await aio.wait_for_sync(0.01)
        informer.start()
        assert await aio.wait_for_sync()
        await asyncio.to_thread(source.wait_for_watches)
        waiting = asyncio.create_task(aio.wait_for_resource_version("1"))
        source.add(pod("a"))
        assert await waiting
        assert not await aio.wait_for_resource_version("9", 0.01)
        with pytest.raises(ValueError, match="not a comparable resourceVersion"):
            await aio.wait_for_resource_version("abc")
        waiting = asyncio.create_task(aio.wait_for_resource_version("9"))
        await eventually(lambda: informer._waiters._count == 1)
        assert await aio.stop()
        assert not await waiting

    run(main())


def test_an_error_ends_the_wait_for_a_sync(make_informer: Make) -> None:
    """`raise_on_error` raises what keeps the informer from syncing, and returns True once it has synced."""
    refuse = threading.Event()
    refuse.set()

    class Refusing(FakeControllerSource):
        def list(self, options: Any = None) -> Any:
            if refuse.is_set():
                raise ApiError(403, "Forbidden", "pods is forbidden")
            return super().list(options)

    async def main() -> None:
        async with make_informer(Refusing()).aio as aio:
            with pytest.raises(ApiError, match="pods is forbidden"):
                await aio.wait_for_sync(raise_on_error=True)
            refuse.clear()
            assert await aio.wait_for_sync()
            assert await aio.wait_for_sync(0, raise_on_error=True)

    run(main())


def test_a_write_counts_in_its_own_namespace(make_informer: Make, pod: Pod) -> None:
    """The namespace of the object, or the given one; the other one is quiet."""
    source = FakeControllerSource(namespaces=["one", "two"])

    async def main() -> None:
        async with make_informer(source).aio as aio:
            assert await aio.wait_for_sync()
            assert await asyncio.to_thread(source.wait_for_watches, 2)
            assert await aio.wait_for_resource_version(source.add(pod("a", namespace="one")))
            assert await aio.wait_for_resource_version("1", namespace="one")
            assert not await aio.wait_for_resource_version("1", 0)

    run(main())


def test_stop_waits_for_async_handlers(make_informer: Make, pod: Pod) -> None:
    """It returns False while a call goes on, and True once it has ended; with drain the waiting changes are delivered."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source)

    async def main() -> None:
        slow = Slow()
        informer.start()
        informer.aio.add_event_handler(on_add=slow)
        await slow.entered.wait()
        assert await informer.aio.stop(0.02, drain=True) is False
        slow.go.set()
        assert await informer.aio.stop(DEADLINE, drain=True) is True
        assert slow.done == ["ns/a", "ns/b", "ns/c"]
        assert others() == []

    run(main())


def test_a_stop_from_an_async_handler_does_not_wait_for_it(make_informer: Make, pod: Pod) -> None:
    """It returns False there, as in a handler on a thread."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)

    async def main() -> None:
        answers: asyncio.Queue[bool] = asyncio.Queue()

        async def stop(obj: Any) -> None:
            await answers.put(await informer.aio.stop())

        informer.start()
        informer.aio.add_event_handler(on_add=stop)
        assert await answers.get() is False
        assert await informer.aio.stop() is True

    run(main())


def test_stop_waits_for_handlers_on_threads_too(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """It returns False while one still runs, without blocking the loop."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    gate = make_gate()
    informer.add_event_handler(gate)
    informer.start()
    gate.entered.get(DEADLINE)

    async def main() -> None:
        assert await informer.aio.stop(0.02) is False
        stopping = asyncio.create_task(informer.aio.stop(DEADLINE))
        await asyncio.sleep(0.02)
        assert not stopping.done()
        gate.go.set()
        assert await stopping is True

    run(main())


# What is left


def test_cancellation_leaves_nothing(make_informer: Make, pod: Pod) -> None:
    """Cancelled readers, waits, handlers and stops leave no task, thread or listener behind."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    before = set(threading.enumerate())
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    assert source.wait_for_watches()
    running = set(threading.enumerate())

    async def read() -> None:
        async with informer.aio.events() as stream:
            async for _ in stream:
                pass

    async def main() -> None:
        entered = asyncio.Event()

        async def hang(obj: Any) -> None:
            entered.set()
            await asyncio.sleep(DEADLINE)

        registration = informer.aio.add_event_handler(on_add=hang)
        await entered.wait()
        tasks = [
            asyncio.create_task(read()),
            asyncio.create_task(informer.aio.wait_for_resource_version("99")),
            asyncio.create_task(registration.wait_for_sync()),
        ]
        await eventually(lambda: informer._waiters._count == 2 and len(informer._processor.listeners()) == 2)
        for task in (*tasks, registration.task):
            task.cancel()
        await asyncio.wait([*tasks, registration.task])
        assert informer._processor.listeners() == ()
        assert informer._waiters._count == 0
        assert others() == []
        assert set(threading.enumerate()) <= running

    run(main())
    assert informer.stop(DEADLINE)
    assert set(threading.enumerate()) <= before


def test_a_cancelled_stop_has_stopped(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """The informer is stopped, and no thread is left, although no task waits for the stop any more."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    gate = make_gate()
    informer.add_event_handler(gate)
    informer.start()
    gate.entered.get(DEADLINE)
    running = set(threading.enumerate())

    async def main() -> None:
        stopping = asyncio.create_task(informer.aio.stop(None))
        await eventually(informer.is_stopped)
        stopping.cancel()
        await asyncio.wait([stopping])
        assert informer.is_stopped()
        assert set(threading.enumerate()) <= running

    run(main())


def test_a_closed_loop_removes_its_handlers(make_informer: Make, pod: Pod) -> None:
    """The handlers and streams of a closed loop are removed with the next change, and delay no other handler."""
    source = FakeControllerSource()
    informer = make_informer(source)
    informer.start()
    assert source.wait_for_watches()
    kept: list[Any] = []
    loop = asyncio.new_event_loop()

    async def leave() -> None:
        kept.append(informer.aio.events())

    loop.run_until_complete(leave())
    loop.close()
    assert len(informer._processor.listeners()) == 1
    added: Channel[str] = Channel(None)
    informer.add_event_handler(on_add=lambda obj: added.put(key_of(obj)))
    source.add(pod("a"))
    source.add(pod("b"))
    assert [added.get(DEADLINE) for _ in range(2)] == ["ns/a", "ns/b"]
    assert len(informer._processor.listeners()) == 1


def test_the_end_of_a_loop_ends_its_handlers(make_informer: Make, pod: Pod) -> None:
    """`asyncio.run` cancels the handlers' tasks; the informer goes on."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    informer.start()

    async def main() -> None:
        informer.aio.add_event_handler(on_add=lambda obj: asyncio.sleep(DEADLINE))
        informer.aio.add_event_handler(on_add=lambda obj: None)
        await asyncio.sleep(0)  # the handlers' tasks begin to wait for changes

    run(main())
    assert informer._processor.listeners() == ()
    assert not informer.is_stopped()


def test_without_a_loop_nothing_is_added(make_informer: Make) -> None:
    """Streams and handlers need a running loop; the error leaves nothing behind."""
    informer = make_informer(FakeControllerSource())
    with pytest.raises(RuntimeError, match="no running event loop"):
        informer.aio.events()
    with pytest.raises(RuntimeError, match="no running event loop"):
        informer.aio.add_event_handler(on_add=print)
    assert informer._processor.listeners() == ()


def test_misuse_adds_nothing(make_informer: Make) -> None:
    """An async filter and functions that cannot be called are refused."""
    informer = make_informer(FakeControllerSource())
    odd: Any = 3

    async def main() -> None:
        for options, text in (
            ({"filter": asyncio.sleep}, "filter is an async function"),
            ({"filter": odd}, "filter must be callable, not int"),
            ({"on_error": odd}, "on_error must be callable, not int"),
        ):
            with pytest.raises(TypeError, match=text):
                informer.aio.add_event_handler(on_add=print, **options)
        with pytest.raises(TypeError, match="filter is an async function"):
            informer.aio.events(filter=asyncio.sleep)

    run(main())
    assert informer._processor.listeners() == ()


def test_a_stopped_informer_refuses_streams_and_handlers(make_informer: Make) -> None:
    """It does not start again either."""
    informer = make_informer(FakeControllerSource())
    informer.stop()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="stopped"):
            informer.aio.events()
        with pytest.raises(RuntimeError, match="stopped"):
            informer.aio.add_event_handler(on_add=print)
        with pytest.raises(RuntimeError, match="stopped"):
            async with informer.aio:
                pass

    run(main())
