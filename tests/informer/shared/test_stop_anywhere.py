"""Stopping from anywhere: a signal handler, a finalizer, several threads, another thread's start."""

from __future__ import annotations

import gc
import os
import pkgutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from informer import ListWatch, SharedInformer, SharedInformerFactory
from informer.testing import FakeControllerSource
from tests.support.waiting import DEADLINE, PROMPT
from watch import Channel
from watch.concurrency import Latch

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]


def threads_of(informer: SharedInformer[Any]) -> list[str]:
    return [thread.name for thread in threading.enumerate() if informer.name in thread.name]


@pytest.fixture
def source(pod: Pod) -> FakeControllerSource:
    """A source with one pod in each of two namespaces."""
    made = FakeControllerSource()
    made.add(pod("a", "one"))
    made.add(pod("b", "two"))
    return made


@pytest.mark.parametrize("drain", [False, True])
def test_a_stop_in_a_signal_handler(make_informer: Make, source: FakeControllerSource, drain: bool) -> None:
    """It interrupts the main thread in the middle of a wait, and ends both."""
    informer = make_informer(source, name="signalled")
    answers: list[bool] = []
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    before = signal.signal(signal.SIGUSR1, lambda *_: answers.append(informer.stop(PROMPT, drain=drain)))
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert informer.wait_until(lambda: False, DEADLINE) is False
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers == [True]
    assert threads_of(informer) == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("place", ["informer.shared.shared_informer.register", "watch.concurrency.Worker.start"])
def test_a_stop_in_a_signal_handler_during_the_start(
    make_informer: Make, source: FakeControllerSource, monkeypatch: pytest.MonkeyPatch, place: str, moment: str
) -> None:
    """Whatever lock the interrupted thread holds, everything that it has started or still starts ends."""
    informer = make_informer(source, name="surprised")
    informer.add_event_handler(on_add=lambda obj: None)
    answers: list[bool] = []
    function = pkgutil.resolve_name(place)

    def interrupted(*args: Any) -> Any:
        if moment == "before":
            signal.raise_signal(signal.SIGUSR1)
        result = function(*args)
        if moment == "after":
            signal.raise_signal(signal.SIGUSR1)
        return result

    monkeypatch.setattr(place, interrupted)
    before = signal.signal(signal.SIGUSR1, lambda *_: answers.append(informer.stop(PROMPT)))
    try:
        informer.start()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers
    assert all(answers)
    assert informer.stop(PROMPT)
    assert threads_of(informer) == []


def test_a_stop_in_a_finalizer(make_informer: Make, source: FakeControllerSource) -> None:
    """It works on whichever thread the garbage collector runs."""
    informer = make_informer(source, name="finalized")
    answers: list[bool] = []

    class Owner:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            answers.append(informer.stop(PROMPT))

    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    Owner()
    gc.collect()
    assert answers == [True]
    assert threads_of(informer) == []


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize("namespaces", [None, ["one", "two"]], ids=["everywhere", "namespaces"])
def test_several_stops_at_once(
    make_informer: Make, run: Any, source: FakeControllerSource, namespaces: Any, drain: bool
) -> None:
    """Each returns within its time, with the same answer."""
    source.namespaces = namespaces
    informer = make_informer(source, name="besieged")
    informer.add_event_handler(on_add=lambda obj: None)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    barrier = threading.Barrier(5)

    def stop() -> tuple[bool, float]:
        barrier.wait(DEADLINE)
        begun = time.monotonic()
        return informer.stop(PROMPT, drain=drain), time.monotonic() - begun

    for task in [run(stop) for _ in range(5)]:
        ended, took = task.result()
        assert ended
        assert took < PROMPT
    assert threads_of(informer) == []


@pytest.mark.parametrize("round_", range(10))
def test_a_stop_that_meets_the_start(make_informer: Make, run: Any, source: FakeControllerSource, round_: int) -> None:
    """Either the start is refused, or everything that it has begun ends."""
    source.namespaces = ("one", "two")
    informer = make_informer(source, name="contested", resync_period=60)
    informer.add_event_handler(on_add=lambda obj: None)
    barrier = threading.Barrier(2)

    def start() -> str:
        barrier.wait(DEADLINE)
        try:
            informer.start()
        except RuntimeError as error:
            return str(error)
        return "stopped later"

    starting = run(start)
    barrier.wait(DEADLINE)
    assert informer.stop(PROMPT)
    assert "stopped" in starting.result()
    assert threads_of(informer) == []


def test_a_stop_from_on_decode_error(make_informer: Make, pod: Pod) -> None:
    """`on_decode_error` runs on the reader thread."""
    source = FakeControllerSource()
    source.add(pod("a"))
    answers: Channel[bool] = Channel(None)

    def stop(*_: Any) -> None:
        answers.put(informer.stop(None))
        answers.put(informer.stop(None))

    informer = make_informer(source, name="undecodable", transform=lambda obj: None, on_decode_error=stop)
    informer.start()
    assert [answers.get(DEADLINE) for _ in range(2)] == [False, False]
    assert informer.stop(PROMPT)
    assert threads_of(informer) == []


