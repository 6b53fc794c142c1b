"""Runs the coroutines of a `kubernetes_asyncio` configuration to their end, on the thread that sends the request."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from watch.concurrency import Latch, Worker

__all__ = ["result_of"]


def result_of(value: Any) -> Any:
    """Returns a value, or what it gives if it is awaitable.

    A coroutine runs on an event loop of its own, on this thread. On a thread whose own loop is running, it runs on another
    thread, since loops cannot be nested.

    Raises:
        BaseException: what the coroutine raises.
    """
    if not inspect.isawaitable(value):
        return value
    import asyncio

    async def wait() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    return _on_another_thread(lambda: asyncio.run(wait()))


def _on_another_thread(function: Callable[[], Any]) -> Any:
    done = Latch()
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)
        finally:
            done.open()

    Worker(run, "credentials").start()
    done.wait()
    if errors:
        raise errors[0]
    return results[0]
