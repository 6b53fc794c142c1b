"""Async handlers with `concurrency`: in order for each key, in parallel between keys."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from informer import SharedInformer
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(main, DEADLINE)

    return asyncio.run(limited())


async def eventually(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.002)


def name_of(obj: Any) -> str:
    return str(obj["metadata"]["name"])


class Gated:
    """A handler whose calls wait until the test lets them end."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.most = 0
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.open = False

    def let(self, call: str) -> None:
        self._gates[call].set()

    def let_all(self) -> None:
        self.open = True
        for gate in self._gates.values():
            gate.set()

    async def _call(self, call: str) -> None:
        self.begun.append(call)
        self.running.append(call)
        self.most = max(self.most, len(self.running))
        try:
            if not self.open:
                await self._gates[call].wait()
            await asyncio.sleep(0)
            self.ended.append(call)
        finally:
            self.running.remove(call)

    async def on_add(self, obj: Any) -> None:
        await self._call(f"add {name_of(obj)}")

    async def on_update(self, old: Any, new: Any) -> None:
        await self._call(f"update {name_of(new)}")

    async def on_delete(self, obj: Any) -> None:
        await self._call(f"delete {name_of(obj)}")


def test_keys_are_handled_in_parallel_and_each_in_order(make_informer: Make, pod: Pod, queue: str) -> None:
    """A call that hangs delays the later changes of its own key only."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.add(pod("b"))
    informer = make_informer(source, queue=queue)

    async def main() -> None:
        handler = Gated()
        async with informer.aio as aio:
            registration = aio.add_event_handler(handler, concurrency=3)
            await eventually(lambda: sorted(handler.running) == ["add a", "add b"])
            await asyncio.to_thread(source.wait_for_watches)
            source.modify(pod("a"))
            source.delete(pod("a"))
            source.add(pod("c"))
            await eventually(lambda: len(handler.running) == 3)
            assert sorted(handler.running) == ["add a", "add b", "add c"]
            assert registration.backlog_size == 2
            assert not registration.has_synced()
            handler.let("add b")
            handler.let("add a")
            assert await registration.wait_for_sync()
            await eventually(lambda: "update a" in handler.running)
            assert "delete a" not in handler.begun
            handler.let_all()
            await eventually(lambda: len(handler.ended) == 5)
            of_a = [call for call in handler.ended if call.endswith(" a")]
            assert of_a == ["add a", "update a", "delete a"]
            await eventually(lambda: registration.busy_since is None)
            assert (registration.backlog_size, registration.calls) == (0, 5)

    run(main())


@pytest.mark.parametrize("concurrency", [1, 4])
def test_no_more_calls_run_than_asked(make_informer: Make, pod: Pod, concurrency: int) -> None:
    """At most `concurrency` calls are under way; every change is handled once."""
    source = FakeControllerSource()
    for number in range(50):
        source.add(pod(f"p{number}"))
    informer = make_informer(source)

    async def main() -> None:
        handler = Gated()
        async with informer.aio as aio:
            registration = aio.add_event_handler(handler, concurrency=concurrency)
            await eventually(lambda: len(handler.running) == concurrency)
            await asyncio.sleep(0.02)
            assert len(handler.running) == concurrency
            assert registration.backlog_size >= 50 - concurrency - 1
            handler.let_all()
            assert await registration.wait_for_sync()
            assert handler.most == concurrency
            assert Counter(handler.ended) == {f"add p{number}": 1 for number in range(50)}

    run(main())


def test_a_call_that_raises_does_not_stop_the_others(make_informer: Make, pod: Pod) -> None:
    """It is counted and passed to `on_error`, which may be async; the handler syncs."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source)

    async def main() -> None:
        failed: list[str] = []

        async def on_add(obj: Any) -> None:
            await asyncio.sleep(0)
            if name_of(obj) != "c":
                raise ValueError(name_of(obj))

        async def on_error(change: Any, error: BaseException) -> None:
            await asyncio.sleep(0)
            failed.append(f"{change.key}: {error}")

        async with informer.aio as aio:
            registration = aio.add_event_handler(on_add=on_add, on_error=on_error, concurrency=2)
            assert await registration.wait_for_sync()
            assert sorted(failed) == ["ns/a: a", "ns/b: b"]
            assert (registration.errors, registration.calls) == (2, 3)

    run(main())


