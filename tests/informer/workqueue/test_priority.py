"""The queue that gives out items by priority."""

from __future__ import annotations

import queue as queues
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer.workqueue import ItemExponentialFailureRateLimiter, PriorityQueue, ShutDownError
from watch import FakeClock

ALL = 1_000_000.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(make: Callable[..., Any], clock: FakeClock) -> PriorityQueue[str]:
    return make(PriorityQueue, clock=clock)


def drain(queue: PriorityQueue[Any]) -> list[tuple[Any, int]]:
    """Gets and finishes all ready items, each with its priority."""
    found = []
    while len(queue):
        found.append(queue.get_with_priority(0))
        queue.done(found[-1][0])
    return found


def test_items_of_equal_priority_are_given_out_in_the_order_of_arrival(queue: PriorityQueue[str]) -> None:
    """Go: controller-runtime "returns items in order"."""
    queue.add("foo")
    queue.add("bar")
    assert drain(queue) == [("foo", 0), ("bar", 0)]


def test_an_item_under_way_is_skipped(queue: PriorityQueue[str]) -> None:
    """Go: controller-runtime "doesn't return an item that is currently locked" and "enqueues a locked item"."""
    queue.add("foo")
    assert queue.get(0) == "foo"
    queue.add("foo")
    assert len(queue) == 1
    queue.add("bar")
    assert queue.get(0) == "bar"
    with pytest.raises(queues.Empty):
        queue.get(0)
    queue.done("foo")
    assert queue.get(0) == "foo"


def test_an_item_added_again_is_placed_by_its_add(queue: PriorityQueue[str]) -> None:
    """Go: controller-runtime "returns an item as soon as its unlocked". The time of the add counts, not that of the done."""
    queue.add("foo")
    assert queue.get(0) == "foo"
    queue.add("foo")
    queue.add("baz")
    queue.done("foo")
    assert queue.get(0) == "foo"
    assert queue.get(0) == "baz"


@pytest.mark.parametrize("priorities", [(1, 2), (2, 1), (2, -5, 0)])
def test_the_highest_priority_of_an_item_counts(queue: PriorityQueue[str], priorities: tuple[int, ...]) -> None:
    """Go: controller-runtime "retains the highest priority" and "will not decrease the priority"."""
    for priority in priorities:
        queue.add("foo", priority=priority)
    assert drain(queue) == [("foo", 2)]


def test_a_raised_item_is_given_out_before_lower_ones(queue: PriorityQueue[str]) -> None:
    """Go: controller-runtime "gets pushed to the front if the priority increases"."""
    queue.add_all(["foo", "bar", "baz"])
    queue.add("baz", priority=1)
    assert queue.get_with_priority(0) == ("baz", 1)
    assert len(queue) == 2


def test_a_raised_item_goes_behind_items_of_its_new_priority(queue: PriorityQueue[str]) -> None:
    """Go: controller-runtime "follows FIFO order in the new priority queue when item priority changes"."""
    queue.add("foo", priority=0)
    queue.add("bar", priority=1)
    queue.add("foo", priority=1)
    assert drain(queue) == [("bar", 1), ("foo", 1)]


def test_get_resets_the_priority_of_an_item(queue: PriorityQueue[str]) -> None:
    """An item that is added while it is processed waits with the priority of that add."""
    queue.add("foo", priority=5)
    assert queue.get_with_priority(0) == ("foo", 5)
    queue.add("foo", priority=-5)
    queue.done("foo")
    assert queue.get_with_priority(0) == ("foo", -5)


def test_a_delay_does_not_affect_a_ready_item(queue: PriorityQueue[str], clock: FakeClock) -> None:
    """Go: controller-runtime "retains the lowest after duration"."""
    queue.add("bar")
    queue.add("foo")
    queue.add_after("foo", 3600, priority=3)
    assert not len(queue._waiting)
    assert drain(queue) == [("foo", 3), ("bar", 0)]
    clock.step(ALL)
    assert drain(queue) == []


def test_len_does_not_count_items_that_wait_for_a_delay(queue: PriorityQueue[str]) -> None:
    """Go: controller-runtime "doesn't include non-ready items in Len()"."""
    queue.add_after("foo", 60)
    queue.add("baz")
    queue.add_after("bar", 60)
    queue.add("bal")
    assert len(queue) == 2


def test_an_add_ends_the_delay_of_an_item(queue: PriorityQueue[str], clock: FakeClock) -> None:
    """Go: TestWaitingItemIsReturnedRightAfterReadWithoutAfter. It is not given out again when the delay is over."""
    queue.add_after("foo", 60, priority=-1)
    queue.add("foo", priority=-2)
    assert drain(queue) == [("foo", -1)]
    clock.step(ALL)
    assert drain(queue) == []


def test_a_waiting_item_keeps_its_highest_priority_and_earliest_time(
    queue: PriorityQueue[str], clock: FakeClock
) -> None:
    """controller-runtime source."""
    queue.add_after("foo", 10, priority=7)
    queue.add_after("foo", 5, priority=1)
    queue.add_after("foo", 20, priority=3)
    clock.step(4.9)
    assert drain(queue) == []
    clock.step(0.1)
    assert drain(queue) == [("foo", 7)]


@pytest.mark.parametrize("after", [-1, 0, 1])
def test_delayed_items_are_given_out_by_priority(queue: PriorityQueue[str], clock: FakeClock, after: float) -> None:
    """Go: TestHighPriorityItemsAreReturnedBeforeLowPriorityItemMultipleTimes."""
    priorities = (10, 5, 0, -5, -10)
    for n in range(200):
        for priority in priorities:
            queue.add_after(f"{priority} {n}", after, priority=priority)
    clock.step(1)
    assert drain(queue) == [(f"{priority} {n}", priority) for priority in priorities for n in range(200)]


