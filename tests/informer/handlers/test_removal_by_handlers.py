"""Handlers that remove handlers: no removal waits for a call that may be waiting for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from informer import HandlerRegistration, SharedInformer
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE, eventually
from watch import Channel

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]


@pytest.fixture
def source(pod: Pod) -> FakeControllerSource:
    """A source with one pod."""
    source = FakeControllerSource()
    source.add(pod("a"))
    return source


@pytest.mark.parametrize(
    ("informers", "inline"), [(1, (False, False)), (2, (False, False)), (2, (True, True)), (2, (True, False))]
)
def test_two_handlers_may_remove_each_other(
    make_informer: Make, source: FakeControllerSource, informers: int, inline: tuple[bool, bool]
) -> None:
    """Handlers of one informer, or of two. Neither removal waits, and the stop leaves no thread (ovn-kubernetes#483)."""
    made = [make_informer(source) for _ in range(informers)]
    both_called = threading.Barrier(2)
    removed: Channel[str] = Channel(None)
    registrations: dict[str, HandlerRegistration] = {}

    def handler(other: str) -> Callable[[Any], None]:
        def remove_other(obj: Any) -> None:
            both_called.wait(DEADLINE)
            registrations[other].remove()
            removed.put(other)

        return remove_other

    registrations["one"] = made[0].add_event_handler(on_add=handler("two"), inline=inline[0])
    registrations["two"] = made[-1].add_event_handler(on_add=handler("one"), inline=inline[1])
    for informer in made:
        informer.start()
    assert sorted(removed.get(DEADLINE) for _ in range(2)) == ["one", "two"]
    assert all(informer.handlers == [] for informer in made)
    assert all(informer.stop(DEADLINE) for informer in made)


def test_a_callback_of_the_informer_may_remove_a_handler_that_waits_for_the_informer(
    make_informer: Make, source: FakeControllerSource, pod: Pod
) -> None:
    """A transform runs on the reader's thread; the handler waits until the reader goes on."""
    removed = threading.Event()
    registrations: list[HandlerRegistration] = []

    def transform(obj: Any) -> Any:
        if obj["metadata"]["name"] == "b":
            registrations[0].remove()
            removed.set()
        return obj

    informer = make_informer(source, transform=transform)
    entered = threading.Event()

    def wait_for_the_reader(obj: Any) -> None:
        entered.set()
        assert removed.wait(DEADLINE)

    registrations.append(informer.add_event_handler(on_add=wait_for_the_reader))
    informer.start()
    assert entered.wait(DEADLINE)
    assert source.wait_for_watches()
    source.add(pod("b"))
    assert removed.wait(DEADLINE)


def test_async_handlers_may_remove_each_other(make_informer: Make, source: FakeControllerSource) -> None:
    """Also in a task that a handler has made, as `asyncio.wait_for` does."""
    informer = make_informer(source)

    async def main() -> None:
        done: list[str] = []
        registrations: dict[str, Any] = {}
        called = {"one": asyncio.Event(), "two": asyncio.Event()}

        def handler(name: str, other: str) -> Any:
            async def remove_other(obj: Any) -> None:
                called[name].set()
                await called[other].wait()
                await asyncio.wait_for(registrations[other].remove(), DEADLINE)
                done.append(name)

            return remove_other

        async with informer.aio as aio:
            registrations["one"] = aio.add_event_handler(on_add=handler("one", "two"))
            registrations["two"] = aio.add_event_handler(on_add=handler("two", "one"))
            await asyncio.wait([each.task for each in registrations.values()], timeout=DEADLINE)
            assert sorted(done) == ["one", "two"]
            assert aio.handlers == []

    asyncio.run(asyncio.wait_for(main(), 2 * DEADLINE))


def test_a_thread_handler_and_an_async_one_may_remove_each_other(
    make_informer: Make, source: FakeControllerSource
) -> None:
    """The handler's thread waits for the loop, on which the async handler calls the blocking `remove`."""
    informer = make_informer(source)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        both_called = threading.Barrier(2)
        done: list[str] = []
        registrations: list[Any] = []

        def remove_async(obj: Any) -> None:
            both_called.wait(DEADLINE)
            asyncio.run_coroutine_threadsafe(registrations[1].remove(), loop).result(DEADLINE)
            done.append("thread")

        async def remove_thread(obj: Any) -> None:
            await asyncio.to_thread(both_called.wait, DEADLINE)
            registrations[0].remove()
            done.append("async")

        async with informer.aio as aio:
            registrations.append(informer.add_event_handler(on_add=remove_async))
            registrations.append(aio.add_event_handler(on_add=remove_thread))
            assert await asyncio.to_thread(eventually, lambda: sorted(done) == ["async", "thread"])

    asyncio.run(asyncio.wait_for(main(), 2 * DEADLINE))