def test_a_stop_waits_for_every_call(make_informer: Make, pod: Pod) -> None:
    """Calls under way go on to their end; a drain makes the waiting ones too."""
    source = FakeControllerSource()
    for name in "abcd":
        source.add(pod(name))
    informer = make_informer(source)

    async def main() -> None:
        handler = Gated()
        registration = informer.aio.add_event_handler(handler, concurrency=2)
        informer.start()
        await eventually(lambda: len(handler.running) == 2)
        stop = asyncio.create_task(informer.aio.stop(DEADLINE, drain=True))
        await eventually(informer.is_stopped)
        await asyncio.sleep(0.02)
        assert len(handler.running) == 2
        assert not stop.done()
        handler.let_all()
        assert await stop
        assert len(handler.ended) == 4
        assert registration.task.done()

    run(main())


@pytest.mark.parametrize("way", ["remove", "stop"])
def test_a_call_may_end_its_own_handler(make_informer: Make, pod: Pod, way: str) -> None:
    """`remove` and `stop` from within a call do not wait for that call; the waiting changes are dropped."""
    source = FakeControllerSource()
    for name in "abcdef":
        source.add(pod(name))
    informer = make_informer(source)

    async def main() -> None:
        calls: list[str] = []

        async def on_add(obj: Any) -> None:
            calls.append(name_of(obj))
            await asyncio.sleep(0)
            if way == "remove":
                await registration.remove()
            else:
                await informer.aio.stop()

        registration = informer.aio.add_event_handler(on_add=on_add, concurrency=2)
        informer.start()
        await registration.task
        assert 1 <= len(calls) <= 3
        await informer.aio.stop()

    run(main())


def test_cancelling_the_task_cancels_the_calls(make_informer: Make, pod: Pod) -> None:
    """No call goes on, and none is left behind."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source)

    async def main() -> None:
        handler = Gated()
        async with informer.aio as aio:
            registration = aio.add_event_handler(handler, concurrency=2)
            await eventually(lambda: len(handler.running) == 2)
            registration.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await registration.task
            assert handler.running == handler.ended == []
            assert aio.handlers == []

    run(main())


def test_one_busy_key_does_not_fill_memory_or_block_others(make_informer: Make, pod: Pod) -> None:
    """While one key's call hangs, the changes of others are handled and its own wait in order."""
    source = FakeControllerSource()
    source.add(pod("hot"))
    informer = make_informer(source)

    async def main() -> None:
        handler = Gated()
        async with informer.aio as aio:
            registration = aio.add_event_handler(handler, concurrency=2)
            await eventually(lambda: handler.running == ["add hot"])
            await asyncio.to_thread(source.wait_for_watches)
            for _ in range(1500):
                source.modify(pod("hot"))
            await eventually(lambda: registration.backlog_size == 1500)
            assert registration._calls.waiting <= 1000
            handler.let_all()
            source.add(pod("cold"))
            await eventually(lambda: len(handler.ended) == 1502)
            assert handler.most == 2
            assert registration.backlog_size == 0

    run(main())


def test_misuse_is_refused(make_informer: Make) -> None:
    """The message names the argument, and nothing is added."""
    informer = make_informer(FakeControllerSource())

    async def main() -> None:
        for value, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)):
            with pytest.raises(error, match="concurrency must be"):
                informer.aio.add_event_handler(on_add=print, concurrency=value)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="concurrency does not fit on_batch"):
            informer.aio.add_event_handler(on_batch=print, concurrency=2)
        assert informer.aio.handlers == []

    run(main())
