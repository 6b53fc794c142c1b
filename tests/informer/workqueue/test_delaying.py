"""A queue with delays."""

from __future__ import annotations

import queue as queues
import threading
from collections.abc import Callable
from typing import Any

import pytest

from informer.workqueue import DelayingQueue, ShutDownError
from tests.support.waiting import DEADLINE
from watch import FakeClock


class Delayed:
    """A queue on a clock that moves only by `step`."""

    def __init__(self, queue: Any, clock: FakeClock) -> None:
        self.queue, self.clock = queue, clock

    def after(self, item: str, milliseconds: float) -> None:
        self.queue.add_after(item, milliseconds / 1000)

    def step(self, milliseconds: float) -> list[str]:
        """Advances the clock, then gets and finishes the items that are ready."""
        self.clock.step(milliseconds / 1000)
        found = []
        while len(self.queue):
            found.append(self.queue.get(0))
            self.queue.done(found[-1])
        return found


@pytest.fixture
def delayed(make: Callable[..., Any], delaying_kind: Any) -> Delayed:
    clock = FakeClock()
    return Delayed(make(delaying_kind, clock=clock), clock)


def test_an_item_is_ready_when_its_delay_is_over(delayed: Delayed) -> None:
    """Go: TestSimpleQueue."""
    delayed.after("foo", 50)
    assert len(delayed.queue) == 0
    assert delayed.step(60) == ["foo"]
    assert delayed.step(10_000) == []


@pytest.mark.parametrize(
    ("first", "second", "steps"),
    [(50, 70, [(60, ["foo"]), (20, [])]), (50, 30, [(40, ["foo"]), (20, [])])],
    ids=["the first is earlier", "the second is earlier"],
)
def test_the_earliest_time_of_an_item_wins(
    delayed: Delayed, first: int, second: int, steps: list[tuple[int, list[str]]]
) -> None:
    """Go: TestDeduping."""
    delayed.after("foo", first)
    delayed.after("foo", second)
    assert [(step, delayed.step(step)) for step, _ in steps] == steps


def test_a_shorter_delay_is_over_before_a_longer_one(delayed: Delayed) -> None:
    """Go: TestAddTwoFireEarly."""
    delayed.after("foo", 1000)
    delayed.after("bar", 50)
    assert delayed.step(60) == ["bar"]
    delayed.after("baz", 2000)
    assert delayed.step(1000) == ["foo"]
    assert delayed.step(2000) == ["baz"]


def test_items_become_ready_in_the_order_of_their_delays(delayed: Delayed) -> None:
    """Go: TestCopyShifting."""
    for item, after in (("foo", 1000), ("bar", 500), ("baz", 250)):
        delayed.after(item, after)
    assert delayed.step(2000) == ["baz", "bar", "foo"]


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_delay_of_zero_or_less_adds_at_once(delayed: Delayed, seconds: float) -> None:
    """client-go source."""
    delayed.queue.add_after("foo", seconds)
    assert delayed.queue.get(0) == "foo"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_a_delay_that_is_not_finite_is_refused(delayed: Delayed, seconds: float) -> None:
    """An item with such a delay would never become ready, or at an undefined time."""
    with pytest.raises(ValueError, match="finite number of seconds"):
        delayed.queue.add_after("foo", seconds)


def test_a_shut_down_drops_items_that_wait_for_their_delay(delayed: Delayed) -> None:
    """client-go source. Later additions are ignored."""
    delayed.after("foo", 50)
    delayed.queue.shut_down()
    delayed.after("bar", 50)
    delayed.after("baz", 0)
    assert delayed.step(100) == []
    with pytest.raises(ShutDownError):
        delayed.queue.get(0)


def test_a_waiting_worker_is_woken_when_a_delay_is_over(delayed: Delayed, run: Any) -> None:
    """The queue's thread adds the item when it is due."""
    getting = run(delayed.queue.get)
    delayed.after("foo", 1000)
    assert delayed.clock.wait_for_waiters(1, 10)
    assert not getting.ends_within(0)
    delayed.clock.step(1)
    assert getting.result() == "foo"


def test_a_shorter_delay_shortens_the_threads_sleep(delayed: Delayed, run: Any) -> None:
    """An item that is due before all others wakes the worker at its own time, even if the thread sleeps already."""
    getting = run(delayed.queue.get)
    delayed.after("foo", 1000)
    assert delayed.clock.wait_for_waiters(1, 10)
    delayed.after("bar", 50)
    for _ in range(19):  # less than a second: the thread may need a while to begin its shorter sleep
        delayed.clock.step(0.05)
        if getting.ends_within(0.05):
            break
    assert getting.result() == "bar"


def test_one_thread_serves_a_queue_and_ends_when_no_item_waits(make: Callable[..., Any], delaying_kind: Any) -> None:
    """A thousand delays need one thread. Some idle seconds later it has ended, and a new delay starts another."""
    clock = FakeClock()
    queue = make(delaying_kind, clock=clock)

    def sleepers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "work-queue-delays"]

    for n in range(1000):
        queue.add_after(n, 1 + n)
    [first] = sleepers()
    clock.step(1000)
    assert len(queue) == 1000
    first.join(0.05)
    queue.add_after("again", 1)
    assert sleepers() == [first]
    for thread in sleepers():
        while thread.is_alive():
            clock.step(1000)
            thread.join(0.01)
    assert len(queue) == 1001
    queue.add_after("foo", 1)
    assert len(sleepers()) == 1
    clock.step(1)
    assert len(queue) == 1002


def test_delays_hold_on_the_system_clock(make: Callable[..., Any], delaying_kind: Any) -> None:
    """A delay in real time is over neither early nor much too late."""
    queue: DelayingQueue[str] = make(delaying_kind)
    queue.add_after("later", 5)
    queue.add_after("foo", 0.03)
    with pytest.raises(queues.Empty):
        queue.get(0.005)
    assert queue.get(3) == "foo"


def test_a_very_long_delay_does_not_end_the_thread(make: Callable[..., Any], delaying_kind: Any) -> None:
    """An operating system limits the time-out of one wait, so the thread sleeps in steps. A fake clock would hide that."""
    queue: DelayingQueue[str] = make(delaying_kind)
    ready: queues.Queue[int] = queues.Queue()
    queue.add_after("far", 1e10)
    queue.add_after("near", 0.05)
    # Only the queue's own thread wakes a worker that waits without looking at the clock.
    worker = threading.Thread(target=lambda: ready.put(queue.get() == "near"))
    worker.start()
    assert ready.get(timeout=DEADLINE)
    worker.join(DEADLINE)
    [sleeper] = [thread for thread in threading.enumerate() if thread.name == "work-queue-delays"]
    sleeper.join(0.05)
    assert sleeper.is_alive()