def test_an_item_that_became_ready_is_given_out_before_lower_ones(queue: PriorityQueue[str], clock: FakeClock) -> None:
    """Go: TestHighPriorityItemThatBecameReadyIsReturnedBeforeLowPriorityItem."""
    queue.add("foo", priority=-100)
    queue.add_after("prio", 1)
    clock.step(1)
    assert queue.get_with_priority(0) == ("prio", 0)


def test_delayed_items_become_ready_in_the_order_of_their_delays(queue: PriorityQueue[str], clock: FakeClock) -> None:
    """Go: TestMultipleItemsWithAfterAreReturnedInCorrectOrder. They go behind items that were ready before."""
    queue.add_after("foo", 1)
    queue.add_after("bar", 0.2)
    queue.add("ready")
    clock.step(1)
    assert [item for item, _ in drain(queue)] == ["ready", "bar", "foo"]


def test_rate_limited_items_do_not_affect_each_other(make: Callable[..., Any], clock: FakeClock) -> None:
    """Go: TestWhenAddingMultipleItemsWithRatelimitTrueTheyDontAffectEachOther. The default is 5 ms, doubled with each retry."""
    queue = make(PriorityQueue, clock=clock)
    for _ in range(3):
        queue.add_rate_limited("foo", priority=2)
        queue.add_rate_limited("bar", priority=1)
    assert queue.num_requeues("foo") == 3
    clock.step(0.0049)
    assert drain(queue) == []
    clock.step(0.0002)
    assert drain(queue) == [("foo", 2), ("bar", 1)]
    queue.add_rate_limited("foo")
    clock.step(0.039)
    assert drain(queue) == []
    clock.step(0.0011)
    assert drain(queue) == [("foo", 0)]


def test_shut_down_wakes_a_waiting_worker(queue: PriorityQueue[str], run: Any) -> None:
    """Go: TestGetFromPriorityQueueIsUnblockedOnShutdown. Items that wait for a delay are dropped with their priority."""
    getting = run(queue.get_with_priority)
    queue.add_after("foo", 60, priority=4)
    queue.shut_down()
    with pytest.raises(ShutDownError):
        getting.result()
    assert not queue._priorities._ranks


class Model:
    """controller-runtime's rules, written with plain dicts."""

    def __init__(self) -> None:
        self.now = 0.0
        self.place = 0
        self.items: dict[int, list[Any]] = {}  # priority, place, time at which the delay is over or None
        self.busy: set[int] = set()

    def next_place(self) -> int:
        self.place += 1
        return self.place

    def add(self, key: int, after: float, priority: int) -> None:
        at = self.now + after if after > 0 else None
        item = self.items.get(key)
        if item is None:
            self.items[key] = [priority, self.next_place(), at]
            return
        if priority > item[0]:
            item[:2] = priority, self.next_place()
        item[2] = None if at is None or item[2] is None else min(at, item[2])

    def step(self, seconds: float) -> None:
        self.now += seconds

    def look(self) -> None:
        due = [(item[2], key) for key, item in self.items.items() if item[2] is not None and item[2] <= self.now]
        for _, key in sorted(due):
            self.items[key][1:] = self.next_place(), None

    def get(self) -> tuple[int, int] | None:
        self.look()
        ready = [(-item[0], item[1], k) for k, item in self.items.items() if item[2] is None and k not in self.busy]
        if not ready:
            return None
        _, _, key = min(ready)
        self.busy.add(key)
        return key, self.items.pop(key)[0]


KEYS = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), KEYS, st.sampled_from([0, 0, 1, 2, 3]), st.integers(-1, 2)),
        st.tuples(st.just("get"), KEYS, st.just(0), st.just(0)),
        st.tuples(st.just("done"), KEYS, st.just(0), st.just(0)),
        st.tuples(st.just("step"), KEYS, st.sampled_from([1]), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_queue_behaves_as_a_plain_model(steps: list[tuple[str, int, int, int]]) -> None:
    """Go: TestFuzzPriorityQueue. Items and priorities are the model's, whatever is added, got, done and waited for."""
    clock = FakeClock()
    queue: PriorityQueue[int] = PriorityQueue(ItemExponentialFailureRateLimiter(1, 1), clock=clock)
    model = Model()
    try:
        for n, (step, key, after, priority) in enumerate(steps):
            if step == "add":
                # No two items are due at the same time, since their order would be undefined.
                delay = after + n / 1000 if after else 0
                queue.add_after(key, delay, priority=priority)
                model.add(key, delay, priority)
            elif step == "get":
                expected = model.get()
                if expected is None:
                    with pytest.raises(queues.Empty):
                        queue.get(0)
                else:
                    assert queue.get_with_priority(0) == expected
            elif step == "done":
                queue.done(key)
                model.busy.discard(key)
            else:
                clock.step(after)
                model.step(after)
                model.look()
            assert len(queue) == sum(item[2] is None for item in model.items.values())
    finally:
        queue.shut_down()


def test_the_default_limiter_is_backoff_without_a_bucket(make: Callable[..., Any], clock: FakeClock) -> None:
    """Source: controller-runtime. 5 ms, doubled up to 1000 s; a thousand keys that fail at once do not wait for tokens."""
    queue = make(PriorityQueue, clock=clock)
    for number in range(1000):
        queue.add_rate_limited(f"key-{number}")
    clock.step(0.0051)
    assert len(queue) == 1000
    assert isinstance(queue._limiter, ItemExponentialFailureRateLimiter)
    assert queue._limiter.when("key-0") == 0.01
    for _ in range(100):
        longest = queue._limiter.when("key-0")
    assert longest == 1000
