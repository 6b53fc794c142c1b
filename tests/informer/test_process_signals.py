"""`stop_on_signals`: a stop event that signals set."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from informer import async_stop_on_signals, stop_on_signals
from tests.support.waiting import DEADLINE


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    """Restores pytest's signal handlers."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_sets_the_event(number: int) -> None:
    """The first signal sets it, and restores the previous signal handlers."""
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    stop = stop_on_signals()
    assert isinstance(stop, threading.Event)
    assert not stop.is_set()
    os.kill(os.getpid(), number)
    assert stop.wait(DEADLINE)
    assert {each: signal.getsignal(each) for each in before} == before


def test_a_signal_reaches_a_main_thread_that_waits_for_the_event() -> None:
    """A main thread that waits for the event itself handles the signal."""
    stop = stop_on_signals()
    sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
    sender.start()
    assert stop.wait(DEADLINE)
    sender.join(DEADLINE)


def test_a_signal_that_another_thread_was_given_sets_the_event() -> None:
    """The waiting main thread handles it although nothing else wakes that thread."""
    stop = stop_on_signals()

    def send_to_myself() -> None:
        # Whether the main thread waits already cannot be seen from here.
        threading.Event().wait(0.05)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        threading.Event().wait(0.05)

    sender = threading.Thread(target=send_to_myself)
    sender.start()
    assert stop.wait()
    sender.join(DEADLINE)


def test_a_second_call_returns_the_same_event() -> None:
    """Two parts of a program stop at the same signal; after it a call returns a new event."""
    before = signal.getsignal(signal.SIGTERM)
    stop = stop_on_signals()
    assert stop_on_signals() is stop
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wait(DEADLINE)
    assert signal.getsignal(signal.SIGTERM) == before
    again = stop_on_signals()
    assert again is not stop
    assert not again.is_set()


def test_other_handlers_set_since_are_replaced_anew() -> None:
    """If the program has set other signal handlers since, a new call replaces them."""
    stop = stop_on_signals()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    again = stop_on_signals()
    assert again is not stop
    os.kill(os.getpid(), signal.SIGINT)
    assert again.wait(DEADLINE)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_only_the_main_thread_may_call_it() -> None:
    """Elsewhere it raises a ValueError and changes nothing."""
    before = signal.getsignal(signal.SIGTERM)
    errors: list[Exception] = []

    def ask() -> None:
        try:
            stop_on_signals()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(DEADLINE)
    assert len(errors) == 1
    assert signal.getsignal(signal.SIGTERM) == before


# The asyncio form


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_sets_the_event_of_the_loop(number: int) -> None:
    """The loop goes on while it waits; the first signal restores the previous handlers, and a later call makes a new event."""

    async def main() -> None:
        before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
        stop = async_stop_on_signals()
        assert async_stop_on_signals() is stop
        assert not stop.is_set()
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), number)
        await asyncio.wait_for(stop.wait(), DEADLINE)
        assert {each: signal.getsignal(each) for each in before} == before
        again = async_stop_on_signals()
        assert again is not stop
        assert not again.is_set()

    asyncio.run(main())


def test_each_loop_has_its_own_event() -> None:
    """A loop that was closed before a signal does not disturb the next one."""
    events = []

    async def main() -> None:
        events.append(async_stop_on_signals())

    asyncio.run(main())
    asyncio.run(main())
    assert events[0] is not events[1]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_signal_ends_the_program() -> None:
    """It acts as it would have without the function: SIGINT interrupts `asyncio.run`."""

    async def main() -> None:
        stop = async_stop_on_signals()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(stop.wait(), DEADLINE)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(DEADLINE)

    # A shell that starts the tests in the background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_event_of_a_loop_needs_a_loop_on_the_main_thread() -> None:
    """RuntimeError without a loop, ValueError on another thread."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        async_stop_on_signals()
    errors: list[BaseException] = []

    async def main() -> None:
        try:
            async_stop_on_signals()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(DEADLINE)
    assert "main thread" in str(errors[0])
