"""`Waiters`: threads and callbacks that wait for an informer's progress."""

from __future__ import annotations

import threading
from collections.abc import Callable

from informer.shared.waiting import Waiters


def test_a_waiter_looks_again_at_each_notification() -> None:
    """The wait ends when the predicate has become true."""
    waiters = Waiters()
    state = [0]
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(waiters.wait_until(lambda: state[0] == 3, 20)))
    thread.start()
    for _ in range(3):
        state[0] += 1
        waiters.notify()
    thread.join(20)
    assert results == [True]


def test_no_change_is_missed_between_the_predicate_and_the_wait() -> None:
    """A change during the predicate is noticed, because the thread has counted itself before."""
    waiters = Waiters()
    looked = threading.Event()
    state = [False]

    def look() -> bool:
        value = state[0]
        looked.set()
        return value

    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(waiters.wait_until(look, 20)))
    thread.start()
    assert looked.wait(20)
    state[0] = True
    waiters.notify()
    thread.join(20)
    assert results == [True]


def test_a_wait_times_out() -> None:
    """It returns the predicate's last result; a time-out of 0 does not wait."""
    assert not Waiters().wait_until(lambda: False, 0)
    assert not Waiters().wait_until(lambda: False, 0.01)
    assert Waiters().wait_until(lambda: True, 0)


def test_close_ends_waits_present_and_future() -> None:
    """After the close no wait blocks."""
    waiters = Waiters()
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(waiters.wait_until(lambda: False)))
    thread.start()
    waiters.close()
    thread.join(20)
    assert results == [False]
    assert not waiters.wait_until(lambda: False)
    assert waiters.wait_until(lambda: True)


def test_callbacks_come_with_each_progress_until_withdrawn() -> None:
    """A function that is subscribed twice is called twice, and each withdrawal removes its own subscription."""
    waiters = Waiters()
    calls: list[int] = []

    def callback() -> None:
        calls.append(1)

    withdraw: list[Callable[[], None]] = [waiters.subscribe(callback), waiters.subscribe(callback)]
    waiters.notify()
    assert len(calls) == 2
    withdraw[0]()
    withdraw[0]()
    waiters.notify()
    assert len(calls) == 3
    withdraw[1]()
    waiters.notify()
    waiters.close()
    assert len(calls) == 3


def test_callbacks_come_at_the_end() -> None:
    """The close calls every callback."""
    waiters = Waiters()
    calls: list[int] = []
    waiters.subscribe(lambda: calls.append(1))
    waiters.close()
    assert calls == [1]
