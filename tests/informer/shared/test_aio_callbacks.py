"""`aio.on_error`, `aio.on_end`, `aio.wait_for_sync(raise_on_error=True)` and a factory in `async with`."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from informer import SharedInformer, SharedInformerFactory
from informer.testing import EmbeddedAPIServer
from informer.testing.fake_source import FakeControllerSource
from tests.support.objects import config_map
from tests.support.waiting import DEADLINE

Make = Callable[..., SharedInformer[Any]]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(main, DEADLINE)

    return asyncio.run(limited())


async def eventually(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.002)


def with_server(main: Callable[[EmbeddedAPIServer, SharedInformer[Any]], Coroutine[Any, Any, None]]) -> None:
    with EmbeddedAPIServer() as server, server.api_client() as api_client:
        server.create(config_map("a"))
        run(main(server, SharedInformerFactory(api_client).informer("configmaps", namespace="default")))


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_errors_are_passed_on_the_loop(is_async: bool) -> None:
    """Each new error comes to the loop's thread, until the function is withdrawn."""

    async def main(server: EmbeddedAPIServer, informer: SharedInformer[Any]) -> None:
        errors: list[Exception] = []
        threads: set[threading.Thread] = set()

        def plain(error: Exception) -> None:
            threads.add(threading.current_thread())
            errors.append(error)

        async def later(error: Exception) -> None:
            await asyncio.sleep(0)
            plain(error)

        server.forbid("*", "configmaps")
        withdraw = informer.aio.on_error(later if is_async else plain)
        async with informer.aio as aio:
            await eventually(lambda: len(errors) >= 2)
            assert "forbidden" in str(errors[0])
            assert threads == {threading.current_thread()}
            late: list[Exception] = []
            aio.on_error(late.append)
            await eventually(lambda: bool(late))
            withdraw()
            withdraw()
            server.allow()
            assert await aio.wait_for_sync(DEADLINE)

    with_server(main)


def test_a_function_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The informer and the loop go on."""

    async def main(server: EmbeddedAPIServer, informer: SharedInformer[Any]) -> None:
        def plain(error: Exception) -> None:
            raise ValueError("plain")

        async def later(error: Exception) -> None:
            raise ValueError("async")

        server.forbid("*", "configmaps")
        informer.aio.on_error(plain)
        informer.aio.on_error(later)
        async with informer.aio as aio:
            await eventually(lambda: sum("on_error of informer" in each.message for each in caplog.records) >= 2)
            server.allow()
            assert await aio.wait_for_sync(DEADLINE)

    with caplog.at_level(logging.ERROR):
        with_server(main)


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
def test_the_end_is_passed_on_the_loop(make_informer: Make, is_async: bool, is_late: bool) -> None:
    """Once, when the last thread has ended; at once for an informer that has ended."""
    informer = make_informer(FakeControllerSource())

    async def main() -> None:
        ended: list[threading.Thread] = []

        def plain() -> None:
            ended.append(threading.current_thread())

        async def later() -> None:
            plain()

        function = later if is_async else plain
        if not is_late:
            informer.aio.on_end(function)
        async with informer.aio as aio:
            assert await aio.wait_for_sync()
            assert not ended
        if is_late:
            informer.aio.on_end(function)
        await eventually(lambda: bool(ended))
        await asyncio.sleep(0.01)
        assert ended == [threading.current_thread()]

    run(main())


def test_without_a_loop_and_with_wrong_arguments_nothing_is_added(make_informer: Make) -> None:
    """RuntimeError and TypeError."""
    informer = make_informer(FakeControllerSource())
    for add in (informer.aio.on_error, informer.aio.on_end):
        with pytest.raises(RuntimeError, match="no running event loop"):
            add(print)

    async def main() -> None:
        for add in (informer.aio.on_error, informer.aio.on_end):
            with pytest.raises(TypeError, match="function must be callable, not int"):
                add(1)  # type: ignore[arg-type]

    run(main())


def test_a_program_may_leave_its_loop_without_a_stop() -> None:
    """Errors and the end come when the loop is closed already: no output, and a clean exit."""
    program = """
        import asyncio
        from informer import SharedInformerFactory
        from informer.testing import EmbeddedAPIServer
        from watch.concurrency import Latch

        server = EmbeddedAPIServer().start()
        informer = SharedInformerFactory(server.api_client()).informer("configmaps")

        async def main():
            async def later(*args):
                await asyncio.sleep(60)
            for function in (later, lambda *args: None):
                informer.aio.on_error(function)
                informer.aio.on_end(function)
            informer.start()
            assert await informer.aio.wait_for_sync(20)

        asyncio.run(main())
        failed = Latch()
        informer.on_progress(lambda: informer.sync_error() and failed.open())
        server.stop()
        failed.wait(20)
        print("end")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
    assert "Event loop is closed" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wait_for_the_sync_raises_the_error() -> None:
    """With `raise_on_error` the first failed attempt ends the wait; the informer goes on."""

    async def main(server: EmbeddedAPIServer, informer: SharedInformer[Any]) -> None:
        server.forbid("*", "configmaps")
        async with informer.aio as aio:
            with pytest.raises(Exception, match="forbidden") as raised:
                await aio.wait_for_sync(DEADLINE, raise_on_error=True)
            assert type(raised.value) is type(informer.sync_error())
            assert not await aio.wait_for_sync(0)
            server.allow()
            assert await aio.wait_for_sync(DEADLINE)
            assert await aio.wait_for_sync(DEADLINE, raise_on_error=True)

    with_server(main)


def test_a_wait_for_the_sync_without_an_error(make_informer: Make) -> None:
    """It returns as without the option: True when synced, False when the time is up or the informer stops."""
    source = FakeControllerSource()
    informer = make_informer(source)

    async def main() -> None:
        async with informer.aio as aio:
            assert await aio.wait_for_sync(DEADLINE, raise_on_error=True)
        assert await aio.wait_for_sync(DEADLINE, raise_on_error=True)

    run(main())


def test_a_factory_in_async_with() -> None:
    """Its informers run within the block; the loop is not blocked while they stop."""

    async def main(api_client: Any) -> None:
        factory = SharedInformerFactory(api_client)
        informers = [factory.informer(name) for name in ("configmaps", "pods")]
        seen: list[str] = []

        async def on_add(obj: Any) -> None:
            seen.append(obj.name)

        async with factory as entered:
            assert entered is factory
            registration = informers[0].aio.add_event_handler(on_add=on_add)
            for informer in informers:
                assert await informer.aio.wait_for_sync(DEADLINE)
            assert await registration.wait_for_sync(DEADLINE)
            assert seen == ["a"]
        assert all(informer.is_stopped() for informer in informers)
        assert registration.task.done()
        with pytest.raises(RuntimeError, match="stopped"):
            factory.informer("secrets")

    with EmbeddedAPIServer() as server, server.api_client() as api_client:
        server.create(config_map("a"))
        run(main(api_client))
