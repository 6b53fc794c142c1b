"""Checks of functions that users pass: they fail when the function is given, not when it is called."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from informer import DeltaFIFO, Indexer, InOrderFIFO, SharedInformer, SharedInformerFactory
from informer.arguments import check_function
from informer.record import CoreV1EventSink, EventBroadcaster
from informer.testing.fake_source import FakeControllerSource
from informer.workqueue import RateLimitingQueue, parallelize_until, run_workers


async def is_async(*args: Any) -> Any: ...


def generates(*args: Any) -> Iterator[str]:
    yield "a"


async def generates_async(*args: Any) -> AsyncIterator[str]:
    yield "a"


class AsyncMethod:
    async def method(self, obj: Any) -> None: ...


class PlainMethod:
    def method(self, obj: Any) -> None: ...

    def __call__(self, obj: Any) -> None: ...


def plain(obj: Any) -> None: ...


def none() -> None: ...


def informer_with(**options: Any) -> SharedInformer[Any]:
    return SharedInformer(FakeControllerSource(), **options)


TAKERS: dict[str, Callable[[Any], object]] = {
    "index function": lambda function: Indexer(indexers={"i": function}),
    "informer's index function": lambda function: informer_with(indexers={"i": function}),
    "late index function": lambda function: informer_with().add_indexers({"i": function}),
    "transform": lambda function: informer_with(transform=function),
    "set_transform": lambda function: informer_with().set_transform(function),
    "factory's transform": lambda function: SharedInformerFactory(object(), transform=function),
    "transform of a queue": lambda function: InOrderFIFO(transform=function),
    "transform of a delta queue": lambda function: DeltaFIFO(transform=function),
    "watch_error_handler": lambda function: informer_with(watch_error_handler=function),
    "on_decode_error": lambda function: informer_with(on_decode_error=function),
    "key_func": lambda function: informer_with(key_func=function),
    "filter": lambda function: informer_with().add_event_handler(on_add=print, filter=function),
    "filter of a stream": lambda function: informer_with().events(filter=function),
    "on_error": lambda function: informer_with().add_event_handler(on_add=print, on_error=function),
    "on_add": lambda function: informer_with().add_event_handler(on_add=function),
    "on_batch": lambda function: informer_with().add_event_handler(on_batch=function),
    "do_piece": lambda function: parallelize_until(1, 1, function),
}


@pytest.mark.parametrize("function", [is_async, functools.partial(is_async), AsyncMethod().method, none, "text"])
@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
def test_functions_that_could_not_work_are_refused(take: Callable[[Any], object], function: Any) -> None:
    """An async function would do nothing, one with other arguments would fail each time."""
    with pytest.raises(TypeError, match=r"is an async function|is called with \d arguments?|must be callable"):
        take(function)


@pytest.mark.parametrize(
    "function",
    [none, lambda key, more: None, generates, generates_async],
    ids=["none", "lambda", "generator", "async-generator"],
)
def test_reconcile_is_checked_too(function: Any) -> None:
    """It may be async, but must take a key."""
    queue = RateLimitingQueue()
    with pytest.raises(TypeError, match=r"reconcile is (called with 1 argument|a generator function)"):
        run_workers(queue, function)
    queue.shut_down()


@pytest.mark.parametrize(
    "function",
    [
        print,
        len,
        lambda obj: None,
        lambda *args: None,
        lambda obj, more=1: None,
        mock.Mock(),
        int,
        functools.partial(none),
    ],
)
def test_functions_that_work_are_accepted(function: Any) -> None:
    """Also those without a signature."""
    if isinstance(function, functools.partial):
        check_function("f", function, 0)
    else:
        check_function("f", function, 1)


def test_an_index_function_may_be_a_generator() -> None:
    """Its values are iterated; an asynchronous generator's cannot be."""
    indexer: Indexer[Any] = Indexer(indexers={"i": generates})
    indexer.add({"metadata": {"name": "web"}})
    assert indexer.list_index_func_values("i") == ["a"]
    with pytest.raises(TypeError, match="is a generator function"):
        Indexer(indexers={"i": generates_async})
    with pytest.raises(TypeError, match="is a generator function"):
        informer_with().add_event_handler(on_add=generates)


@pytest.mark.parametrize(
    "function",
    [
        mock.MagicMock(),
        mock.create_autospec(plain),
        mock.create_autospec(PlainMethod),
        mock.create_autospec(PlainMethod, instance=True),
        mock.create_autospec(PlainMethod, instance=True).method,
        mock.MagicMock(spec=PlainMethod).method,
        functools.partial(mock.create_autospec(PlainMethod, instance=True).method),
    ],
)
def test_a_mock_of_a_plain_function_is_accepted(function: Any) -> None:
    """Though it claims to be a function, and its flags are mocks that count as true."""
    check_function("f", function, 1)


@pytest.mark.parametrize(
    "function",
    [
        mock.AsyncMock(),
        mock.create_autospec(is_async),
        mock.create_autospec(AsyncMethod, instance=True).method,
        mock.MagicMock(spec=AsyncMethod).method,
        mock.MagicMock(spec=is_async),
        functools.partial(mock.create_autospec(AsyncMethod, instance=True).method),
    ],
)
def test_a_mock_of_an_async_function_is_refused(function: Any) -> None:
    """Its call makes a coroutine."""
    with pytest.raises(TypeError, match="f is an async function"):
        check_function("f", function, 1)


def test_a_mock_of_an_event_sink_is_a_sink() -> None:
    """As `create_autospec` makes it."""
    sink = mock.create_autospec(CoreV1EventSink, instance=True)
    broadcaster = EventBroadcaster()
    broadcaster.start_recording_to_sink(sink)
    broadcaster.shutdown()