def test_a_stop_from_a_progress_callback(make_informer: Make, source: FakeControllerSource) -> None:
    """Callbacks run on the reader thread, and on the thread that stops, where the stop does not recurse."""
    informer = make_informer(source, name="progress")
    answers: Channel[bool] = Channel(None)
    informer.on_progress(lambda: answers.put(informer.stop(DEADLINE)))
    informer.start()
    assert answers.get(DEADLINE) is False
    assert informer.stop(PROMPT)
    assert threads_of(informer) == []


def test_a_stop_from_a_predicate(make_informer: Make, source: FakeControllerSource) -> None:
    """A predicate runs on the waiting thread; other waiting threads go on."""
    informer = make_informer(source, name="waited")
    informer.start()
    assert informer.wait_until(lambda: informer.has_synced() and informer.stop(PROMPT), DEADLINE)
    assert threads_of(informer) == []


def stop_in(what: str, stop: Callable[[], object]) -> dict[str, Any]:
    """Returns options of an informer one of whose functions stops it."""

    def key_of(obj: Any) -> str:
        stop()
        return str(obj["metadata"]["name"])

    class Jitter(Random):
        def random(self) -> float:
            stop()
            return super().random()

    return {"key_func": key_of} if what == "key function" else {"random": Jitter()}


@pytest.mark.parametrize("what", ["key function", "random"])
def test_a_stop_from_a_function_that_the_reader_thread_calls(
    make_informer: Make, source: FakeControllerSource, what: str
) -> None:
    """Any user's function that runs on the reader thread may stop the informer."""
    answers: Channel[bool] = Channel(None)
    informer = make_informer(source, name="called", **stop_in(what, lambda: answers.put(informer.stop(None))))
    informer.start()
    assert answers.get(DEADLINE) is False
    assert informer.stop(PROMPT)
    assert threads_of(informer) == []


@pytest.mark.parametrize("what", ["model", "credential hook", "options"])
def test_a_stop_from_a_function_that_a_request_calls(serve: Any, what: str) -> None:
    """A model, a credentials hook, and `tweak_list_options`."""
    answers: Channel[bool] = Channel(None)

    def stop(*_: Any) -> None:
        answers.put(informer.stop(None))

    def handler(request: Any, connection: Any) -> None:
        pods = [{"metadata": {"name": "a", "namespace": "one"}}]
        connection.answer({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": pods})

    @dataclass
    class Decoded:
        metadata: Any

        def __post_init__(self) -> None:
            stop()

    settings = {"refresh_api_key_hook": stop} if what == "credential hook" else {}
    client = serve(handler).client(**settings)
    factory = SharedInformerFactory(client, tweak_list_options=stop if what == "options" else None)
    informer = factory.informer("pods", model=Decoded if what == "model" else None, watch_list=False, name="asking")
    factory.start()
    assert answers.get(DEADLINE) is False
    assert informer.stop(PROMPT)
    assert threads_of(informer) == []


@pytest.mark.parametrize("state", ["head", "list", "watch"])
def test_a_stop_closes_every_connection(serve: Any, state: str) -> None:
    """Those of each namespace and of each informer of a factory; the server sees them end."""
    arrived, ended = Channel[str](None), Channel[str](None)

    def handler(request: Any, connection: Any) -> None:
        if state == "watch" and "watch" not in request.query:
            connection.answer({"metadata": {"resourceVersion": "5"}, "items": []})
            return
        if state != "head":
            connection.begin()
        if state == "list":
            connection.chunk(b'{"kind":"PodList","items":[{"meta')
        arrived.put(request.path)
        connection.hang()
        ended.put(request.path)

    factory = SharedInformerFactory(serve(handler).client(), namespace=["one", "two"])
    for resource in ("pods", "services"):
        factory.informer(resource, watch_list=False)
    factory.start()
    expected = sorted(f"/api/v1/namespaces/{name}/{kind}" for name in ("one", "two") for kind in ("pods", "services"))
    assert sorted(arrived.get(DEADLINE) for _ in expected) == expected
    begun = time.monotonic()
    assert factory.shutdown(PROMPT)
    assert time.monotonic() - begun < PROMPT
    assert sorted(ended.get(DEADLINE) for _ in expected) == expected


def test_a_stop_from_a_users_list_function(run: Any) -> None:
    """The reader thread stops the informer in the middle of a request."""
    answers: Channel[bool] = Channel(None)
    left = Latch()

    def listing(options: Any) -> Any:
        answers.put(informer.stop(None))
        left.open()
        raise ConnectionError

    informer: SharedInformer[Any] = SharedInformer(ListWatch(listing, listing, supports_watch_list=False), name="own")
    informer.start()
    assert answers.get(DEADLINE) is False
    assert left.wait(DEADLINE)
    assert informer.stop(PROMPT)
    assert threads_of(informer) == []
